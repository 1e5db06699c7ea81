"""Streams in tables: what a batch brings to them, and reading.

    StreamTables    over the writing connection; the caller owns the transaction
    StreamReader    over the reading one

`stream_chunk` is keyed as `queue_message` is, by lane and position, which is the offset of the
chunk's first message; ranges of both go by way of `garbage`.
"""

# ruff: noqa: S608 - what is put into statements are names of ours; values are bound
from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, cast

from amqpd.broker.archive import StreamState
from amqpd.store.chunks import rows, unpack
from amqpd.store.driver import to_int
from amqpd.store.packing import POSITION_BITS, key_of
from amqpd.store.places import Place, Places

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from amqpd.broker.chunk import StoredChunk
    from amqpd.broker.journal import Track
    from amqpd.store.chunks import Block, Chunk
    from amqpd.store.driver import Connection

#: Key, messages, names, checksum, layout, contents.
_Row = tuple[int, int, int, int, bytes, bytes]
_POSITION: Final = (1 << POSITION_BITS) - 1
#: Chunks deleted at a time behind a cut: a few milliseconds.
SWEEP_CHUNKS: Final = 32

_VALUE: Final = "json_extract(value, '$[{}]')"
_INSERT: Final = f"""
INSERT INTO stream_chunk
    (key, messages, names, segment, size_before, stored_at, checksum, layout, contents)
SELECT {", ".join(_VALUE.format(at) for at in range(7))},
       substr(?2, {_VALUE.format(7)} + 1, {_VALUE.format(8)}),
       substr(?3, {_VALUE.format(9)} + 1, {_VALUE.format(10)})
FROM json_each(?1)
"""

#: One chunk: nothing is copied to be cut out of something larger.
_INSERT_ONE: Final = """
INSERT INTO stream_chunk
    (key, messages, names, segment, size_before, stored_at, checksum, layout, contents)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
#: So many chunks, or more of this size, are bound one by one: each hands the interpreter's lock
#: over.
FEW: Final = 4
LARGE_BYTES: Final = 32 << 10

#: Of streams that were dropped meanwhile nothing is kept. Names are cut out of a blob: older
#: libraries end a text out of JSON at its first NUL.
_TRACK: Final = f"""
INSERT INTO stream_offset(lane, name, offset)
SELECT {_VALUE.format(0)}, CAST(substr(?2, {_VALUE.format(1)} + 1, {_VALUE.format(2)}) AS TEXT),
       {_VALUE.format(3)}
FROM json_each(?1) WHERE {_VALUE.format(0)} IN (SELECT id FROM lane)
ON CONFLICT(lane, name) DO UPDATE SET offset = excluded.offset
"""

_SWEEP: Final = """
DELETE FROM stream_chunk WHERE key IN (
    SELECT key FROM stream_chunk WHERE key BETWEEN ?1 AND ?2 ORDER BY key LIMIT ?3)
RETURNING key
"""

_QUARANTINE: Final = """
INSERT INTO quarantine(lane, position, message_id, reason, checksum, header, body, found_at)
SELECT ?2, ?3, 0, ?4, CAST(checksum AS BLOB), layout, contents, datetime('now')
FROM stream_chunk WHERE key = ?1
"""

#: The last chunk of each stream, and where the segment begins that it is in.
_STATES: Final = f"""
SELECT l.id, c.size_before + length(c.contents), c.segment,
       coalesce((SELECT size_before FROM stream_chunk s
                 WHERE s.key = (l.id << {POSITION_BITS}) + c.segment), c.size_before),
       c.stored_at
FROM lane l JOIN queue q ON q.vhost = l.vhost AND q.name = l.queue
JOIN stream_chunk c ON c.key = (
    SELECT key FROM stream_chunk
    WHERE key >= l.id << {POSITION_BITS} AND key < (l.id + 1) << {POSITION_BITS}
    ORDER BY key DESC LIMIT 1)
WHERE json_extract(q.arguments_text, '$."x-queue-type"') = 'stream'
"""

#: From the chunk on that the offset is in.
_READ: Final = """
SELECT key, messages, names, checksum, layout, contents FROM stream_chunk
WHERE key >= coalesce((
    SELECT key FROM stream_chunk WHERE key BETWEEN ?1 AND ?2 ORDER BY key DESC LIMIT 1), ?2)
AND key < ?3 ORDER BY key
"""

_PROBE: Final = """
SELECT key, messages, segment, size_before, stored_at FROM stream_chunk
WHERE key BETWEEN ? AND ? ORDER BY key DESC LIMIT 1
"""


class StreamTables:
    """The tables of streams over the writing connection."""

    def __init__(self, connection: Connection) -> None:
        self._run = connection.run

    def insert(self, block: Block) -> None:
        """One by one where chunks are few or large, else in one statement, as with messages."""
        if len(block.contents) >= len(block.chunks) * LARGE_BYTES or len(block.chunks) <= FEW:
            contents = memoryview(block.contents)
            for chunk, checksum, _, at in rows(block):
                part = contents[at : at + chunk.size_bytes]
                self._run(_INSERT_ONE, [*_columns(chunk), checksum, chunk.layout, part])
        else:
            self._insert_many(block)

    def _insert_many(self, block: Block) -> None:
        values = [
            [*_columns(chunk), checksum, layout_at, len(chunk.layout), at, chunk.size_bytes]
            for chunk, checksum, layout_at, at in rows(block)
        ]
        layouts = b"".join([chunk.layout for chunk in block.chunks])
        self._run(_INSERT, [json.dumps(values), layouts, block.contents])

    def drop(self, lane: int) -> None:
        """A stream is gone: its chunks are garbage, and nobody resumes."""
        self._run("DELETE FROM stream_offset WHERE lane = ?", [lane])

    def track(self, tracks: Iterable[Track]) -> None:
        """Note how far consumers are; the last word on each counts."""
        last = {(track.lane, track.name): track.offset for track in tracks}
        names, kept = b"", list[list[int]]()
        for (lane, name), offset in last.items():
            if offset < 0:
                self._run("DELETE FROM stream_offset WHERE lane = ? AND name = ?", [lane, name])
                continue
            octets = name.encode()
            kept.append([lane, len(names), len(octets), offset])
            names += octets
        if kept:
            self._run(_TRACK, [json.dumps(kept), names])

    def sweep(self, first: int, last: int) -> bool:
        """Delete some chunks of a range of keys; True if there are no more."""
        return len(self._run(_SWEEP, [first, last, SWEEP_CHUNKS])) < SWEEP_CHUNKS

    def quarantine(self, lane: int, base: int, reason: str) -> bool:
        """Move a damaged chunk aside; False if it is gone already."""
        key = key_of(lane, base)
        self._run(_QUARANTINE, [key, lane, base, reason])
        return bool(self._run("DELETE FROM stream_chunk WHERE key = ? RETURNING key", [key]))

    def states(self) -> dict[int, StreamState]:
        """What is known of each stream that has messages, or consumers with a name."""
        offsets: dict[int, dict[str, int]] = {}
        for lane, name, offset in self._run(
            "SELECT lane, name, offset FROM stream_offset ORDER BY rowid"
        ):
            offsets.setdefault(to_int(lane), {})[str(name)] = to_int(offset)
        states = {lane: StreamState(0, 0, 0, 0, names) for lane, names in offsets.items()}
        for lane, *figures in self._run(_STATES):
            at = to_int(lane)
            size, segment, segment_size, stored_ms = map(to_int, figures)
            states[at] = StreamState(size, segment, segment_size, stored_ms, offsets.get(at, {}))
        return states


def _columns(chunk: Chunk) -> list[int]:
    return [
        key_of(chunk.lane, chunk.base),
        chunk.messages,
        chunk.names,
        chunk.segment,
        chunk.size_before,
        chunk.stored_ms,
    ]


class StreamReader:
    """Reads streams; `damaged(lane, base)` is told of chunks that are not as they were written."""

    def __init__(self, connection: Connection, damaged: Callable[[int, int], None]) -> None:
        self._connection = connection
        self._damaged = damaged

    def read(self, lane: int, offset: int, upto: int, max_bytes: int) -> list[StoredChunk]:
        """See `Archive.read_stream`; what is damaged is left out."""
        chunks: list[StoredChunk] = []
        values = [key_of(lane, 0), key_of(lane, offset), key_of(lane, upto)]
        found = self._connection.each(_READ, values)
        for row in found:
            # Columns are strict, so the types are as declared.
            key, messages, names, checksum, layout, contents = cast("_Row", row)
            base = key & _POSITION
            if base + messages <= offset:
                continue  # it is to be swept away
            chunk = unpack(base, messages, names, checksum, layout, contents)
            if chunk is None:
                self._damaged(lane, base)
                continue
            chunks.append(chunk)
            max_bytes -= chunk[4]
            if max_bytes <= 0:
                break
        found.close()
        return chunks

    def places(self, lane: int, first: int, upto: int) -> Places:
        """To look for places in a stream."""

        def probe(low: int, high: int) -> Place | None:
            found = self._connection.run(_PROBE, [key_of(lane, low), key_of(lane, high)])
            if not found:
                return None
            key, *figures = map(to_int, found[0])
            return Place(key & _POSITION, *figures)

        return Places(probe, first, upto)
