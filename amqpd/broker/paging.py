"""Paging: which levels of a queue have messages, and what of them is in memory.

At the head of each lane a window is in memory; what is behind it is in the store and comes
back a stretch at a time. A queue with many levels has one window for all of them, more or
less: each level a small part of it, and more while it is being handed out.
"""

from __future__ import annotations

from bisect import insort
from typing import TYPE_CHECKING, Final

from amqpd.broker.levels import empty_of, head_of, wanting_of
from amqpd.broker.priorities import Returned
from amqpd.broker.refill import Refills

if TYPE_CHECKING:
    from amqpd.broker.lane import Lane
    from amqpd.broker.queue import Queue

#: The window of a queue, and the least that each of many levels has of it.
WINDOW_MESSAGES: Final = 4096
WINDOW_BYTES: Final = 8 << 20
LEAST_MESSAGES: Final = 32
LEAST_BYTES: Final = 64 << 10
#: Levels that are kept at hand, counted from the highest that has something.
AHEAD: Final = 3
#: So many empty levels are looked at all the same: most have something again soon.
MOST_EMPTY: Final = 16
#: One refill brings at most this much.
REFILL_MESSAGES: Final = 2048
REFILL_BYTES: Final = 4 << 20
#: Positions are part of the store's keys and have 40 bits. A lane that has used up half of them
#: begins again as soon as it is empty, which leaves it days for that at any rate.
WORN: Final = 1 << 39


class Paging:
    """The windows of one queue's lanes."""

    __slots__ = ("_least", "_queue", "_refills", "is_layered", "occupied")

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._refills = Refills(queue)
        lanes = queue.lanes
        self.is_layered = len(lanes) > 1
        #: The levels that have something waiting, the highest first, and some that had.
        self.occupied: list[Lane] = [] if self.is_layered else lanes
        self._least = _least_of(len(lanes))
        for lane in lanes:
            lane.occupied = not self.is_layered
            lane.window, lane.window_bytes = self._least

    def begin_level(self, lane: Lane) -> None:
        """The queue is about to have a level more: their windows become smaller."""
        queue, lanes = self._queue, self._queue.lanes
        if not self.is_layered:
            self.is_layered = True
            self.occupied = list(lanes)
            queue.returned = Returned()
            queue.returned.add(lanes[0], [one for one in lanes[0].stretches() if one.acquired])
        self._least = _least_of(len(lanes) + 1)
        lane.occupied = False
        lane.window, lane.window_bytes = self._least

    def enter(self, lane: Lane) -> None:
        """Something waits in the lane now."""
        if not lane.occupied:
            lane.occupied = True
            insort(self.occupied, lane, key=_from_the_top)

    def head(self) -> Lane | None:
        """The highest level that has something in memory; none while a higher one loads."""
        return head_of(self.occupied)

    def look(self) -> None:
        """Have brought what will be wanted next, and forget levels that are empty."""
        if self._queue.expiry.active or self._queue.retry.active:
            # Whatever waits on disk may expire or become due, on each level.
            for lane in self.occupied:
                if lane.paged:
                    self._look_at(lane)
        else:
            for lane in wanting_of(self.occupied, AHEAD):
                self._keep_window(lane)
        if self.is_layered and empty_of(self.occupied, *self._least) > MOST_EMPTY:
            self._forget_empty()

    def _forget_empty(self) -> None:
        left = []
        for lane in self.occupied:
            if lane.ready or lane.paged:
                left.append(lane)
            else:
                lane.occupied = False
        self.occupied = left

    # -- positions -----------------------------------------------------------------------

    def renewed(self, lane: Lane) -> Lane:
        """A lane in the place of one that is worn, if that is empty.

        What it has in the store is on its way out already, and goes with it.
        """
        queue, around = self._queue, self._queue.around
        if lane.ready or lane.unacked or lane.delayed or lane.stored or lane.paged:
            return lane
        level = int(lane.priority)
        fresh = queue.new_lane(around.new_lane_id() if queue.durable else 0, level)
        fresh.window, fresh.window_bytes = self._least
        fresh.counts = lane.counts
        queue.priorities.replace(fresh)
        if self.is_layered:
            fresh.occupied = False
            self.occupied = [one for one in self.occupied if one is not lane]
        queue.expiry.forget(lane)
        queue.retry.forget(lane)
        lane.dead = True
        with around.journal.atomic():
            if queue.durable:
                around.journal.define(queue.definition())
            if lane.id:
                around.journal.drop((int(lane.id),))
                around.lane_gone(int(lane.id))
        return fresh

    # -- from the store ------------------------------------------------------------------

    def _look_at(self, lane: Lane) -> None:
        """Refills and sweeps of a lane take turns."""
        expiry = self._queue.expiry
        if not expiry.active:
            self._keep_window(lane)
            return
        expiry.sweep(lane)
        self._keep_window(lane)
        expiry.sweep(lane)

    def _keep_window(self, lane: Lane) -> None:
        if lane.refilling or not lane.paged or lane.loaded > lane.window // 2:
            return
        upto = min(lane.next_position, lane.committed_upto)
        if upto <= lane.loaded_upto:
            return  # still on its way to the store; the commit wakes the queue
        if self.is_layered and self._queue.ring and lane is self._next():
            lane.window = min(WINDOW_MESSAGES, 2 * lane.window)
            lane.window_bytes = min(WINDOW_BYTES, 2 * lane.window_bytes)
        self._refill(lane, upto)

    def _next(self) -> Lane | None:
        """The level that is handed out by now."""
        return next((lane for lane in self.occupied if lane.ready), None)

    def _refill(self, lane: Lane, upto: int) -> None:
        messages, size_bytes = REFILL_MESSAGES, REFILL_BYTES
        if self.is_layered:
            messages, size_bytes = max(1, lane.window // 2), lane.window_bytes // 2
        self._refills.begin(lane, upto, messages, size_bytes)


def _least_of(levels: int) -> tuple[int, int]:
    """Messages and bytes of each window, where there are so many."""
    return (
        max(LEAST_MESSAGES, WINDOW_MESSAGES // levels),
        max(LEAST_BYTES, WINDOW_BYTES // levels),
    )


def _from_the_top(lane: Lane) -> int:
    return -lane.priority
