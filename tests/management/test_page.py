"""The web page's files: there, whole, and never a way to anything else."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from amqpd.broker.policy import POLICY_KEYS
from amqpd.management import page
from amqpd.management.page import Page

if TYPE_CHECKING:
    from tests.management.served import Api

FOLDER = Path(page.__file__).parent / "ui"
SCRIPTS = sorted(
    path for path in FOLDER.rglob("*.js") if "vendor" not in path.relative_to(FOLDER).parts
)
#: What a script imports from our own files.
IMPORT = re.compile(r'^\s*(?:import|\} from|import .* from|.* from) "(\.[^"]+)"', re.MULTILINE)


async def test_the_page_is_served_with_everything_it_names(api: Api) -> None:
    async with api.client.get(f"{api.uri}/") as answer:
        text = await answer.text()
        assert answer.status == 200
        assert answer.content_type == "text/html"
        assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Frame-Options"] == "DENY"
    named = re.findall(r'(?:src|href)="(ui/[^"]+)"', text)
    assert len(named) >= 4
    for path in named:
        async with api.client.get(f"{api.uri}/{path}") as answer:
            assert answer.status == 200, path
            assert await answer.read()


async def test_a_file_that_the_browser_has_is_not_sent_again(api: Api) -> None:
    async with api.client.get(f"{api.uri}/ui/style.css") as answer:
        tag = answer.headers["ETag"]

    async with api.client.get(f"{api.uri}/ui/style.css", headers={"If-None-Match": tag}) as again:
        assert again.status == 304
        assert await again.read() == b""


@pytest.mark.parametrize(
    "path",
    [
        "../page.py", "..", ".", "ui", "vendor", "nope.js", "pages/../../page.py", "//etc/passwd",
        "index.html/", "main.js/x", "vendor/README.md", "",
    ],
)  # fmt: skip
def test_no_way_leads_out_of_the_folder(path: str) -> None:
    found = Page().answer(path, "")

    if path.strip("/") in ("", "index.html"):
        assert found is not None
    else:
        assert found is None


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_import_files_that_are_there(script: Path) -> None:
    named = IMPORT.findall(script.read_text())

    for name in named:
        assert (script.parent / name).resolve().is_file(), name


def test_nothing_is_written_into_the_page_as_markup() -> None:
    """Names come from clients: they are only ever text."""
    for script in SCRIPTS:
        text = script.read_text()
        for dangerous in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "eval(",
            "document.write",
        ):
            assert dangerous not in text, script.name
    assert "<style" not in (FOLDER / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*src=)", (FOLDER / "index.html").read_text())


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/api", "/api/index.html"), ("/cli", "/cli/index.html"), ("/stats", "/api/index.html"),
        ("/doc/stats.html", "/api/index.html"), ("/mgmt", "/"),
    ],
)  # fmt: skip
async def test_old_addresses_lead_to_a_page(api: Api, path: str, location: str) -> None:
    async with api.client.get(api.uri + path, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (301, location)

    async with api.client.get(api.uri + location) as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")


async def test_every_path_of_the_api_is_on_its_page(api: Api) -> None:
    async with api.client.get(f"{api.uri}/api/index.html") as answer:
        text = await answer.text()

    assert "<code>/api/queues/{vhost}/{queue}/get</code>" in text
    assert "<code>/api/login</code>" in text


def test_the_form_of_policies_knows_every_key_that_has_an_effect() -> None:
    """And of each for what it is, and whether operators may bound it."""
    text = (FOLDER / "pages" / "keys.js").read_text()
    found = {
        name: (letters, bool(operator))
        for name, letters, operator in re.findall(
            r'\{ key: "([^"]+)".*?of: "([A-Z]+)",\s*(operator: true)?', text, re.DOTALL
        )
    }

    assert found == {
        name: ("E" if name == "alternate-exchange" else key.types, key.operator)
        for name, key in POLICY_KEYS.items()
        if key.field or name == "alternate-exchange"
    }


def test_the_form_of_policies_knows_the_words_of_each_key() -> None:
    text = (FOLDER / "pages" / "keys.js").read_text()
    for name, words in re.findall(r'\{ key: "([^"]+)", kind: (\[.*?\])', text):
        for word in json.loads(words):
            assert POLICY_KEYS[name].valid(word), (name, word)
        assert not POLICY_KEYS[name].valid("nonsense")
