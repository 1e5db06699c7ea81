"""Filters of streams: exact for each message, in RabbitMQ's forms and in LavinMQ's."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from amqpd.broker.content import build
from amqpd.broker.filtering import Filter, parse_filter, wrong_filter, wrong_match_type
from amqpd.fields import Field, wrap
from amqpd.properties import Properties, encode_header
from tests.broker.model import a_table

if TYPE_CHECKING:
    from collections.abc import Mapping


def a_content(value: object = None, **headers: object) -> bytes:
    if value is not None:
        headers["x-stream-filter-value"] = value
    table = a_table(headers)
    return build(1, encode_header(Properties(headers=table or None), 0), b"")


def a_filter(wanted: object, **arguments: object) -> Filter:
    names = {name.replace("_", "-"): value for name, value in arguments.items()}
    found = parse_filter(a_table({"x-stream-filter": wanted, **names}))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("wanted", "value", "is_wanted"),
    [
        ("a", "a", True),
        ("a", "b", False),
        ("a", None, False),
        ("a", "A", False),
        ("a", "ab", False),
        ("", "", True),
        (["a", "b"], "a", True),
        (["a", "b"], "b", True),
        (["a", "b"], "c", False),
        (["a", "b"], None, False),
        ([], "a", False),
        ("a", "x,a,y", True),
        ("a", "x, a", True),
        ("a", "x,aa", False),
        ("a,b", "a,b", True),
        ("a,b", "c,b,a", True),
        ("a,b", "a", False),
        ("1", 1, True),
        ("ü", "ü", True),
    ],
)
def test_a_filter_value_is_one_of_those_that_are_wanted(
    wanted: object, value: object, is_wanted: bool
) -> None:
    assert a_filter(wanted).wants(a_content(value)) is is_wanted


def test_messages_without_a_filter_value_may_be_wanted_too() -> None:
    wanted = a_filter("a", x_stream_match_unfiltered=True)

    assert wanted.wants(a_content())
    assert wanted.wants(a_content(other="b"))
    assert wanted.wants(a_content("a"))
    assert not wanted.wants(a_content("b"))


def test_a_filter_value_within_another_header_is_none() -> None:
    content = a_content(inner={"x-stream-filter-value": "b"})

    assert a_filter("a", x_stream_match_unfiltered=True).wants(content)
    assert not a_filter("b").wants(content)


@pytest.mark.parametrize(
    ("kind", "headers", "is_wanted"),
    [
        (None, {"color": "red", "n": 1}, True),
        (None, {"color": "red", "n": 2}, False),
        (None, {"color": "red"}, False),
        ("all", {"color": "red", "n": 1}, True),
        ("any", {"color": "red"}, True),
        ("ANY", {"n": 1}, True),
        ("any", {"n": 2}, False),
        ("any", {}, False),
    ],
)
def test_headers_have_the_values_of_a_table(
    kind: str | None, headers: Mapping[str, object], is_wanted: bool
) -> None:
    arguments = {} if kind is None else {"x_filter_match_type": kind}

    wanted = a_filter({"color": "red", "n": "1"}, **arguments)

    assert wanted.wants(a_content(**headers)) is is_wanted


def test_booleans_are_words() -> None:
    assert a_filter({"urgent": True}).wants(a_content(urgent=True))
    assert a_filter({"urgent": "true"}).wants(a_content(urgent=True))
    assert not a_filter({"urgent": "true"}).wants(a_content(urgent=False))


@pytest.mark.parametrize(
    ("kind", "value", "color", "is_wanted"),
    [
        (None, "a", "red", True),
        (None, "a", "blue", False),
        (None, "b", "red", False),
        ("any", "b", "red", True),
        ("any", "a", "blue", True),
        ("any", "b", "blue", False),
        ("all", "a", "red", True),
    ],
)
def test_texts_and_tables_together(
    kind: str | None, value: str, color: str, is_wanted: bool
) -> None:
    arguments = {} if kind is None else {"x_filter_match_type": kind}

    wanted = a_filter(["a", {"color": "red"}], **arguments)

    assert wanted.wants(a_content(value, color=color)) is is_wanted


def test_all_texts_may_have_to_be_named() -> None:
    wanted = a_filter(["a", "b"], x_filter_match_type="all")

    assert wanted.wants(a_content("b,a"))
    assert not wanted.wants(a_content("a"))


def test_a_table_may_name_the_filter_value() -> None:
    wanted = a_filter({"x-stream-filter": "a", "color": "red"})

    assert wanted.wants(a_content("a", color="red"))
    assert not wanted.wants(a_content("b", color="red"))


def test_a_table_and_messages_without_a_filter_value() -> None:
    wanted = a_filter({"color": "red"}, x_stream_match_unfiltered=True)

    assert wanted.wants(a_content(color="blue"))
    assert not wanted.wants(a_content("x", color="blue"))


def test_runs_of_wanted_messages() -> None:
    contents = [a_content(value) for value in "xaabaax"]
    wanted = a_filter("a")

    assert wanted.next_run(contents, 0, 7, 10) == (1, 3)
    assert wanted.next_run(contents, 1, 7, 1) == (1, 2)
    assert wanted.next_run(contents, 3, 7, 10) == (4, 6)
    assert wanted.next_run(contents, 6, 7, 10) == (7, 7)
    assert wanted.next_run(contents, 0, 1, 10) == (1, 1)
    assert wanted.next_run(contents, 2, 2, 10) == (2, 2)


def test_no_filter_wants_everything() -> None:
    assert parse_filter({}) is None
    assert parse_filter(a_table({"x-stream-match-unfiltered": True})) is None


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        (wrap("a"), None),
        (wrap(["a", {"b": "c"}]), None),
        (wrap({"b": 1}), None),
        (wrap(1), "{unacceptable_type,signedint}"),
        (wrap(["a", True]), "{unacceptable_type,bool}"),
        (wrap({"geo-bbox": {}}), "\"unsupported stream filter 'geo-bbox'\""),
    ],
)
def test_what_is_no_filter_is_told(value: Field, wrong: str | None) -> None:
    assert wrong_filter(value, {}) == wrong


def test_the_match_type_is_all_or_any() -> None:
    assert wrong_match_type(wrap("All"), {}) is None
    assert wrong_match_type(wrap("some"), {}) == "invalid_filter_match_type"
    assert wrong_match_type(wrap(1), {}) == "invalid_filter_match_type"


@pytest.mark.parametrize(
    ("wanted", "value"),
    [
        ([f"{n},y" for n in range(3000)], "a,b"),
        ([f"{n}" for n in range(3000)], "a,b"),
        ([{f"h{n}": "v"} for n in range(3000)], "a,b"),
        ("a,b", "x," * 30_000),
        ("a", "x," * 30_000),
    ],
)
def test_no_look_at_many_messages_takes_long(wanted: object, value: str) -> None:
    found = a_filter(wanted)
    contents = [a_content(value)] * 1000

    began = time.thread_time()
    at, end = found.next_run(contents, 0, 1000, 1000)

    assert time.thread_time() - began < 0.05
    assert 0 < at == end < 1000
    assert found.effort > 500


def test_where_it_takes_long_what_is_wanted_comes_all_the_same() -> None:
    found = a_filter([{f"h{n}": "v" for n in range(3000)}, "a,b"], x_filter_match_type="any")
    contents = [a_content("a,b")] * 100

    place, runs = 0, 0
    while place < 100:
        at, end = found.next_run(contents, place, 100, 1000)
        assert at == place < end
        place, runs = end, runs + 1

    assert runs > 5
