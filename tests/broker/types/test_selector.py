"""Selectors: three truths, and values of different kinds."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpd.broker.types import selector as s
from amqpd.broker.types.selector import Expression, SelectorError, Value

TRUTHS: list[Value] = [True, False, None]


def value(expression: Expression, **names: Value) -> Value:
    return expression(names.get)


def c(what: Value) -> Expression:
    return s.constant(what)


def test_names_are_looked_up() -> None:
    assert value(s.identifier("a"), a=5) == 5
    assert value(s.identifier("a")) is None


def test_conditions_know_three_truths() -> None:
    conjunction = {(a, b): value(s.conjunction([c(a), c(b)])) for a in TRUTHS for b in TRUTHS}
    disjunction = {(a, b): value(s.disjunction([c(a), c(b)])) for a in TRUTHS for b in TRUTHS}

    assert [value(s.negation(c(a))) for a in (*TRUTHS, 5)] == [False, True, None, None]
    assert {pair for pair, found in conjunction.items() if found is True} == {(True, True)}
    assert {pair for pair, found in conjunction.items() if found is None} == {
        (True, None), (None, True), (None, None),
    }  # fmt: skip
    assert {pair for pair, found in disjunction.items() if found is False} == {(False, False)}
    assert {pair for pair, found in disjunction.items() if found is None} == {
        (False, None), (None, False), (None, None),
    }  # fmt: skip
    assert value(s.conjunction([c(5), c(True)])) is None


def test_null_is_what_is_not_known() -> None:
    assert value(s.is_null(s.identifier("a"))) is True
    assert value(s.is_null(s.identifier("a")), a=0) is False


@pytest.mark.parametrize(
    ("one", "symbol", "other", "result"),
    [
        (1, "=", 1.0, True), (1, "<>", 2, True), (1, "<", 2, True), (2, "<=", 2.0, True),
        (3, ">", 2.5, True), (2, ">=", 3, False), ("a", "=", "a", True), ("a", "<", "b", True),
        (True, "=", True, True), (True, "<>", False, True), (True, ">", False, False),
        (1, "=", "1", False), (1, "<>", "1", False), (1, "=", True, False),
        (None, "=", 1, None), (1, "<>", None, None),
    ],
)  # fmt: skip
def test_comparisons(one: Value, symbol: str, other: Value, result: Value) -> None:
    assert value(s.comparison(symbol, c(one), c(other))) is result


def test_between_includes_its_ends() -> None:
    between = s.between(s.identifier("a"), c(2), c(4))

    assert [value(between, a=a) for a in (1, 2, 4, 5, None)] == [False, True, True, False, None]


def test_among_compares_by_kind() -> None:
    among = s.among(s.identifier("a"), ["x", 1, True, None])

    found = [value(among, a=a) for a in ("x", 1.0, True, False, "1", None)]
    assert found == [True, True, True, False, False, None]


@pytest.mark.parametrize(
    ("pattern", "escape", "yes", "no"),
    [
        ("12%3", None, ["123", "12993", "1233"], ["1234", "12"]),
        ("l_se", None, ["lose"], ["loose", "lse"]),
        (r"\_%", "\\", ["_foo", "_"], ["bar", ""]),
        ("a%b%c", None, ["abc", "axbybzc", "abbc"], ["acb", "abcd"]),
        ("%", None, ["", "x"], []),
        ("", None, [""], ["x"]),
        ("a.*", None, ["a.*"], ["abc"]),
        ("%%x", None, ["x", "aax"], ["xa"]),
    ],
)
def test_like(pattern: str, escape: str | None, yes: list[str], no: list[str]) -> None:
    like = s.like(s.identifier("a"), pattern, escape)

    assert [value(like, a=text) for text in yes] == [True] * len(yes)
    assert [value(like, a=text) for text in no] == [False] * len(no)
    assert value(like, a=5) is None


@pytest.mark.parametrize(("pattern", "escape"), [("a", ""), ("a", "xy"), ("a\\", "\\")])
def test_an_escape_is_one_character_before_another(pattern: str, escape: str) -> None:
    with pytest.raises(SelectorError):
        s.like(c("a"), pattern, escape)


def test_a_pattern_with_many_wildcards_takes_no_time() -> None:
    assert value(s.like(c("a" * 3000), "%a" * 50 + "b", None)) is False


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("%" + "a" * 10_000 + "b%", False),
        ("%" + "_" * 10_000 + "b%", None),
        ("%" + "a_" * 5_000 + "b", False),
        ("%a" * 10_000 + "b", False),
        ("%ab_" * 5_000 + "%", None),
    ],
)
def test_no_pattern_takes_longer_than_the_text_is_long(pattern: str, found: Value) -> None:
    like = s.like(c("a" * 100_000), pattern, None)

    began = time.thread_time()
    assert value(like) is found
    assert time.thread_time() - began < 0.05


@given(
    st.text("ab_%", max_size=8),
    st.lists(st.text("ab", max_size=10), min_size=1, max_size=5),
)
def test_like_is_what_a_regular_expression_makes_of_it(pattern: str, texts: list[str]) -> None:
    plain = re.compile(pattern.replace("%", ".*").replace("_", "."))
    like = s.like(s.identifier("a"), pattern, None)

    for text in texts:
        assert value(like, a=text) is (plain.fullmatch(text) is not None)


@pytest.mark.parametrize(
    ("one", "symbol", "other", "result"),
    [
        (7, "+", 2, 9), (7, "-", 2, 5), (7, "*", 2, 14), (7, "/", 2, 3), (-7, "/", 2, -3),
        (-7, "/", -2, 3), (7.0, "/", 2, 3.5), (7, "/", 0, None), (7, "/", 0.0, None),
        ("7", "+", 2, None), (7, "+", True, None), (None, "+", 2, None),
        (1 << 100, "*", 1 << 100, None), (1e300, "*", 1e300, None),
        (1 << 2000, "*", 1.5, None), (1.5, "/", 1 << 2000, None), (1 << 2000, "-", 1.5, None),
        (float("inf"), "-", float("inf"), None), (float("nan"), "+", 1, None),
    ],
)  # fmt: skip
def test_arithmetic(one: Value, symbol: str, other: Value, result: Value) -> None:
    found = value(s.arithmetic(symbol, c(one), c(other)))

    assert (found, type(found)) == (result, type(result))


def test_the_sign() -> None:
    assert value(s.minus(c(5))) == -5
    assert value(s.minus(c("5"))) is None
