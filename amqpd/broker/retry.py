"""Retry: what becomes of messages that came back unsettled.

One that has failed too often is poison and dies. One that has to wait before it goes out again
is **delayed**: neither ready nor unacked, and back in its old place once its time has come.

The delayed messages of a lane are in the order of their times, then positions. The first of
them are in memory, in a heap; those behind `Delay.behind` are on disk only and are read when
it is their turn, so that a million of them take no more memory than a queue's window. There
is one timer per queue. When a message is due nothing is written: its time stays on disk and
means nothing any more, as everything up to `behind` has been in memory.

After a start the store tells how many there are. Those that a lane's window has not reached
yet (`Lane.loaded_upto`) are not looked at here: the refill that comes by them takes what is
due along, and leaves the others to us (`passed`).
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from amqpd.broker.arguments import DelayedRetry
from amqpd.broker.attempts import Delayed, assemble_counted
from amqpd.broker.backoff import alike, delay_ms, delays
from amqpd.broker.deadletter import DELIVERY_LIMIT
from amqpd.broker.expiry import BURIAL_COST
from amqpd.broker.journal import PurgeDelayed
from amqpd.broker.run import Run
from amqpd.broker.stretch import Stretch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from amqpd.broker.attempts import Returned, Waiting
    from amqpd.broker.backoff import Own
    from amqpd.broker.lane import Lane
    from amqpd.broker.queue import Queue

#: So many messages and bytes of a lane wait in memory; half of them when it was too much.
HELD_MESSAGES: Final = 4096
HELD_BYTES: Final = 8 << 20
#: One read brings at most this much.
READ_MESSAGES: Final = 2048
READ_BYTES: Final = 4 << 20
#: What the release of a stretch costs, in units of `Surroundings.spare`.
RELEASE_COST: Final = 3
#: Behind every message.
EVER: Final = (1 << 62, 0)

#: A time in ms and a position.
When = tuple[int, int]


@dataclass(slots=True)
class Delay:
    """The delayed messages of one lane, as far as its window has come."""

    lane: Lane
    heap: list[tuple[int, int, Stretch]] = field(default_factory=list)
    held: int = 0
    held_bytes: int = 0
    #: What comes later is on disk only, or on its way there.
    behind: When = EVER
    stored: int = 0
    stored_bytes: int = 0
    #: What may not be on disk yet, with its time and the number of its requeue.
    fresh: deque[tuple[int, int, Stretch]] = field(default_factory=deque)
    reading: bool = False
    #: Counts what makes an answer of the store worthless that is under way.
    life: int = 0

    def push(self, due_ms: int, piece: Stretch) -> None:
        """Keep messages in memory."""
        heapq.heappush(self.heap, (due_ms, piece.position, piece))
        self.held += piece.hi - piece.lo
        self.held_bytes += piece.run.share(piece.lo, piece.hi)

    def pop(self) -> tuple[int, Stretch]:
        """The first of them."""
        due_ms, _, piece = heapq.heappop(self.heap)
        self.held -= piece.hi - piece.lo
        self.held_bytes -= piece.run.share(piece.lo, piece.hi)
        return due_ms, piece

    def forget(self) -> None:
        """Let go of what is on disk by now, unless somebody is reading there."""
        safe = self.lane.log.requeued_safe
        while not self.reading and self.fresh and self.fresh[0][0] <= safe:
            self.fresh.popleft()
        if self.fresh:
            self.lane.log.watching[self.lane] = None

    def unstore(self, messages: int, size_bytes: int) -> None:
        """Some are not on disk only any more."""
        self.stored -= messages
        self.stored_bytes -= size_bytes


class Retry:
    """The messages of one queue that came back."""

    def __init__(self, queue: Queue) -> None:
        #: Whether a message was ever delayed here.
        self.active = False
        self._queue = queue
        self._around = queue.around
        self._delays: dict[int, Delay] = {}
        self._look_ms = 0

    def _delay(self, lane: Lane) -> Delay:
        delay = self._delays.get(lane.priority)
        if delay is None:
            delay = self._delays[lane.priority] = Delay(lane)
        return delay

    def forget(self, lane: Lane) -> None:
        """The lane is empty, and another one begins in its place."""
        self._delays.pop(lane.priority, None)

    # -- what comes back -----------------------------------------------------------------

    def sort_out(self, lane: Lane, pieces: Sequence[Stretch], *, failed: bool) -> list[Stretch]:
        """Those of some unacked messages that are ready at once; the others are seen to."""
        arguments = self._queue.arguments
        waits = delays(arguments.delayed_retry, failed=failed)
        singly = waits and arguments.delayed_retry_jitter > 0
        ready: list[Stretch] = []
        for piece in pieces:
            differ = piece.run.deadlines is not None
            for part, own in alike(piece, singly=singly or differ):
                if self._is_poison(part, own):
                    if arguments.dead_letter_exchange is not None:
                        self._around.spare -= BURIAL_COST * (part.hi - part.lo)
                    self._queue.die(lane, part, DELIVERY_LIMIT)
                elif waits:
                    self._hold(lane, part, own)
                else:
                    ready.append(part)
        return ready

    def _is_poison(self, part: Stretch, own: Own) -> bool:
        limit = self._queue.arguments.delivery_limit
        if own.limit is not None:
            limit = own.limit if limit is None else min(limit, own.limit)
        return limit is not None and part.failed > limit

    def _hold(self, lane: Lane, part: Stretch, own: Own) -> None:
        around = self._around
        wait_ms = own.delay_ms
        if wait_ms is None:
            wait_ms = delay_ms(self._queue.arguments, part.failed, around.chance)
        due_ms = around.now_ms + max(1, wait_ms)
        if part.deadline_ms:
            # It expires on time, which is when it is looked at.
            due_ms = min(due_ms, max(part.deadline_ms, around.now_ms) + 1)
        self.active = True
        lane.delay(part)
        if part.run.persistent and lane.durable:
            lane.note_requeue(part, due_ms)
        self._keep(self._delay(lane), due_ms, part)
        self._look_at(due_ms)

    def _keep(self, delay: Delay, due_ms: int, piece: Stretch) -> None:
        """In memory, or on disk only if that is where its neighbours are."""
        near, far = _divided(piece, due_ms, delay.behind)
        if near is not None:
            delay.push(due_ms, _own_run(near))
            if delay.held > HELD_MESSAGES or delay.held_bytes > HELD_BYTES:
                self._let_go(delay)
        if far is not None:
            self._leave(delay, due_ms, far)

    def _let_go(self, delay: Delay) -> None:
        """Half of what is in memory is enough: the earlier one."""
        heap, delay.heap = sorted(delay.heap), []
        messages, size_bytes = delay.held // 2, delay.held_bytes // 2
        delay.held = delay.held_bytes = 0
        for due_ms, _, piece in heap:
            fits = delay.held < messages and delay.held_bytes < size_bytes
            if fits or not delay.heap:
                delay.push(due_ms, piece)
                delay.behind = (due_ms, piece.base + piece.hi - 1)
            else:
                self._leave(delay, due_ms, piece)
        delay.life += 1

    def _leave(self, delay: Delay, due_ms: int, piece: Stretch) -> None:
        """To the disk only."""
        lane, run = delay.lane, piece.run
        if not (run.persistent and lane.durable):
            if run.first_id == 0 and run.entry is None:
                piece = self._spill(lane, piece)
            lane.note_requeue(piece, due_ms)
        delay.stored += piece.hi - piece.lo
        delay.stored_bytes += piece.run.bytes_of(piece.lo, piece.hi)
        delay.fresh.append((int(lane.log.requeued), due_ms, piece))
        lane.log.watching[lane] = None

    def _spill(self, lane: Lane, piece: Stretch) -> Stretch:
        """Transient messages go to the store because there are too many of them."""
        if lane.id == 0:
            lane.id = self._around.new_lane_id()
        piece = _copied(piece)
        self._around.journal.append(piece.run, [(lane, piece.base, piece.deadline_ms)])
        return piece

    # -- after a start -------------------------------------------------------------------

    def recovered(self, lane: Lane) -> None:
        """The lane is as the store had it."""
        if not lane.delayed:
            return
        self.active = True
        if not lane.paged:
            delay = self._delay(lane)
            delay.behind = (0, 0)
            delay.stored, delay.stored_bytes = lane.delayed, lane.delayed_bytes

    def passed(self, lane: Lane, waiting: Sequence[Waiting]) -> None:
        """The window has come by messages whose time is still to come."""
        if waiting:
            delay = self._delay(lane)
            delay.stored += len(waiting)
            delay.stored_bytes += sum(one.body_bytes for one in waiting)
            due_ms, position = min((one.due_ms, one.position) for one in waiting)
            if (due_ms, position) <= delay.behind:
                self._draw_back(delay, (due_ms, position - 1))
        if lane.delayed and not lane.paged:
            missing, size_bytes = self.ahead(lane)  # what was damaged is gone
            lane.undelay(missing, size_bytes)
            lane.stored -= missing

    def _draw_back(self, delay: Delay, behind: When) -> None:
        """There is something on disk that comes before what is in memory."""
        heap, delay.heap = delay.heap, []
        delay.held = delay.held_bytes = 0
        delay.behind = behind
        delay.life += 1
        for due_ms, _, piece in heap:
            self._keep(delay, due_ms, piece)

    # -- when it is time -----------------------------------------------------------------

    def release(self) -> None:
        """Make ready what is due now, as much as this turn allows."""
        for delay in self._delays.values():
            delay.forget()
            self._release(delay)

    def _release(self, delay: Delay) -> None:
        around, lane, now_ms = self._around, delay.lane, self._around.now_ms
        released: list[Stretch] = []
        while delay.heap and delay.heap[0][0] <= now_ms:
            if around.spare <= 0:
                self._queue.go_on_later()
                break
            around.spare -= RELEASE_COST
            released.append(delay.pop()[1])
        if released:
            self.ready(lane, released)
        if delay.heap:
            self._look_at(delay.heap[0][0])

    def ready(self, lane: Lane, pieces: list[Stretch]) -> None:
        """Delayed messages are back in their old places."""
        for piece in pieces:
            lane.undelay(piece.hi - piece.lo, piece.run.bytes_of(piece.lo, piece.hi))
        self._queue.paging.enter(lane)
        lane.put(pieces)
        if self._queue.returned is not None:
            self._queue.returned.add(lane, pieces)
        if any(piece.deadline_ms for piece in pieces):
            self._queue.expiry.came_back(lane, pieces)

    def found(self, lane: Lane, pieces: list[Stretch]) -> None:
        """The time of delayed messages had come before the window came by them."""
        for piece in pieces:
            count, size_bytes = piece.hi - piece.lo, piece.run.bytes_of(piece.lo, piece.hi)
            lane.undelay(count, size_bytes)
            lane.restore(count, size_bytes)

    def load(self) -> None:
        """Have the next ones read, if there are few in memory and room for those that are due."""
        for delay in self._delays.values():
            lane = delay.lane
            if (
                delay.stored
                and not delay.reading
                and not lane.refilling
                and delay.held <= HELD_MESSAGES // 4
                and lane.loaded <= lane.window // 2
            ):
                self._read(delay)

    def _read(self, delay: Delay) -> None:
        delay.forget()
        delay.reading = True
        life, lane = delay.life, delay.lane

        def arrived(returned: Returned) -> None:
            delay.reading = False
            self._queue.wake()
            if lane.dead or life != delay.life:
                return
            if returned.rows:
                self._take_in(delay, returned)
            else:
                self._take_all(delay)

        question = Delayed(lane.id, lane.loaded_upto, delay.behind, READ_MESSAGES, READ_BYTES)
        self._around.read_returned(question, arrived)

    def _take_in(self, delay: Delay, returned: Returned) -> None:
        """The next ones are in memory now, too: those read, and those that are still fresh."""
        lane, attempts = delay.lane, returned.attempts
        last = returned.rows[-1][0]
        behind = (attempts[last].due_ms, last)
        fresh, delay.fresh = delay.fresh, deque()
        known: set[int] = set()
        for number, due_ms, piece in fresh:
            near, far = _divided(piece, due_ms, behind)
            if near is not None:
                known.update(range(near.position, near.base + near.hi))
                self._bring_back(delay, due_ms, near)
            if far is not None:
                delay.fresh.append((number, due_ms, far))
        rows = [row for row in returned.rows if row[0] not in known]
        for piece in assemble_counted(rows, lane.redelivered_below, attempts):
            self._bring_back(delay, attempts[piece.position].due_ms, piece)
        delay.behind = behind if delay.stored else EVER

    def _take_all(self, delay: Delay) -> None:
        """Nothing is left on disk but what is fresh; what was damaged is gone."""
        fresh, delay.fresh = delay.fresh, deque()
        for _, due_ms, piece in fresh:
            self._bring_back(delay, due_ms, piece)
        delay.lane.undelay(delay.stored, delay.stored_bytes)
        delay.lane.stored -= delay.stored
        delay.stored = delay.stored_bytes = 0
        delay.behind = EVER

    def _bring_back(self, delay: Delay, due_ms: int, piece: Stretch) -> None:
        delay.unstore(piece.hi - piece.lo, piece.run.bytes_of(piece.lo, piece.hi))
        delay.push(due_ms, piece)

    # -- the end -------------------------------------------------------------------------

    def ahead(self, lane: Lane) -> tuple[int, int]:
        """Messages and bytes that the window has not reached yet."""
        delay = self._delays.get(lane.priority)
        if delay is None:
            return int(lane.delayed), int(lane.delayed_bytes)
        held = sum(piece.run.bytes_of(piece.lo, piece.hi) for _, _, piece in delay.heap)
        return (
            lane.delayed - delay.held - delay.stored,
            lane.delayed_bytes - held - delay.stored_bytes,
        )

    def purge(self, lane: Lane) -> None:
        """All that the window has passed goes away; the caller counts and purges the rest."""
        delay = self._delays.pop(lane.priority, None)
        if delay is None:
            return
        delay.life += 1
        for piece in _pieces(delay):
            lane.settle(piece.run, piece.base, piece.lo, piece.hi)
        messages = delay.stored - sum(piece.hi - piece.lo for _, _, piece in delay.fresh)
        if messages:
            lane.stored -= messages
            purge = PurgeDelayed(int(lane.id), int(lane.loaded_upto), delay.behind)
            self._around.journal.purge_delayed(purge)

    def close(self) -> None:
        """The queue is gone."""
        for delay in self._delays.values():
            delay.life += 1
        self._delays.clear()

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


def is_on(kind: DelayedRetry) -> bool:
    """Whether some messages have to wait."""
    return kind is not DelayedRetry.DISABLED


def _pieces(delay: Delay) -> Iterator[Stretch]:
    for _, _, piece in delay.heap:
        yield piece
    for _, _, piece in delay.fresh:
        yield piece


def _divided(piece: Stretch, due_ms: int, behind: When) -> tuple[Stretch | None, Stretch | None]:
    """The part of a stretch up to a time and position, and the part behind."""
    if (due_ms, piece.base + piece.hi - 1) <= behind:
        return piece, None
    if (due_ms, piece.position) > behind:
        return None, piece
    cut = behind[1] + 1 - piece.base
    far = _part(piece, cut, piece.hi)
    return _part(piece, piece.lo, cut), far


def _own_run(piece: Stretch) -> Stretch:
    """A stretch that keeps no more in memory than it needs, if that can be."""
    small = 2 * (piece.hi - piece.lo) <= len(piece.run.contents)
    return _copied(piece) if small and piece.run.entry is None else piece


def _copied(piece: Stretch) -> Stretch:
    """The same messages in a run of their own."""
    run, low, high = piece.run, piece.lo, piece.hi
    each = run.names_each
    own = Run(
        run.contents[low:high],
        run.names,
        None if each is None else each[low:high],
        run.persistent,
        run.channel,
        run.share(low, high),
    )
    own.deadlines = None if run.deadlines is None else run.deadlines[low:high]
    own.first_id = run.first_id + low if run.first_id > 0 else run.first_id
    own.shared, own.blind = run.shared, run.blind
    copy = _part(piece, low, high)
    copy.run, copy.base = own, piece.base + low
    copy.lo, copy.hi = 0, high - low
    return copy


def _part(piece: Stretch, low: int, high: int) -> Stretch:
    return Stretch(
        piece.run,
        piece.base,
        low,
        high,
        piece.earliest(low, high),
        True,
        piece.acquired,
        piece.failed,
    )
