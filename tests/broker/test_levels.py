"""Levels: what a queue asks of all its lanes at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpd.broker import broker, levels
from amqpd.broker.levels import (
    DELIVERY_BYTES,
    Handful,
    committed,
    delayed_of,
    empty_of,
    enter_parts,
    head_of,
    loaded_of,
    push_parts,
    ready_bytes_of,
    ready_of,
    unacked_of,
    wanting_of,
)
from amqpd.broker.message import a_run
from amqpd.broker.names import join
from amqpd.broker.run import Append, Run
from amqpd.properties import Properties
from tests.broker.model import FakeConsumer, Model

if TYPE_CHECKING:
    from amqpd.broker.queue import Queue


@pytest.fixture
def model() -> Model:
    return Model()


def test_sums_are_over_all_levels(model: Model) -> None:
    queue = model.queue(arguments={"x-max-priority": 3})
    model.publish(b"a", priority=1)
    model.publish(b"bcd", priority=3)
    lanes = queue.lanes

    assert (ready_of(lanes), ready_bytes_of(lanes), loaded_of(lanes)) == (2, 4, 2)
    lanes[0].unacked, lanes[1].unacked, lanes[1].delayed = 1, 2, 4
    assert (unacked_of(lanes), delayed_of(lanes)) == (3, 4)
    assert (unacked_of([]), delayed_of([])) == (0, 0)
    assert empty_of(lanes, 32, 1024) == 2
    assert (ready_of([]), ready_bytes_of([]), loaded_of([]), empty_of([], 1, 1)) == (0, 0, 0, 0)


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


# -- in ----------------------------------------------------------------------------------


def parts_in(queue: Queue, *priorities: int, each: int = 2) -> tuple[Run, list[levels.Part]]:
    """A run of some messages of each priority, which is in the queue."""
    bodies = [b"%d-%d" % (priority, at) for priority in priorities for at in range(each)]
    contents = [a_run(b"", Properties(delivery_mode=2), one).contents[0] for one in bodies]
    run = Run(contents, join("", "q"), None, True, 1, sum(map(len, contents)))
    parts = [(priority, at * each, at * each + each) for at, priority in enumerate(priorities)]
    queue.around.journal.append(run, queue.put_parts(run, queue.levels(parts), parts, -1), parts)
    return run, parts


def test_each_part_of_a_run_comes_to_the_end_of_its_level(model: Model) -> None:
    queue = model.queue(arguments={"x-max-priority": 9})
    run, _ = parts_in(queue, 9, 4)
    lanes = [queue.lanes[9], queue.lanes[1]]

    placed = push_parts(run, lanes, [(9, 0, 1), (1, 1, 4)])

    assert placed == [(lanes[0], 2, 0), (lanes[1], -1, 0)]
    assert [lane.ready for lane in lanes] == [3, 3]
    assert lanes[1].last().position == 0


def test_parts_that_differ_are_not_shared_and_equal_ones_are(model: Model) -> None:
    queue = model.queue(arguments={"x-max-priority": 9})
    run, parts = parts_in(queue, 9, 4)
    targets = [(queue.lanes[9], 0, 0), (queue.lanes[4], -2, 0)]

    assert not enter_parts(Append(run, 1), targets, parts)
    assert not enter_parts(Append(run, 1), targets[::-1], parts[::-1])
    assert enter_parts(Append(run, 1), targets + targets, parts + parts)


def test_a_level_that_waits_for_the_disk_hears_that_its_messages_are_there(model: Model) -> None:
    queue = model.queue(arguments={"x-max-priority": 9})
    run, parts = parts_in(queue, 9, 4)
    entry = run.entry
    assert entry is not None
    assert committed(entry.targets) == []
    queue.lanes[4].loaded_upto = 0

    assert committed(entry.targets) == [queue.lanes[4]]
    assert [queue.lanes[priority].committed_upto for priority, _, _ in parts] == [2, 2]


# -- out ---------------------------------------------------------------------------------


def handful_of(queue: Queue, credit: int, cost_bytes: int = 1 << 20) -> Handful:
    """What a consumer gets of a queue."""
    handful = Handful()
    handful.take(queue.paging.occupied, credit, False, cost_bytes)
    return handful


def test_a_handful_is_what_all_levels_have_the_highest_first(model: Model) -> None:
    queue = model.queue(arguments={"x-max-priority": 9})
    parts_in(queue, 9, 4)
    parts_in(queue, 9, 4)

    handful = handful_of(queue, 7)

    assert [lane.priority for lane in handful.lanes] == [9, 9, 4, 4]
    assert [(piece.lo, piece.hi) for piece in handful.pieces] == [(0, 2), (0, 2), (2, 4), (2, 3)]
    assert (handful.messages, handful.redelivered, handful.returned) == (7, 0, False)
    assert handful.cost_bytes == sum(
        piece.run.share(piece.lo, piece.hi) + DELIVERY_BYTES * (piece.hi - piece.lo)
        for piece in handful.pieces
    )
    assert not handful.waits


def test_what_follows_in_a_run_goes_out_in_one_piece(model: Model) -> None:
    queue = model.queue(arguments={"x-max-priority": 9})
    run, _ = parts_in(queue, 9, 5, 4)
    parts_in(queue, 3)

    handful = handful_of(queue, 7)
    spans = handful.spans()

    assert [(one.run is run, one.lo, one.hi) for one in spans] == [(True, 0, 6), (False, 0, 1)]
    assert [(one.lo, one.hi) for one in handful.pieces[:3]] == [(0, 2), (2, 4), (4, 6)]


def test_what_shows_its_counts_or_comes_again_is_a_piece_of_its_own(model: Model) -> None:
    queue = model.queue(arguments={"x-max-priority": 9})
    parts_in(queue, 9, 5, 4, 3)
    handful = handful_of(queue, 8)
    first, second, *_ = handful.pieces
    first.redelivered = True
    second.shown = [b"x", b"y"]

    spans = handful.spans()

    assert [(one.lo, one.hi) for one in spans] == [(0, 2), (2, 4), (4, 8)]
    assert spans[1] is second
    assert spans[0].redelivered


def test_a_handful_ends_where_it_costs_enough(model: Model) -> None:
    queue = model.queue(arguments={"x-max-priority": 9})
    parts_in(queue, 9, 4)

    assert handful_of(queue, 100, 1).messages == 2
    assert handful_of(queue, 100, 1).messages == 2


def test_a_handful_ends_where_a_level_is_still_on_disk(model: Model) -> None:
    queue = model.queue(arguments={"x-max-priority": 9})
    parts_in(queue, 9, 4)
    queue.lanes[9].ready += 1

    handful = handful_of(queue, 100)

    assert (handful.messages, handful.waits) == (2, False)


def test_a_handful_ends_where_a_level_waits_for_its_mark(model: Model) -> None:
    queue = model.queue(arguments={"x-max-priority": 9})
    parts_in(queue, 9)
    model.commit()
    parts_in(queue, 4)

    handful = handful_of(queue, 100)

    assert (handful.messages, handful.waits) == (0, True)


def test_levels_go_out_together_and_come_back_each_to_its_own(model: Model) -> None:
    queue = model.queue(arguments={"x-max-priority": 9})
    parts_in(queue, 9, 4)
    consumer = FakeConsumer(credit=3)
    model.consume(consumer)
    model.turn()
    assert consumer.bodies == [b"9-0", b"9-1", b"4-0"]

    model.vhost.requeue(consumer.take())
    consumer.prefetch = 4
    model.turn()

    assert consumer.bodies[3:] == [b"9-0", b"9-1", b"4-0", b"4-1"]
    assert consumer.redelivered[3:] == [True, True, True, False]
    assert [lane.unacked for lane in queue.lanes if lane.unacked] == [2, 2]


def test_what_one_turn_hands_out_of_all_levels_is_bounded(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = model.queue(arguments={"x-max-priority": 9})
    parts_in(queue, 9, 4)
    consumer = FakeConsumer(credit=100)
    model.consume(consumer)
    monkeypatch.setattr(broker, "HAND_OUT_BYTES", 1)

    model.broker.dispatch()
    assert len(consumer.bodies) == 2
    model.broker.dispatch()

    assert len(consumer.bodies) == 4
