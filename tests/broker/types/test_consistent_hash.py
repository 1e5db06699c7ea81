"""x-consistent-hash: equal values together, shares by weight, little moves."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from amqpd.broker.limits import Limits
from amqpd.errors import PreconditionFailed
from tests.broker.types.exchanges import a_message, an_exchange, bind, names, to

if TYPE_CHECKING:
    from amqpd.broker.exchange import Exchange

KIND = "x-consistent-hash"


def spread(exchange: Exchange, count: int = 4000) -> dict[str, str]:
    """Where each of so many keys goes."""
    found = {}
    for number in range(count):
        (destination,) = exchange.match([f"key {number}"], None)
        found[f"key {number}"] = destination.name
    return found


def test_without_a_binding_a_message_goes_nowhere() -> None:
    assert an_exchange(KIND).match(["k"], None) == []


def test_a_key_always_goes_to_the_same_queue_whatever_the_order_of_bindings() -> None:
    one = bind(an_exchange(KIND), to("a", "1"), to("b", "2"), to("c", "1"))
    other = bind(an_exchange(KIND), to("c", "1"), to("a", "1"), to("b", "2"))

    assert spread(one) == spread(other)


def test_the_hash_is_the_same_in_every_process_and_version() -> None:
    exchange = bind(an_exchange(KIND), to("a", "1"), to("b", "1"), to("c", "1"))

    assert [names(exchange, a_message(key)) for key in ("", "order.1", "order.2", "ü")] == [
        ["b"], ["c"], ["c"], ["a"],
    ]  # fmt: skip


def test_shares_are_as_the_weights_say() -> None:
    exchange = bind(an_exchange(KIND), to("a", "1"), to("b", "2"), to("c", "5"))

    count = Counter(spread(exchange, 8000).values())

    assert count["a"] == pytest.approx(1000, rel=0.15)
    assert count["b"] == pytest.approx(2000, rel=0.1)
    assert count["c"] == pytest.approx(5000, rel=0.05)


def test_only_the_share_of_the_queue_that_comes_or_goes_moves() -> None:
    exchange = bind(an_exchange(KIND), *(to(name, "3") for name in "abcd"))
    before = spread(exchange)

    bind(exchange, to("e", "3"))
    more = spread(exchange)
    exchange.unbind(to("e", "3"))

    assert {more[key] for key in before if more[key] != before[key]} == {"e"}
    assert spread(exchange) == before


def test_the_first_binding_of_a_queue_counts_and_then_the_next() -> None:
    exchange = bind(an_exchange(KIND), to("b", "1"), to("a", "1"), to("a", "10000"))
    before = Counter(spread(exchange).values())

    exchange.unbind(to("a", "1"))
    after = Counter(spread(exchange).values())
    exchange.unbind(to("a", "10000"))

    assert before["a"] == pytest.approx(2000, rel=0.1)
    assert after["a"] > 3900
    assert set(spread(exchange).values()) == {"b"}


def test_a_header_is_hashed_instead_of_the_key() -> None:
    exchange = an_exchange(KIND, {"hash-header": "id"})
    bind(exchange, *(to(name, "1") for name in "abcdef"))

    assert exchange.uses_headers
    found = {str(names(exchange, a_message(f"{n}", headers={"id": "same"}))) for n in range(50)}
    assert len(found) == 1
    found = {str(names(exchange, a_message("k", headers={"id": n}))) for n in range(100)}
    assert len(found) == 6
    assert names(exchange, a_message("k", headers={"id": 7})) == names(
        exchange, a_message("j", headers={"id": "7"})
    )
    assert names(exchange, a_message("k")) == names(exchange, a_message("j"))


def test_x_hash_on_is_another_name_for_the_header() -> None:
    one = bind(an_exchange(KIND, {"hash-header": "id"}), to("a", "1"), to("b", "1"))
    other = bind(an_exchange(KIND, {"x-hash-on": "id"}), to("a", "1"), to("b", "1"))

    for number in range(20):
        message = a_message("k", headers={"id": number})
        assert names(one, message) == names(other, message)


@pytest.mark.parametrize("name", ["correlation_id", "message_id", "timestamp"])
def test_a_property_is_hashed_instead_of_the_key(name: str) -> None:
    exchange = bind(
        an_exchange(KIND, {"hash-property": name}), *(to(each, "1") for each in "abcdef")
    )

    assert exchange.uses_headers
    values: list[object] = [n if name == "timestamp" else str(n) for n in range(100)]
    found = {str(names(exchange, a_message("k", **{name: value}))) for value in values}  # type: ignore[arg-type]  # by name
    assert len(found) == 6
    assert names(exchange, a_message("k")) == names(exchange, a_message("j"))


def test_only_the_key_needs_no_properties() -> None:
    assert not an_exchange(KIND).uses_headers


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"hash-property": "app_id"}, "Unsupported property: app_id"),
        ({"hash-property": 5}, "Unsupported property: 5"),
        (
            {"hash-property": "message_id", "hash-header": "h"},
            "hash-header and hash-property are mutually exclusive",
        ),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: dict[str, object], text: str) -> None:
    with pytest.raises(PreconditionFailed) as refused:
        an_exchange(KIND, arguments)

    assert refused.value.explanation == text


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("", "The binding key must be an integer: <<>>"),
        ("abc", 'The binding key must be an integer: <<"abc">>'),
        ("1.5", 'The binding key must be an integer: <<"1.5">>'),
        ("²", 'The binding key must be an integer: <<"²">>'),
        ("0", "The binding key must be greater than 0"),
        ("-3", "The binding key must be greater than 0"),
        ("10001", "The binding key must not exceed 10000"),
        ("9" * 255, "The binding key must not exceed 10000"),
    ],
)
def test_a_weight_is_an_integer_from_1_to_10000(key: str, text: str) -> None:
    with pytest.raises(PreconditionFailed) as refused:
        an_exchange(KIND).validate(to("q", key), Limits())

    assert refused.value.explanation == text


@pytest.mark.parametrize("key", ["1", "+1", "010000", "10000"])
def test_these_are_weights(key: str) -> None:
    exchange = bind(an_exchange(KIND), to("q", key))

    assert exchange.match(["k"], None) == [to("q").destination]


def test_very_many_bindings_come_and_go_without_a_look_at_all_others() -> None:
    many = [to(f"q{n % 5000}", str(1 + n // 5000)) for n in range(10_000)]
    exchange = an_exchange(KIND)

    before_s = time.thread_time()
    bind(exchange, *many)
    for one in many:
        exchange.unbind(one)

    # It took several seconds where each looked at the others.
    assert time.thread_time() - before_s < 2
    assert exchange.match(["k"], None) == []
