"""The walk from an exchange to queues: each once, breadth first, with alternates."""

from __future__ import annotations

import pytest

from amqpd.broker.binding import Binding, Destination
from amqpd.broker.definitions import DestinationKind, PutExchange
from amqpd.broker.exchange import Exchange, create, predeclared, standard_types
from amqpd.broker.routing import reaches, route, routing_keys
from amqpd.errors import PreconditionFailed
from amqpd.fields import Field, Table


class Topology:
    """Exchanges by name, made and bound in one line each."""

    def __init__(self, **kinds: str) -> None:
        self.exchanges: dict[str, Exchange] = {
            name: create(
                standard_types(),
                PutExchange("/", name, kind, durable=True, auto_delete=False, internal=False),
            )
            for name, kind in kinds.items()
        }
        self.exchanges[""] = predeclared(standard_types(), "/")[0]

    def bind(self, source: str, kind: DestinationKind, name: str, key: str = "") -> None:
        self.exchanges[source].bind(Binding(source, Destination(kind, name), key))

    def route(self, source: str, *keys: str, headers: Table | None = None) -> list[str]:
        return route(self.exchanges[source], keys or ("",), headers, self.exchanges.get)

    def reaches(self, source: str) -> list[str]:
        return [each.name for each in reaches(self.exchanges[source], self.exchanges.get)]


def test_a_queue_gets_one_copy_however_often_it_is_bound() -> None:
    topology = Topology(x="topic", y="fanout")
    topology.bind("x", "queue", "q", "#")
    topology.bind("x", "queue", "q", "a.*")
    topology.bind("x", "exchange", "y", "a.b")
    topology.bind("y", "queue", "q")

    assert topology.route("x", "a.b") == ["q"]


def test_the_walk_is_breadth_first() -> None:
    topology = Topology(x="fanout", y="fanout", z="fanout")
    topology.bind("x", "exchange", "y")
    topology.bind("x", "exchange", "z")
    topology.bind("x", "queue", "near")
    topology.bind("y", "queue", "under y")
    topology.bind("z", "queue", "under z")
    topology.bind("z", "queue", "near")

    assert topology.route("x") == ["near", "under y", "under z"]


def test_cycles_of_exchanges_end() -> None:
    topology = Topology(x="fanout", y="fanout")
    topology.bind("x", "exchange", "y")
    topology.bind("y", "exchange", "x")
    topology.bind("x", "exchange", "x")
    topology.bind("y", "queue", "q")

    assert topology.route("x") == ["q"]
    assert topology.reaches("x") == ["x", "y"]


def test_a_long_chain_needs_no_stack() -> None:
    topology = Topology(**{f"x{n}": "fanout" for n in range(5000)})
    for n in range(4999):
        topology.bind(f"x{n}", "exchange", f"x{n + 1}")
    topology.bind("x4999", "queue", "q")

    assert topology.route("x0") == ["q"]


def test_an_exchange_that_is_gone_is_skipped() -> None:
    topology = Topology(x="fanout")
    topology.bind("x", "exchange", "gone")
    topology.bind("x", "queue", "q")

    assert topology.route("x") == ["q"]
    assert topology.reaches("x") == ["x"]


def test_the_alternate_takes_over_when_nothing_matches() -> None:
    topology = Topology(x="direct", alternate="fanout")
    topology.exchanges["x"].use_policy("alternate")
    topology.bind("x", "queue", "q", "known")
    topology.bind("alternate", "queue", "rest")

    assert topology.route("x", "known") == ["q"]
    assert topology.route("x", "unknown") == ["rest"]
    assert topology.reaches("x") == ["x", "alternate"]


def test_an_exchange_that_matched_another_exchange_does_not_need_its_alternate() -> None:
    topology = Topology(x="fanout", empty="direct", alternate="fanout")
    topology.exchanges["x"].use_policy("alternate")
    topology.bind("x", "exchange", "empty")
    topology.bind("alternate", "queue", "rest")

    assert topology.route("x", "k") == []


def test_alternates_of_alternates_are_followed_and_end() -> None:
    topology = Topology(x="direct", y="direct", z="direct")
    for name, alternate in (("x", "y"), ("y", "z"), ("z", "x")):
        topology.exchanges[name].use_policy(alternate)

    assert topology.route("x", "k") == []
    topology.bind("z", "queue", "q", "k")
    assert topology.route("x", "k") == ["q"]


def test_the_alternate_of_an_exchange_on_the_way_counts_too() -> None:
    topology = Topology(x="fanout", y="direct", alternate="fanout")
    topology.exchanges["y"].use_policy("alternate")
    topology.bind("x", "exchange", "y")
    topology.bind("x", "queue", "q")
    topology.bind("alternate", "queue", "rest")

    assert topology.route("x", "k") == ["q", "rest"]


def test_a_missing_alternate_is_nowhere() -> None:
    topology = Topology(x="direct")
    topology.exchanges["x"].use_policy("gone")

    assert topology.route("x", "k") == []


def test_the_default_exchange_as_alternate_names_the_queue_of_the_key() -> None:
    topology = Topology(x="direct")
    topology.exchanges["x"].use_policy("")

    assert topology.route("x", "orders") == ["orders"]


def test_headers_go_along() -> None:
    topology = Topology(x="fanout", y="headers")
    topology.bind("x", "exchange", "y")
    topology.exchanges["y"].bind(Binding("y", Destination("queue", "q"), "", {"a": Field("I", 1)}))

    assert topology.route("x", headers={"a": Field("I", 1)}) == ["q"]
    assert topology.route("x", headers={"a": Field("I", 2)}) == []


# -- keys --------------------------------------------------------------------------------


def texts(*values: str) -> Field:
    return Field("A", [Field("S", value) for value in values])


@pytest.mark.parametrize(
    ("headers", "keys"),
    [
        (None, ["k"]),
        ({}, ["k"]),
        ({"other": texts("a")}, ["k"]),
        ({"CC": texts("a", "b")}, ["k", "a", "b"]),
        ({"BCC": texts("c"), "CC": texts("a", "k")}, ["k", "a", "c"]),
        ({"cc": texts("a")}, ["k"]),
        (
            {"CC": Field("A", [Field("I", 5), Field("S", b"\xff"), Field("S", "a")])},
            ["k", "\udcff", "a"],
        ),
        ({"CC": Field("A", [])}, ["k"]),
    ],
)
def test_cc_and_bcc_add_routing_keys(headers: Table | None, keys: list[str]) -> None:
    assert routing_keys("k", headers) == keys


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({"CC": Field("S", "a")}, 'invalid message: {unacceptable_type_in_header,"CC",longstr}'),
        ({"BCC": Field("F", {})}, 'invalid message: {unacceptable_type_in_header,"BCC",table}'),
    ],
)
def test_cc_and_bcc_must_be_arrays(headers: Table, text: str) -> None:
    with pytest.raises(PreconditionFailed) as refused:
        routing_keys("k", headers)

    assert refused.value.explanation == text
