"""Scattered: what leaves from all over the table is noted, and deleted later."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Literal

import pytest

from amqpd.store import scattered
from amqpd.store.driver import select
from amqpd.store.packing import pack
from amqpd.store.schema import migrate
from amqpd.store.sqlite import SqliteStore
from amqpd.store.streamlog import StreamFiles
from amqpd.store.tables import Tables
from tests.store.batches import Writing, opened, settle
from tests.store.inspection import assert_sound, query
from tests.store.test_sqlite import a_queue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from amqpd.broker.journal import Batch
    from amqpd.store.driver import Connection

DRIVERS: tuple[Literal["apsw", "sqlite3"], ...] = ("apsw", "sqlite3")
MESSAGES = 2000
#: Every twentieth.
GONE = range(0, MESSAGES, 20)


class Direct:
    """Tables without the threads of a store."""

    def __init__(self, directory: Path, driver: Literal["apsw", "sqlite3"]) -> None:
        path = directory / "amqpd.db"
        migrate(path)
        library = select(driver)
        self.connection: Connection = library.open(path, read_only=False)
        self.tables = Tables(library, self.connection, StreamFiles(path))

    def apply(self, *batches: Batch) -> None:
        for batch in batches:
            self.tables.apply(pack(batch))

    def count(self, table: str) -> int:
        ((count,),) = self.connection.run(f"SELECT count(*) FROM {table}")  # noqa: S608 - ours
        assert isinstance(count, int)
        return count


@pytest.fixture(params=DRIVERS)
def direct(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Direct]:
    tables = Direct(tmp_path, request.param)
    with closing(tables.connection):
        yield tables


def filled(writing: Writing, body: bytes = b"m") -> tuple[Batch, Batch]:
    """Messages in a lane, and the batch with which some of them leave."""
    appended = writing.append([body] * MESSAGES, 1)
    settles = [settle(appended, 0, index, index + 1) for index in GONE]
    return writing.batch(appended), writing.batch(*settles)


def test_what_lies_far_apart_is_noted_and_deleted_later(direct: Direct) -> None:
    direct.apply(*filled(Writing()))

    assert direct.count("queue_message") == MESSAGES - len(GONE)
    assert direct.count("message") == MESSAGES
    assert direct.tables.scattered.waiting == len(GONE)

    assert not direct.tables.scattered.sweep(70)
    assert direct.count("message") == MESSAGES - 70
    assert direct.tables.scattered.sweep(70)
    assert direct.count("message") == MESSAGES - len(GONE)
    assert direct.count("message_gone") == direct.tables.scattered.waiting == 0
    assert direct.tables.scattered.sweep(70)


def test_what_leaves_while_a_pass_is_under_way_is_for_the_next_one(direct: Direct) -> None:
    writing = Writing()
    appended = writing.append([b"m"] * MESSAGES, 1)
    first, second = (
        writing.batch(*[settle(appended, 0, at + low, at + low + 1) for at in GONE])
        for low in (1, 0)
    )
    direct.apply(writing.batch(appended), first)
    assert not direct.tables.scattered.sweep(60)

    direct.apply(second)

    assert not direct.tables.scattered.sweep(60)
    assert direct.tables.scattered.sweep(60)
    assert direct.count("message_gone") == 1
    assert not direct.tables.scattered.sweep(55)
    assert direct.tables.scattered.sweep(60)
    assert direct.count("message") == MESSAGES - 2 * len(GONE)
    assert direct.count("message_gone") == 0


def test_a_pass_is_taken_back_with_its_transaction(direct: Direct) -> None:
    direct.apply(*filled(Writing()))
    direct.connection.run("BEGIN")
    direct.tables.scattered.sweep(70)
    direct.connection.run("ROLLBACK")

    while not direct.tables.scattered.sweep(70):
        pass

    assert direct.count("message") == MESSAGES - len(GONE)


@pytest.mark.parametrize(
    ("body", "which"),
    [
        (b"m", range(0, MESSAGES, 2)),
        (b"m", range(0, MESSAGES, 40)),
        (b"m" * (scattered.SMALL_BYTES + 1), GONE),
    ],
    ids=["near each other", "few", "large"],
)
def test_what_is_not_dear_is_deleted_at_once(direct: Direct, body: bytes, which: range) -> None:
    writing = Writing()
    appended = writing.append([body] * MESSAGES, 1)
    direct.apply(
        writing.batch(appended),
        writing.batch(*[settle(appended, 0, index, index + 1) for index in which]),
    )

    assert direct.count("message") == MESSAGES - len(which)
    assert direct.count("message_gone") == 0


def test_what_is_noted_outlives_the_process_and_its_ids_are_not_given_again(
    tmp_path: Path,
) -> None:
    before, writing = Direct(tmp_path, "apsw"), Writing()
    appended = writing.append([b"m"] * MESSAGES, 1)
    gone = [*GONE, MESSAGES - 1]
    before.apply(
        writing.batch(appended),
        writing.batch(*[settle(appended, 0, index, index + 1) for index in gone]),
    )
    before.connection.run("DELETE FROM message WHERE id = ?", [MESSAGES])  # the last one
    before.connection.close()
    assert_sound(tmp_path)

    after = Direct(tmp_path, "sqlite3")

    assert after.tables.snapshot().next_message_id == MESSAGES + 1
    assert after.tables.scattered.waiting == len(gone)
    while not after.tables.scattered.sweep(70):
        pass
    after.connection.close()
    assert query(tmp_path, "SELECT count(*) FROM message") == [(MESSAGES - len(gone),)]


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_writer_deletes_them_when_there_are_many(
    tmp_path: Path, driver: Literal["apsw", "sqlite3"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amqpd.store.writer.MANY", 100)
    monkeypatch.setattr("amqpd.store.writer.TOO_MANY", 100)
    store, writing = opened(tmp_path, driver, sync=False, sweep_rows=100), Writing()
    a_queue(store, writing, 1)
    for batch in filled(writing):
        store.write(batch)

    store.write(writing.batch())

    assert len(store.read(1)) == MESSAGES - len(GONE)
    store.close()
    assert query(tmp_path, "SELECT count(*) FROM message") == [(MESSAGES - len(GONE),)]
    assert query(tmp_path, "SELECT count(*) FROM message_gone") == [(0,)]
    assert_sound(tmp_path)


def test_many_are_deleted_as_soon_as_there_is_nothing_else_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amqpd.store.writer.MANY", 100)
    monkeypatch.setattr("amqpd.store.writer.QUIET_S", 3600.0)
    store, writing = opened(tmp_path, sync=False, sweep_rows=100), Writing()
    a_queue(store, writing, 1)
    assert isinstance(store.store, SqliteStore)
    assert store.store._writer is not None
    waiting = store.store._writer._tables.scattered
    for batch in filled(writing):
        store.write(batch)

    tick, deadline = threading.Event(), time.monotonic() + 20
    while waiting.waiting and time.monotonic() < deadline:
        tick.wait(0.01)
    store.close()

    assert query(tmp_path, "SELECT count(*) FROM message_gone") == [(0,)]
    assert_sound(tmp_path)
