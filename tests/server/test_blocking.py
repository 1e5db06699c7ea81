"""Publishers of full queues are held by their sockets; nobody else is, and nothing hangs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aio_pika

from tests.server.running import running
from tests.server.waiting import turns, until

if TYPE_CHECKING:
    from pathlib import Path

    from aio_pika.abc import AbstractIncomingMessage
    from pamqp.common import FieldTable

    from tests.server.running import Running

FULL: FieldTable = {"x-max-length": 10, "x-overflow": "block"}


def held(broker: Running) -> int:
    """How many connections are not read."""
    return sum(not one.session.wants_reading for one in broker.server.connections)


async def test_a_full_queue_holds_its_publishers_and_nobody_else(tmp_path: Path) -> None:
    async with running(tmp_path) as broker:
        publisher, other = await aio_pika.connect(broker.uri), await aio_pika.connect(broker.uri)
        channel = await publisher.channel()
        queue = await channel.declare_queue("full", arguments=FULL)
        elsewhere = await other.channel()
        await elsewhere.declare_queue("free")
        sent = [
            asyncio.ensure_future(
                channel.default_exchange.publish(aio_pika.Message(b"x" * 1000), "full")
            )
            for _ in range(1000)
        ]

        await until(lambda: held(broker) == 1)
        model = broker.server.broker.vhosts["/"].queues["full"]
        await turns()
        # What was on its way: a read or two of 64 KiB.
        assert 10 <= model.ready < 200
        assert sum(one.done() for one in sent) <= 10

        for _ in range(100):
            await elsewhere.default_exchange.publish(aio_pika.Message(b"y"), "free")
        taken: list[bytes] = []

        async def take(message: AbstractIncomingMessage) -> None:
            taken.append(message.body)

        consumer = await elsewhere.get_queue("full")
        await consumer.consume(take, no_ack=True)
        await asyncio.gather(*sent)

        await until(lambda: len(taken) == 1000)
        assert queue.name == "full"
        await publisher.close()
        await other.close()


async def test_deleting_a_full_queue_lets_its_publishers_go(tmp_path: Path) -> None:
    async with running(tmp_path) as broker:
        publisher, other = await aio_pika.connect(broker.uri), await aio_pika.connect(broker.uri)
        channel, elsewhere = await publisher.channel(), await other.channel()
        await channel.declare_queue("full", arguments=FULL)
        sent = [
            asyncio.ensure_future(channel.default_exchange.publish(aio_pika.Message(b"x"), "full"))
            for _ in range(100)
        ]
        await until(lambda: held(broker) == 1)

        await elsewhere.queue_delete("full")

        await asyncio.gather(*sent)
        assert held(broker) == 0
        await publisher.close()
        await other.close()


async def test_one_connection_that_fills_a_queue_and_empties_it_comes_through(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as broker:
        connection = await aio_pika.connect(broker.uri)
        channel = await connection.channel(publisher_confirms=False)
        queue = await channel.declare_queue("full", arguments=FULL)
        await channel.set_qos(prefetch_count=5)
        taken: list[bytes] = []

        async def take(message: AbstractIncomingMessage) -> None:
            taken.append(message.body)
            await message.ack()

        await queue.consume(take)
        for _ in range(1000):
            await channel.default_exchange.publish(aio_pika.Message(b"x" * 1000), "full")

        await until(lambda: len(taken) == 1000)
        await connection.close()
