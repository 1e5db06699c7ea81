"""Publishing and getting over HTTP."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING

import pytest

from tests.management.served import Json, publish, short_of_disk
from tests.server.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.management.served import Api

DEFAULT = "/exchanges/%2F/amq.default/publish"


def message(payload: str = "x", key: str = "q", **properties: Json) -> Json:
    """The body of a publish."""
    return {
        "routing_key": key,
        "properties": properties,
        "payload": payload,
        "payload_encoding": "string",
    }


def wish(ackmode: str = "ack_requeue_false", count: int = 1, **more: object) -> Json:
    """The body of a get."""
    return {"ackmode": ackmode, "count": count, "encoding": "auto", **more}


@pytest.fixture
async def queue(api: Api) -> Api:
    """With a durable queue q."""
    await api.put("/queues/%2F/q", {"durable": True})
    return api


async def test_a_message_comes_out_as_it_went_in(queue: Api) -> None:
    properties: dict[str, Json] = {
        "content_type": "text/plain",
        "headers": {"a": 1, "b": {"c": [True, None, 1.5]}, "d": "ü"},
        "delivery_mode": 2,
        "priority": 3,
        "correlation_id": "c",
        "reply_to": "r",
        "expiration": "60000",
        "message_id": "m",
        "timestamp": 1_700_000_000,
        "type": "t",
        "user_id": "guest",
        "app_id": "a",
        "cluster_id": "i",
        "content_encoding": "utf-8",
    }

    assert await queue.post(DEFAULT, message("größe", **properties)) == {"routed": True}
    (got,) = await queue.post("/queues/%2F/q/get", wish())

    assert got == {
        "payload": "größe",
        "payload_encoding": "string",
        "payload_bytes": 7,
        "exchange": "",
        "routing_key": "q",
        "redelivered": False,
        "message_count": 0,
        "properties": properties,
    }


async def test_a_message_that_no_queue_gets_is_not_routed(queue: Api) -> None:
    assert await queue.post(DEFAULT, message(key="nowhere")) == {"routed": False}


async def test_octets_travel_as_base64(queue: Api) -> None:
    octets = bytes(range(256))
    body = {**message(), "payload": base64.b64encode(octets).decode(), "payload_encoding": "base64"}
    await queue.post(DEFAULT, body)

    (got,) = await queue.post("/queues/%2F/q/get", wish())

    assert got["payload_encoding"] == "base64"
    assert base64.b64decode(got["payload"]) == octets


async def test_a_persistent_message_is_on_disk_when_it_is_answered(queue: Api) -> None:
    await queue.post(DEFAULT, message(delivery_mode=2))

    journal = queue.broker.server.broker.journal
    assert journal.pending_bytes == 0
    assert journal.safe == journal.last


@pytest.mark.parametrize(
    "change",
    [
        {"payload_encoding": "gzip"},
        {"payload": "!", "payload_encoding": "base64"},
        {"payload": 5},
        {"properties": {"delivery_mode": "two"}},
        {"properties": {"priority": 256}},
        {"properties": {"timestamp": -1}},
        {"properties": {"headers": []}},
        {"properties": {"headers": {"n": 1 << 80}}},
        {"properties": {"app_id": 5}},
        {"properties": {"app_id": "x" * 256}},
        {"properties": {"expiration": "soon"}},
        {"properties": {"user_id": "somebody"}},
    ],
)
async def test_what_is_no_message_is_refused(queue: Api, change: dict[str, object]) -> None:
    await queue.post(DEFAULT, {**message(), **change}, 400)

    assert (await queue.get("/queues/%2F/q"))["messages"] == 0


async def test_missing_fields_are_named_as_rabbitmq_does(queue: Api) -> None:
    refusal = await queue.post("/queues/%2F/q/get", {"count": 1}, 400)

    assert refusal["reason"] == "[{key_missing,ackmode},{key_missing,encoding}]"


async def test_a_full_queue_refuses(api: Api) -> None:
    arguments = {"x-max-length": 0, "x-overflow": "reject-publish"}
    await api.put("/queues/%2F/q", {"arguments": arguments})

    refusal = await api.post(DEFAULT, message(), 400)

    assert refusal["reason"] == "rejected Unable to publish message. Check queue limits."


async def test_nothing_is_published_while_an_alarm_holds_publishers(tmp_path: Path) -> None:
    async with short_of_disk(tmp_path) as api:
        refusal = await api.post(DEFAULT, message(), 503)

    assert refusal["reason"] == "publishing: low on disk"


async def test_cc_and_bcc_lead_to_more_queues_and_bcc_is_not_told(queue: Api) -> None:
    for other in ("r", "s"):
        await queue.put(f"/queues/%2F/{other}")
    await queue.post(DEFAULT, message(headers={"CC": ["r"], "BCC": ["s"]}))

    (got,) = await queue.post("/queues/%2F/s/get", wish())

    assert got["properties"]["headers"] == {"CC": ["r"]}
    assert (await queue.get("/queues/%2F/r"))["messages"] == 1


@pytest.mark.parametrize(
    ("ackmode", "left", "redelivered"),
    [
        ("ack_requeue_true", 3, [True, True, False]),
        ("reject_requeue_true", 3, [True, True, False]),
        ("ack_requeue_false", 1, [False]),
        ("reject_requeue_false", 1, [False]),
    ],
)
async def test_what_becomes_of_messages_says_the_ackmode(
    queue: Api, ackmode: str, left: int, redelivered: list[bool]
) -> None:
    for number in range(3):
        await queue.post(DEFAULT, message(str(number)))

    got = await queue.post("/queues/%2F/q/get", wish(ackmode, 2))

    assert [one["payload"] for one in got] == ["0", "1"]
    assert [one["message_count"] for one in got] == [2, 1]
    rest = await queue.post("/queues/%2F/q/get", wish(count=5))
    assert len(rest) == left
    assert [one["redelivered"] for one in rest] == redelivered
    assert [one["payload"] for one in rest] == ["0", "1", "2"][-left:]


async def test_rejected_messages_are_dead_letters(api: Api) -> None:
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    await api.put("/queues/%2F/q", {"arguments": arguments})
    await api.put("/queues/%2F/dead")
    await api.post(DEFAULT, message())

    await api.post("/queues/%2F/q/get", wish("reject_requeue_false"))

    assert (await api.get("/queues/%2F/dead"))["messages"] == 1


async def test_what_is_not_there_is_named(api: Api) -> None:
    refusal = await api.post("/exchanges/%2F/nowhere/publish", message(), 404)
    assert refusal == {"error": "not_found", "reason": "exchange_not_found"}
    for path in ("get", "actions"):
        refusal = await api.post(f"/queues/%2F/nowhere/{path}", {}, 404)
        assert refusal == {"error": "not_found", "reason": "queue_not_found"}


async def test_an_empty_queue_gives_nothing(queue: Api) -> None:
    assert await queue.post("/queues/%2F/q/get", wish(count=5)) == []
    await queue.post("/queues/%2F/nowhere/get", wish(), 404)


async def test_a_payload_is_cut_and_its_size_is_told(queue: Api) -> None:
    await queue.post(DEFAULT, message("123456"))

    (got,) = await queue.post("/queues/%2F/q/get", wish(truncate=2, encoding="base64"))

    assert base64.b64decode(got["payload"]) == b"12"
    assert got["payload_bytes"] == 6


async def test_messages_beyond_the_window_come_from_the_disk(queue: Api) -> None:
    async with queue.channel() as channel:
        await asyncio.gather(*(publish(channel, b"m", "q", delivery_mode=2) for _ in range(5000)))

    got = await queue.post("/queues/%2F/q/get", wish(count=5000))

    assert len(got) == 5000


async def test_publishing_and_getting_need_rights(queue: Api) -> None:
    shop = await queue.user("shop", "management", vhosts=("/",))
    rights = {"configure": "", "write": "", "read": ""}
    await queue.put("/permissions/%2F/shop", rights, status=204)

    await shop.post(DEFAULT, message(), 401)
    await shop.post("/queues/%2F/q/get", wish(), 401)


async def test_the_default_exchange_may_have_no_name_in_a_path(api: Api) -> None:
    await api.put("/queues/%2F/q", {"durable": True})
    sent = {"routing_key": "q", "payload": "x", "payload_encoding": "string", "properties": {}}

    assert (await api.post("/exchanges/%2F//publish", sent))["routed"] is True


async def test_a_message_for_a_full_queue_that_waits_is_answered_when_there_is_room(
    api: Api,
) -> None:
    arguments = {"x-max-length": 1, "x-overflow": "block"}
    await api.put("/queues/%2F/q", {"arguments": arguments})
    await api.post(DEFAULT, message())
    queue = api.broker.server.broker.vhosts["/"].queues["q"]

    waiting = asyncio.ensure_future(api.post(DEFAULT, message()))
    await until(lambda: queue.ready == 2)
    assert not waiting.done()
    await api.delete("/queues/%2F/q/contents")

    async with asyncio.timeout(4):
        assert (await waiting)["routed"] is True
