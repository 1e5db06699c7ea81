"""Selectors: conditions on the headers and properties of a message, as JMS has them.

An `Expression` is called with a lookup of names and gives a value: a text, a number, a
boolean, or None for what is not known. Conditions know three truths, so that a condition on
a header that is not there is neither met nor not met (SQL-92); a selector matches where it
is true. sql.py and erlang.py build expressions from what clients write.

Evaluating one costs its operators, and for LIKE the length of the text; there is nothing in
it that could run away. What would take more, or is beyond all numbers that a message can have,
is not known.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

Value = str | int | float | bool | None
Lookup = Callable[[str], Value]
Expression = Callable[[Lookup], Value]

#: So many characters may a selector have.
MAX_CHARACTERS: Final = 32_768


class SelectorError(ValueError):
    """The selector cannot be understood; the text says where and why."""


def check_size(text: str) -> None:
    """Refuse what is too long to be looked at.

    Raises:
        SelectorError: it is.
    """
    if len(text) > MAX_CHARACTERS:
        raise SelectorError(f"longer than {MAX_CHARACTERS} characters")


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
#: What the search for pieces with `_` in them may cost: their length by that of the text.
_LIKE_STEPS: Final = 1 << 16


class _Piece(NamedTuple):
    """What stands between two `%`; with an `expression` of the same size if `_` is in it."""

    literal: str
    expression: re.Pattern[str] | None

    def is_at(self, text: str, at: int) -> bool:
        """Whether the text has it there."""
        if self.expression is None:
            return text.startswith(self.literal, at)
        return self.expression.match(text, at) is not None

    def find(self, text: str, at: int, end: int) -> int:
        """Where it is first between two places; -1: nowhere."""
        if self.expression is None:
            return text.find(self.literal, at, end)
        found = self.expression.search(text, at, end)
        return -1 if found is None else found.start()


def like(inner: Expression, pattern: str, escape: str | None) -> Expression:
    """LIKE: `_` is one character, `%` any number; what follows `escape` is itself.

    Raises:
        SelectorError: `escape` is not one character, or escapes nothing.
    """
    if escape is not None and len(escape) != 1:
        raise SelectorError("ESCAPE needs a single character")
    pieces = _pieces(_pattern(pattern, escape))
    sought = sum(len(piece.literal) for piece in pieces[1:-1] if piece.expression)

    def evaluate(lookup: Lookup) -> Value:
        value = inner(lookup)
        if not isinstance(value, str) or sought * len(value) > _LIKE_STEPS:
            return None
        return _is_like(value, pieces)

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


def _pieces(parts: list[str | int]) -> list[_Piece]:
    """What is between the `%`: one more than there are of them."""
    pieces: list[_Piece] = []
    begin = 0
    for at, part in enumerate([*parts, _MANY]):
        if part == _MANY:
            pieces.append(_piece(parts[begin:at]))
            begin = at + 1
    return pieces


def _piece(parts: list[str | int]) -> _Piece:
    literal = "".join(str(part) for part in parts)
    if _ONE not in parts:
        return _Piece(literal, None)
    expression = "".join("." if part == _ONE else re.escape(str(part)) for part in parts)
    return _Piece(literal, re.compile(expression, re.DOTALL))


def _is_like(text: str, pieces: list[_Piece]) -> bool:
    """The first and the last piece have their places; each other is best where it is first."""
    first, last = pieces[0], pieces[-1]
    at, end = len(first.literal), len(text) - len(last.literal)
    if len(pieces) == 1:
        return len(text) == at and first.is_at(text, 0)
    if end < at or not (first.is_at(text, 0) and last.is_at(text, end)):
        return False
    for piece in pieces[1:-1]:
        found = piece.find(text, at, end)
        if found < 0:
            return False
        at = found + len(piece.literal)
    return True


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
    if value is None or isinstance(value, str | bool) or not -_HUGE < value < _HUGE:
        return None
    return value


def minus(inner: Expression) -> Expression:
    """The sign."""
    return arithmetic("-", constant(0), inner)
