"""Which versions of SQLite can lose pages, and that the store gives them no occasion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpd.store import StoreLocked
from amqpd.store import sqlite as module
from amqpd.store.driver import SqlError, StandardDriver
from amqpd.store.settings import StoreSettings
from amqpd.store.sqlite import SqliteStore
from amqpd.store.versions import has_wal_reset_bug

if TYPE_CHECKING:
    from pathlib import Path

    from amqpd.store.driver import Connection


@pytest.mark.parametrize(
    ("version", "yes"),
    [
        ("3.6.23", False), ("3.7.0", True), ("3.40.1", True), ("3.44.5", True), ("3.44.6", False),
        ("3.45.0", True), ("3.50.6", True), ("3.50.7", False), ("3.51.0", True), ("3.51.2", True),
        ("3.51.3", False), ("3.52.0", False), ("4.0.0", False), ("3.51", True),
    ],
)  # fmt: skip
def test_the_versions_with_the_bug_are_known(version: str, yes: bool) -> None:
    assert has_wal_reset_bug(version) is yes


class Counting(StandardDriver):
    """Counts the connections that may write."""

    def __init__(self) -> None:
        self.opened: list[bool] = []

    def open(self, path: Path, *, read_only: bool) -> Connection:
        self.opened.append(read_only)
        connection = super().open(path, read_only=read_only)
        if read_only:
            self.reading = connection
        return connection


def test_one_connection_writes_whatever_the_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    driver = Counting()
    driver.version = "3.40.1"
    monkeypatch.setattr(module, "select", lambda name: driver)
    store = SqliteStore(tmp_path, lambda call: call(), StoreSettings(driver="sqlite3"))
    store.open()
    try:
        assert driver.opened == [False, True]
        assert "SQLite 3.40.1 loses pages when two programs write to a file" in caplog.text
        # The reader can neither write nor checkpoint, and nobody else may come in.
        for statement in ("DELETE FROM message", "PRAGMA wal_checkpoint(TRUNCATE)"):
            with pytest.raises(SqlError):
                driver.reading.run(statement)
        other = SqliteStore(tmp_path, lambda call: call(), StoreSettings(driver="sqlite3"))
        with pytest.raises(StoreLocked):
            other.open()
    finally:
        store.close()
