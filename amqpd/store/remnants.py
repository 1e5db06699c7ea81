"""What is left of a damaged store: its rows, as far as they can be read, in another file.

copy_rows(damaged, made, table)     one table
mend(made)                          the tables agree with each other again
scratch(target), put(new, target)   a file beside another, which then takes its place
"""

# ruff: noqa: S608 - what is put into statements are names of ours; values are bound
from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from amqpd.store.driver import SqlError
from amqpd.store.ranges import POSITION_BITS, key_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from amqpd.store.driver import Connection, Value

#: Tables whose rows are found by number, and those that are read as a whole.
LARGE: Final = ("message", "queue_message", "message_share", "message_return", "stream_chunk")
SMALL: Final = (
    "lane", "garbage", "quarantine", "stream_offset", "stream_file", "vhost", "user", "permission",
    "topic_permission", "exchange", "queue", "binding", "parameter", "deferred",
)  # fmt: skip
#: Of numbers of rows.
_FIRST: Final = -(1 << 62)
_LAST: Final = 1 << 62


def copy_rows(damaged: Connection, made: Connection, table: str) -> int:
    """Those rows of a table that can be read; how many."""
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
    last = _FIRST
    while True:
        try:
            for rowid, *row in damaged.each(
                f"SELECT rowid, * FROM {table} WHERE rowid > ? ORDER BY rowid", [last]
            ):
                assert isinstance(rowid, int)
                last = rowid
                yield tuple(row)
        except SqlError:
            last = _behind_hole(damaged, table, last)
            if last >= _LAST:
                return
        else:
            return


def _behind_hole(damaged: Connection, table: str, last: int) -> int:
    """From where on rows can be read again; `_LAST` if nowhere.

    In growing steps beyond the hole, and back to its end: whole pages may be lost, but what is
    beside them is not.
    """
    low, step = last, 1
    while not _is_readable(damaged, table, high := max(low, 0) + step):
        if high >= _LAST:
            return _LAST
        low, step = high, step * 2
    while high - low > 1:
        middle = (low + high) // 2
        if _is_readable(damaged, table, middle):
            high = middle
        else:
            low = middle
    return high


def _is_readable(damaged: Connection, table: str, last: int) -> bool:
    """Whether the row behind that number can be read."""
    try:
        damaged.run(f"SELECT * FROM {table} WHERE rowid > ? ORDER BY rowid LIMIT 1", [last])
    except SqlError:
        return False
    return True


def mend(made: Connection) -> None:
    """Make the tables agree with each other again, in the transaction that is open."""
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
    _mend_streams(made)


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


def scratch(target: Path) -> Path:
    """Where a file is made that is to take the place of another; there is none yet."""
    new = target.with_name(f"{target.name}.new")
    new.unlink(missing_ok=True)
    return new


def put(new: Path, target: Path) -> None:
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
