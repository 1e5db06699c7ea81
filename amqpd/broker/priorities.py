"""Priorities: the levels of a queue, which of them a message goes to, and what came back.

A classic queue has the levels that `x-max-priority` says, all from the start. A quorum queue
has 32 as in RabbitMQ 4.3, of which each is made when the first message comes for it: where all
messages are alike there is one lane, and nothing is sorted.

What comes back to a quorum queue goes out before everything else, whatever its level, in the
order in which it came back (`Returned`). In its level it has its old place all the same: there
it is found when it expires, and from there it goes out after a start.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from typing import TYPE_CHECKING, Final

from amqpd.broker.arguments import QueueType

if TYPE_CHECKING:
    from amqpd.broker.lane import Lane
    from amqpd.broker.levels import Part
    from amqpd.broker.queue import Queue
    from amqpd.broker.stretch import Stretch

#: Of quorum queues: so many levels, and the one of messages without a priority.
QUORUM_LEVELS: Final = 32
QUORUM_DEFAULT: Final = 4


def lane_ids_by_level(kind: QueueType, ids: tuple[int, ...]) -> list[tuple[int, int]]:
    """Level and id of each lane that a queue's definition has (`PutQueue.lanes`)."""
    if kind is not QueueType.QUORUM:
        return list(enumerate(ids))
    if len(ids) == 1:
        return [(QUORUM_DEFAULT, ids[0])]
    return [(level, lane_id) for level, lane_id in enumerate(ids) if lane_id]


class Priorities:
    """The levels of one queue."""

    __slots__ = ("_highest", "_is_quorum", "_lanes", "_none", "_queue", "matter")

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._is_quorum = queue.arguments.queue_type is QueueType.QUORUM
        lanes = queue.lanes
        self._lanes = {int(lane.priority): lane for lane in lanes}
        self._highest = QUORUM_LEVELS - 1 if self._is_quorum else len(lanes) - 1
        self._none = QUORUM_DEFAULT if self._is_quorum else 0
        #: Messages of different priorities go to different levels.
        self.matter = self._highest > 0

    def level_of(self, priority: int) -> int:
        """The level of a message of this priority; -1 = it has none."""
        return self._none if priority < 0 else min(priority, self._highest)

    def lane(self, priority: int) -> Lane:
        """Its lane, made if it is the first."""
        level = self.level_of(priority)
        lane = self._lanes.get(level)
        return self._make(level) if lane is None else lane

    def lanes_of(self, parts: list[Part]) -> list[Lane]:
        """The lane of each part of a run."""
        lanes, highest, none = self._lanes, self._highest, self._none
        found: list[Lane] = []
        for priority, _, _ in parts:
            level = none if priority < 0 else priority if priority < highest else highest
            found.append(lanes.get(level) or self._make(level))
        return found

    def find(self, level: int) -> Lane | None:
        """The lane of a level, if there is one."""
        return self._lanes.get(level)

    def replace(self, lane: Lane) -> None:
        """Another lane has taken the place of that of its level."""
        level = int(lane.priority)
        lanes = self._queue.lanes
        lanes[lanes.index(self._lanes[level])] = lane
        self._lanes[level] = lane

    def lane_ids(self) -> tuple[int, ...]:
        """The lanes as the queue's definition has them."""
        lanes = self._lanes
        if not self._is_quorum or list(lanes) == [QUORUM_DEFAULT]:
            return tuple(int(lane.id) for lane in self._queue.lanes)
        return tuple(
            int(lanes[level].id) if level in lanes else 0 for level in range(QUORUM_LEVELS)
        )

    def _make(self, level: int) -> Lane:
        """A level more; the store hears of it before it hears of its messages."""
        queue, around = self._queue, self._queue.around
        lane = queue.new_lane(around.new_lane_id(), level)
        self._lanes[level] = lane
        queue.paging.begin_level(lane)
        insort(queue.lanes, lane, key=_level)
        around.journal.define(queue.definition())
        return lane


class Returned:
    """What came back to a queue, in the order in which it did."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: deque[tuple[Lane, Stretch]] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, lane: Lane, pieces: list[Stretch]) -> None:
        """These came back."""
        self._waiting.extend([(lane, piece) for piece in pieces])

    def sort(self, count: int) -> None:
        """The last ones came back together: they go out as they did before."""
        waiting = self._waiting
        last = [waiting.pop() for _ in range(min(count, len(waiting)))]
        waiting.extend(sorted(last, key=_tag))

    def first(self, now_ms: int) -> tuple[Lane, Stretch] | None:
        """What goes out next; what has expired or is gone does not."""
        waiting = self._waiting
        while waiting:
            lane, stretch = waiting[0]
            if stretch.waits and not lane.dead and not 0 < stretch.deadline_ms < now_ms:
                return lane, stretch
            waiting.popleft()
        return None


def _level(lane: Lane) -> int:
    return int(lane.priority)


def _tag(entry: tuple[Lane, Stretch]) -> int:
    return int(entry[1].tag)
