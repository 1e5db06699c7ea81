"""The gauge: long when the present round is, whatever an older one left behind."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from amqpd.store.wal import WalGauge

if TYPE_CHECKING:
    from pathlib import Path

PAGE = 4096


def test_the_gauge_follows_the_rounds_of_a_wal(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    gauge = WalGauge(path, PAGE)
    assert not gauge.is_longer_than(0), "there is no WAL yet"

    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for pragma in (f"page_size = {PAGE}", "journal_mode = WAL", "wal_autocheckpoint = 0"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        connection.execute("CREATE TABLE t(x)")
        assert not gauge.is_longer_than(20 * PAGE)

        connection.execute("INSERT INTO t VALUES (zeroblob(?))", [40 * PAGE])
        assert gauge.is_longer_than(20 * PAGE)
        assert not gauge.is_longer_than(100 * PAGE)

        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        connection.execute("INSERT INTO t VALUES (1)")
        assert path.with_name("some.db-wal").stat().st_size > 40 * PAGE
        assert not gauge.is_longer_than(20 * PAGE), "a new round has begun"

        connection.execute("INSERT INTO t VALUES (zeroblob(?))", [30 * PAGE])
        assert gauge.is_longer_than(20 * PAGE)
    gauge.close()
