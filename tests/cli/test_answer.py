"""Every command answers programs: `--json` everywhere, and errors in JSON with it."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import pytest
from click.testing import CliRunner, Result

from amqpd.cli import manual
from amqpd.cli.answer import ERRORS, JsonOption
from amqpd.cli.ctl.verb import VERBS
from amqpd.cli.main import group
from tests.management.served import served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.management.served import Api

#: Commands without `--json`, each with the reason.
WITHOUT: Final = {
    "amqpd start": "it is the broker: logs are JSON by setting, its addresses are in run.json",
    "amqpd testing": "its answer is a line a listener, for programs in any language",
    "amqpd completion": "it prints a script, for a shell",
    "amqpd ctl": "has rabbitmqctl's own `--formatter json`",
}


def leaves() -> list[tuple[str, click.Command]]:
    """All commands that do something, with the words that call them."""
    return [
        (path, command)
        for path, command in manual.walk()
        if not isinstance(command, click.Group) and path not in WITHOUT
    ]


def invoke(*words: str, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(group, list(words), prog_name="amqpd")


@pytest.mark.parametrize(("path", "command"), leaves())
def test_every_command_has_json(path: str, command: click.Command) -> None:
    found = [one for one in command.params if isinstance(one, JsonOption)]

    assert found, f"{path} lacks --json: see amqpd.cli.answer.answers"
    assert found[0].help != "As JSON: {}.", f"{path} does not say what is in it"


def test_those_without_json_are_there_and_have_none() -> None:
    commands = dict(manual.walk())

    for path in WITHOUT:
        options = {name for one in commands[path].params for name in one.opts}
        assert "--json" not in options
    assert all("formatter" in {one.name for one in verb.params} for verb in _verbs())


def _verbs() -> list[click.Command]:
    return [one for one in VERBS.values() if not isinstance(one, click.Group)]


@pytest.mark.parametrize("path", [path for path, _ in leaves()])
def test_arguments_that_are_not_understood_are_told_in_json(path: str) -> None:
    result = invoke(*path.split()[1:], "--json", "--no-such-option")

    assert result.exit_code == 64
    assert not result.stdout
    told = json.loads(result.stderr)
    assert (told["error"], told["exit_code"]) == ("usage", 64)
    assert "--no-such-option" in told["reason"]


def test_without_json_the_usage_is_shown() -> None:
    result = invoke("queue", "show")

    assert result.exit_code == 64
    assert "Usage: amqpd queue show [OPTIONS] NAME" in result.stderr
    assert "Missing argument 'NAME'" in result.stderr


def test_a_broker_that_is_not_reached_is_told_in_json() -> None:
    result = invoke("queues", "--json", "--url", "http://127.0.0.1:1")

    told = json.loads(result.stderr)
    assert result.exit_code == told["exit_code"] == 69
    assert told["error"] == "unavailable"
    assert "http://127.0.0.1:1: not reached" in told["reason"]
    assert not result.stdout


@pytest.mark.parametrize("words", [("vhost", "add"), ("queue", "delete"), ("user", "add")])
def test_a_name_is_never_empty(words: tuple[str, ...]) -> None:
    result = invoke(*words, "")

    assert result.exit_code == 64
    assert "a name may not be empty" in result.stderr


def test_messages_go_nowhere_in_json() -> None:
    result = invoke("publish", "-q", "orders", "x", "--json", "--uri", "amqp://127.0.0.1:1")

    assert json.loads(result.stderr)["error"] == "unavailable"


def test_every_exit_code_has_a_name_in_the_manual() -> None:
    text = (Path(manual.__file__).parents[1] / "docs" / "command-line.md").read_text()
    table = dict(re.findall(r"^\| (\d+) \| `(\w+)` \|", text, re.MULTILINE))

    assert table == {str(code): name for code, name in ERRORS.items()}


# -- what is in it -----------------------------------------------------------------------


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with served(tmp_path / "data") as made:
        yield made


#: In this order: each call, and what is said, with everything that differs left out.
CALLS: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("vhost add v --json", {"vhost": "v", "added": True}),
    ("queue declare q --json", {"queue": "q", "declared": True}),
    (
        "publish -q q hello --count 3 --json",
        {"published": 3, "confirmed": 3, "refused": 0, "unroutable": 0, "declared": False},
    ),
    ("queue pause q --json", {"queue": "q", "paused": True}),
    ("queue resume q --json", {"queue": "q", "paused": False}),
    ("exchange declare x --type topic --json", {"exchange": "x", "declared": True}),
    (
        "binding add x q -k a.# --json",
        {"source": "x", "destination": "q", "routing_key": "a.#", "added": True},
    ),
    (
        "binding delete x q -k a.# --json",
        {"source": "x", "destination": "q", "routing_key": "a.#", "deleted": True},
    ),
    ("exchange delete x --yes --json", {"exchange": "x", "deleted": True, "bindings": 0}),
    (
        "exchange delete x --yes --idempotently --json",
        {"exchange": "x", "deleted": False, "bindings": 0},
    ),
    ('policy set p ^q {"max-length":9} --json', {"policy": "p", "vhost": "/", "matches": 1}),
    ("policy delete p --yes --json", {"policy": "p", "deleted": True, "matched": 1}),
    ("policy delete p --idempotently --json", {"policy": "p", "deleted": False, "matched": 0}),
    ("user add u --new-password x --json", {"user": "u", "tags": "", "password": None}),
    ("user tags u monitoring --json", {"user": "u", "tags": "monitoring"}),
    (
        "user permissions u ^a ^b  --json",
        {"user": "u", "vhost": "/", "configure": "^a", "write": "^b", "read": "^a"},
    ),
    ("user password u --new-password y --json", {"user": "u", "password": None}),
    ("user delete u --yes --json", {"user": "u", "deleted": True, "connections": 0}),
    ("user delete u --idempotently --json", {"user": "u", "deleted": False, "connections": 0}),
    ("queue purge q --yes --json", {"queue": "q", "removed": 3}),
    ("queue delete q --yes --json", {"queue": "q", "deleted": True, "messages": 0}),
    ("queue delete q --idempotently --json", {"queue": "q", "deleted": False, "messages": 0}),
    ("vhost delete v --yes --json", {"vhost": "v", "deleted": True, "queues": 0, "messages": 0}),
    (
        "vhost delete v --idempotently --json",
        {"vhost": "v", "deleted": False, "queues": 0, "messages": 0},
    ),
    ("reload --json", {"reloaded": True}),
    ("ping --json", {"ok": True, "reason": ""}),
    ("stat -n 1 --interval 0.1 --json", {"queues": 0, "conns": 0, "alarm": ""}),
    ("check broker --json", {"about": "broker", "status": "ok"}),
    ("check connections --json", {"about": "connections", "status": "ok"}),
    ("check certificates --json", {"about": "certificates", "status": "ok"}),
    ("bench churn channels -z 0.1 --json", {"what": "channels"}),
    ("bench many --queues 3 -n 2 -s 10 --json", {"queues": 3, "published": 6}),
)


async def test_what_was_done_is_said_in_json(api: Api) -> None:
    for line, wanted in CALLS:
        result = await _run(api, *line.split())

        said = json.loads(result.stdout)
        assert {name: said[name] for name in wanted} == wanted, line
        assert not result.stderr, line


async def _run(api: Api, *words: str, code: int = 0) -> Result:
    runner = CliRunner(
        env={"AMQPD_URL": api.uri, "AMQPD_AMQP_URL": f"amqp://127.0.0.1:{api.broker.port}"}
    )
    call: Callable[..., Result] = runner.invoke
    result = await asyncio.to_thread(call, group, list(words), prog_name="amqpd")
    assert result.exit_code == code, (words, result.output, result.exception)
    return result


@pytest.mark.parametrize(
    ("line", "code", "error", "words"),
    [
        ("queue show order", 65, "data", "no queue 'order' in vhost '/'"),
        ("queue show q -p nope", 65, "data", "vhost"),
        ("queue purge order --yes", 65, "data", "no queue 'order' in vhost '/'"),
        ("exchange show amq.topik", 65, "data", "Did you mean 'amq.topic'?"),
        ("exchange declare x --type nope", 65, "data", "nope"),
        ("binding add amq.topic order", 65, "data", "no queue 'order' in vhost '/'"),
        ("policy set p ( {}", 65, "data", "("),
        ("policy set p ^a {", 65, "data", "not JSON"),
        ('policy set p ^a {"max-lenght":1}', 65, "data", "Did you mean 'max-length'?"),
        ('policy set p ^a {"max-length":"x"}', 65, "data", "is not a valid maximum length"),
        ("salvage x --data-dir none", 66, "no_input", "--data-dir says where"),
        ("backup x --data-dir none", 66, "no_input", "--data-dir says where"),
        ("check store --data-dir none", 66, "no_input", "--data-dir says where"),
        ("audit verify --data-dir none", 66, "no_input", "--data-dir says where"),
        ("policy set p ^a []", 65, "data", "must be an object"),
        ("policy delete p", 65, "data", "no policy 'p' in vhost '/'"),
        ("user tags nobody", 67, "no_user", "no user 'nobody'"),
        ("vhost delete nope", 65, "data", "no vhost 'nope'"),
        ("vhost delete /", 64, "usage", "--yes says that this is meant"),
        ("connection close nope", 65, "data", "`amqpd connections` lists them"),
        ("import /no/such/file", 66, "no_input", "/no/such/file"),
        ("export /no/such/folder/file", 73, "cannot_create", "/no/such/folder/file"),
        ("queues --sort nope", 64, "usage", "--sort nope: no such column"),
        ("publish -x nope -k a hello", 65, "data", "no exchange 'nope' in vhost '/'"),
        ("publish -k nope hello", 65, "data", "leads to no queue"),
        ("publish --jsonl /no/such/file", 66, "no_input", "/no/such/file"),
        ("consume order", 65, "data", "no queue 'order' in vhost '/'"),
        ("peek order", 65, "data", "no queue 'order' in vhost '/'"),
    ],
)
async def test_what_is_wrong_is_said_in_json(
    api: Api, line: str, code: int, error: str, words: str
) -> None:
    result = await _run(api, *line.split(), "--json", code=code)

    assert "\n" not in json.loads(result.stderr)["reason"]

    told = json.loads(result.stderr)
    assert (told["error"], told["exit_code"]) == (error, code)
    assert words in told["reason"]
