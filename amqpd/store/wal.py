"""Tells when the WAL is long enough to be moved into the database.

The file's size does not: a WAL is recycled, not cut, because overwriting syncs twice as fast
as growing. Instead the frame at the limit is looked at: if it carries the salts of the WAL's
header it belongs to the present round. Works with every SQLite library, costs two small reads.

Who reads an old state of the database keeps what came after it in the WAL, which then grows; the
locks on the WAL-index tell who that is (https://sqlite.org/walformat.html, section 2.3).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_HEADER_BYTES: Final = 32
_FRAME_HEADER_BYTES: Final = 24
_SALTS: Final = slice(16, 24)
_FRAME_SALTS: Final = slice(8, 16)
#: Octets of the WAL-index that readers lock.
_READ_LOCKS: Final = range(123, 128)
_LOCKS: Final = Path("/proc/locks")


class WalGauge:
    """Watches one WAL. It carries no locks, so this process may open and close it freely."""

    def __init__(self, database: Path, page_size: int) -> None:
        self._path = database.with_name(database.name + "-wal")
        self._frame_bytes = _FRAME_HEADER_BYTES + page_size
        self._descriptor: int | None = None

    def is_longer_than(self, size_bytes: int) -> bool:
        """The present round has passed that size."""
        if self._descriptor is None:
            try:
                self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return False
        header = os.pread(self._descriptor, _HEADER_BYTES, 0)
        at = _HEADER_BYTES + size_bytes // self._frame_bytes * self._frame_bytes
        frame = os.pread(self._descriptor, _FRAME_HEADER_BYTES, at)
        return len(frame) == _FRAME_HEADER_BYTES and header[_SALTS] == frame[_FRAME_SALTS]

    @property
    def size_bytes(self) -> int:
        """What the file takes of the disk."""
        try:
            return os.stat(self._path).st_size
        except FileNotFoundError:
            return 0

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def readers(database: Path, locks: Path = _LOCKS) -> tuple[str, ...]:
    """Other processes that read the database at this moment, with their numbers.

    Empty where the system does not tell, or they are in another container.
    """
    try:
        index = os.stat(database.with_name(database.name + "-shm"))
        lines = locks.read_text("ascii").splitlines()
    except OSError:
        return ()
    found = {_reader(line.split(), index) for line in lines}
    return tuple(_named(pid) for pid in sorted(found - {0, os.getpid()}))


def _reader(words: list[str], index: os.stat_result) -> int:
    """The process of a line like `1: POSIX ADVISORY READ 4711 fe:00:131 123 123`, or 0."""
    try:
        _, _, _, kind, pid, place, first, last = words
        major, minor, inode = place.split(":")
        device = os.makedev(int(major, 16), int(minor, 16))
        locked = range(int(first), int(last) + 1)
        is_reader = (
            kind == "READ"
            and (device, int(inode)) == (index.st_dev, index.st_ino)
            and locked.start < _READ_LOCKS.stop
            and locked.stop > _READ_LOCKS.start
        )
        return int(pid) if is_reader else 0
    except ValueError:
        # Somebody who waits for a lock, or one up to the end of the file.
        return 0


def _named(pid: int) -> str:
    try:
        name = Path(f"/proc/{pid}/comm").read_text("utf-8", "replace").strip()
    except OSError:
        return f"process {pid}"
    return f"process {pid} ({name})"
