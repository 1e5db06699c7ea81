"""The property `expiration` of a message: a number of milliseconds, as text."""

from __future__ import annotations

from typing import Final

from amqpd.errors import PreconditionFailed

#: Ten years: what RabbitMQ takes for a message's time to live.
_MAX_EXPIRATION_MS: Final = 315_360_000_000


def parse_expiration(text: str) -> int:
    """A message's time to live in milliseconds.

    Raises:
        PreconditionFailed: it is not a number of milliseconds up to ten years.
    """
    digits = text.lstrip("+-")
    sign = text[: len(text) - len(digits)]
    number = digits[: len(digits) - len(digits.lstrip("0123456789"))]
    if not number or len(sign) > 1:
        reason = "no_integer"
    elif number != digits:
        reason = f'{{leftover_string,"{digits[len(number) :]}"}}'
    elif sign == "-" and number.strip("0"):
        reason = f"{{value_negative,-{number}}}"
    elif len(number) > len(str(_MAX_EXPIRATION_MS)) or int(number) > _MAX_EXPIRATION_MS:
        reason = f"{{value_too_large,{number}}}"
    else:
        return int(number)
    raise PreconditionFailed(f"invalid expiration '{text}': {reason}")
