"""x-delayed-message: as another type, later."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpd.broker.content import header_payload
from amqpd.broker.message import a_run
from amqpd.broker.names import join, split
from amqpd.broker.types.delayed import MAX_DELAY_MS, DelayedExchange, delay_of
from amqpd.errors import PreconditionFailed
from amqpd.fields import Field
from amqpd.properties import Properties, decode_header
from tests.broker.model import FakeConsumer, a_table
from tests.broker.types.exchanges import an_exchange, bind_queue, declare
from tests.broker.types.living import Living

if TYPE_CHECKING:
    from amqpd.broker.lane import Lane
    from amqpd.broker.publishing import Published
    from amqpd.broker.stretch import Stretch

KIND = "x-delayed-message"


class Reader(FakeConsumer):
    """A consumer that looks at the properties and the key."""

    def __init__(self) -> None:
        super().__init__(no_ack=True)
        self.properties: list[Properties] = []
        self.names: list[tuple[str, str]] = []

    def deliver(self, lane: Lane, piece: Stretch) -> None:
        super().deliver(lane, piece)
        for index in range(piece.lo, piece.hi):
            payload = header_payload(piece.run.contents[index])
            self.properties.append(decode_header(payload)[2])
            self.names.append(split(piece.run.names_of(index)))


def a_model(inner: str = "direct", *, durable: bool = True, **arguments: object) -> Living:
    """A model with a delayed exchange x and a queue q, bound with the key k."""
    model = Living()
    more = {name.replace("_", "-"): value for name, value in arguments.items()}
    declare(model, KIND, {"x-delayed-type": inner} | more, durable=durable)
    model.queue()
    bind_queue(model, key="" if inner == "fanout" else "k")
    model.commit()
    return model


def publish(
    model: Living, body: bytes, delay: object = None, key: str = "k", **more: object
) -> Published:
    headers = None if delay is None else a_table({"x-delay": delay})
    return model.publish(body, exchange="x", key=key, headers=headers, **more)  # type: ignore[arg-type]  # by name


def exchange_of(model: Living) -> DelayedExchange:
    exchange = model.vhost.exchanges["x"]
    assert isinstance(exchange, DelayedExchange)
    return exchange


def read(model: Living, *keys: str, queue: str = "q") -> Reader:
    reader = Reader()
    model.consume(reader, queue)
    model.turn()
    return reader


def test_messages_come_in_the_order_in_which_they_are_due() -> None:
    model = a_model()
    for body, delay in ((b"300", 300), (b"100", 100), (b"200a", 200), (b"200b", 200), (b"0", 0)):
        assert publish(model, body, delay).routed

    assert exchange_of(model).messages_delayed == 4
    assert model.bodies() == [b"0"]
    model.wait(90)
    assert model.bodies() == []
    model.wait(10)
    assert model.bodies() == [b"100"]
    model.wait(200)
    assert model.bodies() == [b"200a", b"200b", b"300"]
    assert exchange_of(model).messages_delayed == 0


@pytest.mark.parametrize(
    ("delay", "delay_ms"),
    [
        (None, 0),
        (Field("I", 5), 5),
        (Field("l", 5), 5),
        (Field("b", -5), 0),
        (Field("S", "250"), 250),
        (Field("S", "soon"), 0),
        (Field("d", 99.9), 99),
        (Field("d", float("inf")), 0),
        (Field("d", float("nan")), 0),
        (Field("t", True), 0),
        (Field("V", None), 0),
        (Field("l", MAX_DELAY_MS), MAX_DELAY_MS),
        (Field("l", MAX_DELAY_MS + 1), 0),
    ],
)
def test_a_delay_is_a_number_above_0_and_not_too_high(delay: Field | None, delay_ms: int) -> None:
    assert delay_of({} if delay is None else {"x-delay": delay}) == delay_ms


def test_the_header_becomes_negative_and_the_rest_stays() -> None:
    model = a_model()
    publish(model, b"1", 100, message_id="m", expiration="5000", priority=3)
    publish(model, b"2", Field("l", 2**32 - 1))
    model.wait(100)
    model.turn(2**32)
    reader = Reader()
    model.consume(reader)
    model.turn()

    (second,) = reader.properties
    assert reader.bodies == [b"2"]  # the first one has expired
    assert second.headers == {"x-delay": Field("l", 1 - 2**32)}
    publish(model, b"3", 100, message_id="m", expiration="5000", priority=3)
    model.wait(100)
    assert reader.properties[1] == Properties(
        headers={"x-delay": Field("I", -100)},
        delivery_mode=2,
        message_id="m",
        expiration="5000",
        priority=3,
    )
    assert reader.names == [("x", "k")] * 2


def test_what_is_persistent_is_confirmed_when_on_disk_and_survives() -> None:
    model = a_model()
    published = publish(model, b"1", 1_000)
    assert published.entry is not None
    assert published.number > model.broker.journal.safe
    publish(model, b"transient", 1_000, mode=1)
    model.commit()
    assert published.number <= model.broker.journal.safe

    model.restart(500)

    assert exchange_of(model).messages_delayed == 1
    model.wait(490)
    assert model.bodies() == []
    model.wait(20)
    assert model.bodies() == [b"1"]
    model.commit()
    model.restart()
    assert model.bodies() == []
    assert exchange_of(model).messages_delayed == 0


def test_what_fell_due_while_the_broker_was_down_comes_at_once() -> None:
    model = a_model()
    publish(model, b"late", 1_000)
    publish(model, b"later", 50_000_000)
    model.commit()

    model.restart(60_000)
    publish(model, b"new", 10)
    model.wait(20)

    assert model.bodies() == [b"late", b"new"]
    model.restart(50_000_000)
    model.wait(10)
    assert model.bodies() == [b"later"]


def test_transient_messages_and_exchanges_need_no_disk() -> None:
    model = a_model(durable=False)

    assert publish(model, b"1", 100).number == 0
    model.wait(100)

    assert model.bodies() == [b"1"]


def test_the_route_is_that_of_the_time_when_it_is_due() -> None:
    model = a_model()
    publish(model, b"1", 100)
    model.vhost.unbind(model.access, "x", "q", "queue", "k", {}, model)
    model.queue("r")
    bind_queue(model, "r", "k")
    model.wait(100)

    assert (model.bodies("q"), model.bodies("r")) == ([], [b"1"])


def test_what_goes_nowhere_then_is_counted() -> None:
    model = a_model()

    assert publish(model, b"1", 100, key="other").routed
    model.wait(100)

    assert model.vhost.publishing.dropped == {"unroutable": 1}


def test_the_alternate_exchange_is_asked_when_the_message_is_due() -> None:
    model = a_model(alternate_exchange="amq.fanout")
    model.queue("rest")
    bind_queue(model, "rest", exchange="amq.fanout")
    publish(model, b"1", 100, key="other")

    assert model.vhost.queues["rest"].ready == 0
    model.wait(100)
    assert model.bodies("rest") == [b"1"]


def test_cc_and_bcc_count_and_bcc_is_not_seen() -> None:
    model = a_model()
    for name in ("cc", "bcc"):
        model.queue(name)
        bind_queue(model, name, name)
    headers = a_table({"x-delay": 100, "CC": ["cc"]})
    properties = Properties(headers=headers, delivery_mode=2)
    path = model.vhost.route(model.access, "x", ["k", "cc", "bcc"], properties)
    model.vhost.publish(path, a_run(join("x", "k"), properties, b"1"))
    model.commit()

    model.restart(100)

    for name in ("q", "cc", "bcc"):
        reader = Reader()
        model.consume(reader, name)
        model.turn()
        assert reader.bodies == [b"1"]
        assert list(reader.properties[0].headers or {}) == ["x-delay", "CC"]


def test_bindings_are_those_of_the_other_type() -> None:
    model = a_model("topic")
    bind_queue(model, key="a.#")
    exchange = exchange_of(model)

    assert exchange.has_topics
    assert [each.name for each in exchange.match(["a.b.c"], None)] == ["q"]
    model.vhost.unbind(model.access, "x", "q", "queue", "a.#", {}, model)
    assert exchange.match(["a.b.c"], None) == []
    with pytest.raises(PreconditionFailed, match="must be an integer"):
        bind_queue(a_model_of("x-consistent-hash"), key="no weight")


def a_model_of(inner: str) -> Living:
    model = Living()
    declare(model, KIND, {"x-delayed-type": inner})
    model.queue()
    return model


def test_another_type_that_remembers_does_so_when_the_message_is_due() -> None:
    model = a_model_of("x-recent-history")
    publish(model, b"later", 100)
    publish(model, b"now")
    model.wait(100)
    model.commit()

    model.restart()
    bind_queue(model)

    assert model.bodies() == [b"now", b"later"]


def test_a_delayed_exchange_may_be_bound_to_another() -> None:
    model = a_model()
    declare(model, "fanout", name="y")
    bind_queue(model, "x", exchange="y", kind="exchange")
    model.publish(b"1", exchange="y", key="k", headers=a_table({"x-delay": 100}))

    assert model.bodies() == []
    model.wait(100)
    assert model.bodies() == [b"1"]


def test_dead_letters_may_be_delayed() -> None:
    model = a_model()
    model.queue("work", arguments={"x-dead-letter-exchange": "x", "x-dead-letter-routing-key": "k"})
    headers = a_table({"x-delay": 500})
    model.publish(b"1", key="work", headers=headers, expiration="100")
    model.wait(110)

    assert exchange_of(model).messages_delayed == 1
    model.wait(500)
    assert model.bodies() == [b"1"]


def test_deleting_the_exchange_drops_what_waits() -> None:
    model = a_model()
    publish(model, b"1", 100)
    model.commit()

    model.vhost.delete_exchange(model.access, "x", if_unused=False)
    model.wait(200)

    assert model.bodies() == []
    model.commit()
    model.restart()
    assert not list(model.vhost.shelves)


def test_a_vhost_that_is_gone_takes_what_waits_with_it() -> None:
    model = a_model()
    publish(model, b"1", 100)
    shelf = next(iter(model.vhost.shelves))

    model.vhost.close()
    model.wait(200)

    assert shelf.is_gone


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "Invalid argument, 'x-delayed-type' must be an existing exchange type"),
        (
            {"x-delayed-type": "x-strange"},
            "Invalid argument, 'x-delayed-type' must be an existing exchange type",
        ),
        (
            {"x-delayed-type": 5},
            "Invalid argument, 'x-delayed-type' must be an existing exchange type",
        ),
        (
            {"x-delayed-type": KIND},
            "Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'",
        ),
    ],
)
def test_the_other_type_must_exist(arguments: dict[str, object], text: str) -> None:
    with pytest.raises(PreconditionFailed) as refused:
        an_exchange(KIND, arguments)

    assert refused.value.explanation == text


def test_an_exchange_outside_of_a_vhost_has_nothing_that_waits() -> None:
    exchange = an_exchange(KIND, {"x-delayed-type": "direct"})

    assert isinstance(exchange, DelayedExchange)
    assert exchange.messages_delayed == 0
