"""x-message-deduplication: each value of the header passes once."""

from __future__ import annotations

import pytest

from amqpd.broker.types.deduplication import DeduplicationExchange
from amqpd.errors import PreconditionFailed
from amqpd.fields import Field
from tests.broker.types.exchanges import an_exchange, bind_queue, declare
from tests.broker.types.living import Living

KIND = "x-message-deduplication"


def a_model(durable: bool = True, **arguments: object) -> Living:
    """A model with an exchange x that knows three keys, and a queue q bound to it."""
    model = Living()
    named = {name.replace("_", "-"): value for name, value in arguments.items()}
    declare(model, KIND, {"x-cache-size": 3} | named, durable=durable)
    model.queue()
    bind_queue(model)
    model.commit()
    return model


def publish(model: Living, key: object, ttl: object = None, **more: object) -> bool:
    """Publish one message; whether it counts as routed."""
    from tests.broker.model import a_table

    headers = {} if key is None else {"x-deduplication-header": key}
    if ttl is not None:
        headers["x-cache-ttl"] = ttl
    body = str(key.value if isinstance(key, Field) else key).encode()
    published = model.publish(body, exchange="x", headers=a_table(headers), **more)  # type: ignore[arg-type]  # by name
    return published.routed


def exchange_of(model: Living) -> DeduplicationExchange:
    exchange = model.vhost.exchanges["x"]
    assert isinstance(exchange, DeduplicationExchange)
    return exchange


def test_a_known_key_does_not_pass_again_and_counts_as_routed() -> None:
    model = a_model()

    assert all([publish(model, "a"), publish(model, "b"), publish(model, "a")])

    assert model.bodies() == [b"a", b"b"]
    assert exchange_of(model).duplicates == 1


def test_a_duplicate_does_not_go_to_the_alternate_exchange() -> None:
    model = a_model(alternate_exchange="amq.fanout")
    model.queue("other")
    bind_queue(model, "other", exchange="amq.fanout")

    publish(model, "a")
    publish(model, "a")

    assert model.vhost.queues["other"].ready == 0


def test_messages_without_the_header_always_pass() -> None:
    model = a_model()

    for _ in range(2):
        publish(model, None)

    assert model.bodies() == [b"None"] * 2
    assert len(exchange_of(model)) == 0


def test_a_key_is_compared_by_its_meaning() -> None:
    model = a_model()

    publish(model, Field("I", 5))
    publish(model, Field("l", 5))
    publish(model, Field("S", "5"))

    assert len(model.bodies()) == 2


def test_the_oldest_key_is_forgotten_first() -> None:
    model = a_model()

    for key in "abcda":
        publish(model, key)

    assert model.bodies() == [b"a", b"b", b"c", b"d", b"a"]
    assert len(exchange_of(model)) == 3


def test_keys_are_forgotten_after_the_ttl_of_the_exchange_or_the_message() -> None:
    model = a_model(x_cache_ttl=100)
    publish(model, "a")
    publish(model, "b", ttl=1000)
    publish(model, "c", ttl="50")

    model.turn(60)
    assert [publish(model, key) for key in "abc"] == [True] * 3
    assert model.bodies() == [b"a", b"b", b"c", b"c"]
    model.turn(50)
    for key in "abc":
        publish(model, key)

    assert model.bodies() == [b"a"]


def test_a_key_that_comes_again_after_its_time_is_on_disk_once() -> None:
    model = a_model(x_cache_ttl=100)
    for _ in range(3):
        publish(model, "a", mode=2)
        publish(model, "b", ttl=1, mode=2)
        model.turn(50)
        publish(model, "b", ttl=1, mode=2)
        model.turn(60)

    exchange = exchange_of(model)
    assert exchange._shelf is not None
    assert exchange._shelf.stored == len(exchange) == 2


def test_a_ttl_that_makes_no_sense_is_ignored() -> None:
    model = a_model(x_cache_ttl=100)
    for number, ttl in enumerate((0, -1, "x", True, "9" * 30)):
        publish(model, number, ttl=ttl)
        model.turn(100)
        publish(model, number)

    assert len(model.bodies()) == 10


@pytest.mark.parametrize("mode", [1, 2])
def test_keys_are_known_after_a_restart(mode: int) -> None:
    model = a_model(x_cache_ttl=10_000)
    for key in ("a", "b"):
        publish(model, key, mode=mode)
    assert model.bodies() == [b"a", b"b"]
    model.commit()

    model.restart(5_000)
    for key in ("a", "b", "c", "d", "b", "a"):
        publish(model, key, mode=mode)
    assert model.bodies() == [b"c", b"d", b"a"]
    model.commit()
    model.restart(5_001)
    publish(model, "b", mode=mode)
    publish(model, "d", mode=mode)

    assert model.bodies() == [b"b"]


def test_keys_that_arrive_before_those_of_before_the_restart_are_newer() -> None:
    model = a_model()
    for key in "ab":
        publish(model, key)
    model.commit()
    model.disk.crash()
    model.start(model.broker.around.now_ms)
    model.vhost, model.access = model.broker.open_vhost("/", "u")
    for key in "ac":
        publish(model, key)

    model.turn()
    publish(model, "d")
    publish(model, "b")

    assert exchange_of(model).duplicates == 0
    assert len(exchange_of(model)) == 3


@pytest.mark.parametrize(("durable", "persistence"), [(True, "memory"), (False, "disk")])
def test_keys_in_memory_are_gone_after_a_restart(durable: bool, persistence: str) -> None:
    model = a_model(durable, x_cache_persistence=persistence)
    publish(model, "a")
    model.commit()

    assert exchange_of(model).on_disk is False
    assert len(exchange_of(model)) == 1
    model.restart()
    if durable:
        publish(model, "a")
        assert model.bodies() == [b"a", b"a"]


def test_a_key_is_on_disk_with_its_message_or_not_at_all() -> None:
    model = a_model()
    publish(model, "a")

    model.restart()
    publish(model, "a")

    assert model.bodies() == [b"a"]


def test_what_a_queue_refused_may_be_tried_again() -> None:
    model = a_model()
    model.queue("full", arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
    bind_queue(model, "full")
    publish(model, "a")
    model.vhost.unbind(model.access, "x", "full", "queue", "", {}, model)

    publish(model, "a")

    assert exchange_of(model).duplicates == 0


def test_two_of_a_transaction_pass_both_and_the_second_is_counted() -> None:
    model = a_model()
    from amqpd.broker.message import a_run
    from amqpd.broker.names import join
    from amqpd.properties import Properties

    properties = Properties(headers={"x-deduplication-header": Field("S", "a")})
    run = a_run(join("x", ""), properties, b"")
    paths = [model.vhost.route(model.access, "x", [""], properties) for _ in range(2)]
    with model.broker.journal.atomic():
        for path in paths:
            model.vhost.publish(path, run.copy())

    assert model.vhost.queues["q"].ready == 2
    assert exchange_of(model).duplicates == 1


def test_keys_that_were_over_before_they_were_read_are_forgotten() -> None:
    model = a_model(x_cache_ttl=100)
    publish(model, "a")
    publish(model, "b")
    model.commit()

    model.restart(100)

    assert len(exchange_of(model)) == 0


def test_a_new_binding_gets_nothing() -> None:
    model = a_model()
    publish(model, "a")
    model.queue("r")

    bind_queue(model, "r")

    assert model.vhost.queues["r"].ready == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "Missing or invalid argument, 'x-cache-size' must be an integer greater than 0"),
        (
            {"x-cache-size": 0},
            "Missing or invalid argument, 'x-cache-size' must be an integer greater than 0",
        ),
        (
            {"x-cache-size": 1, "x-cache-ttl": -1},
            "Invalid argument, 'x-cache-ttl' must be an integer greater than 0",
        ),
        (
            {"x-cache-size": "10", "x-cache-persistence": "tape"},
            "Invalid argument, 'x-cache-persistence' must be either 'disk' or 'memory'",
        ),
    ],
)
def test_arguments_are_checked(arguments: dict[str, object], text: str) -> None:
    with pytest.raises(PreconditionFailed) as refused:
        an_exchange(KIND, arguments)

    assert refused.value.explanation == text
