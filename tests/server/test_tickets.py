"""Tickets: good for a minute, for one user of this machine, and never very many."""

from __future__ import annotations

from amqpd.broker.permissions import ADMINISTRATOR
from amqpd.server.tickets import LIFE_S, MOST, Tickets


class Clock:
    """Seconds that the test counts."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_ticket_is_its_users_for_a_minute() -> None:
    clock = Clock()
    tickets = Tickets(clock)
    password = tickets.issue("root")

    found = tickets.find("local user root", password)
    assert found is not None
    assert (found.name, found.tags) == ("local user root", frozenset({ADMINISTRATOR}))
    assert tickets.find("local user amqpd", password) is None
    assert tickets.find("root", password) is None
    for wrong in (password[:-1], "", "größer", "\udcff"):
        assert tickets.find("local user root", wrong) is None

    clock.now_s = LIFE_S
    assert tickets.find("local user root", password) is None


def test_the_oldest_of_too_many_ends() -> None:
    tickets = Tickets(Clock())

    issued = [tickets.issue("root") for _ in range(MOST + 1)]

    found = [tickets.find("local user root", one) is not None for one in issued]
    assert found == [False] + [True] * MOST
