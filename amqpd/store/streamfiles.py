"""What becomes of the files of streams: after a crash, when they are used up, and in copies.

recover(path, tables) -> Newest | None     at start, within a transaction
Retiring(path, ...)                        files go when nothing in them is wanted
waiting_frames(files, ...)                 for copies: what the database does not know
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from amqpd.store.driver import IO_ERROR, SqlError
from amqpd.store.schema import VERSION, version_of
from amqpd.store.streamlog import file_of, files_of, frames
from amqpd.store.streams import StreamTables

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from amqpd.store.driver import Connection, Driver
    from amqpd.store.streamlog import StreamFiles

log = logging.getLogger(__name__)

#: A file goes once less than this part of it is wanted, and in such steps.
SPARSE: Final = 4
STEP_CHUNKS: Final = 16
#: Written again at a time.
COPY_BYTES: Final = 1 << 20


class Newest(NamedTuple):
    """The file that is appended to, if it has room."""

    number: int
    salt: int
    end: int


def recover(path: Path, tables: StreamTables) -> Newest | None:
    """Tell the database what it does not know yet, and make sure that it is on disk.

    What follows a torn frame is cut off. After a failed sync the system may take for written
    what is not: what the database did not know is written once more.

    Raises:
        LookupError: a file is gone that the database needs, or is cut short.
        SqlError: the disk has failed, or is full.
    """
    there = files_of(path)
    newest = None
    for number, salt, end in tables.files():
        file = there.pop(number, None)
        if file is None:
            if tables.used_bytes(number):
                raise LookupError(f"{file_of(path, number)} is gone")
            tables.forget_file(number)
            continue
        newest = Newest(number, salt, _recover_file(file, tables, number, salt, end))
    for file in there.values():
        # Not known to the database any more, or not yet: nothing is in it that anybody wants.
        file.unlink()
    return newest


def _recover_file(file: Path, tables: StreamTables, number: int, salt: int, end: int) -> int:
    """One of them; where it ends now."""
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
        try:
            size = os.fstat(descriptor).st_size
            if size < end:
                raise LookupError(f"{file} is cut short: {size} bytes, {end} were written")
            if size == end:
                return end
            found = list(frames(descriptor, number, salt, end))
            upto = found[-1].end if found else end
            for at in range(end, upto, COPY_BYTES):
                os.pwrite(descriptor, os.pread(descriptor, min(COPY_BYTES, upto - at), at), at)
            os.ftruncate(descriptor, upto)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise SqlError(IO_ERROR, f"{file}: {error.strerror}") from error
    for frame in found:
        tables.index(frame.chunks, frame.tracks)
    tables.set_end(number, upto)
    return upto


class Retiring:
    """Gives back the space of files in which the database has nothing, or little, any more.

    `newest()` is the number of the file that is appended to. `transact` makes one transaction of
    what it is given, and `sync()` has the following ones on disk when they return.
    """

    def __init__(
        self,
        path: Path,
        tables: StreamTables,
        newest: Callable[[], int],
        transact: Callable[[Callable[[], object]], None],
        sync: Callable[[], None],
    ) -> None:
        self._path = path
        self._tables = tables
        self._newest = newest
        self._transact = transact
        self._sync = sync

    def step(self) -> bool:
        """Do a part of it; True if that was all."""
        tables = self._tables
        for number in sorted(tables.touched - {self._newest()}):
            try:
                if self._is_sparse(number):
                    self._transact(partial(tables.move_in, number, STEP_CHUNKS))
                    return False
            except OSError as error:
                log.warning("%s: its space is not given back: %s", error.filename, error.strerror)
            except SqlError as error:
                if error.code != IO_ERROR:
                    raise
                log.warning("%s: its space is not given back: %s", self._path, error)
            else:
                if not tables.used_bytes(number):
                    self._remove(number)
            tables.touched.discard(number)
            return False
        return True

    def _is_sparse(self, number: int) -> bool:
        used = self._tables.used_bytes(number)
        return 0 < used * SPARSE < file_of(self._path, number).stat().st_size

    def _remove(self, number: int) -> None:
        # The file may go only when that nothing is in it is on disk.
        self._sync()
        self._transact(lambda: self._tables.forget_file(number))
        file_of(self._path, number).unlink(missing_ok=True)


def gather(driver: Driver, new: Path, files: StreamFiles, sizes: dict[int, int]) -> None:
    """Have in a copy of a database what lies in files, as large as they were, beside the original.

    Raises:
        SqlError: it cannot be written, or the files cannot be read.
        FileNotFoundError: one of them is gone.
    """
    if version_of(new) < VERSION:
        return  # the original is of a version that had none
    made = driver.open(new, read_only=False)
    try:
        # Nobody uses it before it is whole.
        made.run("PRAGMA synchronous = OFF")
        made.run("BEGIN")
        move_all_in(made, files, sizes)
        made.run("COMMIT")
    finally:
        made.close()


def move_all_in(
    made: Connection, files: StreamFiles, sizes: dict[int, int], *, leave_out: bool = False
) -> None:
    """The same within a transaction; with `leave_out` without what cannot be read."""
    tables = StreamTables(made, files)
    for number, salt, end in tables.files():
        size = sizes.get(number, 0)
        if size > end:
            # The database does not know all of it yet.
            for frame in frames(files.descriptor(number), number, salt, end, size):
                with suppress(*(SqlError,) if leave_out else ()):
                    tables.index(frame.chunks, frame.tracks)
        while tables.move_in(number, STEP_CHUNKS, leave_out=leave_out):
            pass
        tables.forget_file(number)
