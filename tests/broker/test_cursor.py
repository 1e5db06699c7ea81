"""Cursors: how far consumers are, the tail they share, and what is read ahead for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpd.broker.cursor import (
    AT_ONCE,
    KEPT_BYTES,
    LEAST_BYTES,
    READ_BYTES,
    Cursor,
    Progress,
    ReadAhead,
    Tail,
)
from amqpd.broker.ring import Subscription
from amqpd.broker.run import Run
from amqpd.broker.stretch import Stretch
from tests.broker.model import FakeConsumer

if TYPE_CHECKING:
    from collections.abc import Callable


def a_stretch(base: int, count: int, size_bytes: int = 100) -> Stretch:
    content = bytes(11) + (0).to_bytes(8) + bytes(4)
    run = Run([content] * count, b"", None, True, 1, size_bytes)
    return Stretch(run, base, 0, count, 0, False)


def a_cursor(offset: int = 0) -> Cursor:
    consumer = FakeConsumer()
    subscription = Subscription(consumer, 0, lambda _: None, lambda _: None)
    return Cursor(consumer, subscription, offset, None, None)


def ahead(cursor: Cursor, *stretches: Stretch) -> None:
    for stretch in stretches:
        cursor.ahead.append(stretch)
        cursor.ahead_bytes += stretch.run.size_bytes


# -- progress ------------------------------------------------------------------------------


def test_progress_moves_with_what_is_settled_in_order() -> None:
    progress = Progress("me")
    progress.give(5, 8)
    progress.give(8, 10)

    assert progress.settle(5, 6)
    assert progress.offset == 6
    assert progress.settle(6, 10)
    assert progress.offset == 10
    assert progress.is_done


def test_progress_waits_for_what_was_left_out() -> None:
    progress = Progress("me")
    progress.give(0, 10)

    assert not progress.settle(4, 6)
    assert not progress.settle(2, 4)
    assert progress.offset == -1
    assert progress.settle(0, 2)
    assert progress.offset == 6
    assert not progress.is_done


def test_progress_goes_over_what_was_not_for_this_consumer() -> None:
    progress = Progress("me")
    progress.give(0, 1)
    progress.give(5, 6)

    assert progress.settle(0, 1)
    assert progress.offset == 5
    assert progress.settle(5, 6)
    assert progress.offset == 6


def test_progress_ends_at_what_is_given_back() -> None:
    progress = Progress("me")
    progress.give(0, 10)
    progress.give(20, 30)
    progress.settle(25, 30)

    progress.give_back(5)

    assert progress.settle(0, 5)
    assert progress.offset == 5
    assert progress.is_done
    progress.give(30, 40)
    assert not progress.settle(30, 40)
    assert not progress.settle(20, 25)
    assert progress.offset == 5


def test_what_is_given_back_later_counts_if_it_is_earlier() -> None:
    progress = Progress("me")
    progress.give(0, 10)

    progress.give_back(8)
    progress.give_back(2)
    progress.give_back(5)

    progress.settle(0, 2)
    assert progress.offset == 2
    assert progress.is_done


# -- cursors -------------------------------------------------------------------------------


def test_a_cursor_finds_what_was_read_ahead() -> None:
    cursor = a_cursor()
    first, second = a_stretch(10, 5), a_stretch(15, 5)
    ahead(cursor, first, second)

    assert cursor.find(12) is first
    assert cursor.find(15) is second
    assert cursor.ahead_bytes == 100
    assert cursor.find(20) is None
    assert cursor.ahead_bytes == 0


def test_a_cursor_skips_a_hole() -> None:
    cursor = a_cursor()
    behind = a_stretch(15, 5)
    ahead(cursor, behind)

    assert cursor.find(12) is behind


def test_where_a_cursor_is_read_up_to() -> None:
    cursor = a_cursor(offset=3)
    assert cursor.ahead_upto == 3

    ahead(cursor, a_stretch(3, 5), a_stretch(8, 2))

    assert cursor.ahead_upto == 10
    cursor.give_up()
    assert cursor.ahead_upto == 3
    assert cursor.ahead_bytes == 0


# -- reading ahead -------------------------------------------------------------------------


def test_few_reads_are_under_way_at_a_time() -> None:
    read_ahead, begun = ReadAhead(), list[int]()

    def read(number: int) -> Callable[[], None]:
        return lambda: begun.append(number)

    for number in range(AT_ONCE + 3):
        read_ahead.ask(read(number))

    assert begun == list(range(AT_ONCE))
    read_ahead.answered()
    read_ahead.answered()
    assert begun == list(range(AT_ONCE + 2))
    for _ in range(AT_ONCE + 1):
        read_ahead.answered()
    read_ahead.ask(read(99))
    assert begun[-2:] == [AT_ONCE + 2, 99]


def test_a_share_is_smaller_the_more_there_are() -> None:
    read_ahead = ReadAhead()

    assert read_ahead.share_bytes == READ_BYTES
    assert read_ahead.tail_bytes == KEPT_BYTES
    read_ahead.users = 100
    assert read_ahead.share_bytes == ReadAhead.MOST_BYTES // 200
    assert read_ahead.tail_bytes == ReadAhead.MOST_BYTES // 200
    read_ahead.users = 100_000
    assert read_ahead.share_bytes == LEAST_BYTES


def test_who_was_not_served_for_long_gives_up_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ReadAhead, "MOST_BYTES", 250)
    read_ahead = ReadAhead()
    one, two, three = a_cursor(), a_cursor(), a_cursor()
    for cursor in (one, two):
        ahead(cursor, a_stretch(0, 1))
        read_ahead.hold(cursor)
    read_ahead.hold(one)  # it was served again

    ahead(three, a_stretch(0, 1))
    read_ahead.hold(three)

    assert [bool(each.ahead) for each in (one, two, three)] == [True, False, True]
    one.give_up()
    read_ahead.hold(one)
    ahead(two, a_stretch(0, 1))
    read_ahead.hold(two)
    assert two.ahead
    assert three.ahead


def test_one_cursor_may_hold_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ReadAhead, "MOST_BYTES", 250)
    read_ahead, cursor = ReadAhead(), a_cursor()
    ahead(cursor, a_stretch(0, 1, size_bytes=1000))

    read_ahead.hold(cursor)

    assert cursor.ahead


# -- the tail ------------------------------------------------------------------------------


def a_tail() -> Tail:
    tail = Tail()
    for base in (10, 15, 20, 25):
        tail.push(a_stretch(base, 5))
    return tail


def test_the_tail_finds_the_stretch_of_an_offset() -> None:
    tail = a_tail()

    for offset, base in ((10, 10), (14, 10), (15, 15), (29, 25)):
        found = tail.find(offset)
        assert found is not None
        assert found.base == base
    assert tail.find(9) is None


@pytest.mark.parametrize(
    ("below", "most_bytes", "upto", "base"),
    [
        (10, 1000, 30, 10),
        (15, 1000, 30, 15),
        (19, 1000, 30, 15),
        (10, 200, 30, 20),
        (10, 0, 20, 20),
        (25, 0, 25, 25),
    ],
)
def test_the_tail_is_cut_where_it_is_seen_or_too_long(
    below: int, most_bytes: int, upto: int, base: int
) -> None:
    tail = a_tail()

    tail.drop(below, most_bytes, upto)

    assert tail.base == base
    assert tail.size_bytes == (30 - base) // 5 * 100


def test_a_tail_may_be_empty() -> None:
    tail = a_tail()

    tail.drop(30, 0, 30)

    assert not tail
    assert tail.find(12) is None
    assert tail.size_bytes == 0
