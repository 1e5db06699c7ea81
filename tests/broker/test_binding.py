"""Bindings: when two are the same, and finding them by their destination."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest

from amqpd.broker.binding import Binding, Destination, DestinationIndex, comparable
from amqpd.fields import Field, Table

QUEUE = Destination("queue", "q")


def a_binding(arguments: Table | None = None, key: str = "k") -> Binding:
    return Binding("x", QUEUE, key, arguments or {})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Field("I", 5), Field("l", 5)),
        (Field("b", 5), Field("T", 5)),
        (Field("I", 5), Field("d", 5.0)),
        (Field("S", "text"), Field("x", b"text")),
        (Field("S", b"\xff"), Field("x", b"\xff")),
        (Field("d", math.nan), Field("d", float("nan"))),
        (Field("A", [Field("I", 1)]), Field("A", [Field("B", 1)])),
        (Field("D", Decimal("1.5")), Field("D", Decimal("1.50"))),
        (
            Field("F", {"a": Field("I", 1), "b": Field("V", None)}),
            Field("F", {"b": Field("V", None), "a": Field("l", 1)}),
        ),
    ],
)
def test_values_of_the_same_meaning_are_equal(one: Field, other: Field) -> None:
    assert comparable(one) == comparable(other)
    assert hash(comparable(one)) == hash(comparable(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Field("I", 5), Field("I", 6)),
        (Field("I", 5), Field("S", "5")),
        (Field("t", True), Field("I", 1)),
        (Field("V", None), Field("S", "")),
        (Field("A", []), Field("F", {})),
        (Field("A", [Field("I", 1)]), Field("A", [Field("I", 1), Field("I", 1)])),
        (Field("F", {"a": Field("I", 1)}), Field("F", {"b": Field("I", 1)})),
        (Field("d", math.nan), Field("d", 1.0)),
    ],
)
def test_values_of_another_meaning_differ(one: Field, other: Field) -> None:
    assert comparable(one) != comparable(other)


def test_the_same_binding_is_found_whatever_the_wire_types() -> None:
    made = a_binding({"n": Field("I", 5), "s": Field("S", "v")})
    named = a_binding({"s": Field("x", b"v"), "n": Field("l", 5)})

    assert made == named
    assert {made: True}[named]


@pytest.mark.parametrize(
    "other",
    [
        Binding("y", QUEUE, "k"),
        Binding("x", Destination("exchange", "q"), "k"),
        Binding("x", Destination("queue", "p"), "k"),
        Binding("x", QUEUE, "l"),
        Binding("x", QUEUE, "k", {"n": Field("I", 5)}),
    ],
)
def test_every_part_of_a_binding_counts(other: Binding) -> None:
    assert other != a_binding()


def test_a_binding_is_no_tuple() -> None:
    binding = a_binding()

    assert binding != binding.identity


def test_the_index_finds_the_bindings_of_a_destination_oldest_first() -> None:
    index = DestinationIndex()
    first, second, elsewhere = (
        a_binding(key="b"),
        a_binding(key="a"),
        Binding("x", Destination("exchange", "q")),
    )
    for each in (first, second, elsewhere):
        index.add(each)

    assert index.of(QUEUE) == [first, second]
    assert list(index) == [first, second, elsewhere]
    assert len(index) == 3


def test_adding_twice_changes_nothing() -> None:
    index = DestinationIndex()

    index.add(a_binding({"n": Field("I", 5)}))
    index.add(a_binding({"n": Field("l", 5)}))

    assert len(index) == 1


def test_a_removed_binding_is_gone() -> None:
    index = DestinationIndex()
    first, second = a_binding(key="b"), a_binding(key="a")
    index.add(first)
    index.add(second)

    index.remove(first)
    index.remove(first)
    index.remove(Binding("x", Destination("queue", "unknown")))

    assert index.of(QUEUE) == [second]
    index.remove(second)
    assert list(index) == []


def test_taking_a_destination_forgets_it() -> None:
    index = DestinationIndex()
    index.add(a_binding())

    assert index.take(QUEUE) == [a_binding()]
    assert index.take(QUEUE) == []
    assert index.of(QUEUE) == []
