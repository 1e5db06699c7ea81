"""Runs: messages that arrived together, and what the journal says of them.

A `Run` is what arrived together for the same queues. An `Append` takes it to the store, into
all its lanes or none; a `Settle` makes the store forget what is done with; a `Requeue` notes
what came back unsettled. What is settled while its append still waits is cut out of it and
never written. Work here is per run; per message there is a slot in a list.

Compiled; plain Python otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mypy_extensions import i64

from amqpd.broker.content import seal, sizes

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_extensions import i64

    from amqpd.broker.chunk import Extension
    from amqpd.broker.lane import Lane
    from amqpd.broker.stretch import Stretch


#: `Run.first_id` of messages that are in the store under ids that are not consecutive.
UNKNOWN_IDS: Final = -1


class Run:
    """Messages that arrived together and go to the same queues.

    All queues of a run either store it or do not; where they differ, the caller makes a
    second run of the same contents.

    `names` holds exchange and routing key as two AMQP short strings; where messages differ
    `names_each` has them one by one. `channel` is the channel number inside the contents.
    `deadlines` says when each expires (0: never), if they differ, and in all queues alike.
    `entered_ms`: when it was published; 0: it is read from the store, which does not know.
    """

    def __init__(
        self,
        contents: list[bytes],
        names: bytes,
        names_each: list[bytes] | None,
        persistent: bool,
        channel: int,
        size_bytes: int,
    ) -> None:
        self.contents = contents
        self.names = names
        self.names_each = names_each
        self.persistent = persistent
        self.channel = channel
        self.size_bytes: i64 = size_bytes
        self.body_bytes: i64 = sizes(contents, 0, len(contents))
        self.deadlines: list[int] | None = None
        self.entered_ms: i64 = 0
        self.first_id: i64 = 0
        self.shared = False
        self.entry: Append | None = None
        #: Of a run of one: keys that it was routed with and nobody may see (BCC), see `names`.
        self.blind = b""

    def copy(self) -> Run:
        """The same messages, for queues that differ in whether they store them."""
        copy = Run(
            self.contents,
            self.names,
            self.names_each,
            self.persistent,
            self.channel,
            self.size_bytes,
        )
        copy.blind, copy.deadlines = self.blind, self.deadlines
        copy.entered_ms = self.entered_ms
        return copy

    def earliest(self, low: int, high: int) -> int:
        """The first of the deadlines of `contents[low:high]`, which differ; 0: there is none."""
        found: i64 = 0
        deadlines = self.deadlines
        assert deadlines is not None
        at: i64 = low
        end: i64 = high
        while at < end:
            deadline_ms: i64 = deadlines[at]
            if deadline_ms and (found == 0 or deadline_ms < found):
                found = deadline_ms
            at += 1
        return found

    def single(self, index: int) -> Run:
        """One of the messages by itself, for where they cannot go together."""
        content = self.contents[index]
        names = self.names_of(index)
        single = Run([content], names, None, self.persistent, self.channel, len(content))
        single.blind = self.blind
        return single

    def part(self, low: int, high: int) -> Run:
        """Some of the messages by themselves, which were not dated."""
        contents = self.contents[low:high]
        each = self.names_each
        names = None if each is None else each[low:high]
        size: i64 = 0
        for content in contents:
            size += len(content)
        return Run(contents, self.names_of(low), names, self.persistent, self.channel, size)

    def kept(self, low: int, high: int) -> list[bytes]:
        """`contents[low:high]` as the store keeps them."""
        contents = self.contents[low:high]
        return [seal(one, self.blind) for one in contents] if self.blind else contents

    def names_of(self, index: int) -> bytes:
        """Exchange and routing key of one message, as two short strings."""
        return self.names if self.names_each is None else self.names_each[index]

    def share(self, low: int, high: int) -> int:
        """The part of `size_bytes` that `contents[low:high]` answer for; parts add up."""
        count: i64 = len(self.contents)
        return self.size_bytes * high // count - self.size_bytes * low // count

    def bytes_of(self, low: int, high: int) -> int:
        """Body bytes of `contents[low:high]`."""
        if low == 0 and high == len(self.contents):
            return self.body_bytes
        return sizes(self.contents, low, high)

    def reaching(self, low: int, high: int, size_bytes: int) -> int:
        """How many of `contents[low:high]` it takes for bodies of so many bytes; at least 1."""
        at: i64 = low
        end: i64 = high
        left: i64 = size_bytes
        while at < end and left > 0:
            left -= sizes(self.contents, at, at + 1)
            at += 1
        return max(1, at - low)


class Target:
    """Where an append goes: contents[low:high] of the run at positions base + index.

    `dead` marks single indexes that were settled before they were written (1 = skip).
    """

    def __init__(
        self, home: Lane, run: Run, base: int, deadline_ms: int, low: int = 0, high: int = -1
    ) -> None:
        self.home = home
        self.lane: i64 = home.id
        self.base: i64 = base
        self.lo: i64 = low
        self.hi: i64 = len(run.contents) if high < 0 else high
        #: Behind the position of its last message, whatever was cut since.
        self.upto: i64 = self.base + self.hi
        self.dead: bytearray | None = None
        self.deadline_ms: i64 = deadline_ms
        #: It expires before something that is ahead of it: the store must be able to find it.
        self.early = self.deadline_ms != 0 and (
            self.deadline_ms < home.latest_ms or run.deadlines is not None
        )
        self.priority: i64 = home.priority
        self.transient = not (run.persistent and home.durable)

    def cut(self, low: int, high: int) -> None:
        """Leave out contents[low:high]: they were settled before they were written."""
        if low <= self.lo:
            self.lo = max(self.lo, high)
        elif high >= self.hi:
            self.hi = min(self.hi, low)
        else:
            dead = self.dead
            if dead is None:
                dead = self.dead = bytearray(self.hi)
            at: i64 = low
            while at < high:
                dead[at] = 1
                at += 1
        if self.dead is not None:
            self._shrink(self.dead)

    def _shrink(self, dead: bytearray) -> None:
        low: i64 = self.lo
        high: i64 = self.hi
        while low < high and dead[low]:
            low += 1
        while high > low and dead[high - 1]:
            high -= 1
        self.lo = low
        self.hi = high


class Append:
    """One run on its way to the store, into all its lanes and streams or none.

    Where a queue has levels each of these gets a part of it; `shared`: lanes of several queues
    get the same messages. While it is `growing` there are lanes to come, so it is written
    whatever becomes of the messages in those that it has. Of very many lanes, each there once,
    `by_lane` has the target of each, and `left` how many have not settled all of theirs.
    """

    def __init__(self, run: Run, number: int) -> None:
        self.run = run
        self.number: i64 = number
        self.targets: list[Target] = []
        self.extensions: list[Extension] = []
        self.shared = False
        self.growing = False
        self.by_lane: dict[int, Target] | None = None
        self.left: i64 = 0
        self.skipped = False
        self.waiter: Callable[[], None] | None = None


class Settle:
    """Stored messages that are done with: positions lo to hi - 1 of a lane.

    Their message ids are `first_id`, `first_id + 1`, …; where that is not above 0 the store
    looks them up. `shared`: other lanes may still hold them.
    """

    def __init__(
        self,
        lane: int,
        low: int,
        high: int,
        first_id: int,
        shared: bool,
        size_bytes: int,
        transient: bool,
        counted: bool = False,
    ) -> None:
        self.lane: i64 = lane
        self.lo: i64 = low
        self.hi: i64 = high
        self.first_id: i64 = first_id
        self.shared = shared
        self.body_bytes: i64 = size_bytes
        self.transient = transient
        #: Some of them may have been requeued before: the store has counts of these.
        self.counted = counted
        self.run: Run | None = None
        self.index: i64 = 0


class Requeue:
    """Stored messages that came back unsettled: positions lo to hi - 1 of a lane.

    They were handed out `acquired` times, of which `failed` count against the delivery limit.
    Not to be handed out again before `due_ms`; 0 = at once. The last one for a position is
    what counts; one for a message that is gone means nothing. `run`: must be written first.
    """

    def __init__(
        self, lane: int, low: int, high: int, acquired: int, failed: int, due_ms: int
    ) -> None:
        self.lane: i64 = lane
        self.lo: i64 = low
        self.hi: i64 = high
        self.acquired: i64 = acquired
        self.failed: i64 = failed
        self.due_ms: i64 = due_ms
        self.number: i64 = 0
        self.run: Run | None = None


class SettleLog:
    """Where lanes write what was settled; the journal's, shared by all of them.

    `epoch` changes whenever the list is taken away: a lane then begins a new `Settle`
    instead of growing its last one. While `atomic` nothing is cut out of an append: what a
    transaction settles must leave together with what it publishes. Requeues are never part
    of a transaction: without them a message comes back all the same.
    """

    def __init__(self) -> None:
        self.settles: list[Settle] = []
        self.requeues: list[Requeue] = []
        #: So many requeues were ever written here; the last number of those that are on disk.
        self.requeued: i64 = 0
        self.requeued_safe: i64 = 0
        #: Who wants to be woken when there are more of them.
        self.watching: dict[Lane, None] = {}
        self.marking: list[Lane] = []
        self.skipped: list[Callable[[], None]] = []
        self.epoch: i64 = 1
        self.atomic = False

    def requeue(self, lane: i64, piece: Stretch, due_ms: int) -> None:
        """Messages of a lane came back; what follows the last one is told with it."""
        low: i64 = piece.base + piece.lo
        high: i64 = piece.base + piece.hi
        waits_for = piece.run if piece.run.entry is not None else None
        if self.requeues:
            last = self.requeues[-1]
            if (
                last.lane == lane
                and last.hi == low
                and last.acquired == piece.acquired
                and last.failed == piece.failed
                and last.due_ms == due_ms
                and last.run is waits_for
            ):
                last.hi = high
                return
        last = Requeue(lane, low, high, piece.acquired, piece.failed, due_ms)
        last.run = waits_for
        self.requeued += 1
        last.number = self.requeued
        self.requeues.append(last)
