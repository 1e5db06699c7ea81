"""The end of the WAL of a killed broker is missed if it is gone, to the last commit."""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from amqpd.broker.definitions import PutVhost
from amqpd.store import StoreOlder
from amqpd.store.settings import StoreSettings
from amqpd.store.sqlite import SqliteStore
from amqpd.store.walend import FILE
from tests.store.batches import Writing
from tests.store.test_identity import a_store, copied, fill, filled
from tests.store.test_sqlite import a_queue

if TYPE_CHECKING:
    from pathlib import Path

LONG_WAL = 1 << 26


def killed(folder: Path, batches: int = 5, **settings: int | bool) -> tuple[Path, list[int]]:
    """What a killed store leaves behind, and how long its WAL was after each batch."""
    store = a_store(folder / "data", **{"wal_limit_bytes": LONG_WAL, **settings})
    writing, sizes = Writing(), list[int]()
    a_queue(store, writing, 1)
    for _ in range(batches):
        fill(store, writing, 1)
        sizes.append(os.stat(folder / "data" / "amqpd.db-wal").st_size)
    copied(folder / "data", folder / "left")
    store.close()
    return folder / "left", sizes


def test_one_commit_that_is_cut_off_is_missed(tmp_path: Path) -> None:
    left, sizes = killed(tmp_path)
    os.truncate(left / "amqpd.db-wal", sizes[-2])

    with pytest.raises(StoreOlder, match="the end of its WAL is missing"):
        a_store(left)

    store = a_store(left, accept_older=True)
    assert store.snapshot.lanes[1].messages == 4
    store.close()
    a_store(left).close()


def test_the_end_is_noted_before_anybody_is_told(tmp_path: Path) -> None:
    noted: list[bytes] = []

    def told(outcome: object) -> None:
        noted.append((tmp_path / FILE).read_bytes())

    # What is posted is done at once, and the writer goes on only then.
    store = SqliteStore(tmp_path, lambda work: work(), StoreSettings(wal_limit_bytes=LONG_WAL))
    store.open()
    writing, done = Writing(), threading.Event()
    store.write(writing.batch(defines=[PutVhost("/")]), told)
    for _ in range(3):
        store.write(writing.batch(writing.append([bytes(5000)], 1)), told)
    store.write(writing.batch(writing.append([b"a"], 1)), lambda outcome: done.set())
    assert done.wait(60)

    frames = [int.from_bytes(one[:4], sys.byteorder) for one in noted]
    assert len(frames) == 4
    assert frames == sorted(set(frames)), "each of them was one further than that before"
    store.close()


def test_one_octet_of_the_last_commit_that_is_another_is_missed(tmp_path: Path) -> None:
    left, sizes = killed(tmp_path)
    with (left / "amqpd.db-wal").open("r+b") as file:
        file.seek(sizes[-1] - 100)
        file.write(b"\xa5")

    with pytest.raises(StoreOlder, match="the end of its WAL is missing"):
        a_store(left)


def test_a_store_that_lacks_nothing_is_started(tmp_path: Path) -> None:
    left, _ = killed(tmp_path)

    store = a_store(left)

    assert store.snapshot.lanes[1].messages == 5
    store.close()
    assert not (left / FILE).exists(), "a clean stop leaves no end behind"


def test_a_wal_that_somebody_else_has_moved_into_the_database_is_not_missed(
    tmp_path: Path,
) -> None:
    left, _ = killed(tmp_path)
    with closing(sqlite3.connect(left / "amqpd.db")) as connection:
        connection.execute("SELECT count(*) FROM message").fetchone()
    assert not (left / "amqpd.db-wal").exists()

    store = a_store(left)

    assert store.snapshot.lanes[1].messages == 5
    store.close()


def test_a_wal_that_was_begun_anew_is_followed(tmp_path: Path) -> None:
    # Some 5 KiB each: the WAL's limit of 1 MiB is passed, and it is begun anew.
    left, _ = killed(tmp_path, 200, wal_limit_bytes=1 << 20)

    store = a_store(left)

    assert store.snapshot.lanes[1].messages == 200
    store.close()


@pytest.mark.parametrize("octets", [b"", b"\0" * 10, b"\xff" * 28])
def test_an_end_that_cannot_be_read_keeps_nobody_from_starting(
    tmp_path: Path, octets: bytes
) -> None:
    left, _ = killed(tmp_path)
    (left / FILE).write_bytes(octets)

    a_store(left).close()


def test_without_syncs_no_end_is_noted(tmp_path: Path) -> None:
    left, _ = killed(tmp_path, sync=False)

    assert not (left / FILE).exists()


def test_an_end_that_cannot_be_noted_stops_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).symlink_to(tmp_path / "nowhere" / "else")

    store = filled(tmp_path, 3)

    store.close()
    assert "its end cannot be noted" in caplog.text
