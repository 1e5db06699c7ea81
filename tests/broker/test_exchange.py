"""The exchange types: what each of them matches, and what it refuses to be bound with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpd.broker.binding import Binding, Destination
from amqpd.broker.definitions import PutExchange
from amqpd.broker.exchange import Exchange, FanoutExchange, create, predeclared, standard_types
from amqpd.broker.limits import Limits
from amqpd.broker.message import Message, a_run
from amqpd.errors import PreconditionFailed
from amqpd.fields import Field, Table, wrap
from amqpd.properties import Properties

if TYPE_CHECKING:
    from collections.abc import Sequence

TYPES = standard_types()


def an_exchange(kind: str, arguments: Table | None = None) -> Exchange:
    definition = PutExchange(
        "/", "x", kind, durable=True, auto_delete=False, internal=False, arguments=arguments or {}
    )
    return create(TYPES, definition)


def a_table(**values: str | int | bool | None) -> Table:
    return {name.replace("_", "-"): wrap(value) for name, value in values.items()}


def to(queue: str, key: str = "", arguments: Table | None = None) -> Binding:
    return Binding("x", Destination("queue", queue), key, arguments or {})


def names(
    exchange: Exchange, keys: Sequence[str] = ("",), headers: Table | None = None
) -> set[str]:
    return {each.name for each in exchange.match(keys, headers)}


# -- all types ---------------------------------------------------------------------------


def test_an_exchange_is_what_its_definition_says() -> None:
    definition = PutExchange("v", "x", "fanout", durable=False, auto_delete=True, internal=True)

    exchange = create(TYPES, definition)

    assert (exchange.vhost, exchange.name, exchange.kind) == ("v", "x", "fanout")
    assert (exchange.durable, exchange.auto_delete, exchange.internal) == (False, True, True)
    assert exchange.definition is definition


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(PreconditionFailed, match=r"^unknown exchange type 'x-strange'$"):
        an_exchange("x-strange")


def test_a_type_of_ones_own_is_put_into_the_registry() -> None:
    class LastExchange(Exchange):
        kind = "x-last"

        def match(self, keys: Sequence[str], headers: Table | None) -> list[Destination]:
            return [each.destination for each in self.bindings][-1:]

    types: dict[str, type[Exchange]] = {**standard_types(), LastExchange.kind: LastExchange}
    exchange = create(
        types, PutExchange("/", "x", "x-last", durable=True, auto_delete=False, internal=False)
    )
    exchange.validate(to("a"), Limits())
    exchange.bind(to("a"))
    exchange.bind(to("b"))
    exchange.bind(to("c"))
    exchange.unbind(to("c"))

    assert names(exchange) == {"b"}


def test_a_type_with_nothing_more_in_mind_matches_and_keeps_nothing() -> None:
    exchange = an_exchange("direct")
    exchange.bind(to("q", "k"))
    message = Message(("k",), Properties(), 0, int)

    assert exchange.match_message(message) == exchange.match(["k"], None)
    assert exchange.keep(message, a_run(b"\0\0", Properties(), b"")) is None
    assert not exchange.keeps


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_binding_twice_is_binding_once(kind: str) -> None:
    exchange = an_exchange(kind)

    assert exchange.bind(to("q", "k", {"n": Field("I", 1)}))
    assert not exchange.bind(to("q", "k", {"n": Field("l", 1)}))

    assert len(exchange.bindings) == 1


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_after_unbinding_nothing_matches(kind: str) -> None:
    exchange = an_exchange(kind)
    exchange.bind(to("q", "k"))
    exchange.bind(to("p", "k"))
    exchange.bind(to("p", "k", {"n": Field("I", 1)}))

    assert exchange.unbind(to("p", "k", {"n": Field("l", 1)}))
    assert exchange.unbind(to("p", "k"))
    assert not exchange.unbind(to("p", "k"))
    assert names(exchange, ["k"]) == {"q"}
    assert exchange.unbind(to("q", "k"))

    assert names(exchange, ["k"]) == set()
    assert not exchange.bindings


def test_bindings_to_exchanges_are_counted() -> None:
    exchange = an_exchange("fanout")
    first = Binding("x", Destination("exchange", "y"), "1")
    second = Binding("x", Destination("exchange", "y"), "2")
    exchange.bind(first)
    exchange.bind(second)
    exchange.bind(to("q"))

    assert exchange.exchange_destinations == {"y": 2}
    exchange.unbind(first)
    assert exchange.exchange_destinations == {"y": 1}
    exchange.unbind(second)
    exchange.unbind(to("q"))
    assert exchange.exchange_destinations == {}


def test_an_alternate_exchange_in_the_arguments_beats_the_policy() -> None:
    own = an_exchange("direct", {"alternate-exchange": Field("S", "own")})
    plain = an_exchange("direct")

    for each in (own, plain):
        each.use_policy("policy")

    assert own.alternate_exchange == "own"
    assert plain.alternate_exchange == "policy"
    plain.use_policy(None)
    assert plain.alternate_exchange is None


def test_lavinmqs_name_for_an_alternate_exchange_is_understood() -> None:
    theirs = {"x-alternate-exchange": Field("S", "theirs")}

    assert an_exchange("direct", theirs).alternate_exchange == "theirs"
    both = {**theirs, "alternate-exchange": Field("S", "ours")}
    assert an_exchange("direct", both).alternate_exchange == "ours"


def test_an_alternate_exchange_that_is_no_text_counts_as_none() -> None:
    assert an_exchange("direct", {"alternate-exchange": Field("I", 5)}).alternate_exchange is None


def test_a_vhost_begins_with_the_exchanges_of_rabbitmq() -> None:
    exchanges = {each.name: each for each in predeclared(TYPES, "v")}

    assert {name: each.kind for name, each in exchanges.items()} == {
        "": "direct",
        "amq.direct": "direct",
        "amq.fanout": "fanout",
        "amq.headers": "headers",
        "amq.match": "headers",
        "amq.rabbitmq.trace": "topic",
        "amq.topic": "topic",
    }
    assert [name for name, each in exchanges.items() if each.internal] == ["amq.rabbitmq.trace"]
    assert all(each.durable and each.vhost == "v" for each in exchanges.values())


def test_only_headers_exchanges_need_headers_and_only_topics_have_topic_rights() -> None:
    assert [kind for kind, each in TYPES.items() if each.uses_headers] == ["headers"]
    assert [kind for kind, each in TYPES.items() if each.has_topics] == ["topic"]


# -- default, direct, fanout -------------------------------------------------------------


def test_the_default_exchange_names_the_queue_of_each_key() -> None:
    default = predeclared(TYPES, "/")[0]

    assert default.match(["a", "b"], None) == [Destination("queue", "a"), Destination("queue", "b")]


def test_direct_matches_the_same_key_only() -> None:
    exchange = an_exchange("direct")
    exchange.bind(to("a", "one"))
    exchange.bind(to("b", "one"))
    exchange.bind(to("c", "two"))

    assert names(exchange, ["one"]) == {"a", "b"}
    assert names(exchange, ["one", "two"]) == {"a", "b", "c"}
    assert names(exchange, ["ONE"]) == set()


def test_fanout_goes_everywhere_in_the_order_of_binding() -> None:
    exchange = an_exchange("fanout")
    for name in "cab":
        exchange.bind(to(name, name))

    assert isinstance(exchange, FanoutExchange)
    assert [each.name for each in exchange.match(["any"], None)] == ["c", "a", "b"]


# -- topic -------------------------------------------------------------------------------


def test_topic_matches_any_of_the_keys() -> None:
    exchange = an_exchange("topic")
    exchange.bind(to("stars", "a.*"))
    exchange.bind(to("rest", "b.#"))

    assert names(exchange, ["a.x"]) == {"stars"}
    assert names(exchange, ["a.x", "b"]) == {"stars", "rest"}


def test_hash_words_are_not_limited_unless_configured() -> None:
    exchange = an_exchange("topic")
    many = to("q", "#.a.#.b.#")

    exchange.validate(many, Limits())
    exchange.validate(to("q", "#.a.#"), Limits(max_topic_hash_wildcards=2))
    with pytest.raises(PreconditionFailed) as refused:
        exchange.validate(many, Limits(max_topic_hash_wildcards=2))

    assert refused.value.explanation == (
        "Topic binding key '#.a.#.b.#' uses 3 '#' wildcards, at most 2 are allowed"
    )


# -- headers -----------------------------------------------------------------------------

ONE = a_table(a=1, b="two")


@pytest.mark.parametrize(
    ("arguments", "headers", "expected"),
    [
        # all is the default; other headers do not matter
        (ONE, a_table(a=1, b="two"), True),
        (ONE, a_table(a=1, b="two", c=3), True),
        (ONE, a_table(a=1), False),
        (ONE, a_table(a=2, b="two"), False),
        (ONE, {}, False),
        ({**ONE, "x-match": Field("S", "all")}, a_table(a=1), False),
        # any
        ({**ONE, "x-match": Field("S", "any")}, a_table(a=1), True),
        ({**ONE, "x-match": Field("S", "any")}, a_table(b="two"), True),
        ({**ONE, "x-match": Field("S", "any")}, a_table(a=2, b="three"), False),
        # values of all integer types are compared by value, strings as octets
        ({"n": Field("B", 7)}, {"n": Field("l", 7)}, True),
        ({"n": Field("S", "v")}, {"n": Field("x", b"v")}, True),
        ({"n": Field("S", "7")}, {"n": Field("I", 7)}, False),
        ({"n": Field("t", True)}, {"n": Field("I", 1)}, False),
        # void asks for presence only
        ({"n": Field("V", None)}, {"n": Field("F", {})}, True),
        ({"n": Field("V", None)}, {"m": Field("V", None)}, False),
        ({"n": Field("V", None), "x-match": Field("S", "any")}, {"n": Field("I", 1)}, True),
        ({"n": Field("S", "v")}, {"n": Field("V", None)}, False),
        # names that begin with x- count in the -with-x modes only
        (a_table(x_a=1), a_table(x_a=2), True),
        ({**a_table(x_a=1), "x-match": Field("S", "all-with-x")}, a_table(x_a=2), False),
        ({**a_table(x_a=1), "x-match": Field("S", "all-with-x")}, a_table(x_a=1), True),
        ({**a_table(x_a=1), "x-match": Field("S", "any-with-x")}, a_table(x_a=1), True),
        ({**a_table(x_a=1), "x-match": Field("S", "any")}, a_table(x_a=1), False),
        # no conditions: all of none are met, any of none is not
        ({}, a_table(a=1), True),
        ({}, None, True),
        ({"x-match": Field("S", "all")}, {}, True),
        ({"x-match": Field("S", "any")}, a_table(a=1), False),
        ({"x-match": Field("S", "any-with-x")}, {"x-match": Field("S", "any-with-x")}, False),
    ],
)
def test_headers_match(arguments: Table, headers: Table | None, expected: bool) -> None:
    exchange = an_exchange("headers")
    binding = to("q", arguments=arguments)
    exchange.validate(binding, Limits())
    exchange.bind(binding)

    assert bool(exchange.match([""], headers)) is expected

    exchange.unbind(binding)
    assert exchange.match([""], headers) == []


def test_headers_bindings_that_share_conditions_are_told_apart() -> None:
    exchange = an_exchange("headers")
    for region in ("eu", "us"):
        for kind in ("order", "refund"):
            exchange.bind(to(f"{kind}.{region}", arguments=a_table(kind=kind, region=region)))
    exchange.bind(to("any", arguments=a_table(x_match="any", kind="order", region="us")))

    assert names(exchange, headers=a_table(kind="order", region="eu")) == {"order.eu", "any"}
    exchange.unbind(to("order.eu", arguments=a_table(kind="order", region="eu")))
    assert names(exchange, headers=a_table(kind="order", region="eu")) == {"any"}
    assert names(exchange, headers=a_table(kind="refund", region="us")) == {"refund.us", "any"}


def test_a_binding_is_unindexed_by_the_types_it_was_made_with() -> None:
    exchange = an_exchange("headers")
    exchange.bind(to("q", arguments={**a_table(x_a=1), "x-match": Field("S", "any-with-x")}))

    assert exchange.unbind(
        to("q", arguments={**a_table(x_a=1), "x-match": Field("x", b"any-with-x")})
    )

    assert names(exchange, headers=a_table(x_a=1)) == set()


@pytest.mark.parametrize(
    ("x_match", "text"),
    [
        (
            Field("S", "some"),
            'Invalid x-match field value <<"some">>; expected all, any, all-with-x, or any-with-x',
        ),
        (Field("I", 5), "Invalid x-match field type signedint (value 5); expected longstr"),
        (Field("t", True), "Invalid x-match field type bool (value true); expected longstr"),
    ],
)
def test_a_wrong_x_match_is_refused(x_match: Field, text: str) -> None:
    with pytest.raises(PreconditionFailed) as refused:
        an_exchange("headers").validate(to("q", arguments={"x-match": x_match}), Limits())

    assert refused.value.explanation == text
