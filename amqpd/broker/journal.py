"""The journal: what was decided and is not on disk yet.

Everything durable is an entry here: appends of runs, requeues, settles, purges, drops,
definitions, marks. The store takes a batch, commits it in one transaction and reports its
number; then everything up to that number is safe. An append goes into all its queues or none,
and a transaction (`atomic`) is one entry, never split over two batches.

The journal never touches a disk and never waits.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from amqpd.broker.run import Append, Requeue, Run, Settle, SettleLog, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from amqpd.broker.definitions import Command
    from amqpd.broker.lane import Lane

__all__ = [
    "Append",
    "Batch",
    "Define",
    "Drop",
    "Entry",
    "Group",
    "Journal",
    "Mark",
    "Purge",
    "Requeue",
    "Run",
    "Settle",
    "Target",
]

#: A batch holds at most this many messages and bytes; one entry may be larger than that.
BATCH_MESSAGES = 4096
BATCH_BYTES = 8 << 20
#: Nor so many requeues, or messages in these: nobody waits for them, others for the batch.
BATCH_REQUEUES = 4096
BATCH_REQUEUED = 65_536


@dataclass(frozen=True, slots=True)
class Purge:
    """Positions low to high - 1 of a lane are gone.

    `messages` and `body_bytes` count the persistent ones of a durable queue among them.
    """

    lane: int
    low: int
    high: int
    messages: int
    body_bytes: int


@dataclass(frozen=True, slots=True)
class Drop:
    """Lanes are gone with everything in them."""

    lanes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Define:
    """A definition changed."""

    command: Command


@dataclass(frozen=True, slots=True)
class Mark:
    """Positions below `upto` may have been handed out."""

    lane: int
    upto: int
    home: Lane


@dataclass(slots=True)
class Group:
    """Entries and settles that become durable together or not at all."""

    entries: list[Append | Purge | Drop | Define] = field(default_factory=list)
    settles: list[Settle] = field(default_factory=list)


Entry = Append | Purge | Drop | Define | Group


@dataclass(slots=True)
class Batch:
    """What the store commits in one transaction.

    Applied in this order: defines, appends, requeues, settles, purges and drops, marks.
    """

    number: int
    defines: list[Command] = field(default_factory=list)
    appends: list[Append] = field(default_factory=list)
    requeues: list[Requeue] = field(default_factory=list)
    settles: list[Settle] = field(default_factory=list)
    purges: list[Purge] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    messages: int = 0
    size_bytes: int = 0


class Journal:
    """Collects entries and tells who waits for them when they are safe."""

    def __init__(self) -> None:
        self.log = SettleLog()
        #: The number of the newest entry, and the one up to which all is on disk.
        self.last = 0
        self.safe = 0
        #: Size of the contents that are not on disk yet, batch under way included.
        self.pending_bytes = 0
        self.next_message_id = 1
        self._entries: deque[tuple[int, Entry]] = deque()
        self._group: Group | None = None
        #: Somebody waits for the settles of now.
        self._is_awaited = False
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()

    @property
    def is_empty(self) -> bool:
        """Nothing waits for the next batch."""
        log = self.log
        return not (self._entries or log.settles or log.marking or log.requeues)

    @property
    def has_settles(self) -> bool:
        """There are settles or requeues that nobody waits for: they may stay behind a while."""
        return bool(self.log.settles or self.log.requeues)

    @property
    def only_settles(self) -> bool:
        """Nobody waits for what is in it: settles and requeues may ride with company."""
        return not self._entries and not self.log.marking

    # -- in ------------------------------------------------------------------------------

    def append(self, run: Run, targets: Sequence[tuple[Lane, int, int]]) -> Append:
        """A run goes into the store: (lane, base, deadline in ms) for each lane."""
        number = self._next()
        entry = Append(run, number)
        count = len(run.contents)
        for lane, base, deadline_ms in targets:
            entry.targets.append(Target(lane, run, base, deadline_ms))
            lane.stored += count
        run.entry = entry
        self.pending_bytes += run.size_bytes
        self._add(number, entry)
        return entry

    def define(self, command: Command) -> int:
        """A durable definition changed; the number that must be safe before it is confirmed."""
        number = self._next()
        self._add(number, Define(command))
        return number

    def purge(self, purge: Purge) -> int:
        """A stretch of a lane that is in the store only was removed."""
        number = self._next()
        self._add(number, purge)
        return number

    def drop(self, lanes: tuple[int, ...]) -> int:
        """Lanes went away."""
        number = self._next()
        self._add(number, Drop(lanes))
        return number

    def next_number(self) -> int:
        """A number that becomes safe with the next batch: for marks and settles."""
        number = self._next()
        self._add(number, Group())
        self._is_awaited = True
        return number

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """Everything decided inside becomes durable together (tx.commit, dead lettering)."""
        if self._group is not None:
            yield
            return
        log, before = self.log, self.last
        group, outside = Group(), log.settles
        self._group = group
        log.settles, log.atomic = group.settles, True
        log.epoch += 1
        try:
            yield
        finally:
            self._group = None
            log.settles, log.atomic = outside, False
            log.epoch += 1
            if group.settles and self.last == before:
                self._next()
            if self.last > before:
                self._entries.append((self.last, group))

    def _next(self) -> int:
        self.last += 1
        return self.last

    def _add(self, number: int, entry: Append | Purge | Drop | Define | Group) -> None:
        if self._group is None:
            self._entries.append((number, entry))
        elif not isinstance(entry, Group):
            self._group.entries.append(entry)

    # -- out -----------------------------------------------------------------------------

    def take(self, *, settles: bool = True) -> Batch | None:
        """The next batch for the store; None if there is nothing to write.

        Without `settles` those that nobody waits for stay behind, for a later batch: a batch
        of few messages is written faster without them.
        """
        if self.is_empty:
            return None
        batch = Batch(self.safe)
        while self._entries:
            number, entry = self._entries[0]
            if batch.messages >= BATCH_MESSAGES or batch.size_bytes >= BATCH_BYTES:
                break
            self._entries.popleft()
            self._put(batch, entry)
            batch.number = number
        if not self._entries:
            batch.number = self.last
        # What is dropped or purged must not be settled afterwards.
        if settles or self._is_awaited or batch.drops or batch.purges:
            self._take_requeues(batch)
            self._take_settles(batch)
        else:
            _resolve(batch.settles)
        self._take_marks(batch)
        return batch

    def _put(self, batch: Batch, entry: Entry) -> None:
        match entry:
            case Append():
                self._put_append(batch, entry)
            case Define():
                batch.defines.append(entry.command)
            case Purge():
                batch.purges.append(entry)
            case Drop():
                batch.drops.append(entry)
            case _:  # a group
                for part in entry.entries:
                    self._put(batch, part)
                batch.settles.extend(entry.settles)

    def _put_append(self, batch: Batch, entry: Append) -> None:
        run = entry.run
        run.entry = None
        count = len(run.contents)
        if entry.skipped:
            self.pending_bytes -= run.size_bytes
            return
        run.first_id = self.next_message_id
        run.shared = len(entry.targets) > 1
        self.next_message_id += count
        batch.appends.append(entry)
        batch.messages += count
        batch.size_bytes += run.size_bytes

    def _take_requeues(self, batch: Batch) -> None:
        waiting = self.log.requeues
        if not waiting:
            return
        messages = taken = 0
        early: list[Requeue] = []
        for requeue in waiting[:BATCH_REQUEUES]:
            if messages >= BATCH_REQUEUED:
                break
            taken += 1
            if requeue.run is not None and requeue.run.entry is not None:
                early.append(requeue)  # its messages are in a later batch
                continue
            requeue.run = None
            batch.requeues.append(requeue)
            messages += requeue.hi - requeue.lo
        self.log.requeues = early + waiting[taken:]

    def _take_settles(self, batch: Batch) -> None:
        log = self.log
        batch.settles.extend(log.settles)
        log.settles = []
        log.epoch += 1
        self._is_awaited = False
        _resolve(batch.settles)

    def _take_marks(self, batch: Batch) -> None:
        marking, self.log.marking = self.log.marking, []
        for lane in marking:
            lane.marking = False
            if not lane.dead and lane.id:
                batch.marks.append(Mark(lane.id, max(lane.asked, lane.handed), lane))

    # -- back ----------------------------------------------------------------------------

    def committed(self, batch: Batch) -> None:
        """The store has the batch on disk."""
        self.pending_bytes -= batch.size_bytes
        self.safe = max(self.safe, batch.number)
        for entry in batch.appends:
            for target in entry.targets:
                lane = target.home
                lane.committed_upto = max(
                    lane.committed_upto, target.base + len(entry.run.contents)
                )
                if lane.paged:
                    lane.owner.wake()
        for mark in batch.marks:
            lane = mark.home
            lane.granted = max(lane.granted, mark.upto)
            lane.owner.wake()
        waiting = self._waiting
        while waiting and waiting[0][0] <= self.safe:
            waiting.popleft()[1]()

    def when_safe(self, number: int, call: Callable[[], None]) -> None:
        """Calls back once everything up to `number`, the newest so far, is on disk.

        Called at once if it is already.
        """
        if number <= self.safe:
            call()
        else:
            self._waiting.append((number, call))

    def progress_skipped(self) -> None:
        """Tells those whose appends were settled before they were ever written."""
        while self.log.skipped:
            skipped, self.log.skipped = self.log.skipped, []
            for call in skipped:
                call()


def _resolve(settles: list[Settle]) -> None:
    """Tell settles of runs that have been handed over by now where their messages are."""
    for settle in settles:
        if settle.run is not None:
            settle.first_id = settle.run.first_id + settle.index
            settle.shared = settle.run.shared
            settle.run = None
