"""Selectors as terms of Erlang: what RabbitMQ's JMS client makes of a selector.

    parse('''{'=',{'ident',<<"colour">>},<<"red">>}.''') -> Expression
    read('{in_group, "ou=staff"}') -> Term       any term; LDAP's queries are written like this

A term is read first, then understood: `{operator, operand, …}`, `{ident, Name}`, texts as
binaries, numbers, `true` and `false`. The operators are those of SQL, with `is_null`,
`not_null` and `not_like`, `not_in`, `not_between`; a range is `{range, From, To}`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from amqpd.broker.types import selector as s
from amqpd.broker.types.selector import Expression, SelectorError

if TYPE_CHECKING:
    from collections.abc import Sequence

#: So deep may a term be nested: as many ANDs may stand in a row.
MAX_DEPTH: Final = 150

_TOKENS: Final = re.compile(
    r"""\s*(?:
      (?P<binary><<\s*(?:"(?:[^"\\]|\\.)*"(?:\s*/utf8)?)?\s*>>)
    | (?P<text>"(?:[^"\\]|\\.)*")
    | (?P<float>[+-]?\d+\.\d+(?:[eE][+-]?\d+)?)
    | (?P<based>[+-]?(?:[2-9]|[12]\d|3[0-6])\#[0-9a-zA-Z]+)
    | (?P<integer>[+-]?\d+)
    | (?P<atom>'(?:[^'\\]|\\.)*'|[a-z][\w@]*)
    | (?P<symbol>[{}\[\],.])
    | (?P<end>$)
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", "s": " ", "b": "\b", "f": "\f", "e": "\x1b"}


@dataclass(frozen=True, slots=True)
class Atom:
    """A name that stands for itself."""

    name: str


Term = Atom | str | int | float | list["Term"] | tuple["Term", ...]


def parse(text: str) -> Expression:
    """The expression of a selector.

    Raises:
        SelectorError: it is not one.
    """
    s.check_size(text)
    return _expression(_Reader(text).whole())


def read(text: str) -> Term:
    """A term; binaries and texts are both texts.

    Raises:
        SelectorError: it is not one.
    """
    return _Reader(text).whole()


class _Reader:
    """Reads one term."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._kind = ""
        self._word = ""
        self._advance()

    def whole(self) -> Term:
        """The term, with or without the full stop behind it."""
        term = self._term(0)
        if self._word == ".":
            self._advance()
        if self._kind != "end":
            raise self._error()
        return term

    def _advance(self) -> None:
        found = _TOKENS.match(self._text, self._at)
        if found is None or found.lastgroup is None:
            raise self._error()
        self._kind, self._word = found.lastgroup, found[found.lastgroup]
        self._at = found.end()

    def _error(self) -> SelectorError:
        return SelectorError(f"column {self._at + 1}: not a term")

    def _term(self, depth: int) -> Term:
        kind, word = self._kind, self._word
        if depth > MAX_DEPTH:
            raise SelectorError(f"column {self._at}: nested deeper than {MAX_DEPTH}")
        self._advance()
        match kind:
            case "binary":
                return _unescaped(word[word.find('"') + 1 : word.rfind('"')]) if '"' in word else ""
            case "text":
                return _unescaped(word[1:-1])
            case "float":
                return float(word)
            case "based":
                base, digits = word.lstrip("+-").split("#")
                return _based(base, digits) * (-1 if word[0] == "-" else 1)
            case "integer":
                return int(word[:40])
            case "atom":
                return Atom(_unescaped(word[1:-1]) if word[0] == "'" else word)
            case "symbol" if word == "{":
                return tuple(self._terms("}", depth))
            case "symbol" if word == "[":
                return self._terms("]", depth)
            case _:
                raise self._error()

    def _terms(self, closing: str, depth: int) -> list[Term]:
        terms: list[Term] = []
        if self._word != closing:
            terms.append(self._term(depth + 1))
            while self._word == ",":
                self._advance()
                terms.append(self._term(depth + 1))
        if self._word != closing:
            raise self._error()
        self._advance()
        return terms


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: _ESCAPES.get(found[1], found[1]), text)


def _based(base: str, digits: str) -> int:
    try:
        return int(digits[:40], int(base))
    except ValueError:
        raise SelectorError(f"'{base}#{digits}' is not a number") from None


# -- what terms mean ---------------------------------------------------------------------


def _expression(term: Term) -> Expression:
    match term:
        case list():
            raise _not_understood(term)
        case Atom("true" | "false" as name):
            return s.constant(name == "true")
        case str() | int() | float():
            return s.constant(term)
        case (Atom("ident"), str(name)):
            return s.identifier(name)
        case (Atom(name), operand):
            return _unary(name, _expression(operand))
        case (Atom(name), _, *_) if name.removeprefix("not_") in ("like", "in", "between"):
            found = _relation(name.removeprefix("not_"), term)
            return s.negation(found) if name.startswith("not_") else found
        case (Atom(name), left, right):
            return _binary(name, _expression(left), _expression(right))
    raise _not_understood(term)


def _unary(name: str, operand: Expression) -> Expression:
    match name:
        case "not":
            return s.negation(operand)
        case "is_null":
            return s.is_null(operand)
        case "not_null":
            return s.negation(s.is_null(operand))
        case "-":
            return s.minus(operand)
        case "+":
            return operand
    raise SelectorError(f"'{name}' is not an operator")


def _binary(name: str, left: Expression, right: Expression) -> Expression:
    if name in s.COMPARISONS:
        return s.comparison(name, left, right)
    match name:
        case "and":
            return s.conjunction([left, right])
        case "or":
            return s.disjunction([left, right])
        case "+" | "-" | "*" | "/":
            return s.arithmetic(name, left, right)
    raise SelectorError(f"'{name}' is not an operator")


def _relation(name: str, term: Sequence[Term]) -> Expression:
    match name, tuple(term[1:]):
        case "like", (operand, str(pattern), Atom("no_escape")):
            return s.like(_expression(operand), pattern, None)
        case "like", (operand, str(pattern), str(escape)):
            return s.like(_expression(operand), pattern, escape)
        case "in", (operand, list(members)):
            values = [one for one in members if isinstance(one, str | int | float)]
            if len(values) == len(members):
                return s.among(_expression(operand), values)
        case "between", (operand, (Atom("range"), low, high)) | (operand, low, high):
            return s.between(_expression(operand), _expression(low), _expression(high))
    raise _not_understood(tuple(term))


def _not_understood(term: Term) -> SelectorError:
    head = term[0] if isinstance(term, tuple) and term else term
    name = f"'{head.name}'" if isinstance(head, Atom) else type(head).__name__
    return SelectorError(f"{name} is not an operator with these operands")
