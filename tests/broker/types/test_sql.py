"""Selectors in SQL-92, as JMS describes them."""

from __future__ import annotations

import gc
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpd.broker.types import sql
from amqpd.broker.types.selector import SelectorError, Value


def value(text: str, **names: Value) -> Value:
    return sql.parse(text)(names.get)


@pytest.mark.parametrize(
    "text",
    [
        "colour = 'red'",
        "colour <> 'blue' AND weight > 2500",
        "weight != 2 and not (colour = 'blue')",
        "weight BETWEEN 2999 AND 3001",
        "weight NOT BETWEEN 1 AND 2",
        "colour IN ('green', 'red')",
        "colour NOT IN ('green')",
        "weight IN (-1, 3e3)",
        "colour LIKE 'r_d' AND colour LIKE '%'",
        "colour NOT LIKE 'g%'",
        "rate LIKE '10!%' ESCAPE '!'",
        "missing IS NULL AND colour IS NOT NULL",
        "missing = 1 OR flag",
        "flag = TRUE and flag <> false",
        "NOT NOT flag",
        "weight + 1 = 3001 AND weight - 1 < 3000 AND weight * 2 / 3 = 2000",
        "-weight = - 3000 AND +weight = 3000 AND --weight = 3000",
        "weight = 0xBB8 AND weight = 3000L AND weight = 3000.0 AND weight = 3.e3f",
        "name = 'O''Neil'",
        "$price.net >= .5",
        '"odd name" = 1 AND "say ""x""" = 2',
        "properties.message-id = 'm'",
        "routing-key = 'k'",
        "(((flag)))",
        "2 + 3 * 4 = 14 AND (2 + 3) * 4 = 20",
    ],
)
def test_these_match(text: str) -> None:
    names: dict[str, Value] = {
        "colour": "red", "weight": 3000, "flag": True, "rate": "10%", "name": "O'Neil",
        "$price.net": 0.5, "odd name": 1, 'say "x"': 2, "properties.message-id": "m",
        "routing-key": "k",
    }  # fmt: skip

    assert sql.parse(text)(names.get) is True


def test_what_is_not_known_does_not_match() -> None:
    assert value("missing = 1") is None
    assert value("NOT missing = 1") is None
    assert value("missing = 1 OR 1 = 1") is True


def test_numbers() -> None:
    assert [value(text) for text in ("1", "1.5", ".5", "1e2", "0x1f", "5d", "5l")] == [
        1, 1.5, 0.5, 100.0, 31, 5.0, 5,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "column 1: a value expected, not the end"),
        ("a = ", "column 5: a value expected, not the end"),
        ("a = 1 b", "column 7: the end expected, not 'b'"),
        ("a ? 1", "column 2: not understood from here on"),
        ("a = 'open", "column 4: not understood from here on"),
        ("a BETWEEN 1 OR 2", "column 13: 'AND' expected, not 'OR'"),
        ("a IN 1", "column 6: '(' expected, not '1'"),
        ("a IN (x)", "column 7: a text in quotes expected, not 'x'"),
        ("a IN (-'x')", "column 8: a number expected, not ''x''"),
        ("a IN ('x'", "column 10: ')' expected, not the end"),
        ("a LIKE 5", "column 8: a text in quotes expected, not '5'"),
        ("a LIKE 'x' ESCAPE 'yy'", "column 8: ESCAPE needs a single character"),
        ("a NOT 5", "column 7: BETWEEN, IN or LIKE expected, not '5'"),
        ("a IS 5", "column 6: 'NULL' expected, not '5'"),
        ("(a", "column 3: ')' expected, not the end"),
        ("AND", "column 1: a value expected, not 'AND'"),
        ("(" * 41 + "a" + ")" * 41, "column 42: nested deeper than 40"),
        ("a" + " + a" * 301, "column 1203: more than 300 operators"),
    ],
)
def test_what_is_no_selector_is_refused_with_place_and_reason(text: str, reason: str) -> None:
    with pytest.raises(SelectorError) as refused:
        sql.parse(text)

    assert str(refused.value) == reason


def test_lists_may_be_long() -> None:
    members = ", ".join(f"'{number}'" for number in range(2000))

    assert value(f"a IN ({members})", a="1999") is True


@pytest.mark.parametrize(
    "text",
    [
        "1" * 32_000 + "x", "." + "1" * 32_000 + "x", "1e" + "1" * 32_000 + "x",
        "0x" + "f" * 32_000 + "g", " " * 32_000 + "?", "'" * 31_999, "a" + ".a" * 16_000 + "?",
        "a IN (" + "1," * 16_000, "NOT " * 299, "1" * 200_000, '"' * 32_001,
    ],
    ids=lambda text: f"{text[:4]}...{text[-2:]}",
)  # fmt: skip
def test_no_text_takes_long_to_be_refused(text: str) -> None:
    gc.disable()  # what else the tests have made is not to be looked through meanwhile
    try:
        began = time.thread_time()
        with pytest.raises(SelectorError):
            sql.parse(text)
        took_s = time.thread_time() - began
    finally:
        gc.enable()
    assert took_s < 0.2


def test_a_text_has_an_end() -> None:
    with pytest.raises(SelectorError, match="longer than 32768 characters"):
        sql.parse("a" + " " * 32_768)


def test_numbers_beyond_all_that_there_are_are_compared_but_not_reckoned_with() -> None:
    huge = "0x" + "f" * 2000

    assert value(f"{huge} > 1.5") is True
    assert value(f"{huge} * 1.5 = 1") is None
    assert value(f"{huge} / {huge} = 1") is None
    assert value(f"-{huge} < 1e999") is None


def test_the_longest_that_is_accepted_can_be_evaluated() -> None:
    assert value("1" + " + 1" * 300) == 301
    assert value("(" * 40 + "TRUE" + ")" * 40) is True
    assert value("NOT " * 298 + "TRUE") is True


@given(st.text("ab1'\"=<>()+-*/, ANDORNOTLIKEBETWEENISNULL.%_", max_size=60))
def test_any_text_is_a_selector_or_refused(text: str) -> None:
    try:
        expression = sql.parse(text)
    except SelectorError:
        return
    names: dict[str, Value] = {"a": 1, "b": "x"}
    expression(names.get)
