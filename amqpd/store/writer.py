"""The writer: one thread, one connection, the only one that writes and checkpoints.

A batch is one transaction and one sync; a small one is a row that goes into the tables later
(`deferred`), and if all of it is for streams it is one frame in a file of theirs (`streamlog`)
and one sync. What must be done but nobody waits for is done when no batch is there, in steps of
a few milliseconds: what is deferred, moving the WAL into the database, deleting rows of purged
and dropped lanes, setting damaged messages aside, giving free space back.
Those steps are not synced by themselves; the next batch's sync covers them, and if they are
lost they are done again.

A full disk met before the sync is reported as `StoreFull`: rolled back, nothing written, the
batch may come again. Every other error is final. A failed sync in particular must not be
tried again: the kernel reports it once and may have dropped the pages.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from amqpd.store import Post, StoreFailed, StoreFull, WriteDone
from amqpd.store.driver import BUSY, FULL, SqlError
from amqpd.store.mark import Mark
from amqpd.store.scattered import MANY, TOO_MANY
from amqpd.store.space import Space
from amqpd.store.streamfiles import Retiring
from amqpd.store.streamlog import StreamLog
from amqpd.store.wal import WalGauge, readers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from amqpd.store.deferred import Deferred
    from amqpd.store.driver import Connection
    from amqpd.store.identity import Generations
    from amqpd.store.packing import Packed
    from amqpd.store.reserve import Reserve
    from amqpd.store.settings import StoreSettings
    from amqpd.store.streamfiles import Newest
    from amqpd.store.tables import Tables
    from amqpd.store.walend import WalEnd

log = logging.getLogger(__name__)

#: How long nothing must have happened before free space is given back, and between steps.
QUIET_S: Final = 1.0
VACUUM_PAUSE_S: Final = 0.02
#: Pages moved in one step; 32 of them take a few milliseconds.
VACUUM_PAGES: Final = 32
#: After a chore found the disk full.
FULL_PAUSE_S: Final = 5.0
#: The WAL grows past its limit only while a reader holds on to it. So many times as large it is
#: told, and looked at again and again, at so many times it is cut when it is begun anew.
WAL_ALARM: Final = 4
WAL_CUT: Final = 2
HELD_PAUSE_S: Final = 1.0
#: The WAL is looked at when so much of its limit may have been written, a batch taken for so
#: much more than what is in it: a look takes as long as one of the statements of a small batch.
LOOK_SHARE: Final = 32
LOOK_BYTES: Final = 128 << 10
#: Of SQLite's own wait for a foreign process that writes into our file.
BUSY_MS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Write:
    """A batch and who waits for it."""

    packed: Packed
    done: WriteDone


@dataclass(frozen=True, slots=True)
class Ask:
    """Who wants to look at the tables when all that is committed is in them.

    `go_on` may be called then; `here` while it is so for this connection only; `fail` if never.
    """

    go_on: Callable[[], None]
    here: Callable[[], None]
    fail: Callable[[StoreFailed], None]


@dataclass(frozen=True, slots=True)
class Damaged:
    """A message that must not be handed out."""

    lane: int
    position: int
    reason: str
    #: False: the disk does not give its contents back.
    readable: bool = True


Job = Write | Ask | Damaged | None


class Writer:
    """Writes batches in the order in which they are handed in, each as a whole."""

    def __init__(
        self,
        path: Path,
        connection: Connection,
        tables: Tables,
        settings: StoreSettings,
        life: int,
        post: Post,
        reserve: Reserve,
        generations: Generations,
        newest: Newest | None,
        deferred: Deferred,
        end: WalEnd,
        quarantined: dict[int, int],
    ) -> None:
        self._path = path
        self._connection = connection
        self._tables = tables
        self._settings = settings
        self._life = life
        self._post = post
        self._reserve = reserve
        self._generations = generations
        self._end = end
        #: Small batches that are not in the tables yet. Others may ask whether there are any.
        self.deferred = deferred
        self._inbox: SimpleQueue[Job] = SimpleQueue()
        self._failure: StoreFailed | None = None
        #: Who keeps the WAL from being begun anew, while somebody does; `somebody` if it is not
        #: known who.
        self.held_by: tuple[str, ...] = ()
        page_size = connection.run("PRAGMA page_size")[0][0]
        assert isinstance(page_size, int)
        self._page_size = page_size
        self.space = Space(path, connection, settings.wal_limit_bytes)
        self.wal = WalGauge(path, page_size)
        #: What may have been written into it since the last look.
        self._unseen_bytes = 0
        #: Where large batches of streams alone are appended.
        self.stream_log = StreamLog(path, tables.streams, self._transact, settings)
        if newest is not None:
            self.stream_log.go_on(*newest)
        self._retiring = Retiring(
            path,
            tables.streams,
            lambda: self.stream_log.number,
            self._transact,
            lambda: self._sync(True),
        )
        tables.streams.touched.update(number for number, _, _ in tables.streams.files())
        self._chores: deque[Callable[[], bool]] = deque(
            [self._sweep, self._sweep_transient, self._retiring.step]
        )
        #: Messages set aside because they were damaged, by lane.
        self.quarantined = quarantined
        self._thread = threading.Thread(target=self._run, name="amqpd-store-writer", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self.space.measure()
        self._thread.start()

    def put(self, job: Write | Ask | Damaged) -> None:
        """Hand in a job."""
        self._inbox.put(job)

    def stop(self) -> None:
        """Finish what was handed in, note a clean stop, end."""
        self._inbox.put(None)
        self._thread.join()
        self.wal.close()

    # -- the thread ----------------------------------------------------------------------

    def _run(self) -> None:
        pause_s: float | None = 0.0
        while True:
            try:
                job = self._inbox.get(timeout=pause_s) if pause_s else self._next(pause_s)
            except Empty:
                pause_s = self._chore()
                continue
            match job:
                case None:
                    break
                case Write():
                    self._write(job)
                case Ask():
                    self._answer(job)
                case Damaged():
                    self._when_entered(partial(self._set_aside, job))
            pause_s = 0.0 if self._chores else QUIET_S
        self._finish()

    def _next(self, pause_s: float | None) -> Job:
        return self._inbox.get() if pause_s is None else self._inbox.get_nowait()

    def _write(self, job: Write) -> None:
        outcome = self._commit(job.packed) if self._failure is None else self._failure
        done, for_streams = job.done, StreamLog.takes(job.packed)
        if isinstance(outcome, int) and not for_streams:
            # Before anybody is told: what is told must be missed. A frame of streams has synced
            # their file; what chores have left in the WAL may still go with the power.
            self._end.note()
        self._post(lambda: done(outcome))
        if not isinstance(outcome, int):
            return
        if for_streams:
            if self.stream_log.is_long:
                self._step(self._index)
        else:
            self._generations.committed()
            if self.deferred.is_due:
                self._enter()
            if job.packed.garbage or job.packed.dropped or job.packed.defines:
                self._expect(self._sweep)
            self._see_to_scattered()
            self.space.measure()
            self._unseen_bytes += LOOK_BYTES + job.packed.size_bytes
            if self._unseen_bytes * LOOK_SHARE >= self._settings.wal_limit_bytes:
                self._checkpoint()

    def _see_to_scattered(self) -> None:
        waiting = self._tables.scattered.waiting
        if waiting >= MANY:
            self._expect(self._clear)
        if waiting >= TOO_MANY:
            self._step(self._clear)

    def _commit(self, packed: Packed) -> int | StoreFull | StoreFailed:
        try:
            self._apply(packed)
        except SqlError as error:
            if error.code == FULL:
                text = f"store {self._path}: the disk is full; free some space ({error})"
                return StoreFull(self._path, text)
            return self._fail(f"commit failed: {error}", damage=error.is_damage)
        except Exception as error:
            # Our own bug, but the same promise: what is on disk is not known any more.
            log.exception("store %s: batch %d cannot be written", self._path, packed.number)
            return self._fail(f"batch {packed.number} cannot be written: {error!r}")
        return packed.number

    def _apply(self, packed: Packed) -> None:
        """Write a batch; a full disk is given what can be found."""
        rooms = (self._make_do, self._reserve.give_up)
        for make_room in rooms:
            try:
                self._put_on_disk(packed)
            except SqlError as error:
                if error.code != FULL or not make_room():
                    raise
            else:
                return
        self._put_on_disk(packed)

    def _put_on_disk(self, packed: Packed) -> None:
        if StreamLog.takes(packed):
            self.stream_log.append(packed)
        elif self.deferred.takes(packed) and not self._generations.is_due:
            self._patiently(lambda: self.deferred.add(packed))
        else:
            self._transact(lambda: self._put(packed))
            self.stream_log.entered()
            self.deferred.entered()
        self.deferred.know(packed)

    def _put(self, packed: Packed) -> None:
        self.stream_log.enter()
        self.deferred.enter(self._tables)
        self._tables.apply(packed)
        self._generations.commit(self._tables)

    def _make_do(self) -> bool:
        """Begin the WAL anew, which has its space already, and do without a spare file."""
        self.stream_log.spare.give_up()
        with suppress(SqlError):
            self._connection.run("PRAGMA wal_checkpoint(PASSIVE)")
        return True

    def _transact(self, work: Callable[[], object]) -> None:
        """Do it in one transaction; on an error nothing of it stays, except after the sync."""
        self._patiently(lambda: self._connection.run("BEGIN IMMEDIATE"))
        try:
            work()
            self._connection.run("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.run("ROLLBACK")
            raise

    def _patiently(self, begin: Callable[[], object]) -> None:
        """Do what another process may keep from being done for a while."""
        while True:
            try:
                begin()
            except SqlError as error:
                if error.code != BUSY:
                    raise
                log.warning("store %s: another process keeps it locked, waiting", self._path)
            else:
                return

    def _fail(self, text: str, *, damage: bool = False) -> StoreFailed:
        if self._failure is None:
            self._failure = StoreFailed(self._path, f"store {self._path}: {text}")
            self._chores.clear()
            Mark(self._path).leave(damage=damage)
            log.critical("%s; nothing is written any more", self._failure)
        return self._failure

    def _finish(self) -> None:
        if self._failure is None:
            try:
                self._sync(True)
                self._transact(self._end_life)
                self._end.forget()
                self._connection.run("PRAGMA wal_checkpoint(TRUNCATE)")
                self._generations.committed()
            except SqlError as error:
                log.error("store %s: the stop is not a clean one: %s", self._path, error)
        self.stream_log.close()
        self._connection.close()
        self._end.close()

    def _end_life(self) -> None:
        self.stream_log.enter()
        self.deferred.enter(self._tables)
        self._tables.end_life()
        self._generations.end(self._tables)

    # -- chores --------------------------------------------------------------------------

    def _expect(self, chore: Callable[[], bool]) -> None:
        if chore not in self._chores:
            self._chores.append(chore)

    def _chore(self) -> float | None:
        """Do one step of what nobody waits for; seconds until the next one, None for never."""
        if self._failure is not None:
            return None
        if not self._enter():
            return FULL_PAUSE_S
        if not self._chores:
            # Quiet for a while, and nothing else to do.
            self._reserve.keep()
            self._chores.extend((self._index, self._clear, self._vacuum))
        chore = self._chores[0]
        finished = self._step(chore)
        if finished is None:
            return FULL_PAUSE_S
        if finished:
            self._chores.remove(chore)
        self.space.measure()
        self._checkpoint()
        if not self._chores:
            if self.held_by:
                return HELD_PAUSE_S
            return None if chore == self._vacuum else QUIET_S
        return VACUUM_PAUSE_S if chore == self._vacuum else 0.0

    def _step(self, chore: Callable[[], bool]) -> bool | None:
        """One step of a chore, True if it was the last; None if it could not be done."""
        if self._failure is not None:
            return None
        try:
            self._sync(False)
            finished = chore()
            self._sync(True)
        except SqlError as error:
            if error.code != FULL:
                self._fail(f"cleaning up failed: {error}", damage=error.is_damage)
                return None
            self._sync(True)
            return None
        except ValueError as error:
            # A value that cannot be there: the file is damaged in a way that SQLite cannot see.
            self._fail(f"cleaning up failed: {error}", damage=True)
            return None
        return finished

    def _enter(self) -> bool:
        """Put what is deferred into the tables, which now hold all that is committed.

        False: there is no room for it, or nothing is written any more.
        """
        if self.deferred and not self._step(self._enter_all):
            return False
        return self._failure is None

    def _enter_all(self) -> bool:
        self._transact(lambda: self.deferred.enter(self._tables))
        self.deferred.entered()
        return True

    def _when_entered(self, chore: Callable[[], bool]) -> None:
        """Do it now or, if the tables have no room for what is deferred, when they have."""
        if self._enter():
            self._step(chore)
        elif self._failure is None:
            self._expect(chore)

    def _answer(self, ask: Ask) -> None:
        if self._enter():
            ask.go_on()
        elif self._failure is None:
            self._answer_here(ask)
        if (failure := self._failure) is not None:
            self._post(lambda: ask.fail(failure))

    def _answer_here(self, ask: Ask) -> None:
        """Let it look at tables that there is no room to keep; reading needs none."""
        run = self._connection.run
        try:
            self._patiently(lambda: run("BEGIN IMMEDIATE"))
            try:
                self.deferred.enter(self._tables)
                ask.here()
            finally:
                run("ROLLBACK")
        except SqlError as error:
            self._fail(f"reading what is deferred failed: {error}", damage=error.is_damage)

    def _sync(self, wanted: bool) -> None:
        """Whether commits are synced from here on; chores leave it to the next batch."""
        if self._settings.sync:
            self._connection.run(f"PRAGMA synchronous = {'FULL' if wanted else 'NORMAL'}")

    def _sweep(self) -> bool:
        finished: list[bool] = []
        rows = self._settings.sweep_rows
        self._transact(lambda: finished.append(self._tables.sweep(rows)))
        if finished[0] and self._tables.streams.touched:
            self._expect(self._retiring.step)
        return finished[0]

    def _index(self) -> bool:
        """Tell the database where chunks lie."""
        if self.stream_log.waiting:
            self._transact(self.stream_log.enter)
            self.stream_log.entered()
        return True

    def _clear(self) -> bool:
        """Delete some of what was gone before and only noted."""
        finished: list[bool] = []
        rows = self._settings.sweep_rows
        self._transact(lambda: finished.append(self._tables.scattered.sweep(rows)))
        return finished[0]

    def _sweep_transient(self) -> bool:
        finished: list[bool] = []
        life, rows = self._life, self._settings.sweep_rows
        self._transact(lambda: finished.append(self._tables.sweep_transient(life, rows)))
        return finished[0]

    def _set_aside(self, damaged: Damaged) -> bool:
        moved: list[bool] = []
        lane, position, reason = damaged.lane, damaged.position, damaged.reason
        set_aside = partial(self._tables.quarantine, lane, position, reason)
        if not damaged.readable:
            # What fails to be read within a transaction spoils all of it.
            size = self._tables.size_of(lane, position)
            set_aside = partial(self._tables.leave_behind, lane, position, reason, size)
        self._transact(lambda: moved.append(set_aside()))
        if moved[0]:
            self.quarantined[lane] = self.quarantined.get(lane, 0) + 1
            log.error(
                "store %s: message at position %d of lane %d is damaged (%s); quarantined",
                self._path,
                position,
                lane,
                reason,
            )
        return True

    def _vacuum(self) -> bool:
        """Give a few free pages back to the file system while most of the file is free."""
        run = self._connection.run
        free, pages = run("PRAGMA freelist_count")[0][0], run("PRAGMA page_count")[0][0]
        assert isinstance(free, int)
        assert isinstance(pages, int)
        if free * 2 <= pages or free * self._page_size <= self._settings.vacuum_above_bytes:
            return True
        self._transact(self._move_pages)
        return False

    def _move_pages(self) -> None:
        # Page by page: Python's own library ends the statement after the first one.
        for _ in range(VACUUM_PAGES):
            self._connection.run("PRAGMA incremental_vacuum(1)")

    def _checkpoint(self) -> None:
        """Move the WAL into the database once it is long; readers and nobody else may delay it."""
        self._unseen_bytes = 0
        limit = self._settings.wal_limit_bytes
        if not self.wal.is_longer_than(limit):
            self._let_go()
            return
        try:
            ((_, pages, moved),) = self._connection.run("PRAGMA wal_checkpoint(PASSIVE)")
            self._generations.moved()
        except SqlError as error:
            if error.code != FULL:
                self._fail(f"checkpoint failed: {error}", damage=error.is_damage)
                return
            log.warning("store %s: no space to checkpoint, the WAL grows", self._path)
            return
        if pages == moved:
            self._let_go()
        elif not self.held_by and self.wal.is_longer_than(WAL_ALARM * limit):
            self._hold()

    def _hold(self) -> None:
        self.held_by = readers(self._path) or ("somebody",)
        log.warning(
            "store %s: the WAL is %d times its limit, because %s has been reading the store for "
            "long: end that; until then the WAL takes more and more of the disk",
            self._path,
            WAL_ALARM,
            ", ".join(self.held_by),
        )

    def _let_go(self) -> None:
        """Nobody holds the WAL any more: begin it anew, which gives its space back."""
        if not self.held_by:
            return
        self.held_by = ()
        log.info("store %s: the WAL is in the database", self._path)
        self._expect(self._begin_anew)

    def _begin_anew(self) -> bool:
        # Any commit does it; of a row that does not change SQLite makes none.
        self._transact(self._tables.next_generation)
        return True
