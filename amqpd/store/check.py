"""Looks through a store from its first page to its last message, and changes nothing.

    check(path) -> the findings, as they come

May run beside the broker, in a process of its own: it reads one snapshot, which keeps the WAL
from being begun anew for as long as it takes.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import crc32

from amqpd.store import StoreDamaged, StoreNewer
from amqpd.store.deferred import decoded
from amqpd.store.driver import SqlError, select
from amqpd.store.ranges import POSITION_BITS
from amqpd.store.schema import VERSION, newer, version_of
from amqpd.store.streamlog import StreamFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from amqpd.store.driver import Connection, Value

_POSITION: Final = (1 << POSITION_BITS) - 1
#: Findings of one kind that are listed; a damaged file has thousands.
MOST: Final = 100

#: What must find nothing, and what it means if it does. The first column is a key of a lane
#: (`lane << 40 | position`) where the name says so.
FAULTS: Final = {
    "a row of a lane without its message": """
        SELECT q.key FROM queue_message q LEFT JOIN message m ON m.id = q.message_id
        WHERE m.id IS NULL""",
    "a message that no lane has, or a wrong number of lanes": """
        SELECT m.id FROM message m LEFT JOIN message_share s ON s.message_id = m.id
        LEFT JOIN (SELECT message_id, count(*) AS lanes FROM queue_message GROUP BY 1) q
            ON q.message_id = m.id
        WHERE coalesce(s.lanes, 1) IS NOT q.lanes AND m.id NOT IN (
            SELECT j.value FROM message_gone g, json_each(g.ids) j)""",
    "a share without its message": """
        SELECT s.message_id FROM message_share s LEFT JOIN message m ON m.id = s.message_id
        WHERE m.id IS NULL OR s.lanes < 2""",
    "a wrong counter": """
        SELECT l.id << 40, l.messages, l.body_bytes, q.messages, q.body_bytes
        FROM lane l LEFT JOIN (
            SELECT q.key >> 40 AS lane, count(*) AS messages, sum(length(m.body)) AS body_bytes
            FROM queue_message q JOIN message m ON m.id = q.message_id
            WHERE q.flags & 1 = 0 AND NOT EXISTS (
                SELECT 1 FROM garbage g WHERE q.key BETWEEN g.first_key AND g.last_key)
            GROUP BY 1
            UNION ALL
            SELECT c.key >> 40, sum(c.messages), sum(length(c.contents) + c.contents_bytes)
            FROM stream_chunk c
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
        SELECT l.id << 40 FROM lane l WHERE l.messages > 0
        AND EXISTS (SELECT 1 FROM stream_chunk c WHERE c.key >> 40 = l.id)
        AND NOT EXISTS (SELECT 1 FROM stream_chunk c
            WHERE c.key = (l.id << 40) + l.next_position - l.messages)""",
    "a chunk in a file that is not known": """
        SELECT c.key, c.file FROM stream_chunk c LEFT JOIN stream_file f ON f.number = c.file
        WHERE c.file AND (f.number IS NULL
            OR c.at + c.layout_bytes + c.contents_bytes > f."end")""",
    "a position in a stream that is gone": """
        SELECT o.lane << 40, o.name FROM stream_offset o LEFT JOIN lane l ON l.id = o.lane
        WHERE l.id IS NULL""",
}
#: Whose first column is the id of a message, not a key.
_OF_MESSAGES: Final = frozenset(
    ("a message that no lane has, or a wrong number of lanes", "a share without its message")
)
_CHUNKS: Final = """
SELECT key, checksum, layout, contents, file, at, layout_bytes, contents_bytes
FROM stream_chunk ORDER BY key
"""
_PAGE: Final = re.compile(r"\bpage (\d+)")


class Finding(NamedTuple):
    """One thing that is wrong; page 0 and an empty queue: not known, or of no one in particular."""

    path: Path
    text: str
    page: int = 0
    queue: str = ""

    def __str__(self) -> str:
        where = [f"store {self.path}"]
        if self.page:
            where.append(f"page {self.page}")
        if self.queue:
            where.append(self.queue)
        return f"{', '.join(where)}: {self.text}"


def check(path: Path) -> Iterator[Finding]:
    """Everything that is wrong with a store; at most `MOST` of each kind.

    Raises:
        StoreDamaged: it is not a file of ours, or not there.
        StoreNewer: a newer version has written it.
    """
    found = version_of(path)
    if found == 0:
        raise StoreDamaged(path, f"store {path}: there is none")
    if found > VERSION:
        raise StoreNewer(path, newer(path, found))
    try:
        connection = select().open(path, read_only=True)
    except SqlError as error:
        raise StoreDamaged(path, f"store {path}: cannot be opened: {error}") from error
    files = StreamFiles(path)
    try:
        files.hold()
        yield from _Check(path, connection, files).findings()
    finally:
        files.close()
        connection.close()


class _Check:
    """One look at one snapshot."""

    def __init__(self, path: Path, connection: Connection, files: StreamFiles) -> None:
        self._path = path
        self._connection = connection
        self._files = files
        self._queues: dict[int, str] = {}

    def findings(self) -> Iterator[Finding]:
        # One snapshot for all questions.
        yield from self._guarded("the file", self._begin)
        yield from self._pages()
        for what, sql in FAULTS.items():
            yield from self._fault(what, sql)
        yield from self._messages()
        yield from self._deferred()
        yield from self._chunks()

    def _begin(self) -> None:
        self._connection.run("BEGIN")
        for id_, vhost, queue in self._connection.run("SELECT id, vhost, queue FROM lane"):
            if isinstance(id_, int):
                self._queues[id_] = f"queue '{queue!s}' in vhost '{vhost!s}'"

    def _guarded(self, what: str, work: Callable[[], None]) -> Iterator[Finding]:
        try:
            work()
        except SqlError as error:
            yield Finding(self._path, f"{what} cannot be read: {error}")

    def _pages(self) -> Iterator[Finding]:
        try:
            for (text,) in self._connection.each(f"PRAGMA integrity_check({MOST})", ()):
                for line in str(text).splitlines():
                    if line not in ("ok", "*** in database main ***"):
                        page = _PAGE.search(line)
                        yield Finding(self._path, line, int(page[1]) if page else 0)
        except SqlError as error:
            yield Finding(self._path, f"pages cannot be read: {error}")

    def _fault(self, what: str, sql: str) -> Iterator[Finding]:
        try:
            for first, *more in self._connection.run(f"{sql} LIMIT {MOST}"):
                yield self._located(what, first, more)
        except SqlError as error:
            yield Finding(self._path, f"cannot look for {what}: {error}")

    def _located(self, what: str, first: Value, more: list[Value]) -> Finding:
        details = f" ({', '.join(map(str, more))})" if more else ""
        if what in _OF_MESSAGES or not isinstance(first, int):
            return Finding(self._path, f"message {first!s}: {what}{details}")
        position = first & _POSITION
        return Finding(
            self._path, f"position {position}: {what}{details}", queue=self._queue_of(first)
        )

    def _queue_of(self, key: int) -> str:
        lane = key >> POSITION_BITS
        return self._queues.get(lane, f"lane {lane}")

    def _messages(self) -> Iterator[Finding]:
        """Each message's own checksum; SQLite's pages have none."""
        sql = "SELECT id, checksum, header, body FROM message ORDER BY id"
        damaged: list[int] = []
        last = 0
        try:
            for id_, checksum, header, body in self._connection.each(sql, ()):
                assert isinstance(id_, int)
                last = id_
                if not (isinstance(header, bytes) and isinstance(body, bytes)) or (
                    checksum != crc32(body, crc32(header)).to_bytes(4, "big")
                ):
                    damaged.append(id_)
        except SqlError as error:
            yield self._message(last, f"messages behind {last} cannot be read: {error}")
        for id_ in damaged[:MOST]:
            yield self._message(id_, f"message {id_}: its checksum does not match")

    def _deferred(self) -> Iterator[Finding]:
        """Small batches that are not in the tables yet."""
        try:
            for number, entry in self._connection.each("SELECT number, entry FROM deferred", ()):
                try:
                    decoded(entry)
                except ValueError as error:
                    yield Finding(self._path, f"row {number!s} of table 'deferred': {error}")
        except SqlError as error:
            yield Finding(self._path, f"deferred batches cannot be read: {error}")

    def _chunks(self) -> Iterator[Finding]:
        """The same for chunks of streams, wherever they lie."""
        last = 0
        try:
            for key, checksum, layout, contents, *place in self._connection.each(_CHUNKS, ()):
                assert isinstance(key, int)
                last = key
                text = self._chunk(checksum, layout, contents, [int(str(one)) for one in place])
                if text:
                    where = f"offset {key & _POSITION}: {text}"
                    yield Finding(self._path, where, queue=self._queue_of(key))
        except SqlError as error:
            text = f"chunks behind offset {last & _POSITION} cannot be read: {error}"
            yield Finding(self._path, text, queue=self._queue_of(last))

    def _chunk(self, checksum: Value, layout: Value, contents: Value, place: list[int]) -> str:
        """What is wrong with a chunk; nothing if nothing is."""
        if place[0]:
            try:
                layout, contents = self._files.read(*place)
            except FileNotFoundError as error:
                return f"its chunk is gone, with the file {error.filename}"
            except SqlError as error:
                return f"its chunk cannot be read: {error}"
        if (
            isinstance(layout, bytes)
            and isinstance(contents, bytes)
            and checksum == crc32(contents, crc32(layout))
        ):
            return ""
        return "the checksum of its chunk does not match"

    def _message(self, id_: int, text: str) -> Finding:
        """A finding about a message, with the first queue that has it."""
        with suppress(SqlError):
            # No index by message: only what is damaged is looked for.
            rows = self._connection.run(
                "SELECT key FROM queue_message WHERE message_id = ? LIMIT 1", [id_]
            )
            if rows and isinstance(rows[0][0], int):
                key = rows[0][0]
                where = f"position {key & _POSITION}: {text}"
                return Finding(self._path, where, queue=self._queue_of(key))
        return Finding(self._path, text)
