"""Streams over AMQP 0-9-1: what may be declared, offsets, acknowledgements as credit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from script import Channel, Script, register, scenario
from wire import Typed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from script import Scenario
    from wire import Value

TYPE = {"x-queue-type": "stream"}


def stream(c: Channel, queue: str = "q", bodies: str = "", **arguments: Value) -> None:
    """Declare a stream with these messages in it, all of them in one chunk or more."""
    extra = {f"x-{name.replace('_', '-')}": value for name, value in arguments.items()}
    c.queue(queue, exclusive=False, durable=True, arguments={**TYPE, **extra})
    if bodies:
        c.call("confirm.select")
    for body in bodies:
        c.publish(queue, body)
        c.read()


PROPERTIES: Mapping[str, Mapping[str, Value]] = {
    "plain": {},
    "transient": {"durable": False},
    "exclusive": {"exclusive": True},
    "auto_delete": {"auto_delete": True},
    "unnamed": {"queue": ""},
}


def _declare(values: Mapping[str, Value]) -> Scenario:
    def declare(s: Script) -> None:
        usual = {"durable": True, "exclusive": False, "arguments": TYPE}
        s.channel().queue(**{**usual, **values})  # type: ignore[arg-type]

    return declare


for _name, _values in PROPERTIES.items():
    register(f"stream_declare_{_name}", _declare(_values))

ARGUMENTS: Mapping[str, Mapping[str, Value]] = {
    "max_age": {"x-max-age": "1D"},
    "max_age_unit": {"x-max-age": "1x"},
    "max_age_number": {"x-max-age": 5},
    "max_age_fraction": {"x-max-age": "1.5h"},
    "max_age_bare": {"x-max-age": "10"},
    "max_length_bytes": {"x-max-length-bytes": 1_000_000},
    "max_length_bytes_negative": {"x-max-length-bytes": -1},
    "max_length": {"x-max-length": 5},
    "segment_size": {"x-stream-max-segment-size-bytes": 1_000_000},
    "segment_size_large": {"x-stream-max-segment-size-bytes": Typed("l", 3_000_000_001)},
    "segment_size_negative": {"x-stream-max-segment-size-bytes": -1},
    "segment_size_text": {"x-stream-max-segment-size-bytes": "5"},
    "ttl": {"x-message-ttl": 5},
    "expires": {"x-expires": 5},
    "dead_letter": {"x-dead-letter-exchange": "a"},
    "max_priority": {"x-max-priority": 5},
    "overflow": {"x-overflow": "reject-publish"},
    "single_active": {"x-single-active-consumer": True},
    "delivery_limit": {"x-delivery-limit": 1},
    "mode_lazy": {"x-queue-mode": "lazy"},
    "cluster_size": {"x-initial-cluster-size": 1},
    "cluster_size_zero": {"x-initial-cluster-size": 0},
    "cluster_size_text": {"x-initial-cluster-size": "a"},
    "leader_locator": {"x-queue-leader-locator": "least-leaders"},
    "leader_locator_unknown": {"x-queue-leader-locator": "foo"},
    "unknown": {"x-unknown": 5},
}


def _argument(arguments: Mapping[str, Value]) -> Scenario:
    def declare(s: Script) -> None:
        s.channel().queue(exclusive=False, durable=True, arguments={**TYPE, **arguments})

    return declare


for _name, _arguments in ARGUMENTS.items():
    register(f"stream_argument_{_name}", _argument(_arguments))

AGAIN: Mapping[str, tuple[Mapping[str, Value], Mapping[str, Value]]] = {
    "same": (TYPE, TYPE),
    "as_classic": (TYPE, {}),
    "as_quorum": (TYPE, {"x-queue-type": "quorum"}),
    "age_more": (TYPE, {**TYPE, "x-max-age": "1D"}),
    "age_value": ({**TYPE, "x-max-age": "1D"}, {**TYPE, "x-max-age": "2D"}),
    "bytes_value": ({**TYPE, "x-max-length-bytes": 5}, {**TYPE, "x-max-length-bytes": 6}),
}


def _redeclare(first: Mapping[str, Value], second: Mapping[str, Value]) -> Scenario:
    def redeclare(s: Script) -> None:
        c = s.channel()
        c.queue(exclusive=False, durable=True, arguments=first)
        c.queue(exclusive=False, durable=True, arguments=second)

    return redeclare


for _name, _pair in AGAIN.items():
    register(f"stream_redeclare_{_name}", _redeclare(*_pair))

#: Where consumers start, in a stream of the messages a to e.
OFFSETS: Mapping[str, Value] = {
    "first": "first",
    "last": "last",
    "next": "next",
    "number": 2,
    "number_long": Typed("l", 3),
    "number_beyond": 50,
    "number_negative": -1,
    "time_old": Typed("T", 1_000_000),
    "time_future": Typed("T", 4_000_000_000),
    "interval": "1h",
    "interval_minutes": "10m",
    "interval_unknown": "1x",
    "text": "somewhere",
    "empty": "",
    "double": 1.5,
    "bool": True,
    "void": None,
}


def _offset(offset: Value) -> Scenario:
    def consume(s: Script) -> None:
        c = s.channel()
        stream(c, bodies="abcde")
        c.call("basic.qos", prefetch_count=10)
        c.consume(arguments={"x-stream-offset": offset})
        c.read()
        c.publish(body="f")
        c.read()

    return consume


for _name, _value in OFFSETS.items():
    register(f"stream_offset_{_name}", _offset(_value))


@scenario
def stream_consume_without_qos(s: Script) -> None:
    c = s.channel()
    stream(c)
    c.consume()


@scenario
def stream_consume_without_acks(s: Script) -> None:
    c = s.channel()
    stream(c)
    c.call("basic.qos", prefetch_count=10)
    c.consume(no_ack=True)


@scenario
def stream_consume_with_shared_qos(s: Script) -> None:
    c = s.channel()
    stream(c)
    c.call("basic.qos", prefetch_count=10, **{"global": True})
    c.consume()


@scenario
def stream_consume_exclusively(s: Script) -> None:
    c = s.channel()
    stream(c, bodies="a")
    c.call("basic.qos", prefetch_count=10)
    c.consume(tag="a", exclusive=True, arguments={"x-stream-offset": "first"})
    c.read()
    c.consume(tag="b", arguments={"x-stream-offset": "first"})
    c.read()


@scenario
def stream_credit(s: Script) -> None:
    c = s.channel()
    stream(c, bodies="abcdefgh")
    c.call("basic.qos", prefetch_count=2)
    c.consume(arguments={"x-stream-offset": "first"})
    c.read()
    c.send("basic.ack", delivery_tag=1)
    c.read()
    c.send("basic.ack", delivery_tag=3, multiple=True)
    c.read()


@scenario
def stream_returned_messages(s: Script) -> None:
    c = s.channel()
    stream(c, bodies="abc")
    c.call("basic.qos", prefetch_count=1)
    c.consume(arguments={"x-stream-offset": "first"})
    c.read()
    c.send("basic.nack", delivery_tag=1, requeue=True)
    c.read()
    c.send("basic.reject", delivery_tag=2)
    c.read()
    c.send("basic.ack", delivery_tag=1)
    c.read()


@scenario
def stream_recover(s: Script) -> None:
    c = s.channel()
    stream(c, bodies="ab")
    c.call("basic.qos", prefetch_count=2)
    c.consume(arguments={"x-stream-offset": "first"})
    c.read()
    c.call("basic.recover", requeue=True)
    c.read()


@scenario
def stream_two_consumers(s: Script) -> None:
    c, other = s.channel(), s.channel()
    stream(c, bodies="ab")
    for channel in (c, other):
        channel.call("basic.qos", prefetch_count=10)
        channel.consume(arguments={"x-stream-offset": "first"})
        channel.read()
    c.call("basic.cancel", consumer_tag="t")
    c.publish(body="c")
    c.read()
    other.read()


@scenario
def stream_get(s: Script) -> None:
    c = s.channel()
    stream(c, bodies="a")
    c.get()


@scenario
def stream_purge(s: Script) -> None:
    c = s.channel()
    stream(c, bodies="a")
    c.call("queue.purge", queue="q")


@scenario
def stream_delete(s: Script) -> None:
    c, other = s.channel(), s.channel()
    stream(c)
    other.call("basic.qos", prefetch_count=1)
    other.consume()
    c.call("queue.delete", queue="q")
    other.read()
    c.queue(passive=True)


for _flag in ("if_unused", "if_empty"):

    def _conditional(s: Script, flag: str = _flag) -> None:
        c = s.channel()
        stream(c)
        c.call("queue.delete", queue="q", **{flag: True})

    register(f"stream_delete_{_flag}", _conditional)


@scenario
def stream_properties(s: Script) -> None:
    c = s.channel()
    stream(c)
    c.call("confirm.select")
    c.publish(
        body="a",
        headers={"own": 1, "x-stream-offset": 99},
        message_id="m",
        delivery_mode=2,
        priority=3,
        expiration="1",
        timestamp=1_700_000_000,
    )
    c.read()
    c.call("basic.qos", prefetch_count=1)
    c.consume(arguments={"x-stream-offset": "first"})
    c.read()


@scenario
def stream_behind_exchange(s: Script) -> None:
    c = s.channel()
    stream(c)
    c.bind("q", "amq.topic", "a.*")
    c.call("confirm.select")
    for key in ("a.b", "a.c", "b.c"):
        c.publish(key, key, "amq.topic", mandatory=True)
        c.read()
    c.call("basic.qos", prefetch_count=10)
    c.consume(arguments={"x-stream-offset": "first"})
    c.read()


@scenario
def stream_consumer_arguments(s: Script) -> None:
    c = s.channel()
    stream(c, bodies="a")
    c.call("basic.qos", prefetch_count=10)
    c.consume(tag="a", arguments={"x-priority": 5, "x-stream-offset": "first"})
    c.read()
    c.consume(tag="b", arguments={"x-unknown": 5})
    c.read()


@scenario
def stream_tx(s: Script) -> None:
    c = s.channel()
    stream(c)
    c.call("tx.select")
    c.publish(body="a")
    c.call("tx.commit")
    c.call("basic.qos", prefetch_count=10)
    c.consume(arguments={"x-stream-offset": "first"})
    c.read()
    c.send("basic.ack", delivery_tag=1)
    c.call("tx.commit")
    c.read()
