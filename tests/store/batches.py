"""Batches made by hand, and a store driven by the thread that calls it."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING, Literal

from amqpd.broker.attempts import Returned
from amqpd.broker.chunk import Extension, StreamLane, stamp
from amqpd.broker.journal import Batch, Drop, Mark, Purge, PurgeDelayed, Track
from amqpd.broker.lane import Lane
from amqpd.broker.run import Append, Requeue, Run, Settle, SettleLog, Target
from amqpd.store.settings import MIB, StoreSettings
from amqpd.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from amqpd.broker.archive import Cut
    from amqpd.broker.attempts import Counted, Delayed
    from amqpd.broker.chunk import StoredChunk
    from amqpd.broker.definitions import Command
    from amqpd.broker.delivery import Taken
    from amqpd.store import Row, Snapshot, Store, StoreFailed, StoreFull

#: Exchange "ex", routing key "key".
NAMES = b"\x02ex\x03key"
_FRAME = struct.Struct(">BHI")
#: Class 60, weight 0, body size, flags for delivery-mode, delivery-mode 2.
_HEADER = struct.Struct(">HHQHB")


def content(body: bytes, frame_max: int = 131_072) -> bytes:
    """A content as a publisher on channel 1 sends it."""
    header = _HEADER.pack(60, 0, len(body), 0x1000, 2)
    frames = [_FRAME.pack(2, 1, len(header)), header, b"\xce"]
    for at in range(0, len(body), frame_max - 8):
        part = body[at : at + frame_max - 8]
        frames += [_FRAME.pack(3, 1, len(part)), part, b"\xce"]
    return b"".join(frames)


class Nobody:
    """What is told about the lanes of these tests."""

    def wake(self) -> None:
        """Nothing to do."""

    def settled(self, taken: Taken) -> None:
        """Nothing to do."""

    def given_back(self, taken: Taken) -> None:
        """Nothing to do."""


@dataclass
class Writing:
    """Makes batches as the journal does: fresh ids and positions, counters that add up."""

    next_message_id: int = 1
    number: int = 0
    positions: dict[int, int] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)

    def lane(self, lane_id: int, *, durable: bool = True) -> Lane:
        """A lane to append to."""
        return Lane(Nobody(), SettleLog(), lane_id, 0, durable)

    def append(
        self,
        bodies: Sequence[bytes],
        *lanes: int,
        durable: bool = True,
        persistent: bool = True,
        names: bytes = NAMES,
        names_each: list[bytes] | None = None,
        deadline_ms: int = 0,
        deadlines: list[int] | None = None,
        frame_max: int = 131_072,
        streams: Sequence[tuple[int, int, int]] = (),
    ) -> Append:
        """Bodies go into lanes, and into streams (lane, segment, time), at the end of each."""
        contents = [content(body, frame_max) for body in bodies]
        size_bytes = sum(map(len, contents))
        run = Run(contents, names, names_each, persistent, 1, size_bytes)
        run.first_id = self.next_message_id
        run.deadlines = deadlines
        run.shared = len(lanes) > 1
        self.next_message_id += len(bodies)
        entry = Append(run, self.number)
        for lane in lanes:
            base = self.positions.get(lane, 0)
            self.positions[lane] = base + len(bodies)
            home = self.lane(lane, durable=durable)
            entry.targets.append(Target(home, run, base, deadline_ms))
        for lane, segment, stored_ms in streams:
            entry.extensions.append(self._extension(run, lane, segment, stored_ms))
        if not lanes:
            entry.run = entry.extensions[0].run
        return entry

    def extend(
        self, bodies: Sequence[bytes], lane: int, segment: int = 0, stored_ms: int = 0
    ) -> Append:
        """Bodies go to the end of a stream."""
        return self.append(bodies, streams=[(lane, segment, stored_ms)])

    def _extension(self, run: Run, lane: int, segment: int, stored_ms: int) -> Extension:
        base, size = self.positions.get(lane, 0), self.sizes.get(lane, 0)
        stamped = stamp(run, base)
        self.positions[lane] = base + len(run.contents)
        self.sizes[lane] = size + stamped.size_bytes
        home = StreamLane(Nobody(), SettleLog(), lane)
        return Extension(home, stamped, base, stored_ms, segment, size)

    def batch(
        self,
        *entries: Append | Requeue | Settle | Purge | PurgeDelayed | Drop | Mark | Track,
        defines: Sequence[Command] = (),
    ) -> Batch:
        """A batch of these."""
        self.number += 1
        batch = Batch(self.number, defines=list(defines))
        for entry in entries:
            match entry:
                case Append():
                    batch.appends.append(entry)
                case Requeue():
                    batch.requeues.append(entry)
                case Settle():
                    batch.settles.append(entry)
                case Purge():
                    batch.purges.append(entry)
                case PurgeDelayed():
                    batch.delayed_purges.append(entry)
                case Drop():
                    batch.drops.append(entry)
                case Mark():
                    batch.marks.append(entry)
                case Track():
                    batch.tracks.append(entry)
        return batch


def settle(
    append: Append, which: int = 0, low: int = 0, high: int | None = None, *, counted: bool = False
) -> Settle:
    """Messages low to high - 1 of one of an append's targets are done with."""
    run, target = append.run, append.targets[which]
    high = len(run.contents) if high is None else high
    return Settle(
        target.lane,
        target.base + low,
        target.base + high,
        run.first_id + low,
        run.shared,
        run.bytes_of(low, high),
        target.transient,
        counted,
    )


def came_back(
    append: Append, low: int, high: int, acquired: int, failed: int = 0, due_ms: int = 0
) -> Requeue:
    """Messages low to high - 1 of an append's first target came back."""
    target = append.targets[0]
    return Requeue(target.lane, target.base + low, target.base + high, acquired, failed, due_ms)


class Driven:
    """A store whose callbacks run when the test waits for them."""

    def __init__(self, make: Callable[[Callable[[Callable[[], None]], None]], Store]) -> None:
        self._posted: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.store = make(self._posted.put)
        self.snapshot: Snapshot = self.store.open()

    def turn(self) -> None:
        """Wait for one callback, and let it run."""
        self._posted.get(timeout=30)()

    def write(self, batch: Batch) -> int | StoreFull | StoreFailed:
        """Hand in a batch and wait for the answer."""
        answers: list[int | StoreFull | StoreFailed] = []
        self.store.write(batch, answers.append)
        while not answers:
            self.turn()
        return answers[0]

    def read(
        self,
        lane: int,
        from_position: int = 0,
        upto_position: int = 1 << 39,
        max_messages: int = 100_000,
        max_bytes: int = 1 << 40,
    ) -> list[Row]:
        """The rows of a stretch."""
        answers: list[list[Row] | StoreFailed] = []
        self.store.read(lane, from_position, upto_position, max_messages, max_bytes, answers.append)
        while not answers:
            self.turn()
        assert isinstance(answers[0], list), answers[0]
        return answers[0]

    def returned(self, question: Counted | Delayed) -> Returned:
        """What came back."""
        answers: list[Returned | StoreFailed] = []
        self.store.read_returned(question, answers.append)
        while not answers:
            self._posted.get(timeout=30)()
        assert isinstance(answers[0], Returned), answers[0]
        return answers[0]

    def read_stream(
        self, lane: int, offset: int = 0, upto: int = 1 << 39, max_bytes: int = 1 << 40
    ) -> tuple[list[StoredChunk], int]:
        """Chunks of a stream, and behind what they end."""
        answers: list[tuple[list[StoredChunk], int] | StoreFailed] = []
        self.store.read_stream(lane, offset, upto, max_bytes, answers.append)
        while not answers:
            self._posted.get(timeout=30)()
        assert isinstance(answers[0], tuple), answers[0]
        return answers[0]

    def find_offset(self, lane: int, first: int, upto: int, since_ms: int | None) -> int | None:
        """Where to begin in a stream."""
        answers: list[int | StoreFailed | None] = []
        self.store.find_offset(lane, first, upto, since_ms, answers.append)
        while not answers:
            self._posted.get(timeout=30)()
        assert answers[0] is None or isinstance(answers[0], int), answers[0]
        return answers[0]

    def find_cut(self, lane: int, first: int, upto: int, size: int, since_ms: int) -> Cut:
        """Where a stream may be cut."""
        answers: list[Cut | StoreFailed] = []
        self.store.find_cut(lane, first, upto, size, since_ms, answers.append)
        while not answers:
            self._posted.get(timeout=30)()
        assert isinstance(answers[0], tuple), answers[0]
        return answers[0]

    def bodies(self, lane: int) -> list[bytes]:
        """The bodies of a lane, in order."""
        return [row.body for row in self.read(lane)]

    def close(self) -> None:
        """Stop cleanly."""
        self.store.close()


def opened(
    directory: Path,
    driver: Literal["auto", "apsw", "sqlite3"] = "auto",
    *,
    sync: bool = True,
    wal_limit_bytes: int = 64 * MIB,
    sweep_rows: int = 2000,
    vacuum_above_bytes: int = 16 * MIB,
    stream_file_bytes: int = 64 * MIB,
) -> Driven:
    """The store of a directory, open."""
    settings = StoreSettings(
        sync=sync,
        driver=driver,
        wal_limit_bytes=wal_limit_bytes,
        sweep_rows=sweep_rows,
        vacuum_above_bytes=vacuum_above_bytes,
        stream_file_bytes=stream_file_bytes,
    )
    return Driven(lambda post: SqliteStore(directory, post, settings))
