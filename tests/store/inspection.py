"""Looks into a store's file from outside, through a library of its own."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from amqpd.store.check import FAULTS

if TYPE_CHECKING:
    from pathlib import Path


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
