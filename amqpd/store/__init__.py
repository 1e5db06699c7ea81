"""Durability: batches of the journal go to disk and come back after a crash.

How it works. The loop thread packs a batch (`packing.py`), some messages a turn, into blobs of
headers and bodies and arrays of integers that say where each message lies in them, and into
ranges of what comes to lanes and leaves them (`ranges.py`). The writer thread (`writer.py`)
cuts the rows out with one statement per table and commits: SQLite's WAL with
`synchronous=FULL`, so the commit returns after the sync. There is no timer; the next batch is
what came together while this one was written. Reads are made by a second thread with a
connection of its own (`reader.py`). Both connections belong to the same SQLite library, and the
schema is created and migrated through sqlite-utils strictly before either is opened: two
libraries on one open file lose data, because POSIX locks belong to the process.

What lies where. `message` holds each message once, appended by a global id; `queue_message`
holds a narrow row for each queue it is in, keyed by lane and position, so a lane is one
stretch of the tree. A message in more than one lane has a row in `message_share` with the
number of lanes; no row means one. That number is not a column of `message` because changing
it would write the body again (decided with the two-table layout: 20 % dearer than bodies
inline with one queue, five to ten times cheaper with hundreds). Counters live in `lane` and
change in the transaction that changes the rows, so opening costs one row per queue.

A message that expires before one that is ahead of it in its lane is flagged, and a partial
index holds just these by deadline; with deadlines in order, as a queue's own time to live makes
them, the index stays empty and costs nothing.

A batch of a few messages is a row of `deferred` first, with all that it brings and settles: one
statement and one sync. It goes into the tables with others, or when somebody looks at them
(`deferred.py`, `merging.py`); those of its messages that are settled by then never do.

A stream has a table of its own, with one row for what a batch brought to it (`chunks.py`); what a
large batch brings to streams alone lies in files beside the database (`streamlog.py`).

Purging and dropping write one row to `garbage`; the rows below it are deleted later, in small
chunks, when nobody waits. Messages that leave from all over the table, as they do where each
expires at a time of its own, are only noted, and deleted when there are many (`scattered.py`).
A damaged message goes to `quarantine`, never to a client. One that the disk does not give back is
noted there too, and stays where it is for `amqpd salvage`; where that does not help, the reads of
this lane alone fail, and are tried again (`StoreUnreadable`).

What it promises: a batch is on disk as a whole or not at all, and once its number is reported
it survives the loss of power. After a failed commit or sync nothing is written any more
(`StoreFailed`): whether that batch is on disk is known only after the next start. What it
never does: decide anything about messages; that is the broker's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from amqpd.broker.archive import Cut, StreamState
    from amqpd.broker.attempts import Counted, Delayed, Returned
    from amqpd.broker.chunk import StoredChunk
    from amqpd.broker.definitions import Command
    from amqpd.broker.expiry import Due
    from amqpd.broker.journal import Batch

__all__ = [
    "CutDone",
    "ExpiredDone",
    "LaneState",
    "OffsetDone",
    "Post",
    "ReadDone",
    "ReturnedDone",
    "Row",
    "Snapshot",
    "Store",
    "StoreDamaged",
    "StoreError",
    "StoreFailed",
    "StoreFull",
    "StoreLocked",
    "StoreNewer",
    "StoreOlder",
    "StoreUnreadable",
    "StreamDone",
    "StreamStore",
    "WalState",
    "WriteDone",
]


class StoreError(Exception):
    """Something about the store; the text names the file and what to do."""

    def __init__(self, path: Path, text: str) -> None:
        super().__init__(text)
        self.path = path


class StoreLocked(StoreError):
    """Another process uses the data directory; it was not touched."""


class StoreNewer(StoreError):
    """A newer version has written the file; it was not touched."""


class StoreDamaged(StoreError):
    """The file is not ours, or not readable."""


class StoreOlder(StoreDamaged):
    """It lacks what was in it before; it was not touched."""


class StoreFailed(StoreError):
    """A commit, a sync or a read failed.

    For a write this is final: what the batch changed is on disk or not, nobody knows before
    the next start, and the store takes nothing any more.
    """


class StoreUnreadable(StoreFailed):
    """What was asked for cannot be read now; nothing else is wrong, and it may be asked again."""

    def __init__(self, path: Path, text: str, lane: int) -> None:
        super().__init__(path, text)
        self.lane = lane


class StoreFull(StoreError):
    """The disk is full. Nothing of the batch was written; it may be handed in again."""


@dataclass(frozen=True, slots=True)
class LaneState:
    """What the store knows of a lane without looking at its messages.

    `messages` and `body_bytes` count persistent messages only; so do `delayed` and
    `delayed_bytes`, those among them that wait for their time since they came back. `counted`:
    some came back.
    """

    next_position: int
    messages: int
    body_bytes: int
    delivered_upto: int
    counted: bool = False
    delayed: int = 0
    delayed_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is on disk at start; costs one row per definition and lane, none per message.

    `commands`, applied in order to an empty model, make the definitions. `clean` tells that
    the last stop was an orderly one.
    """

    clean: bool
    commands: list[Command]
    lanes: dict[int, LaneState] = field(default_factory=dict)
    streams: dict[int, StreamState] = field(default_factory=dict)
    next_message_id: int = 1
    next_lane_id: int = 1
    #: Messages that were set aside because they are damaged, by lane.
    quarantined: dict[int, int] = field(default_factory=dict)


class WalState(NamedTuple):
    """The WAL: its size, and who keeps it from being begun anew, if somebody does."""

    size_bytes: int = 0
    held_by: tuple[str, ...] = ()


class Row(NamedTuple):
    """One message of a lane as it comes back from disk.

    `shared`: other lanes hold it too, as far as was known when it was read. `names` is
    exchange and routing key as two AMQP short strings.
    """

    position: int
    message_id: int
    deadline_ms: int
    shared: bool
    transient: bool
    names: bytes
    header_payload: bytes
    body: bytes


#: Runs a callable on the loop thread, soon (`loop.call_soon_threadsafe`).
Post = Callable[[Callable[[], None]], object]
#: Told the batch's number once it is on disk, or why it is not.
WriteDone = Callable[[int | StoreFull | StoreFailed], None]
#: Told the rows, or why there are none.
ReadDone = Callable[[list[Row] | StoreFailed], None]
#: Told what came back, or why that is not known.
ReturnedDone = Callable[["Returned | StoreFailed"], None]
#: Told what has expired and when the next message does (0: never), or why that is not known.
ExpiredDone = Callable[["tuple[list[Due], int] | StoreFailed"], None]

#: Told what is there of a stream and behind what it ends, an offset, or where it may be cut.
StreamDone = Callable[["tuple[list[StoredChunk], int] | StoreFailed"], None]
OffsetDone = Callable[["int | StoreFailed | None"], None]
CutDone = Callable[["Cut | StoreFailed"], None]


class StreamStore(Protocol):
    """The part of a store that reads streams; what is asked is `amqpd.broker.archive`'s."""

    def read_stream(
        self, lane: int, offset: int, upto: int, max_bytes: int, done: StreamDone
    ) -> None:
        """Whole chunks from `offset` to below `upto`; see `Archive.read_stream`."""
        ...

    def find_offset(
        self, lane: int, first: int, upto: int, since_ms: int | None, done: OffsetDone
    ) -> None:
        """Where to begin; see `Archive.find_offset`."""
        ...

    def find_cut(
        self, lane: int, first: int, upto: int, size: int, since_ms: int, done: CutDone
    ) -> None:
        """What may stay; see `Archive.find_cut`."""
        ...


class Store(StreamStore, Protocol):
    """Where the journal goes. `done` callbacks run on the loop thread."""

    @property
    def owed_bytes(self) -> int:
        """What it will still take of the disk without storing anything new.

        Below 0 is what can be stored without taking any.
        """
        ...

    @property
    def quarantined(self) -> Mapping[int, int]:
        """How many damaged messages were set aside, by lane; changes while it is open."""
        ...

    @property
    def wal(self) -> WalState:
        """How long the WAL is, and who makes it grow."""
        ...

    def open(self) -> Snapshot:
        """Create, migrate or recover the store, and tell what it holds.

        Raises:
            StoreLocked: another process has it.
            StoreNewer: a newer version has written it.
            StoreOlder: it is behind what it was before.
            StoreDamaged: it cannot be read.
            StoreFailed, StoreFull: the disk has failed, or has no room at all.
        """
        ...

    def write(self, batch: Batch, done: WriteDone) -> None:
        """Commit a batch as a whole; `done` gets its number once it is on disk.

        Nobody changes the batch any more; the next one is handed in when `done` was called.
        """
        ...

    def read(
        self,
        lane: int,
        from_position: int,
        upto_position: int,
        max_messages: int,
        max_bytes: int,
        done: ReadDone,
    ) -> None:
        """Committed messages with `from_position <= position < upto_position`, in order.

        At most `max_messages`, and no more once their sizes have reached `max_bytes`. Fewer
        rows than asked for do not mean that nothing is left, no rows at all do.
        """
        ...

    def read_some(self, lane: int, positions: Sequence[int], done: ReadDone) -> None:
        """Those of some positions, all committed, that are there; in the order asked for."""
        ...

    def expired(
        self,
        lane: int,
        from_position: int,
        upto_position: int,
        after: tuple[int, int],
        now_ms: int,
        most: int,
        done: ExpiredDone,
    ) -> None:
        """Early messages of a stretch with a deadline of at most `now_ms`, not their contents.

        Early are those that expire before something ahead of them (`Target.early`). At most
        `most`, in the order of (deadline, position), behind `after`. If these are all, also
        the next deadline behind `now_ms`.
        """
        ...

    def read_returned(self, question: Counted | Delayed, done: ReturnedDone) -> None:
        """Committed messages some of which came back, with what is known of these."""
        ...

    def close(self) -> None:
        """Wait for what was handed in, note that the stop was clean, close the files."""
        ...
