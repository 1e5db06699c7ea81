"""Selectors: conditions on the headers and properties of a message, as JMS has them.

An `Expression` is called with a lookup of names and gives a value: a text, a number, a
boolean, or None for what is not known. Conditions know three truths, so that a condition on
a header that is not there is neither met nor not met (SQL-92); a selector matches where it
is true. sql.py and erlang.py build expressions from what clients write.

Evaluating one costs its operators, and for LIKE the length of the text by that of the
pattern; there is nothing in it that could run away.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Final

Value = str | int | float | bool | None
Lookup = Callable[[str], Value]
Expression = Callable[[Lookup], Value]


class SelectorError(ValueError):
    """The selector cannot be understood; the text says where and why."""


def constant(value: Value) -> Expression:
    """A value as it stands."""
    return lambda _lookup: value


def identifier(name: str) -> Expression:
    """What the message has under this name."""
    return lambda lookup: lookup(name)


# -- conditions --------------------------------------------------------------------------


def negation(inner: Expression) -> Expression:
    """NOT"""

    def evaluate(lookup: Lookup) -> Value:
        value = inner(lookup)
        return not value if isinstance(value, bool) else None

    return evaluate


def conjunction(parts: Sequence[Expression]) -> Expression:
    """AND"""
    return _junction(parts, False)


def disjunction(parts: Sequence[Expression]) -> Expression:
    """OR"""
    return _junction(parts, True)


def _junction(parts: Sequence[Expression], decisive: bool) -> Expression:
    def evaluate(lookup: Lookup) -> Value:
        result: Value = not decisive
        for part in parts:
            value = part(lookup)
            if value is decisive:
                return decisive
            if value is not result:
                result = None
        return result

    return evaluate


def is_null(inner: Expression) -> Expression:
    """IS NULL"""
    return lambda lookup: inner(lookup) is None


_COMPARISONS: Final[Mapping[str, Callable[[float | str, float | str], bool]]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
COMPARISONS: Final = frozenset(_COMPARISONS)


def comparison(symbol: str, left: Expression, right: Expression) -> Expression:
    """A comparison; of values of different kinds it is false, and so is an order of booleans."""
    compare = _COMPARISONS[symbol]

    def evaluate(lookup: Lookup) -> Value:
        one, other = left(lookup), right(lookup)
        if one is None or other is None:
            return None
        if _kind(one) is not _kind(other):
            return False
        if isinstance(one, bool) and symbol not in ("=", "<>"):
            return False
        return compare(one, other)

    return evaluate


def _kind(value: str | float) -> type:
    if isinstance(value, bool):
        return bool
    return str if isinstance(value, str) else float


def between(inner: Expression, low: Expression, high: Expression) -> Expression:
    """BETWEEN, both ends included."""
    return conjunction([comparison(">=", inner, low), comparison("<=", inner, high)])


def among(inner: Expression, values: Sequence[Value]) -> Expression:
    """IN"""
    known = frozenset((_kind(value), value) for value in values if value is not None)

    def evaluate(lookup: Lookup) -> Value:
        value = inner(lookup)
        return None if value is None else (_kind(value), value) in known

    return evaluate


# -- texts -------------------------------------------------------------------------------

#: Any one character, and any number of them, in a pattern that was taken apart.
_ONE: Final = 0
_MANY: Final = 1


def like(inner: Expression, pattern: str, escape: str | None) -> Expression:
    """LIKE: `_` is one character, `%` any number; what follows `escape` is itself.

    Raises:
        SelectorError: `escape` is not one character, or escapes nothing.
    """
    if escape is not None and len(escape) != 1:
        raise SelectorError("ESCAPE needs a single character")
    parts = _pattern(pattern, escape)

    def evaluate(lookup: Lookup) -> Value:
        value = inner(lookup)
        return _is_like(value, parts) if isinstance(value, str) else None

    return evaluate


def _pattern(pattern: str, escape: str | None) -> list[str | int]:
    parts: list[str | int] = []
    characters = iter(pattern)
    for character in characters:
        if character == escape:
            following = next(characters, None)
            if following is None:
                raise SelectorError("the pattern ends with its escape character")
            parts.append(following)
        else:
            parts.append({"_": _ONE, "%": _MANY}.get(character, character))
    return parts


def _is_like(text: str, parts: list[str | int]) -> bool:
    """Going back to the last `%` only: what an earlier one could take, it can as well."""
    at, part = 0, 0
    many, resume = -1, 0
    while at < len(text):
        wanted = parts[part] if part < len(parts) else None
        if wanted == _MANY:
            many, resume = part, at
            part += 1
        elif wanted == _ONE or wanted == text[at]:
            at, part = at + 1, part + 1
        elif many >= 0:
            resume += 1
            at, part = resume, many + 1
        else:
            return False
    return all(rest == _MANY for rest in parts[part:])


# -- numbers -----------------------------------------------------------------------------

_ARITHMETIC: Final[Mapping[str, Callable[[float, float], float]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
}
#: Beyond this a number is not known: nothing a selector does shall take time.
_HUGE: Final = 1 << 128


def arithmetic(symbol: str, left: Expression, right: Expression) -> Expression:
    """`+ - * /`; of anything but numbers, or by zero, it is not known."""

    def evaluate(lookup: Lookup) -> Value:
        one, other = _number(left(lookup)), _number(right(lookup))
        if one is None or other is None:
            return None
        if symbol != "/":
            result = _ARITHMETIC[symbol](one, other)
        elif other == 0:
            return None
        elif isinstance(one, int) and isinstance(other, int):
            # As in Java, on whose side selectors were made: towards zero.
            result = abs(one) // abs(other) * (1 if (one < 0) == (other < 0) else -1)
        else:
            result = one / other
        return result if -_HUGE < result < _HUGE else None

    return evaluate


def _number(value: Value) -> int | float | None:
    return None if value is None or isinstance(value, str | bool) else value


def minus(inner: Expression) -> Expression:
    """The sign."""
    return arithmetic("-", constant(0), inner)
