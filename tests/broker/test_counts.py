"""What passes through a lane is counted by how it went."""

from __future__ import annotations

import pytest

from amqpd.broker.counts import Counts


@pytest.mark.parametrize(
    ("settle", "redelivered", "expected"),
    [
        (False, False, (3, 0, 0)),
        (True, False, (0, 3, 0)),
        (False, True, (3, 0, 3)),
        (True, True, (0, 3, 3)),
    ],
)
def test_deliveries_count_by_whether_an_ack_follows(
    settle: bool, redelivered: bool, expected: tuple[int, int, int]
) -> None:
    counts = Counts()

    counts.out(3, settle, redelivered)

    assert (counts.delivered, counts.delivered_no_ack, counts.redelivered) == expected


@pytest.mark.parametrize(
    ("settle", "redelivered", "expected"), [(False, True, (1, 0, 1)), (True, False, (0, 1, 0))]
)
def test_gets_count_apart(settle: bool, redelivered: bool, expected: tuple[int, int, int]) -> None:
    counts = Counts()

    counts.get(settle, redelivered)

    found = (counts.got, counts.got_no_ack, counts.redelivered)
    assert (*found, counts.delivered) == (*expected, 0)
