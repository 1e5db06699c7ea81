"""x-modulus-hash: one of the destinations in order, by hash modulo count."""

from __future__ import annotations

import time
from collections import Counter

from amqpd.broker.types.hashing import hash_of
from tests.broker.types.exchanges import an_exchange, bind, to

KIND = "x-modulus-hash"


def test_without_a_binding_a_message_goes_nowhere() -> None:
    assert an_exchange(KIND).match(["k"], None) == []


def test_the_hash_of_the_keys_modulo_the_count_is_the_place_in_order() -> None:
    exchange = bind(an_exchange(KIND), to("c", "any"), to("a"), to("b", "5"), to("a", "again"))

    for key in map(str, range(30)):
        expected = ["a", "b", "c"][hash_of(key) % 3]
        assert [each.name for each in exchange.match([key], None)] == [expected]
    assert exchange.match(["k", "cc"], None)[0].name == ["a", "b", "c"][hash_of("k", "cc") % 3]


def test_keys_are_spread_evenly() -> None:
    exchange = bind(an_exchange(KIND), *map(to, "abcd"))

    count = Counter(exchange.match([f"key {n}"], None)[0].name for n in range(4000))

    assert min(count.values()) > 900


def test_after_unbinding_the_others_share() -> None:
    exchange = bind(an_exchange(KIND), to("a"), to("b"))

    exchange.unbind(to("a"))

    assert {exchange.match([str(n)], None)[0].name for n in range(20)} == {"b"}


def test_very_many_bindings_come_and_go_without_a_look_at_all_others() -> None:
    many = [to(f"q{n % 5000}", str(1 + n // 5000)) for n in range(10_000)]
    exchange = an_exchange(KIND)

    before_s = time.thread_time()
    bind(exchange, *many)
    for one in many:
        exchange.unbind(one)

    # It took half a minute where each looked at the others.
    assert time.thread_time() - before_s < 2
    assert exchange.match(["k"], None) == []
