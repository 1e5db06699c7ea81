"""Which store this is, and how far it had come: an older file is not taken for it.

A store has an identity and a generation. The generation grows with every start and every clean
stop, after every move of the WAL into the database and once in so many commits, always in a
transaction that is written anyway. When that is on disk the generation is noted in a second
file. If the store is found behind what is noted, something is missing of it: its end, its WAL,
or all of it because an old copy is in its place. SQLite by itself takes each of these for a
whole database.

The note may be behind the store, after a crash between the two; never before it.
"""

from __future__ import annotations

import logging
import os
import zlib
from typing import TYPE_CHECKING, Final, NamedTuple

from amqpd.store import StoreOlder

if TYPE_CHECKING:
    from pathlib import Path

    from amqpd.store.settings import StoreSettings
    from amqpd.store.tables import Tables

log = logging.getLogger(__name__)

FILE: Final = "amqpd.id"
#: One sector, so that a loss of power leaves the old note or the new one.
_BYTES: Final = 64


class Identity(NamedTuple):
    """Which store, and which generation of it."""

    id: int
    generation: int


class Note:
    """The second file, beside the database."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._path = database.with_name(FILE)

    def read(self) -> Identity | None:
        """What was noted; None if nothing was, or nobody can tell."""
        try:
            octets = self._path.read_bytes()
        except FileNotFoundError:
            return None
        text, _, check = octets.decode("ascii", "replace").strip().rpartition(" ")
        if f"{zlib.crc32(text.encode()):08x}" != check:
            return None
        identity, _, generation = text.partition(" ")
        return Identity(int(identity, 16), int(generation))

    def write(self, identity: Identity) -> None:
        """Note it; on disk when this returns.

        Raises:
            OSError: it cannot be noted.
        """
        text = f"{identity.id:016x} {identity.generation:020d}"
        line = f"{text} {zlib.crc32(text.encode()):08x}"
        is_new = not self._path.exists()
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(file, f"{line:<{_BYTES - 1}}\n".encode(), 0)
            os.fsync(file)
        finally:
            os.close(file)
        if is_new:
            self._sync_directory()

    def _sync_directory(self) -> None:
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def forget(self) -> None:
        """Whatever is there from now on is the store."""
        self._path.unlink(missing_ok=True)

    def check_there(self) -> None:
        """The file must be there if it ever was.

        Raises:
            StoreOlder: it is gone.
        """
        if not self._database.exists() and self.read() is not None:
            raise StoreOlder(
                self._database,
                f"store {self._database}: it is gone, and all messages with it; put it back, or "
                f"begin anew with store.accept_older",
            )

    def check(self, found: Identity) -> None:
        """What is found must be what was noted, or newer.

        Raises:
            StoreOlder: it is another store, or an earlier state of this one.
        """
        noted = self.read()
        if noted is None:
            return
        if noted.id != found.id:
            what = "not the one that was here"
        elif noted.generation > found.generation:
            what = (
                f"older than it was (generation {found.generation}, it was {noted.generation}): "
                "its end or its WAL is missing, or an old copy is in its place"
            )
        else:
            return
        raise StoreOlder(
            self._database,
            f"store {self._database}: {what}; what was confirmed since is not in it. Put the "
            "newest one back ('amqpd restore' takes a copy), or accept it with store.accept_older",
        )


class Generations:
    """When a generation ends, and noting the next one once it is on disk. The writer's.

    Without syncs nothing is noted: a store may then be older than it was.
    """

    def __init__(self, note: Note, settings: StoreSettings, first: Identity) -> None:
        self._note = note
        self._settings = settings
        self._left = settings.commits_per_note
        self._next: Identity | None = None
        self._write(first)

    @property
    def is_due(self) -> bool:
        """It is time for the next one."""
        return self._left <= 0

    def commit(self, tables: Tables) -> None:
        """In the transaction of a batch: begin a generation if it is time."""
        if self.is_due:
            self._next = tables.next_generation()

    def committed(self) -> None:
        """The transaction is on disk."""
        self._left -= 1
        if self._next is not None:
            self._write(self._next)
            self._left, self._next = self._settings.commits_per_note, None

    def moved(self) -> None:
        """What is in the WAL is in the database: the next commit is in the WAL only."""
        self._left = 0

    def end(self, tables: Tables) -> None:
        """The same for the last transaction."""
        self._left = 0
        self.commit(tables)

    def _write(self, identity: Identity) -> None:
        if not self._settings.sync:
            return
        try:
            self._note.write(identity)
        except OSError as error:
            # An older note is only less strict.
            log.warning("store: how far it is cannot be noted: %s", error.strerror)
