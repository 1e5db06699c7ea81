"""Paging: levels share a window, and what is handed out has most of it."""

from __future__ import annotations

import pytest

from amqpd.broker.paging import LEAST_BYTES, LEAST_MESSAGES, WINDOW_BYTES, WINDOW_MESSAGES
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
    assert [lane.priority for lane in queue.paging.occupied] == [7]

    model.vhost.requeue(consumer.take())
    model.turn()

    assert [lane.priority for lane in queue.paging.occupied] == [7]
    assert consumer.bodies == [b"b", b"b"]


def test_the_only_level_is_always_looked_at(model: Model) -> None:
    queue = model.queue()

    model.turn()

    assert queue.paging.occupied == queue.lanes
