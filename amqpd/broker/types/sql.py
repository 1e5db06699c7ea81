"""Selectors as texts: the conditions of SQL-92 that JMS has.

    parse("colour IN ('red', 'green') AND weight BETWEEN 2 AND 5") -> Expression

Names are letters, digits, `_`, `$` and dots between; others stand in double quotes. Keywords
are the same in capitals and small letters. Texts are longer than is sensible before anything
here is refused for its size. No text takes longer to read than its length.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from amqpd.broker.types import selector as s
from amqpd.broker.types.selector import Expression, SelectorError

#: So deep may parentheses and signs be nested, so many operators may there be.
MAX_DEPTH: Final = 40
MAX_OPERATORS: Final = 300

_TOKENS: Final = re.compile(
    r"""\s*(?:
      (?P<number>(?:0[xX][0-9a-fA-F]++
        |(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?[fFdDlL]?)(?![\w$]))
    | (?P<text>'(?:[^']|'')*')
    | (?P<name>routing-key|(?:[^\W\d]|\$)[\w$]*(?:\.[\w$-]+)*|"(?:[^"]|"")+")
    | (?P<symbol><>|!=|<=|>=|[=<>()+\-*/,])
    | (?P<end>$)
    )""",
    re.VERBOSE,
)
_KEYWORDS: Final = frozenset(
    ("AND", "BETWEEN", "ESCAPE", "FALSE", "IN", "IS", "LIKE", "NOT", "NULL", "OR", "TRUE")
)


class Token(NamedTuple):
    """A word of the text: its kind, itself, and where it is."""

    kind: str
    text: str
    at: int


def parse(text: str) -> Expression:
    """The expression of a selector.

    Raises:
        SelectorError: it is not one.
    """
    s.check_size(text)
    return _Parser(text).whole()


def _tokens(text: str) -> list[Token]:
    tokens: list[Token] = []
    at = 0
    while not tokens or tokens[-1].kind != "end":
        found = _TOKENS.match(text, at)
        if found is None or found.lastgroup is None:
            raise _error(at, "not understood from here on")
        kind, at = found.lastgroup, found.end()
        word = found[kind]
        upper = word.upper()
        if kind == "name" and upper in _KEYWORDS:
            kind, word = "keyword", upper
        tokens.append(Token(kind, word, found.start(found.lastgroup)))
    return tokens


def _error(at: int, reason: str) -> SelectorError:
    return SelectorError(f"column {at + 1}: {reason}")


class _Parser:
    """Goes down the grammar, one method for each level of precedence."""

    def __init__(self, text: str) -> None:
        self._words = _tokens(text)
        self._next = 0
        self._depth = 0
        self._operators = 0

    def whole(self) -> Expression:
        result = self._disjunction()
        if self._word.kind != "end":
            raise self._unexpected("the end")
        return result

    # -- words ---------------------------------------------------------------------------

    @property
    def _word(self) -> Token:
        return self._words[self._next]

    def _take(self, *texts: str) -> str | None:
        """The next word if it is one of these symbols or keywords."""
        word = self._word
        if word.kind not in ("symbol", "keyword") or word.text not in texts:
            return None
        self._next += 1
        self._operators += 1
        if self._operators > MAX_OPERATORS:
            raise _error(word.at, f"more than {MAX_OPERATORS} operators")
        return word.text

    def _need(self, text: str) -> None:
        if self._take(text) is None:
            raise self._unexpected(f"'{text}'")

    def _unexpected(self, wanted: str) -> SelectorError:
        word = self._word
        found = f"'{word.text}'" if word.text else "the end"
        return _error(word.at, f"{wanted} expected, not {found}")

    # -- conditions ----------------------------------------------------------------------

    def _disjunction(self) -> Expression:
        parts = [self._conjunction()]
        while self._take("OR"):
            parts.append(self._conjunction())
        return parts[0] if len(parts) == 1 else s.disjunction(parts)

    def _conjunction(self) -> Expression:
        parts = [self._negation()]
        while self._take("AND"):
            parts.append(self._negation())
        return parts[0] if len(parts) == 1 else s.conjunction(parts)

    def _negation(self) -> Expression:
        is_negative = False
        while self._take("NOT"):
            is_negative = not is_negative
        inner = self._predicate()
        return s.negation(inner) if is_negative else inner

    def _predicate(self) -> Expression:
        left = self._sum()
        symbol = self._take(*s.COMPARISONS, "!=")
        if symbol is not None:
            return s.comparison("<>" if symbol == "!=" else symbol, left, self._sum())
        if self._take("IS"):
            is_negative = self._take("NOT") is not None
            self._need("NULL")
            found = s.is_null(left)
        else:
            is_negative = self._take("NOT") is not None
            keyword = self._take("BETWEEN", "IN", "LIKE")
            if keyword is None and not is_negative:
                return left
            if keyword is None:
                raise self._unexpected("BETWEEN, IN or LIKE")
            found = self._relation(keyword, left)
        return s.negation(found) if is_negative else found

    def _relation(self, keyword: str, left: Expression) -> Expression:
        if keyword == "BETWEEN":
            low = self._sum()
            self._need("AND")
            return s.between(left, low, self._sum())
        if keyword == "LIKE":
            at = self._word.at
            pattern = self._text()
            escape = self._text() if self._take("ESCAPE") else None
            try:
                return s.like(left, pattern, escape)
            except SelectorError as error:
                raise _error(at, str(error)) from None
        self._need("(")
        values = [self._member()]
        while self._take(","):
            self._operators -= 1  # lists may be long
            values.append(self._member())
        self._need(")")
        return s.among(left, values)

    def _text(self) -> str:
        word = self._word
        if word.kind != "text":
            raise self._unexpected("a text in quotes")
        self._next += 1
        return _unquoted(word.text)

    def _member(self) -> s.Value:
        sign = -1 if self._take("-") else 1
        word = self._word
        if word.kind == "number":
            self._next += 1
            return sign * _number(word.text)
        if sign < 0:
            raise self._unexpected("a number")
        return self._text()

    # -- values --------------------------------------------------------------------------

    def _sum(self) -> Expression:
        left = self._product()
        while symbol := self._take("+", "-"):
            left = s.arithmetic(symbol, left, self._product())
        return left

    def _product(self) -> Expression:
        left = self._signed()
        while symbol := self._take("*", "/"):
            left = s.arithmetic(symbol, left, self._signed())
        return left

    def _signed(self) -> Expression:
        is_negative = False
        while symbol := self._take("-", "+"):
            is_negative ^= symbol == "-"
        inner = self._primary()
        return s.minus(inner) if is_negative else inner

    def _primary(self) -> Expression:
        if self._take("("):
            self._depth += 1
            if self._depth > MAX_DEPTH:
                raise _error(self._word.at, f"nested deeper than {MAX_DEPTH}")
            inner = self._disjunction()
            self._depth -= 1
            self._need(")")
            return inner
        keyword = self._take("TRUE", "FALSE")
        if keyword is not None:
            return s.constant(keyword == "TRUE")
        word = self._word
        if word.kind not in ("number", "text", "name"):
            raise self._unexpected("a value")
        self._next += 1
        if word.kind == "number":
            return s.constant(_number(word.text))
        if word.kind == "text":
            return s.constant(_unquoted(word.text))
        return s.identifier(_unquoted(word.text) if word.text[0] == '"' else word.text)


def _unquoted(text: str) -> str:
    return text[1:-1].replace(text[0] * 2, text[0])


def _number(text: str) -> int | float:
    if text[:2] in ("0x", "0X"):
        return int(text, 16)
    digits = text.rstrip("fFdDlL")
    if digits.isdigit() and text[-1] not in "fFdD":
        return int(digits[:40])
    return float(digits)
