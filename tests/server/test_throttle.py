"""Throttle: who is slowed down, for how long, and who never is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpd.server import throttle
from amqpd.server.throttle import FAILURES_PER_MINUTE, FORGET_S, Throttle

if TYPE_CHECKING:
    import pytest

A, B = "192.0.2.7", "192.0.2.8"


def test_delays_double_up_to_a_limit() -> None:
    slow = Throttle(1)

    delays = [slow.failed("u", A, second) for second in range(0, 7 * 40, 40)]

    assert delays == [1, 2, 4, 8, 16, 30, 30]


def test_while_an_answer_is_delayed_nothing_else_is_looked_at() -> None:
    slow = Throttle(1)
    slow.failed("u", A, 0.0)
    slow.failed("u", A, 1.0)

    assert slow.locked_s("u", A, 1.0) == 2.0
    assert slow.locked_s("u", A, 2.5) == 0.5
    assert slow.locked_s("u", A, 3.0) == 0.0


def test_locks_are_per_user_and_source() -> None:
    slow = Throttle(1)
    slow.failed("u", A, 0.0)

    assert slow.locked_s("u", A, 0.0) == 1.0
    assert slow.locked_s("u", B, 0.0) == 0.0
    assert slow.locked_s("v", A, 0.0) == 0.0


def test_one_network_of_ipv6_is_one_source() -> None:
    slow = Throttle(1)
    slow.failed("u", "2001:db8::1", 0.0)

    assert slow.locked_s("u", "2001:db8::ffff", 0.0) == 1.0
    assert slow.locked_s("u", "2001:db8:0:1::1", 0.0) == 0.0
    assert slow.locked_s("u", "::ffff:192.0.2.7", 0.0) == 0.0


def test_a_success_ends_the_delays() -> None:
    slow = Throttle(1)
    slow.failed("u", A, 0.0)

    slow.succeeded("u", A)

    assert slow.locked_s("u", A, 0.0) == 0.0
    assert slow.failed("u", A, 0.0) == 1


def test_failures_are_forgotten_after_a_while() -> None:
    slow = Throttle(1)
    slow.failed("u", A, 0.0)
    slow.failed("u", A, 1.0)

    assert slow.failed("u", A, 1.0 + FORGET_S) == 1


def test_a_source_that_tries_many_users_is_locked_for_all_it_never_was() -> None:
    slow = Throttle(1)
    slow.succeeded("home", A)
    for number in range(FAILURES_PER_MINUTE):
        slow.failed(f"u{number}", A, 0.0)

    assert slow.locked_s("other", A, 0.0) == 6.0
    assert slow.locked_s("other", A, 3.0) == 3.0
    assert slow.locked_s("other", A, 6.0) == 0.0
    assert slow.locked_s("home", A, 0.0) == 0.0
    assert slow.locked_s("other", B, 0.0) == 0.0


def test_a_source_that_was_quiet_for_long_has_no_more_failures_left_than_others() -> None:
    slow = Throttle(1)
    slow.failed("first", A, 0.0)

    for number in range(FAILURES_PER_MINUTE):
        slow.failed(f"u{number}", A, 3600.0)

    assert slow.locked_s("other", A, 3600.0) == 6.0


def test_who_fails_in_its_own_name_locks_the_source_for_others_no_longer_for_it() -> None:
    slow = Throttle(1)
    slow.succeeded("home", A)

    for _ in range(3 * FAILURES_PER_MINUTE):
        slow.failed("home", A, 0.0)

    assert slow.locked_s("other", A, 0.0) == 6.0


def test_this_machine_is_never_slowed_down() -> None:
    slow = Throttle(1)

    for host in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
        assert slow.failed("u", host, 0.0) == 0
        assert slow.locked_s("u", host, 0.0) == 0


def test_it_can_be_turned_off() -> None:
    slow = Throttle(0)

    assert slow.failed("u", A, 0.0) == 0
    assert slow.locked_s("u", A, 0.0) == 0


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "MOST_REMEMBERED", 2)
    slow = Throttle(1)

    for user in "abc":
        slow.failed(user * 100_000, A, 0.0)
        slow.succeeded(user, B)

    assert slow.failed("c" * 100_000, A, 0.0) == 2
    assert slow.failed("a" * 100_000, A, 0.0) == 1
    assert slow.locked_s("c" * 100_000, A, 0.0) == 2.0
    assert max(len(user) for user, _ in slow._failures) == throttle.NAME_LENGTH
    assert len(slow._at_home) == 2
