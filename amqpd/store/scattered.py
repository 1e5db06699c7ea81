"""Scattered: what is gone from all over the table of messages is deleted later, together.

Messages that expire at random times lie far apart, so that each that is deleted by itself writes
a page of the file for one row. Where a batch lets go of many such, their ids are noted in one
row of `message_gone` instead; once there are `MANY`, or nothing else is to be done, passes
through the table delete them in its order, and each page is written once for all that has gone
from it. With 1,000,000 messages of 128 bytes the batch costs a third of the time.

The ids are in a table in memory, too, which is a list in order that takes nothing of the
interpreter's lock. Rows of `message_gone` go at the end of a pass that began behind them; an id
that is there is not given again (`Tables.snapshot`).
"""

# ruff: noqa: S608 - what is put into statements are names of ours; values are bound
from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

from amqpd.store.driver import to_int

if TYPE_CHECKING:
    from amqpd.store.driver import Connection, Driver
    from amqpd.store.packing import Packed

#: So many that are gone are deleted in a pass.
MANY: Final = 65_536
#: Of so many the next step does not wait for a quiet moment.
TOO_MANY: Final = 4 * MANY
#: Fewer ranges than this are deleted at once, and those of which each page has several.
LEAST: Final = 64
SPARSE: Final = 8
#: A page holds few messages that are larger: they are deleted at once, and give back their space.
SMALL_BYTES: Final = 2048
#: Behind all ids.
_BEHIND: Final = 1 << 62

_TABLES: Final = (
    "CREATE TEMP TABLE gone(id INTEGER PRIMARY KEY)",
    "CREATE TEMP TABLE gone_pass(upto INTEGER, number INTEGER)",
    "INSERT INTO gone_pass VALUES (0, 0)",
    "INSERT OR IGNORE INTO gone SELECT j.value FROM message_gone g, json_each(g.ids) j",
)


class Scattered:
    """The ids that are noted, over the writing connection; the caller owns the transaction."""

    def __init__(self, driver: Driver, connection: Connection) -> None:
        self._connection = connection
        self._run = connection.run
        source = driver.source(1)
        self._note = f"""
            INSERT INTO message_gone(last_id, ids)
            SELECT max(n.value), json_group_array(n.value) FROM {source}"""
        self._remember = f"INSERT OR IGNORE INTO gone SELECT n.value FROM {source}"
        for statement in _TABLES:
            self._run(statement)
        #: How many wait, more or less: what a transaction has taken back counts as well.
        self.waiting = self._count()

    def takes(self, packed: Packed) -> bool:
        """Whether what a batch lets go lies so far apart that it is better noted than deleted."""
        ranges = packed.gone_ids
        if len(ranges) < LEAST:
            return False
        count = sum(last - first for first, last in ranges) + len(ranges)
        span = ranges[-1][1] - ranges[0][0]
        return span >= SPARSE * count and packed.gone_bytes <= SMALL_BYTES * count

    def note(self, packed: Packed) -> None:
        """Nobody has these messages any more."""
        ids: array[int] = array("q")
        for first, last in packed.gone_ids:
            if first == last:
                ids.append(first)
            else:
                ids.extend(range(first, last + 1))
        self._run(self._note, [self._connection.numbers(ids)])
        self._run(self._remember, [self._connection.numbers(ids)])
        self.waiting += len(ids)

    def sweep(self, rows: int) -> bool:
        """Delete up to so many, in the order of the table; True: the pass is at its end."""
        number, low = map(to_int, self._run("SELECT number, upto FROM gone_pass")[0])
        if number == 0:
            number = self._number("SELECT coalesce(max(number), 0) FROM message_gone")
        if number == 0:
            return True
        cut = self._run(
            "SELECT id FROM gone WHERE id > ? ORDER BY id LIMIT 1 OFFSET ?", [low, rows - 1]
        )
        high = to_int(cut[0][0]) if cut else _BEHIND
        which = "id > ? AND id <= ?"
        self._run(
            f"DELETE FROM message WHERE id IN (SELECT id FROM gone WHERE {which})", [low, high]
        )
        self._run(f"DELETE FROM gone WHERE {which}", [low, high])
        if cut:
            self._run("UPDATE gone_pass SET number = ?, upto = ?", [number, high])
            return False
        self._run("DELETE FROM message_gone WHERE number <= ?", [number])
        self._run("UPDATE gone_pass SET number = 0, upto = 0")
        self.waiting = self._count()
        return True

    def last_id(self) -> int:
        """The highest that is noted; 0: there is none."""
        return self._number("SELECT coalesce(max(last_id), 0) FROM message_gone")

    def _count(self) -> int:
        return self._number("SELECT count(*) FROM gone")

    def _number(self, sql: str) -> int:
        return to_int(self._run(sql)[0][0])
