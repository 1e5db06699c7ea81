"""The file's schema: its versions and how one becomes the next.

Created and migrated with sqlite-utils over the standard library's connection, strictly before
the store opens the file with its own driver (two SQLite libraries on one open file lose data).
Each migration is one transaction that also raises `user_version`; the file is left
checkpointed, so that the version can be read from its first page without opening it. A file
of a newer version is refused and not touched.

Tables are for the broker, views for people: `sqlite-utils tables`, `sqlite-utils query`.
"""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING, Final

from amqpd.store import StoreDamaged, StoreFailed, StoreFull, StoreNewer
from amqpd.store.views import STREAM_VIEWS, VIEWS

if TYPE_CHECKING:
    from pathlib import Path

    from sqlite_utils import Database, Migrations

#: The version that this code reads and writes.
VERSION: Final = 8
#: "AMQP" in the file's header tells our files from others'.
APPLICATION_ID: Final = 0x414D5150

_HEADER_BYTES: Final = 100
_MAGIC: Final = b"SQLite format 3\0"


def version_of(path: Path) -> int:
    """The schema version of a file; 0 for none yet.

    Reads the file's header only. Must not be called while this process has the file open:
    closing it again would drop SQLite's locks.

    Raises:
        StoreDamaged: it is not a file of ours.
    """
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except FileNotFoundError:
        return 0
    if not header:
        return 0
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise StoreDamaged(path, f"store {path}: not a SQLite database; move it away to begin anew")
    version = int.from_bytes(header[60:64], "big")
    if version and int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise StoreDamaged(path, f"store {path}: a database, but not of amqpd; choose another path")
    return version


def migrate(path: Path, page_size: int = 16384) -> None:
    """Bring a file to `VERSION`, creating it where there is none; free where it is current.

    Raises:
        StoreNewer: a newer version has written it.
        StoreDamaged: it is not a file of ours, or cannot be migrated.
        StoreFailed, StoreFull: the disk has failed, or has no room at all.
    """
    found = version_of(path)
    if found > VERSION:
        raise StoreNewer(path, newer(path, found))
    if found == VERSION:
        return
    # Owner only from the first moment; SQLite gives its other files the same mode.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    try:
        _migrate(path, page_size)
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        made = {sqlite3.SQLITE_IOERR: StoreFailed, sqlite3.SQLITE_FULL: StoreFull}
        text = f"store {path}: cannot be migrated: {error}"
        raise made.get(code, StoreDamaged)(path, text) from error
    _sync_directory(path)


def newer(path: Path, found: object) -> str:
    """What to tell about a file of a newer version."""
    return (
        f"store {path}: written by a newer amqpd (schema {found}, this one knows {VERSION}); "
        "start that version, or choose another data directory"
    )


def _migrate(path: Path, page_size: int) -> None:
    # 90 ms of imports that only a first start or a new version needs.
    from sqlite_utils import Database

    connection = sqlite3.connect(path)
    try:
        for pragma in (
            f"page_size = {page_size}",
            "auto_vacuum = INCREMENTAL",
            "journal_mode = WAL",
            "synchronous = FULL",
        ):
            connection.execute(f"PRAGMA {pragma}")
        database = Database(connection, recursive_triggers=False, execute_plugins=False)
        _migrations().apply(database)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _migrations() -> Migrations:
    from sqlite_utils import Migrations

    migrations = Migrations("amqpd")

    @migrations(name="1-first")
    def first(database: Database) -> None:
        _create_messages(database)
        _create_definitions(database)
        for name, sql in VIEWS.items():
            database.create_view(name, sql)
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute("PRAGMA user_version = 1")

    @migrations(name="2-expiry")
    def second(database: Database) -> None:
        # What was there before is looked at one by one: it may expire in any order.
        database.execute("UPDATE queue_message SET flags = flags | 2 WHERE expires_at IS NOT NULL")
        database.execute(
            "CREATE INDEX queue_message_early ON queue_message(key >> 40, expires_at) "
            "WHERE flags & 2"
        )
        _create_returns(database)
        database.execute("PRAGMA user_version = 2")

    @migrations(name="3-protection")
    def third(database: Database) -> None:
        database.execute("ALTER TABLE vhost ADD COLUMN protected INTEGER NOT NULL DEFAULT 0")
        database.execute("PRAGMA user_version = 3")

    @migrations(name="4-streams")
    def fourth(database: Database) -> None:
        _create_streams(database)
        database.execute("PRAGMA user_version = 4")

    @migrations(name="5-stream-files")
    def fifth(database: Database) -> None:
        _create_stream_files(database)
        for name, sql in STREAM_VIEWS.items():
            database.create_view(name, sql, replace=True)
        database.execute("PRAGMA user_version = 5")

    @migrations(name="6-scattered")
    def sixth(database: Database) -> None:
        # Of which the contents are still there; `ids` is an array in JSON.
        _table(database, "message_gone", "number", number=int, last_id=int, ids=str)
        database.execute("PRAGMA user_version = 6")

    @migrations(name="7-deferred")
    def seventh(database: Database) -> None:
        _table(database, "deferred", "number", number=int, entry=bytes)
        database.execute("PRAGMA user_version = 7")

    @migrations(name="8-declared-by")
    def eighth(database: Database) -> None:
        for table in ("exchange", "queue"):
            database.execute(f"ALTER TABLE {table} ADD COLUMN declared_by TEXT NOT NULL DEFAULT ''")
        database.execute("PRAGMA user_version = 8")

    return migrations


def _table(database: Database, name: str, pk: str | tuple[str, ...], /, **columns: type) -> None:
    """A strict table without nulls; a column whose name ends in `_` may be null."""
    kinds = {column.rstrip("_"): kind for column, kind in columns.items()}
    # An integer key is the row id, which is never null.
    required = {c for c in kinds if c in columns and not (c == pk and kinds[c] is int)}
    database.create_table(name, kinds, pk=pk, not_null=required, strict=True)


def _create_messages(database: Database) -> None:
    _table(database, "message", "id", id=int, checksum=bytes, header=bytes, body=bytes)
    _table(
        database,
        "queue_message",
        "key",
        key=int,
        message_id=int,
        flags=int,
        priority=int,
        expires_at_=int,
    )
    database.execute(
        "CREATE INDEX queue_message_transient ON queue_message(message_id) WHERE flags & 1"
    )
    _table(database, "message_share", "message_id", message_id=int, lanes=int)
    _table(database, "garbage", "first_key", first_key=int, last_key=int)
    _table(
        database,
        "lane",
        "id",
        id=int,
        vhost=str,
        queue=str,
        level=int,
        next_position=int,
        messages=int,
        body_bytes=int,
        delivered_upto=int,
    )
    database.execute("CREATE INDEX lane_queue ON lane(vhost, queue)")
    _table(
        database,
        "quarantine",
        "id",
        id=int,
        lane=int,
        position=int,
        message_id=int,
        reason=str,
        checksum_=bytes,
        header_=bytes,
        body_=bytes,
        found_at=str,
    )
    _table(database, "state", "name", name=str, value=int)
    database.execute("INSERT INTO state(name, value) VALUES ('clean', 1)")


def _create_returns(database: Database) -> None:
    _table(
        database,
        "message_return",
        "key",
        key=int,
        acquired=int,
        failed=int,
        due_at_=int,
        transient=int,
        body_bytes=int,
    )
    database.execute(
        "CREATE INDEX message_return_due ON message_return(key >> 40, due_at) "
        "WHERE due_at IS NOT NULL"
    )
    database.execute("CREATE INDEX message_return_transient ON message_return(key) WHERE transient")


def _create_streams(database: Database) -> None:
    # Contents come last: what is before them is read without them.
    _table(
        database,
        "stream_chunk",
        "key",
        key=int,
        messages=int,
        names=int,
        segment=int,
        size_before=int,
        stored_at=int,
        checksum=int,
        layout=bytes,
        contents=bytes,
    )
    _table(database, "stream_offset", ("lane", "name"), lane=int, name=str, offset=int)


def _create_stream_files(database: Database) -> None:
    # In which file layout and contents of a chunk lie, and where; 0: they are in the row.
    for column in ("file", "at", "layout_bytes", "contents_bytes"):
        database.execute(f"ALTER TABLE stream_chunk ADD COLUMN {column} INTEGER NOT NULL DEFAULT 0")
    database.execute("CREATE INDEX stream_chunk_file ON stream_chunk(file) WHERE file")
    _table(database, "stream_file", "number", number=int, salt=int, end=int)


def _create_definitions(database: Database) -> None:
    _table(
        database,
        "vhost",
        "name",
        name=str,
        description=str,
        tags=str,
        default_queue_type=str,
        tracing=int,
    )
    _table(database, "user", "name", name=str, password_hash=str, hashing_algorithm=str, tags=str)
    _table(
        database,
        "permission",
        ("user", "vhost"),
        user=str,
        vhost=str,
        configure=str,
        write=str,
        read=str,
    )
    _table(
        database,
        "topic_permission",
        ("user", "vhost", "exchange"),
        user=str,
        vhost=str,
        exchange=str,
        write=str,
        read=str,
    )
    _table(
        database,
        "exchange",
        ("vhost", "name"),
        vhost=str,
        name=str,
        kind=str,
        durable=int,
        auto_delete=int,
        internal=int,
        arguments=bytes,
        arguments_text=str,
    )
    _table(
        database,
        "queue",
        ("vhost", "name"),
        vhost=str,
        name=str,
        durable=int,
        exclusive=int,
        auto_delete=int,
        arguments=bytes,
        arguments_text=str,
        lanes=str,
    )
    _table(
        database,
        "binding",
        ("vhost", "source", "destination", "destination_kind", "routing_key", "arguments"),
        vhost=str,
        source=str,
        destination=str,
        destination_kind=str,
        routing_key=str,
        arguments=bytes,
        arguments_text=str,
    )
    _table(
        database,
        "parameter",
        ("component", "vhost", "name"),
        component=str,
        vhost=str,
        name=str,
        value=str,
    )
    database.execute("CREATE INDEX binding_destination ON binding(vhost, destination)")
