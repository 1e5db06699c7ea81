"""Lanes: where the messages of a queue wait, one lane for each priority level.

A `Lane` holds stretches of runs in the order of their positions, of which only a window at
the head (`window`) is in memory. A position is given once, at enqueue, and is the only order
there is. What reached the store (`Run.first_id` is not 0) leaves it by a `Settle` in the
journal.

**Honest redelivery.** After a crash everything below a lane's durable mark counts as handed
out. A stored message may therefore be handed out only below `granted`, the mark that is on
disk or on its way there together with the message. Marks move ahead in growing steps, so a
busy lane does not wait for them, and a quiet one is exact.

Compiled; plain Python otherwise. Promises nothing about threads: everything runs in one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from mypy_extensions import i64

from amqpd.broker.counts import Counts
from amqpd.broker.run import Run, Settle, Target
from amqpd.broker.stretch import Stretch
from amqpd.broker.window import Window

if TYPE_CHECKING:
    from mypy_extensions import i64

    from amqpd.broker.delivery import Taken
    from amqpd.broker.run import Append, SettleLog


#: Later than any deadline: of messages that never expire.
NO_DEADLINE: Final = 1 << 62

#: The furthest a mark runs ahead of what was handed out, in messages.
MARK_AHEAD: Final = 8192


class Wakeable(Protocol):
    """What is told that a lane may have something to hand out again."""

    def wake(self) -> None:
        """Look at the lane again with the next dispatch."""


class Lane(Window):
    """One priority level of a queue.

    Positions below `loaded_upto` that are ready are in memory; from there to
    `next_position` they are in the store only, or on their way there. `ready` counts both,
    `paged_out` the persistent ones of a durable queue among the latter.

    `latest_ms` is the latest deadline of all that came since the lane was last empty. While
    each message's own is at least that, messages expire in their order, so it is enough to
    look at the head; once one is earlier the lane is `mixed`. `counted`: the store has, or may
    have, counts of messages that were requeued. `delayed` are those of them that wait for their
    time (`retry`): they are neither ready nor unacked.
    """

    def __init__(
        self,
        owner: Wakeable,
        log: SettleLog,
        lane_id: int,
        priority: int,
        durable: bool,
        total: Counts | None = None,
    ) -> None:
        super().__init__()
        self.owner = owner
        #: What has passed through this lane, and through all that share the total.
        self.counts = Counts()
        self.total = total if total is not None else Counts()
        self.log = log
        self.id: i64 = lane_id
        self.priority: i64 = priority
        self.durable = durable
        #: It stands among the levels of its queue that have something.
        self.occupied = True
        self.next_position: i64 = 0
        self.loaded_upto: i64 = 0
        self.committed_upto: i64 = 0
        self.ready: i64 = 0
        self.ready_bytes: i64 = 0
        self.unacked: i64 = 0
        self.unacked_bytes: i64 = 0
        self.delayed: i64 = 0
        self.delayed_bytes: i64 = 0
        self.paged_out: i64 = 0
        self.paged_out_bytes: i64 = 0
        self.granted: i64 = 0
        self.handed: i64 = 0
        self.asked: i64 = 0
        self.marking = False
        self.refilling = False
        self.dead = False
        self.redelivered_below: i64 = 0
        self.stored: i64 = 0  # messages of this lane in the store or on their way
        self.latest_ms: i64 = 0
        self.mixed = False
        self.counted = False
        self._latest_upto: i64 = 0
        self._last_settle: Settle | None = None
        self._last_epoch: i64 = 0
        #: What clients hold instead of the runs of what they have not settled.
        self.placeholder: Run | None = None
        #: No queue's: of deliveries that were taken back from a client.
        self.is_grave = False
        #: What `sums.moved` saw last.
        self.seen_passed: i64 = -1
        self.seen_ready: i64 = 0
        self.seen_unacked: i64 = 0
        self.seen_delayed: i64 = 0

    def recover(
        self,
        next_position: int,
        messages: int,
        body_bytes: int,
        delivered_upto: int,
        counted: bool = False,
        delayed: int = 0,
        delayed_bytes: int = 0,
    ) -> None:
        """Take over what the store had at start; nothing is in memory yet."""
        self.counted = counted
        self.delayed = delayed
        self.delayed_bytes = delayed_bytes
        # Marks run ahead: what arrives now must not count as handed out in a former life.
        self.next_position = max(next_position, delivered_upto)
        self.committed_upto = self.next_position
        self.loaded_upto = 0 if messages > delayed else self.next_position
        self.stored = messages
        self.ready = self.paged_out = messages - delayed
        self.ready_bytes = self.paged_out_bytes = body_bytes - delayed_bytes
        self.granted = self.handed = self.asked = delivered_upto
        self.redelivered_below = delivered_upto
        if messages:
            self.mixed = True  # for all we know
            self.latest_ms = NO_DEADLINE

    # -- what is in the lane -------------------------------------------------------------

    @property
    def paged(self) -> bool:
        """More is waiting than is in memory: new arrivals go to the store only."""
        return self.loaded_upto < self.next_position

    @property
    def is_full(self) -> bool:
        """The memory window is used up: what arrives now must be in the store."""
        return (
            self.loaded_upto < self.next_position
            or self.loaded >= self.window
            or self.loaded_bytes >= self.window_bytes
        )

    # -- in ------------------------------------------------------------------------------

    def push(
        self, run: Run, deadline_ms: int, in_memory: bool, low: int = 0, high: int = -1
    ) -> int:
        """Put a run, or `contents[low:high]` of it, at the end; the position of `contents[0]`.

        If that is not put there its position is but a number. `in_memory` False: the caller
        sends the run to the store, where it stays until the window has moved on to it.
        """
        first: i64 = low
        end: i64 = len(run.contents) if high < 0 else high
        start: i64 = self.next_position
        count: i64 = end - first
        base: i64 = start - first
        if run.deadlines is not None:
            self._note_deadlines()
        elif deadline_ms != 0:
            self._note_deadline(start, start + count, deadline_ms)
        self.next_position = start + count
        self.counts.published += count
        self.total.published += count
        body_bytes: i64 = run.bytes_of(first, end)
        self.ready += count
        self.ready_bytes += body_bytes
        if in_memory:
            self._stretches.append(Stretch(run, base, first, end, deadline_ms, False))
            self.loaded += count
            self.loaded_bytes += run.share(first, end)
            self.loaded_upto = self.next_position
        elif run.persistent and self.durable:
            self.paged_out += count
            self.paged_out_bytes += body_bytes
        return base

    def _note_deadline(self, base: i64, upto: i64, deadline_ms: i64) -> None:
        if self.ready == 0 and self.unacked == 0 and self.delayed == 0:
            self.mixed = False
            self.latest_ms = 0
        elif self._latest_upto != base:
            self.latest_ms = NO_DEADLINE  # what came in between has none
        if deadline_ms < self.latest_ms:
            self.mixed = True
        self.latest_ms = max(self.latest_ms, deadline_ms)
        self._latest_upto = upto

    def _note_deadlines(self) -> None:
        """Messages of one run expire in any order: so does whatever comes behind them."""
        self.mixed = True
        self.latest_ms = NO_DEADLINE

    def load(self, stretches: list[Stretch], upto: int) -> None:
        """Take over what the store had below `upto`, in the order of positions."""
        for stretch in stretches:
            self._stretches.append(stretch)
            run = stretch.run
            self.loaded += stretch.hi - stretch.lo
            self.loaded_bytes += run.size_bytes
            if run.persistent:
                self.paged_out -= stretch.hi - stretch.lo
                self.paged_out_bytes -= run.body_bytes
        self.loaded_upto = max(self.loaded_upto, upto)
        if self.loaded != self.ready and self.loaded_upto == self.next_position:
            self._miss()

    def _miss(self) -> None:
        """What the store did not have any more (quarantined) is not ready either."""
        self.stored -= self.ready - self.loaded
        self.ready = self.loaded
        self.ready_bytes = 0
        self.paged_out = 0
        self.paged_out_bytes = 0
        for stretch in self.stretches():
            self.ready_bytes += stretch.run.bytes_of(stretch.lo, stretch.hi)

    def requeue(self, pieces: list[Stretch]) -> None:
        """Return unacked messages to their old places, marked redelivered."""
        for piece in pieces:
            if piece.run.persistent and self.durable:
                self.note_requeue(piece, 0)
            self.forget(piece.run, piece.lo, piece.hi)
            piece.redelivered = True
        self.put(pieces)

    def delay(self, piece: Stretch) -> None:
        """Unacked messages came back and wait for their time, wherever that is."""
        self.forget(piece.run, piece.lo, piece.hi)
        self.delayed += piece.hi - piece.lo
        self.delayed_bytes += piece.run.bytes_of(piece.lo, piece.hi)
        piece.redelivered = True

    def undelay(self, messages: int, size_bytes: int) -> None:
        """Delayed messages are that no more; the caller says what they are now."""
        self.delayed -= messages
        self.delayed_bytes -= size_bytes

    def restore(self, messages: int, size_bytes: int) -> None:
        """Persistent messages that are on disk only are ready from now on."""
        self.ready += messages
        self.ready_bytes += size_bytes
        self.paged_out += messages
        self.paged_out_bytes += size_bytes

    def put(self, pieces: list[Stretch]) -> None:
        """Stretches that were not ready are so from now on, in their old places."""
        for piece in pieces:
            count: i64 = piece.hi - piece.lo
            self.ready += count
            self.ready_bytes += piece.run.bytes_of(piece.lo, piece.hi)
            self.loaded += count
            self.loaded_bytes += piece.run.share(piece.lo, piece.hi)
        if len(pieces) == 1:
            self._insert(pieces[0])
        else:
            self._insert_all(pieces)

    # -- out -----------------------------------------------------------------------------

    def take(self, limit: int, settle: bool, stretch: Stretch | None = None) -> Stretch | None:
        """Up to `limit` messages from the head, all of one run; None if none may go now.

        With `settle` they are done with at once (no acknowledgement is expected), else
        they are unacked until `settle` or `requeue`. `stretch`: from there, it waits somewhere
        in the window.
        """
        if self._first >= len(self._stretches):
            return None
        head = self._stretches[self._first] if stretch is None else stretch
        count: i64 = min(limit, head.hi - head.lo)
        if head.run.entry is not None or head.run.first_id != 0:
            count = self._grant(head, count, limit)
            if count == 0:
                return None
        piece = self._take(head, count, settle)
        self.counts.out(piece.hi - piece.lo, settle, piece.redelivered)
        self.total.out(piece.hi - piece.lo, settle, piece.redelivered)
        return piece

    def take_now(self, settle: bool, stretch: Stretch | None = None) -> tuple[Stretch, bool] | None:
        """The first message, whatever the mark says, for a reply that can wait for the disk.

        The flag tells that it must: until the mark that the next batch carries is on disk.
        """
        if self._first >= len(self._stretches):
            return None
        head = self._stretches[self._first] if stretch is None else stretch
        wait = False
        if head.run.entry is not None or head.run.first_id != 0:
            wait = self._grant(head, 1, 1) == 0
            if wait:
                self.handed = max(self.handed, head.base + head.lo + 1)
        piece = self._take(head, 1, settle)
        self.counts.get(settle, piece.redelivered)
        self.total.get(settle, piece.redelivered)
        return piece, wait

    def _take(self, head: Stretch, count: i64, settle: bool) -> Stretch:
        run = head.run
        low: i64 = head.lo
        if head is not self._stretches[self._first]:
            piece = self._cut_off(head, count)
        elif count == head.hi - low:
            piece = head
            head.waits = False
            self._drop_first()
        else:
            piece = Stretch(
                run,
                head.base,
                low,
                low + count,
                head.deadline_ms,
                head.redelivered,
                head.acquired,
                head.failed,
            )
            head.lo = low + count
        size: i64 = run.bytes_of(low, low + count)
        self.ready -= count
        self.ready_bytes -= size
        self.loaded -= count
        self.loaded_bytes -= run.share(low, low + count)
        if settle:
            self.settle(run, head.base, low, low + count)
        else:
            self.unacked += count
            self.unacked_bytes += size
        return piece

    def ask(self, limit: int) -> None:
        """See to it that the next `limit` messages may soon be handed out."""
        head = self.head()
        if head is not None and head.run.first_id != 0 and not head.redelivered:
            self._ask(head.base + head.lo, limit)

    def _ask(self, start: i64, limit: i64) -> None:
        """Have the mark moved: exactly at first, later ahead by some credit.

        A consumer that goes on finds the next mark on disk before it needs it; after a
        crash no more than what it could have had soon counts as handed out.
        """
        want: i64 = min(start + limit, self.loaded_upto)
        ahead: i64 = 0
        if self.handed > 0:
            ahead = min(limit * 4, MARK_AHEAD)
        if self.asked < want + ahead // 2:
            self._mark(want + ahead)

    def _grant(self, head: Stretch, count: i64, limit: i64) -> i64:
        """How many of the next `count` may be handed out under the lane's mark."""
        start: i64 = head.base + head.lo
        end: i64 = start + count
        if head.run.first_id == 0:
            # Still in the journal: the mark travels in the same batch, or before it.
            self.handed = max(self.handed, end)
            if self.granted < end:
                self.granted = end
                self._mark(end)
            return count
        if end + limit > self.granted:
            self._ask(start, limit)
        count = max(0, min(count, self.granted - start))
        if count > 0:
            self.handed = max(self.handed, start + count)
        return count

    def _mark(self, upto: i64) -> None:
        self.asked = max(self.asked, upto)
        if not self.marking:
            self.marking = True
            self.log.marking.append(self)

    def enter(
        self, entry: Append, base: int, deadline_ms: int, low: int = 0, high: int = -1
    ) -> None:
        """What was pushed is on its way to the store with this append; see `push`."""
        target = Target(self, entry.run, base, deadline_ms, low, high)
        entry.targets.append(target)
        if entry.by_lane is not None:
            entry.by_lane[self.id] = target
            entry.left += 1
        self.stored += target.hi - target.lo

    # -- done ----------------------------------------------------------------------------

    def acked(self, taken: Taken) -> None:
        """Deliveries were acknowledged."""
        if self.dead:
            return
        self.done(taken.run, taken.base, taken.lo, taken.hi)

    def hears_of_return(self, taken: Taken) -> bool:
        """Deliveries came back; True: that is all there is to do."""
        return False

    def done(self, run: Run, base: int, low: int, high: int) -> None:
        """Unacked messages were acknowledged: they leave the queue for good."""
        self.counts.acked += high - low
        self.total.acked += high - low
        self.forget(run, low, high)
        self.settle(run, base, low, high)

    def forget(self, run: Run, low: int, high: int) -> None:
        """Unacked messages are in nobody's hands any more; the caller settles them."""
        self.unacked -= high - low
        self.unacked_bytes -= run.bytes_of(low, high)

    def settle(self, run: Run, base: int, low: int, high: int) -> None:
        """Make the store forget messages that left the lane."""
        if self.dead:
            return
        if run.first_id == 0:
            entry = run.entry
            if entry is None:
                return
            if not self.log.atomic:
                self._cut(entry, low, high)
                return
        elif not self.log.atomic and self._grow(run, base, low, high):
            return
        first: i64 = run.first_id
        last = Settle(
            self.id,
            base + low,
            base + high,
            first + low if first > 0 else first,
            run.shared,
            run.bytes_of(low, high),
            not (run.persistent and self.durable),
            self.counted,
        )
        if first == 0:
            last.run = run
            last.index = low
        self.log.settles.append(last)
        self._last_settle = last
        self._last_epoch = self.log.epoch
        self.stored -= high - low

    def _grow(self, run: Run, base: int, low: int, high: int) -> bool:
        last = self._last_settle
        if last is None or self._last_epoch != self.log.epoch:
            return False
        if last.hi != base + low or last.shared != run.shared:
            return False
        if last.transient == (run.persistent and self.durable):
            return False
        if last.first_id > 0:
            if last.first_id + (last.hi - last.lo) != run.first_id + low:
                return False
        elif run.first_id > 0:
            return False
        last.hi = base + high
        last.body_bytes += run.bytes_of(low, high)
        last.counted = self.counted
        self.stored -= high - low
        return True

    def note_requeue(self, piece: Stretch, due_ms: int) -> None:
        """Have the store remember how often the messages of a stretch came back."""
        if not self.dead:
            self.counted = True
            self.log.requeue(self.id, piece, due_ms)

    def _cut(self, entry: Append, low: int, high: int) -> None:
        self.stored -= high - low
        if entry.by_lane is not None:
            target = entry.by_lane[self.id]
            target.cut(low, high)
            if target.lo < target.hi:
                return
            entry.left -= 1
            left = entry.growing or entry.left > 0 or len(entry.extensions) > 0
        else:
            for target in entry.targets:
                if target.home is self:
                    target.cut(low, high)
                    if target.lo < target.hi:
                        return
            left = len(entry.extensions) > 0
            for target in entry.targets:
                if target.lo < target.hi:
                    left = True
        if not left and not entry.skipped:
            entry.skipped = True
            if entry.waiter is not None:
                self.log.skipped.append(entry.waiter)

    def remove(self, count: int) -> Stretch:
        """Take up to `count` messages of the first stretch out, unconditionally and unsettled.

        For expiry and overflow; there must be one in memory.
        """
        head = self._stretches[self._first]
        piece = self._take(head, min(count, head.hi - head.lo), False)
        self.forget(piece.run, piece.lo, piece.hi)
        return piece

    def remove_of(self, stretch: Stretch, count: int) -> Stretch:
        """The same with a stretch that waits anywhere in the window: its first messages."""
        if stretch is self._stretches[self._first]:
            return self.remove(count)
        low: i64 = stretch.lo
        high: i64 = min(stretch.hi, low + count)
        run = stretch.run
        self.ready -= high - low
        self.ready_bytes -= run.bytes_of(low, high)
        self.loaded -= high - low
        self.loaded_bytes -= run.share(low, high)
        return self._cut_off(stretch, high - low)

    def uncount_stored(self, messages: int, size_bytes: int, transient: bool) -> None:
        """Messages that are in the store only are not ready any more; the caller settles them."""
        self.ready -= messages
        self.ready_bytes -= size_bytes
        if not transient:
            self.paged_out -= messages
            self.paged_out_bytes -= size_bytes

    def settle_stored(
        self, position: int, message_id: int, shared: bool, transient: bool, size_bytes: int
    ) -> None:
        """A message that is ready in the store only leaves the lane."""
        self.uncount_stored(1, size_bytes, transient)
        self.stored -= 1
        last = self._last_settle
        if (
            last is not None
            and self._last_epoch == self.log.epoch
            and last.hi == position
            and last.first_id > 0
            and last.first_id + (last.hi - last.lo) == message_id
            and last.shared == shared
            and last.transient == transient
        ):
            last.hi += 1
            last.body_bytes += size_bytes
            last.counted = self.counted
            return
        last = Settle(
            self.id,
            position,
            position + 1,
            message_id,
            shared,
            size_bytes,
            transient,
            self.counted,
        )
        self.log.settles.append(last)
        self._last_settle = last
        self._last_epoch = self.log.epoch
