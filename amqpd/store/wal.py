"""Tells when the WAL is long enough to be moved into the database.

The file's size does not: a WAL is recycled, not cut, because overwriting syncs twice as fast
as growing. Instead the frame at the limit is looked at: if it carries the salts of the WAL's
header it belongs to the present round. Works with every SQLite library, costs two small reads.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_HEADER_BYTES: Final = 32
_FRAME_HEADER_BYTES: Final = 24
_SALTS: Final = slice(16, 24)
_FRAME_SALTS: Final = slice(8, 16)


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

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
