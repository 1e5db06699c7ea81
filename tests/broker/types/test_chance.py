"""x-random and x-local-random: one binding, by the chance that comes with the message."""

from __future__ import annotations

import pytest

from amqpd.broker.limits import Limits
from amqpd.errors import PreconditionFailed
from tests.broker.model import Model
from tests.broker.types.exchanges import (
    a_message,
    an_exchange,
    bind,
    bind_queue,
    declare,
    names,
    to,
)


@pytest.mark.parametrize("kind", ["x-random", "x-local-random"])
def test_chance_decides(kind: str) -> None:
    exchange = an_exchange(kind)
    assert names(exchange) == []
    exchange.bind(to("a"))
    assert names(exchange, a_message(draw=7)) == ["a"]
    exchange.bind(to("b"))
    exchange.bind(to("c"))

    assert [names(exchange, a_message(draw=draw)) for draw in range(3)] == [["a"], ["b"], ["c"]]
    assert exchange.uses_headers


def test_keys_mean_nothing_to_a_random_exchange() -> None:
    exchange = bind(an_exchange("x-random"), to("a", "one"), to("a", "two"), to("x", "", None))

    assert names(exchange, a_message("other", draw=1)) == ["a"]


def test_what_a_queue_gets_depends_on_the_chance_the_broker_was_given() -> None:
    model = Model()
    draws = iter([1, 0, 1])
    model.broker.around.chance = lambda below: next(draws)
    declare(model, "x-random")
    for name in ("a", "b"):
        model.queue(name)
        bind_queue(model, name)

    model.publish(b"1", b"2", b"3", exchange="x")

    assert [model.vhost.queues[name].ready for name in ("a", "b")] == [1, 2]


def test_without_chance_it_is_always_the_first() -> None:
    model = Model()
    declare(model, "x-random")
    for name in ("a", "b"):
        model.queue(name)
        bind_queue(model, name)

    model.publish(b"1", b"2", exchange="x")

    assert model.vhost.queues["a"].ready == 2


def test_a_local_random_exchange_is_bound_to_classic_queues_without_a_key() -> None:
    model = Model()
    declare(model, "x-local-random")
    declare(model, "fanout", name="y")
    model.queue("classic")
    model.queue("quorum", arguments={"x-queue-type": "quorum"})

    bind_queue(model, "classic")
    for name, key, kind, text in (
        ("classic", "k", "queue", "Non empty binding 'k' key not permitted"),
        ("quorum", "", "queue", "Queue type rabbit_quorum_queue not valid for this exchange type"),
        ("y", "", "exchange", "Destination not found"),
    ):
        with pytest.raises(PreconditionFailed) as refused:
            bind_queue(model, name, key, kind=kind)  # type: ignore[arg-type]  # of two literals
        assert refused.value.explanation == text


def test_a_local_random_exchange_outside_of_a_vhost_knows_no_queues() -> None:
    with pytest.raises(PreconditionFailed, match="Destination not found"):
        an_exchange("x-local-random").validate(to("q"), Limits())


def test_a_queue_that_does_not_exist_is_no_destination() -> None:
    model = Model()
    exchange = declare(model, "x-local-random")

    with pytest.raises(PreconditionFailed, match="Destination not found"):
        exchange.validate(to("q"), Limits())
