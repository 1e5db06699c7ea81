"""The reader: one thread with a read-only connection that pages messages in.

A stretch is read in one short statement, so that it never keeps the WAL from being rewound.
Each message's checksum is compared; one that does not match is reported to the writer, which
sets it aside, and left out.
"""

# ruff: noqa: S608 - what is put into statements are names of ours; values are bound
from __future__ import annotations

import json
import logging
import threading
from array import array
from dataclasses import dataclass, replace
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final, cast
from zlib import crc32

from amqpd.broker.attempts import Attempts, Counted, Delayed, Returned, Waiting
from amqpd.broker.expiry import Due
from amqpd.store import (
    CutDone,
    ExpiredDone,
    OffsetDone,
    Post,
    ReadDone,
    ReturnedDone,
    Row,
    StoreFailed,
    StoreUnreadable,
    StreamDone,
)
from amqpd.store.driver import CORRUPT, IO_ERROR, SqlError, Value, to_int
from amqpd.store.mark import Mark
from amqpd.store.packing import big_endian
from amqpd.store.ranges import EARLY, POSITION_BITS, TRANSIENT, key_of
from amqpd.store.streamlog import StreamFiles
from amqpd.store.streams import DAMAGED, StreamReader
from amqpd.store.writer import Damaged

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from amqpd.broker.chunk import StoredChunk
    from amqpd.store.driver import Connection, Driver
    from amqpd.store.streamlog import Placed

log = logging.getLogger(__name__)

_POSITION: Final = (1 << POSITION_BITS) - 1
_Columns = tuple[Value, ...]
#: Key, message id, flags, expiry, shared, checksum, header, body, size.
_Stored = tuple[int, int, int, int | None, int, bytes, bytes, bytes, int]
_new = tuple.__new__
#: Errors that are those of one place in the file.
_LOCAL: Final = (IO_ERROR, CORRUPT)
#: More messages in a row that cannot be read are not set aside: it is the disk, or all of the lane.
MOST_UNREADABLE: Final = 64

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


_KEYS: Final = "SELECT key FROM queue_message WHERE key >= ? AND key < ? ORDER BY key LIMIT ?"

#: The same columns of single messages, in the order of their keys' list.
_SOME: Final = """
SELECT q.key, q.message_id, q.flags, q.expires_at, s.message_id IS NOT NULL,
       m.checksum, m.header, m.body, coalesce(length(m.header) + length(m.body), 0)
FROM {source} CROSS JOIN queue_message q ON q.key = n.value
LEFT JOIN message m ON m.id = q.message_id
LEFT JOIN message_share s ON s.message_id = q.message_id
ORDER BY {index}
"""

_NOT_GARBAGE: Final = """
NOT EXISTS (SELECT 1 FROM garbage g WHERE g.first_key BETWEEN ?1 AND q.key AND g.last_key >= q.key)
"""

#: A stretch with counts. What waits for its time, beyond ?6, comes without its contents, and
#: so small that it is no reason to stop.
_COUNTED: Final = f"""
SELECT q.key, q.message_id, q.flags, q.expires_at, s.message_id IS NOT NULL,
       m.checksum, m.header, m.body, coalesce(length(m.header) + length(m.body), 0),
       r.acquired, r.failed, r.due_at, r.due_at > ?6, r.body_bytes
FROM queue_message q
LEFT JOIN message_return r ON r.key = q.key
LEFT JOIN message m ON m.id = q.message_id AND (r.due_at IS NULL OR r.due_at <= ?6)
LEFT JOIN message_share s ON s.message_id = q.message_id
WHERE q.key >= ?2 AND q.key < ?3
  AND (q.flags & {TRANSIENT} = 0 OR q.message_id >= ?5) AND {_NOT_GARBAGE}
ORDER BY q.key LIMIT ?4
"""

#: What waits for its time behind (?2, ?3), below the key ?6.
_DELAYED: Final = f"""
SELECT q.key, q.message_id, q.flags, q.expires_at, s.message_id IS NOT NULL,
       m.checksum, m.header, m.body, coalesce(length(m.header) + length(m.body), 0),
       r.acquired, r.failed, r.due_at, 0, 0
FROM message_return r INDEXED BY message_return_due
CROSS JOIN queue_message q ON q.key = r.key
LEFT JOIN message m ON m.id = q.message_id
LEFT JOIN message_share s ON s.message_id = q.message_id
WHERE r.due_at IS NOT NULL AND r.key >> {POSITION_BITS} = ?1 >> {POSITION_BITS}
  AND r.due_at >= ?2 AND (r.due_at > ?2 OR r.key > ?3) AND r.key < ?6
  AND (q.flags & {TRANSIENT} = 0 OR q.message_id >= ?5) AND {_NOT_GARBAGE}
ORDER BY r.due_at, r.key LIMIT ?4
"""

#: One row of JSON, not one per message: each row would hand the interpreter's lock over.
_EXPIRED: Final = f"""
SELECT json_group_array(
    json_array(expires_at, position, message_id, shared, transient, size, delayed))
FROM (
    SELECT q.expires_at, q.key & {_POSITION} AS position, q.message_id,
           s.message_id IS NOT NULL AS shared, q.flags & {TRANSIENT} AS transient,
           coalesce(length(m.body), 0) AS size, r.due_at IS NOT NULL AS delayed
    FROM queue_message q INDEXED BY queue_message_early
    LEFT JOIN message m ON m.id = q.message_id
    LEFT JOIN message_return r ON r.key = q.key
    LEFT JOIN message_share s ON s.message_id = q.message_id
    WHERE q.flags & {EARLY} AND q.key >> {POSITION_BITS} = ?1
      AND q.expires_at BETWEEN ?4 AND ?6 AND (q.expires_at > ?4 OR q.key > ?5)
      AND q.key >= ?2 AND q.key < ?3
      AND (q.flags & {TRANSIENT} = 0 OR q.message_id >= ?8)
      AND NOT EXISTS (SELECT 1 FROM garbage g
          WHERE g.first_key BETWEEN ?1 << {POSITION_BITS} AND q.key AND g.last_key >= q.key)
    ORDER BY q.expires_at, q.key LIMIT ?7)
"""

_NEXT: Final = f"""
SELECT expires_at FROM queue_message INDEXED BY queue_message_early
WHERE flags & {EARLY} AND key >> {POSITION_BITS} = ?1 AND expires_at > ?2 AND key >= ?3
ORDER BY expires_at LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class ReadSome:
    """Single messages that are wanted, and who wants them."""

    lane: int
    positions: Sequence[int]
    done: ReadDone


@dataclass(frozen=True, slots=True)
class ReadReturned:
    """Messages that came back are wanted."""

    question: Counted | Delayed
    done: ReturnedDone

    @property
    def lane(self) -> int:
        """The lane that it is about."""
        return self.question.lane


@dataclass(frozen=True, slots=True)
class Expired:
    """Somebody wants to know what has expired."""

    lane: int
    from_position: int
    upto_position: int
    after: tuple[int, int]
    now_ms: int
    most: int
    done: ExpiredDone


@dataclass(frozen=True, slots=True)
class Read:
    """A stretch that is wanted, and who wants it."""

    lane: int
    from_position: int
    upto_position: int
    max_messages: int
    max_bytes: int
    done: ReadDone


@dataclass(frozen=True, slots=True)
class ReadStream:
    """A stretch of a stream that is wanted, and who wants it."""

    lane: int
    offset: int
    upto: int
    max_bytes: int
    done: StreamDone


@dataclass(frozen=True, slots=True)
class FindOffset:
    """Somebody wants to begin in a stream at some time, or with its last chunk."""

    lane: int
    first: int
    upto: int
    since_ms: int | None
    done: OffsetDone


@dataclass(frozen=True, slots=True)
class FindCut:
    """Some segments of a stream may have to go."""

    lane: int
    first: int
    upto: int
    size: int
    since_ms: int
    done: CutDone


#: What is about queues, which is in the tables alone.
OfTables = Read | ReadSome | ReadReturned | Expired
Job = OfTables | ReadStream | FindOffset | FindCut


class Reader:
    """Reads stretches in the order in which they are asked for."""

    def __init__(
        self,
        path: Path,
        driver: Driver,
        connection: Connection,
        life: int,
        post: Post,
        damaged: Callable[[Damaged], None],
        waiting: Callable[[], list[Placed]],
    ) -> None:
        self._path = path
        self._connection = connection
        self._some = _SOME.format(source=driver.source(1), index=driver.index)
        self._life = life
        self._post = post
        self._damaged = damaged
        self._files = StreamFiles(path)
        self._streams = StreamReader(connection, self._files, waiting, self._damaged_chunk)
        self._inbox: SimpleQueue[Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="amqpd-store-reader", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def put(self, job: Job) -> None:
        """Ask for something."""
        self._inbox.put(job)

    def stop(self) -> None:
        """Answer what was asked for, end."""
        self._inbox.put(None)
        self._thread.join()

    # -- the thread ----------------------------------------------------------------------

    def answer(self, job: Job) -> None:
        """Answer it now, in the thread that calls."""
        self._post(self._answer(job))

    def _run(self) -> None:
        while (job := self._inbox.get()) is not None:
            self.answer(job)
        self._files.close()
        self._connection.close()

    def _answer(self, job: Job) -> Callable[[], None]:
        try:
            match job:
                case Read():
                    return partial(job.done, self._rows(job))
                case ReadSome():
                    return partial(job.done, self._single(job))
                case ReadReturned():
                    return partial(job.done, self._returned(job.question))
                case Expired():
                    return partial(job.done, self._expired(job))
                case ReadStream():
                    return partial(job.done, self._stretch(job))
                case FindOffset():
                    return partial(job.done, self._offset(job))
                case FindCut():
                    places = self._streams.places(job.lane, job.first, job.upto)
                    return partial(job.done, places.cut(job.size, job.since_ms))
        except SqlError as error:
            return partial(job.done, self._not_read(job.lane, error))
        except MemoryError:
            text = f"store {self._path}: lane {job.lane} cannot be read: out of memory"
            return partial(job.done, StoreUnreadable(self._path, text, job.lane))
        except Exception as error:
            # Whatever it is, who asked must not wait for ever.
            log.exception("store %s: lane %d cannot be read", self._path, job.lane)
            text = f"store {self._path}: lane {job.lane} cannot be read: {error}"
            return partial(job.done, StoreFailed(self._path, text))

    def _not_read(self, lane: int, error: SqlError) -> StoreFailed:
        text = f"store {self._path}: lane {lane} cannot be read: {error}"
        if error.is_damage:
            # The next start looks whether it is for good.
            Mark(self._path).leave(damage=True)
        if error.code in _LOCAL:
            return StoreUnreadable(self._path, text, lane)
        return StoreFailed(self._path, text)

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
        try:
            return self._upto(_STRETCH, values, read.max_bytes)
        except SqlError as error:
            if error.code not in _LOCAL:
                raise
            return self._one_by_one(read, at, end)

    def _one_by_one(self, read: Read, at: int, end: int) -> list[_Columns]:
        """The same around what the disk does not give back, which is set aside."""
        page: list[_Columns] = []
        unreadable: list[Damaged] = []
        left = read.max_bytes
        while not page and (keys := self._connection.run(_KEYS, [at, end, read.max_messages])):
            for (found,) in keys:
                at = to_int(found) + 1
                try:
                    rows = self._at(read.lane, at - 1)
                except SqlError as error:
                    if error.code not in _LOCAL or len(unreadable) == MOST_UNREADABLE:
                        raise
                    reason, position = f"cannot be read: {error}", (at - 1) & _POSITION
                    unreadable.append(Damaged(read.lane, position, reason, readable=False))
                    continue
                page += rows
                left -= sum(to_int(row[8]) for row in rows)
                if left <= 0:
                    break
        for one in unreadable:
            self._damaged(one)
        return page

    def _at(self, lane: int, key: int) -> list[_Columns]:
        values = [key, key + 1, 1, self._life, key_of(lane, 0)]
        return self._connection.run(_STRETCH, values)

    def _upto(self, sql: str, values: Sequence[int], max_bytes: int) -> list[_Columns]:
        """The rows of a query until they are large enough together."""
        page: list[_Columns] = []
        left = max_bytes
        found = self._connection.each(sql, values)
        for columns in found:
            page.append(columns)
            left -= to_int(columns[8])
            if left <= 0:
                break
        found.close()
        return page

    def _single(self, some: ReadSome) -> list[Row]:
        base = key_of(some.lane, 0)
        keys = array("q", [base + position for position in some.positions])
        page = self._connection.run(self._some, [self._connection.numbers(keys)])
        rows = _whole(page)
        return self._without_damaged(some.lane, page) if rows is None else rows

    def _returned(self, question: Counted | Delayed) -> Returned:
        """What came back; damaged messages alone do not look like the end."""
        while page := self._returned_page(question):
            found = self._sorted_out(question, page)
            if found.rows or found.waiting:
                return found
            if isinstance(question, Counted):
                question = replace(question, from_position=found.upto)
            else:
                at, last = to_int(page[-1][11]), to_int(page[-1][0]) & _POSITION
                question = replace(question, after=(at, last))
        return Returned([], {}, (), question.upto_position)

    def _sorted_out(self, question: Counted | Delayed, page: list[_Columns]) -> Returned:
        attempts: dict[int, Attempts] = {}
        waiting: list[Waiting] = []
        bare: list[_Columns] = []
        for columns in page:
            position, due_ms = to_int(columns[0]) & _POSITION, to_int(columns[11] or 0)
            if columns[12]:
                waiting.append(Waiting(position, due_ms, to_int(columns[13])))
                continue
            bare.append(columns[:9])
            if columns[9] is not None:
                attempts[position] = Attempts(to_int(columns[9]), to_int(columns[10]), due_ms)
        rows = _whole(bare)
        if rows is None:
            rows = self._without_damaged(question.lane, bare)
        return Returned([*rows], attempts, waiting, (to_int(page[-1][0]) & _POSITION) + 1)

    def _returned_page(self, question: Counted | Delayed) -> list[_Columns]:
        lane, most = question.lane, question.max_messages
        base, end = key_of(lane, 0), key_of(lane, question.upto_position)
        match question:
            case Counted(_, low, _, now_ms):
                values = [base, key_of(lane, low), end, most, self._life, now_ms]
                return self._upto(_COUNTED, values, question.max_bytes)
            case Delayed(_, _, (due_ms, position)):
                values = [base, due_ms, key_of(lane, position), most, self._life, end]
                return self._upto(_DELAYED, values, question.max_bytes)

    def _expired(self, job: Expired) -> tuple[list[Due], int]:
        deadline_ms, position = job.after
        values = [
            job.lane,
            key_of(job.lane, job.from_position),
            key_of(job.lane, job.upto_position),
            deadline_ms,
            key_of(job.lane, position),
            job.now_ms,
            job.most,
            self._life,
        ]
        found = json.loads(str(self._connection.run(_EXPIRED, values)[0][0]))
        due = [
            Due(at, where, id_, s == 1, t == 1, size, d == 1)
            for at, where, id_, s, t, size, d in found
        ]
        if len(due) == job.most:
            return due, 0
        later = self._connection.run(_NEXT, [job.lane, job.now_ms, values[1]])
        return due, to_int(later[0][0]) if later else 0

    def _stretch(self, job: ReadStream) -> tuple[list[StoredChunk], int]:
        """What is there, and behind what it ends; damaged chunks alone do not look like that."""
        chunks = self._streams.read(job.lane, job.offset, job.upto, job.max_bytes)
        return chunks, chunks[-1][0] + len(chunks[-1][3]) if chunks else job.upto

    def _offset(self, job: FindOffset) -> int | None:
        places = self._streams.places(job.lane, job.first, job.upto)
        found = places.last() if job.since_ms is None else places.since(job.since_ms)
        return None if found is None else found.base

    def _damaged_chunk(self, lane: int, base: int) -> None:
        self._damaged(Damaged(lane, base, DAMAGED))

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
