"""The reader: one thread with a read-only connection that pages messages in.

A stretch is read in one short statement, so that it never keeps the WAL from being rewound.
Each message's checksum is compared; one that does not match is reported to the writer, which
sets it aside, and left out.
"""

# ruff: noqa: S608 - what is put into statements are names of ours; values are bound
from __future__ import annotations

import logging
import threading
from array import array
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final, cast
from zlib import crc32

from amqpd.store import Post, ReadDone, Row, StoreFailed
from amqpd.store.driver import Value
from amqpd.store.packing import POSITION_BITS, TRANSIENT, big_endian, key_of
from amqpd.store.tables import to_int
from amqpd.store.writer import Damaged

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from amqpd.store.driver import Connection

log = logging.getLogger(__name__)

_POSITION: Final = (1 << POSITION_BITS) - 1
_Columns = tuple[Value, ...]
#: Key, message id, flags, expiry, shared, checksum, header, body, size.
_Stored = tuple[int, int, int, int | None, int, bytes, bytes, bytes, int]
_new = tuple.__new__

#: Purged rows that are still there lie in a garbage range of the same lane. What was transient
#: before this start has a message id below ?4.
_STRETCH: Final = f"""
SELECT q.key, q.message_id, q.flags, q.expires_at, s.message_id IS NOT NULL,
       m.checksum, m.header, m.body, coalesce(length(m.header) + length(m.body), 0)
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
        except Exception as error:
            # Whatever it is, who asked must not wait for ever.
            log.exception("store %s: lane %d cannot be read", self._path, read.lane)
            text = f"store {self._path}: lane {read.lane} cannot be read: {error}"
            outcome = StoreFailed(self._path, text)
        self._post(lambda: done(outcome))

    def _rows(self, read: Read) -> list[Row]:
        """The stretch; damaged messages alone do not look like its end."""
        at, end = key_of(read.lane, read.from_position), key_of(read.lane, read.upto_position)
        while at < end and (page := self._page(read, at, end)):
            rows = _whole(page)
            if rows is None:
                rows = self._without_damaged(read.lane, page)
            if rows:
                return rows
            at = to_int(page[-1][0]) + 1
        return []

    def _page(self, read: Read, at: int, end: int) -> list[_Columns]:
        """One query's worth, as much as is wanted."""
        values = [at, end, read.max_messages, self._life, key_of(read.lane, 0)]
        page: list[_Columns] = []
        left = read.max_bytes
        found = self._connection.each(_STRETCH, values)
        for columns in found:
            page.append(columns)
            left -= to_int(columns[8])
            if left <= 0:
                break
        found.close()
        return page

    def _without_damaged(self, lane: int, page: list[_Columns]) -> list[Row]:
        rows: list[Row] = []
        for columns in page:
            whole = _whole([columns])
            if whole is None:
                position = to_int(columns[0]) & _POSITION
                missing = not isinstance(columns[7], bytes)
                reason = "its body is missing" if missing else "its checksum does not match"
                self._damaged(Damaged(lane, position, reason))
            else:
                rows += whole
        return rows


def _whole(page: list[_Columns]) -> list[Row] | None:  # hot: tests/bench/store.py
    """The messages of a page if none of them is damaged."""
    # Columns are strict, so the types are as declared unless the file is damaged: TypeError.
    stored = cast("list[_Stored]", page)
    try:
        checksums = array("I", [crc32(row[7], crc32(row[6])) for row in stored])
        if big_endian(checksums) != b"".join([row[5] for row in stored]):
            return None
        # Not Row(...): that is a Python function, three times dearer.
        return [
            _new(
                Row,
                (
                    key & _POSITION,
                    message_id,
                    expires_at or 0,
                    shared == 1,
                    flags & TRANSIENT == TRANSIENT,
                    header[: (cut := 2 + header[0] + header[1 + header[0]])],
                    header[cut:],
                    body,
                ),
            )
            for key, message_id, flags, expires_at, shared, _, header, body, _ in stored
        ]
    except (TypeError, IndexError):
        return None
