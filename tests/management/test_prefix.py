"""The API and the web page below a path (`http.path_prefix`)."""

from __future__ import annotations

import asyncio
import re
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING

import pytest

from amqpd import config
from amqpd.cli.remote import Place, Remote
from tests.management.served import served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.management.served import Api

PREFIX = "/ops/broker"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with served(tmp_path, http__path_prefix=PREFIX) as it:
        yield it


def root(api: Api) -> str:
    """The address without the prefix."""
    assert api.uri.endswith(PREFIX)
    return api.uri.removesuffix(PREFIX)


async def test_the_api_is_below_the_prefix_and_only_there(api: Api) -> None:
    assert (await api.get("/whoami"))["name"] == "guest"
    assert await api.get("/queues/%2F") == []
    async with api.client.get(f"{root(api)}/api/whoami", headers=api.headers) as answer:
        assert answer.status == 404
    document = await api.get("/openapi.json")
    assert document["servers"] == [{"url": f"{PREFIX}/api"}]
    listed = (await api.get("/overview"))["contexts"]
    assert {one["protocol"]: one["path"] for one in listed} == {
        "http": PREFIX,
        "http/prometheus": "/",
    }


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        ("/", f"{PREFIX}/"),
        (PREFIX, f"{PREFIX}/"),
        (f"{PREFIX}/ui/", f"{PREFIX}/"),
        (f"{PREFIX}/ui/index.html", f"{PREFIX}/"),
        (f"{PREFIX}/mgmt", f"{PREFIX}/"),
        (f"{PREFIX}/api", f"{PREFIX}/api/index.html"),
        (f"{PREFIX}/cli", f"{PREFIX}/cli/index.html"),
    ],
)
async def test_addresses_lead_to_what_is_below_the_prefix(
    api: Api, path: str, leads_to: str
) -> None:
    async with api.client.get(root(api) + path, allow_redirects=False) as answer:
        assert answer.status == 301
        assert answer.headers["Location"] == leads_to
    async with api.client.get(root(api) + leads_to) as answer:
        assert answer.status == 200


async def test_everything_that_the_page_names_is_below_the_prefix(api: Api) -> None:
    async with api.client.get(f"{api.uri}/") as answer:
        text = await answer.text()
    named = re.findall(r'(?:src|href)="([^"]+)"', text)

    assert named
    for path in named:
        assert not path.startswith("/")
        async with api.client.get(f"{api.uri}/{path}") as answer:
            assert answer.status == 200, path


async def test_probes_and_metrics_are_with_the_prefix_and_without(api: Api) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        for address in (api.uri, root(api)):
            async with api.client.get(address + path) as answer:
                assert answer.status == 200, address


async def test_the_cookie_of_a_login_is_sent_below_the_prefix_only(api: Api) -> None:
    form = {"username": "guest", "password": "guest"}
    async with api.client.post(f"{api.uri}/api/login", data=form) as answer:
        [cookie] = SimpleCookie(answer.headers["Set-Cookie"]).values()

    assert cookie["path"] == PREFIX
    sent = {"Cookie": f"{cookie.key}={cookie.value}"}
    async with api.client.get(f"{api.uri}/api/whoami", headers=sent) as answer:
        assert answer.status == 200
    async with api.client.delete(f"{api.uri}/api/login") as answer:
        [gone] = SimpleCookie(answer.headers["Set-Cookie"]).values()
    assert (gone["path"], gone["max-age"]) == (PREFIX, "0")


async def test_a_binding_is_where_its_location_says(api: Api) -> None:
    await api.put("/queues/%2F/q")
    _, headers = await api.call("POST", "/bindings/%2F/e/amq.direct/q/q", 201, {"routing_key": "k"})

    assert not headers["Location"].startswith("/")
    await api.get(f"/bindings/%2F/e/amq.direct/q/{headers['Location']}")


async def test_the_local_socket_knows_no_prefix(api: Api, tmp_path: Path) -> None:
    remote = Remote(Place(user="", socket=tmp_path / "data" / "amqpd.sock"))
    try:
        assert "local user" in (await asyncio.to_thread(remote.get, "/whoami"))["name"]
    finally:
        remote.close()


@pytest.mark.parametrize("prefix", ["broker", "/broker/", "/a//b", "/a b", "/{x}", "/%2F"])
def test_what_is_no_prefix_is_refused(prefix: str) -> None:
    with pytest.raises(config.ConfigError, match=r"http\.path_prefix"):
        config.load(None, {}, {"http.path_prefix": prefix})
