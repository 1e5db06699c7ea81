"""`/api/traces` and `/api/trace-files`: statuses, keys and contents of RabbitMQ 3.10.8's plugin."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import TYPE_CHECKING

import aio_pika
import pytest

from amqpd.broker.broker import Alarms
from amqpd.management.trace import is_safe
from amqpd.server import tracing
from tests.management.served import Api, Json, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TRACES = "/traces/%2F"


@contextlib.asynccontextmanager
async def traffic(api: Api, body: bytes = b"hello") -> AsyncIterator[aio_pika.abc.AbstractQueue]:
    """A message is published, and got by whoever goes on from here."""
    async with await aio_pika.connect(api.broker.uri) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("q", exclusive=True)
        exchange = await channel.declare_exchange("tx", "topic", auto_delete=True)
        await queue.bind(exchange, "a.#")
        headers: Json = {"h": 1, "t": {"x": [1, "a", True]}}
        message = aio_pika.Message(body, content_type="text/plain", headers=headers, priority=3)
        await exchange.publish(message, "a.b")
        yield queue


async def written(api: Api, name: str) -> bytes:
    """A file of a trace that has ended: its last copy is in it."""
    await api.delete(f"{TRACES}/{name}", 204)
    return await raw(api, f"/trace-files/{name}.log")


def everything(folder: Path) -> list[Path]:
    """All files and folders below it."""
    return sorted(folder.rglob("*"))


async def raw(api: Api, path: str, status: int = 200) -> bytes:
    """A body that is no JSON."""
    async with api.client.get(f"{api.uri}/api{path}", headers=api.headers) as answer:
        assert answer.status == status
        if status == 200:
            assert answer.content_type == "text/plain"
        return await answer.read()


async def test_there_are_none_at_first(api: Api) -> None:
    for path in ("/traces", TRACES, "/traces/nowhere", "/trace-files"):
        assert await api.get(path) == []
    for path in (f"{TRACES}/none", "/trace-files/none.log"):
        assert (await api.get(path, 404))["reason"] == "Not Found"
        await api.delete(path, 404)


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        ({"pattern": "#"}, "[{key_missing,format}]"),
        ({"format": "text"}, "[{key_missing,pattern}]"),
        ({"format": "xml", "pattern": "#"}, "format not json or text"),
        (
            {"format": "text", "pattern": "#", "max_payload_bytes": "x"},
            "max_payload_bytes not integer",
        ),
        (
            {"format": "text", "pattern": "#", "max_payload_bytes": -1},
            "max_payload_bytes not integer",
        ),
    ],
)
async def test_what_cannot_be_traced_is_refused(api: Api, wish: Json, reason: str) -> None:
    assert (await api.put(f"{TRACES}/one", wish, 400))["reason"] == reason


@pytest.mark.parametrize(
    "name", ["..%2Fevil", "..", ".hidden", "a%2Fb", "a%5Cb", "a%00", "n" * 201]
)
async def test_no_trace_leaves_its_folder(api: Api, name: str, tmp_path: Path) -> None:
    before = everything(tmp_path)

    wish = {"format": "text", "pattern": "#"}
    await api.call("PUT", f"{TRACES}/{name}", 400, wish)
    await raw(api, f"/trace-files/{name}", 404)
    await api.delete(f"/trace-files/{name}", 404)

    assert everything(tmp_path) == before


def test_names_are_those_of_files() -> None:
    assert is_safe("orders today")
    assert not any(map(is_safe, ("", ".", "..", "a/b", "\n")))


async def test_a_trace_switches_tracing_on_until_the_last_has_ended(api: Api) -> None:
    wish = {"format": "json", "pattern": "publish.#", "max_payload_bytes": 4}
    await api.put(f"{TRACES}/one", wish, 201)
    await api.put(f"{TRACES}/two", {"format": "text", "pattern": "#"}, 201)
    twice = await api.put(f"{TRACES}/one", wish, 400)

    assert "under way" in twice["reason"]
    assert (await api.get("/vhosts/%2F"))["tracing"] is True
    shown = await api.get(f"{TRACES}/one")
    assert shown == {**wish, "vhost": "/", "name": "one", "lost": 0}
    node = (await api.get("/overview"))["node"]
    assert [one["name"] for one in await api.get(f"/traces/node/{node}/%2F")] == ["one", "two"]
    assert (await api.get("/traces/node/elsewhere", 400))["error"] == "bad_request"
    await api.put("/traces/nowhere/one", wish, 404)
    await api.delete(f"{TRACES}/one", 204)
    assert (await api.get("/vhosts/%2F"))["tracing"] is True
    await api.delete(f"{TRACES}/two", 204)
    assert (await api.get("/vhosts/%2F"))["tracing"] is False


async def test_messages_are_written_as_json(api: Api) -> None:
    wish = {"format": "json", "pattern": "#", "max_payload_bytes": 4}
    await api.put(f"{TRACES}/one", wish, 201)

    async with traffic(api) as queue:
        await queue.get(no_ack=True)
        lines = [json.loads(one) for one in (await written(api, "one")).splitlines()]

    published, received = lines
    same = {
        "channel": 1,
        "exchange": "tx",
        "routing_keys": ["a.b"],
        "user": "guest",
        "vhost": "/",
        "payload": base64.b64encode(b"hell").decode(),
    }
    properties = {"content_type": "text/plain", "delivery_mode": 1, "priority": 3}
    headers = {"h": 1, "t": {"x": [1, "a", True]}}
    for line in lines:
        assert {name: line[name] for name in same} == same
        assert properties.items() <= line["properties"].items()
        assert line["properties"]["headers"] == headers
        assert line["timestamp"].endswith("+00:00")
        assert " -> " in line["connection"]
        assert list(line) == sorted(line)
    assert (published["type"], published["queue"]) == ("published", "none")
    assert published["routed_queues"] == ["q"]
    assert (received["type"], received["queue"], received["routed_queues"]) == (
        "received",
        "q",
        "none",
    )


async def test_messages_are_written_as_text_and_forge_none(api: Api) -> None:
    await api.put(f"{TRACES}/one", {"format": "text", "pattern": "publish.*"}, 201)

    async with traffic(api, b"\x00\xff"):
        text = await written(api, "one")

    head, _, body = text.partition(b"Payload: \n")
    lines = head.decode().splitlines()
    assert lines[1] == "=" * 80
    assert lines[2].endswith("+00:00: Message published")
    assert lines[6:12] == [
        "Virtual host: /",
        "User:         guest",
        "Channel:      1",
        "Exchange:     tx",
        'Routing keys: [<<"a.b">>]',
        'Routed queues: [<<"q">>]',
    ]
    assert '{<<"headers">>,table,[{<<"h">>,' in lines[12]
    assert '{<<"x">>,array,[{' in lines[12]
    assert body == b"\x00\xff\n"


async def test_a_pattern_chooses_and_files_stay_until_they_are_removed(api: Api) -> None:
    await api.put(f"{TRACES}/one", {"format": "json", "pattern": "deliver.q"}, 201)
    await api.put(f"{TRACES}/two", {"format": "json", "pattern": "deliver.other"}, 201)

    async with traffic(api) as queue:
        await queue.get(no_ack=True)
        one, two = await written(api, "one"), await written(api, "two")

    assert [json.loads(line)["type"] for line in one.splitlines()] == ["received"]
    assert two == b""
    files = await api.get("/trace-files")
    assert files == [{"name": "one.log", "size": len(one)}, {"name": "two.log", "size": 0}]
    await api.delete("/trace-files/one.log", 204)
    await raw(api, "/trace-files/one.log", 404)
    assert [one["name"] for one in await api.get("/trace-files")] == ["two.log"]


async def test_files_are_private_and_no_link_leads_out_of_their_folder(
    api: Api, tmp_path: Path
) -> None:
    await api.put(f"{TRACES}/one", {"format": "json", "pattern": "#"}, 201)
    folder = tmp_path / "data" / "traces"
    (folder / "link.log").symlink_to("/etc/passwd")

    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "one.log").stat().st_mode & 0o777 == 0o600
    await raw(api, "/trace-files/link.log", 404)
    await api.put(f"{TRACES}/link", {"format": "json", "pattern": "#"}, 400)
    assert [one["name"] for one in await api.get("/trace-files")] == ["one.log"]


async def test_a_file_that_is_removed_while_it_is_written_is_begun_anew(api: Api) -> None:
    await api.put(f"{TRACES}/one", {"format": "json", "pattern": "publish.#"}, 201)
    await api.delete("/trace-files/one.log", 204)

    async with traffic(api):
        assert await written(api, "one")


async def test_while_the_disk_is_short_of_room_nothing_is_written(api: Api) -> None:
    await api.put(f"{TRACES}/one", {"format": "json", "pattern": "deliver.#"}, 201)

    async with traffic(api) as queue:
        api.broker.server.broker.resources(Alarms(disk=True))
        await queue.get(no_ack=True)
        shown = await api.get(f"{TRACES}/one")
        text = await written(api, "one")

    assert (shown["lost"], text) == (1, b"")


async def test_what_the_disk_does_not_keep_up_with_is_lost_and_counted(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "MOST_BYTES", 10)
    await api.put(f"{TRACES}/one", {"format": "json", "pattern": "publish.#"}, 201)

    async with traffic(api):
        assert (await api.get(f"{TRACES}/one"))["lost"] == 1


async def test_a_trace_ends_with_its_vhost(api: Api) -> None:
    await api.put("/vhosts/v", {}, 201)
    await api.put("/traces/v/one", {"format": "json", "pattern": "#"}, 201)

    await api.delete("/vhosts/v", 204)

    assert await api.get("/traces") == []


async def test_only_administrators_see_bodies_and_reading_them_is_written_down(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as api:
        user = {"password": "a password", "tags": "monitoring"}
        await api.put("/users/m", user, 201)
        monitor = api.as_user("m", "a password")
        await monitor.call("PUT", f"{TRACES}/one", 401, {"format": "json", "pattern": "#"})
        await raw(monitor, "/trace-files/one.log", 401)
        await api.put(f"{TRACES}/one", {"format": "json", "pattern": "#"}, 201)
        await raw(api, "/trace-files/one.log")
        path = api.broker.server.audit.path
        assert path is not None

    told = [json.loads(line) for line in path.read_text().splitlines()]
    done = {(one["event"], one.get("object", "")) for one in told}
    assert ("http put", "/traces/%2F/one") in done
    assert ("http get", "/trace-files/one.log") in done
