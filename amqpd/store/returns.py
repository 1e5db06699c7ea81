"""Messages that came back: the statements about their counts and the times they wait for.

`message_return` has a row for each stored message that a client has given back, keyed as its
row in `queue_message`. Where no message ever comes back the table is empty and costs nothing;
a lane's settles look at it only if the broker knows that there may be something.
"""

# ruff: noqa: S608 - what is put into statements are names of ours; values are bound
from __future__ import annotations

import json
from array import array
from typing import TYPE_CHECKING, Final

from amqpd.store.driver import to_int
from amqpd.store.ranges import POSITION_BITS, TRANSIENT, key_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from amqpd.broker.journal import PurgeDelayed
    from amqpd.store.driver import Connection, Driver
    from amqpd.store.packing import Comeback

#: Sizes are only needed where messages wait: they are counted apart from the others.
_SIZE: Final = "(SELECT coalesce(length(m.body), 0) FROM message m WHERE m.id = q.message_id)"

_PUT: Final = f"""
INSERT OR REPLACE INTO message_return(key, acquired, failed, due_at, transient, body_bytes)
SELECT q.key, ?3, ?4, ?5, q.flags & {TRANSIENT}, CASE WHEN ?5 IS NULL THEN 0 ELSE {_SIZE} END
FROM queue_message q WHERE q.key BETWEEN ?1 AND ?2
"""

_PUT_ALL: Final = f"""
WITH back AS MATERIALIZED (
    SELECT key AS place, json_extract(value, '$[0]') AS first_key,
           json_extract(value, '$[1]') AS last_key, json_extract(value, '$[2]') AS acquired,
           json_extract(value, '$[3]') AS failed, json_extract(value, '$[4]') AS due_at
    FROM json_each(?1))
INSERT OR REPLACE INTO message_return(key, acquired, failed, due_at, transient, body_bytes)
SELECT q.key, b.acquired, b.failed, b.due_at, q.flags & {TRANSIENT},
       CASE WHEN b.due_at IS NULL THEN 0 ELSE {_SIZE} END
FROM back b CROSS JOIN queue_message q
WHERE q.key BETWEEN b.first_key AND b.last_key ORDER BY b.place
"""

#: What is purged but not deleted yet does not count, nor what was transient before this start.
_ALIVE: Final = """
r.transient = 0 AND NOT EXISTS (
    SELECT 1 FROM garbage g WHERE r.key BETWEEN g.first_key AND g.last_key)
"""

#: The lanes that have rows, found by one step for each of them.
_LANES: Final = f"""
WITH RECURSIVE found(lane) AS (
    SELECT min(key) >> {POSITION_BITS} FROM message_return
    UNION ALL
    SELECT (SELECT min(key) >> {POSITION_BITS} FROM message_return
            WHERE key >= (lane + 1) << {POSITION_BITS})
    FROM found WHERE lane IS NOT NULL)
SELECT lane FROM found WHERE lane IS NOT NULL
"""

_DELAYED: Final = f"""
SELECT r.key >> {POSITION_BITS}, count(*), sum(r.body_bytes) FROM message_return r
WHERE r.due_at IS NOT NULL AND {_ALIVE} GROUP BY 1
"""

#: Keys of a lane (?1) that wait for their time, below one key (?2) and behind a time and a key
#: (?3, ?4), what was purged before left out.
WAITING: Final = f"""
SELECT r.key FROM message_return r INDEXED BY message_return_due
WHERE r.due_at IS NOT NULL AND r.key >> {POSITION_BITS} = ?1 AND r.key < ?2
  AND r.due_at >= ?3 AND (r.due_at > ?3 OR r.key > ?4) AND NOT EXISTS (
    SELECT 1 FROM garbage g WHERE r.key BETWEEN g.first_key AND g.last_key)
"""

#: What the lane's counters lose by that.
COUNT_WAITING: Final = f"""
UPDATE lane SET
    messages = lane.messages - gone.messages, body_bytes = lane.body_bytes - gone.body_bytes
FROM (SELECT count(*) AS messages, coalesce(sum(body_bytes), 0) AS body_bytes
      FROM message_return WHERE transient = 0 AND key IN ({WAITING})) AS gone
WHERE lane.id = ?1
"""

#: So few ranges are statements of their own, and so are those that are longer.
_FEW: Final = 4
_SHORT: Final = 32


def waiting_values(purge: PurgeDelayed) -> list[int]:
    """What is bound to `WAITING`."""
    lane, (due_ms, position) = purge.lane, purge.after
    return [lane, key_of(lane, purge.upto), due_ms, key_of(lane, position)]


class Returns:
    """The table over the writing connection; the caller owns the transaction."""

    def __init__(self, driver: Driver, connection: Connection) -> None:
        self._run = connection.run
        self._numbers = connection.numbers
        listed = f"SELECT value FROM {driver.source(1)}"
        self._listed = f"DELETE FROM message_return WHERE key IN ({listed})"

    def put(self, comebacks: Sequence[Comeback]) -> None:
        """Note how often messages came back, those that are there."""
        if len(comebacks) <= _FEW:
            for comeback in comebacks:
                self._run(_PUT, comeback)
        else:
            self._run(_PUT_ALL, [json.dumps(comebacks)])

    def forget(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Keys are done with: long ranges one by one, short ones together as a list."""
        few = len(ranges) <= _FEW
        numbers: array[int] = array("q")
        for first, last in ranges:
            if few or last - first >= _SHORT:
                self._run("DELETE FROM message_return WHERE key BETWEEN ? AND ?", [first, last])
            else:
                numbers.extend(range(first, last + 1))
        if numbers:
            self._run(self._listed, [self._numbers(numbers)])

    def forget_transient(self, which: str, life: int) -> None:
        """Those of transient rows that are about to be deleted."""
        if self._run("SELECT 1 FROM message_return WHERE transient LIMIT 1"):
            keys = f"SELECT key FROM queue_message WHERE {which}"
            self._run(f"DELETE FROM message_return WHERE transient AND key IN ({keys})", [life])

    def lanes(self) -> set[int]:
        """The lanes that have messages which came back."""
        return {to_int(row[0]) for row in self._run(_LANES)}

    def delayed(self) -> dict[int, tuple[int, int]]:
        """How many messages of a lane wait for their time, and their size."""
        return {to_int(lane): (to_int(n), to_int(size)) for lane, n, size in self._run(_DELAYED)}
