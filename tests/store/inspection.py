"""Looks into a store's file from outside, with nothing of the store's own code."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

#: What must find nothing, and what it means if it does.
FAULTS = {
    "a row of a lane without its message": """
        SELECT q.key FROM queue_message q LEFT JOIN message m ON m.id = q.message_id
        WHERE m.id IS NULL""",
    "a message that no lane has, or a wrong number of lanes": """
        SELECT m.id FROM message m LEFT JOIN message_share s ON s.message_id = m.id
        LEFT JOIN (SELECT message_id, count(*) AS lanes FROM queue_message GROUP BY 1) q
            ON q.message_id = m.id
        WHERE coalesce(s.lanes, 1) IS NOT q.lanes""",
    "a share without its message": """
        SELECT s.message_id FROM message_share s LEFT JOIN message m ON m.id = s.message_id
        WHERE m.id IS NULL OR s.lanes < 2""",
    "a wrong counter": """
        SELECT l.id, l.messages, l.body_bytes, q.messages, q.body_bytes FROM lane l LEFT JOIN (
            SELECT q.key >> 40 AS lane, count(*) AS messages, sum(length(m.body)) AS body_bytes
            FROM queue_message q JOIN message m ON m.id = q.message_id
            WHERE q.flags & 1 = 0 AND NOT EXISTS (
                SELECT 1 FROM garbage g WHERE q.key BETWEEN g.first_key AND g.last_key)
            GROUP BY 1
            UNION ALL
            SELECT c.key >> 40, sum(c.messages), sum(length(c.contents)) FROM stream_chunk c
            WHERE NOT EXISTS (
                SELECT 1 FROM garbage g WHERE c.key BETWEEN g.first_key AND g.last_key)
            GROUP BY 1) q ON q.lane = l.id
        WHERE (l.messages, l.body_bytes) <> (coalesce(q.messages, 0), coalesce(q.body_bytes, 0))""",
    "counts of a message that is gone": """
        SELECT r.key FROM message_return r LEFT JOIN queue_message q ON q.key = r.key
        WHERE q.key IS NULL""",
    "a position that will be given again": """
        SELECT q.key FROM queue_message q JOIN lane l ON l.id = q.key >> 40
        WHERE q.key & ((1 << 40) - 1) >= l.next_position""",
    "offsets of a stream that are missing, or there twice": """
        SELECT c.key, c.upto, c.next FROM (
            SELECT key, key + messages AS upto, lead(key) OVER (ORDER BY key) AS next
            FROM stream_chunk) c
        LEFT JOIN lane l ON (l.id << 40) + l.next_position = c.upto
        WHERE c.upto IS NOT c.next AND l.id IS NULL AND NOT EXISTS (
            SELECT 1 FROM garbage g WHERE c.key BETWEEN g.first_key AND g.last_key)""",
    "a stream that does not begin with its first offset": """
        SELECT l.id FROM lane l WHERE l.messages > 0
        AND EXISTS (SELECT 1 FROM stream_chunk c WHERE c.key >> 40 = l.id)
        AND NOT EXISTS (SELECT 1 FROM stream_chunk c
            WHERE c.key = (l.id << 40) + l.next_position - l.messages)""",
    "a position in a stream that is gone": """
        SELECT o.lane, o.name FROM stream_offset o LEFT JOIN lane l ON l.id = o.lane
        WHERE l.id IS NULL""",
}


def query(directory: Path, sql: str) -> list[tuple[object, ...]]:
    """Rows of the stopped store's file."""
    with closing(sqlite3.connect(directory / "amqpd.db")) as connection:
        return connection.execute(sql).fetchall()


def assert_sound(directory: Path) -> None:
    """The stopped store's tables agree with each other and its pages are whole."""
    with closing(sqlite3.connect(directory / "amqpd.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        for fault, sql in FAULTS.items():
            assert connection.execute(sql).fetchall() == [], fault
