"""The store as a whole: restart, lock, what is and is not there afterwards."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Literal

import pytest

from amqpd.broker.attempts import Attempts, Counted, Delayed, Returned, Waiting
from amqpd.broker.definitions import PutQueue, PutVhost
from amqpd.broker.expiry import Due
from amqpd.broker.journal import Mark, PurgeDelayed
from amqpd.store import LaneState, StoreDamaged, StoreFailed, StoreLocked
from tests.store.batches import Driven, Writing, came_back, opened, settle
from tests.store.inspection import assert_sound, query
from tests.store.killing import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from amqpd.broker.journal import Batch

DRIVERS: tuple[Literal["apsw", "sqlite3"], ...] = ("apsw", "sqlite3")


def a_queue(store: Driven, writing: Writing, *lanes: int) -> None:
    """Declare a queue for each lane."""
    queues = [PutQueue("/", f"q{lane}", True, False, False, {}, (lane,)) for lane in lanes]
    store.write(writing.batch(defines=[PutVhost("/"), *queues]))


def test_a_new_store_is_empty_and_clean(tmp_path: Path) -> None:
    store = opened(tmp_path / "new" / "data")

    store.close()

    assert store.snapshot.clean
    assert (store.snapshot.next_message_id, store.snapshot.next_lane_id) == (1, 1)
    assert (tmp_path / "new" / "data").stat().st_mode & 0o777 == 0o700
    assert sorted(file.name for file in (tmp_path / "new" / "data").iterdir()) == [
        "amqpd.db",
        "amqpd.id",
        "lock",
    ]


@pytest.mark.parametrize("driver", DRIVERS)
def test_messages_of_one_run_are_found_when_each_has_expired(
    tmp_path: Path, driver: Literal["apsw", "sqlite3"]
) -> None:
    store, writing = opened(tmp_path, driver, sync=False), Writing()
    a_queue(store, writing, 4)
    entry = writing.append([b"a", b"b", b"c", b"d"], 4, deadlines=[30, 0, 10, 20])
    entry.targets[0].cut(3, 4)

    store.write(writing.batch(entry))

    assert [(row.position, row.deadline_ms) for row in store.read(4)] == [(0, 30), (1, 0), (2, 10)]
    told: list[object] = []
    store.store.expired(4, 0, 9, (0, 0), 15, 5, told.append)
    while not told:
        store.turn()
    assert told == [([Due(10, 2, 3, False, False, 1)], 30)]
    store.close()
    assert_sound(tmp_path)


def test_what_has_expired_is_told_whether_other_lanes_have_it_too(tmp_path: Path) -> None:
    store, writing = opened(tmp_path, sync=False), Writing()
    a_queue(store, writing, 4, 5)
    store.write(writing.batch(writing.append([b"a", b"bb"], 4, 5, deadlines=[20, 10])))

    told: list[object] = []
    store.store.expired(4, 0, 9, (0, 0), 15, 5, told.append)
    while not told:
        store.turn()

    assert told == [([Due(10, 1, 2, True, False, 2)], 20)]
    store.close()


def test_a_directory_that_is_open_to_others_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opened(tmp_path / "own").close()
    assert "open to others" not in caplog.text

    (tmp_path / "own").chmod(0o755)
    opened(tmp_path / "own").close()

    assert f"data directory {tmp_path / 'own'}: open to others" in caplog.text


@pytest.mark.parametrize("driver", DRIVERS)
def test_after_a_restart_everything_is_where_it_was(
    tmp_path: Path, driver: Literal["apsw", "sqlite3"]
) -> None:
    store, writing = opened(tmp_path, driver), Writing()
    a_queue(store, writing, 4)
    entry = writing.append([b"a", b"bc", b"d"], 4, deadline_ms=77)
    lane = writing.lane(4)
    store.write(writing.batch(entry))
    store.write(writing.batch(settle(entry, high=1), Mark(4, 2, lane)))

    store.close()
    again = opened(tmp_path, driver)

    assert again.snapshot.clean
    assert again.snapshot.lanes == {4: LaneState(3, 2, 3, 2)}
    assert (again.snapshot.next_message_id, again.snapshot.next_lane_id) == (4, 5)
    rows = again.read(4)
    assert [(row.position, row.message_id, row.body) for row in rows] == [
        (1, 2, b"bc"),
        (2, 3, b"d"),
    ]
    assert {(row.deadline_ms, row.shared, row.transient) for row in rows} == {(77, False, False)}
    assert rows[0].names == entry.run.names
    assert rows[0].header_payload == entry.run.contents[1][7:22]
    again.close()


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_message_in_many_lanes_is_stored_once_and_goes_with_the_last(
    tmp_path: Path, driver: Literal["apsw", "sqlite3"]
) -> None:
    store, writing = opened(tmp_path, driver, sync=False), Writing()
    a_queue(store, writing, 1, 2, 3)
    entry = writing.append([b"x", b"y"], 1, 2, 3)
    store.write(writing.batch(entry))
    assert [row.shared for row in store.read(2)] == [True, True]

    store.write(writing.batch(settle(entry, 0), settle(entry, 1, high=1)))

    assert store.bodies(1) == []
    assert store.bodies(2) == [b"y"]
    assert [(row.body, row.shared) for row in store.read(3)] == [(b"x", False), (b"y", True)]
    store.write(writing.batch(settle(entry, 1, low=1), settle(entry, 2)))
    store.close()
    assert query(tmp_path, "SELECT count(*) FROM message") == [(0,)]
    assert_sound(tmp_path)


def test_settles_by_ones_with_unknown_ids_and_in_any_order(tmp_path: Path) -> None:
    store, writing = opened(tmp_path, sync=False), Writing()
    a_queue(store, writing, 1)
    entry = writing.append([b"%d" % index for index in range(100)], 1)
    store.write(writing.batch(entry))
    odd = [settle(entry, low=at, high=at + 1) for at in range(99, 0, -2)]
    unknown = [settle(entry, low=at, high=at + 1) for at in (0, 4)]
    for one in unknown:
        one.first_id = -1

    store.write(writing.batch(*odd, *unknown))

    assert store.bodies(1) == [b"%d" % at for at in range(100) if at % 2 == 0 and at not in (0, 4)]
    store.close()
    assert_sound(tmp_path)


def test_transient_messages_of_a_former_life_are_never_seen_again(tmp_path: Path) -> None:
    store, writing = opened(tmp_path, sync=False), Writing()
    a_queue(store, writing, 1)
    kept = writing.append([b"kept"], 1)
    spilled = writing.append([b"spilled"] * 50, 1, 2, persistent=False)
    store.write(writing.batch(kept, spilled))
    nameless = writing.append([b"nameless"] * 50, 9, durable=False)
    store.write(writing.batch(nameless))
    assert len(store.read(1)) == 51
    assert [row.transient for row in store.read(9)] == [True] * 50

    store.close()
    again = opened(tmp_path, sync=False, sweep_rows=7)

    assert again.bodies(1) == [b"kept"]
    assert again.read(9) == again.read(2) == []
    assert again.snapshot.lanes[1] == LaneState(51, 1, 4, 0)
    assert again.snapshot.next_lane_id == 10, "the lane's rows may still be there"
    fresh = writing.append([b"fresh"], 1, persistent=False)
    again.write(writing.batch(fresh))
    assert again.bodies(1) == [b"kept", b"fresh"]
    again.close()
    assert_sound(tmp_path)


def test_a_second_store_on_the_same_directory_is_refused_and_touches_nothing(
    tmp_path: Path,
) -> None:
    store = opened(tmp_path)
    before = {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    program = (
        "import sys, pathlib; from amqpd.store.sqlite import SqliteStore\n"
        "SqliteStore(pathlib.Path(sys.argv[1]), print).open()"
    )

    refused = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False
    )

    assert "StoreLocked: data directory" in refused.stderr
    assert {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == before
    with pytest.raises(StoreLocked, match=r"in use by process \d+; stop it"):
        opened(tmp_path)
    store.close()
    opened(tmp_path).close()


def test_a_damaged_file_is_refused_and_the_lock_given_back(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.close()
    octets = bytearray((tmp_path / "amqpd.db").read_bytes())
    octets[100:40_000] = bytes(39_900)
    (tmp_path / "amqpd.db").write_bytes(octets)

    for _ in range(2):
        with pytest.raises(StoreDamaged, match="cannot be opened"):
            opened(tmp_path)


def test_a_batch_is_applied_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    store, writing = opened(tmp_path), Writing()
    a_queue(store, writing, 1, 2)
    first = writing.append([b"a"], 1)
    store.write(writing.batch(first))
    collides = writing.append([b"b"], 2)
    collides.run.first_id = first.run.first_id

    outcome = store.write(writing.batch(settle(first), collides))

    assert not isinstance(outcome, int)
    assert not isinstance(store.write(writing.batch()), int), "after a failure nothing is written"
    store.close()
    again = opened(tmp_path)
    assert not again.snapshot.clean
    assert again.bodies(1) == [b"a"]
    again.close()


def test_a_position_beyond_the_lanes_last_one_is_refused(tmp_path: Path) -> None:
    store, writing = opened(tmp_path, sync=False), Writing()
    a_queue(store, writing, 1, 2)
    writing.positions[1] = (1 << 40) - 2
    assert store.write(writing.batch(writing.append([b"a", b"b"], 1))) == 2

    outcome = store.write(writing.batch(writing.append([b"c"], 1)))

    assert "a lane has used up its positions" in str(outcome)
    store.close()
    again = opened(tmp_path, sync=False)
    there = [row.body for row in again.read(1, upto_position=1 << 40)]
    assert (there, again.read(2)) == ([b"a", b"b"], [])
    again.close()


@pytest.mark.slow
def test_opening_a_million_messages_after_a_kill_takes_no_longer_than_opening_none(
    tmp_path: Path,
) -> None:
    program = """
import os, pathlib, sys
from tests.store.batches import Writing, opened
from tests.store.test_sqlite import a_queue
store, writing = opened(pathlib.Path(sys.argv[1]), sync=False), Writing()
a_queue(store, writing, 1)
for _ in range(250):
    store.write(writing.batch(writing.append([bytes(128)] * 4000, 1)))
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, cwd=ROOT)
    assert (tmp_path / "amqpd.db-wal").stat().st_size > 64 << 20

    started = time.perf_counter()
    store = opened(tmp_path)
    first = store.read(1, max_messages=1000)
    took_s = time.perf_counter() - started

    assert store.snapshot.lanes[1].messages == 1_000_000
    assert len(first) == 1000
    assert took_s < 0.3
    store.close()


def test_bodies_of_every_size_come_back(tmp_path: Path) -> None:
    store, writing = opened(tmp_path, sync=False), Writing()
    a_queue(store, writing, 1)
    sizes = [0, 1, 4087, 4088, 4089, 131_064, 131_065, 523_000, 524_288, 16 << 20]
    bodies = [bytes([at]) * size for at, size in enumerate(sizes)]

    store.write(writing.batch(writing.append(bodies, 1)))

    assert store.bodies(1) == bodies
    store.close()


# -- what came back ----------------------------------------------------------------------


def positions(store: Driven, question: Counted | Delayed) -> list[int]:
    return [row[0] for row in store.returned(question).rows]


@pytest.mark.parametrize("driver", DRIVERS)
def test_how_often_messages_came_back_is_there_after_a_restart(
    tmp_path: Path, driver: Literal["apsw", "sqlite3"]
) -> None:
    store, writing = opened(tmp_path, driver), Writing()
    a_queue(store, writing, 4)
    entry = writing.append([b"%d" % at for at in range(9)], 4)
    store.write(writing.batch(entry, came_back(entry, 1, 4, 1)))
    # Six: more than are statements of their own.
    again = [came_back(entry, at, at + 1, 2, 1) for at in (2, 5, 6, 7, 8)]
    store.write(writing.batch(*again, came_back(entry, 8, 9, 3, 3)))

    store.close()
    store = opened(tmp_path, driver)

    assert store.snapshot.lanes[4].counted
    found = store.returned(Counted(4, 0, 100, 0, 100, 1 << 30))
    assert [row[0] for row in found.rows] == list(range(9))
    assert found.upto == 9
    assert found.attempts == {
        **dict.fromkeys((1, 3), Attempts(1, 0)),
        **dict.fromkeys((2, 5, 6, 7), Attempts(2, 1)),
        8: Attempts(3, 3),
    }
    store.close()
    assert_sound(tmp_path)


@pytest.mark.parametrize("driver", DRIVERS)
def test_what_waits_for_its_time_is_found_by_time_and_left_out_of_stretches(
    tmp_path: Path, driver: Literal["apsw", "sqlite3"]
) -> None:
    store, writing = opened(tmp_path, driver), Writing()
    a_queue(store, writing, 4, 5)
    entry = writing.append([b"%d" % at for at in range(6)], 4)
    other = writing.append([b"x"], 5)
    waiting = [(5, 10), (1, 20), (3, 20), (2, 30)]
    returns = [came_back(entry, at, at + 1, 1, 0, due) for at, due in waiting]
    store.write(writing.batch(entry, other, *returns, came_back(other, 0, 1, 1, 0, 5)))

    assert positions(store, Delayed(4, 9, (0, 0), 100, 1 << 30)) == [5, 1, 3, 2]
    assert positions(store, Delayed(4, 9, (20, 1), 100, 1 << 30)) == [3, 2]
    assert positions(store, Delayed(4, 9, (0, 0), 2, 1 << 30)) == [5, 1]
    assert positions(store, Delayed(4, 9, (0, 0), 100, 1)) == [5]
    assert positions(store, Delayed(4, 3, (0, 0), 100, 1 << 30)) == [1, 2]
    passed = store.returned(Counted(4, 0, 9, 20, 100, 1 << 30))
    assert [row[0] for row in passed.rows] == [0, 1, 3, 4, 5]
    assert passed.waiting == [Waiting(2, 30, 1)]
    assert (passed.upto, passed.attempts[5].due_ms) == (6, 10)
    assert store.returned(Counted(4, 2, 9, 0, 1, 1 << 30)).upto == 3
    assert store.returned(Counted(4, 6, 9, 0, 1, 1 << 30)) == Returned([], {}, (), 9)
    store.close()
    again = opened(tmp_path, driver)
    again.close()
    states = again.snapshot.lanes
    assert (states[4].delayed, states[4].delayed_bytes) == (4, 4)
    assert (states[5].delayed, states[5].delayed_bytes) == (1, 1)


def a_large_batch(writing: Writing) -> Batch:
    """More than is packed in one go."""
    return writing.batch(*[writing.append([b"x"] * 500, 1) for _ in range(10)])


def test_others_have_a_turn_while_a_large_batch_is_packed(tmp_path: Path) -> None:
    driven, writing = opened(tmp_path, sync=False), Writing()
    a_queue(driven, writing, 1)
    turns: list[str] = []
    outcome: list[object] = []

    driven.store.write(a_large_batch(writing), outcome.append)
    while not outcome:
        driven.turn()
        turns.append("somebody else")

    assert len(turns) > 5
    assert len(driven.bodies(1)) == 5000
    driven.close()


def test_a_store_that_is_closed_while_it_packs_writes_all(tmp_path: Path) -> None:
    driven, writing = opened(tmp_path, sync=False), Writing()
    a_queue(driven, writing, 1)
    outcome: list[object] = []
    driven.store.write(a_large_batch(writing), outcome.append)

    driven.close()
    while not outcome:
        driven.turn()

    again = opened(tmp_path)
    assert len(again.bodies(1)) == 5000
    again.close()


def test_a_batch_that_cannot_be_packed_is_a_failure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, writing = opened(tmp_path, sync=False), Writing()
    entry = writing.append([b"x"], 1)
    entry.run.contents[0] = b"not a content"

    outcome = store.write(writing.batch(entry))

    assert isinstance(outcome, StoreFailed)
    assert "cannot be packed" in str(outcome)
    assert "a batch cannot be packed" in caplog.text
    store.close()


@pytest.mark.parametrize("driver", DRIVERS)
def test_what_waits_is_purged_and_nothing_else(
    tmp_path: Path, driver: Literal["apsw", "sqlite3"]
) -> None:
    store, writing = opened(tmp_path, driver), Writing()
    a_queue(store, writing, 4)
    entry = writing.append([b"%d" % at for at in range(6)], 4)
    waiting = [(5, 10), (1, 20), (3, 20), (2, 30)]
    returns = [came_back(entry, at, at + 1, 1, 0, due) for at, due in waiting]
    store.write(writing.batch(entry, *returns))

    # What comes back in the same batch comes after it.
    store.write(writing.batch(PurgeDelayed(4, 5, (20, 1)), came_back(entry, 0, 1, 1, 0, 40)))

    assert positions(store, Delayed(4, 9, (0, 0), 100, 1 << 30)) == [5, 1, 0]
    assert [row.position for row in store.read(4)] == [0, 1, 4, 5]
    store.close()
    assert query(tmp_path, "SELECT messages, body_bytes FROM lane") == [(4, 4)]
    assert_sound(tmp_path)
