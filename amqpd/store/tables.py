"""Messages in tables: the statements that apply a batch, and those that clean up behind it.

One statement per table whatever the number of messages, because each one gives the
interpreter's lock away and takes it back (`executemany` in a thread starves the event loop
with gaps of 20 to 450 ms). The caller owns the transaction.
"""

# ruff: noqa: S608 - what is put into statements are names of ours; values are bound
from __future__ import annotations

import json
from array import array
from typing import TYPE_CHECKING, Final

from amqpd.store import LaneState, Snapshot
from amqpd.store.catalogue import Catalogue
from amqpd.store.driver import SqlError, to_int
from amqpd.store.identity import Identity
from amqpd.store.packing import SIZE_BITS
from amqpd.store.ranges import EARLY, POSITION_BITS, TRANSIENT, check, key_of, rows_of
from amqpd.store.returns import COUNT_WAITING, WAITING, Returns, waiting_values
from amqpd.store.scattered import Scattered
from amqpd.store.streams import StreamTables

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from amqpd.broker.journal import PurgeDelayed
    from amqpd.store.driver import Connection, Driver, Value
    from amqpd.store.packing import Chunk, Packed
    from amqpd.store.ranges import Rows, Stay
    from amqpd.store.streamlog import StreamFiles

#: So many of a kind are statements of their own, or are bound one by one: it is faster so.
_FEW: Final = 4

_OFFSET_BITS: Final = 2 * SIZE_BITS
_SIZE: Final = (1 << SIZE_BITS) - 1

_MESSAGES: Final = f"""
INSERT INTO message(id, checksum, header, body)
SELECT ?1 + {{index}}, substr(?4, 4 * ({{index}}) + 1, 4),
       substr(?3, (n.value >> {_OFFSET_BITS}) + 1, n.value & {_SIZE}),
       substr(?3, (n.value >> {_OFFSET_BITS}) + (n.value & {_SIZE}) + 1,
              (n.value >> {SIZE_BITS}) & {_SIZE})
FROM {{source}} WHERE n.value
"""

#: A few messages, by their number: nothing to be taken apart by the library.
_ROWS: Final = [
    "INSERT INTO message(id, checksum, header, body) VALUES " + ", ".join(["(?, ?, ?, ?)"] * count)
    for count in range(_FEW + 1)
]

#: Rows of lanes come from the messages just written: nothing is packed for them.
_STAY: Final = """
INSERT INTO queue_message(key, message_id, flags, priority, expires_at)
SELECT id + ?1, id, ?4, ?5, ?6 FROM message WHERE id BETWEEN ?2 AND ?3
"""

#: Messages that expire at different times.
_DATED: Final = f"""
INSERT INTO queue_message(key, message_id, flags, priority, expires_at)
SELECT ?2 + {{index}}, ?3 + {{index}}, ?4 + {EARLY} * (n.value > 0), ?5, nullif(n.value, 0)
FROM {{source}}
"""

_STAYS: Final = """
WITH stay AS MATERIALIZED (
    SELECT json_extract(value, '$[0]') AS shift, json_extract(value, '$[1]') AS first_id,
           json_extract(value, '$[2]') AS last_id, json_extract(value, '$[3]') AS flags,
           json_extract(value, '$[4]') AS priority, json_extract(value, '$[5]') AS expires_at
    FROM json_each(?1))
INSERT INTO queue_message(key, message_id, flags, priority, expires_at)
SELECT m.id + shift, m.id, flags, priority, expires_at
FROM stay CROSS JOIN message m WHERE m.id BETWEEN first_id AND last_id
"""

#: Messages with ids that follow on, in any lanes: a key for each, and a character for each lane.
_KEYS: Final = f"""
INSERT INTO queue_message(key, message_id, flags, priority, expires_at)
SELECT n.value, ?2 + {{index}}, ?3,
       unicode(substr(?5, (n.value >> {POSITION_BITS}) - ?6 + 1, 1)) - 1, ?4
FROM {{source}} WHERE n.value
"""

#: So many of them at most are bound as they are, which takes less than half of the time.
_SOME: Final = 16
_SOME_STAYS: Final = [
    f"""
WITH stay(shift, first_id, last_id, flags, priority, expires_at) AS (
    VALUES {", ".join(["(?, ?, ?, ?, ?, ?)"] * max(1, count))})
INSERT INTO queue_message(key, message_id, flags, priority, expires_at)
SELECT m.id + shift, m.id, flags, priority, expires_at
FROM stay CROSS JOIN message m WHERE m.id BETWEEN first_id AND last_id
"""
    for count in range(_SOME + 1)
]

_SHARE: Final = """
INSERT INTO message_share(message_id, lanes)
SELECT id, ?3 FROM message WHERE id BETWEEN ?1 AND ?2
"""

#: The same for one lane: a third of the time.
_CHANGE: Final = """
UPDATE lane SET
    next_position = max(next_position, ?2), messages = messages + ?3,
    body_bytes = body_bytes + ?4, delivered_upto = coalesce(?5, delivered_upto)
WHERE id = ?1
"""

#: The same for some: a statement with a list of them takes twice as long. Lanes that are gone
#: are not made again.
_SOME_CHANGES: Final = [
    f"""
INSERT INTO lane(id, vhost, queue, level, next_position, messages, body_bytes, delivered_upto)
SELECT column1, '', '', 0, column2, column3, column4, coalesce(column5, -1)
FROM (VALUES {", ".join(["(?, ?, ?, ?, ?)"] * max(1, count))})
WHERE EXISTS (SELECT 1 FROM lane WHERE id = column1)
ON CONFLICT(id) DO UPDATE SET
    next_position = max(next_position, excluded.next_position),
    messages = messages + excluded.messages,
    body_bytes = body_bytes + excluded.body_bytes,
    delivered_upto = iif(excluded.delivered_upto < 0, delivered_upto, excluded.delivered_upto)
"""
    for count in range(_SOME + 1)
]

_CHANGES: Final = """
UPDATE lane SET
    next_position = max(lane.next_position, c.next_position),
    messages = lane.messages + c.messages,
    body_bytes = lane.body_bytes + c.body_bytes,
    delivered_upto = coalesce(c.delivered_upto, lane.delivered_upto)
FROM (
    SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS next_position,
           json_extract(value, '$[2]') AS messages, json_extract(value, '$[3]') AS body_bytes,
           json_extract(value, '$[4]') AS delivered_upto
    FROM json_each(?1)) AS c
WHERE lane.id = c.id
"""

#: Messages that lanes let go, with the number of lanes that do; one life of a statement.
_RELEASED: Final = "CREATE TEMP TABLE released(message_id INTEGER PRIMARY KEY, lanes INTEGER)"

_RELEASE: Final = """
INSERT INTO released SELECT message_id, count(*) FROM queue_message WHERE {which}
GROUP BY message_id ON CONFLICT(message_id) DO UPDATE SET lanes = lanes + excluded.lanes
"""

_COUNT_DOWN: Final = (
    """
UPDATE message_share SET lanes = message_share.lanes - r.lanes
FROM released r WHERE r.message_id = message_share.message_id
""",
    """
DELETE FROM message WHERE id IN (SELECT message_id FROM released) AND NOT EXISTS (
    SELECT 1 FROM message_share s WHERE s.message_id = message.id AND s.lanes > 0)
""",
    """
DELETE FROM message_share WHERE lanes < 2 AND message_id IN (SELECT message_id FROM released)
""",
    "DELETE FROM released",
)

#: Below this length a range joins the others in one list; above it is a statement of its own.
_SHORT: Final = 32
#: Some ranges below this length are one statement, which has a list in memory of all their rows.
_LONG: Final = 4096

_QUARANTINE: Final = """
INSERT INTO quarantine(lane, position, message_id, reason, checksum, header, body, found_at)
SELECT ?2, ?3, q.message_id, ?4, m.checksum, m.header, m.body, datetime('now')
FROM queue_message q LEFT JOIN message m ON m.id = q.message_id WHERE q.key = ?1
"""


class Tables:
    """The message tables over the writing connection."""

    def __init__(self, driver: Driver, connection: Connection, files: StreamFiles) -> None:
        self.catalogue = Catalogue(connection)
        self._returns = Returns(driver, connection)
        self.streams = StreamTables(connection, files)
        self.scattered = Scattered(driver, connection)
        self._connection = connection
        self._run = connection.run
        source = {"source": driver.source(1), "index": driver.index}
        self._messages = _MESSAGES.format(source=driver.source(2), index=driver.index)
        self._dated = _DATED.format_map(source)
        self._keys = _KEYS.format_map(source)
        self._forget_keys = "DELETE FROM queue_message WHERE key IN (SELECT value FROM {source})"
        self._forget_keys = self._forget_keys.format_map(source)
        self._forget_ids = "DELETE FROM message WHERE id IN (SELECT value FROM {source})"
        self._forget_ids = self._forget_ids.format_map(source)
        self._run(_RELEASED)

    # -- a batch -------------------------------------------------------------------------

    def apply(self, packed: Packed) -> None:
        """Everything that a batch changes, in the order that the journal promises."""
        for command in packed.defines:
            self.catalogue.apply(command)
        self._append(packed)
        for purge in packed.delayed_purges:
            self._purge_delayed(purge)
        self._returns.put(packed.comebacks)
        self._returns.forget(packed.gone_returns)
        self._forget(packed.gone_keys, self._forget_keys, "queue_message", "key")
        if self.scattered.takes(packed):
            self.scattered.note(packed)
        else:
            self._forget(packed.gone_ids, self._forget_ids, "message", "id")
        if packed.released:
            self._let_go(packed.released)
        for keys in packed.garbage:
            self._throw_away(keys)
        for lane in packed.dropped:
            self._throw_away((key_of(lane, 0), key_of(lane + 1, 0) - 1))
            self._run("DELETE FROM lane WHERE id = ?", [lane])
            self.streams.drop(lane)
        self.streams.track(packed.tracks)
        rows = [change.row(lane) for lane, change in packed.changes.items()]
        if len(rows) <= _FEW:
            for row in rows:
                self._run(_CHANGE, row)
        elif len(rows) <= _SOME:
            self._run(_SOME_CHANGES[len(rows)], [value for row in rows for value in row])
        else:
            self._run(_CHANGES, [json.dumps(rows)])

    def _append(self, packed: Packed) -> None:
        for chunk in packed.chunks:
            self._insert(chunk)
        for large in packed.large:
            self._run(
                "INSERT INTO message(id, checksum, header, body) VALUES (?, ?, ?, ?)",
                [large.id, *large.parts()],
            )
        self._enter(packed.stays)
        for dated in packed.dated:
            if not dated.is_possible:
                raise ValueError("a lane has used up its positions")
            self._run(
                self._dated,
                [
                    self._connection.numbers(dated.expire_at),
                    dated.first_key,
                    dated.first_id,
                    dated.flags,
                    dated.priority,
                ],
            )
        for block in packed.blocks:
            self.streams.insert(block)
        for share in packed.shares:
            self._run(_SHARE, [share.first_id, share.last_id, share.lanes])

    def _enter(self, stays: list[Stay]) -> None:
        """Messages that were just written come into their lanes."""
        check(stays)
        together = rows_of(stays, _FEW)
        for rows in together:
            self._enter_rows(rows)
        if together or not stays:
            return
        values = [stay.row() for stay in stays]
        if len(values) <= _SOME:
            self._run(_SOME_STAYS[len(values)], [value for row in values for value in row])
        else:
            self._run(_STAYS, [json.dumps(values)])

    def _enter_rows(self, rows: Rows) -> None:
        if len(rows.stays) == 1:
            self._run(_STAY, rows.stays[0].row())
            return
        keys = self._connection.numbers(rows.keys())
        flags, expires_at = rows.like
        values = [keys, rows.first_id, flags, expires_at, rows.levels(), rows.first_lane]
        self._run(self._keys, values)

    def _insert(self, chunk: Chunk) -> None:
        if len(chunk.places) <= _FEW and all(chunk.places):
            self._run(_ROWS[len(chunk.places)], _values(chunk))
            return
        places = self._connection.numbers(chunk.places)
        self._run(self._messages, [chunk.first_id, places, chunk.blob, chunk.checksums])

    def _forget(
        self, ranges: Sequence[tuple[int, int]], listed: str, table: str, column: str
    ) -> None:
        """Delete rows: some ranges together, or long ones one by one and short ones as a list."""
        statement = f"DELETE FROM {table} WHERE {column} BETWEEN ? AND ?"
        if _FEW < len(ranges) <= _SOME and all(last - first < _LONG for first, last in ranges):
            more = f" OR {column} BETWEEN ? AND ?" * (len(ranges) - 1)
            self._run(statement + more, [end for ends in ranges for end in ends])
            return
        few = len(ranges) <= _FEW
        numbers: array[int] = array("q")
        for first, last in ranges:
            if few or last - first >= _SHORT:
                self._run(statement, [first, last])
            else:
                numbers.extend(range(first, last + 1))
        if numbers:
            self._run(listed, [self._connection.numbers(numbers)])

    def _let_go(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Remove keys; their messages go with the last lane that has them."""
        which = "key BETWEEN ? AND ?"
        for keys in ranges:
            self._run(_RELEASE.format(which=which), keys)
            self._run(f"DELETE FROM queue_message WHERE {which}", keys)
        for statement in _COUNT_DOWN:
            self._run(statement)

    def _purge_delayed(self, purge: PurgeDelayed) -> None:
        """Remove what waits for its time, in one go: it lies among what stays."""
        values = waiting_values(purge)
        self._run(COUNT_WAITING, values)
        which = f"key IN ({WAITING})"
        self._run(_RELEASE.format(which=which), values)
        self._run(f"DELETE FROM queue_message WHERE {which}", values)
        self._run(f"DELETE FROM message_return WHERE {which}", values)
        for statement in _COUNT_DOWN:
            self._run(statement)

    def _throw_away(self, keys: tuple[int, int]) -> None:
        self._run(
            "INSERT INTO garbage(first_key, last_key) VALUES (?, ?) ON CONFLICT(first_key) "
            "DO UPDATE SET last_key = max(last_key, excluded.last_key)",
            keys,
        )

    # -- behind it -----------------------------------------------------------------------

    def sweep(self, rows: int) -> bool:
        """Delete up to so many rows that were purged or dropped; True if that was all."""
        found = self._run("SELECT first_key, last_key FROM garbage LIMIT 1")
        if not found:
            return True
        first, last = map(to_int, found[0])
        cut = self._run(
            "SELECT key FROM queue_message WHERE key BETWEEN ? AND ? ORDER BY key LIMIT 1 OFFSET ?",
            [first, last, rows - 1],
        )
        upto = to_int(cut[0][0]) if cut else last
        self._returns.forget([(first, upto)])
        self._let_go([(first, upto)])
        if not cut and self.streams.sweep(first, last):
            self._run("DELETE FROM garbage WHERE first_key = ?", [first])
        return False

    def sweep_transient(self, life: int, rows: int) -> bool:
        """Delete up to so many transient rows with message ids below `life`; True if all."""
        which = f"flags & {TRANSIENT} AND message_id < ?"
        cut = self._run(
            f"SELECT message_id FROM queue_message WHERE {which} "
            "ORDER BY message_id LIMIT 1 OFFSET ?",
            [life, rows - 1],
        )
        upto = to_int(cut[0][0]) + 1 if cut else life
        self._returns.forget_transient(which, upto)
        self._run(_RELEASE.format(which=which), [upto])
        self._run(f"DELETE FROM queue_message WHERE {which}", [upto])
        for statement in _COUNT_DOWN:
            self._run(statement)
        return not cut

    def quarantine(self, lane: int, position: int, reason: str) -> bool:
        """Move a damaged message of a lane aside; False if it is gone already."""
        key = key_of(lane, position)
        found = self._run(
            "SELECT q.flags, coalesce(length(m.body), 0) FROM queue_message q "
            "LEFT JOIN message m ON m.id = q.message_id WHERE q.key = ?",
            [key],
        )
        if not found:
            return self.streams.quarantine(lane, position, reason)
        flags, body_bytes = map(to_int, found[0])
        self._run(_QUARANTINE, [key, lane, position, reason])
        self._returns.forget([(key, key)])
        self._let_go([(key, key)])
        if not flags & TRANSIENT:
            self._run(
                "UPDATE lane SET messages = messages - 1, body_bytes = body_bytes - ? WHERE id = ?",
                [body_bytes, lane],
            )
        return True

    def leave_behind(self, lane: int, position: int, reason: str, body_bytes: int) -> bool:
        """Note that a message cannot be read, and take it out of its lane; False if it is gone.

        Its contents are not touched, and stay as they are.
        """
        key = key_of(lane, position)
        found = self._run("SELECT flags, message_id FROM queue_message WHERE key = ?", [key])
        if not found:
            return False
        flags, message_id = map(to_int, found[0])
        self._run(
            "INSERT INTO quarantine(lane, position, message_id, reason, found_at) "
            "VALUES (?, ?, ?, ?, datetime('now'))",
            [lane, position, message_id, reason],
        )
        self._returns.forget([(key, key)])
        self._run("DELETE FROM queue_message WHERE key = ?", [key])
        if not flags & TRANSIENT:
            self._run(
                "UPDATE lane SET messages = messages - 1, body_bytes = max(0, body_bytes - ?) "
                "WHERE id = ?",
                [body_bytes, lane],
            )
        return True

    def size_of(self, lane: int, position: int) -> int:
        """The size of a body, if at least that can be read; not within a transaction."""
        try:
            found = self._run(
                "SELECT length(m.body) FROM queue_message q JOIN message m ON m.id = q.message_id "
                "WHERE q.key = ?",
                [key_of(lane, position)],
            )
        except SqlError:
            return 0
        return to_int(found[0][0]) if found else 0

    # -- start and stop ------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """What the tables hold, in O(definitions and lanes)."""
        found = self._run(
            "SELECT id, next_position, messages, body_bytes, delivered_upto FROM lane"
        )
        delayed, counted = self._returns.delayed(), self._returns.lanes()
        lanes = {
            lane: LaneState(
                next_position,
                messages,
                body_bytes,
                delivered_upto,
                lane in counted,
                *delayed.get(lane, (0, 0)),
            )
            for lane, next_position, messages, body_bytes, delivered_upto in (
                map(to_int, row) for row in found
            )
        }
        return Snapshot(
            clean=bool(self._number("SELECT value FROM state WHERE name = 'clean'")),
            commands=self.catalogue.commands(),
            lanes=lanes,
            streams=self.streams.states(),
            next_message_id=1 + self._last_message_id(),
            next_lane_id=1 + self._last_lane_id(),
            quarantined={
                to_int(lane): to_int(count)
                for lane, count in self._run("SELECT lane, count(*) FROM quarantine GROUP BY lane")
            },
        )

    def identity(self) -> Identity:
        """Which store this is, and its generation; made for one that has none yet."""
        self._run(
            "INSERT OR IGNORE INTO state(name, value) "
            "VALUES ('id', random() & 0x7fffffffffffffff), ('generation', 0)"
        )
        found = self._run(
            "SELECT value FROM state WHERE name IN ('id', 'generation') ORDER BY name"
        )
        (generation,), (identity,) = found
        return Identity(to_int(identity), to_int(generation))

    def next_generation(self) -> Identity:
        """What is written from now on is newer than all that was."""
        self._run("UPDATE state SET value = value + 1 WHERE name = 'generation'")
        return self.identity()

    def begin_life(self) -> None:
        """From now on a stop is not clean."""
        self._run("UPDATE state SET value = 0 WHERE name = 'clean'")

    def end_life(self) -> None:
        """The stop is a clean one."""
        self._run("UPDATE state SET value = 1 WHERE name = 'clean'")

    def _number(self, sql: str) -> int:
        return to_int(self._run(sql)[0][0])

    def _last_message_id(self) -> int:
        return max(
            self._number("SELECT coalesce(max(id), 0) FROM message"),
            self.scattered.last_id(),
            self._number("SELECT coalesce(max(message_id), 0) FROM message_share"),
            self._number(
                f"SELECT coalesce(max(message_id), 0) FROM queue_message WHERE flags & {TRANSIENT}"
            ),
        )

    def _last_lane_id(self) -> int:
        """The highest lane that has rows of any kind: its id must not be given again."""
        keys = max(
            self._number("SELECT coalesce(max(key), 0) FROM queue_message"),
            self._number("SELECT coalesce(max(first_key), 0) FROM garbage"),
            self._number("SELECT coalesce(max(key), 0) FROM stream_chunk"),
        )
        return max(self._number("SELECT coalesce(max(id), 0) FROM lane"), keys >> POSITION_BITS)


def _values(chunk: Chunk) -> list[Value]:
    """The columns of a few messages, one behind the other."""
    values: list[Value] = []
    blob, checksums = chunk.blob, chunk.checksums
    for index, place in enumerate(chunk.places):
        low = place >> _OFFSET_BITS
        middle = low + (place & _SIZE)
        high = middle + (place >> SIZE_BITS & _SIZE)
        checksum = checksums[4 * index : 4 * index + 4]
        values += (chunk.first_id + index, checksum, blob[low:middle], blob[middle:high])
    return values
