"""Views with plain names: what a person sees with `sqlite-utils` or any SQLite shell."""

# ruff: noqa: S608 - what is put into statements are names of ours; values are bound
from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


def _octet(column: str, at: str) -> str:
    """The value of one byte of a blob (SQL has no function for it)."""
    digits = "'123456789ABCDEF'"
    pair = f"hex(substr({column}, {at}, 1))"
    return f"(16 * instr({digits}, substr({pair}, 1, 1)) + instr({digits}, substr({pair}, 2, 1)))"


def _messages() -> str:
    """Exchange and routing key are two short strings at the begin of `header`."""
    exchange_bytes = _octet("m.header", "1")
    key_bytes = _octet("m.header", "2 + exchange_bytes")
    return f"""
WITH located AS (
    SELECT q.*, m.header, m.body, m.checksum, {exchange_bytes} AS exchange_bytes,
           coalesce(s.lanes, 1) AS lanes
    FROM queue_message q LEFT JOIN message m ON m.id = q.message_id
    LEFT JOIN message_share s ON s.message_id = q.message_id)
SELECT l.vhost, l.queue, m.key & {(1 << 40) - 1} AS position, m.message_id,
       CAST(substr(m.header, 2, exchange_bytes) AS TEXT) AS exchange,
       CAST(substr(m.header, 3 + exchange_bytes, {key_bytes}) AS TEXT) AS routing_key,
       length(m.body) AS body_bytes, m.body, m.priority,
       datetime(m.expires_at / 1000, 'unixepoch') AS expires_at,
       m.flags & 1 AS transient, (m.key & {(1 << 40) - 1}) < l.delivered_upto AS redelivered,
       m.lanes AS copies
FROM located m LEFT JOIN lane l ON l.id = m.key >> 40
WHERE NOT EXISTS (SELECT 1 FROM garbage g WHERE m.key BETWEEN g.first_key AND g.last_key)
"""


VIEWS: Final[Mapping[str, str]] = {
    "messages": _messages(),
    "queues": """
SELECT q.vhost, q.name, q.durable, q.exclusive, q.auto_delete, q.arguments_text AS arguments,
       sum(l.messages) AS messages, sum(l.body_bytes) AS body_bytes,
       count(*) AS levels
FROM queue q LEFT JOIN lane l ON l.vhost = q.vhost AND l.queue = q.name
GROUP BY q.vhost, q.name
""",
    "exchanges": """
SELECT vhost, name, kind AS type, durable, auto_delete, internal, arguments_text AS arguments
FROM exchange
""",
    "bindings": """
SELECT vhost, source, destination, destination_kind, routing_key, arguments_text AS arguments
FROM binding
""",
    "users": "SELECT name, hashing_algorithm, tags FROM user",
    "permissions": "SELECT user, vhost, configure, write, read FROM permission",
    "quarantined": """
SELECT l.vhost, l.queue, q.position, q.message_id, q.reason, q.found_at,
       length(q.body) AS body_bytes
FROM quarantine q LEFT JOIN lane l ON l.id = q.lane
""",
}

_OFFSET: Final = f"(c.key & {(1 << 40) - 1})"
#: What lies below was cut off.
_FIRST: Final = "(l.next_position - l.messages)"

STREAM_VIEWS: Final[Mapping[str, str]] = {
    "stream_chunks": f"""
SELECT l.vhost, l.queue AS stream, {_OFFSET} AS first_offset,
       {_OFFSET} + c.messages - 1 AS last_offset, c.messages,
       length(c.contents) + c.contents_bytes AS bytes,
       c.segment, datetime(c.stored_at / 1000, 'unixepoch') AS stored_at
FROM stream_chunk c JOIN lane l ON l.id = c.key >> 40
WHERE {_OFFSET} >= {_FIRST}
""",
    "stream_positions": f"""
SELECT l.vhost, l.queue AS stream, o.name AS consumer, o.offset AS next_offset,
       l.next_position - max(o.offset, {_FIRST}) AS messages_behind
FROM stream_offset o JOIN lane l ON l.id = o.lane
""",
}
