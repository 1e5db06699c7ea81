"""Attempts to log in."""

from __future__ import annotations

from amqpd.broker.logins import MOST, LoginAttempts


def test_attempts_are_counted_by_protocol_and_by_source() -> None:
    logins = LoginAttempts()
    logins.add("http", "::1", "guest", succeeded=True)
    logins.add("amqp091", "::1", "guest", succeeded=True)
    logins.add("amqp091", "::1", "guest", succeeded=False)
    logins.add("amqp091", "::2", "guest", succeeded=False)

    by_protocol = {name: (one.total, one.failed) for name, one in logins.by_protocol()}
    by_source = {source: one.succeeded for source, one in logins.by_source()}

    assert by_protocol == {"amqp091": (3, 2), "http": (1, 0)}
    assert by_source == {
        ("::1", "guest", "amqp091"): 1,
        ("::1", "guest", "http"): 1,
        ("::2", "guest", "amqp091"): 0,
    }
    logins.reset()
    assert not list(logins.by_protocol())
    assert not list(logins.by_source())


def test_sources_are_remembered_up_to_a_bound() -> None:
    logins = LoginAttempts()
    for number in range(MOST + 1):
        logins.add("http", "::1", f"user{number}", succeeded=False)

    assert len(list(logins.by_source())) == MOST
    assert next(logins.by_protocol())[1].failed == MOST + 1
