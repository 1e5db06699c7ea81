"""Copies of a store: made beside a running broker, put back, and saved from a damaged one.

    backup(path, target)        a consistent copy in one file, as of the moment in which it begins
    restore(source, directory)  a copy becomes the store of a data directory
    salvage(path, target)       what can still be read, in a new store; by hand only

Each writes to a new file beside its target first and puts it in place as a whole.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Final

from amqpd.store import StoreDamaged, StoreFailed
from amqpd.store.deferred import enter_all
from amqpd.store.driver import SqlError, select
from amqpd.store.identity import Note
from amqpd.store.mark import Mark
from amqpd.store.remnants import LARGE, SMALL, copy_rows, mend, put, scratch
from amqpd.store.schema import migrate, version_of
from amqpd.store.sqlite import FILE, LOCK, lock
from amqpd.store.streamfiles import gather, move_all_in
from amqpd.store.streamlog import StreamFiles, file_of, files_of
from amqpd.store.walend import WalEnd

if TYPE_CHECKING:
    from pathlib import Path

#: Kept beside a store that was put back.
OLD: Final = ".before-restore"


def backup(path: Path, target: Path) -> None:
    """Copy a store into one file, whether its broker runs or not.

    Raises:
        StoreDamaged: there is no store, or it cannot be read.
        StoreFailed: the copy cannot be written.
    """
    if version_of(path) == 0:
        raise StoreDamaged(path, f"store {path}: there is none")
    new = scratch(target)
    files = StreamFiles(path)
    try:
        sizes = files.hold()
        driver = select()
        connection = driver.open(path, read_only=True)
        try:
            # One read transaction over all of it: a snapshot, without what is free.
            connection.run("VACUUM INTO ?", [str(new)])
        finally:
            connection.close()
        gather(driver, new, files, sizes)
        put(new, target)
    except SqlError as error:
        new.unlink(missing_ok=True)
        raise StoreFailed(path, f"store {path}: cannot be copied: {error}") from error
    except OSError as error:
        new.unlink(missing_ok=True)
        raise StoreFailed(target, f"copy {error.filename or target}: {error.strerror}") from error
    finally:
        files.close()


def restore(source: Path, directory: Path, *, replace: bool = False) -> None:
    """Make a copy the store of a data directory; what was there is kept beside it.

    Raises:
        StoreLocked: a broker runs there.
        StoreDamaged: the copy is not a store of ours, or there is one already and it is not
            to be replaced.
    """
    if version_of(source) == 0:
        raise StoreDamaged(source, f"copy {source}: not a store of amqpd")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    held = lock(directory / LOCK)
    try:
        path = directory / FILE
        if path.exists() and not replace:
            text = f"store {path}: is there already; --replace keeps it as {path.name}{OLD}"
            raise StoreDamaged(path, text)
        new = scratch(path)
        shutil.copyfile(source, new)
        new.chmod(0o600)
        for suffix in ("", "-wal", "-shm"):
            old = path.with_name(f"{FILE}{suffix}")
            if old.exists():
                old.replace(path.with_name(f"{FILE}{OLD}{suffix}"))
        for number, old in files_of(path).items():
            old.replace(file_of(path.with_name(f"{FILE}{OLD}"), number))
        Mark(path).clear()
        Note(path).forget()
        WalEnd(path).forget()
        put(new, path)
    finally:
        os.close(held)


def salvage(path: Path, target: Path) -> dict[str, int]:
    """Copy what can be read of a damaged store into a new one; the rows of each table.

    Counters and shares are made anew from what is there. Messages whose checksum does not match
    come along: the broker sets them aside when it meets them.

    Raises:
        StoreDamaged: nothing of it can be read.
    """
    new = scratch(target)
    migrate(new)
    driver = select()
    files = StreamFiles(path)
    try:
        damaged = driver.open(path, read_only=True)
        made = driver.open(new, read_only=False)
    except SqlError as error:
        new.unlink(missing_ok=True)
        raise StoreDamaged(path, f"store {path}: cannot be opened: {error}") from error
    try:
        made.run("BEGIN")
        rows = {table: copy_rows(damaged, made, table) for table in (*SMALL, *LARGE)}
        move_all_in(made, files, files.hold(), leave_out=True)
        enter_all(driver, made, files, leave_out=True)
        mend(made)
        made.run("COMMIT")
        made.run("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        files.close()
        damaged.close()
        made.close()
    put(new, target)
    return rows
