"""`/api/stream`: positions of consumers, and super streams."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.management.served import publish
from tests.server.waiting import until

if TYPE_CHECKING:
    from aio_pika.abc import AbstractIncomingMessage
    from pamqp.common import FieldTable

    from tests.management.served import Api

STREAM = {"durable": True, "arguments": {"x-queue-type": "stream"}}


async def test_positions_of_consumers_with_a_name_are_shown(api: Api) -> None:
    await api.put("/queues/%2F/s", STREAM)
    await api.put("/queues/%2F/q", {"durable": True})
    got: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    async with api.channel() as channel:
        await channel.set_qos(10)
        for body in (b"a", b"b"):
            await publish(channel, body, "s")
        stream = await channel.get_queue("s")
        first: FieldTable = {"x-stream-offset": "first", "x-stream-automatic-offset-tracking": True}
        await stream.consume(got.put, arguments=first, consumer_tag="reader")
        for _ in range(2):
            await (await got.get()).ack()
        queue = api.broker.server.broker.vhosts["/"].queues["s"]
        await until(lambda: bool(getattr(queue, "tracked", None)))

        found = await api.get("/stream/%2F/s/tracking")

    assert list(found["offsets"]) == ["reader"]
    assert found["sequences"] == {}
    await api.get("/stream/%2F/q/tracking", 400)
    await api.get("/stream/%2F/none/tracking", 404)


async def test_a_super_stream_has_partitions_in_their_order(api: Api) -> None:
    await api.put("/stream/super-streams/%2F/clicks", {"partitions": 3}, 204)

    exchange = await api.get("/exchanges/%2F/clicks")
    assert (exchange["type"], exchange["arguments"]) == ("direct", {"x-super-stream": True})
    bindings = await api.get("/exchanges/%2F/clicks/bindings/source")
    order = sorted((one["arguments"]["x-stream-partition-order"], one) for one in bindings)
    assert [(one["routing_key"], one["destination"]) for _, one in order] == [
        ("0", "clicks-0"), ("1", "clicks-1"), ("2", "clicks-2")
    ]  # fmt: skip
    assert (await api.get("/queues/%2F/clicks-1"))["type"] == "stream"


async def test_a_super_stream_has_a_partition_for_each_binding_key(api: Api) -> None:
    body = {"binding-keys": "amer, emea", "arguments": {"max-age": "1D"}}
    await api.put("/stream/super-streams/%2F/clicks", {"binding-keys": "amer, emea"}, 204)

    bindings = await api.get("/exchanges/%2F/clicks/bindings/source")
    assert {one["routing_key"]: one["destination"] for one in bindings} == {
        "amer": "clicks-amer", "emea": "clicks-emea"
    }  # fmt: skip
    again = await api.put("/stream/super-streams/%2F/clicks", body, 400)
    assert "is there already" in again["reason"]


@pytest.mark.parametrize(
    "body",
    [{}, {"partitions": 0}, {"partitions": 1001}, {"partitions": "x"}, {"binding-keys": " , "},
     {"binding-keys": "a,a"}],
)  # fmt: skip
async def test_what_is_no_super_stream_is_refused(api: Api, body: dict[str, object]) -> None:
    await api.put("/stream/super-streams/%2F/clicks", body, 400)

    await api.get("/exchanges/%2F/clicks", 404)


async def test_all_of_a_super_stream_is_made_or_nothing(api: Api) -> None:
    bob = await api.user("bob", "management")
    rights = {"configure": "^clicks(-0)?$", "write": ".*", "read": ".*"}
    await api.put("/permissions/%2F/bob", rights)

    await bob.put("/stream/super-streams/%2F/clicks", {"partitions": 2}, 401)

    assert await api.get("/queues") == []
    await api.get("/exchanges/%2F/clicks", 404)
