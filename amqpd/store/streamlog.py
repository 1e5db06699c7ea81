"""Files beside the database to which streams are appended: `amqpd.db-stream-00000001` and so on.

    StreamLog(path, ...)      the writer's end of them
    Frame, frames(...)        what one batch appended, and reading it back
    StreamFiles(path)         reads chunks out of them; one for each thread

A batch that brings much to streams, and nothing to queues, is one frame at the end of the newest
file: one write and one sync, and it is on disk. Where its chunks lie the database is told in the
transaction of a later batch; until then they are `waiting`, and after a crash they are read from
the frames again. A frame counts as a whole or not at all. Only the last one can be torn: its
head has a checksum that holds at this place of this file alone, and each chunk has its own.

(Measured against chunks in the database, which go through pages into the WAL, and from there
through pages into the database: less than half of the bytes, and a fifth of the writer's time.)

What lies in a file never changes. A file goes when the database has nothing more in it, and what
little is left in one moves into the database (`streamfiles`).
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import struct
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import crc32

from amqpd.broker.journal import Track
from amqpd.store.chunks import rows
from amqpd.store.driver import FULL, IO_ERROR, SqlError
from amqpd.store.ranges import key_of
from amqpd.store.spare import Spare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from amqpd.store.packing import Packed
    from amqpd.store.settings import StoreSettings
    from amqpd.store.streams import StreamTables

#: Less than this is as well off in the database, where small streams keep no file alive.
LEAST_BYTES: Final = 8 << 10
#: The first file is such a part of the largest, each next one twice as large. It is laid down
#: before it is needed if a part of the one before was filled so fast, with frames so small: who
#: writes much at a time gains less by it than it costs.
FIRST_SHARE: Final = 16
SPARE_SHARE: Final = 4
SPARE_S: Final = 60.0
SPARE_FRAME_BYTES: Final = 128 << 10
#: The database is told of so many chunks, or bytes, at the latest: a start reads them again.
WAITING_CHUNKS: Final = 1024
WAITING_BYTES: Final = 32 << 20
#: The last frame of a file ends behind its limit.
SLACK_BYTES: Final = 2 << 20
#: Files that a thread keeps open to read, and parts of one write.
OPEN_FILES: Final = 16
PARTS: Final = 512

MAGIC: Final = b"amqS"
#: Magic, checksum of what follows and of the chunks' heads and tracks, size of the frame,
#: chunks, size of the tracks.
_HEAD: Final = struct.Struct(">4sIQII")
#: Salt of the file, and place in it.
_PLACE: Final = struct.Struct(">QQ")
#: Key, messages, names, segment, size before, time, checksum, sizes of layout and contents.
_CHUNK: Final = struct.Struct(">QIIQQQIII")


class Placed(NamedTuple):
    """A chunk that lies in a file, as the database knows it."""

    key: int
    messages: int
    names: int
    segment: int
    size_before: int
    stored_ms: int
    checksum: int
    file: int
    at: int
    layout_bytes: int
    contents_bytes: int


class Frame(NamedTuple):
    """What one batch appended, and where it ends."""

    chunks: list[Placed]
    tracks: list[Track]
    end: int


def file_of(path: Path, number: int) -> Path:
    """The file of that number beside a database."""
    return path.with_name(f"{path.name}-stream-{number:08}")


def files_of(path: Path) -> dict[int, Path]:
    """All files that are there beside a database, by number."""
    prefix = f"{path.name}-stream-"
    return {
        int(number): found
        for found in sorted(path.parent.glob(f"{prefix}*"))
        if (number := found.name.removeprefix(prefix)).isdecimal()
    }


@contextmanager
def _as_sql_errors(path: Path) -> Iterator[None]:
    """Errors of the system are those of the store."""
    try:
        yield
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise SqlError(FULL if is_full else IO_ERROR, f"{path}: {error.strerror}") from error


class StreamLog:
    """Where the writer appends; `transact` makes one synced transaction of what it is given."""

    def __init__(
        self,
        path: Path,
        tables: StreamTables,
        transact: Callable[[Callable[[], object]], None],
        settings: StoreSettings,
    ) -> None:
        self._path = path
        self._tables = tables
        self._transact = transact
        self._flags = os.RWF_DSYNC if settings.sync else 0
        self._descriptor: int | None = None
        #: The one before it, kept in the system's cache for who reads behind. To use the pages of
        #: older ones again is far cheaper than to let the cache grow with each new one.
        self._before: int | None = None
        self.spare = Spare()
        self._most_bytes = settings.stream_file_bytes
        self._limit = 0
        #: The number, salt and end of the newest file, and since when there is something in it.
        self.number = 0
        self._salt = 0
        self._end = 0
        self._since_s = 0.0
        self._frames = 0
        #: What the database was not told of yet. Others may read it: it is replaced, never cut.
        self.waiting: list[Placed] = []
        self._tracks: list[Track] = []
        self._waiting_bytes = 0

    @property
    def is_long(self) -> bool:
        """It is time to tell the database."""
        return len(self.waiting) >= WAITING_CHUNKS or self._waiting_bytes >= WAITING_BYTES

    @staticmethod
    def takes(packed: Packed) -> bool:
        """This batch is for a file."""
        if not packed.blocks or not packed.is_of_streams:
            return False
        return sum(len(block.contents) for block in packed.blocks) >= LEAST_BYTES

    def append(self, packed: Packed) -> None:  # hot: tests/bench/streams.py
        """Put a batch at the end; on disk when this returns.

        Raises:
            SqlError: the disk is full, and nothing has happened; or it has failed.
        """
        if self._descriptor is None or self._end >= self._limit:
            self._begin()
        assert self._descriptor is not None
        parts, placed, size = self._frame(packed)
        with _as_sql_errors(self._path):
            # What was not written, or not synced, is written again as a whole if at all.
            _write(self._descriptor, parts, self._end, self._flags)
        self._end += size
        self._waiting_bytes += size
        self._tracks += packed.tracks
        self.waiting = [*self.waiting, *placed]
        self._frames += 1
        if self._wants_spare:
            size = self._next_limit + SLACK_BYTES
            self.spare.prepare(file_of(self._path, self.number + 1), size)

    @property
    def _wants_spare(self) -> bool:
        """The next file is needed soon, and for many syncs."""
        return (
            self._end * SPARE_SHARE > self._limit
            and self._end < self._frames * SPARE_FRAME_BYTES
            and time.monotonic() - self._since_s < SPARE_S
        )

    def _frame(self, packed: Packed) -> tuple[list[bytes | memoryview], list[Placed], int]:
        """A batch as what is written, as what is known of it, and its size."""
        tracks = b""
        if packed.tracks:
            tracks = json.dumps([[t.lane, t.name, t.offset] for t in packed.tracks]).encode()
        count = sum(len(block.chunks) for block in packed.blocks)
        at = self._end + _HEAD.size + count * _CHUNK.size + len(tracks)
        parts: list[bytes | memoryview] = [b""]
        heads: list[bytes] = []
        placed: list[Placed] = []
        for block in packed.blocks:
            contents = memoryview(block.contents)
            for chunk, checksum, _, low in rows(block):
                one = Placed(
                    key_of(chunk.lane, chunk.base),
                    chunk.messages,
                    chunk.names,
                    chunk.segment,
                    chunk.size_before,
                    chunk.stored_ms,
                    checksum,
                    self.number,
                    at,
                    len(chunk.layout),
                    chunk.size_bytes,
                )
                placed.append(one)
                heads.append(_CHUNK.pack(*one[:7], *one[9:]))
                parts += chunk.layout, contents[low : low + chunk.size_bytes]
                at += len(chunk.layout) + chunk.size_bytes
        size = at - self._end
        rest = b"".join((*heads, tracks))
        parts[0] = _head(self._salt, self._end, size, count, len(tracks), rest) + rest
        return parts, placed, size

    def _begin(self) -> None:
        """A new file, known to the database before there is anything in it."""
        number, salt = self.number + 1, secrets.randbits(63)
        path = file_of(self._path, number)
        self.spare.take(path)
        with _as_sql_errors(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                sync_directory(path)
                self._transact(lambda: self._enter_file(number, salt))
            except BaseException:
                os.close(descriptor)
                raise
        self.entered()
        self._forget_before()
        self._before, self._descriptor = self._descriptor, descriptor
        self.number, self._salt, self._end = number, salt, 0
        self._limit = self._next_limit
        self._since_s = time.monotonic()
        self._frames = 0

    @property
    def _next_limit(self) -> int:
        return min(self._most_bytes, max(self._most_bytes // FIRST_SHARE, 2 * self._limit))

    def _enter_file(self, number: int, salt: int) -> None:
        self.enter()
        self._tables.add_file(number, salt)

    def go_on(self, number: int, salt: int, end: int) -> None:
        """Append to a file that is there, behind its end."""
        self.number, self._salt, self._end = number, salt, end
        self._limit = self._next_limit
        path = file_of(self._path, number)
        with _as_sql_errors(path):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def enter(self) -> None:
        """Within a transaction: tell the database what it does not know."""
        if self.waiting:
            self._tables.index(self.waiting, self._tracks)
            self._tables.set_end(self.number, self._end)

    def entered(self) -> None:
        """That transaction is done."""
        self.waiting = []
        self._tracks = []
        self._waiting_bytes = 0

    def _forget_before(self) -> None:
        if self._before is not None:
            os.posix_fadvise(self._before, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(self._before)
            self._before = None

    def close(self) -> None:
        """Nothing is appended any more."""
        self.spare.give_up()
        self._forget_before()
        if self._descriptor is not None:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._end)
            os.close(self._descriptor)
            self._descriptor = None


def _head(salt: int, at: int, size: int, chunks: int, tracks: int, rest: bytes) -> bytes:
    head = _HEAD.pack(MAGIC, 0, size, chunks, tracks)
    checksum = crc32(rest, crc32(head[8:], crc32(_PLACE.pack(salt, at))))
    return _HEAD.pack(MAGIC, checksum, size, chunks, tracks)


def _write(descriptor: int, parts: Sequence[bytes | memoryview], at: int, flags: int) -> None:
    """Write all of it, by way of one call if it can be; on an error anything of it may be there.

    (A call for the write and one for the sync hand the interpreter's lock over twice.)
    """
    for begin in range(0, len(parts), PARTS):
        some = parts[begin : begin + PARTS]
        size = sum(map(len, some))
        written = os.pwritev(descriptor, some, at, flags)
        if written < size:
            # The disk has become full, or a signal came.
            rest = b"".join(some)
            while written < size:
                written += os.pwritev(descriptor, [rest[written:]], at + written, flags)
        at += size


def sync_directory(path: Path) -> None:
    """Have it on disk that a file is there."""
    directory = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def frames(
    descriptor: int, number: int, salt: int, at: int, size: int | None = None
) -> Iterator[Frame]:
    """The whole frames of a file from a place on, up to a size if one is given."""
    upto = os.fstat(descriptor).st_size if size is None else size
    while (frame := _read_frame(descriptor, number, salt, at, upto)) is not None:
        yield frame
        at = frame.end


def _read_frame(descriptor: int, number: int, salt: int, at: int, upto: int) -> Frame | None:
    head = os.pread(descriptor, _HEAD.size, at)
    if len(head) < _HEAD.size:
        return None
    magic, checksum, size, count, tracks_size = _HEAD.unpack(head)
    rest_size = count * _CHUNK.size + tracks_size
    if magic != MAGIC or at + size > upto or _HEAD.size + rest_size > size:
        return None
    rest = os.pread(descriptor, rest_size, at + _HEAD.size)
    if checksum != crc32(rest, crc32(head[8:], crc32(_PLACE.pack(salt, at)))):
        return None
    chunks: list[Placed] = []
    place = at + _HEAD.size + rest_size
    for values in _CHUNK.iter_unpack(rest[: count * _CHUNK.size]):
        one = Placed._make((*values[:7], number, place, *values[7:]))
        layout = os.pread(descriptor, one.layout_bytes, place)
        contents = os.pread(descriptor, one.contents_bytes, place + one.layout_bytes)
        if crc32(contents, crc32(layout)) != one.checksum:
            return None
        chunks.append(one)
        place += one.layout_bytes + one.contents_bytes
    kept = json.loads(rest[count * _CHUNK.size :]) if tracks_size else []
    return Frame(chunks, [Track(*one) for one in kept], at + size)


class StreamFiles:
    """Reads chunks out of the files beside a database."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open: dict[int, int] = {}
        self._most = OPEN_FILES

    def hold(self) -> dict[int, int]:
        """Keep all files that are there readable, whatever happens to them; their sizes."""
        self._most = 1 << 30
        sizes: dict[int, int] = {}
        for number in files_of(self._path):
            try:
                sizes[number] = os.fstat(self.descriptor(number)).st_size
            except FileNotFoundError:
                continue  # it has just become one that nobody needs
        return sizes

    def descriptor(self, number: int) -> int:
        """A file, open to be read.

        Raises:
            FileNotFoundError: it is not there.
        """
        found = self._open.get(number)
        if found is None:
            while len(self._open) >= self._most:
                os.close(self._open.pop(next(iter(self._open))))
            path = file_of(self._path, number)
            found = self._open[number] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return found

    def read(self, number: int, at: int, layout: int, contents: int) -> tuple[bytes, bytes]:
        """A chunk's layout and contents of these sizes; less where the file is cut short.

        Raises:
            FileNotFoundError: the file is not there.
            SqlError: it cannot be read.
        """
        try:
            descriptor = self.descriptor(number)
            first = os.pread(descriptor, layout, at)
            return first, os.pread(descriptor, contents, at + layout)
        except FileNotFoundError:
            raise
        except OSError as error:
            path = file_of(self._path, number)
            raise SqlError(IO_ERROR, f"{path}: {error.strerror}") from error

    def close(self) -> None:
        """Let go of them."""
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()
