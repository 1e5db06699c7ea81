"""Small batches: rows of their own at first, in the tables later, never lost in between."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing
from shutil import copytree
from typing import TYPE_CHECKING

import pytest

from amqpd.broker.definitions import PutVhost
from amqpd.broker.journal import Mark as Handed
from amqpd.broker.journal import Purge, PurgeDelayed, Track
from amqpd.store import StoreDamaged
from amqpd.store.check import check
from amqpd.store.copy import backup, salvage
from amqpd.store.deferred import (
    FEW_RANGES,
    MOST_BATCHES,
    MOST_BYTES,
    MOST_MESSAGES,
    PATIENCE,
    Deferred,
    decoded,
    encoded,
    is_small,
)
from amqpd.store.driver import FULL, SqlError
from amqpd.store.mark import Mark
from amqpd.store.merging import merged
from amqpd.store.packing import Packed, pack
from amqpd.store.settings import StoreSettings
from amqpd.store.sqlite import SqliteStore
from amqpd.store.writer import Ask
from tests.store.batches import Driven, Writing, came_back, opened, settle
from tests.store.inspection import assert_sound, query
from tests.store.test_sqlite import a_queue
from tests.store.workload import Workload

if TYPE_CHECKING:
    from array import array
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from amqpd.broker.journal import Batch
    from amqpd.store import StoreFailed
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
    writer, answered = writer_of(store), threading.Event()
    # Its answer to the batch comes before it has noted what is to be done because of that.
    writer.put(Ask(answered.set, answered.set, fail=_fail))
    assert answered.wait(60)
    while writer._chores:
        time.sleep(0.001)
    return store, writing


def _fail(failed: StoreFailed) -> None:
    raise failed


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


def others(writing: Writing) -> dict[str, Batch]:
    """A batch for each thing that a small one does not do."""
    entry = writing.append([b"a"], 1)
    large = writing.append([bytes(600_000)], 1)
    dated = writing.append([b"a", b"b"], 1, deadlines=[7, 5])
    far = writing.append([b"a"], 2)
    far.targets[0].base = 1 << 40
    return {
        "definitions": writing.batch(defines=[PutVhost("/")]),
        "a large message": writing.batch(large),
        "times to live that differ": writing.batch(dated),
        "what is purged of the delayed": writing.batch(PurgeDelayed(1, 9, (0, 0))),
        "what came back": writing.batch(came_back(entry, 0, 1, 1)),
        "a purge": writing.batch(Purge(1, 0, 5, 5, 5)),
        "something for a stream": writing.batch(writing.extend([b"a"], 3)),
        "how far a consumer is": writing.batch(Track(3, "name", 4)),
        "a position that cannot be": writing.batch(far),
        "many that are let go": writing.batch(
            *(settle(writing.append([b"a"], 1, 2)) for _ in range(FEW_RANGES + 1))
        ),
    }


@pytest.mark.parametrize("what", others(Writing()))
def test_what_does_more_than_bring_and_settle_a_few_messages_is_not_small(what: str) -> None:
    writing = Writing()

    assert is_small(pack(writing.batch(writing.append([b"a"], 1))))
    assert not is_small(pack(others(writing)[what]))


class Rows:
    """A table of deferred rows (a connection, as far as these tests need one)."""

    in_transaction = False

    def __init__(self) -> None:
        self.entries: list[Value | Numbers] = []

    def run(self, sql: str, values: Sequence[Value | Numbers] = ()) -> list[tuple[Value, ...]]:
        """Insert a row, or read them all."""
        self.entries += values
        return [(entry,) for entry in self.entries if isinstance(entry, bytes)]

    def each(
        self, sql: str, values: Sequence[Value | Numbers]
    ) -> Generator[tuple[Value, ...], None, None]:
        """The same one by one."""
        yield from self.run(sql, values)

    def numbers(self, numbers: array[int]) -> Numbers:
        """Not asked for."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing to give back."""


def a_packed(writing: Writing, messages: int = 1, size: int = 0) -> Packed:
    """A small batch that brings messages of a size."""
    return pack(writing.batch(writing.append([bytes(size)] * messages, 1)))


@pytest.mark.parametrize(
    ("messages", "size", "most"),
    [(60, 0, MOST_MESSAGES), (1, 12_000, MOST_BYTES), (0, 0, MOST_BATCHES)],
)
def test_rows_are_due_when_they_are_many_and_no_more_are_taken_when_very_many(
    messages: int, size: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amqpd.store.deferred.MOST_MESSAGES", 1 << 30)
    monkeypatch.setattr("amqpd.store.deferred.MOST_BYTES", 1 << 30)
    monkeypatch.setattr("amqpd.store.deferred.MOST_BATCHES", 1 << 30)
    for name in ("MOST_MESSAGES", "MOST_BYTES", "MOST_BATCHES"):
        if {"MOST_MESSAGES": messages > 1, "MOST_BYTES": size, "MOST_BATCHES": not messages}[name]:
            monkeypatch.setattr(f"amqpd.store.deferred.{name}", most)
    deferred, writing = Deferred(Rows()), Writing()
    each = {60: 60, 1: size, 0: 1}[messages]
    due_after = taken = 0
    while deferred.takes(packed := a_packed(writing, messages, size)):
        deferred.add(packed)
        deferred.know(packed)
        taken += 1
        due_after = due_after or (taken if deferred.is_due else 0)

    assert most <= due_after * each < most + each + 60 * due_after
    assert PATIENCE * most <= taken * each
    assert taken <= (PATIENCE + 1) * due_after


def test_rows_are_due_when_the_oldest_has_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amqpd.store.deferred.AGE_S", 1.0)
    deferred, writing = Deferred(Rows()), Writing()
    due = []

    for now_s in (100.0, 100.9, 101.1):
        monkeypatch.setattr("amqpd.store.deferred.time.monotonic", lambda now_s=now_s: now_s)
        deferred.add(a_packed(writing))
        due.append(deferred.is_due)
    deferred.entered()
    due.append(deferred.is_due)

    assert due == [False, False, True, False]


def test_a_batch_whose_ids_do_not_grow_is_not_deferred() -> None:
    deferred, writing = Deferred(Rows()), Writing()
    first, second = a_packed(writing, 2), a_packed(writing)
    deferred.know(second)

    assert not deferred.takes(first)
    assert not deferred.takes(second)
    assert deferred.takes(a_packed(writing))


def test_rows_that_a_killed_broker_has_left_are_entered_in_their_order(tmp_path: Path) -> None:
    store, writing = quiet(tmp_path / "data", 1)
    for upto in (5, 3):  # as far as it really was, when it was asked to stop
        store.write(writing.batch(Handed(1, upto, writing.lane(1))))
    assert query(beside(tmp_path / "data"), COUNTS) == [(2, 0)]

    again = opened(tmp_path / "data-killed")

    assert again.snapshot.lanes[1].delivered_upto == 3
    again.close()
    store.close()


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
