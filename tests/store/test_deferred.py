"""Small batches: rows of their own at first, in the tables later, never lost in between."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from shutil import copytree
from typing import TYPE_CHECKING

import pytest

from amqpd.store import StoreDamaged
from amqpd.store.check import check
from amqpd.store.copy import backup, salvage
from amqpd.store.deferred import MOST_MESSAGES, PATIENCE, decoded, encoded, is_small
from amqpd.store.driver import FULL, SqlError
from amqpd.store.mark import Mark
from amqpd.store.merging import merged
from amqpd.store.packing import Packed, pack
from amqpd.store.settings import StoreSettings
from amqpd.store.sqlite import SqliteStore
from tests.store.batches import Driven, Writing, opened, settle
from tests.store.inspection import assert_sound, query
from tests.store.test_sqlite import a_queue
from tests.store.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from amqpd.broker.journal import Batch
    from amqpd.store.driver import Numbers, Value
    from amqpd.store.writer import Writer


@pytest.fixture(autouse=True)
def no_quiet_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is: nothing is entered because time has passed."""
    monkeypatch.setattr("amqpd.store.writer.QUIET_S", 3600.0)
    monkeypatch.setattr("amqpd.store.deferred.AGE_S", 3600.0)


COUNTS = "SELECT (SELECT count(*) FROM deferred), (SELECT count(*) FROM message)"


def beside(directory: Path) -> Path:
    """What a kill at this moment leaves behind."""
    return copytree(directory, directory.with_name(f"{directory.name}-killed"))


def writer_of(store: Driven) -> Writer:
    """The writer behind a store."""
    assert isinstance(store.store, SqliteStore)
    assert store.store._writer is not None
    return store.store._writer


def quiet(directory: Path, *lanes: int) -> tuple[Driven, Writing]:
    """A store with queues that has nothing to do: nothing is entered but for a reason."""
    store, writing = opened(directory, sync=False), Writing()
    a_queue(store, writing, *lanes)
    while writer_of(store)._chores:
        time.sleep(0.001)
    return store, writing


def small_batches(count: int) -> list[Batch]:
    """Batches of a history that are small."""
    found = [batch for _, batch in zip(range(3 * count), Workload(1).batches(), strict=False)]
    return [batch for batch in found if is_small(pack(batch))][:count]


def test_a_small_batch_is_a_row_until_somebody_looks_at_the_tables(tmp_path: Path) -> None:
    store, writing = quiet(tmp_path / "data", 1)
    for body in (b"a", b"b"):
        store.write(writing.batch(writing.append([body], 1)))

    assert query(beside(tmp_path / "data"), COUNTS) == [(2, 0)]
    assert store.bodies(1) == [b"a", b"b"]
    store.close()
    assert query(tmp_path / "data", COUNTS) == [(0, 2)]
    assert_sound(tmp_path / "data")


def test_what_is_deferred_when_the_broker_is_killed_is_there_at_the_next_start(
    tmp_path: Path,
) -> None:
    store, writing = quiet(tmp_path / "data", 1, 2)
    both = writing.append([b"a", b"b", b"c"], 1, 2)
    store.write(writing.batch(both))
    store.write(writing.batch(settle(both, 0, 0, 1)))

    again = opened(beside(tmp_path / "data"))

    assert not again.snapshot.clean
    assert {lane: state.messages for lane, state in again.snapshot.lanes.items()} == {1: 2, 2: 3}
    assert (again.bodies(1), again.bodies(2)) == ([b"b", b"c"], [b"a", b"b", b"c"])
    again.close()
    assert_sound(tmp_path / "data-killed")
    store.close()


def test_a_message_that_is_settled_before_it_is_entered_never_comes_into_the_tables(
    tmp_path: Path,
) -> None:
    store, writing = quiet(tmp_path, 1)
    inserted: list[int] = []
    tables = writer_of(store)._tables
    apply = tables.apply

    def applying(packed: Packed) -> None:
        inserted.extend(sum(map(bool, chunk.places)) for chunk in packed.chunks)
        apply(packed)

    tables.apply = applying  # type: ignore[method-assign]
    first, last = writing.append([b"a", b"b"], 1), writing.append([b"c"], 1)
    for entry in (first, settle(first), last):
        store.write(writing.batch(entry))

    assert store.bodies(1) == [b"c"]
    assert inserted == [1]
    store.close()
    assert query(tmp_path, "SELECT next_position, messages, body_bytes FROM lane") == [(3, 1, 1)]


def test_a_row_says_all_of_its_batch() -> None:
    batches = small_batches(60)

    assert len(batches) == 60
    for batch in batches:
        packed = pack(batch)
        assert decoded(encoded(packed)) == packed


@pytest.mark.parametrize("at", [0, 3, 5, 40, -1])
def test_a_row_that_was_changed_is_no_batch(at: int) -> None:
    entry = bytearray(encoded(pack(small_batches(1)[0])))
    entry[at] ^= 1

    with pytest.raises(ValueError, match="damaged"):
        decoded(bytes(entry))
    with pytest.raises(ValueError, match="damaged"):
        decoded(bytes(entry[:4]))


def test_batches_together_leave_those_that_were_joined_as_they_were() -> None:
    packed = [pack(batch) for batch in small_batches(40)]
    before = [encoded(one) for one in packed]

    first, second = merged(packed), merged(packed)

    assert [encoded(one) for one in packed] == before
    assert first == second


def test_many_small_batches_are_entered_while_more_come(tmp_path: Path) -> None:
    store, writing = quiet(tmp_path / "data", 1)
    for _ in range(MOST_MESSAGES + 10):
        store.write(writing.batch(writing.append([b"a"], 1)))

    ((deferred, entered),) = query(beside(tmp_path / "data"), COUNTS)

    assert (deferred, entered) == (10, MOST_MESSAGES)
    store.close()


def test_a_batch_that_is_not_small_comes_behind_those_that_are_deferred(tmp_path: Path) -> None:
    store, writing = quiet(tmp_path / "data", 1)
    large = bytes(100_000)
    for body in (b"a", large, b"b"):
        store.write(writing.batch(writing.append([body], 1)))

    assert query(beside(tmp_path / "data"), COUNTS) == [(1, 2)]
    assert store.bodies(1) == [b"a", large, b"b"]
    store.close()


def test_small_batches_that_lie_between_others_go_into_the_tables_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amqpd.store.deferred.STEADY", 2)
    store, writing = quiet(tmp_path / "data", 1)
    for body in (b"a", b"b", bytes(100_000), b"c", b"d", b"e", b"f"):
        store.write(writing.batch(writing.append([body], 1)))

    assert query(beside(tmp_path / "data"), COUNTS) == [(2, 5)]
    store.close()


def test_an_id_is_not_given_twice_though_nothing_of_it_is_left(tmp_path: Path) -> None:
    store, writing = quiet(tmp_path / "data", 1)
    entry = writing.append([b"a", b"b"], 1)
    store.write(writing.batch(entry))
    store.write(writing.batch(settle(entry)))

    again = opened(beside(tmp_path / "data"))

    assert again.snapshot.next_message_id == 3
    assert again.bodies(1) == []
    again.close()
    store.close()


class NoRoom:
    """A disk that has no room for more than a row, for a while."""

    def __init__(self, store: Driven) -> None:
        self.is_full = True
        connection = writer_of(store)._connection
        self._run = connection.run
        connection.run = self  # type: ignore[method-assign]

    def __call__(self, sql: str, values: Sequence[Value | Numbers] = ()) -> list[tuple[Value, ...]]:
        if self.is_full and sql == "COMMIT":
            raise SqlError(FULL, "database or disk is full")
        return self._run(sql, values)


def test_on_a_full_disk_what_is_deferred_is_read_all_the_same(tmp_path: Path) -> None:
    store, writing = quiet(tmp_path, 1)
    disk = NoRoom(store)
    first = writing.append([b"a", b"b"], 1)
    store.write(writing.batch(first))
    store.write(writing.batch(settle(first, 0, 0, 1)))

    assert store.bodies(1) == [b"b"]
    store.write(writing.batch(writing.append([b"c"], 1)))
    assert store.bodies(1) == [b"b", b"c"]
    assert query(beside(tmp_path), COUNTS) == [(3, 0)]
    disk.is_full = False

    assert store.bodies(1) == [b"b", b"c"]
    store.close()
    assert query(tmp_path, COUNTS) == [(0, 2)]
    assert_sound(tmp_path)


def test_a_disk_that_stays_full_stops_what_is_deferred_too(tmp_path: Path) -> None:
    store, writing = quiet(tmp_path, 1)
    disk = NoRoom(store)
    count = 0
    while isinstance(store.write(writing.batch(writing.append([b"a"] * 60, 1))), int):
        count += 60

    assert MOST_MESSAGES <= count <= PATIENCE * MOST_MESSAGES + 60
    disk.is_full = False
    assert len(store.bodies(1)) == count
    store.close()
    assert_sound(tmp_path)


def test_a_start_on_a_full_disk_keeps_what_is_deferred(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, writing = quiet(tmp_path / "data", 1)
    entry = writing.append([b"a", b"b"], 1)
    store.write(writing.batch(entry))
    store.write(writing.batch(settle(entry, 0, 0, 1)))
    killed = beside(tmp_path / "data")
    store.close()

    with monkeypatch.context() as patch:
        patch.setattr("amqpd.store.sqlite.Tables.begin_life", _no_room)
        again = opened(killed, sync=False)
    assert again.snapshot.lanes[1].messages == 1
    writing.next_message_id = again.snapshot.next_message_id
    again.write(writing.batch(writing.append([b"c"], 1)))

    assert again.bodies(1) == [b"b", b"c"]
    again.close()
    assert_sound(killed)


def _no_room(tables: object) -> None:
    raise SqlError(FULL, "database or disk is full")


def damage(directory: Path) -> None:
    """Change a row of a store that nobody has open."""
    with closing(sqlite3.connect(directory / "amqpd.db")) as connection:
        connection.execute("UPDATE deferred SET entry = zeroblob(length(entry)) WHERE number = 1")
        connection.commit()


def left_behind(directory: Path) -> Path:
    """A killed store with two deferred batches."""
    store, writing = quiet(directory, 1)
    for body in (b"a", b"b"):
        store.write(writing.batch(writing.append([body], 1)))
    killed = beside(directory)
    store.close()
    return killed


def test_a_damaged_row_is_found_and_keeps_the_store_from_starting(tmp_path: Path) -> None:
    killed = left_behind(tmp_path / "data")
    assert list(check(killed / "amqpd.db")) == []
    damage(killed)

    (finding,) = check(killed / "amqpd.db")
    assert "row 1 of table 'deferred': a deferred batch is damaged" in str(finding)
    with pytest.raises(StoreDamaged, match="a deferred batch is damaged"):
        opened(killed)


def test_a_rescue_enters_what_is_deferred_and_says_what_it_cannot(tmp_path: Path) -> None:
    killed = left_behind(tmp_path / "data")
    damage(killed)
    Mark(killed / "amqpd.db").leave(damage=True)

    with pytest.raises(StoreDamaged, match="a deferred batch is damaged"):
        opened(killed)
    settings = StoreSettings(rescue=True)
    store = Driven(lambda post: SqliteStore(killed, post, settings))

    assert store.bodies(1) == [b"b"]
    store.close()
    assert_sound(killed)


def test_copies_and_what_is_salvaged_hold_what_is_deferred(tmp_path: Path) -> None:
    killed = left_behind(tmp_path / "data")
    (tmp_path / "copy").mkdir()
    (tmp_path / "saved").mkdir()

    backup(killed / "amqpd.db", tmp_path / "copy" / "amqpd.db")
    salvage(killed / "amqpd.db", tmp_path / "saved" / "amqpd.db")

    for name in ("copy", "saved"):
        store = opened(tmp_path / name)
        assert store.bodies(1) == [b"a", b"b"]
        store.close()
        assert_sound(tmp_path / name)


def test_what_can_be_read_is_salvaged_without_a_row_that_is_damaged(tmp_path: Path) -> None:
    killed = left_behind(tmp_path / "data")
    damage(killed)
    (tmp_path / "saved").mkdir()

    salvage(killed / "amqpd.db", tmp_path / "saved" / "amqpd.db")

    store = opened(tmp_path / "saved")
    assert store.bodies(1) == [b"b"]
    store.close()
    assert_sound(tmp_path / "saved")
