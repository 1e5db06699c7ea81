"""Stretches: in the order of their positions, and when their messages expire."""

from __future__ import annotations

import pytest

from amqpd.broker.content import build
from amqpd.broker.run import Run
from amqpd.broker.stretch import Stretch, in_order, merged, place
from amqpd.properties import Properties, encode_header


def a_run(messages: int) -> Run:
    content = build(1, encode_header(Properties(), 0), b"")
    return Run([content] * messages, b"", None, False, 1, messages * len(content))


def at(*positions: int) -> list[Stretch]:
    """Stretches of one message each."""
    run = a_run(1)
    return [Stretch(run, position, 0, 1, 0, False) for position in positions]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([], []),
        ([1, 2], []),
        ([], [1, 2]),
        ([1, 3, 5], [2, 4]),
        ([1, 2], [3, 4]),
        ([3, 4], [1, 2]),
        ([2], [1, 3]),
        ([1, 4, 5], [2, 3]),
    ],
)
def test_two_orders_become_one_without_loss(first: list[int], second: list[int]) -> None:
    both = merged(at(*first), at(*second))

    assert [place(one) for one in both] == sorted(first + second)
    assert in_order(both)


@pytest.mark.parametrize(
    ("positions", "ordered"), [([], True), ([7], True), ([1, 2, 9], True), ([1, 3, 2], False)]
)
def test_an_order_is_told_from_none(positions: list[int], ordered: bool) -> None:
    assert in_order(at(*positions)) is ordered


@pytest.mark.parametrize(
    ("low", "high", "earliest"), [(0, 4, 20), (0, 1, 50), (1, 2, 0), (1, 3, 20), (3, 4, 30)]
)
def test_the_first_deadline_is_that_of_its_part(low: int, high: int, earliest: int) -> None:
    run = a_run(4)
    stretch = Stretch(run, 10, 0, 4, 77, False)
    assert stretch.earliest(low, high) == 77

    run.deadlines = [50, 0, 20, 30]

    assert stretch.earliest(low, high) == earliest
