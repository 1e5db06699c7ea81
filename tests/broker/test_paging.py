"""Paging: levels share a window, and what is handed out has most of it."""

from __future__ import annotations

import pytest

from amqpd.broker import queue as queue_module
from amqpd.broker.definitions import PutQueue
from amqpd.broker.paging import (
    LEAST_BYTES,
    LEAST_MESSAGES,
    MOST_EMPTY,
    WINDOW_BYTES,
    WINDOW_MESSAGES,
)
from tests.broker.model import FakeConsumer, Model


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.mark.parametrize(
    ("levels", "messages", "size_bytes"),
    [
        (0, WINDOW_MESSAGES, WINDOW_BYTES),
        (9, WINDOW_MESSAGES // 10, WINDOW_BYTES // 10),
        (255, LEAST_MESSAGES, LEAST_BYTES),
    ],
)
def test_levels_share_the_window_of_a_queue(
    model: Model, levels: int, messages: int, size_bytes: int
) -> None:
    queue = model.queue(arguments={"x-max-priority": levels})

    assert len(queue.lanes) == levels + 1
    for lane in queue.lanes:
        assert (lane.window, lane.window_bytes) == (messages, size_bytes)


def test_a_backlog_on_many_levels_is_on_disk_and_comes_back_in_order(model: Model) -> None:
    queue = model.queue(arguments={"x-max-priority": 255})
    count = 3 * LEAST_MESSAGES
    levels = (3, 200, 7, 255, 0)
    for number in range(count):
        for level in levels:
            model.publish(b"%03d %d" % (level, number), priority=level)
        model.turn()
        model.commit()
    assert queue.ready == 5 * count
    assert queue.loaded <= 5 * (LEAST_MESSAGES + 1)

    consumer = FakeConsumer(credit=10)
    model.consume(consumer)
    while queue.ready or len(consumer.unacked):
        model.turn()
        model.vhost.settle(consumer.take())
        model.commit()

    assert consumer.bodies == [
        b"%03d %d" % (level, number)
        for level in sorted(levels, reverse=True)
        for number in range(count)
    ]


def test_the_level_that_is_handed_out_gets_more_of_the_window_until_it_is_empty(
    model: Model,
) -> None:
    queue = model.queue(arguments={"x-max-priority": 255})
    low, high = queue.lanes[1], queue.lanes[200]
    for level in (1, 200):
        for _ in range(200):
            model.publish(b"x", priority=level)
    model.commit()
    assert high.window == LEAST_MESSAGES
    consumer = FakeConsumer(credit=150)
    model.consume(consumer)

    for _ in range(20):
        model.turn()
        model.commit()
    assert len(consumer.bodies) == 150
    assert high.window > LEAST_MESSAGES
    assert low.window == LEAST_MESSAGES

    consumer.prefetch = 300
    assert consumer.queue is not None
    consumer.queue.wake()
    for _ in range(20):
        model.turn()
        model.commit()
    assert high.ready == 0
    assert high.window == LEAST_MESSAGES
    assert low.window > LEAST_MESSAGES


def test_levels_without_messages_are_not_looked_at(model: Model) -> None:
    queue = model.queue(durable=False, arguments={"x-max-priority": 255})
    assert queue.paging.occupied == []

    model.publish(b"a", priority=7, mode=1)
    model.publish(b"b", priority=9, mode=1)
    model.publish(b"c", priority=7, mode=1)
    model.turn()
    assert [lane.priority for lane in queue.paging.occupied] == [9, 7]
    consumer = FakeConsumer(credit=1)
    model.consume(consumer)
    model.turn()

    model.vhost.requeue(consumer.take())
    model.turn()

    assert [lane.priority for lane in queue.paging.occupied] == [9, 7]
    assert consumer.bodies == [b"b", b"b"]


def test_levels_that_had_messages_are_forgotten_once_there_are_many(model: Model) -> None:
    queue = model.queue(durable=False, arguments={"x-max-priority": 255})
    levels = 2 * MOST_EMPTY
    for level in range(levels):
        model.publish(b"a", priority=level, mode=1)
    model.turn()
    consumer = FakeConsumer(credit=MOST_EMPTY)
    model.consume(consumer)
    high = queue.lanes[levels - 1]
    high.window, high.window_bytes = WINDOW_MESSAGES, WINDOW_BYTES

    model.turn()

    assert len(queue.paging.occupied) == levels
    # They have no more of the window than others all the same.
    assert (high.window, high.window_bytes) == (LEAST_MESSAGES, LEAST_BYTES)

    consumer.prefetch += 1
    assert consumer.queue is not None
    consumer.queue.wake()
    model.turn()

    assert [lane.priority for lane in queue.paging.occupied] == list(range(MOST_EMPTY - 1))[::-1]
    assert not high.occupied


def test_the_only_level_is_always_looked_at(model: Model) -> None:
    queue = model.queue()

    model.turn()

    assert queue.paging.occupied == queue.lanes


# -- positions ---------------------------------------------------------------------------


@pytest.fixture
def worn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lanes are worn after ten messages."""
    monkeypatch.setattr(queue_module, "WORN", 10)


@pytest.mark.usefixtures("worn")
def test_a_worn_lane_begins_again_once_it_is_empty(model: Model) -> None:
    queue = model.queue()
    old = queue.lanes[0]
    consumer = FakeConsumer(credit=100)
    model.consume(consumer)
    for number in range(12):
        model.publish(b"%d" % number)
    model.commit()
    assert queue.lanes == [old]  # not settled yet

    model.vhost.settle(consumer.take())
    model.publish(b"next")
    model.turn()
    (fresh,) = queue.lanes
    assert fresh is not old
    assert fresh.id != old.id
    batch = model.broker.journal.take()
    assert batch is not None
    (definition,) = batch.defines
    assert isinstance(definition, PutQueue)
    assert (definition.name, definition.lanes) == ("q", (fresh.id,))
    assert [drop.lanes for drop in batch.drops] == [(old.id,)]
    model.broker.journal.committed(batch)

    assert consumer.bodies[-1] == b"next"
    assert (fresh.next_position, queue.unacked) == (1, 1)
    assert queue.lanes[0].counts.published == 13


@pytest.mark.usefixtures("worn")
def test_a_level_begins_again_by_itself(model: Model) -> None:
    queue = model.queue(arguments={"x-max-priority": 2})
    before = list(queue.lanes)
    consumer = FakeConsumer(no_ack=True)
    model.consume(consumer)
    model.publish(*[b"x"] * 12, priority=1)
    model.publish(b"y", priority=2)
    model.turn()
    model.commit()

    model.publish(b"z", priority=1)
    model.turn()

    assert queue.lanes[0] is before[0]
    assert queue.lanes[1] is not before[1]
    assert queue.lanes[2] is before[2]
    assert consumer.bodies[-1] == b"z"


@pytest.mark.usefixtures("worn")
def test_a_transient_lane_begins_again_too(model: Model) -> None:
    queue = model.queue(durable=False)
    old = queue.lanes[0]
    consumer = FakeConsumer(no_ack=True)
    model.consume(consumer)
    model.commit()

    for _ in range(12):
        model.publish(b"x", mode=1)
        model.turn()

    assert queue.lanes[0] is not old
    assert queue.lanes[0].id == 0
    assert model.broker.journal.take() is None


@pytest.mark.usefixtures("worn")
def test_what_spilled_goes_with_the_old_lane(model: Model) -> None:
    queue = model.queue(durable=False)
    old = queue.lanes[0]
    old.window = 1
    model.publish(*[b"x"] * 12, mode=1)
    model.commit()
    consumer = FakeConsumer(no_ack=True)
    model.consume(consumer)
    for _ in range(30):
        model.turn()
        model.commit()

    assert len(consumer.bodies) == 12
    model.publish(b"y", mode=1)
    model.commit()
    assert queue.lanes[0] is not old
    assert int(old.id) not in model.store.rows
