"""The store on SQLite: one file, one writer, one reader, one lock.

The data directory holds `amqpd.db`, what SQLite puts beside it, the files of streams, and `lock`,
which one process at a time holds. Nothing of the directory is touched before the lock is ours.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from amqpd.errors import AmqpError
from amqpd.store import (
    CutDone,
    ExpiredDone,
    OffsetDone,
    Post,
    ReadDone,
    ReturnedDone,
    Snapshot,
    StoreDamaged,
    StoreFailed,
    StoreFull,
    StoreLocked,
    StoreNewer,
    StoreOlder,
    StreamDone,
    WalState,
    WriteDone,
)
from amqpd.store.deferred import Deferred
from amqpd.store.driver import FULL, IO_ERROR, SqlError, select
from amqpd.store.identity import Generations, Identity, Note
from amqpd.store.mark import Mark
from amqpd.store.packing import Packing
from amqpd.store.reader import (
    Expired,
    FindCut,
    FindOffset,
    OfTables,
    Read,
    Reader,
    ReadReturned,
    ReadSome,
    ReadStream,
)
from amqpd.store.reserve import Reserve
from amqpd.store.schema import VERSION, migrate, newer
from amqpd.store.settings import StoreSettings
from amqpd.store.streamfiles import recover
from amqpd.store.streamlog import StreamFiles
from amqpd.store.tables import Tables
from amqpd.store.versions import has_wal_reset_bug
from amqpd.store.walend import WalEnd
from amqpd.store.writer import BUSY_MS, WAL_CUT, Ask, Write, Writer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from amqpd.broker.attempts import Counted, Delayed
    from amqpd.broker.journal import Batch
    from amqpd.store.driver import Connection, Driver

log = logging.getLogger(__name__)

FILE: Final = "amqpd.db"
LOCK: Final = "lock"

_READER_CACHE_KIB: Final = 8192


class SqliteStore:
    """A `Store` in a directory of its own; see the package for how it works.

    Without `sync` a confirm survives a crash of the process, not one of the machine.
    """

    def __init__(self, directory: Path, post: Post, settings: StoreSettings | None = None) -> None:
        self.path = directory / FILE
        self._directory = directory
        self._post = post
        self._settings = settings or StoreSettings()
        self._note = Note(self.path)
        self._end = WalEnd(self.path, wanted=self._settings.sync)
        self._reserve = Reserve(directory, self._settings.reserve_bytes)
        self._files = StreamFiles(self.path)
        self._lock: int | None = None
        #: A batch that is not packed yet, and who waits for it.
        self._packing: tuple[Packing, WriteDone] | None = None
        self._packs = threading.Lock()
        self._writer: Writer | None = None
        self._reader: Reader | None = None
        #: Answers over the writer's connection and in its thread.
        self._here: Reader | None = None

    @property
    def quarantined(self) -> Mapping[int, int]:
        """How many damaged messages were set aside, by lane."""
        return {} if self._writer is None else self._writer.quarantined

    @property
    def wal(self) -> WalState:
        """How long the WAL is, and who makes it grow."""
        if self._writer is None:
            return WalState()
        return WalState(self._writer.wal.size_bytes, self._writer.held_by)

    @property
    def owed_bytes(self) -> int:
        """What the files will still take of the disk; see `space`."""
        return 0 if self._writer is None else self._writer.space.owed_bytes

    def open(self) -> Snapshot:
        """Create, migrate or recover the file, and tell what it holds.

        Raises:
            StoreLocked: another process has it.
            StoreNewer: a newer version has written it.
            StoreOlder: it is behind what it was before.
            StoreDamaged: it cannot be read.
            StoreFailed, StoreFull: the disk has failed, or has no room at all.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = lock(self._directory / LOCK)
        if self._directory.stat().st_mode & 0o077:
            log.warning("data directory %s: open to others; chmod 700 it", self._directory)
        try:
            return self._open()
        except BaseException:
            self._unlock()
            raise

    def _open(self) -> Snapshot:
        if self._settings.accept_older:
            self._note.forget()
            self._end.forget()
        driver = select(self._settings.driver)
        self._rescue(driver)
        self._note.check_there()
        migrate(self.path, self._settings.page_size_bytes)
        log.info("store %s: SQLite %s (%s)", self.path, driver.version, driver.name)
        if has_wal_reset_bug(driver.version):
            log.warning(
                "store %s: SQLite %s loses pages when two programs write to a file: this broker "
                "is the only one that does; keep others from it, or install apsw",
                self.path,
                driver.version,
            )
        self._reserve.keep()
        try:
            return self._have_room(driver)
        except StoreDamaged as error:
            if not self._settings.rescue or isinstance(error, StoreOlder):
                raise
            log.error("%s", error)
        Mark(self.path).leave(damage=True)
        self._rescue(driver)
        return self._have_room(driver)

    def _rescue(self, driver: Driver) -> None:
        if Mark(self.path).is_there:
            # Nearly never: not imported for nothing.
            from amqpd.store.rescue import rescue

            rescue(self.path, driver, lossy=self._settings.rescue)

    def _have_room(self, driver: Driver) -> Snapshot:
        try:
            return self._try(driver)
        except (StoreFull, StoreFailed):
            # Even to open it takes a few pages; SQLite calls some of them an I/O error.
            if not self._reserve.give_up():
                raise
        return self._try(driver)

    def _try(self, driver: Driver) -> Snapshot:
        opened: list[Connection] = []
        try:
            return self._start(driver, opened)
        except (SqlError, LookupError, ValueError, AmqpError, StoreNewer, StoreOlder) as error:
            for connection in opened:
                connection.close()
            self._end.close()
            if isinstance(error, StoreNewer | StoreOlder):
                raise
            if isinstance(error, SqlError) and error.code in (FULL, IO_ERROR):
                # Not its fault: what is on disk may be as it should.
                made = StoreFull if error.code == FULL else StoreFailed
                raise made(self.path, f"store {self.path}: cannot be opened: {error}") from error
            # A page that is whole may still hold values that are not (no sync, bit rot).
            text = (
                f"store {self.path}: cannot be opened: {error}; "
                "'amqpd check' tells what is wrong, 'amqpd salvage' saves what can be read, "
                "store.rescue starts without the rest"
            )
            raise StoreDamaged(self.path, text) from error

    def _start(self, driver: Driver, opened: list[Connection]) -> Snapshot:
        connection = driver.open(self.path, read_only=False)
        opened.append(connection)
        self._prepare(connection)
        self._end.check()
        self._write_again(connection)
        tables = Tables(driver, connection, self._files)
        connection.run("BEGIN IMMEDIATE")
        self._note.check(tables.identity())
        newest = recover(self.path, tables.streams)
        # By itself: if there is no room for what follows, that is left out.
        connection.run("COMMIT")
        connection.run("BEGIN IMMEDIATE")
        deferred = Deferred(connection)
        next_id = deferred.load()
        deferred.enter(tables)
        snapshot = tables.snapshot()
        # The id of a message that was settled before it was in a table is not given once more
        # while both may be deferred.
        next_id = max(snapshot.next_message_id, next_id)
        snapshot = replace(snapshot, next_message_id=next_id)
        identity = _begin_life(connection, tables, snapshot, deferred)
        reading = driver.open(self.path, read_only=True)
        opened.append(reading)
        for pragma in ("query_only = 1", f"cache_size = -{_READER_CACHE_KIB}", "mmap_size = 0"):
            reading.run(f"PRAGMA {pragma}")
        life = snapshot.next_message_id
        generations = Generations(self._note, self._settings, identity)
        self._writer = Writer(
            self.path,
            connection,
            tables,
            self._settings,
            life,
            self._post,
            self._reserve,
            generations,
            newest,
            deferred,
            self._end,
            snapshot.quarantined,
        )
        writer = self._writer

        def reader(over: Connection) -> Reader:
            path, post, appended = self.path, self._post, writer.stream_log
            return Reader(path, driver, over, life, post, writer.put, lambda: appended.waiting)

        self._reader, self._here = reader(reading), reader(connection)
        self._writer.start()
        self._reader.start()
        return snapshot

    def _write_again(self, connection: Connection) -> None:
        """After a failed sync, write what is in the WAL once more, to the database.

        The system may count the WAL's pages as written although they are not: the next sync
        would cover what comes behind them and not them, and a loss of power then lose it all.
        """
        mark = Mark(self.path)
        if mark.is_there:
            log.warning("store %s: a write had failed; writing the WAL once more", self.path)
            connection.run("PRAGMA wal_checkpoint(TRUNCATE)")
            mark.clear()

    def _prepare(self, connection: Connection) -> None:
        settings = self._settings
        for pragma in (
            f"busy_timeout = {BUSY_MS}",
            "journal_mode = WAL",
            f"synchronous = {'FULL' if settings.sync else 'OFF'}",
            "wal_autocheckpoint = 0",
            f"journal_size_limit = {WAL_CUT * settings.wal_limit_bytes}",
            f"cache_size = -{settings.cache_bytes // 1024}",
            "mmap_size = 0",
            # Distributions switch it on: each settle would write zeros over the pages.
            "secure_delete = 0",
            "temp_store = MEMORY",
        ):
            connection.run(f"PRAGMA {pragma}")
        version = connection.run("PRAGMA user_version")[0][0]
        if version != VERSION:
            # Only where a newer version was killed while it migrated: the WAL knows, the file's
            # first page does not yet.
            raise StoreNewer(self.path, newer(self.path, version))

    def write(self, batch: Batch, done: WriteDone) -> None:
        """Commit a batch as a whole; `done` gets its number once it is on disk."""
        assert self._writer is not None
        assert self._packing is None
        packing = Packing(batch)
        self._packing = packing, done
        if packing.is_short:
            self._pack()
        else:
            # Whatever led to this has taken its time already.
            self._post(self._pack)

    def _pack(self) -> None:
        """Pack a part of the batch, and the rest when everybody else has had a turn."""
        with self._packs:
            if self._packing is None:
                return  # the store was closed meanwhile, and has finished it
            self._hand_in(*self._packing)
        if self._packing is not None:
            self._post(self._pack)

    def _hand_in(self, packing: Packing, done: WriteDone) -> None:
        assert self._writer is not None
        try:
            packed = packing.step()
        except Exception as error:
            # Our own bug, but whoever waits must not wait for ever.
            log.exception("store %s: a batch cannot be packed", self.path)
            text = f"store {self.path}: a batch cannot be packed: {error!r}"
            failed = StoreFailed(self.path, text)
            self._packing = None
            self._post(lambda: done(failed))
            return
        if packed is not None:
            self._packing = None
            self._writer.put(Write(packed, done))

    def read(
        self,
        lane: int,
        from_position: int,
        upto_position: int,
        max_messages: int,
        max_bytes: int,
        done: ReadDone,
    ) -> None:
        """Committed messages with `from_position <= position < upto_position`, in order."""
        self._ask(Read(lane, from_position, upto_position, max_messages, max_bytes, done))

    def read_some(self, lane: int, positions: Sequence[int], done: ReadDone) -> None:
        """Those of some positions, all committed, that are there; in the order asked for."""
        self._ask(ReadSome(lane, positions, done))

    def expired(
        self,
        lane: int,
        from_position: int,
        upto_position: int,
        after: tuple[int, int],
        now_ms: int,
        most: int,
        done: ExpiredDone,
    ) -> None:
        """Early messages of a stretch with a deadline of at most `now_ms`; see `Store`."""
        self._ask(Expired(lane, from_position, upto_position, after, now_ms, most, done))

    def read_returned(self, question: Counted | Delayed, done: ReturnedDone) -> None:
        """Committed messages some of which came back, with what is known of these."""
        self._ask(ReadReturned(question, done))

    def _ask(self, question: OfTables) -> None:
        """Have it answered from tables that hold all that is committed."""
        assert self._reader is not None
        assert self._writer is not None
        assert self._here is not None
        if self._writer.deferred:
            go_on, here = partial(self._reader.put, question), partial(self._here.answer, question)
            self._writer.put(Ask(go_on, here, question.done))
        else:
            self._reader.put(question)

    def read_stream(
        self, lane: int, offset: int, upto: int, max_bytes: int, done: StreamDone
    ) -> None:
        """Whole chunks from `offset` to below `upto`; see `Archive.read_stream`."""
        assert self._reader is not None
        self._reader.put(ReadStream(lane, offset, upto, max_bytes, done))

    def find_offset(
        self, lane: int, first: int, upto: int, since_ms: int | None, done: OffsetDone
    ) -> None:
        """Where to begin; see `Archive.find_offset`."""
        assert self._reader is not None
        self._reader.put(FindOffset(lane, first, upto, since_ms, done))

    def find_cut(
        self, lane: int, first: int, upto: int, size: int, since_ms: int, done: CutDone
    ) -> None:
        """What may stay; see `Archive.find_cut`."""
        assert self._reader is not None
        self._reader.put(FindCut(lane, first, upto, size, since_ms, done))

    def close(self) -> None:
        """Wait for what was handed in, note that the stop was clean, close the files."""
        if self._reader is not None:
            self._reader.stop()
            self._reader = None
        with self._packs:
            while self._packing is not None:
                self._hand_in(*self._packing)
        if self._writer is not None:
            self._writer.stop()
        self._files.close()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _begin_life(
    connection: Connection, tables: Tables, snapshot: Snapshot, deferred: Deferred
) -> Identity:
    """A life begins, and a generation, in the transaction that is open.

    After a crash it goes without on a full disk: there it is noted already that the stop was not
    clean, a generation that has not begun only makes the check of the next start less strict, and
    what is deferred may stay so.
    """
    try:
        tables.begin_life()
        identity = tables.next_generation()
        connection.run("COMMIT")
    except SqlError as error:
        if error.code != FULL or snapshot.clean:
            raise
        if connection.in_transaction:
            connection.run("ROLLBACK")
        return tables.identity()
    deferred.entered()
    return identity


def lock(path: Path) -> int:
    """Take the lock of a data directory; the descriptor holds it.

    Raises:
        StoreLocked: another process holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        os.close(descriptor)
        who = f"process {owner}" if owner else "another process"
        raise StoreLocked(
            path,
            f"data directory {path.parent}: in use by {who}; "
            "stop it, or choose another data directory",
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor
