"""All open connections: back pressure, and their end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aio_pika

from amqpd.broker.broker import Alarms
from amqpd.broker.definitions import DeletePermission
from amqpd.server import commits
from amqpd.server.connections import TICK_SHARES, TICK_SLICE, Connections
from amqpd.store.memory import MemoryStore
from tests.load import crowd
from tests.server.running import running
from tests.server.waiting import turns, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest
    from pamqp.common import FieldTable

    from amqpd.broker.journal import Batch
    from amqpd.config import Settings
    from amqpd.store import Post, WriteDone


class SlowStore(MemoryStore):
    """A disk that stands still while it is told to."""

    def __init__(self, post: Post) -> None:
        super().__init__(post)
        self.stands_still = False
        self._waiting: list[tuple[Batch, WriteDone]] = []

    def write(self, batch: Batch, done: WriteDone) -> None:
        """Write now or later."""
        if self.stands_still:
            self._waiting.append((batch, done))
        else:
            super().write(batch, done)

    def go_on(self) -> None:
        """Write what waited."""
        self.stands_still = False
        for batch, done in self._waiting:
            super().write(batch, done)


async def ignore(message: object) -> None:
    """What a consumer may do."""


async def test_time_comes_to_few_connections_before_others_have_a_turn(tmp_path: Path) -> None:
    count = TICK_SHARES * TICK_SLICE + 1
    async with running(tmp_path) as broker:
        members = await crowd.crowd(broker.port, count)
        connections = broker.server.connections
        looked: list[object] = []
        for transport in connections:
            transport.tick = lambda _, one=transport: looked.append(one)  # type: ignore[method-assign, misc]

        slices: list[int] = []
        for _ in range(TICK_SHARES):
            for _ in connections.tick(1):
                slices.append(len(looked) - sum(slices))

        assert len(looked) == len(set(map(id, looked))) == count
        assert max(slices) <= TICK_SLICE
        await crowd.leave(members)


async def test_publishers_are_not_read_while_the_disk_is_behind_but_consumers_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "CONGESTED_BYTES", 100_000)
    stores: list[SlowStore] = []

    def make_store(folder: Path, settings: Settings, post: Post) -> SlowStore:
        stores.append(SlowStore(post))
        return stores[0]

    async with running(tmp_path, make_store) as broker:
        publisher = await aio_pika.connect(broker.uri)
        consumer = await aio_pika.connect(broker.uri)
        channel = await publisher.channel()
        await channel.declare_queue("q", durable=True)
        stores[0].stands_still = True

        sending = [
            asyncio.ensure_future(
                channel.default_exchange.publish(
                    aio_pika.Message(bytes(10_000), delivery_mode=2), "q"
                )
            )
            for _ in range(100)
        ]
        await until(lambda: any(one.session.reading_paused for one in broker.server.connections))
        await turns()

        # What one read and the batch under way hold, not all that was sent.
        assert broker.server.broker.journal.pending_bytes < 500_000
        paused = [one.session.reading_paused for one in broker.server.connections]
        assert paused == [True, False]
        other = await consumer.channel()
        assert (await other.declare_queue("transient", exclusive=True)).name == "transient"

        stores[0].go_on()
        await asyncio.gather(*sending)
        assert not any(one.session.reading_paused for one in broker.server.connections)
        await publisher.close()
        await consumer.close()


async def test_who_floods_is_not_read_while_others_are_and_few_messages_are_ahead_of_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "CONGESTED_MESSAGES", 20)
    stores: list[SlowStore] = []

    def make_store(folder: Path, settings: Settings, post: Post) -> SlowStore:
        stores.append(SlowStore(post))
        return stores[0]

    async with running(tmp_path, make_store) as broker:
        flooding = await aio_pika.connect(broker.uri)
        polite = await aio_pika.connect(broker.uri)
        flood = await flooding.channel(publisher_confirms=False)
        other = await polite.channel()
        await flood.declare_queue("q", durable=True)
        stores[0].stands_still = True

        large = aio_pika.Message(bytes(commits.POLITE_BYTES), delivery_mode=2)
        for _ in range(100):
            await flood.default_exchange.publish(large, "q")
        await until(lambda: any(one.session.reading_paused for one in broker.server.connections))
        pending = broker.server.broker.journal.pending_messages
        assert 20 < pending < 40
        small = aio_pika.Message(b"m", delivery_mode=2)
        sending = [
            asyncio.ensure_future(other.default_exchange.publish(small, "q")) for _ in range(3)
        ]
        await until(lambda: broker.server.broker.journal.pending_messages >= pending + 3)
        paused = [one.session.reading_paused for one in broker.server.connections]
        assert paused == [True, False]

        stores[0].go_on()
        await asyncio.gather(*sending)
        await flooding.close()
        await polite.close()


async def test_nobody_is_held_for_dead_letters_that_wait_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "CONGESTED_BYTES", 100_000)
    stores: list[SlowStore] = []

    def make_store(folder: Path, settings: Settings, post: Post) -> SlowStore:
        stores.append(SlowStore(post))
        return stores[0]

    async with running(tmp_path, make_store) as broker:
        looker = await aio_pika.connect(broker.uri)
        channel = await looker.channel()
        arguments: FieldTable = {
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": "dead",
        }
        await channel.declare_queue("q", durable=True, arguments=arguments)
        await channel.declare_queue("dead", durable=True)
        for _ in range(50):
            message = aio_pika.Message(bytes(10_000), delivery_mode=2, expiration=60)
            await channel.default_exchange.publish(message, "q")
        stores[0].stands_still = True
        model = broker.server.broker
        model.tick(model.around.now_ms + 60_000)
        model.dispatch()
        assert model.journal.pending_bytes > 400_000

        for _ in range(3):
            seen = await channel.declare_queue("q", passive=True)
            assert seen.declaration_result.message_count == 0
        assert not any(one.session.reading_paused for one in broker.server.connections)
        stores[0].go_on()
        await looker.close()


class Held:
    """A connection of which nothing matters but whether it is read."""

    def __init__(self) -> None:
        self.holds: list[bool] = []
        self.place = self

    def hold(self, yes: bool) -> None:
        self.holds.append(yes)

    def leave(self) -> None:
        """Its place is free again."""


class Crowded:
    """A queue whose consumers are slower than its publishers; `let_go` when they are not."""

    def __init__(self) -> None:
        self.pressure = self
        self.let_go: Callable[[], None]

    def hold(self, call: Callable[[], None]) -> None:
        self.let_go = call


class Relieved:
    """A disk that has caught up."""

    relieved = True


def three() -> tuple[Connections, Held, Crowded]:
    """The connections, one of them, and a queue."""
    connections, held = Connections(Relieved()), Held()  # type: ignore[arg-type]  # all that is asked
    connections.add(held)  # type: ignore[arg-type]
    return connections, held, Crowded()


def test_who_is_held_for_the_disk_and_for_a_queue_is_read_when_both_are_relieved() -> None:
    for disk_first in (True, False):
        connections, held, queue = three()
        connections.hold(held)  # type: ignore[arg-type]
        connections.hold(held)  # type: ignore[arg-type]
        connections.hold_for(held, queue)  # type: ignore[arg-type]
        before = list(held.holds)

        relieve = [connections.relieve, queue.let_go]
        for one in relieve if disk_first else reversed(relieve):
            assert held.holds == before == [True, True]
            one()

        assert held.holds == [True, True, False]
        connections.relieve()
        assert held.holds == [True, True, False]


def test_who_was_held_for_a_queue_is_held_for_it_again() -> None:
    connections, held, queue = three()
    connections.hold_for(held, queue)  # type: ignore[arg-type]
    connections.hold_for(held, queue)  # type: ignore[arg-type]
    queue.let_go()

    connections.hold_for(held, queue)  # type: ignore[arg-type]

    assert held.holds == [True, False, True]


def test_nobody_reads_of_a_connection_that_is_gone() -> None:
    connections, held, queue = three()
    connections.hold_for(held, queue)  # type: ignore[arg-type]

    connections.remove(held)  # type: ignore[arg-type]
    queue.let_go()

    assert held.holds == [True]


async def test_an_alarm_stops_the_reading_of_publishers_until_it_is_over(tmp_path: Path) -> None:
    async with running(tmp_path, resources__check_interval_s=3600) as broker:
        connection = await aio_pika.connect(broker.uri)
        channel = await connection.channel()
        queue = await channel.declare_queue("q")
        server = broker.server
        server.broker.resources(Alarms(memory=True))

        publishing = asyncio.ensure_future(
            channel.default_exchange.publish(aio_pika.Message(b"x"), "q")
        )
        await until(lambda: any(not one.session.wants_reading for one in server.connections))

        server.broker.resources(Alarms())
        server.connections.look()
        await publishing
        assert (await queue.get(no_ack=True)).body == b"x"
        await connection.close()


async def test_consumers_lose_what_they_may_not_read_any_more(tmp_path: Path) -> None:
    async with running(tmp_path) as broker:
        connection = await aio_pika.connect(broker.uri)
        channel = await connection.channel()
        queue = await channel.declare_queue("q")
        await queue.consume(ignore, no_ack=True)
        model = broker.server.broker.vhosts["/"].queues["q"]
        assert len(model.ring) == 1

        broker.server.broker.change(DeletePermission("guest", "/"))
        await until(lambda: len(model.ring) == 0)

        await connection.close()


async def test_it_counts_what_came_and_went(tmp_path: Path) -> None:
    async with running(tmp_path) as broker:
        connections = broker.server.connections
        for _ in range(3):
            connection = await aio_pika.connect(broker.uri)
            await connection.channel()
            assert (len(connections), connections.channels) == (1, 1)
            await connection.close()
            await until(lambda: len(connections) == 0)

        assert (connections.opened, connections.closed) == (3, 3)
        assert broker.server.room.connections == 0
