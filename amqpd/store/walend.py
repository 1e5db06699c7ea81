"""How far the WAL went: a broker that was killed does not lose the end of it unnoticed.

After each commit that is on disk with all before it, the place at which the WAL ends is written
to a small file beside it. That file is not synced, which makes it cheap (about 2 us a commit): the
end of the process, however sudden, leaves it as it was written, and after a loss of power it may
be older, never newer, than what was synced. At the next start SQLite finds as much of the WAL as
is whole. If that is the same WAL and it ends before the place that was noted, commits are missing.

A WAL that was begun anew says nothing: what was in the former one has been moved into the
database, and that it has not gone with its database is what generations are for (`identity.py`).

The place is read where SQLite keeps it, in the header of the WAL-index
(https://sqlite.org/walformat.html, section 2.1).
"""

from __future__ import annotations

import logging
import mmap
import os
import struct
from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import crc32

from amqpd.store import StoreOlder

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

FILE: Final = "amqpd.end"
#: Of the index's header: frames, pages of the database, checksum of the last frame, salts.
_PLACE: Final = struct.Struct("=IIQQ")
_PLACE_AT: Final = 16
_CHECK: Final = struct.Struct("=I")
_OCTETS: Final = _PLACE.size + _CHECK.size


class Place(NamedTuple):
    """Where a WAL ends, and which one it is."""

    frames: int
    pages: int
    checksum: int
    salts: int


class WalEnd:
    """The place of one store, and the file in which it is noted. The writer's.

    Closing a descriptor of the index would take SQLite's locks on it away: `close` is for after
    the last connection.
    """

    def __init__(self, database: Path, *, wanted: bool = True) -> None:
        self._database = database
        self._path = database.with_name(FILE)
        self._wanted = wanted
        self._index: int | None = None
        #: The same in memory, for after each commit: a call gives the interpreter's lock away.
        self._pages: mmap.mmap | None = None
        self._file: int | None = None

    def note(self) -> None:
        """A commit is on disk: from now on the WAL goes as far as it goes now."""
        if not self._wanted:
            return
        try:
            if self._file is None:
                self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            place = self._read_index()
            os.pwrite(self._file, place + _CHECK.pack(crc32(place)), 0)
        except OSError as error:
            # Nothing is lost by it: the next start only is less strict.
            self._wanted = False
            log.warning("store %s: its end cannot be noted: %s", self._database, error.strerror)

    def check(self) -> None:
        """What was noted must be there; to be called after a connection has recovered the WAL.

        Raises:
            StoreOlder: the end of the WAL is missing.
        """
        noted = self._noted()
        if noted is None:
            return
        found = Place(*_PLACE.unpack(self._read_index()))
        if found.salts != noted.salts or found.frames > noted.frames:
            return
        if found.frames == noted.frames and found.checksum == noted.checksum:
            return
        raise StoreOlder(
            self._database,
            f"store {self._database}: the end of its WAL is missing ({noted.frames} pages had been "
            f"written, {found.frames} are whole); what was confirmed since is not in it. Put the "
            "whole WAL back, or accept the loss with store.accept_older",
        )

    def forget(self) -> None:
        """Whatever is there from now on is the store."""
        self._path.unlink(missing_ok=True)
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def close(self) -> None:
        """Let go of the files."""
        if self._pages is not None:
            self._pages.close()
        for descriptor in (self._index, self._file):
            if descriptor is not None:
                os.close(descriptor)
        self._pages = self._index = self._file = None

    def _read_index(self) -> bytes:
        if self._pages is None:
            path = self._database.with_name(self._database.name + "-shm")
            self._index = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self._pages = mmap.mmap(self._index, _PLACE_AT + _PLACE.size, prot=mmap.PROT_READ)
        return self._pages[_PLACE_AT:]

    def _noted(self) -> Place | None:
        """None if nothing was noted, or only a part of it."""
        try:
            octets = self._path.read_bytes()
        except FileNotFoundError:
            return None
        place, check = octets[: _PLACE.size], octets[_PLACE.size : _OCTETS]
        if len(octets) < _OCTETS or _CHECK.unpack(check)[0] != crc32(place):
            return None
        return Place(*_PLACE.unpack(place))
