"""x-lvc: new bindings get the last message of their key."""

from __future__ import annotations

import pytest

from amqpd.broker.types.last_value import FEW, LastValueExchange
from tests.broker.types.exchanges import a_message as message
from tests.broker.types.exchanges import an_exchange, bind_queue, declare, names, to
from tests.broker.types.living import Living

KIND = "x-lvc"


@pytest.fixture
def model() -> Living:
    """A model with an exchange x and a queue q."""
    model = Living()
    declare(model, KIND)
    model.queue()
    return model


def test_it_routes_as_direct_does() -> None:
    exchange = an_exchange(KIND)
    for name, key in (("a", "one"), ("b", "one"), ("c", "two")):
        exchange.bind(to(name, key))

    assert names(exchange, message("one")) == ["a", "b"]
    assert names(exchange, message("one", "two")) == ["a", "b", "c"]
    exchange.unbind(to("a", "one"))
    exchange.unbind(to("b", "one"))
    assert names(exchange, message("one")) == []


def test_a_new_binding_gets_the_last_message_of_its_key(model: Living) -> None:
    model.publish(b"1", b"2", exchange="x", key="one")
    model.publish(b"3", exchange="x", key="two")

    bind_queue(model, key="one")
    bind_queue(model, key="none")

    assert model.bodies() == [b"2"]


def test_values_are_kept_over_a_restart_and_newer_ones_win(model: Living) -> None:
    for key in ("one", "two"):
        model.publish(b"old " + key.encode(), exchange="x", key=key)
    model.commit()

    model.disk.crash()
    model.start(model.broker.around.now_ms)
    model.vhost, model.access = model.broker.open_vhost("/", "u")
    model.publish(b"new one", exchange="x", key="one")
    model.turn()
    bind_queue(model, key="one")
    bind_queue(model, key="two")
    assert model.bodies() == [b"new one", b"old two"]
    model.commit()
    model.restart()
    bind_queue(model, key="one", arguments={"again": 1})

    assert model.bodies() == [b"new one"]


def test_each_of_the_keys_has_the_message_as_its_value(model: Living) -> None:
    path = model.vhost.publishing
    from amqpd.broker.message import a_run
    from amqpd.broker.names import join
    from amqpd.properties import Properties

    properties = Properties(delivery_mode=2)
    found = path.route(model.access, "x", ["one", "cc"], properties)
    path.publish(found, a_run(join("x", "one"), properties, b"1"))
    model.commit()
    model.restart()

    bind_queue(model, key="cc")
    bind_queue(model, key="one")

    assert model.bodies() == [b"1", b"1"]


def test_a_value_that_has_expired_is_not_handed_over(model: Living) -> None:
    model.publish(b"1", exchange="x", key="one", expiration="100")
    model.turn(100)

    bind_queue(model, key="one")

    assert model.bodies() == []


def test_expired_values_do_not_pile_up(model: Living) -> None:
    exchange = model.vhost.exchanges["x"]
    assert isinstance(exchange, LastValueExchange)
    model.publish(b"stays", exchange="x", key="stays")
    for number in range(FEW - 2):
        model.publish(b"1", exchange="x", key=str(number), expiration="100")
    model.turn(100)
    assert len(exchange) == FEW - 1

    model.publish(b"1", exchange="x", key="one more")

    assert len(exchange) == 2
    # Nor on disk.
    assert exchange._shelf is not None
    assert exchange._shelf.stored == 2


def test_without_persistence_values_are_in_memory_only(model: Living) -> None:
    assert model.publish(b"1", exchange="x", key="one", mode=1).number == 0
    model.commit()

    model.restart()
    bind_queue(model, key="one")

    assert model.bodies() == []
