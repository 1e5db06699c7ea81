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
        SELECT key FROM queue_message WHERE message_id NOT IN (SELECT id FROM message)""",
    "a message that no lane has": """
        SELECT id FROM message WHERE id NOT IN (SELECT message_id FROM queue_message)""",
    "a wrong number of lanes": """
        SELECT id FROM message m LEFT JOIN message_share s ON s.message_id = m.id
        WHERE coalesce(s.lanes, 1) <>
            (SELECT count(*) FROM queue_message q WHERE q.message_id = m.id)""",
    "a share without its message": """
        SELECT message_id FROM message_share WHERE message_id NOT IN (SELECT id FROM message)
            OR lanes < 2""",
    "a wrong counter": """
        SELECT l.id, l.messages, l.body_bytes FROM lane l WHERE (l.messages, l.body_bytes) <>
            (SELECT count(*), coalesce(sum(length(m.body)), 0) FROM queue_message q
             JOIN message m ON m.id = q.message_id
             WHERE q.key >> 40 = l.id AND q.flags & 1 = 0 AND NOT EXISTS (
                SELECT 1 FROM garbage g WHERE q.key BETWEEN g.first_key AND g.last_key))""",
    "a position that will be given again": """
        SELECT q.key FROM queue_message q JOIN lane l ON l.id = q.key >> 40
        WHERE q.key & ((1 << 40) - 1) >= l.next_position""",
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
