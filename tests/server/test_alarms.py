"""Alarms as clients see them: publishers wait, consumers go on, and all is well afterwards."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import aio_pika
import pytest

from amqpd.amqp.connection import Connection
from amqpd.server import commits, resources
from amqpd.store import StoreFull
from amqpd.store.memory import MemoryStore
from tests.server.running import running
from tests.server.waiting import turns, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

    from amqpd.broker.journal import Batch
    from amqpd.config import Settings
    from amqpd.store import Post, WriteDone
    from tests.server.running import Running


class Machine:
    """A machine whose memory and disk are set by hand; 1000 bytes of memory, 600 to be used."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.used, self.free = 100, 10_000
        monkeypatch.setattr(resources, "memory_available", lambda: 1000)
        monkeypatch.setattr(resources, "resident_bytes", lambda: self.used)
        monkeypatch.setattr(resources, "disk_free_bytes", lambda _: self.free)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


class Site:
    """A broker, a publisher, and a consumer of the queue q that keeps what it gets."""

    def __init__(self, broker: Running) -> None:
        self.broker = broker
        self.bodies: list[bytes] = []
        self.channel: AbstractChannel
        self.queue: AbstractQueue

    async def take(self, message: AbstractIncomingMessage) -> None:
        self.bodies.append(message.body)
        await message.ack()

    def publish(self, *bodies: bytes) -> asyncio.Future[list[object]]:
        """Publish with confirms; done when all are confirmed."""
        exchange = self.channel.default_exchange
        return asyncio.gather(*(exchange.publish(aio_pika.Message(one), "q") for one in bodies))

    def blocked(self) -> list[bool]:
        """Which connections are blocked, in the order in which they came."""
        sessions = [one.session for one in self.broker.server.connections]
        return [isinstance(one, Connection) and one.blocking.is_blocked for one in sessions]


@contextlib.asynccontextmanager
async def site(folder: Path) -> AsyncIterator[Site]:
    """With limits that are looked at all the time."""
    async with running(
        folder, resources__check_interval_s=0.001, resources__disk_free_bytes=1000
    ) as broker:
        made = Site(broker)
        publisher, consumer = await aio_pika.connect(broker.uri), await aio_pika.connect(broker.uri)
        made.channel, channel = await publisher.channel(), await consumer.channel()
        made.queue = await channel.declare_queue("q")
        await made.publish(b"1", b"2")
        yield made
        await publisher.close()
        await consumer.close()


@pytest.mark.parametrize(
    ("used", "free", "reason"),
    [
        (601, 10_000, "low on memory"),
        (100, 999, "low on disk"),
        (601, 999, "low on memory & low on disk"),
    ],
)
async def test_publishers_wait_and_are_told_while_consumers_go_on(
    tmp_path: Path,
    machine: Machine,
    caplog: pytest.LogCaptureFixture,
    used: int,
    free: int,
    reason: str,
) -> None:
    async with site(tmp_path) as it:
        alarms = it.broker.server.broker
        machine.used, machine.free = used, free
        await until(lambda: alarms.alarms.reason == reason)
        assert it.blocked() == [False, False]  # nobody has published yet

        waiting = it.publish(*[b"x" * 1000] * 200)
        await until(lambda: it.blocked() == [True, False])
        await it.queue.consume(it.take)
        # Two from before, and what came with the read that told of the publisher.
        await until(lambda: it.bodies[:2] == [b"1", b"2"])
        await turns()
        assert not waiting.done()
        assert len(it.bodies) < 100

        machine.used, machine.free = 571, 1049  # better, but not by five per cent
        await turns()
        assert it.blocked() == [True, False]
        machine.used, machine.free = 570, 1050
        await waiting

        await until(lambda: len(it.bodies) == 202)
        assert it.blocked() == [False, False]
    assert f"was blocked by: {reason!r}" in caplog.text


async def test_who_comes_during_an_alarm_is_blocked_when_it_publishes(
    tmp_path: Path, machine: Machine
) -> None:
    async with site(tmp_path) as it:
        machine.used = 700
        await until(lambda: it.broker.server.broker.alarms.memory)

        late = await aio_pika.connect(it.broker.uri)
        channel = await late.channel()
        assert (await channel.declare_queue("q")).declaration_result.message_count == 2
        waiting = asyncio.ensure_future(
            channel.default_exchange.publish(aio_pika.Message(b"3"), "q")
        )
        await until(lambda: it.blocked() == [False, False, True])
        machine.used = 0
        await waiting

        await late.close()


class FullStore(MemoryStore):
    """A disk without room."""

    is_full = False

    def write(self, batch: Batch, done: WriteDone) -> None:
        """Write, or say that there is no room."""
        if self.is_full:
            full = StoreFull(Path("db"), "store: the disk is full")
            self._post(lambda: done(full))
        else:
            super().write(batch, done)


async def test_publishers_wait_for_room_on_a_disk_that_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "FULL_RETRY_S", 0.001)
    stores: list[FullStore] = []

    def make_store(folder: Path, settings: Settings, post: Post) -> FullStore:
        stores.append(FullStore(post))
        return stores[0]

    async with running(tmp_path, make_store, resources__check_interval_s=3600) as broker:
        it = Site(broker)
        connection = await aio_pika.connect(broker.uri)
        it.channel = await connection.channel()
        it.queue = await it.channel.declare_queue("q", durable=True)
        (store,) = stores
        store.is_full = True
        durable = aio_pika.Message(b"1", delivery_mode=2)
        first = asyncio.ensure_future(it.channel.default_exchange.publish(durable, "q"))
        await until(lambda: broker.server.broker.alarms.reason == "low on disk")
        second = it.publish(b"2")
        await until(lambda: it.blocked() == [True])
        assert not first.done()

        store.is_full = False
        await first
        await second

        assert broker.server.broker.alarms.reason == ""
        await connection.close()
