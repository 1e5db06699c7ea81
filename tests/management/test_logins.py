"""Sessions of the web page: whom a token stands for, and for how long."""

from __future__ import annotations

from itertools import count

import pytest

from amqpd.management.access import Caller
from amqpd.management.logins import WebSessions

LIFE_S = 3600


def sessions() -> WebSessions:
    """Sessions of users that do not change."""
    numbers = count()
    return WebSessions(lambda _: None, lambda: f"token{next(numbers)}")


@pytest.mark.parametrize(
    ("expires_at_ms", "ends_ms"),
    [
        (None, 1_000 + LIFE_S * 1_000),
        (90_000, 90_000),
        (1_000 + 2 * LIFE_S * 1_000, 1_000 + LIFE_S * 1_000),
    ],
    ids=["of a password", "of a token that ends soon", "of a token that ends late"],
)
def test_a_session_ends_in_time_and_with_the_credentials_it_was_got_with(
    expires_at_ms: int | None, ends_ms: int
) -> None:
    web, caller = sessions(), Caller("u", frozenset(), expires_at_ms=expires_at_ms)
    token = web.open(caller, 1_000, LIFE_S)

    assert web.caller(token, ends_ms - 1) is caller
    assert web.caller(token, ends_ms) is None
    assert web.caller(token, 1_000) is None, "it is gone for good"


def test_nobody_is_meant_by_a_token_that_was_never_given() -> None:
    assert sessions().caller("", 0) is None
    assert sessions().caller("token0", 0) is None
