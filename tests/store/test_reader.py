"""Reading: bounded, ordered, and nothing that is damaged or gone."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Literal, NoReturn

import pytest

from amqpd.broker.attempts import Counted, Delayed, Waiting
from amqpd.broker.journal import Drop, Purge
from amqpd.store import StoreFailed, StoreUnreadable
from amqpd.store.driver import CORRUPT, IO_ERROR, SqlError
from amqpd.store.sqlite import SqliteStore
from tests.store.batches import Driven, Writing, came_back, opened
from tests.store.inspection import assert_sound, query
from tests.store.test_sqlite import a_queue

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from amqpd.broker.expiry import Due
    from amqpd.store import Row
    from amqpd.store.driver import Connection

DRIVERS: tuple[Literal["apsw", "sqlite3"], ...] = ("apsw", "sqlite3")


def ten_messages(directory: Path, driver: Literal["apsw", "sqlite3"] = "apsw") -> Driven:
    store, writing = opened(directory, driver, sync=False), Writing()
    a_queue(store, writing, 1, 2)
    store.write(writing.batch(writing.append([b"%d" % at * 100 for at in range(10)], 1)))
    store.write(writing.batch(writing.append([b"other"], 2)))
    return store


def test_a_stretch_is_what_lies_between_two_positions(tmp_path: Path) -> None:
    store = ten_messages(tmp_path)

    assert [row.position for row in store.read(1, 3, 7)] == [3, 4, 5, 6]
    assert store.read(1, 10, 20) == store.read(3) == []
    assert [row.body for row in store.read(2)] == [b"other"]
    store.close()


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_stretch_is_bounded_in_messages_and_octets(
    tmp_path: Path, driver: Literal["apsw", "sqlite3"]
) -> None:
    store = ten_messages(tmp_path, driver)

    assert [row.position for row in store.read(1, 2, max_messages=3)] == [2, 3, 4]
    assert [row.position for row in store.read(1, 0, max_bytes=1)] == [0]
    assert [row.position for row in store.read(1, 0, max_bytes=300)] == [0, 1, 2]
    store.close()


def test_purged_rows_are_not_seen_while_they_are_still_there(tmp_path: Path) -> None:
    store, writing = opened(tmp_path, sync=False, sweep_rows=1), Writing()
    a_queue(store, writing, 1)
    store.write(writing.batch(writing.append([b"m"] * 2000, 1)))

    store.write(writing.batch(Purge(1, 100, 1990, 1890, 1890)))

    assert [row.position for row in store.read(1)] == [*range(100), *range(1990, 2000)]
    assert [row.position for row in store.read(1, 50, max_messages=60)] == [
        *range(50, 100),
        *range(1990, 2000),
    ]
    store.close()
    assert_sound(tmp_path)


def test_nothing_is_seen_of_a_dropped_lane(tmp_path: Path) -> None:
    store, writing = opened(tmp_path, sync=False, sweep_rows=1), Writing()
    a_queue(store, writing, 1, 2)
    store.write(writing.batch(writing.append([b"m"] * 500, 1, 2)))

    store.write(writing.batch(Drop((1,))))

    assert store.read(1) == []
    assert len(store.read(2)) == 500
    store.close()
    assert_sound(tmp_path)


def damage(directory: Path, *statements: str) -> None:
    """Change rows of the stopped store."""
    with closing(sqlite3.connect(directory / "amqpd.db")) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("UPDATE message SET body = CAST('!' || substr(body, 2) AS BLOB)", "checksum"),
        ("UPDATE message SET header = substr(header, 2)", "its checksum does not match"),
        ("UPDATE message SET header = x'', body = x'', checksum = x'00000000'", "checksum"),
        ("DELETE FROM message", "its body is missing"),
    ],
)
def test_a_damaged_message_is_set_aside_and_never_handed_out(
    tmp_path: Path, statement: str, reason: str
) -> None:
    ten_messages(tmp_path).close()
    damage(tmp_path, f"{statement} WHERE id IN (1, 2, 6)")

    store = opened(tmp_path)
    seen = [store.read(1, max_messages=2), store.read(1, 2)]

    assert [[row.position for row in rows] for rows in seen] == [[2, 3], [2, 3, 4, 6, 7, 8, 9]]
    store.close()
    found = query(tmp_path, "SELECT position, message_id, reason FROM quarantine ORDER BY 1")
    assert [row[:2] for row in found] == [(0, 1), (1, 2), (5, 6)]
    assert all(reason in str(row[2]) for row in found)
    assert query(tmp_path, "SELECT messages FROM lane WHERE id = 1") == [(7,)]
    again = opened(tmp_path)
    assert len(again.read(1)) == 7
    again.close()
    assert_sound(tmp_path) if "x''" not in statement and "DELETE" not in statement else None


def test_a_damaged_message_of_one_lane_is_set_aside_for_each(tmp_path: Path) -> None:
    store, writing = opened(tmp_path, sync=False), Writing()
    a_queue(store, writing, 1, 2)
    store.write(writing.batch(writing.append([b"good", b"bad"], 1, 2)))
    store.close()
    damage(tmp_path, "UPDATE message SET body = x'626164FF' WHERE id = 2")

    store = opened(tmp_path)
    assert store.bodies(1) == store.bodies(2) == [b"good"]
    store.close()
    assert store.store.quarantined == {1: 1, 2: 1}
    again = opened(tmp_path)
    assert again.store.quarantined == {1: 1, 2: 1}
    again.close()

    assert query(tmp_path, "SELECT lane, body FROM quarantine ORDER BY lane") == [
        (1, b"bad\xff"),
        (2, b"bad\xff"),
    ]
    assert query(tmp_path, "SELECT count(*) FROM message") == [(1,)]


class Failing:
    """A connection whose long queries fail; single rows can be read."""

    def __init__(self, connection: Connection, code: int) -> None:
        self._connection = connection
        self._code = code

    def each(self, statement: str, values: Sequence[object] = ()) -> NoReturn:
        raise SqlError(self._code, "no")

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)


@pytest.mark.parametrize(
    ("code", "is_read"), [(IO_ERROR, True), (CORRUPT, True), (7, False), (5, False), (1, False)]
)
def test_only_where_the_disk_is_at_fault_rows_are_read_one_by_one(
    tmp_path: Path, code: int, is_read: bool
) -> None:
    store = ten_messages(tmp_path)
    assert isinstance(store.store, SqliteStore)
    reader = store.store._reader
    assert reader is not None
    reader._connection = Failing(reader._connection, code)  # type: ignore[assignment]  # as above
    answers: list[list[Row] | StoreFailed] = []

    store.store.read(1, 0, 10, 100, 1 << 20, answers.append)
    while not answers:
        store.turn()

    (answer,) = answers
    if is_read:
        assert isinstance(answer, list)
        assert [row.position for row in answer] == list(range(10))
    else:
        assert isinstance(answer, StoreFailed)
        assert not isinstance(answer, StoreUnreadable)
    store.close()
    assert query(tmp_path, "SELECT count(*) FROM quarantine") == [(0,)]


@pytest.fixture
def unswept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that are gone stay where they are: nobody has had the time to delete them."""
    monkeypatch.setattr("amqpd.store.writer.Writer._sweep", lambda _: True)
    monkeypatch.setattr("amqpd.store.writer.Writer._sweep_transient", lambda _: True)


@pytest.mark.usefixtures("unswept")
def test_no_question_is_answered_with_rows_that_are_gone_and_still_there(tmp_path: Path) -> None:
    store, writing = opened(tmp_path, sync=False), Writing()
    a_queue(store, writing, 1)
    entries = [
        writing.append([b"m"] * count, 1, persistent=persistent, deadlines=[9] * count)
        for count, persistent in ((2, True), (3, True), (4, False))
    ]
    returns = [came_back(one, 1, len(one.run.contents), 1, 0, 50) for one in entries]
    store.write(writing.batch(*entries, *returns))
    store.write(writing.batch(Purge(1, 2, 5, 3, 3)))
    store.close()

    again = opened(tmp_path, sync=False)

    # At position 0 and 1, the latter waiting until 50, both expired at 9.
    assert [row.position for row in again.read(1)] == [0, 1]
    early = again.returned(Counted(1, 0, 9, 49, 100, 1 << 30))
    assert ([row[0] for row in early.rows], early.waiting) == ([0], [Waiting(1, 50, 1)])
    late = again.returned(Counted(1, 0, 9, 50, 100, 1 << 30))
    assert ([row[0] for row in late.rows], late.waiting) == ([0, 1], [])
    waiting = again.returned(Delayed(1, 9, (0, 0), 100, 1 << 30))
    assert [row[0] for row in waiting.rows] == [1]
    told: list[tuple[list[Due], int] | StoreFailed] = []
    again.store.expired(1, 0, 9, (0, 0), 9, 100, told.append)
    again.turn()
    assert isinstance(told[0], tuple)
    assert ([one.position for one in told[0][0]], told[0][1]) == ([0, 1], 0)
    again.close()
