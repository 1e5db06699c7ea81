"""Streams in tables: what a batch brings to them, and reading.

    StreamTables    over the writing connection; the caller owns the transaction
    StreamReader    over the reading one

`stream_chunk` is keyed as `queue_message` is, by lane and position, which is the offset of the
chunk's first message; ranges of both go by way of `garbage`. A chunk's layout and contents are in
its row, or where the row says in one of the files of `stream_file` (`streamlog`).
"""

# ruff: noqa: S608 - what is put into statements are names of ours; values are bound
from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Final, cast

from amqpd.broker.archive import StreamState
from amqpd.store.chunks import rows, unpack
from amqpd.store.driver import IO_ERROR, SqlError, to_int
from amqpd.store.places import Place, Places
from amqpd.store.ranges import POSITION_BITS, key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from amqpd.broker.chunk import StoredChunk
    from amqpd.broker.journal import Track
    from amqpd.store.chunks import Block, Chunk
    from amqpd.store.driver import Connection, Value
    from amqpd.store.streamlog import Placed, StreamFiles

#: Key, messages, names, checksum, layout, contents, file, place in it, sizes there.
_Row = tuple[int, int, int, int, bytes, bytes, int, int, int, int]
#: What a chunk is unpacked from: offset, messages, names, checksum, layout, contents.
_Packed = tuple[int, int, int, int, bytes, bytes]
_POSITION: Final = (1 << POSITION_BITS) - 1
#: Why a chunk is set aside.
DAMAGED: Final = "the checksum of the chunk does not match"
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

#: Chunks that lie in a file: all of their columns in the order of `Placed`.
_INDEX: Final = f"""
INSERT INTO stream_chunk
    (key, messages, names, segment, size_before, stored_at, checksum, layout, contents,
     file, at, layout_bytes, contents_bytes)
SELECT {", ".join(_VALUE.format(at) for at in range(7))}, x'', x'',
       {", ".join(_VALUE.format(at) for at in range(7, 11))}
FROM json_each(?1)
"""

_COUNT: Final = """
UPDATE lane SET next_position = max(next_position, ?2), messages = messages + ?3,
    body_bytes = body_bytes + ?4
WHERE id = ?1
"""

_SWEEP: Final = """
DELETE FROM stream_chunk WHERE key IN (
    SELECT key FROM stream_chunk WHERE key BETWEEN ?1 AND ?2 ORDER BY key LIMIT ?3)
RETURNING file
"""

_QUARANTINE: Final = """
INSERT INTO quarantine(lane, position, message_id, reason, checksum, header, body, found_at)
VALUES (?, ?, 0, ?, CAST(? AS BLOB), ?, ?, datetime('now'))
"""

_WHERE: Final = "SELECT file, at, layout_bytes, contents_bytes, checksum, layout, contents"

_MOVE_IN: Final = """
UPDATE stream_chunk
SET layout = ?2, contents = ?3, file = 0, at = 0, layout_bytes = 0, contents_bytes = 0
WHERE key = ?1
"""

#: The last chunk of each stream, and where the segment begins that it is in.
_STATES: Final = f"""
SELECT l.id, c.size_before + length(c.contents) + c.contents_bytes, c.segment,
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
SELECT key, messages, names, checksum, layout, contents, file, at, layout_bytes, contents_bytes
FROM stream_chunk WHERE key >= coalesce((
    SELECT key FROM stream_chunk WHERE key BETWEEN ?1 AND ?2 ORDER BY key DESC LIMIT 1), ?2)
AND key < ?3 ORDER BY key
"""

_PROBE: Final = """
SELECT key, messages, segment, size_before, stored_at FROM stream_chunk
WHERE key BETWEEN ? AND ? ORDER BY key DESC LIMIT 1
"""


class StreamTables:
    """The tables of streams over the writing connection."""

    def __init__(self, connection: Connection, files: StreamFiles) -> None:
        self._run = connection.run
        self._files = files
        #: Files out of which something has gone.
        self.touched: set[int] = set()

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
        swept = self._run(_SWEEP, [first, last, SWEEP_CHUNKS])
        self.touched.update(to_int(file) for (file,) in swept if file)
        return len(swept) < SWEEP_CHUNKS

    def quarantine(self, lane: int, base: int, reason: str) -> bool:
        """Move a damaged chunk aside; False if it is gone already."""
        key = key_of(lane, base)
        found = self._run(f"{_WHERE} FROM stream_chunk WHERE key = ?", [key])
        if not found:
            return False
        self._set_aside(key, reason, found[0])
        return True

    def _set_aside(self, key: int, reason: str, where: tuple[Value, ...]) -> None:
        *place, checksum, layout, contents = where
        file = to_int(place[0])
        if file:
            self.touched.add(file)
            try:
                layout, contents = self._files.read(*map(to_int, place))
            except (SqlError, FileNotFoundError):
                layout = contents = None  # it is not to be had
        values = [key >> POSITION_BITS, key & _POSITION, reason, checksum, layout, contents]
        self._run(_QUARANTINE, values)
        self._run("DELETE FROM stream_chunk WHERE key = ?", [key])

    # -- files ---------------------------------------------------------------------------

    def index(self, chunks: Iterable[Placed], tracks: Iterable[Track]) -> None:
        """Note chunks that lie in a file, in their lanes' counters, too."""
        counts: dict[int, tuple[int, int, int]] = {}
        for chunk in chunks:
            lane, base = chunk.key >> POSITION_BITS, chunk.key & _POSITION
            _, messages, size = counts.get(lane, (0, 0, 0))
            upto = base + chunk.messages
            counts[lane] = upto, messages + chunk.messages, size + chunk.contents_bytes
        self._run(_INDEX, [json.dumps(list(chunks))])
        for lane, figures in counts.items():
            self._run(_COUNT, [lane, *figures])
        self.track(tracks)

    def files(self) -> list[tuple[int, int, int]]:
        """Number, salt and end of each file, as far as is known here."""
        found = self._run('SELECT number, salt, "end" FROM stream_file ORDER BY number')
        return [(to_int(number), to_int(salt), to_int(end)) for number, salt, end in found]

    def add_file(self, number: int, salt: int) -> None:
        """There will be something in a file."""
        self._run('INSERT INTO stream_file(number, salt, "end") VALUES (?, ?, 0)', [number, salt])

    def set_end(self, number: int, end: int) -> None:
        """All that is before this place in a file is known."""
        self._run('UPDATE stream_file SET "end" = ?2 WHERE number = ?1', [number, end])

    def forget_file(self, number: int) -> None:
        """Nothing in it is wanted."""
        self._run("DELETE FROM stream_file WHERE number = ?", [number])

    def used_bytes(self, number: int) -> int:
        """What is wanted of a file."""
        sizes = "coalesce(sum(layout_bytes + contents_bytes), 0)"
        found = self._run(f"SELECT {sizes} FROM stream_chunk WHERE file = ? AND file", [number])
        return to_int(found[0][0])

    def move_in(self, number: int, most: int, *, leave_out: bool = False) -> bool:
        """Have so many chunks of a file in their rows, as they are; False if there was none.

        With `leave_out` those that cannot be read are deleted.

        Raises:
            FileNotFoundError, SqlError: they cannot be read.
        """
        found = self._run(
            "SELECT key, file, at, layout_bytes, contents_bytes FROM stream_chunk "
            "WHERE file = ? AND file LIMIT ?",
            [number, most],
        )
        for key, *place in found:
            wanted = [to_int(one) for one in place]
            try:
                layout, contents = self._files.read(*wanted)
                if [len(layout), len(contents)] != wanted[2:]:
                    # Beside a row with a part of it nobody would see that something is missing.
                    raise SqlError(IO_ERROR, f"stream file {number} is cut short")
            except (FileNotFoundError, SqlError):
                if not leave_out:
                    raise
                self._run("DELETE FROM stream_chunk WHERE key = ?", [key])
            else:
                self._run(_MOVE_IN, [key, layout, contents])
        return bool(found)

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
    """Reads streams; `damaged(lane, base)` is told of chunks that are not as they were written.

    `waiting()` are the chunks of which the database does not know yet, in order.
    """

    def __init__(
        self,
        connection: Connection,
        files: StreamFiles,
        waiting: Callable[[], list[Placed]],
        damaged: Callable[[int, int], None],
    ) -> None:
        self._connection = connection
        self._files = files
        self._waiting = waiting
        self._damaged = damaged

    def read(self, lane: int, offset: int, upto: int, max_bytes: int) -> list[StoredChunk]:
        """See `Archive.read_stream`; what is damaged is left out."""
        try:
            return self._read(lane, offset, upto, max_bytes)
        except FileNotFoundError:
            # What was in it has moved into the database since its place was looked up.
            try:
                return self._read(lane, offset, upto, max_bytes)
            except FileNotFoundError as error:
                raise SqlError(IO_ERROR, f"{error.filename}: {error.strerror}") from error

    def _read(self, lane: int, offset: int, upto: int, max_bytes: int) -> list[StoredChunk]:
        chunks: list[StoredChunk] = []
        with closing(self._stored(lane, offset, upto)) as stored:
            for columns in stored:
                chunk = unpack(*columns)
                if chunk is None:
                    self._damaged(lane, columns[0])
                    continue
                chunks.append(chunk)
                max_bytes -= chunk[4]
                if max_bytes <= 0:
                    break
        return chunks

    def _stored(self, lane: int, offset: int, upto: int) -> Generator[_Packed, None, None]:
        """Chunks as they are stored, first what the database knows."""
        low, high = key_of(lane, offset), key_of(lane, upto)
        # Before the database is asked: it may be told of them meanwhile.
        waiting = [
            one for one in self._waiting() if low < one.key + one.messages and one.key < high
        ]
        with closing(self._connection.each(_READ, [key_of(lane, 0), low, high])) as found:
            for row in found:
                # Columns are strict, so the types are as declared.
                key, messages, names, checksum, layout, contents, file, *place = cast("_Row", row)
                if key + messages <= low:
                    continue  # it is to be swept away
                if file:
                    layout, contents = self._files.read(file, *place)
                yield key & _POSITION, messages, names, checksum, layout, contents
                low = key + messages
        for one in waiting:
            if one.key >= low or (one.key < low < one.key + one.messages):
                parts = self._files.read(one.file, one.at, one.layout_bytes, one.contents_bytes)
                yield one.key & _POSITION, one.messages, one.names, one.checksum, *parts
                low = one.key + one.messages

    def places(self, lane: int, first: int, upto: int) -> Places:
        """To look for places in a stream."""

        def probe(low: int, high: int) -> Place | None:
            keys = key_of(lane, low), key_of(lane, high)
            for one in reversed(self._waiting()):
                if keys[0] <= one.key <= keys[1]:
                    return Place(one.key & _POSITION, one.messages, *one[3:6])
            found = self._connection.run(_PROBE, keys)
            if not found:
                return None
            key, *figures = map(to_int, found[0])
            return Place(key & _POSITION, *figures)

        return Places(probe, first, upto)
