"""Sums over the lanes of many queues, and which queues something happened in."""

from __future__ import annotations

import pytest

from amqpd.broker.definitions import DeleteVhost
from amqpd.broker.sums import moved, row_of, sums_of, traffic_of
from tests.broker.model import FakeConsumer, Model
from tests.broker.test_stream import World, settle


@pytest.fixture
def model() -> Model:
    return Model()


def test_what_lanes_hold_is_added_up(model: Model) -> None:
    levels = model.queue("levels", arguments={"x-max-priority": 3})
    plain = model.queue("plain", durable=False)
    model.publish(b"a", key="levels", priority=1)
    model.publish(b"bcd", key="levels", priority=3)
    model.publish(b"ef", b"g", key="plain", mode=1)
    model.consume(FakeConsumer(1), "plain")
    model.turn()

    found = sums_of([levels.lanes, plain.lanes])

    assert (found.messages, found.ready, found.unacked, found.delayed) == (4, 3, 1, 0)
    assert (found.ready_bytes, found.unacked_bytes, found.loaded) == (5, 2, 3)
    # Of a queue that has nothing in the store nothing is persistent.
    assert (found.stored, found.persistent_bytes) == (2, 4)
    assert sums_of([]).messages == 0


def test_what_a_client_has_of_a_stream_is_in_the_stream_as_before() -> None:
    world = World()
    world.stream()
    world.fill("abc")
    world.read()

    found = sums_of([world.s.lanes])

    assert (found.ready, found.unacked, found.kept) == (3, 3, 3)
    assert found.messages == world.s.messages == 3


def test_a_queue_has_moved_once_when_something_happened_in_it(model: Model) -> None:
    queues = [model.queue(name) for name in ("a", "b", "c")]
    lanes = [queue.lanes for queue in queues]
    assert moved(lanes) == [0, 1, 2]
    assert moved(lanes) == []

    model.publish(b"x", key="b")

    assert moved(lanes) == [1]
    assert moved(lanes) == []


def test_all_that_changes_figures_moves_a_queue(model: Model) -> None:
    queue = model.queue(arguments={"x-max-length": 1})
    lanes = [queue.lanes]
    moved(lanes)
    consumer = FakeConsumer(1)

    def published() -> None:
        model.publish(b"x")
        model.commit()

    def delivered() -> None:
        model.consume(consumer)
        model.turn()
        model.commit()

    def requeued() -> None:
        consumer.prefetch = 0
        model.vhost.requeue(consumer.take())
        model.turn()

    for happens in (published, delivered, requeued, published, queue.purge):
        happens()
        assert moved(lanes) == [0], happens


def test_traffic_is_in_the_order_of_the_rates() -> None:
    world = World()
    world.stream()
    world.fill("abc")
    reader = world.read()
    settle(world, reader, 1, 2)

    assert traffic_of(world.s.lanes) == (3, 3, 0, 3, 0, 0, 0, 0, 2)


def test_consumers_are_counted_as_they_come_and_go(model: Model) -> None:
    model.queue("a")
    model.queue("b")
    one, other, third = FakeConsumer(), FakeConsumer(), FakeConsumer()
    counts = []

    for consumer, name in ((one, "a"), (other, "a"), (third, "b")):
        model.consume(consumer, name)
    counts.append(model.broker.around.consumers)
    model.vhost.cancel(one)
    counts.append(model.broker.around.consumers)
    model.vhost.delete_queue(model.access, "a", if_unused=False, if_empty=False, owner=None)
    counts.append(model.broker.around.consumers)
    model.broker.change(DeleteVhost("/"))

    assert [*counts, model.broker.around.consumers] == [3, 2, 1, 0]


def test_what_is_shown_of_a_queue_differs_when_it_does(model: Model) -> None:
    queue = model.queue("q", arguments={"x-max-priority": 2})
    rows = [row_of(queue.lanes), row_of(queue.lanes)]
    model.publish(b"abc", key="q", priority=2)
    rows.append(row_of(queue.lanes))
    model.consume(FakeConsumer(1), "q")
    model.turn()
    rows.append(row_of(queue.lanes))

    assert rows[0] == rows[1]
    assert len(set(rows)) == 3
    # Passed through, ready, unacked, …, octets of those.
    assert rows[2][:3] == (1, 1, 0)
    assert (rows[3][2], rows[3][9]) == (1, 3)


def test_queues_with_consumers_are_known(model: Model) -> None:
    around = model.broker.around
    queues = [model.queue(name) for name in ("a", "b")]
    consumers = [FakeConsumer(1), FakeConsumer(1)]
    for consumer in consumers:
        model.consume(consumer, "a")
    model.consume(FakeConsumer(1), "b")
    assert list(around.consuming) == queues

    for left, subscription in zip(([queues[0]], []), list(queues[0].ring), strict=True):
        queues[0].detach(subscription)
        assert list(around.consuming) == [*left, queues[1]]
    queues[1].delete()

    assert list(around.consuming) == []
