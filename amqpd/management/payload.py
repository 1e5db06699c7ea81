"""Forms in which RabbitMQ's clients send values: `"true"` for true, `"a,b"` for a list."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from msgspec import UNSET, UnsetType

from amqpd.management.errors import bad_request

Truth: TypeAlias = bool | Literal["true", "false"] | None
Number: TypeAlias = int | str
#: A table; PHP writes an empty one as a list.
Arguments: TypeAlias = dict[str, object] | list[object]
Tags: TypeAlias = str | list[str]

#: No number in a path or a query has so many; Python takes thousands for an error of its own.
MOST_DIGITS: Final = 20


def truth(value: Truth | UnsetType, default: bool = False) -> bool:
    """A boolean, also where it came as text."""
    if value is UNSET or value is None:
        return default
    return value if isinstance(value, bool) else value == "true"


def table(value: Arguments, name: str) -> dict[str, object]:
    """A table, also where an empty one came as an empty list.

    Raises:
        HttpError: it is a list with something in it.
    """
    if isinstance(value, dict):
        return value
    if value:
        raise bad_request(f"{name}: a list of {len(value)}, not an object")
    return {}


def tag_list(value: Tags) -> tuple[str, ...]:
    """Tags, each once, in their order; as text they are separated by commas."""
    parts = value.split(",") if isinstance(value, str) else value
    return tuple(dict.fromkeys(one.strip() for one in parts if one.strip()))


def natural(text: str) -> int | None:
    """A number in digits, not longer than any that there is; None: it is something else."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < MOST_DIGITS else None


def number(value: Number, name: str) -> int:
    """An integer, also where it came as text.

    Raises:
        HttpError: it is none.
    """
    try:
        return int(value)
    except ValueError as error:
        raise bad_request(f"{name}: '{value}' is not an integer") from error
