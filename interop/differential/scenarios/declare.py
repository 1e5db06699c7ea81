"""Declaring queues and exchanges: equivalence, arguments, names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from script import Script, register, scenario
from wire import Typed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from script import Scenario
    from wire import Value

DEAD = {"x-dead-letter-exchange": "amq.direct"}

#: Arguments of a queue, one declare each.
ARGUMENTS: Mapping[str, Mapping[str, Value]] = {
    "ttl": {"x-message-ttl": 5},
    "ttl_zero": {"x-message-ttl": 0},
    "ttl_negative": {"x-message-ttl": -1},
    "ttl_text": {"x-message-ttl": "a"},
    "ttl_float": {"x-message-ttl": 1.5},
    "ttl_large": {"x-message-ttl": Typed("l", 315_360_000_001)},
    "ttl_largest": {"x-message-ttl": Typed("l", 315_360_000_000)},
    "ttl_byte": {"x-message-ttl": Typed("b", 5)},
    "expires": {"x-expires": 60_000},
    "expires_zero": {"x-expires": 0},
    "expires_negative": {"x-expires": -5},
    "expires_text": {"x-expires": "1"},
    "expires_large": {"x-expires": Typed("l", 315_360_000_001)},
    "length": {"x-max-length": 3},
    "length_negative": {"x-max-length": -1},
    "length_text": {"x-max-length": "3"},
    "length_bool": {"x-max-length": True},
    "bytes_negative": {"x-max-length-bytes": -1},
    "bytes_text": {"x-max-length-bytes": "1"},
    "priority_zero": {"x-max-priority": 0},
    "priority_large": {"x-max-priority": 256},
    "priority_negative": {"x-max-priority": -1},
    "priority_text": {"x-max-priority": "5"},
    "overflow_unknown": {"x-overflow": "foo"},
    "overflow_number": {"x-overflow": 1},
    "dead_letters_number": {"x-dead-letter-exchange": 5},
    "dead_letters_missing": {"x-dead-letter-exchange": "not-there"},
    "dead_key_alone": {"x-dead-letter-routing-key": "k"},
    "dead_key_number": {**DEAD, "x-dead-letter-routing-key": 7},
    "dead_strategy_unknown": {"x-dead-letter-strategy": "foo"},
    "type_unknown": {"x-queue-type": "foo"},
    "type_number": {"x-queue-type": 1},
    "type_classic": {"x-queue-type": "classic"},
    "single_text": {"x-single-active-consumer": "yes"},
    "single_true": {"x-single-active-consumer": True},
    "mode_lazy": {"x-queue-mode": "lazy"},
    "mode_unknown": {"x-queue-mode": "foo"},
    "version_two": {"x-queue-version": 2},
    "unknown": {"x-unknown": "1"},
    "unknown_plain": {"anything": Typed("A", [1, "a", None])},
    "max_age_on_classic": {"x-max-age": "1D"},
    "delivery_limit": {"x-delivery-limit": 3},
    "several_wrong": {"x-message-ttl": -1, "x-expires": 0},
    "void": {"x-message-ttl": None},
}


def _declare(arguments: Mapping[str, Value]) -> Scenario:
    def declare(s: Script) -> None:
        s.channel().queue("q", arguments=arguments)

    return declare


for _name, _arguments in ARGUMENTS.items():
    register(f"argument_{_name}", _declare(_arguments))

#: Two declares of one queue, the second to be compared with the first.
AGAIN: Mapping[str, tuple[Mapping[str, Value], Mapping[str, Value]]] = {
    "same": ({"durable": True}, {"durable": True}),
    "durable": ({"durable": True}, {}),
    "transient": ({}, {"durable": True}),
    "auto_delete": ({"durable": True}, {"durable": True, "auto_delete": True}),
    "exclusive": ({"durable": True}, {"durable": True, "exclusive": True}),
    "owned": ({"exclusive": True}, {}),
    "two_differences": ({"durable": True}, {"auto_delete": True}),
    "argument_more": ({}, {"arguments": {"x-max-length": 5}}),
    "argument_less": ({"arguments": {"x-max-length": 5}}, {}),
    "argument_value": ({"arguments": {"x-max-length": 5}}, {"arguments": {"x-max-length": 6}}),
    "argument_integer_type": (
        {"arguments": {"x-max-length": 5}},
        {"arguments": {"x-max-length": Typed("l", 5)}},
    ),
    "argument_long_value": (
        {"arguments": {"x-message-ttl": Typed("l", 5)}},
        {"arguments": {"x-message-ttl": Typed("s", 6)}},
    ),
    "argument_text": (
        {"arguments": {"x-dead-letter-exchange": "a"}},
        {"arguments": {"x-dead-letter-exchange": "b"}},
    ),
    "argument_unknown": ({}, {"arguments": {"x-unknown": "b"}}),
    "argument_bool": ({}, {"arguments": {"x-single-active-consumer": True}}),
    "type_named": ({"durable": True}, {"durable": True, "arguments": {"x-queue-type": "classic"}}),
    "mode": ({}, {"arguments": {"x-queue-mode": "lazy"}}),
    "priority": ({"arguments": {"x-max-priority": 5}}, {"arguments": {"x-max-priority": 6}}),
    "overflow": ({}, {"arguments": {"x-overflow": "reject-publish"}}),
    "passive": ({"durable": True}, {"passive": True}),
    "passive_other_arguments": ({}, {"passive": True, "arguments": {"x-max-length": 5}}),
}


def _redeclare(first: Mapping[str, Value], second: Mapping[str, Value]) -> Scenario:
    def redeclare(s: Script) -> None:
        c = s.channel()
        c.queue("q", **{"exclusive": False, **first})
        c.queue("q", **{"exclusive": False, **second})

    return redeclare


for _name, _pair in AGAIN.items():
    register(f"redeclare_{_name}", _redeclare(*_pair))


@scenario
def queue_names(s: Script) -> None:
    c = s.channel()
    c.queue("")
    c.queue("amq.reserved")
    c.queue("amq.gen-made-up", passive=True)
    c.queue("n" * 255)
    c.queue("ü€", passive=True)
    c.queue("with space/and.dots#")
    c.queue("line\r\nfeed")
    c.queue("linefeed", passive=True)
    c.queue("amq.rabbitmq.reply-to")
    c.queue("amq.rabbitmq.reply-to", passive=True)


@scenario
def queue_counts(s: Script) -> None:
    c = s.channel()
    c.queue()
    for body in "abc":
        c.publish(body=body)
    c.read()
    c.queue()
    c.queue(passive=True)
    c.get(no_ack=False)
    c.queue(passive=True)
    c.consume()
    c.read()
    c.queue(passive=True)
    c.call("queue.purge", queue="q")
    c.call("queue.delete", queue="q")
    c.call("queue.delete", queue="q")
    c.call("queue.purge", queue="q")


@scenario
def queue_nowait(s: Script) -> None:
    c = s.channel()
    c.send("queue.declare", queue="q", nowait=True, exclusive=True)
    c.send("queue.bind", queue="q", exchange="amq.direct", routing_key="k", nowait=True)
    c.publish("k", exchange="amq.direct")
    c.send("queue.purge", queue="q", nowait=True)
    c.send("basic.consume", queue="q", consumer_tag="t", nowait=True, no_ack=True)
    c.publish("q", "second")
    c.read()
    c.send("basic.cancel", consumer_tag="t", nowait=True)
    c.send("queue.delete", queue="q", nowait=True)
    c.queue(passive=True)
    c.send("queue.declare", queue="amq.not", nowait=True)
    c.read()


@scenario
def queue_last_declared(s: Script) -> None:
    c = s.channel()
    c.call("queue.bind", exchange="amq.direct", routing_key="k")
    c.call("basic.get")
    c.queue("first")
    c.queue("second")
    c.call("queue.bind", exchange="amq.direct")
    c.publish("second", exchange="amq.direct")
    c.call("basic.get", no_ack=True)
    c.call("queue.declare", passive=True)
    c.call("queue.unbind", exchange="amq.direct")
    c.call("queue.purge")
    c.call("basic.consume", consumer_tag="t")
    c.call("queue.delete")
    c.read()
    c.call("basic.get")


@scenario
def queue_delete_conditions(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.publish()
    c.read()
    c.call("queue.delete", queue="q", if_empty=True)
    c.call("queue.delete", queue="q", if_unused=True)
    c.queue()
    c.consume()
    c.read()
    c.call("queue.delete", queue="q", if_unused=True)
    c.consume(tag="u")
    c.read()
    c.call("queue.delete", queue="q", if_empty=True)
    c.call("queue.delete", queue="missing", if_empty=True, if_unused=True)


@scenario
def queue_deleted_under_consumers(s: Script) -> None:
    c = s.channel()
    other = s.channel()
    c.queue(exclusive=False)
    c.consume(tag="mine")
    other.consume(tag="theirs")
    c.publish()
    c.read()
    c.call("queue.delete", queue="q")
    c.read()
    other.read()
    c.call("basic.cancel", consumer_tag="mine")
    c.send("basic.ack", delivery_tag=1)
    c.read()


@scenario
def queue_exclusive_elsewhere(s: Script) -> None:
    owner, c = s.channel(), s.channel()
    owner.queue()
    c.queue(exclusive=False)
    c.queue()
    c.queue(passive=True, exclusive=False)
    c.consume()
    c.get()
    c.call("queue.purge", queue="q")
    c.bind("q", "amq.direct", "k")
    c.call("queue.unbind", queue="q", exchange="amq.direct", routing_key="k")
    c.call("queue.delete", queue="q")
    c.publish(mandatory=True)
    owner.read()
    owner.get()
    owner.connection.close()
    c.queue(passive=True)


@scenario
def queue_auto_delete(s: Script) -> None:
    c = s.channel()
    c.queue("q", auto_delete=True, exclusive=False)
    c.queue("q", passive=True)
    c.consume(tag="a")
    c.consume(tag="b")
    c.call("basic.cancel", consumer_tag="a")
    c.queue("q", passive=True)
    c.call("basic.cancel", consumer_tag="b")
    c.read()
    c.queue("q", passive=True)


@scenario
def queue_expires(s: Script) -> None:
    c = s.channel()
    c.queue("q", arguments={"x-expires": 300})
    c.queue("kept", arguments={"x-expires": 300})
    c.consume("kept")
    c.publish("q")
    s.wait(0.9)
    c.queue("q", passive=True)
    c.queue("kept", passive=True)
