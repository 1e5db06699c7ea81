"""The drivers: two libraries that behave the same."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Literal

import pytest

from amqpd.store.driver import BUSY, NOT_A_DATABASE, SqlError, StandardDriver, select
from amqpd.store.driver_apsw import ApswDriver
from amqpd.store.schema import migrate

if TYPE_CHECKING:
    from pathlib import Path

DRIVERS: tuple[Literal["apsw", "sqlite3"], ...] = ("apsw", "sqlite3")


def test_apsw_is_taken_where_it_is_installed() -> None:
    assert isinstance(select(), ApswDriver)
    assert isinstance(select("sqlite3"), StandardDriver)


@pytest.mark.parametrize("name", DRIVERS)
def test_numbers_are_a_table_that_counts_from_0(
    tmp_path: Path, name: Literal["apsw", "sqlite3"]
) -> None:
    migrate(tmp_path / "a.db")
    driver = select(name)
    connection = driver.open(tmp_path / "a.db", read_only=True)
    numbers = array("q", [5, -1, (1 << 63) - 1])

    found = connection.run(
        f"SELECT {driver.index}, n.value FROM {driver.source(1)}",  # noqa: S608
        [connection.numbers(numbers)],
    )

    assert found == list(enumerate(numbers))
    connection.close()


@pytest.mark.parametrize("name", DRIVERS)
def test_errors_carry_the_primary_code(tmp_path: Path, name: Literal["apsw", "sqlite3"]) -> None:
    migrate(tmp_path / "a.db")
    (tmp_path / "b.db").write_bytes(b"no database" * 100)
    driver = select(name)
    first = driver.open(tmp_path / "a.db", read_only=False)
    second = driver.open(tmp_path / "a.db", read_only=False)
    third = driver.open(tmp_path / "b.db", read_only=True)
    first.run("BEGIN IMMEDIATE")
    assert first.in_transaction

    second.run("PRAGMA busy_timeout = 0")
    with pytest.raises(SqlError) as busy:
        second.run("BEGIN IMMEDIATE")
    with pytest.raises(SqlError) as damaged:
        list(third.each("SELECT * FROM sqlite_schema", []))
    with pytest.raises(SqlError):
        driver.open(tmp_path / "missing.db", read_only=False).run("SELECT 1")

    assert (busy.value.code, damaged.value.code) == (BUSY, NOT_A_DATABASE)
    for connection in (first, second, third):
        connection.close()


@pytest.mark.parametrize("name", DRIVERS)
def test_a_query_can_be_left_in_the_middle(
    tmp_path: Path, name: Literal["apsw", "sqlite3"]
) -> None:
    migrate(tmp_path / "a.db")
    connection = select(name).open(tmp_path / "a.db", read_only=False)
    rows = connection.each("SELECT value FROM json_each('[1,2,3]')", [])

    assert next(rows) == (1,)
    rows.close()

    connection.run("BEGIN IMMEDIATE")
    connection.run("COMMIT")
    assert connection.run("PRAGMA wal_checkpoint(TRUNCATE)")[0][0] == 0
    connection.close()
