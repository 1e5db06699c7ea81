"""Expiry: messages leave their queue when their time is up, wherever in it they wait.

While the deadlines of a lane are in the order of its messages (a queue's own time to live),
it is enough to look at the head. Once a message expires before one that is ahead of it, the
lane is mixed: then what is in memory is in a heap by deadline, and what is on disk only is
asked of the store, which has an index of just such messages. There is one timer per queue.

A message that has expired is never handed out. What is removed in one go is bounded
(`Surroundings.spare`); the rest follows in the next turns.

What the store tells as expired is taken out of the queue at once, but stays on disk until the
next batch is committed; until then `unswept` keeps it from coming back.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from itertools import count
from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from amqpd.broker.deadletter import EXPIRED
from amqpd.broker.rows import assemble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from amqpd.broker.lane import Lane
    from amqpd.broker.queue import Queue
    from amqpd.broker.rows import Row
    from amqpd.broker.stretch import Stretch

#: What the store is asked for at a time: without and with dead lettering.
SWEEP_MESSAGES: Final = 4096
SWEEP_BURIALS: Final = 1024
SWEEP_BYTES: Final = 4 << 20
#: While more waits for the disk no more dead letters are read.
SWEEP_PENDING: Final = 2 * SWEEP_BYTES
#: What the removal of a message costs with dead lettering, in units of `Surroundings.spare`.
BURIAL_COST: Final = 10
#: So much is buried together, more or less.
BURIAL_BYTES: Final = 1 << 20


class Due(NamedTuple):
    """A message in the store that has expired."""

    deadline_ms: int
    position: int
    message_id: int
    shared: bool
    transient: bool
    body_bytes: int
    #: It waits for its time since it came back.
    delayed: bool = False


class Expired(Protocol):
    """Asks the store what has expired."""

    def __call__(
        self,
        lane: int,
        from_position: int,
        upto_position: int,
        after: tuple[int, int],
        now_ms: int,
        most: int,
        done: Callable[[Sequence[Due], int], None],
    ) -> None:
        """`done(due, next_ms)`: early messages by deadline, then position, behind `after`.

        Those with a deadline of at most `now_ms`, and when the next one expires after it
        (0: never).
        """


class ReadSome(Protocol):
    """Asks the store for single messages of a lane."""

    def __call__(
        self, lane: int, positions: Sequence[int], done: Callable[[list[Row]], None]
    ) -> None:
        """`done(rows)`: those of the positions that are there, in their order."""


def never(
    lane: int,
    from_position: int,
    upto_position: int,
    after: tuple[int, int],
    now_ms: int,
    most: int,
    done: Callable[[Sequence[Due], int], None],
) -> None:
    """For brokers without a store: nothing expires there."""
    done((), 0)


def nothing(lane: int, positions: Sequence[int], done: Callable[[list[Row]], None]) -> None:
    """For brokers without a store: nothing is there."""
    done([])


@dataclass(slots=True)
class Mixed:
    """What is known of the deadlines of a mixed lane."""

    lane: Lane
    heap: list[tuple[int, int, Stretch]] = field(default_factory=list)
    #: When the next message that is on disk only expires; 0: none does.
    stored_ms: int = 0
    #: Where a pass through what has expired on disk goes on; None: none is under way.
    after: tuple[int, int] | None = None
    #: Something was not on disk yet when the pass began.
    missed: bool = False
    #: No pass begins before this number of the journal is safe.
    number: int = 0
    #: It goes on with the next batch that is safe.
    waits: bool = False
    #: The last read was a sweep: it is the refill's turn.
    swept_last: bool = False
    #: Positions taken out of the queue that may still be on disk, with the journal's number.
    swept: deque[tuple[int, set[int]]] = field(default_factory=deque)

    def want(self, when_ms: int) -> None:
        """The store is to be asked at that time, or before."""
        if self.stored_ms == 0 or when_ms < self.stored_ms:
            self.stored_ms = when_ms

    def forget(self, safe: int) -> None:
        """What is safe will not be read again: to be called while nothing is being read."""
        while self.swept and self.swept[0][0] <= safe:
            self.swept.popleft()

    def is_swept(self, position: int) -> bool:
        """It was taken out of the queue, but what is read may still show it."""
        return any(position in positions for _, positions in self.swept)


class Expiry:
    """The deadlines of one queue's messages."""

    def __init__(self, queue: Queue) -> None:
        #: Whether a message with a deadline was ever here.
        self.active = False
        self._queue = queue
        self._around = queue.around
        self._lanes: dict[int, Mixed] = {}
        self._order = count()
        self._look_ms = 0
        #: What was removed and is to be buried.
        self._dead: list[tuple[Lane, Stretch]] = []
        self._dead_bytes = 0

    def _mixed(self, lane: Lane) -> Mixed:
        mixed = self._lanes.get(lane.priority)
        if mixed is None:
            mixed = self._lanes[lane.priority] = Mixed(lane)
            self._index(mixed, lane.stretches())
        return mixed

    # -- what comes in -------------------------------------------------------------------

    def put(self, lane: Lane, deadline_ms: int, in_memory: bool) -> None:
        """A run with a deadline was put into a lane."""
        self.active = True
        if not lane.mixed:
            return
        known = lane.priority in self._lanes
        mixed = self._mixed(lane)
        if not in_memory:
            mixed.want(deadline_ms)
            self._look_at(deadline_ms)
        elif known:
            self._index(mixed, (lane.last(),))

    def came_back(self, lane: Lane, stretches: Iterable[Stretch]) -> None:
        """Stretches came from the store, or were returned unsettled."""
        if not self.active:
            self.active = any(stretch.deadline_ms for stretch in stretches)
        if self.active and lane.mixed:
            self._index(self._mixed(lane), stretches)

    def recovered(self, lane: Lane) -> None:
        """The lane has messages from before the start: the store must tell."""
        self.active = True
        self._mixed(lane).want(1)

    def forget(self, lane: Lane) -> None:
        """The lane is empty, and another one begins in its place."""
        self._lanes.pop(lane.priority, None)

    def _index(self, mixed: Mixed, stretches: Iterable[Stretch]) -> None:
        heap = mixed.heap
        for stretch in stretches:
            if stretch.deadline_ms:
                heapq.heappush(heap, (stretch.deadline_ms, next(self._order), stretch))
        if heap:
            self._look_at(heap[0][0])
        if len(heap) > 64 and len(heap) > 4 * mixed.lane.loaded:
            # Most of it was handed out: let go of it.
            mixed.heap = [entry for entry in heap if entry[2].waits]
            heapq.heapify(mixed.heap)

    # -- in memory -----------------------------------------------------------------------

    def run(self) -> None:
        """Remove what is due now; what is due just now has had its chance (time to live 0)."""
        try:
            self._run()
        finally:
            self.bury()

    def _run(self) -> None:
        now_ms = self._around.now_ms
        for lane in self._queue.paging.occupied:
            while (head := lane.head()) is not None and head.deadline_ms:
                if head.deadline_ms > now_ms:
                    self._look_at(head.deadline_ms)
                    break
                if not self.remove(lane, head):
                    return
        # Dead letters may come back to this queue, to other levels, too.
        for mixed in list(self._lanes.values()):
            self._run_mixed(mixed, now_ms)

    def _run_mixed(self, mixed: Mixed, now_ms: int) -> None:
        while (heap := mixed.heap) and (heap[0][0] <= now_ms or not heap[0][2].waits):
            stretch = heap[0][2]
            if not stretch.waits:
                heapq.heappop(heap)
            elif not self.remove(mixed.lane, stretch):
                return
        if heap:
            self._look_at(heap[0][0])
        if mixed.stored_ms > now_ms:
            self._look_at(mixed.stored_ms)

    def remove(self, lane: Lane, stretch: Stretch) -> bool:
        """Take out a waiting stretch, or as much of it as this turn allows; False: too much.

        One whose messages expire at different times is divided, for the next look. The caller
        has what was taken out buried (`bury`) before anybody else is heard.
        """
        if stretch.run.deadlines is not None and (parts := lane.divide(stretch)):
            self._index(self._mixed(lane), parts)
            return True
        around, queue = self._around, self._queue
        cost = 1 if queue.arguments.dead_letter_exchange is None else BURIAL_COST
        most = around.spare // cost
        if most <= 0:
            queue.go_on_later()
            return False
        piece = lane.remove_of(stretch, most)
        around.spare -= cost * (piece.hi - piece.lo)
        self._dead.append((lane, piece))
        self._dead_bytes += piece.run.bytes_of(piece.lo, piece.hi)
        if self._dead_bytes > BURIAL_BYTES:
            self.bury()
        return True

    def bury(self) -> bool:
        """Bury what was taken out; False: there was nothing."""
        if not self._dead:
            return False
        dead, self._dead, self._dead_bytes = self._dead, [], 0
        self._around.bury(self._queue, dead, EXPIRED)
        return True

    # -- on disk -------------------------------------------------------------------------

    def begin_read(self, lane: Lane) -> None:
        """Messages of the lane are about to be read from the store."""
        mixed = self._lanes.get(lane.priority)
        if mixed is not None:
            mixed.forget(self._around.journal.safe)

    def is_swept(self, lane: Lane, position: int) -> bool:
        """Whether a message that the store still shows is gone."""
        mixed = self._lanes.get(lane.priority)
        return mixed is not None and mixed.is_swept(position)

    def unswept(self, lane: Lane, rows: list[Row]) -> list[Row]:
        """What was read, without that which has expired meanwhile."""
        mixed = self._lanes.get(lane.priority)
        if mixed is None or not mixed.swept:
            return rows
        return [row for row in rows if not mixed.is_swept(row[0])]

    def taken_out(self, lane: Lane, position: int) -> None:
        """A message that is on disk only has left the queue: it must not come back."""
        self._swept(self._mixed(lane), [position])

    def sweep(self, lane: Lane) -> None:
        """Ask the store what has expired, if it is time and nothing else is being read."""
        mixed = self._lanes.get(lane.priority)
        if mixed is None or lane.refilling:
            return
        journal, now_ms = self._around.journal, self._around.now_ms
        mixed.forget(journal.safe)
        if not lane.paged:
            mixed.stored_ms, mixed.after = 0, None
        elif mixed.waits:
            return
        elif mixed.swept_last:
            mixed.swept_last = False
        elif journal.pending_bytes > SWEEP_PENDING and self._buries:
            self._wait(mixed)
        elif mixed.after is not None:
            self._ask(mixed, mixed.after, now_ms)
        elif 0 < mixed.stored_ms <= now_ms and mixed.number <= journal.safe:
            mixed.missed = lane.committed_upto < lane.next_position
            mixed.stored_ms = 0
            self._ask(mixed, (0, 0), now_ms)

    @property
    def _buries(self) -> bool:
        """What expires becomes a dead letter."""
        return self._queue.arguments.dead_letter_exchange is not None

    def _wait(self, mixed: Mixed) -> None:
        """The disk is behind: what is read now would only wait in memory, ahead of others."""

        def go_on() -> None:
            mixed.waits = False
            self._queue.wake()

        mixed.waits = True
        self._around.journal.when_safe(self._around.journal.safe + 1, go_on)

    def _ask(self, mixed: Mixed, after: tuple[int, int], now_ms: int) -> None:
        lane = mixed.lane
        lane.refilling = mixed.swept_last = True
        mixed.after = after
        dead_letters = self._buries

        def arrived(due: Sequence[Due], next_ms: int) -> None:
            lane.refilling = False
            self._queue.wake()
            if lane.dead:
                return
            if due:
                mixed.after = due[-1][:2]
            else:
                self._end_pass(mixed, next_ms)
            due = self._still_there(mixed, due)
            if not dead_letters:
                self._settle(mixed, due)
            elif due:
                self._read(mixed, due)

        self._around.expired(
            lane.id,
            lane.loaded_upto,
            min(lane.next_position, lane.committed_upto),
            after,
            now_ms,
            SWEEP_BURIALS if dead_letters else SWEEP_MESSAGES,
            arrived,
        )

    def _end_pass(self, mixed: Mixed, next_ms: int) -> None:
        mixed.after = None
        if next_ms:
            mixed.want(next_ms)
        if mixed.missed:
            mixed.want(1)
        if mixed.missed or mixed.swept:
            journal = self._around.journal
            mixed.number = journal.last
            journal.when_safe(mixed.number, self._queue.wake)

    def _still_there(self, mixed: Mixed, due: Sequence[Due]) -> list[Due]:
        """Neither purged nor removed before."""
        upto = mixed.lane.loaded_upto
        return [one for one in due if one[1] >= upto and not mixed.is_swept(one[1])]

    def _settle(self, mixed: Mixed, due: list[Due]) -> None:
        lane = mixed.lane
        due.sort(key=itemgetter(1))  # neighbours are settled together
        for _, position, message_id, shared, transient, body_bytes, delayed in due:
            if delayed:
                _undelay(lane, body_bytes)
            lane.settle_stored(position, message_id, shared, transient, body_bytes)
        self._around.drop(self._queue, EXPIRED, len(due))
        self._swept(mixed, [one[1] for one in due])

    def _read(self, mixed: Mixed, due: list[Due]) -> None:
        """Have the messages read that are to be dead lettered, as many as may be at once."""
        lane, positions, size_bytes = mixed.lane, list[int](), 0
        delayed = {one.position for one in due if one.delayed}
        for one in due:
            if size_bytes < SWEEP_BYTES:
                positions.append(one.position)
                mixed.after = one[:2]
                size_bytes += one.body_bytes
        lane.refilling = True

        def arrived(rows: list[Row]) -> None:
            lane.refilling = False
            self._queue.wake()
            if not lane.dead:
                rows = [row for row in rows if row[0] >= lane.loaded_upto]
                for row in rows:
                    if row[0] in delayed:
                        _undelay(lane, len(row[7]))
                self._bury(mixed, rows)

        self._around.read_some(lane.id, positions, arrived)

    def _bury(self, mixed: Mixed, rows: list[Row]) -> None:
        lane, around = mixed.lane, self._around
        dead = assemble(rows, lane.redelivered_below)
        for piece in dead:
            run = piece.run
            lane.uncount_stored(piece.hi, run.body_bytes, not run.persistent)
        around.bury(self._queue, [(lane, piece) for piece in dead], EXPIRED)
        self._swept(mixed, [row[0] for row in rows])

    def _swept(self, mixed: Mixed, positions: list[int]) -> None:
        if positions:
            mixed.swept.append((self._around.journal.next_number(), set(positions)))

    # -- the timer -----------------------------------------------------------------------

    def _look_at(self, when_ms: int) -> None:
        """See to it that somebody looks then."""
        if self._look_ms == 0 or when_ms < self._look_ms:
            self._look_ms = when_ms
            self._around.timers.at(when_ms, self._due)

    def _due(self, now_ms: int) -> None:
        if self._look_ms <= now_ms:
            self._look_ms = 0
            self._queue.wake()


def _undelay(lane: Lane, body_bytes: int) -> None:
    """A message on disk does not wait for its time any more: another time has come before."""
    lane.undelay(1, body_bytes)
    lane.restore(1, body_bytes)
