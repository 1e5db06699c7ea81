"""Timers: what falls due, in the order of time."""

from __future__ import annotations

from amqpd.broker.timers import Timers


def test_nothing_is_due_in_the_beginning() -> None:
    timers = Timers()

    timers.tick(1_000_000)

    assert len(timers) == 0
    assert timers.next_ms is None


def test_calls_are_made_in_the_order_of_their_time_then_of_arrival() -> None:
    timers = Timers()
    made: list[tuple[str, int]] = []
    for name, when_ms in (("c", 30), ("a", 10), ("b", 10)):
        timers.at(when_ms, lambda now_ms, name=name: made.append((name, now_ms)))  # type: ignore[misc]

    timers.tick(9)
    assert made == []
    assert timers.next_ms == 10
    timers.tick(20)
    assert made == [("a", 20), ("b", 20)]
    timers.tick(30)

    assert made[2:] == [("c", 30)]


def test_one_tick_makes_a_bounded_number_of_calls() -> None:
    timers = Timers()
    made: list[int] = []
    for _ in range(5):
        timers.at(1, made.append)

    timers.tick(1, most=3)

    assert len(made) == 3
    assert len(timers) == 2
    timers.tick(1, most=3)
    assert len(made) == 5


def test_what_a_call_sets_up_for_now_is_made_in_the_same_tick() -> None:
    timers = Timers()
    made: list[int] = []
    timers.at(5, lambda now_ms: timers.at(now_ms, made.append))

    timers.tick(7)

    assert made == [7]
