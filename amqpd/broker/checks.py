"""Checks of single arguments: is a value what it must be?

    Check = (value, all arguments) -> what is wrong, or None
    anything an_integer a_text a_boolean a_switch a_max_age a_placement_tag a_stream_offset
    a_list_of_durations
    between(lowest, highest, excess) one_of(words, wrong) a_decimal(lowest, highest)
                                                                  make a check
    unacceptable(value) is_text(value) number_of(value) interval_ms(text) decimal(value)
    durations_ms(text)

What is wrong is told as an Erlang term, because RabbitMQ's texts end with one:
`invalid arg 'x-expires' for queue 'q' in vhost '/': {value_zero,0}`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from amqpd.broker.text import erlang, term
from amqpd.fields import type_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from amqpd.fields import Field, FieldValue, Table

    Check = Callable[[Field, Table], str | None]

_INTEGERS: Final = frozenset("bBsuIil")
_MAX_AGE: Final = re.compile(r"([0-9]+)([YMDhms])", re.ASCII)
_UNITS_MS: Final[Mapping[str, int]] = {
    "Y": 365 * 86_400_000,
    "M": 30 * 86_400_000,
    "D": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1000,
}
_DURATION: Final = re.compile(r"([0-9]{1,12})(ms|s|m|h|d)", re.ASCII)
_DURATIONS_MS: Final[Mapping[str, int]] = {
    "ms": 1,
    "s": 1000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
}
MAX_DURATIONS: Final = 64


def unacceptable(value: Field) -> str:
    """A value of the wrong type."""
    return f"{{unacceptable_type,{type_name(value)}}}"


def is_text(value: Field) -> bool:
    """Whether it is text, and not octets that only say so."""
    return value.kind == "S" and isinstance(value.value, str)


def anything(value: Field, arguments: Table) -> str | None:
    """Kept, and of no effect."""
    return None


def an_integer(value: Field, arguments: Table) -> str | None:
    """An integer of any width."""
    if value.kind not in _INTEGERS:
        return f'"expected integer, got {type_name(value)}"'
    return None


def between(lowest: int, highest: int | None, excess: str = "value_too_large") -> Check:
    """An integer of at least 0 or 1, and at most `highest`."""

    def check(value: Field, arguments: Table) -> str | None:
        number = value.value
        if value.kind not in _INTEGERS or not isinstance(number, int):
            return an_integer(value, arguments)
        if number < 0:
            return f"{{value_negative,{number}}}"
        if number < lowest:
            return f"{{value_zero,{number}}}"
        if highest is not None and number > highest:
            return f"{{{excess},{number}}}"
        return None

    return check


def one_of(words: Iterable[str], wrong: str) -> Check:
    """One of some words."""
    known = frozenset(str(each) for each in words)

    def check(value: Field, arguments: Table) -> str | None:
        if value.kind != "S":
            return unacceptable(value)
        return None if value.value in known else wrong

    return check


def a_decimal(lowest: float, highest: float) -> Check:
    """A number between two others, fractions included; as text, too."""

    def check(value: Field, arguments: Table) -> str | None:
        if value.kind not in _INTEGERS and value.kind not in ("S", "f", "d"):
            return unacceptable(value)
        number = decimal(value.value)
        if number is None:
            return f"{{not_a_number,{term(value.value)}}}"
        if not lowest <= number <= highest:
            return f"{{not_between,{lowest:g},{highest:g}}}"
        return None

    return check


def a_list_of_durations(value: Field, arguments: Table) -> str | None:
    """One after the other, such as `1s 10s 1m`."""
    if not is_text(value):
        return unacceptable(value)
    return None if durations_ms(value.value) else "invalid_durations"


def a_text(value: Field, arguments: Table) -> str | None:
    """Text, such as the name of an exchange."""
    return None if is_text(value) else unacceptable(value)


def a_boolean(value: Field, arguments: Table) -> str | None:
    """True or false."""
    return None if value.kind == "t" else unacceptable(value)


def a_switch(value: Field, arguments: Table) -> str | None:
    """True or false, or the words for them, which LavinMQ takes, too."""
    return None if value.kind == "t" or value.value in ("true", "false") else unacceptable(value)


def a_max_age(value: Field, arguments: Table) -> str | None:
    """How old messages of a stream may get: `7D`."""
    if value.kind != "S":
        return unacceptable(value)
    return "invalid_max_age" if interval_ms(value.value) is None else None


def a_placement_tag(value: Field, arguments: Table) -> str | None:
    """Any text but none."""
    if value.kind != "S":
        return unacceptable(value)
    return None if value.value else "invalid_member_placement_tag_arg"


def a_stream_offset(value: Field, arguments: Table) -> str | None:
    """Where to begin in a stream: a word, an offset, a time, an interval back."""
    if value.kind == "T" or value.kind in _INTEGERS:
        return None
    words = value.value in ("first", "last", "next") or interval_ms(value.value) is not None
    if value.kind == "S" and words:
        return None
    shown = erlang(value.value) if isinstance(value.value, str) else term(value.value)
    return f"{{invalid_stream_offset_arg,{{{type_name(value)},{shown}}}}}"


def interval_ms(text: FieldValue) -> int | None:
    """`7D`, `12h` and the like in milliseconds; None if it is not an interval."""
    found = _MAX_AGE.fullmatch(text) if isinstance(text, str) else None
    # Python would convert millions of digits, slowly.
    if found is None or len(found[1]) > 15 or int(found[1]) == 0:
        return None
    return int(found[1]) * _UNITS_MS[found[2]]


def decimal(value: object) -> float | None:
    """A number, or text that is one: some clients have no other form for 1.5."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def durations_ms(text: object) -> tuple[int, ...]:
    """`1s 500ms 2h` in milliseconds; nothing if it is not a list of durations."""
    words = text.split() if isinstance(text, str) else []
    found = [_DURATION.fullmatch(word) for word in words]
    if not 0 < len(found) <= MAX_DURATIONS or not all(found):
        return ()
    return tuple(int(one[1]) * _DURATIONS_MS[one[2]] for one in found if one)


def number_of(value: Field) -> int:
    """The number in a value that was checked to be one."""
    return value.value if isinstance(value.value, int) else 0
