"""`expiration`: see tests/wire/test_publish.py for RabbitMQ's texts."""

from __future__ import annotations

import pytest

from amqpd.broker.expiration import parse_expiration
from amqpd.errors import PreconditionFailed


@pytest.mark.parametrize("text", ["0", "1", "+5", "-0", "315360000000"])
def test_milliseconds_up_to_ten_years_are_taken(text: str) -> None:
    assert parse_expiration(text) == int(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no_integer"),
        ("soon", "no_integer"),
        ("++1", "no_integer"),
        ("1s", 'leftover_string,"s"'),
        ("-1", "value_negative,-1"),
        ("315360000001", "value_too_large"),
        ("9" * 40, "value_too_large"),
    ],
)
def test_anything_else_is_refused(text: str, reason: str) -> None:
    with pytest.raises(PreconditionFailed, match=reason):
        parse_expiration(text)
