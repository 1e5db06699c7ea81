"""Copies of a store: made beside a running broker, put back, and saved from a damaged one.

    backup(path, target)        a consistent copy in one file, as of the moment in which it begins
    restore(source, directory)  a copy becomes the store of a data directory
    salvage(path, target)       what can still be read, in a new store; by hand only

Each writes to a new file beside its target first and puts it in place as a whole.
"""

# ruff: noqa: S608 - what is put into statements are names of ours; values are bound
from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Final

from amqpd.store import StoreDamaged, StoreFailed
from amqpd.store.driver import SqlError, select
from amqpd.store.identity import Note
from amqpd.store.packing import POSITION_BITS, key_of
from amqpd.store.schema import migrate, version_of
from amqpd.store.sqlite import FILE, LOCK, lock
from amqpd.store.streamfiles import gather, move_all_in
from amqpd.store.streamlog import StreamFiles, file_of, files_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from amqpd.store.driver import Connection, Value

#: Kept beside a store that was put back.
OLD: Final = ".before-restore"
#: Tables whose rows are found by number, and those that are read as a whole.
_LARGE: Final = ("message", "queue_message", "message_share", "message_return", "stream_chunk")
_SMALL: Final = (
    "lane", "garbage", "quarantine", "stream_offset", "stream_file", "vhost", "user", "permission",
    "topic_permission", "exchange", "queue", "binding", "parameter",
)  # fmt: skip


def backup(path: Path, target: Path) -> None:
    """Copy a store into one file, whether its broker runs or not.

    Raises:
        StoreDamaged: there is no store, or it cannot be read.
        StoreFailed: the copy cannot be written.
    """
    if version_of(path) == 0:
        raise StoreDamaged(path, f"store {path}: there is none")
    new = _new(target)
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
        _put(new, target)
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
        new = _new(path)
        shutil.copyfile(source, new)
        new.chmod(0o600)
        for suffix in ("", "-wal", "-shm"):
            old = path.with_name(f"{FILE}{suffix}")
            if old.exists():
                old.replace(path.with_name(f"{FILE}{OLD}{suffix}"))
        for number, old in files_of(path).items():
            old.replace(file_of(path.with_name(f"{FILE}{OLD}"), number))
        path.with_name("failed").unlink(missing_ok=True)
        Note(path).forget()
        _put(new, path)
    finally:
        os.close(held)


def salvage(path: Path, target: Path) -> dict[str, int]:
    """Copy what can be read of a damaged store into a new one; the rows of each table.

    Counters and shares are made anew from what is there. Messages whose checksum does not match
    come along: the broker sets them aside when it meets them.

    Raises:
        StoreDamaged: nothing of it can be read.
    """
    new = _new(target)
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
        rows = {table: _copy(damaged, made, table) for table in (*_SMALL, *_LARGE)}
        move_all_in(made, files, files.hold(), leave_out=True)
        _mend(made)
        _mend_streams(made)
        made.run("COMMIT")
        made.run("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        files.close()
        damaged.close()
        made.close()
    _put(new, target)
    return rows


def _copy(damaged: Connection, made: Connection, table: str) -> int:
    count = 0
    columns = _columns(damaged, table)
    for row in _rows(damaged, table):
        places = ", ".join("?" * len(row))
        try:
            made.run(f"INSERT OR IGNORE INTO {table}({columns}) VALUES ({places})", row)
        except SqlError:
            continue  # values that cannot be: the table is strict, the damaged file was not
        count += 1
    return count


def _columns(damaged: Connection, table: str) -> str:
    """Their names; a damaged file may be of an older version, which has fewer."""
    return ", ".join(f'"{column[1]!s}"' for column in damaged.run(f"PRAGMA table_info({table})"))


def _rows(damaged: Connection, table: str) -> Iterator[tuple[Value, ...]]:
    """The rows that can be read, in the order of their numbers; holes are stepped over."""
    last = -(1 << 62)
    step = 1
    while True:
        try:
            for rowid, *row in damaged.each(
                f"SELECT rowid, * FROM {table} WHERE rowid > ? ORDER BY rowid", [last]
            ):
                assert isinstance(rowid, int)
                last, step = rowid, 1
                yield tuple(row)
        except SqlError:
            # Further on, in growing steps: the rest of the page, or of many.
            last, step = max(last, 0) + step, step * 2
            if last >= 1 << 62:
                return
        else:
            return


def _mend(made: Connection) -> None:
    """Make the tables agree with each other again."""
    for statement in (
        "DELETE FROM queue_message WHERE message_id NOT IN (SELECT id FROM message)",
        "DELETE FROM message WHERE id NOT IN (SELECT message_id FROM queue_message)",
        "DELETE FROM message_return WHERE key NOT IN (SELECT key FROM queue_message)",
        "DELETE FROM message_share",
        "INSERT INTO message_share SELECT message_id, count(*) FROM queue_message "
        "GROUP BY 1 HAVING count(*) > 1",
        """UPDATE lane SET
            next_position = max(next_position, coalesce((
                SELECT max(key) + 1 - (lane.id << 40) FROM queue_message
                WHERE key >= lane.id << 40 AND key < (lane.id + 1) << 40), 0)),
            messages = (
                SELECT count(*) FROM queue_message q
                WHERE q.key >= lane.id << 40 AND q.key < (lane.id + 1) << 40 AND q.flags & 1 = 0
                AND NOT EXISTS (SELECT 1 FROM garbage g
                    WHERE q.key BETWEEN g.first_key AND g.last_key)),
            body_bytes = (
                SELECT coalesce(sum(length(m.body)), 0) FROM queue_message q
                JOIN message m ON m.id = q.message_id
                WHERE q.key >= lane.id << 40 AND q.key < (lane.id + 1) << 40 AND q.flags & 1 = 0
                AND NOT EXISTS (SELECT 1 FROM garbage g
                    WHERE q.key BETWEEN g.first_key AND g.last_key))
        WHERE id NOT IN (SELECT key >> 40 FROM stream_chunk)""",
    ):
        made.run(statement)


def _mend_streams(made: Connection) -> None:
    """A stream has no holes: what is left of it is what lies behind the last one."""
    found = made.run("SELECT key, messages, length(contents) FROM stream_chunk ORDER BY key")
    ends: dict[int, tuple[int, int, int]] = {}
    for key, messages, size in found:
        assert isinstance(key, int)
        assert isinstance(messages, int)
        assert isinstance(size, int)
        lane = key >> POSITION_BITS
        first, end, size_bytes = ends.get(lane, (key, key, 0))
        if end != key:
            first, size_bytes = key, 0
        ends[lane] = (first, key + messages, size_bytes + size)
    for lane, (first, end, size_bytes) in ends.items():
        base = key_of(lane, 0)
        made.run("DELETE FROM stream_chunk WHERE key >= ? AND key < ?", [base, first])
        made.run(
            "UPDATE lane SET next_position = ?, messages = ?, body_bytes = ? WHERE id = ?",
            [end - base, end - first, size_bytes, lane],
        )
    made.run("DELETE FROM stream_offset WHERE lane NOT IN (SELECT id FROM lane)")


def _new(target: Path) -> Path:
    new = target.with_name(f"{target.name}.new")
    new.unlink(missing_ok=True)
    return new


def _put(new: Path, target: Path) -> None:
    """Sync a file and put it in its place, for its owner only."""
    new.chmod(0o600)
    descriptor = os.open(new, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    new.replace(target)
    directory = os.open(target.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
