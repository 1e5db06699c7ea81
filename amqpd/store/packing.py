"""A batch of the journal in the form in which it is bound to statements.

Runs on the loop thread and costs it about a microsecond per message: everything is done for
many messages by one call into C, nothing is copied twice. A large batch is packed in steps,
so that everybody else has a turn in between. The result shares nothing with the model, so the
writer thread may take its time with it.

A **place** tells where a message lies in its chunk's blob, in one integer: 24 bits of offset,
19 bits of body length, 19 bits of header length; it is never 0. A content of more than half a
megabyte is bound as parameters of its own.
"""

from __future__ import annotations

import struct
import sys
from array import array
from dataclasses import dataclass, field
from itertools import accumulate
from operator import add
from typing import TYPE_CHECKING, Final
from zlib import crc32

from amqpd.broker.content import body, header_payload
from amqpd.store.chunks import StreamPacking
from amqpd.store.ranges import (
    POSITION_BITS,
    TRANSIENT,
    Change,
    Ranges,
    Stay,
    alive,
    copies,
    joined,
    key_of,
    united,
)

if TYPE_CHECKING:
    from amqpd.broker.definitions import Command
    from amqpd.broker.journal import (
        Append,
        Batch,
        PurgeDelayed,
        Requeue,
        Run,
        Target,
        Track,
    )
    from amqpd.store.chunks import Block

#: Width of the two lengths in a place.
SIZE_BITS: Final = 19
#: A larger content is bound by itself; names are the room that is left.
LARGE_BYTES: Final = (1 << SIZE_BITS) - 1024
#: What a chunk holds at most. With names of 512 bytes each its blob stays below 24 bits.
CHUNK_BYTES: Final = 8 << 20
CHUNK_MESSAGES: Final = 8192
#: What is packed in one step: so many messages, and fewer of more than a kilobyte; about a
#: millisecond.
STEP: Final = 512
#: A message for a stream alone takes such a part of the time.
STREAM_SHARE: Final = 8
#: Ids in one chunk may skip this many at a time (messages settled before they were written).
GAP: Final = 4096

#: Frame header, content header up to the body size: its payload's size, the body's size.
_SIZES: Final = struct.Struct(">3xI4xQ").unpack_from


@dataclass(frozen=True, slots=True)
class Chunk:
    """Messages with ids from `first_id` on: one place and one checksum each, 0 for a hole."""

    first_id: int
    places: array[int]
    checksums: bytes
    blob: bytes


@dataclass(frozen=True, slots=True)
class Large:
    """A message that is bound by itself. Taking it apart is left to the writer thread."""

    id: int
    names: bytes
    content: bytes

    def parts(self) -> tuple[bytes, bytes, bytes]:
        """Checksum, header and body, as they are stored."""
        header, payload = self.names + header_payload(self.content), body(self.content)
        return checksum_of(header, payload), header, payload


@dataclass(frozen=True, slots=True)
class Dated:
    """Messages from `first_id` on are in a lane until the times in `expire_at` (0: for ever)."""

    first_key: int
    first_id: int
    flags: int
    priority: int
    expire_at: array[int]

    @property
    def is_possible(self) -> bool:
        """As with a `Stay`."""
        last_key = self.first_key + len(self.expire_at) - 1
        return self.first_key >> POSITION_BITS == last_key >> POSITION_BITS


@dataclass(frozen=True, slots=True)
class Share:
    """Messages first_id to last_id are in `lanes` lanes each."""

    first_id: int
    last_id: int
    lanes: int


#: Messages that came back: first and last key, acquired, failed, due at (None: at once).
Comeback = tuple[int, int, int, int, int | None]


@dataclass(slots=True)
class Packed:
    """A batch, ready to be bound. Ranges are closed: first and last belong to them."""

    number: int
    defines: list[Command]
    #: Of the contents.
    size_bytes: int = 0
    chunks: list[Chunk] = field(default_factory=list)
    large: list[Large] = field(default_factory=list)
    stays: list[Stay] = field(default_factory=list)
    dated: list[Dated] = field(default_factory=list)
    shares: list[Share] = field(default_factory=list)
    delayed_purges: list[PurgeDelayed] = field(default_factory=list)
    comebacks: list[Comeback] = field(default_factory=list)
    #: Keys that are done with, and the ids of their messages where no other lane has them.
    gone_keys: list[tuple[int, int]] = field(default_factory=list)
    gone_ids: list[tuple[int, int]] = field(default_factory=list)
    #: Of the bodies of these.
    gone_bytes: int = 0
    #: Keys that are done with and whose messages must be looked up and counted down.
    released: list[tuple[int, int]] = field(default_factory=list)
    #: Keys that are done with and may have come back before.
    gone_returns: list[tuple[int, int]] = field(default_factory=list)
    garbage: list[tuple[int, int]] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)
    #: What comes to streams, and how far their consumers are.
    blocks: list[Block] = field(default_factory=list)
    tracks: list[Track] = field(default_factory=list)
    changes: dict[int, Change] = field(default_factory=dict)

    @property
    def is_of_streams(self) -> bool:
        """Nothing is in it but what comes to streams, and how far their consumers are."""
        others = (
            self.defines, self.chunks, self.large, self.stays, self.dated, self.shares,
            self.delayed_purges, self.comebacks, self.gone_keys, self.gone_ids, self.released,
            self.gone_returns, self.garbage, self.dropped,
        )  # fmt: skip
        return not any(others) and all(
            change.delivered_upto is None for change in self.changes.values()
        )


def pack(batch: Batch) -> Packed:
    """Read a batch completely."""
    packing = Packing(batch)
    while (packed := packing.step()) is None:
        pass
    return packed


class Packing:
    """A batch while it is being packed; it must not change meanwhile."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._packed = Packed(batch.number, list(batch.defines), batch.size_bytes)
        packed = self._packed
        self._ranges = Ranges(
            packed.stays,
            packed.changes,
            packed.gone_keys,
            packed.gone_ids,
            packed.released,
            packed.gone_returns,
        )
        self._messages = _Messages(packed, self._ranges)
        self._streams = StreamPacking(self._packed.blocks)
        self._appends = iter(batch.appends)
        self._settles = iter(batch.settles)

    @property
    def is_short(self) -> bool:
        """One step is enough for what it appends."""
        return sum(map(_effort, self._batch.appends)) < STEP

    def step(self) -> Packed | None:
        """Read a part of it; the whole when it was the last one."""
        left = STEP
        for append in self._appends:
            if append.targets:
                self._messages.add(append)
            for extension in append.extensions:
                self._streams.add(extension)
            left -= _effort(append)
            if left <= 0:
                self._messages.flush()
                return None
        self._messages.flush()
        for settle in self._settles:
            self._ranges.settle(settle)
            left -= 1
            if left <= 0:
                return None
        return self._finished()

    def _finished(self) -> Packed:
        batch, packed, ranges = self._batch, self._packed, self._ranges
        packed.stays = joined(packed.stays)
        packed.gone_keys = united(packed.gone_keys)
        packed.gone_ids = united(packed.gone_ids)
        packed.gone_bytes = ranges.gone_bytes
        packed.delayed_purges = batch.delayed_purges
        packed.comebacks = [_comeback(requeue) for requeue in batch.requeues]
        self._streams.finish()
        for block in packed.blocks:
            for chunk in block.chunks:
                change = ranges.change(chunk.lane)
                change.next_position = max(change.next_position, chunk.base + chunk.messages)
                change.messages += chunk.messages
                change.body_bytes += chunk.size_bytes
        packed.tracks = batch.tracks
        for purge in batch.purges:
            first, last = key_of(purge.lane, purge.low), key_of(purge.lane, purge.high) - 1
            packed.garbage.append((first, last))
            change = ranges.change(purge.lane)
            change.messages -= purge.messages
            change.body_bytes -= purge.body_bytes
        for drop in batch.drops:
            packed.dropped.extend(drop.lanes)
        for mark in batch.marks:
            change = ranges.change(mark.lane)
            change.delivered_upto = max(change.delivered_upto or 0, mark.upto)
        return packed


def _effort(append: Append) -> int:
    """What an append takes of a step; what goes to streams alone is not taken apart."""
    effort = len(append.run.contents) + append.run.size_bytes // 1024
    return 1 + (effort if append.targets else effort // STREAM_SHARE)


def _comeback(requeue: Requeue) -> Comeback:
    first, last = key_of(requeue.lane, requeue.lo), key_of(requeue.lane, requeue.hi) - 1
    return first, last, requeue.acquired, requeue.failed, requeue.due_ms or None


class _Messages:
    """Gathers the messages of all appends and packs them chunk by chunk."""

    def __init__(self, packed: Packed, ranges: Ranges) -> None:
        self._packed = packed
        self._ranges = ranges
        self._clear()

    def _clear(self) -> None:
        self._ids: list[int] = []
        self._names: list[bytes] = []
        self._contents: list[bytes] = []
        self._size_bytes = 0

    def add(self, append: Append) -> None:
        """Take an append's messages, each once, and note where they stay."""
        run, targets, ranges = append.run, append.targets, self._ranges
        for target in targets:
            if run.deadlines is None:
                ranges.enter(target, run)
                continue
            for low, high in alive(target):
                self._dated(target, run, run.deadlines[low:high], low)
                ranges.count(target, run, low, high)
        for low, high, lanes in copies(targets):
            self._take(run, low, high)
            if lanes > 1:
                share = Share(run.first_id + low, run.first_id + high - 1, lanes)
                self._packed.shares.append(share)

    def _dated(self, target: Target, run: Run, deadlines: list[int], low: int) -> None:
        dated = Dated(
            key_of(target.lane, target.base + low),
            run.first_id + low,
            TRANSIENT * target.transient,
            target.priority,
            array("q", deadlines),
        )
        self._packed.dated.append(dated)

    def _take(self, run: Run, low: int, high: int) -> None:
        first_id = run.first_id + low
        if not self._fits(first_id, run.share(low, high), high - low):
            self.flush()
        many = len(run.contents) > CHUNK_MESSAGES
        if many or (run.size_bytes > LARGE_BYTES and not _is_small(run)):
            self._take_each(run, low, high)
            return
        self._size_bytes += run.share(low, high)
        self._ids.extend(range(first_id, run.first_id + high))
        self._contents.extend(run.kept(low, high))
        if run.names_each is None:
            self._names.extend([run.names] * (high - low))
        else:
            self._names.extend(run.names_each[low:high])

    def _fits(self, id_: int, size_bytes: int, count: int) -> bool:
        ids = self._ids
        return not ids or (
            ids[-1] < id_ <= ids[-1] + GAP
            and self._size_bytes + size_bytes <= CHUNK_BYTES
            and len(ids) + count <= CHUNK_MESSAGES
        )

    def _take_each(self, run: Run, low: int, high: int) -> None:
        """One by one: large ones aside, chunks cut where they are full."""
        for index in range(low, high):
            (content,) = run.kept(index, index + 1)
            names, id_ = run.names_of(index), run.first_id + index
            if len(content) > LARGE_BYTES:
                self._packed.large.append(Large(id_, names, content))
                continue
            if not self._fits(id_, len(content), 1):
                self.flush()
            self._size_bytes += len(content)
            self._ids.append(id_)
            self._names.append(names)
            self._contents.append(content)

    def flush(self) -> None:  # hot: tests/bench/store.py
        """Pack what was gathered into a chunk."""
        ids, contents = self._ids, self._contents
        if not ids:
            return
        sizes = list(map(_SIZES, contents))
        headers = [
            names + content[7 : 7 + size]
            for names, content, (size, _) in zip(self._names, contents, sizes, strict=True)
        ]
        bodies = [
            # One body frame is the rule; more of them are joined without their framing.
            content[size + 15 : -1] if len(content) == size + length + 16 else body(content)
            for content, (size, length) in zip(contents, sizes, strict=True)
        ]
        checksums = array("I", map(crc32, bodies, map(crc32, headers)))
        places = _places(list(map(len, headers)), list(map(len, bodies)))
        first = ids[0]
        if ids[-1] - first >= len(ids):
            places, checksums = _spread(ids, places, checksums)
        parts = [b""] * (2 * len(ids))
        parts[::2] = headers
        parts[1::2] = bodies
        chunk = Chunk(first, places, big_endian(checksums), b"".join(parts))
        self._packed.chunks.append(chunk)
        self._clear()


def _is_small(run: Run) -> bool:
    """None of its messages must be bound by itself."""
    return run.size_bytes <= CHUNK_BYTES and max(map(len, run.contents)) <= LARGE_BYTES


def _places(headers: list[int], bodies: list[int]) -> array[int]:
    offsets = accumulate(map(add, headers, bodies), initial=0)
    return array(
        "q",
        [
            offset << 2 * SIZE_BITS | body << SIZE_BITS | header
            for offset, header, body in zip(offsets, headers, bodies, strict=False)
        ],
    )


def _spread(
    ids: list[int], places: array[int], checksums: array[int]
) -> tuple[array[int], array[int]]:
    """The same with holes where ids are missing."""
    first, count = ids[0], ids[-1] - ids[0] + 1
    wide_places, wide_checksums = array("q", bytes(8 * count)), array("I", bytes(4 * count))
    for id_, place, checksum in zip(ids, places, checksums, strict=True):
        wide_places[id_ - first] = place
        wide_checksums[id_ - first] = checksum
    return wide_places, wide_checksums


def big_endian(checksums: array[int]) -> bytes:
    """Checksums as they are stored, one behind the other; the array is used up."""
    if sys.byteorder == "little":
        checksums.byteswap()
    return checksums.tobytes()


def checksum_of(header: bytes, payload: bytes) -> bytes:
    """What is stored beside a message: CRC-32 over both, most significant byte first."""
    return crc32(payload, crc32(header)).to_bytes(4, "big")
