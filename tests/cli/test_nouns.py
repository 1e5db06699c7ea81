"""Commands for people: lists, one queue, peeking, definitions."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from click.testing import CliRunner, Result

from amqpd.cli.main import group
from amqpd.cli.nouns import NOUNS
from amqpd.cli.peek import entered
from tests.client import Client
from tests.management.served import Api, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    """A broker with a queue of three messages, bound to amq.topic."""
    async with served(tmp_path / "data") as it:
        await asyncio.to_thread(_fill, it.broker.port)
        yield it


def _fill(port: int) -> None:
    with Client(port) as client:
        channel = client.channel()
        channel.declare_queue("orders", durable=True)
        channel.bind("orders", "amq.topic", "a.#")
        channel.select_confirms()
        for number in range(3):
            channel.publish("", "orders", b'{"id":%d}' % number, persistent=True)
        channel.wait_confirms()


def _fill_twice(port: int, queue: str) -> None:
    with Client(port) as client:
        channel = client.channel()
        channel.declare_queue(queue)
        channel.select_confirms()
        channel.publish("", queue, b"a b")
        channel.publish("", queue, b"a b")
        channel.wait_confirms()


async def run(api: Api, *arguments: str, code: int = 0) -> str:
    """What a command prints; it ends with that code."""
    runner = CliRunner(env={"AMQPD_URL": api.uri})
    result: Result = await asyncio.to_thread(
        runner.invoke, group, list(arguments), prog_name="amqpd"
    )
    assert result.exit_code == code, (arguments, result.output, result.exception)
    return result.output


@pytest.mark.parametrize("noun", sorted(NOUNS))
async def test_every_list_is_there_for_people_and_for_programs(api: Api, noun: str) -> None:
    shown = await run(api, noun)
    listed = json.loads(await run(api, noun, "--json"))

    assert isinstance(listed, list)
    if listed:
        assert shown.splitlines()[0].split()[0] == NOUNS[noun].columns[0].title
        assert len(shown.splitlines()) == len(listed) + 1
    else:
        assert shown == NOUNS[noun].empty + "\n"


async def test_what_looks_like_a_formula_is_none_in_a_spreadsheet(api: Api) -> None:
    for name in ("=1+1", "@x", "+y", "-z"):
        await api.put(f"/queues/%2F/{quote(name)}")

    rows = list(csv.reader(io.StringIO(await run(api, "queues", "--csv"))))

    cells = {cell for row in rows for cell in row}
    assert {"'=1+1", "'@x", "'+y", "'-z", "orders"} <= cells
    assert not {"=1+1", "@x", "+y", "-z"} & cells


async def test_queues_are_lined_up_with_their_figures(api: Api) -> None:
    head, row = (await run(api, "queues")).splitlines()

    assert head.split() == [
        "vhost", "queue", "type", "state", "ready", "unacked", "consumers", "in/s", "out/s"
    ]  # fmt: skip
    assert row.split()[:7] == ["/", "orders", "classic", "running", "3", "0", "0"]
    assert head.index("ready") + len("ready") == row.index("3") + 1
    assert await run(api, "queues", "-p", "nope", code=65)


async def test_one_queue_is_shown_with_what_leads_to_it(api: Api) -> None:
    said = await run(api, "queue", "show", "orders")

    assert "bound to            amq.topic  key a.#" in said
    assert "Nobody consumes: `amqpd consume orders` would." in said
    await api.put("/queues/%2F/empty")
    said = await run(api, "queue", "show", "empty")
    assert "no consumers; `amqpd consume empty` starts one" in said
    assert json.loads(await run(api, "queue", "show", "orders", "--json"))["messages"] == 3


async def test_a_name_that_is_nearly_right_is_corrected(api: Api) -> None:
    said = await run(api, "queue", "show", "order", code=65)

    assert "no queue 'order' in vhost '/'.  Did you mean 'orders'?" in said


async def test_a_column_that_nothing_has_is_told_with_the_nearest(api: Api) -> None:
    said = await run(api, "queues", "--columns", "queue,mesage_bytes")

    assert "no row has 'mesage_bytes'.  Did you mean 'message_bytes'?" in said
    assert "no row has" not in await run(api, "queues", "--columns", "queue,message_bytes")
    assert "no row has" not in await run(api, "consumers", "--columns", "nothing")


async def test_messages_are_peeked_at_and_stay(api: Api) -> None:
    said = await run(api, "peek", "orders", "-n", "2")

    assert re.match(r"#1  \d\d:\d\d:\d\d\.\d{3}  exchange \(default\)  key orders  ", said)
    assert "exchange (default)  key orders  persistent  8 B" in said
    assert '{\n  "id": 0\n}\n#2  ' in said
    assert "peeked: 2 messages, still in the queue, not marked as redelivered" in said
    assert "more: amqpd peek orders --after 0.1:2" in said
    assert (await run(api, "peek", "orders", "--after", "0.1:2")).startswith("#3  ")
    rest = json.loads(await run(api, "peek", "orders", "--after", "0.1", "--json"))
    assert [one["payload"] for one in rest["messages"]] == ['{"id":2}']
    found = await run(api, "peek", "orders", "--search", '"ID":1')
    assert found.startswith("#2  ")
    assert "peeked: the message is still in the queue, not marked as redelivered" in found


def test_a_time_is_local_and_has_a_date_unless_it_is_of_today() -> None:
    now = datetime(2026, 3, 4, 14, 2, 11, 482_000)  # noqa: DTZ001
    at_ms = round(now.timestamp() * 1000)

    assert entered({"entered_at": at_ms}, now) == "14:02:11.482"
    assert entered({"entered_at": at_ms}, now + timedelta(days=1)) == "2026-03-04 14:02:11.482"
    stamped = {"properties": {"headers": {"timestamp_in_ms": at_ms}}}
    assert entered(stamped, now) == "14:02:11.482"
    assert entered({"properties": {"headers": {"timestamp_in_ms": "x"}}}, now) == "time not known"
    assert entered({"properties": {}}, now) == "time not known"


async def test_where_there_is_nothing_to_peek_at_that_is_said(api: Api) -> None:
    nothing = await run(api, "peek", "orders", "--search", "no such text")
    await run(api, "queue", "purge", "orders", "--yes")
    empty = await run(api, "peek", "orders")

    assert nothing == "none of 3 messages of queue 'orders' has 'no such text' in it\n"
    assert empty == "queue 'orders' has no ready messages\n"


async def test_what_shows_more_can_be_pasted_into_a_shell(api: Api) -> None:
    await asyncio.to_thread(_fill_twice, api.broker.port, "it's mine")

    said = await run(api, "peek", "it's mine", "-n", "1", "--search", "a b")

    assert said.endswith("""more: amqpd peek 'it'"'"'s mine' --after 0.0:1 --search 'a b'\n""")


async def test_a_place_that_is_none_is_told(api: Api) -> None:
    said = await run(api, "peek", "orders", "--after", "0.1:x", code=64)

    assert "--after 0.1:x: must be as `amqpd peek` prints it" in said


async def test_what_destroys_is_counted_first_and_meant(api: Api) -> None:
    said = await run(api, "queue", "purge", "orders", code=64)
    assert "3 ready messages of queue 'orders' are removed for good" in said
    assert "--yes says that this is meant" in said
    assert (await api.get("/queues/%2F/orders"))["messages"] == 3

    assert "3 messages removed" in await run(api, "queue", "purge", "orders", "--yes")
    assert "deleted, with 0 messages" in await run(api, "queue", "delete", "orders", "--yes")

    await api.get("/queues/%2F/orders", 404)


async def test_definitions_go_out_and_come_in_with_a_look_before(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "definitions.json"
    assert "1 queues" in await run(api, "export", str(file))
    assert file.stat().st_mode & 0o777 == 0o600, "hashes of passwords are in it"
    assert "nothing changes" in await run(api, "import", str(file), "--dry-run")
    await run(api, "queue", "delete", "orders", "--yes")

    plan = await run(api, "import", str(file), "--dry-run")
    assert "+ 1 queue " in plan
    assert "+ queue: orders in vhost '/'" in plan
    await api.get("/queues/%2F/orders", 404)
    await run(api, "import", str(file))

    assert (await api.get("/queues/%2F/orders"))["durable"]
    assert json.loads(await run(api, "export"))["queues"]


async def test_a_file_that_is_none_is_told(api: Api, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.json"
    wrong.write_text("{")

    assert "No such file" in await run(api, "import", str(tmp_path / "nope"), code=66)
    assert "not JSON" in await run(api, "import", str(wrong), code=65)


async def test_a_queue_is_paused_and_resumed(api: Api) -> None:
    assert "paused, until `amqpd queue resume orders`" in await run(api, "queue", "pause", "orders")
    assert (await api.get("/queues/%2F/orders"))["state"] == "paused"

    assert "its consumers go on" in await run(api, "queue", "resume", "orders")
    assert (await api.get("/queues/%2F/orders"))["state"] == "running"


async def test_the_last_messages_are_peeked_at(api: Api) -> None:
    last = await run(api, "peek", "orders", "--last", "1")
    assert last.startswith("#3  ")
    assert '"id": 2' in last
    assert '"id": 1' not in last
    seen = json.loads(await run(api, "peek", "orders", "--last", "2", "--json"))
    assert [one["payload"] for one in seen["messages"]] == ['{"id":1}', '{"id":2}']
    found = json.loads(await run(api, "peek", "orders", "--last", "5", "--search", "0", "--json"))
    assert [(one["number"], one["payload"]) for one in found["messages"]] == [(1, '{"id":0}')]
    assert [one["number"] for one in seen["messages"]] == [2, 3]


async def test_a_policy_that_does_nothing_here_is_said_to(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "definitions.json"
    mirrored = {"ha-mode": "all", "ha-sync-mode": "automatic", "max-length": 5}
    policy = {"vhost": "/", "name": "ha-all", "pattern": "^x", "apply-to": "queues"}
    file.write_text(json.dumps({"policies": [policy | {"definition": mirrored}]}))

    plan = await run(api, "import", str(file), "--dry-run")
    assert plan.splitlines() == [
        "+ 1 policy (ha-all: 'ha-mode', 'ha-sync-mode' have no effect here)",
        "  + policy: ha-all in vhost '/' ('ha-mode', 'ha-sync-mode' have no effect here)",
    ]
    other = policy | {"name": "other"}
    file.write_text(
        json.dumps({"policies": [one | {"definition": mirrored} for one in (policy, other)]})
    )
    plan = await run(api, "import", str(file), "--dry-run")
    assert plan.startswith("+ 2 policies (2 of them with keys that have no effect here)\n")
    said = await run(api, "policy", "set", "p", "^x", '{"ha-mode": "all"}')
    assert "warning: 'ha-mode' has no effect here" in said
