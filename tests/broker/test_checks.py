"""Checks of single arguments, beyond the texts of test_arguments.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpd.broker.checks import (
    a_boolean,
    a_max_age,
    a_placement_tag,
    a_stream_offset,
    a_text,
    an_integer,
    anything,
    between,
    interval_ms,
    is_text,
    number_of,
    one_of,
    unacceptable,
)
from amqpd.fields import TYPE_NAMES, Field

INTEGERS = ["b", "B", "s", "u", "I", "i", "l"]
#: One value of each other kind.
OTHERS = [
    Field("S", "5"),
    Field("S", b"\xff"),
    Field("x", b"5"),
    Field("t", True),
    Field("f", 5.0),
    Field("d", 5.0),
    Field("T", 5),
    Field("F", {}),
    Field("A", []),
    Field("V", None),
]


@pytest.mark.parametrize("kind", INTEGERS)
def test_every_width_of_integer_is_an_integer(kind: str) -> None:
    assert an_integer(Field(kind, 5), {}) is None
    assert between(0, 10)(Field(kind, 5), {}) is None


@pytest.mark.parametrize("value", OTHERS, ids=str)
def test_nothing_else_is_an_integer(value: Field) -> None:
    wrong = f'"expected integer, got {TYPE_NAMES[value.kind]}"'

    assert an_integer(value, {}) == wrong
    assert between(0, None)(value, {}) == wrong


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_numbers_are_bounded(number: int) -> None:
    wrong = between(1, 255, "max_value_exceeded")(Field("l", number), {})

    if number < 0:
        assert wrong == f"{{value_negative,{number}}}"
    elif number == 0:
        assert wrong == "{value_zero,0}"
    elif number > 255:
        assert wrong == f"{{max_value_exceeded,{number}}}"
    else:
        assert wrong is None


@pytest.mark.parametrize("value", [each for each in OTHERS if each.kind != "S"], ids=str)
def test_words_must_be_text(value: Field) -> None:
    wrong = f"{{unacceptable_type,{TYPE_NAMES[value.kind]}}}"

    assert unacceptable(value) == wrong
    for check in (a_text, a_max_age, a_placement_tag, one_of(["a"], "no")):
        assert check(value, {}) == wrong


def test_octets_that_are_no_text_name_nothing() -> None:
    octets = Field("S", b"\xff")

    assert not is_text(octets)
    assert a_text(octets, {}) == "{unacceptable_type,longstr}"
    assert one_of(["a"], "no")(octets, {}) == "no"
    assert a_max_age(octets, {}) == "invalid_max_age"


def test_what_is_right_is_right() -> None:
    assert anything(Field("V", None), {}) is None
    assert is_text(Field("S", ""))
    assert a_text(Field("S", "x"), {}) is None
    assert a_boolean(Field("t", False), {}) is None
    assert a_boolean(Field("I", 1), {}) == "{unacceptable_type,signedint}"
    assert one_of(["a", "b"], "no")(Field("S", "b"), {}) is None
    assert a_placement_tag(Field("S", "rack 1"), {}) is None
    assert a_placement_tag(Field("S", ""), {}) == "invalid_member_placement_tag_arg"
    assert a_max_age(Field("S", "7D"), {}) is None
    assert number_of(Field("I", 5)) == 5
    assert number_of(Field("S", "5")) == 0


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1Y", 31_536_000_000),
        ("1M", 2_592_000_000),
        ("7D", 604_800_000),
        ("12h", 43_200_000),
        ("5m", 300_000),
        ("30s", 30_000),
        ("0s", None),
        ("s", None),
        ("5", None),
        ("5 s", None),
        ("-5s", None),
        ("5S", None),
        ("\N{ARABIC-INDIC DIGIT FIVE}s", None),
        ("9" * 5000 + "s", None),
        (b"5s", None),
        (5, None),
    ],
)
def test_intervals_have_a_number_and_a_unit(
    text: str | bytes | int, milliseconds: int | None
) -> None:
    assert interval_ms(text) == milliseconds


@pytest.mark.parametrize(
    ("offset", "wrong"),
    [
        (Field("S", "first"), None),
        (Field("S", "last"), None),
        (Field("S", "next"), None),
        (Field("S", "1h"), None),
        (Field("l", 5), None),
        (Field("T", 1_700_000_000), None),
        (Field("S", "middle"), '{invalid_stream_offset_arg,{longstr,<<"middle">>}}'),
        (Field("x", b"first"), "{invalid_stream_offset_arg,{binary,first}}"),
        (Field("F", {}), "{invalid_stream_offset_arg,{table,{}}}"),
        (Field("A", []), "{invalid_stream_offset_arg,{array,[]}}"),
    ],
    ids=str,
)
def test_a_stream_offset_is_a_word_a_number_a_time_or_an_interval(
    offset: Field, wrong: str | None
) -> None:
    assert a_stream_offset(offset, {}) == wrong
