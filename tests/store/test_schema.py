"""The schema: created once, refused when newer, useful from outside."""

# ruff: noqa: S608 - constants only

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from sqlite_utils import Database

from amqpd.store import StoreDamaged, StoreNewer
from amqpd.store.check import check
from amqpd.store.schema import APPLICATION_ID, VERSION, _migrations, migrate, version_of
from tests.store.batches import Writing, opened
from tests.store.inspection import query
from tests.store.test_sqlite import a_queue

if TYPE_CHECKING:
    from pathlib import Path

    from amqpd.broker.expiry import Due
    from amqpd.store import StoreFailed


def test_a_new_file_has_the_settings_that_cannot_be_changed_later(tmp_path: Path) -> None:
    path = tmp_path / "amqpd.db"

    migrate(path)

    pragmas = ("page_size", "auto_vacuum", "journal_mode", "user_version", "application_id")
    found = [query(tmp_path, f"PRAGMA {pragma}")[0][0] for pragma in pragmas]
    assert found == [16384, 2, "wal", VERSION, APPLICATION_ID]
    assert path.stat().st_mode & 0o777 == 0o600


def test_all_tables_are_strict(tmp_path: Path) -> None:
    migrate(tmp_path / "amqpd.db")

    where = "type = 'table' AND schema = 'main'"
    tables = query(tmp_path, f"SELECT name, strict FROM pragma_table_list WHERE {where}")

    ours = {
        name: strict for name, strict in tables if not str(name).startswith(("sqlite_", "_sqlite_"))
    }
    assert len(ours) == 21
    assert set(ours.values()) == {1}


def test_a_current_file_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "amqpd.db"
    migrate(path)
    before = path.read_bytes(), path.stat().st_mtime_ns

    migrate(path)

    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_a_newer_file_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "amqpd.db"
    migrate(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    before = path.read_bytes(), path.stat().st_mtime_ns, sorted(tmp_path.iterdir())

    with pytest.raises(StoreNewer, match=f"written by a newer amqpd .schema {VERSION + 1}"):
        migrate(path)

    assert (path.read_bytes(), path.stat().st_mtime_ns, sorted(tmp_path.iterdir())) == before


def test_a_newer_version_that_was_killed_while_it_migrated_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "amqpd.db"
    migrate(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
        left = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    for name, octets in left.items():
        (tmp_path / name).write_bytes(octets)
    assert version_of(path) == VERSION

    with pytest.raises(StoreNewer):
        opened(tmp_path)


@pytest.mark.parametrize("octets", [b"hello", b"x" * 4096])
def test_a_file_that_is_no_database_is_refused_untouched(tmp_path: Path, octets: bytes) -> None:
    path = tmp_path / "amqpd.db"
    path.write_bytes(octets)

    with pytest.raises(StoreDamaged, match="not a SQLite database"):
        migrate(path)

    assert path.read_bytes() == octets


def test_somebody_elses_database_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "amqpd.db")) as connection:
        connection.execute("PRAGMA user_version = 1")

    with pytest.raises(StoreDamaged, match="not of amqpd"):
        migrate(tmp_path / "amqpd.db")


def test_an_empty_file_is_a_new_store(tmp_path: Path) -> None:
    (tmp_path / "amqpd.db").touch()

    migrate(tmp_path / "amqpd.db")

    assert version_of(tmp_path / "amqpd.db") == VERSION


def test_sqlite_utils_lists_tables_and_knows_the_migrations(tmp_path: Path) -> None:
    opened(tmp_path).close()
    command = [sys.executable, "-m", "sqlite_utils", "tables", str(tmp_path / "amqpd.db")]

    listed = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)

    assert {"message", "queue_message", "lane", "queue"} <= {row["table"] for row in listed}
    assert query(tmp_path, "SELECT name FROM _sqlite_migrations") == [
        ("1-first",),
        ("2-expiry",),
        ("3-protection",),
        ("4-streams",),
        ("5-stream-files",),
        ("6-scattered",),
        ("7-deferred",),
        ("8-declared-by",),
    ]


def of_the_first_version(path: Path, source: Path) -> None:
    """What is in a store of now, as the first version had it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        database = Database(connection, recursive_triggers=False, execute_plugins=False)
        _migrations().apply(database, stop_before="2-expiry")
        connection.execute("ATTACH ? AS newer", [str(source)])
        tables = connection.execute(
            "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE '\\_%' "
            "ESCAPE '\\' AND name NOT LIKE 'sqlite%'"
        ).fetchall()
        for (table,) in tables:
            columns = ", ".join(
                f'"{one[1]}"' for one in connection.execute(f"PRAGMA main.table_info({table})")
            )
            into = f"INSERT OR REPLACE INTO main.{table}({columns})"
            connection.execute(f"{into} SELECT {columns} FROM newer.{table}")
        # It knew no messages that expire before others.
        connection.execute("UPDATE queue_message SET flags = flags & ~2")
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def test_a_store_of_the_first_version_is_one_of_this_and_nothing_in_it_is_lost(
    tmp_path: Path,
) -> None:
    store, writing = opened(tmp_path / "new", sync=False), Writing()
    a_queue(store, writing, 1)
    never, expiring = writing.append([b"a"], 1), writing.append([b"b"], 1, deadlines=[9])
    store.write(writing.batch(never, expiring))
    store.close()
    old = tmp_path / "old"
    old.mkdir(mode=0o700)
    of_the_first_version(old / "amqpd.db", tmp_path / "new" / "amqpd.db")
    assert version_of(old / "amqpd.db") == 1

    again = opened(old, sync=False)

    assert again.bodies(1) == [b"a", b"b"]
    assert [type(one).__name__ for one in again.snapshot.commands] == ["PutVhost", "PutQueue"]
    told: list[tuple[list[Due], int] | StoreFailed] = []
    again.store.expired(1, 0, 9, (0, 0), 9, 100, told.append)
    again.turn()
    assert isinstance(told[0], tuple)
    assert [one.position for one in told[0][0]] == [1]
    again.close()
    assert version_of(old / "amqpd.db") == VERSION
    assert list(check(old / "amqpd.db")) == []
