"""Detection: what looks like an attack, and what does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpd.server import detection
from amqpd.server.detection import BURST, DENIALS, GUESSES, SILENCE_S, Alert, Detection

if TYPE_CHECKING:
    import pytest


def test_many_failures_of_one_source_are_a_burst_and_told_once() -> None:
    watch = Detection()

    alerts = [watch.login_failed(f"u{n % 4}", "192.0.2.1", n) for n in range(BURST + 10)]

    assert [len(one) for one in alerts] == [0] * (BURST - 1) + [1] + [0] * 10
    (alert,) = alerts[BURST - 1]
    assert alert == Alert(
        "login-burst", "192.0.2.1", f"{BURST} logins failed within a minute, for 4 users"
    )


def test_it_is_told_again_after_a_while() -> None:
    watch = Detection()
    for at in (0.0, SILENCE_S + 1):
        alerts = [watch.login_failed("u", "192.0.2.1", at) for _ in range(BURST)]
        assert len(alerts[-1]) == 1


def test_what_goes_on_is_told_again_and_again_but_seldom() -> None:
    watch = Detection()

    alerts = [watch.login_failed("u", "192.0.2.1", n) for n in range(int(3 * SILENCE_S))]

    told = [at for at, one in enumerate(alerts) if one]
    assert told == [BURST - 1 + int(SILENCE_S) * turn for turn in range(3)]


def test_slow_failures_are_none() -> None:
    watch = Detection()

    assert not any(watch.login_failed("u", "192.0.2.1", 10.0 * n) for n in range(200))


def test_one_user_guessed_from_many_places_is_told() -> None:
    watch = Detection()

    alerts = [
        alert
        for number in range(BURST)
        for alert in watch.login_failed("admin", f"192.0.2.{number % 5}", 1.0)
    ]

    assert [alert.rule for alert in alerts] == ["login-spread"]
    assert alerts[0].name == "admin"


def test_a_login_after_many_failures_may_have_been_guessed() -> None:
    watch = Detection()
    for _ in range(GUESSES):
        watch.login_failed("u", "192.0.2.1", 1.0)

    assert watch.login_succeeded("u", "192.0.2.2", 2.0) == []
    (alert,) = watch.login_succeeded("u", "192.0.2.1", 2.0)
    assert alert.rule == "guessed"
    assert watch.login_succeeded("u", "192.0.2.1", 3.0) == []


def test_many_denials_of_one_user_are_told() -> None:
    watch = Detection()

    alerts = [alert for n in range(DENIALS + 5) for alert in watch.denied("u", n / 10)]

    assert alerts == [Alert("denials", "u", f"{DENIALS} denials within a minute")]


def test_what_is_watched_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detection, "MOST_WATCHED", 3)
    watch = Detection()

    for number in range(100):
        for _ in range(DENIALS):
            watch.login_failed(f"u{number}", f"s{number}", 1.0)
            watch.denied(f"u{number}", 1.0)

    for window in (watch._by_source, watch._by_user, watch._by_both, watch._denials):
        assert len(window._events) <= 3
    assert len(watch._told) <= 3
