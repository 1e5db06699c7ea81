"""The reader: one thread with a read-only connection that pages messages in.

A stretch is read in one short statement, so that it never keeps the WAL from being rewound.
Each message's checksum is compared; one that does not match is reported to the writer, which
sets it aside, and left out.
"""

# ruff: noqa: S608 - what is put into statements are names of ours; values are bound
from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

from amqpd.store import Post, ReadDone, Row, StoreFailed
from amqpd.store.driver import SqlError
from amqpd.store.packing import POSITION_BITS, TRANSIENT, checksum_of, key_of
from amqpd.store.tables import to_int
from amqpd.store.writer import Damaged

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from amqpd.store.driver import Connection, Value

log = logging.getLogger(__name__)

_POSITION: Final = (1 << POSITION_BITS) - 1

#: Purged rows that are still there lie in a garbage range of the same lane. What was transient
#: before this start has a message id below ?4.
_STRETCH: Final = f"""
SELECT q.key, q.message_id, q.flags, q.expires_at, s.message_id IS NOT NULL,
       m.checksum, m.header, m.body
FROM queue_message q
LEFT JOIN message m ON m.id = q.message_id
LEFT JOIN message_share s ON s.message_id = q.message_id
WHERE q.key >= ?1 AND q.key < ?2
  AND (q.flags & {TRANSIENT} = 0 OR q.message_id >= ?4)
  AND NOT EXISTS (SELECT 1 FROM garbage g
      WHERE g.first_key BETWEEN ?5 AND q.key AND g.last_key >= q.key)
ORDER BY q.key LIMIT ?3
"""


@dataclass(frozen=True, slots=True)
class Read:
    """A stretch that is wanted, and who wants it."""

    lane: int
    from_position: int
    upto_position: int
    max_messages: int
    max_bytes: int
    done: ReadDone


class Reader:
    """Reads stretches in the order in which they are asked for."""

    def __init__(
        self,
        path: Path,
        connection: Connection,
        life: int,
        post: Post,
        damaged: Callable[[Damaged], None],
    ) -> None:
        self._path = path
        self._connection = connection
        self._life = life
        self._post = post
        self._damaged = damaged
        self._inbox: SimpleQueue[Read | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="amqpd-store-reader", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def put(self, read: Read) -> None:
        """Ask for a stretch."""
        self._inbox.put(read)

    def stop(self) -> None:
        """Answer what was asked for, end."""
        self._inbox.put(None)
        self._thread.join()

    # -- the thread ----------------------------------------------------------------------

    def _run(self) -> None:
        while (read := self._inbox.get()) is not None:
            self._answer(read)
        self._connection.close()

    def _answer(self, read: Read) -> None:
        done = read.done
        outcome: list[Row] | StoreFailed
        try:
            outcome = self._rows(read)
        except (SqlError, ValueError) as error:
            log.exception("store %s: lane %d cannot be read", self._path, read.lane)
            text = f"store {self._path}: lane {read.lane} cannot be read: {error}"
            outcome = StoreFailed(self._path, text)
        self._post(lambda: done(outcome))

    def _rows(self, read: Read) -> list[Row]:
        """The stretch; damaged messages alone do not look like its end."""
        at, end = key_of(read.lane, read.from_position), key_of(read.lane, read.upto_position)
        rows: list[Row] = []
        while not rows and at < end:
            damaged = self._page(read, at, end, rows)
            for key, reason in damaged:
                self._damaged(Damaged(read.lane, key & _POSITION, reason))
            if len(damaged) < read.max_messages:
                break
            at = damaged[-1][0] + 1
        return rows

    def _page(self, read: Read, at: int, end: int, rows: list[Row]) -> list[tuple[int, str]]:
        """One query's worth into `rows`; what is damaged comes back with the reasons."""
        values = [at, end, read.max_messages, self._life, key_of(read.lane, 0)]
        damaged: list[tuple[int, str]] = []
        left = read.max_bytes
        found = self._connection.each(_STRETCH, values)
        for columns in found:
            row = _row(columns)
            if isinstance(row, str):
                damaged.append((to_int(columns[0]), row))
                continue
            rows.append(row)
            left -= len(row.header_payload) + len(row.body)
            if left <= 0:
                break
        found.close()
        return damaged


def _row(columns: tuple[Value, ...]) -> Row | str:  # hot: tests/bench/store.py
    """The message, or what is wrong with it."""
    key, message_id, flags, expires_at, shared, checksum, header, body = columns
    if not isinstance(header, bytes) or not isinstance(body, bytes):
        return "its body is missing"
    if checksum_of(header, body) != checksum or not header:
        return "its checksum does not match"
    flags = to_int(flags)
    at = 1 + header[0]
    at += 1 + header[at]
    return Row(
        to_int(key) & _POSITION,
        to_int(message_id),
        expires_at if isinstance(expires_at, int) else 0,
        bool(shared),
        bool(flags & TRANSIENT),
        header[:at],
        header[at:],
        body,
    )
