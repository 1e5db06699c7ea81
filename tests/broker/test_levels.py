"""Levels: what a queue asks of all its lanes at once."""

from __future__ import annotations

import pytest

from amqpd.broker.levels import (
    delayed_of,
    empty_of,
    head_of,
    loaded_of,
    ready_bytes_of,
    ready_of,
    unacked_of,
    wanting_of,
)
from tests.broker.model import Model


@pytest.fixture
def model() -> Model:
    return Model()


def test_sums_are_over_all_levels(model: Model) -> None:
    queue = model.queue(arguments={"x-max-priority": 3})
    model.publish(b"a", priority=1)
    model.publish(b"bcd", priority=3)
    lanes = queue.lanes

    assert (ready_of(lanes), ready_bytes_of(lanes), loaded_of(lanes)) == (2, 4, 2)
    assert empty_of(lanes) == 2
    assert (ready_of([]), ready_bytes_of([]), loaded_of([]), empty_of([])) == (0, 0, 0, 0)
    lanes[0].unacked, lanes[1].unacked, lanes[1].delayed = 1, 2, 4
    assert (unacked_of(lanes), delayed_of(lanes)) == (3, 4)
    assert (unacked_of([]), delayed_of([])) == (0, 0)


def test_the_head_is_on_the_first_level_that_has_something(model: Model) -> None:
    queue = model.queue(arguments={"x-max-priority": 3})
    model.publish(b"a", priority=1)
    downwards = queue.lanes[::-1]
    assert head_of(downwards) is queue.lanes[1]
    assert head_of([]) is None

    queue.lanes[3].ready += 1  # on disk

    assert head_of(downwards) is None


def test_only_the_first_levels_want_what_is_on_disk(model: Model) -> None:
    queue = model.queue(arguments={"x-max-priority": 4})
    for lane in queue.lanes:
        lane.window = 1
    for level in (0, 1, 3, 4):
        model.publish(b"a", b"b", b"c", priority=level)
    lanes = queue.lanes[::-1]
    for lane in lanes:
        while lane.loaded:
            lane.remove(1)
    queue.lanes[3].refilling = True

    assert wanting_of(lanes, 1) == [queue.lanes[4]]
    assert wanting_of(lanes, 3) == [queue.lanes[4], queue.lanes[1]]
    assert wanting_of(lanes, 9) == [queue.lanes[4], queue.lanes[1], queue.lanes[0]]
