"""Streams: logs of messages, which consumers read without taking anything out of them.

    Stream(Queue)      what x-queue-type=stream declares; the same interface as any queue

A message gets the next offset when it arrives and keeps it. It is on disk before any consumer
sees it: an offset never means two messages, whatever happens to the machine. Each consumer has
a cursor; those near the end are fed from the tail in memory, which they share, and the others
from the store, at their own pace. An acknowledgement gives credit back and nothing else,
except that consumers with a name have their position remembered.

What is old goes by whole segments (`retention`), which changes two numbers here.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NoReturn

from amqpd.broker.checks import interval_ms
from amqpd.broker.chunk import CHANNEL, Extension, StreamLane, stamp
from amqpd.broker.cursor import Cursor, Progress, Tail
from amqpd.broker.filtering import parse_filter
from amqpd.broker.journal import Purge, Track
from amqpd.broker.levels import DELIVERY_BYTES
from amqpd.broker.queue import NEVER, Queue
from amqpd.broker.retention import Retention
from amqpd.broker.run import Run
from amqpd.broker.stretch import Stretch
from amqpd.broker.text import resource
from amqpd.errors import NotImplementedHere, PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from amqpd.broker.archive import StreamState
    from amqpd.broker.arguments import QueueArguments
    from amqpd.broker.chunk import StoredChunk
    from amqpd.broker.consumer import Consumer
    from amqpd.broker.counts import Counts
    from amqpd.broker.delivery import Taken
    from amqpd.broker.lane import Lane
    from amqpd.broker.policy import Match
    from amqpd.broker.queue import Got
    from amqpd.broker.ring import Subscription
    from amqpd.fields import Field, Table

#: Names of consumers whose positions are remembered, of one stream; the one that has not moved
#: for the longest time is forgotten first.
TRACKED: Final = 10_000
#: What begins a name that was given by the broker: nobody comes back under it.
GENERATED: Final = "amq.ctag-"
#: Messages that are looked at for one consumer before it is another one's turn.
SCANNED: Final = 1024
#: The tail is looked through only once it has grown by so much, and with more consumers than
#: so many nobody looks who has seen what.
TAIL_BYTES: Final = 128 << 10
MANY: Final = 64


class Stream(Queue):
    """One stream of a vhost; `first` is the offset of the oldest message in it."""

    lane: StreamLane

    def _new_lanes(self, ids: tuple[int, ...], total: Counts | None) -> list[Lane]:
        self.first = 0
        self.lane = StreamLane(self, self.around.journal.log, ids[0], total)
        self.retention = Retention(self)
        self._cursors: dict[Subscription, Cursor] = {}
        #: Cursors that may be served, in turn, and those that have seen everything.
        self._ready: deque[Cursor] = deque()
        self._at_end: dict[Cursor, None] = {}
        self._seen = 0
        self._tail = Tail()
        self._tail_limit = TAIL_BYTES
        self._progress: dict[object, Progress] = {}
        #: Where consumers with a name go on, the one that moved last at the end.
        self._tracked: dict[str, int] = {}
        return [self.lane]

    def restore(self, state: StreamState | None) -> None:
        """Take over what the store had at start, after the lane has."""
        lane, retention = self.lane, self.retention
        self.first = lane.next_position - lane.ready
        self._seen = lane.committed_upto
        if state is not None:
            retention.size = state.size
            retention.segment, retention.segment_size = state.segment, state.segment_size
            retention.stored_ms = state.stored_ms
            self._tracked = dict(state.offsets)

    def recovered(self) -> None:
        """What has become too old meanwhile goes."""
        self.retention.look()

    # -- figures -------------------------------------------------------------------------

    @property
    def messages(self) -> int:
        """All messages: those with a client are in the stream as before."""
        return self.ready

    @property
    def max_lag(self) -> int:
        """How far the last of the consumers is behind."""
        offsets = [one.offset for one in self._cursors.values() if one.offset >= 0]
        return self.lane.next_position - max(min(offsets), self.first) if offsets else 0

    @property
    def tracked(self) -> Mapping[str, int]:
        """Where consumers with a name go on."""
        return self._tracked

    def first_deadline(self, run: Run, expiration_ms: int, low: int = 0, high: int = -1) -> int:
        """Messages of a stream do not expire one by one."""
        return NEVER

    # -- in ------------------------------------------------------------------------------

    def keeps(self, run: Run) -> bool:
        """Everything is stored, whatever its delivery mode."""
        return True

    def put(  # hot: tests/bench/streams.py
        self, run: Run, lane: Lane, deadline_ms: int, low: int = 0, high: int = -1
    ) -> int:
        """Give a run the next offsets, whole; it can be read once it is on disk."""
        log, retention = self.lane, self.retention
        base = log.next_position
        retention.enter(base, self.around.now_ms)
        stamped = stamp(run, base)
        log.extend(
            Extension(log, stamped, base, retention.stored_ms, retention.segment, retention.size)
        )
        retention.size += stamped.size_bytes
        if self._cursors:
            self._tail.push(Stretch(stamped, base, 0, len(stamped.contents), NEVER, False))
        return base

    def drop_below(self, offset: int, size_before: int) -> None:
        """What is below an offset goes, which `size_before` was in at any time before."""
        lane = self.lane
        count = offset - self.first
        size_bytes = size_before - (self.retention.size - lane.ready_bytes)
        self.around.journal.purge(Purge(lane.id, self.first, offset, count, size_bytes))
        self.around.drop(self, "retention", count)
        self.first = offset
        lane.ready -= count
        lane.stored -= count
        lane.ready_bytes -= size_bytes

    # -- out -----------------------------------------------------------------------------

    def act(self, *, bounded: bool = False) -> None:
        """Hand what is on disk to consumers with credit, a stretch to each in turn.

        Always as far as this turn goes: nothing of a stream depends on who has read it.
        """
        if self.deleted:
            return
        if self._seen < self.lane.committed_upto:
            self._seen = self.lane.committed_upto
            for cursor in self._at_end:
                self._let_on(cursor)
            self._at_end.clear()
            self.retention.committed()
        ready, around = self._ready, self.around
        while ready and self.paused is None:
            if around.spare <= 0 or around.spare_bytes <= 0:
                self.go_on_later()
                break
            cursor = ready.popleft()
            cursor.is_ready = False
            if cursor.subscription.active and self._serve(cursor):
                self._let_on(cursor)
        if self._tail.size_bytes > self._tail_limit:
            self._trim_tail()

    def _let_on(self, cursor: Cursor) -> None:
        """It may be this cursor's turn again."""
        if not cursor.is_ready:
            cursor.is_ready = True
            self._ready.append(cursor)

    def _serve(self, cursor: Cursor) -> bool:  # hot: tests/bench/streams.py
        """Hand one stretch out; False: no more for now, and something will wake the cursor."""
        credit = cursor.consumer.credit()
        if credit <= 0 or cursor.offset < 0:
            return False
        offset = cursor.offset = max(cursor.offset, self.first)
        if offset >= self._seen:
            self._at_end[cursor] = None
            return False
        piece = cursor.find(offset) or self._tail.find(offset)
        if piece is None:
            self._read(cursor, offset)
            return False
        low = max(piece.lo, offset - piece.base)
        high = min(piece.hi, self._seen - piece.base)
        self._hand_over(cursor, piece, low, high, credit)
        if cursor.ahead:
            self._read_more(cursor)
        return True

    def _hand_over(self, cursor: Cursor, piece: Stretch, low: int, high: int, credit: int) -> None:
        """Hand out what a cursor wants of a stretch, up to its credit."""
        run, base, around = piece.run, piece.base, self.around
        if cursor.filter is None:
            high = min(high, low + credit)
        else:
            begin, high = low, min(high, low + SCANNED)
            low, high = cursor.filter.next_run(run.contents, low, high, credit)
            around.spare -= high - begin + cursor.filter.effort
        cursor.offset = base + high
        if low == high:
            return
        around.spare_bytes -= run.share(low, high) + DELIVERY_BYTES * (high - low)
        self.lane.hand_out(high - low)
        if cursor.progress is not None:
            cursor.progress.give(base + low, base + high)
        cursor.consumer.deliver(self.lane, Stretch(run, base, low, high, NEVER, False))

    def _trim_tail(self) -> None:
        """Drop what all consumers near the end have seen, and what is too much."""
        tail, seen = self._tail, self._seen
        below = tail.base
        if len(self._cursors) <= MANY:
            near = [one.offset for one in self._cursors.values() if one.offset >= below]
            below = min([seen, *near])
        tail.drop(below, self.around.read_ahead.tail_bytes, seen)
        self._tail_limit = tail.size_bytes + TAIL_BYTES

    # -- from the store ------------------------------------------------------------------

    def _read(self, cursor: Cursor, offset: int) -> None:
        """Have what follows an offset read from the store."""
        if cursor.reading:
            return
        cursor.reading = True
        read_ahead, archive = self.around.read_ahead, self.around.archive

        def read() -> None:
            upto, tail = self._seen, self._tail
            if tail and offset < tail.base:
                upto = min(upto, tail.base)
            archive.read_stream(self.lane.id, offset, upto, read_ahead.share_bytes, arrived)

        def arrived(chunks: list[StoredChunk], upto: int) -> None:
            cursor.reading = False
            read_ahead.answered()
            if cursor.subscription not in self._cursors:
                return
            if offset == cursor.ahead_upto:  # else the memory was needed for others
                _load(cursor, chunks, upto)
                read_ahead.hold(cursor)
            self._let_on(cursor)
            self.wake()

        read_ahead.ask(read)

    def _read_more(self, cursor: Cursor) -> None:
        """Read ahead of a cursor that is behind the tail, half of what it may hold at a time."""
        self.around.read_ahead.hold(cursor)
        upto = cursor.ahead_upto
        behind = upto < self._seen and not (self._tail and self._tail.base <= upto)
        if behind and cursor.ahead_bytes * 2 <= self.around.read_ahead.share_bytes:
            self._read(cursor, upto)

    # -- consumers -----------------------------------------------------------------------

    def admit(self, consumer: Consumer, *, exclusive: bool) -> None:
        """See that a consumer may begin; nobody has a stream for himself, as in RabbitMQ."""
        where = resource("queue", self.name, self.vhost)
        if not consumer.prefetch:
            raise PreconditionFailed(f"consumer prefetch count is not set for stream {where}")
        if consumer.no_ack:
            raise NotImplementedHere(f"automatic acknowledgement not supported by stream {where}")
        if consumer.prefetch_shared:
            raise NotImplementedHere(f"{where} does not support global qos")

    def attach(self, consumer: Consumer, *, exclusive: bool) -> Subscription:
        """A consumer begins, where its arguments or its name say."""
        subscription = super().attach(consumer, exclusive=False)
        name = _tracked_name(consumer)
        progress = None if name is None else Progress(name)
        wanted = parse_filter(consumer.arguments)
        cursor = Cursor(consumer, subscription, -1, wanted, progress)
        self._cursors[subscription] = cursor
        if progress is not None:
            self._progress[consumer] = progress
        self.around.read_ahead.users += 1
        at = self._tracked.get(name) if name is not None else None
        self._begin(cursor, consumer.arguments.get("x-stream-offset"), at)
        return subscription

    def _begin(self, cursor: Cursor, start: Field | None, at: int | None) -> None:
        """Find the offset at which a consumer begins."""
        if at is None and start is not None and start.value == "last":
            self._look_for(cursor, None)
        elif at is None and start is not None and (since_ms := self._since(start)) is not None:
            self._look_for(cursor, since_ms)
        else:
            self._begin_at(cursor, self._offset(start) if at is None else at)

    def _begin_at(self, cursor: Cursor, offset: int) -> None:
        cursor.offset = min(max(offset, self.first), self.lane.next_position)
        self._let_on(cursor)
        self.wake()

    def _offset(self, start: Field | None) -> int:
        """Where a word or a number leads; negative numbers count from the end."""
        if start is not None and start.value == "first":
            return self.first
        if start is None or not isinstance(start.value, int):
            return self.lane.next_position
        return start.value if start.value >= 0 else self.lane.next_position + start.value

    def _since(self, start: Field) -> int | None:
        """What a timestamp or an interval back from now stands for."""
        if start.kind == "T" and isinstance(start.value, int):
            return start.value * 1000
        back_ms = interval_ms(start.value)
        return None if back_ms is None else self.around.now_ms - back_ms

    def _look_for(self, cursor: Cursor, since_ms: int | None) -> None:
        upto = self.lane.next_position

        def found(offset: int | None) -> None:
            if cursor.subscription in self._cursors:
                self._begin_at(cursor, upto if offset is None else offset)

        if self.first >= self.lane.committed_upto:
            found(None if since_ms is None else self.first)  # nothing is on disk yet
        else:
            committed = self.lane.committed_upto
            self.around.archive.find_offset(self.lane.id, self.first, committed, since_ms, found)

    def detach(self, subscription: Subscription) -> None:
        """A consumer ends; what it settles later still counts."""
        self._forget(self._cursors.pop(subscription))
        super().detach(subscription)

    def _forget(self, cursor: Cursor) -> None:
        self._at_end.pop(cursor, None)
        cursor.give_up()
        read_ahead = self.around.read_ahead
        read_ahead.hold(cursor)
        read_ahead.users -= 1
        if cursor.progress is not None:
            cursor.progress.is_over = True
            if cursor.progress.is_done:
                self._progress.pop(cursor.consumer, None)
        if not self._cursors:
            self._tail = Tail()
            self._tail_limit = TAIL_BYTES

    def _resume(self, subscription: Subscription) -> None:
        cursor = self._cursors.get(subscription)
        if cursor is not None and cursor not in self._at_end:
            self._let_on(cursor)
            self.wake()

    def dismantle(self) -> tuple[int, ...]:
        """Let go of what was remembered of its consumers, too."""
        lanes = super().dismantle()
        for subscription in list(self._cursors):
            self._forget(self._cursors.pop(subscription))
        self._progress.clear()
        return lanes

    # -- done ----------------------------------------------------------------------------

    def settled(self, taken: Taken) -> None:
        """Deliveries were acknowledged; for who has a name that is how far it is."""
        progress = self._progress.get(taken.consumer)
        if progress is None:
            return
        if progress.settle(taken.base + taken.lo, taken.base + taken.hi):
            self._track(progress.name, progress.offset)
        self._look_at(progress, taken.consumer)

    def _look_at(self, progress: Progress, consumer: object) -> None:
        if progress.is_over and progress.is_done:
            self._progress.pop(consumer, None)

    def _track(self, name: str, offset: int) -> None:
        """Remember where a consumer goes on, instead of the one that was silent for longest."""
        tracked, journal = self._tracked, self.around.journal
        if tracked.pop(name, None) is None and len(tracked) >= TRACKED:
            oldest = next(iter(tracked))
            del tracked[oldest]
            journal.track(Track(self.lane.id, oldest, -1))
        tracked[name] = offset
        journal.track(Track(self.lane.id, name, offset))

    def given_back(self, taken: Taken) -> None:
        """Credit only: messages are where they were, for who resumes with the first of them."""
        progress = self._progress.get(taken.consumer)
        if progress is not None:
            progress.give_back(taken.base + taken.lo)
            self._look_at(progress, taken.consumer)

    def discard(self, taken: Iterable[Taken]) -> None:
        """Rejected for good: to the consumer the same as acknowledged."""
        for one in taken:
            self.lane.discarded(one.hi - one.lo)
            self.settled(one)

    # -- what streams do not do ----------------------------------------------------------

    def get(self, no_ack: bool, done: Callable[[Got | None], None]) -> None:
        """Not supported, as in RabbitMQ."""
        self._refuse("basic.get")

    def purge(self) -> tuple[int, int]:
        """Not supported, as in RabbitMQ."""
        self._refuse("queue.purge")

    def _refuse(self, method: str) -> NoReturn:
        where = resource("queue", self.name, self.vhost)
        raise NotImplementedHere(f"{method} not supported by stream queues {where}")

    # -- policies ------------------------------------------------------------------------

    def use_policies(self, match: Match, arguments: QueueArguments) -> None:
        """Other limits apply from now on, to what is there, too."""
        super().use_policies(match, arguments)
        self.retention.look()


def _load(cursor: Cursor, chunks: list[StoredChunk], upto: int) -> None:
    """Take in what the store had; if it had nothing, there is nothing below `upto` any more.

    What was read ahead before that still is.
    """
    for base, names, names_each, contents, size_bytes in chunks:
        run = Run(contents, names, names_each, True, CHANNEL, size_bytes)
        cursor.ahead.append(Stretch(run, base, 0, len(contents), NEVER, False))
        cursor.ahead_bytes += size_bytes
    if not cursor.ahead:
        cursor.offset = max(cursor.offset, upto)


def _tracked_name(consumer: Consumer) -> str | None:
    """Under which name the broker remembers how far a consumer is, if it does.

    It does where the client asks for it, and where it names its consumer and does not say
    where to begin (LavinMQ's rules).
    """
    arguments: Table = consumer.arguments
    asked = arguments.get("x-stream-automatic-offset-tracking")
    if asked is not None:
        wanted = asked.value is True or asked.value == "true"
    else:
        wanted = "x-stream-offset" not in arguments and not consumer.tag.startswith(GENERATED)
    return consumer.tag if wanted else None
