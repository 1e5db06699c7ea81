"""A lane that has used up its positions begins again, and the store knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aio_pika

from amqpd.broker import queue as queue_module
from amqpd.cli.start import make_store
from tests.server.running import running

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


async def test_messages_of_a_lane_that_began_again_survive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "WORN", 10)
    lanes = []
    for start in range(0, 40, 10):
        async with running(tmp_path, make_store, store__sync=False) as broker:
            connection = await aio_pika.connect(broker.uri)
            channel = await connection.channel()
            queue = await channel.declare_queue("q", durable=True)
            for number in range(start, start + 10):
                message = aio_pika.Message(b"%d" % number, delivery_mode=2)
                await channel.default_exchange.publish(message, "q")
                if number % 10 < 8:
                    got = await queue.get()
                    await got.ack()
            lanes.append(int(broker.server.broker.vhosts["/"].queues["q"].lanes[0].id))
            await connection.close()
        async with running(tmp_path, make_store, store__sync=False) as broker:
            connection = await aio_pika.connect(broker.uri)
            channel = await connection.channel()
            queue = await channel.get_queue("q")
            bodies = [(await queue.get(no_ack=True)).body for _ in range(2)]
            assert await queue.get(fail=False) is None
            assert bodies == [b"%d" % (start + 8), b"%d" % (start + 9)]
            await connection.close()

    assert len(set(lanes)) > 1


async def test_after_a_clean_stop_only_what_was_handed_out_is_redelivered(tmp_path: Path) -> None:
    async with running(tmp_path, make_store, store__sync=False) as broker:
        connection = await aio_pika.connect(broker.uri)
        channel = await connection.channel()
        queue = await channel.declare_queue("q", durable=True)
        for number in range(5):
            message = aio_pika.Message(b"%d" % number, delivery_mode=2)
            await channel.default_exchange.publish(message, "q")
        await (await queue.get()).nack()
        await (await queue.get()).nack()
        await connection.close()
    async with running(tmp_path, make_store, store__sync=False) as broker:
        connection = await aio_pika.connect(broker.uri)
        channel = await connection.channel()
        queue = await channel.get_queue("q")
        found = [(await queue.get(no_ack=True)).redelivered for _ in range(5)]
        await connection.close()

    assert found == [True, False, False, False, False]
