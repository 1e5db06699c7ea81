"""Backoff: how long messages wait that came back, and what they themselves ask for."""

from __future__ import annotations

import pytest

from amqpd.broker.arguments import MAX_TTL_MS, DelayedRetry, QueueArguments
from amqpd.broker.backoff import Own, alike, delay_ms, delays, own_of
from amqpd.broker.content import build
from amqpd.broker.run import Run
from amqpd.broker.stretch import Stretch
from amqpd.fields import table
from amqpd.properties import Properties, encode_header


def middle(below: int) -> int:
    return below // 2


def waits(failed: int, **arguments: object) -> int:
    return delay_ms(QueueArguments(**arguments), failed, middle)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "failed", "returned"),
    [
        (DelayedRetry.DISABLED, False, False),
        (DelayedRetry.ALL, True, True),
        (DelayedRetry.FAILED, True, False),
        (DelayedRetry.RETURNED, False, True),
    ],
)
def test_the_kind_says_which_returns_wait(kind: DelayedRetry, failed: bool, returned: bool) -> None:
    assert delays(kind, failed=True) == failed
    assert delays(kind, failed=False) == returned


def test_the_delay_is_linear_up_to_the_greatest() -> None:
    arguments = {"delayed_retry_min_ms": 100, "delayed_retry_max_ms": 250}

    assert [waits(failed, **arguments) for failed in (0, 1, 2, 3, 9)] == [100, 100, 200, 250, 250]


def test_without_a_greatest_delay_it_stays_the_least_one() -> None:
    assert [waits(failed, delayed_retry_min_ms=100) for failed in (1, 2, 9)] == [100, 100, 100]


def test_a_policy_without_a_least_delay_delays_nothing() -> None:
    assert waits(1) == 0


def test_a_multiplier_lets_it_grow_by_powers() -> None:
    arguments = {"delayed_retry_min_ms": 100, "delayed_retry_multiplier": 2.0}

    assert [waits(failed, **arguments) for failed in (1, 2, 5)] == [100, 200, 1600]
    assert waits(5, delayed_retry_max_ms=1000, **arguments) == 1000
    assert waits(200, **arguments) == waits(20_000, **arguments) == MAX_TTL_MS


def test_levels_name_each_delay() -> None:
    arguments = {"delayed_retry_levels_ms": (10, 500, 70)}

    assert [waits(failed, **arguments) for failed in (0, 1, 2, 3, 4)] == [10, 10, 500, 70, 70]


def test_jitter_moves_it_by_a_random_part_within_the_greatest() -> None:
    arguments = QueueArguments(
        delayed_retry_min_ms=1000, delayed_retry_max_ms=1200, delayed_retry_jitter=0.5
    )

    assert delay_ms(arguments, 1, lambda below: 0) == 500
    assert delay_ms(arguments, 1, middle) == 1000
    assert delay_ms(arguments, 1, lambda below: below - 1) == 1200
    tiny = QueueArguments(delayed_retry_min_ms=1, delayed_retry_jitter=1.0)
    assert delay_ms(tiny, 1, lambda below: 0) == 1


# -- what messages ask for ---------------------------------------------------------------


def a_message(**headers: object) -> bytes:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    properties = Properties(headers=table(named) if named else None)  # type: ignore[arg-type]
    return build(1, encode_header(properties, 1), b"m")


@pytest.mark.parametrize(
    ("headers", "own"),
    [
        ({}, Own()),
        ({"x_delivery_limit": 3}, Own(3)),
        ({"MAX-RECONSUME-TIMES": 3}, Own()),
        ({"x_retry_delay": 50}, Own(None, 50)),
        ({"x_retry_delay": "50", "x_delivery_limit": "0"}, Own(0, 50)),
        ({"x_retry_delay": -1, "x_delivery_limit": "often"}, Own()),
        ({"x_retry_delay": True, "x_delivery_limit": 1.5}, Own()),
        ({"x_retry_delay": 1 << 60}, Own(None, MAX_TTL_MS)),
    ],
)
def test_a_message_may_ask_for_a_limit_and_a_delay(headers: dict[str, object], own: Own) -> None:
    assert own_of(a_message(**headers)) == own


def test_of_two_limits_the_lower_counts() -> None:
    properties = Properties(headers=table({"MAX_RECONSUME_TIMES": "2", "x-delivery-limit": 5}))

    assert own_of(build(1, encode_header(properties, 0), b"")) == Own(2)


def a_stretch(*contents: bytes) -> Stretch:
    run = Run(list(contents), b"\x00\x01q", None, True, 1, sum(map(len, contents)))
    return Stretch(run, 7, 0, len(contents), 0, False, 3, 1)


def test_neighbours_that_ask_for_the_same_stay_together() -> None:
    plain, slow = a_message(), a_message(x_retry_delay=9)
    stretch = a_stretch(plain, plain, slow, slow, plain)

    parts = list(alike(stretch, singly=False))

    assert [(part.position, part.hi - part.lo, own.delay_ms) for part, own in parts] == [
        (7, 2, None),
        (9, 2, 9),
        (11, 1, None),
    ]
    assert all((part.acquired, part.failed) == (3, 1) for part, _ in parts)


def test_a_stretch_that_need_not_be_divided_stays_the_same() -> None:
    stretch = a_stretch(a_message(), a_message())

    assert [part for part, _ in alike(stretch, singly=False)] == [stretch]
    assert [part.position for part, _ in alike(stretch, singly=True)] == [7, 8]
