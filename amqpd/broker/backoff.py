"""Backoff: how long a message that came back has to wait, and how often it may fail.

RabbitMQ's rule is linear: the least delay times the failed attempts, up to the greatest delay.
Ours beside it: a multiplier above 1 makes it grow by powers, levels name each delay, jitter
moves it by a random part of itself. A message may have its own in the headers
`x-delivery-limit` (or `MAX_RECONSUME_TIMES`; the lower one counts) and `x-retry-delay`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from amqpd.broker.arguments import MAX_TTL_MS, DelayedRetry
from amqpd.broker.content import first_with, header_payload
from amqpd.broker.stretch import Stretch
from amqpd.properties import decode_header

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from amqpd.broker.arguments import QueueArguments
    from amqpd.fields import Table

LIMIT_HEADERS: Final = ("x-delivery-limit", "MAX_RECONSUME_TIMES")
DELAY_HEADER: Final = "x-retry-delay"
#: What tells, without decoding anything, that a message may have one of them.
_MARKS: Final = (b"\x10x-delivery-limit", b"\x13MAX_RECONSUME_TIMES", b"\x0dx-retry-delay")
_FINE: Final = 1_000


class Own(NamedTuple):
    """What a message itself asks for; None: nothing."""

    limit: int | None = None
    delay_ms: int | None = None


NOTHING: Final = Own()


def delays(kind: DelayedRetry, *, failed: bool) -> bool:
    """Whether messages that came back in this way have to wait."""
    if kind is DelayedRetry.ALL:
        return True
    return kind is (DelayedRetry.FAILED if failed else DelayedRetry.RETURNED)


def delay_ms(arguments: QueueArguments, failed: int, chance: Callable[[int], int]) -> int:
    """How long a message has to wait that has failed so many times; 0: not at all."""
    least, most = arguments.delayed_retry_min_ms, arguments.delayed_retry_max_ms
    attempt, levels = max(1, failed), arguments.delayed_retry_levels_ms
    if levels:
        delay = levels[min(attempt, len(levels)) - 1]
    elif least is None:
        return 0
    elif arguments.delayed_retry_multiplier > 1:
        delay = _grown(least, arguments.delayed_retry_multiplier, attempt)
    else:
        # RabbitMQ's: without a greatest delay it stays the least one.
        delay = min(least * attempt, least if most is None else most)
    jitter = arguments.delayed_retry_jitter
    if jitter:
        delay += int(delay * jitter * (chance(2 * _FINE + 1) - _FINE) / _FINE)
    return max(1, min(delay, MAX_TTL_MS if most is None else most))


def _grown(least: int, multiplier: float, attempt: int) -> int:
    try:
        return min(int(least * multiplier ** (attempt - 1)), MAX_TTL_MS)
    except OverflowError:
        return MAX_TTL_MS


def alike(piece: Stretch, *, singly: bool) -> Iterator[tuple[Stretch, Own]]:
    """Parts of a stretch whose messages ask for the same; `singly`: one by one."""
    contents = piece.run.contents
    low, high = int(piece.lo), int(piece.hi)
    while low < high:
        index = low if singly else int(first_with(contents, low, high, _MARKS))
        own = NOTHING
        if index == low:
            own, index = own_of(contents[low]), low + 1
            while not singly and index < high and own_of(contents[index]) == own:
                index += 1
        yield _part(piece, low, index), own
        low = index


def _part(piece: Stretch, low: int, high: int) -> Stretch:
    if low == piece.lo and high == piece.hi:
        return piece
    part = Stretch(
        piece.run,
        piece.base,
        low,
        high,
        piece.earliest(low, high),
        piece.redelivered,
        piece.acquired,
        piece.failed,
    )
    part.tag = piece.tag + (low - piece.lo)
    return part


def own_of(content: bytes) -> Own:
    """What a message asks for in its headers."""
    header = header_payload(content)
    if not any(mark in header for mark in _MARKS):
        return NOTHING
    headers = decode_header(header)[2].headers or {}
    limits = [limit for name in LIMIT_HEADERS if (limit := _number(headers, name)) is not None]
    return Own(min(limits, default=None), _number(headers, DELAY_HEADER))


def _number(headers: Table, name: str) -> int | None:
    """A number that makes sense, or none: nobody is told here that it does not."""
    field = headers.get(name)
    if field is None:
        return None
    value = field.value
    if isinstance(value, str) and value.isdecimal() and len(value) < 16:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        return None
    return min(value, MAX_TTL_MS)
