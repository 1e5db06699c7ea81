"""Small batches: on disk as one row each before they are in the tables.

What a small batch costs is its statements, and the pages that they change, not what is in it. So
one that only brings and settles a few messages is written as one row of `deferred`, by one
statement that is a transaction by itself, and is on disk. Later many of them go into the tables
together (`enter`), without those messages that were settled meanwhile.

Whoever looks at the tables must have the rows entered before: another batch, a read, a chore, a
start. What is in the tables and what is deferred is together what was confirmed, at any moment;
the transaction that enters the rows deletes them.

An entry is, least significant octet first,

    version, checksum of what follows      8 bits, 32 bits
    how many numbers, and these            32 bits, 64 bits each
    of each chunk its checksums, its blob
"""

from __future__ import annotations

import struct
import time
from array import array
from typing import TYPE_CHECKING, Final
from zlib import crc32

from amqpd.store.merging import merged
from amqpd.store.packing import Chunk, Packed, Share
from amqpd.store.ranges import Change, Stay
from amqpd.store.tables import Tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from amqpd.store.driver import Connection, Driver, Value
    from amqpd.store.streamlog import StreamFiles

#: What is small: messages, octets of contents, lanes that change, ranges that are settled.
FEW_MESSAGES: Final = 64
FEW_BYTES: Final = 16 << 10
FEW_LANES: Final = 16
FEW_RANGES: Final = 64
#: So many in a row are small before the next one is deferred. Those between larger ones have to
#: be entered with the next of these, which costs more than it saves (a tenth of the CPU with a
#: window of 256 confirms, where a quarter of the batches is small).
STEADY: Final = 8
#: So much goes into the tables at the latest, and as late as that.
MOST_MESSAGES: Final = 512
MOST_BYTES: Final = 256 << 10
MOST_BATCHES: Final = 512
AGE_S: Final = 1.0
#: On a full disk nothing may go into the tables; so many times as much waits for that.
PATIENCE: Final = 8

_VERSION: Final = 1
_HEAD: Final = struct.Struct("<BI")
_COUNT: Final = struct.Struct("<I")
_CHANGE: Final = 5
_STAY: Final = 7
_CHUNK: Final = 3


class Deferred:
    """The rows that are not in the tables yet. The writer's."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._waiting: list[Packed] = []
        self._messages = self._size_bytes = 0
        self._since_s = 0.0
        self._in_a_row = 0
        #: Ids of messages grow. One that does not would fail only when it is entered.
        self._next_id = 1

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def load(self) -> int:
        """Read what the last life has left; an id beyond those of all messages in it.

        Raises:
            ValueError: a row is not as it was written.
        """
        for packed in entries(self._connection):
            self._note(packed)
            self.know(packed)
        return self._next_id

    def takes(self, packed: Packed) -> bool:
        """This batch, the next one, is one to be deferred."""
        if not is_small(packed):
            self._in_a_row = 0
            return False
        self._in_a_row += 1
        return (
            self._in_a_row > STEADY
            and self._messages <= PATIENCE * MOST_MESSAGES
            and self._size_bytes <= PATIENCE * MOST_BYTES
            and len(self._waiting) <= PATIENCE * MOST_BATCHES
            and all(chunk.first_id >= self._next_id for chunk in packed.chunks)
        )

    def know(self, packed: Packed) -> None:
        """This batch is on disk, here or elsewhere."""
        for chunk in packed.chunks:
            self._next_id = max(self._next_id, chunk.first_id + len(chunk.places))

    def add(self, packed: Packed) -> None:
        """Have a batch on disk.

        Raises:
            SqlError: nothing has happened, or the disk has failed.
        """
        self._connection.run("INSERT INTO deferred(entry) VALUES (?)", [encoded(packed)])
        self._note(packed)

    def _note(self, packed: Packed) -> None:
        if not self._waiting:
            self._since_s = time.monotonic()
        self._waiting.append(packed)
        self._messages += sum(len(chunk.places) for chunk in packed.chunks)
        self._size_bytes += _size_of(packed)

    @property
    def is_due(self) -> bool:
        """It is time to enter them."""
        return (
            self._messages >= MOST_MESSAGES
            or self._size_bytes >= MOST_BYTES
            or len(self._waiting) >= MOST_BATCHES
            or (bool(self._waiting) and time.monotonic() > self._since_s + AGE_S)
        )

    def enter(self, tables: Tables) -> None:
        """Within a transaction: put them into the tables."""
        if self._waiting:
            tables.apply(merged(self._waiting))
            self._connection.run("DELETE FROM deferred")

    def entered(self) -> None:
        """That transaction is done."""
        self._waiting = []
        self._messages = self._size_bytes = 0


def is_small(packed: Packed) -> bool:
    """It does nothing but bring and settle a few messages, and that cannot fail."""
    others = (
        packed.defines, packed.large, packed.dated, packed.delayed_purges, packed.comebacks,
        packed.garbage, packed.dropped, packed.blocks, packed.tracks,
    )  # fmt: skip
    ranges = (packed.gone_keys, packed.gone_ids, packed.released, packed.gone_returns)
    return (
        not any(others)
        and _size_of(packed) <= FEW_BYTES
        and sum(len(chunk.places) for chunk in packed.chunks) <= FEW_MESSAGES
        and len(packed.changes) <= FEW_LANES
        and sum(map(len, ranges)) <= FEW_RANGES
        and all(stay.is_possible for stay in packed.stays)
    )


def _size_of(packed: Packed) -> int:
    return sum(len(chunk.blob) for chunk in packed.chunks)


def entries(connection: Connection, *, leave_out: bool = False) -> Iterator[Packed]:
    """The rows, in their order.

    Raises:
        ValueError: a row is not as it was written, and such are not to be left out.
    """
    for (entry,) in connection.run("SELECT entry FROM deferred ORDER BY number"):
        try:
            yield decoded(entry)
        except ValueError:
            if not leave_out:
                raise


def enter_all(
    driver: Driver, connection: Connection, files: StreamFiles, *, leave_out: bool = False
) -> None:
    """Within a transaction: put all rows into the tables of a copy.

    Raises:
        ValueError: as with `entries`.
    """
    if batches := list(entries(connection, leave_out=leave_out)):
        Tables(driver, connection, files).apply(merged(batches))
    connection.run("DELETE FROM deferred")


def encoded(packed: Packed) -> bytes:  # hot: S7p
    """A small batch as one row."""
    numbers = [packed.number, packed.size_bytes, packed.gone_bytes]
    numbers.append(len(packed.changes))
    for lane, c in packed.changes.items():
        upto = -1 if c.delivered_upto is None else c.delivered_upto
        numbers += lane, c.next_position, c.messages, c.body_bytes, upto
    numbers.append(len(packed.stays))
    for s in packed.stays:
        numbers += s.lane, s.shift, s.first_id, s.last_id, s.flags, s.priority, s.expires_at
    numbers.append(len(packed.shares))
    for share in packed.shares:
        numbers += share.first_id, share.last_id, share.lanes
    for ranges in (packed.gone_keys, packed.gone_ids, packed.released, packed.gone_returns):
        numbers.append(len(ranges))
        for keys in ranges:
            numbers += keys
    numbers.append(len(packed.chunks))
    parts: list[bytes] = []
    for chunk in packed.chunks:
        numbers += chunk.first_id, len(chunk.places), len(chunk.blob)
        numbers += chunk.places
        parts += chunk.checksums, chunk.blob
    body = b"".join((struct.pack(f"<I{len(numbers)}q", len(numbers), *numbers), *parts))
    return _HEAD.pack(_VERSION, crc32(body)) + body


def decoded(entry: Value) -> Packed:
    """The batch that was encoded.

    Raises:
        ValueError: it is not as it was written.
    """
    if not isinstance(entry, bytes) or len(entry) < _HEAD.size + _COUNT.size:
        raise ValueError("a deferred batch is damaged")
    version, checksum = _HEAD.unpack_from(entry)
    if version != _VERSION or checksum != crc32(entry[_HEAD.size :]):
        raise ValueError("a deferred batch is damaged")
    (count,) = _COUNT.unpack_from(entry, _HEAD.size)
    begin = _HEAD.size + _COUNT.size
    return _Decoding(
        struct.unpack_from(f"<{count}q", entry, begin), entry[begin + 8 * count :]
    ).packed


class _Decoding:
    """Reads numbers and blobs in the order in which they were written."""

    def __init__(self, numbers: Iterable[int], rest: bytes) -> None:
        self._numbers = iter(numbers)
        self._rest = rest
        self._at = 0
        number, size_bytes, gone_bytes = self._take(3)
        self.packed = packed = Packed(number, [], size_bytes, gone_bytes=gone_bytes)
        for lane, next_position, messages, body_bytes, upto in self._rows(_CHANGE):
            change = packed.changes[lane] = Change()
            change.next_position = next_position
            change.messages, change.body_bytes = messages, body_bytes
            change.delivered_upto = None if upto < 0 else upto
        for lane, shift, first_id, last_id, flags, priority, expires_at in self._rows(_STAY):
            stay = Stay(lane, shift, first_id, last_id, flags, priority, expires_at)
            packed.stays.append(stay)
        packed.shares += (Share(*figures) for figures in self._rows(3))
        for ranges in (packed.gone_keys, packed.gone_ids, packed.released, packed.gone_returns):
            ranges += ((first, last) for first, last in self._rows(2))
        for _ in range(next(self._numbers)):
            packed.chunks.append(self._chunk(*self._take(_CHUNK)))

    def _take(self, count: int) -> list[int]:
        return [next(self._numbers) for _ in range(count)]

    def _rows(self, width: int) -> Iterator[list[int]]:
        for _ in range(next(self._numbers)):
            yield self._take(width)

    def _chunk(self, first_id: int, count: int, size: int) -> Chunk:
        places = array("q", self._take(count))
        return Chunk(first_id, places, self._octets(4 * count), self._octets(size))

    def _octets(self, size: int) -> bytes:
        self._at += size
        return self._rest[self._at - size : self._at]
