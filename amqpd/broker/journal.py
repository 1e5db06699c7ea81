"""The journal: what was decided and is not on disk yet.

Everything durable is an entry here: appends of runs, requeues, settles, purges, drops,
definitions, marks, and how far consumers of streams are. The store takes a batch, commits it in
one transaction and reports its number; then everything up to that number is safe. An append goes
into all its queues or none, and a transaction (`atomic`) is one entry, never split over two
batches. One that takes several turns (`begin`, `inside`, `end`) is an entry from its beginning:
what is decided after it stays behind it until it has ended.

The journal never touches a disk and never waits.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from amqpd.broker.levels import committed, enter_parts
from amqpd.broker.run import Append, Requeue, Run, Settle, SettleLog, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from amqpd.broker.definitions import Command
    from amqpd.broker.lane import Lane
    from amqpd.broker.levels import Part

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
    "PurgeDelayed",
    "Requeue",
    "Run",
    "Settle",
    "Target",
    "Track",
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
class PurgeDelayed:
    """Messages of a lane below a position that wait for their time are gone.

    Those that are on disk by now, and behind `after`, a time in ms and a position.
    """

    lane: int
    upto: int
    after: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Drop:
    """Lanes are gone with everything in them."""

    lanes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Define:
    """A definition changed."""

    command: Command


class Mark(NamedTuple):
    """Positions below `upto` may have been handed out."""

    lane: int
    upto: int
    home: Lane


@dataclass(frozen=True, slots=True)
class Track:
    """A consumer of a stream goes on at this offset; -1: its name is forgotten."""

    lane: int
    name: str
    offset: int


@dataclass(slots=True)
class Group:
    """Entries, settles and tracks that become durable together or not at all."""

    entries: list[Append | Purge | PurgeDelayed | Drop | Define] = field(default_factory=list)
    settles: list[Settle] = field(default_factory=list)
    tracks: list[Track] = field(default_factory=list)


Entry = Append | Purge | PurgeDelayed | Drop | Define | Group


@dataclass(slots=True)
class Batch:
    """What the store commits in one transaction.

    Applied in this order: defines, appends, purges of what is delayed, requeues, settles, purges
    and drops, marks, tracks.
    """

    number: int
    defines: list[Command] = field(default_factory=list)
    appends: list[Append] = field(default_factory=list)
    delayed_purges: list[PurgeDelayed] = field(default_factory=list)
    requeues: list[Requeue] = field(default_factory=list)
    settles: list[Settle] = field(default_factory=list)
    purges: list[Purge] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    tracks: list[Track] = field(default_factory=list)
    messages: int = 0
    size_bytes: int = 0
    #: The last requeue that is in this or an earlier batch, with all before it.
    requeued: int = 0


@dataclass(slots=True)
class Tracking:
    """How far consumers of streams are, each noted once however often it moved.

    What a consumer has settled must not be known as settled before what was decided ahead of
    it: a generation of tracks waits until everything up to `number` is in a batch, and those
    that come meanwhile are the next generation.
    """

    number: int = 0
    tracks: dict[tuple[int, str], Track] = field(default_factory=dict)
    later: dict[tuple[int, str], Track] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.tracks or self.later)

    def add(self, track: Track) -> None:
        """Note it instead of what was noted of the same consumer."""
        self.later[track.lane, track.name] = track

    def drop(self, track: Track) -> None:
        """What was noted of this consumer is out of date."""
        self.tracks.pop((track.lane, track.name), None)
        self.later.pop((track.lane, track.name), None)

    def take(self, upto: int, last: int) -> list[Track]:
        """What may go with a batch up to this number, where `last` is the newest one."""
        taken: list[Track] = []
        if self.number <= upto:
            taken += self.tracks.values()
            self.number, self.tracks, self.later = last, self.later, {}
            if last <= upto:
                taken += self.tracks.values()
                self.tracks = {}
        return taken


class Journal:
    """Collects entries and tells who waits for them when they are safe."""

    def __init__(self) -> None:
        self.log = SettleLog()
        #: The number of the newest entry, and the one up to which all is on disk.
        self.last = 0
        self.safe = 0
        #: The number of the newest definition.
        self.defined = 0
        #: Size of the contents that are not on disk yet, batch under way included.
        self.pending_bytes = 0
        #: How many messages these are.
        self.pending_messages = 0
        #: Size of the dead letters since the start that have expired: nobody brought it about.
        self.expired_bytes = 0
        self.next_message_id = 1
        self._entries: deque[tuple[int, Entry]] = deque()
        self._tracking = Tracking()
        self._group: Group | None = None
        #: The transaction of several turns that has begun and not ended.
        self.open: Group | None = None
        #: Somebody waits for the settles of now.
        self._is_awaited = False
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()

    @property
    def is_empty(self) -> bool:
        """Nothing waits for the next batch."""
        log = self.log
        return not (self._has_entry or log.settles or log.marking or log.requeues or self._tracking)

    @property
    def has_settles(self) -> bool:
        """There is what nobody waits for: settles, requeues, tracks. It may stay behind a while."""
        return bool(self.log.settles or self.log.requeues or self._tracking)

    @property
    def only_settles(self) -> bool:
        """Nobody waits for what is in it: it may ride with company."""
        return not self._has_entry and not self.log.marking

    @property
    def _has_entry(self) -> bool:
        entries = self._entries
        return bool(entries) and entries[0][1] is not self.open

    # -- in ------------------------------------------------------------------------------

    def append(
        self,
        run: Run,
        targets: list[tuple[Lane, int, int]],
        parts: list[Part] | None = None,
    ) -> Append:
        """A run goes into the store: (lane, base, deadline in ms) for each lane.

        `parts`: which of its messages go to each; two lanes get the same ones or quite others.
        """
        number = self._next()
        entry = Append(run, number)
        if parts is None:
            for lane, base, deadline_ms in targets:
                lane.enter(entry, base, deadline_ms)
            entry.shared = len(targets) > 1
        else:
            entry.shared = enter_parts(entry, targets, parts)
        run.entry = entry
        if entry.extensions and not entry.targets:
            entry.run = entry.extensions[0].run  # the contents as they came are of no use now
        self.pending_bytes += entry.run.size_bytes
        self.pending_messages += len(run.contents)
        self._add(number, entry)
        return entry

    def open_append(self, run: Run) -> Append:
        """The same for a run whose lanes enter bit by bit, all in one transaction; see `begin`."""
        number = self._next()
        entry = run.entry = Append(run, number)
        entry.growing = entry.shared = True
        entry.by_lane = {}
        self.pending_bytes += run.size_bytes
        self.pending_messages += len(run.contents)
        self._add(number, entry)
        return entry

    def close_append(self, entry: Append) -> None:
        """No more lanes enter."""
        entry.growing = False
        if not entry.extensions:
            entry.skipped = entry.left == 0
        elif not entry.targets:
            self.pending_bytes -= entry.run.size_bytes
            entry.run = entry.extensions[0].run  # the contents as they came are of no use now
            self.pending_bytes += entry.run.size_bytes

    def define(self, command: Command) -> int:
        """A durable definition changed; the number that must be safe before it is confirmed."""
        number = self.defined = self._next()
        self._add(number, Define(command))
        return number

    def purge(self, purge: Purge) -> int:
        """A stretch of a lane that is in the store only was removed."""
        number = self._next()
        self._add(number, purge)
        return number

    def purge_delayed(self, purge: PurgeDelayed) -> int:
        """Messages that wait for their time, in the store only, were removed."""
        number = self._next()
        self._add(number, purge)
        return number

    def drop(self, lanes: tuple[int, ...]) -> int:
        """Lanes went away."""
        number = self._next()
        self._add(number, Drop(lanes))
        return number

    def track(self, track: Track) -> None:
        """A consumer of a stream has moved on; nobody waits for that."""
        if self._group is None:
            self._tracking.add(track)
        else:
            self._tracking.drop(track)
            self._group.tracks.append(track)

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
        group, before = Group(), self.last
        try:
            with self._into(group):
                yield
        finally:
            if (group.settles or group.tracks) and self.last == before:
                self._next()
            if self.last > before:
                self._entries.append((self.last, group))

    @contextmanager
    def _into(self, group: Group) -> Iterator[None]:
        log = self.log
        outside = log.settles
        self._group = group
        log.settles, log.atomic = group.settles, True
        log.epoch += 1
        try:
            yield
        finally:
            self._group = None
            log.settles, log.atomic = outside, False
            log.epoch += 1

    def begin(self) -> Group:
        """A transaction that is decided in several turns; there is one at a time."""
        assert self.open is None
        self.open = Group()
        self._entries.append((self.last, self.open))
        return self.open

    @contextmanager
    def inside(self, transaction: Group) -> Iterator[None]:
        """One turn's part of it."""
        with self._into(transaction):
            yield

    def end(self) -> int:
        """It is decided; the number that must be safe before it is confirmed."""
        ended, self.open = self.open, None
        assert ended is not None
        if not (ended.entries or ended.settles or ended.tracks):
            self._entries = deque(one for one in self._entries if one[1] is not ended)
        return self.last

    def _next(self) -> int:
        self.last += 1
        return self.last

    def _add(self, number: int, entry: Entry) -> None:
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
            if entry is self.open:
                break
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
        if settles:
            batch.tracks += self._tracking.take(batch.number, self.last)
        return batch

    def _put(self, batch: Batch, entry: Entry) -> None:
        match entry:
            case Append():
                self._put_append(batch, entry)
            case Define():
                batch.defines.append(entry.command)
            case Purge():
                batch.purges.append(entry)
            case PurgeDelayed():
                batch.delayed_purges.append(entry)
            case Drop():
                batch.drops.append(entry)
            case _:  # a group
                for part in entry.entries:
                    if type(part) is Define:  # of a document there may be very many
                        batch.defines.append(part.command)
                    else:
                        self._put(batch, part)
                batch.settles.extend(entry.settles)
                batch.tracks.extend(entry.tracks)

    def _put_append(self, batch: Batch, entry: Append) -> None:
        run = entry.run
        run.entry = None
        count = len(run.contents)
        if entry.skipped:
            self.pending_bytes -= run.size_bytes
            self.pending_messages -= count
            return
        if entry.targets:
            run.first_id = self.next_message_id
            run.shared = entry.shared
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
        left = self.log.requeues = early + waiting[taken:]
        batch.requeued = left[0].number - 1 if left else self.log.requeued

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
        self.pending_messages -= batch.messages
        self.safe = max(self.safe, batch.number)
        if batch.requeued:
            self._requeued(batch.requeued)
        for entry in batch.appends:
            for lane in committed(entry.targets):
                lane.owner.wake()
            for extension in entry.extensions:
                stream = extension.home
                stream.committed_upto = extension.base + len(extension.run.contents)
                stream.owner.wake()
        for mark in batch.marks:
            lane = mark.home
            lane.granted = max(lane.granted, mark.upto)
            lane.owner.wake()
        waiting = self._waiting
        while waiting and waiting[0][0] <= self.safe:
            waiting.popleft()[1]()

    def _requeued(self, upto: int) -> None:
        log = self.log
        log.requeued_safe = max(log.requeued_safe, upto)
        watching, log.watching = log.watching, {}
        for lane in watching:
            lane.owner.wake()

    def when_safe(self, number: int, call: Callable[[], None]) -> None:
        """Calls back once everything up to `number` is on disk, and those before have been called.

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
