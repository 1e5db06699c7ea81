"""Ranges: few statements for many lanes, and in the tables the same as with one for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest

from amqpd.broker.definitions import DeleteQueue, PutQueue, PutVhost
from amqpd.broker.journal import Mark
from amqpd.store import tables
from amqpd.store.packing import pack
from amqpd.store.ranges import TRANSIENT, Change, Stay, key_of, rows_of, united
from tests.store.batches import Writing, opened, settle
from tests.store.inspection import assert_sound, query

if TYPE_CHECKING:
    from pathlib import Path

    from amqpd.broker.run import Append

DRIVERS: tuple[Literal["apsw", "sqlite3"], ...] = ("apsw", "sqlite3")
Row = tuple[int, int, int, int, int | None]


def a_stay(lane: int, position: int, first_id: int, last_id: int, **others: int) -> Stay:
    """Messages of a lane from a position on."""
    shift = key_of(lane, position) - first_id
    flags, priority = others.get("flags", 0), others.get("priority", 0)
    return Stay(lane, shift, first_id, last_id, flags, priority, others.get("expires_at", 0))


def entered(stays: list[Stay]) -> list[Row]:
    """The rows of `queue_message` that the rows of these stays stand for."""
    found: list[Row] = []
    for rows in rows_of(stays, 100):
        flags, expires_at = rows.like
        for index, key in enumerate(rows.keys()):
            if key:
                level = ord(rows.levels()[(key >> 40) - rows.first_lane]) - 1
                found.append((key, rows.first_id + index, flags, level, expires_at))
    return sorted(found)


def one_by_one(stays: list[Stay]) -> list[Row]:
    """The same, each stay by itself."""
    return sorted(
        (id_ + stay.shift, id_, *stay.row()[3:])
        for stay in stays
        for id_ in range(stay.first_id, stay.last_id + 1)
    )


def test_stays_of_all_levels_are_one_list_of_keys() -> None:
    stays = [
        a_stay(9 - level, 70, 10 * level, 10 * level + 9, priority=level) for level in range(9)
    ]

    (rows,) = rows_of(stays, 1)

    assert len(rows.stays) == 9
    assert entered(stays) == one_by_one(stays)


def test_ids_that_are_missing_between_stays_have_no_key() -> None:
    stays = [a_stay(1, 0, 5, 6), a_stay(2, 9, 9, 9, priority=255), a_stay(1, 2, 40, 41)]

    (rows,) = rows_of(stays, 1)

    assert [key != 0 for key in rows.keys()[:6]] == [True, True, False, False, True, False]
    assert entered(stays) == one_by_one(stays)


@pytest.mark.parametrize(
    "other",
    [
        a_stay(2, 0, 2, 2, flags=TRANSIENT),
        a_stay(2, 0, 2, 2, expires_at=7),
        a_stay(2, 0, 1, 1),  # the same message in another lane
        a_stay(2, 0, 1000, 1000),
        a_stay(5000, 0, 2, 2),
    ],
)
def test_stays_that_differ_too_much_are_not_entered_together(other: Stay) -> None:
    stays = [a_stay(1, 0, 1, 1), other]

    assert [len(rows.stays) for rows in rows_of(stays, 2)] == [1, 1]
    assert rows_of(stays, 1) == []
    assert entered(stays) == one_by_one(stays)


def test_ranges_that_follow_on_are_one_and_those_that_are_there_twice_count_once() -> None:
    assert united([(7, 9), (1, 3), (4, 6), (4, 6), (20, 20)]) == [(1, 9), (20, 20)]


def test_two_of_the_same_values_are_equal() -> None:
    assert a_stay(1, 0, 1, 1) == a_stay(1, 0, 1, 1) != a_stay(1, 0, 1, 2)
    assert a_stay(1, 0, 1, 1) != Change()
    assert Change() == Change() != 0


def levels(writing: Writing, lanes: int, count: int) -> list[Append]:
    """Messages for each level of a queue with so many, the highest first."""
    found = []
    for level in reversed(range(lanes)):
        entry = writing.append([b"%d" % (level * 100 + one) for one in range(count)], level + 1)
        entry.targets[0].priority = level
        found.append(entry)
    return found


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("lanes", [1, 3, 5, 16, 40])
def test_messages_of_any_number_of_levels_are_in_their_lanes_and_counted(
    tmp_path: Path, driver: Literal["apsw", "sqlite3"], lanes: int
) -> None:
    store, writing = opened(tmp_path, driver, sync=False), Writing()
    queue = PutQueue("/", "q", True, False, False, {}, tuple(range(1, lanes + 1)))
    store.write(writing.batch(defines=[PutVhost("/"), queue]))
    first = levels(writing, lanes, 3)
    # One message of each was settled before it was written.
    for entry in first:
        entry.targets[0].cut(1, 2)
    store.write(writing.batch(*first, Mark(1, 2, first[-1].targets[0].home)))
    store.write(
        writing.batch(*[settle(entry, high=1) for entry in first], *levels(writing, lanes, 2))
    )
    store.close()

    rows = query(tmp_path, "SELECT key, priority FROM queue_message ORDER BY key")

    places = [(lane, at) for lane in range(1, lanes + 1) for at in (2, 3, 4)]
    assert rows == [(key_of(lane, at), lane - 1) for lane, at in places]
    counters = query(tmp_path, "SELECT next_position, messages, delivered_upto FROM lane")
    assert counters == [(5, 3, 2)] + [(5, 3, 0)] * (lanes - 1)
    assert_sound(tmp_path)


@pytest.mark.parametrize("longest", [0, 2, 3])
def test_what_is_gone_of_some_levels_is_gone_however_long_it_is(
    tmp_path: Path, longest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_LONG", longest)
    store, writing = opened(tmp_path, sync=False), Writing()
    queue = PutQueue("/", "q", True, False, False, {}, tuple(range(1, 11)))
    store.write(writing.batch(defines=[PutVhost("/"), queue]))
    entries = levels(writing, 10, 4)
    store.write(writing.batch(*entries))

    store.write(writing.batch(*[settle(entry, high=3) for entry in entries]))
    store.close()

    rows = query(tmp_path, "SELECT key FROM queue_message ORDER BY key")
    assert rows == [(key_of(lane, 3),) for lane in range(1, 11)]
    assert query(tmp_path, "SELECT count(*) FROM message") == [(10,)]
    assert_sound(tmp_path)


@pytest.mark.parametrize("lanes", [3, 10, 40])
def test_what_is_told_of_lanes_that_are_gone_makes_them_not_anew(
    tmp_path: Path, lanes: int
) -> None:
    store, writing = opened(tmp_path, sync=False), Writing()
    queue = PutQueue("/", "q", True, False, False, {}, tuple(range(1, lanes + 1)))
    store.write(writing.batch(defines=[PutVhost("/"), queue]))
    entries = levels(writing, lanes, 1)
    store.write(writing.batch(*entries))
    store.write(writing.batch(defines=[DeleteQueue("/", "q")]))
    store.write(writing.batch(*[settle(entry) for entry in entries]))
    store.close()

    assert query(tmp_path, "SELECT id FROM lane") == []


def test_a_batch_of_many_levels_has_few_ranges() -> None:
    writing = Writing()

    packed = pack(writing.batch(*levels(writing, 10, 6)))

    (rows,) = rows_of(packed.stays, 4)
    assert len(rows.keys()) == 60
