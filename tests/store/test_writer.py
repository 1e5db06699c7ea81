"""The writer: what it does when nobody waits, and that nobody has to wait for it.

Where the live file is looked at the store runs on Python's own library, as the test does: two
libraries must never have one file open in a process.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from amqpd.broker.definitions import DeleteQueue
from amqpd.broker.journal import Drop, Purge
from amqpd.store import StoreFailed, StoreFull
from amqpd.store.driver import FULL, IO_ERROR, SqlError
from amqpd.store.mark import Mark
from amqpd.store.settings import MIB, StoreSettings
from amqpd.store.sqlite import SqliteStore
from amqpd.store.writer import LOOK_BYTES, LOOK_SHARE, Writer
from tests.store.batches import Driven, Writing, came_back, opened, settle
from tests.store.inspection import assert_sound, query
from tests.store.killing import ROOT
from tests.store.test_sqlite import a_queue

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from amqpd.store import Post
    from amqpd.store.driver import Numbers, Value
    from amqpd.store.packing import Packed


def written(directory: Path) -> int:
    """Size of the WAL file."""
    return (directory / "amqpd.db-wal").stat().st_size


def test_the_wal_is_recycled_at_its_limit_and_does_not_grow(tmp_path: Path) -> None:
    store, writing = opened(tmp_path, sync=False, wal_limit_bytes=MIB), Writing()
    a_queue(store, writing, 1)
    before = None

    for _ in range(150):
        entry = writing.append([bytes(20_000)] * 5, 1)
        store.write(writing.batch(entry, *([settle(before)] if before else [])))
        before = entry

    assert written(tmp_path) < 2 * MIB
    store.close()
    assert_sound(tmp_path)


def purged_and_killed(directory: Path) -> None:
    """A process that purges 30,000 messages, deletes a queue with 30,000, and is gone at once."""
    program = """
import os, pathlib, sys
from amqpd.broker.definitions import DeleteQueue
from amqpd.broker.journal import Drop, Purge
from tests.store.batches import Writing, opened
from tests.store.test_sqlite import a_queue
store, writing = opened(pathlib.Path(sys.argv[1]), sync=False, sweep_rows=50), Writing()
a_queue(store, writing, 1, 2, 3)
for _ in range(10):
    store.write(writing.batch(writing.append([b"m"] * 3000, 1, 2, 3)))
purge = Purge(1, 10, 30_000, 29_990, 29_990)
store.write(writing.batch(purge, defines=[DeleteQueue("/", "q2")]))
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", program, str(directory)], check=True, cwd=ROOT)


def test_what_was_purged_or_dropped_is_deleted_after_a_kill_in_the_middle(tmp_path: Path) -> None:
    purged_and_killed(tmp_path)
    (left,) = query_copy(tmp_path, "SELECT count(*) FROM queue_message")
    assert left > 30_010

    store = opened(tmp_path, "sqlite3", sync=False, sweep_rows=20_000)

    assert len(store.read(1)) == 10
    assert store.read(2) == []
    assert len(store.read(3)) == 30_000
    until_swept(store, tmp_path)
    store.close()
    assert query(tmp_path, "SELECT count(*) FROM queue_message") == [(30_010,)]
    assert query(tmp_path, "SELECT count(*) FROM message") == [(30_000,)]
    assert_sound(tmp_path)


def query_copy(directory: Path, sql: str) -> list[int]:
    """Ask a copy of a killed store: asking itself would recover it."""
    copy = directory.with_name("copy")
    copy.mkdir()
    for file in directory.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    return [number for row in query(copy, sql) for number in row if isinstance(number, int)]


def until_swept(store: Driven, directory: Path) -> None:
    """Write until nothing purged or transient is left: each batch leaves room for a step."""
    writing = Writing(number=1 << 20)
    left = """SELECT first_key FROM garbage
        UNION ALL SELECT key FROM queue_message WHERE flags & 1"""
    for _ in range(1000):
        store.write(writing.batch())
        if not query(directory, left):
            return
    raise AssertionError("the garbage is not deleted")


def test_a_purge_and_a_delete_do_not_wait_for_the_rows(tmp_path: Path) -> None:
    store, writing = opened(tmp_path, sync=False, sweep_rows=1), Writing()
    a_queue(store, writing, 1, 2)
    for _ in range(5):
        store.write(writing.batch(writing.append([b"m"] * 4000, 1, 2)))

    store.write(writing.batch(Purge(1, 0, 20_000, 20_000, 20_000)))
    store.write(writing.batch(defines=[DeleteQueue("/", "q2")]))

    assert store.read(1) == store.read(2) == []
    store.close()
    assert query(tmp_path, "SELECT messages FROM lane") == [(0,)]
    assert query(tmp_path, "SELECT count(*) > 30000 FROM queue_message") == [(1,)]
    assert_sound(tmp_path)
    again = opened(tmp_path, "sqlite3", sync=False)
    until_swept(again, tmp_path)
    again.close()
    assert query(tmp_path, "SELECT count(*) FROM message") == [(0,)]


def test_free_space_is_given_back_when_most_of_the_file_is_free(tmp_path: Path) -> None:
    store, writing = opened(tmp_path, "sqlite3", sync=False, vacuum_above_bytes=MIB), Writing()
    a_queue(store, writing, 1)
    entries = [writing.append([bytes(50_000)] * 20, 1) for _ in range(10)]
    for entry in entries:
        store.write(writing.batch(entry))
    for entry in entries:
        store.write(writing.batch(settle(entry)))
    store.read(1)  # has what is deferred entered

    # The vacuum begins after a second of quiet; reading is not noise.
    while free_pages(tmp_path) * 16384 > MIB:
        store.read(1)

    store.close()
    assert (tmp_path / "amqpd.db").stat().st_size < 3 * MIB
    assert_sound(tmp_path)


def free_pages(directory: Path) -> int:
    """Free pages of the live file, as another process sees it.

    A process of its own also leaves the interpreter to the writer meanwhile.
    """
    program = [sys.executable, "-m", "sqlite_utils", "query", str(directory / "amqpd.db")]
    arguments = ["PRAGMA freelist_count", "--csv", "--no-headers"]
    found = subprocess.run([*program, *arguments], check=True, capture_output=True, text=True)
    return int(found.stdout)


def test_counts_leave_with_their_messages_whatever_way_these_go(tmp_path: Path) -> None:
    store, writing = opened(tmp_path, "sqlite3"), Writing()
    a_queue(store, writing, *range(1, 5))
    settled, shared = writing.append([b"a", b"b"], 1), writing.append([b"c"], 1, 2)
    purged, dropped = writing.append([b"d"], 3), writing.append([b"e"], 4)
    transient = writing.append([b"f"], 2, persistent=False)
    everything = (settled, shared, purged, dropped, transient)
    returns = [came_back(one, 0, len(one.run.contents), 1, 0, 50) for one in everything]
    store.write(writing.batch(*everything, *returns))

    store.write(
        writing.batch(
            settle(settled, counted=True),
            settle(shared, counted=True),
            Purge(3, 0, 1, 1, 1),
            Drop((4,)),
            defines=[DeleteQueue("/", "q4")],
        )
    )
    store.close()
    store = opened(tmp_path, "sqlite3")
    assert all(state.delayed == 0 for state in store.snapshot.lanes.values())
    until_swept(store, tmp_path)
    store.close()

    assert query(tmp_path, "SELECT key >> 40 FROM message_return") == []
    assert_sound(tmp_path)


#: Another program that looks at the store and does not stop looking.
HOLDS = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("BEGIN")
connection.execute("SELECT count(*) FROM lane").fetchall()
print("holds", flush=True)
sys.stdin.read()
"""


def test_a_reader_that_does_not_let_go_is_told_of_and_the_wal_ends_growing_with_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, writing = opened(tmp_path, sync=False, wal_limit_bytes=1 << 18), Writing()
    a_queue(store, writing, 1)
    wal = tmp_path / "amqpd.db-wal"

    def fill() -> int:
        for _ in range(20):
            store.write(writing.batch(writing.append([bytes(100_000)], 1)))
            # Our own reader is no such one.
            assert store.read(1, max_messages=1)
        return wal.stat().st_size

    before = fill()
    command = [sys.executable, "-c", HOLDS, str(tmp_path / "amqpd.db")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert "times its limit" not in caplog.text
        held = fill()
        assert any(f"process {holder.pid} (" in one for one in store.store.wal.held_by)
        holder.communicate()
    fill()
    after = fill()

    assert held > 4 * (1 << 18) > before
    assert "times its limit" in caplog.text
    assert f"process {holder.pid} (" in caplog.text
    assert store.store.wal == (after, ())
    # What it took of the disk is given back.
    assert after <= 4 * (1 << 18)
    assert len(store.bodies(1)) == 80
    store.close()


def test_a_wal_that_was_held_is_given_back_though_nothing_is_written(tmp_path: Path) -> None:
    store, writing = opened(tmp_path, sync=False, wal_limit_bytes=1 << 18), Writing()
    a_queue(store, writing, 1)
    command = [sys.executable, "-c", HOLDS, str(tmp_path / "amqpd.db")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        for _ in range(20):
            store.write(writing.batch(writing.append([bytes(100_000)], 1)))
        assert store.store.wal.held_by
        assert store.store.wal.size_bytes > 4 * (1 << 18)
        holder.communicate()

    tick, deadline = threading.Event(), time.monotonic() + 60
    while store.store.wal.size_bytes > 2 * (1 << 18) and time.monotonic() < deadline:
        tick.wait(0.05)
    assert store.store.wal.size_bytes <= 2 * (1 << 18)
    assert store.store.wal.held_by == ()
    store.close()


class Full:
    """Tables that find the disk full so many times."""

    def __init__(self, store: Driven, times: int) -> None:
        assert isinstance(store.store, SqliteStore)
        writer = store.store._writer
        assert writer is not None
        self.times = times
        self.tables = writer._tables
        self.apply = self.tables.apply
        self.tables.apply = self  # type: ignore[method-assign]

    def __call__(self, packed: Packed) -> None:
        if self.times:
            self.times -= 1
            raise SqlError(FULL, "database or disk is full")
        self.apply(packed)


@pytest.mark.parametrize(("times", "written"), [(1, True), (2, True), (3, False)])
def test_a_full_disk_is_given_what_there_is_and_a_batch_is_written_or_not(
    tmp_path: Path, times: int, written: bool
) -> None:
    store, writing = Driven(reserving(tmp_path)), Writing()
    a_queue(store, writing, 1)
    Full(store, times)

    body = bytes(100_000)

    outcome = store.write(writing.batch(writing.append([body], 1)))

    # The WAL is begun anew first: what is given up is not there when it is needed more.
    assert times > 1 or (tmp_path / "reserve").exists()
    assert isinstance(outcome, int) is written
    assert store.bodies(1) == [body] * written
    store.close()


def reserving(folder: Path) -> Callable[[Post], SqliteStore]:
    settings = StoreSettings(sync=False, reserve_bytes=1 << 16)
    return lambda post: SqliteStore(folder, post, settings)


def writer_of(store: Driven) -> Writer:
    assert isinstance(store.store, SqliteStore)
    assert store.store._writer is not None
    return store.store._writer


#: Another program that is about to write into the store.
LOCKS = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locks", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("size", [10, 200_000], ids=["a row for later", "the tables"])
def test_a_batch_waits_for_another_process_that_has_locked_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, size: int
) -> None:
    monkeypatch.setattr("amqpd.store.sqlite.BUSY_MS", 10)
    store, writing = opened(tmp_path, sync=False), Writing()
    a_queue(store, writing, 1)
    answers: list[int | StoreFull | StoreFailed] = []
    batch = writing.batch(writing.append([bytes(size)], 1))
    command = [sys.executable, "-c", LOCKS, str(tmp_path / "amqpd.db")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as other:
        assert other.stdout is not None
        other.stdout.readline()

        store.store.write(batch, answers.append)

        tick, deadline = threading.Event(), time.monotonic() + 60
        while "keeps it locked, waiting" not in caplog.text and time.monotonic() < deadline:
            tick.wait(0.01)
        other.communicate()
    while not answers:
        store.turn()
    assert answers == [batch.number]
    assert store.bodies(1) == [bytes(size)]
    store.close()


def test_the_wal_is_not_looked_at_with_each_small_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amqpd.store.writer.QUIET_S", 3600.0)
    store, writing = opened(tmp_path, sync=False, wal_limit_bytes=64 * MIB), Writing()
    a_queue(store, writing, 1)
    gauge, looks = writer_of(store).wal, 0
    is_longer_than = gauge.is_longer_than

    def counted(size_bytes: int) -> bool:
        nonlocal looks
        looks += 1
        return is_longer_than(size_bytes)

    gauge.is_longer_than = counted  # type: ignore[method-assign]
    for _ in range(160):
        store.write(writing.batch(writing.append([b"m"], 1)))
    store.read(1)  # nothing is left to be done

    # With each sixteenth of them, and a few times for what was left from the start.
    assert LOOK_BYTES * LOOK_SHARE * 16 == 64 * MIB
    assert 0 < looks < 40
    store.close()


def test_a_checkpoint_that_fails_ends_it_for_good(tmp_path: Path) -> None:
    store, writing = opened(tmp_path, sync=False, wal_limit_bytes=1 << 18), Writing()
    a_queue(store, writing, 1)
    assert isinstance(store.store, SqliteStore)
    writer = store.store._writer
    assert writer is not None
    run = writer._connection.run

    def failing(sql: str, values: Sequence[Value | Numbers] = ()) -> list[tuple[Value, ...]]:
        if "checkpoint" in sql:
            raise SqlError(IO_ERROR, "disk I/O error")
        return run(sql, values)

    writer._connection.run = failing  # type: ignore[method-assign]
    outcomes = [store.write(writing.batch(writing.append([bytes(100_000)], 1))) for _ in range(10)]
    writer._connection.run = run  # type: ignore[method-assign]

    assert isinstance(outcomes[0], int)
    assert isinstance(outcomes[-1], StoreFailed)
    assert "checkpoint failed" in str(outcomes[-1])
    store.close()


def test_a_value_that_cannot_be_ends_it_for_good(tmp_path: Path) -> None:
    store, writing = opened(tmp_path, sync=False), Writing()
    a_queue(store, writing, 1)
    assert isinstance(store.store, SqliteStore)
    writer = store.store._writer
    assert writer is not None

    def sweep(rows: int) -> bool:
        raise ValueError(f"a number was expected, not {rows!r}")

    writer._tables.sweep = sweep  # type: ignore[method-assign]
    entry = writing.append([b"a"], 1)
    store.write(writing.batch(entry))
    store.write(writing.batch(Purge(1, 0, 1, 1, 1)))
    tick = threading.Event()
    while not Mark(tmp_path / "amqpd.db").is_there:
        tick.wait(0.01)

    assert isinstance(store.write(writing.batch(writing.append([b"b"], 1))), StoreFailed)
    assert Mark(tmp_path / "amqpd.db").is_damage
    store.close()
