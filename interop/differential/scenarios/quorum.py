"""Quorum queues: what may be declared, delivery counts and limits, what they refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from script import Channel, Script, register, scenario
from wire import Typed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from script import Scenario
    from wire import Value

EXPIRED_S = 0.6
TYPE = {"x-queue-type": "quorum"}
DEAD = {"x-dead-letter-exchange": "amq.fanout"}


def quorum(c: Channel, queue: str = "q", **arguments: Value) -> None:
    """Declare a quorum queue."""
    extra = {f"x-{name.replace('_', '-')}": value for name, value in arguments.items()}
    c.queue(queue, exclusive=False, durable=True, arguments={**TYPE, **extra})


def dead(c: Channel) -> None:
    """A queue for dead letters that go to amq.fanout."""
    c.queue("dead")
    c.bind("dead", "amq.fanout")


def fill(c: Channel, bodies: str, **properties: Value) -> None:
    """Publish one message for each character, and let the queue take them."""
    for body in bodies:
        c.publish(body=body, **properties)  # type: ignore[arg-type]
    c.read()


#: Declares of a quorum queue that may be refused.
PROPERTIES: Mapping[str, Mapping[str, Value]] = {
    "plain": {},
    "transient": {"durable": False},
    "exclusive": {"exclusive": True},
    "auto_delete": {"auto_delete": True},
    "all_wrong": {"durable": False, "exclusive": True, "auto_delete": True},
    "unnamed": {"queue": ""},
}


def _declare(values: Mapping[str, Value]) -> Scenario:
    def declare(s: Script) -> None:
        usual = {"durable": True, "exclusive": False, "arguments": TYPE}
        s.channel().queue(**{**usual, **values})  # type: ignore[arg-type]

    return declare


for _name, _values in PROPERTIES.items():
    register(f"quorum_declare_{_name}", _declare(_values))

ARGUMENTS: Mapping[str, Mapping[str, Value]] = {
    "delivery_limit": {"x-delivery-limit": 3},
    "delivery_limit_zero": {"x-delivery-limit": 0},
    "delivery_limit_negative": {"x-delivery-limit": -1},
    "delivery_limit_text": {"x-delivery-limit": "3"},
    "max_priority": {"x-max-priority": 5},
    "mode_lazy": {"x-queue-mode": "lazy"},
    "version": {"x-queue-version": 2},
    "ttl": {"x-message-ttl": 60_000},
    "ttl_negative": {"x-message-ttl": -1},
    "expires": {"x-expires": 60_000},
    "overflow_reject": {"x-overflow": "reject-publish"},
    "overflow_reject_dlx": {"x-overflow": "reject-publish-dlx"},
    "overflow_drop": {"x-overflow": "drop-head"},
    "in_memory_length": {"x-max-in-memory-length": 5},
    "in_memory_negative": {"x-max-in-memory-length": -5},
    "in_memory_bytes": {"x-max-in-memory-bytes": 5},
    "strategy_once": {**DEAD, "x-dead-letter-strategy": "at-most-once"},
    "strategy_least": {
        **DEAD,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    },
    "strategy_least_without_reject": {**DEAD, "x-dead-letter-strategy": "at-least-once"},
    "strategy_unknown": {**DEAD, "x-dead-letter-strategy": "foo"},
    "strategy_number": {**DEAD, "x-dead-letter-strategy": 1},
    "group_size": {"x-quorum-initial-group-size": 1},
    "group_size_zero": {"x-quorum-initial-group-size": 0},
    "group_size_text": {"x-quorum-initial-group-size": "a"},
    "leader_locator": {"x-queue-leader-locator": "balanced"},
    "leader_locator_unknown": {"x-queue-leader-locator": "foo"},
    "leader_locator_number": {"x-queue-leader-locator": 3},
    "master_locator": {"x-queue-master-locator": "min-masters"},
    "single_active": {"x-single-active-consumer": True},
    "max_age": {"x-max-age": "1D"},
    "dead_key_alone": {"x-dead-letter-routing-key": "k"},
    "unknown": {"x-unknown": "1"},
}


def _argument(arguments: Mapping[str, Value]) -> Scenario:
    def declare(s: Script) -> None:
        s.channel().queue(exclusive=False, durable=True, arguments={**TYPE, **arguments})

    return declare


for _name, _arguments in ARGUMENTS.items():
    register(f"quorum_argument_{_name}", _argument(_arguments))

AGAIN: Mapping[str, tuple[Mapping[str, Value], Mapping[str, Value]]] = {
    "same": (TYPE, TYPE),
    "as_classic": (TYPE, {}),
    "as_named_classic": (TYPE, {"x-queue-type": "classic"}),
    "classic_as": ({}, TYPE),
    "limit_more": (TYPE, {**TYPE, "x-delivery-limit": 5}),
    "limit_value": ({**TYPE, "x-delivery-limit": 5}, {**TYPE, "x-delivery-limit": 6}),
    "limit_less": ({**TYPE, "x-delivery-limit": 5}, TYPE),
    "unknown_more": (TYPE, {**TYPE, "x-unknown": 1}),
    "strategy": (
        {**TYPE, **DEAD, "x-overflow": "reject-publish"},
        {
            **TYPE,
            **DEAD,
            "x-overflow": "reject-publish",
            "x-dead-letter-strategy": "at-least-once",
        },
    ),
}


def _redeclare(first: Mapping[str, Value], second: Mapping[str, Value]) -> Scenario:
    def redeclare(s: Script) -> None:
        c = s.channel()
        c.queue(exclusive=False, durable=True, arguments=first)
        c.queue(exclusive=False, durable=True, arguments=second)

    return redeclare


for _name, _pair in AGAIN.items():
    register(f"quorum_redeclare_{_name}", _redeclare(*_pair))


@scenario
def quorum_order_and_counts(s: Script) -> None:
    c = s.channel()
    quorum(c)
    fill(c, "abc")
    quorum(c)
    c.queue(passive=True)
    c.drain()
    fill(c, "de")
    c.call("queue.purge", queue="q")
    fill(c, "f")
    c.call("queue.delete", queue="q")


@scenario
def quorum_delivery_count(s: Script) -> None:
    c = s.channel()
    quorum(c)
    fill(c, "a", headers={"own": 1})
    for _ in range(3):
        tag = c.get(no_ack=False)
        c.send("basic.reject", delivery_tag=tag, requeue=True)
        c.read()
    tag = c.get(no_ack=False)
    c.send("basic.ack", delivery_tag=tag)
    c.read()
    c.get()


@scenario
def quorum_delivery_count_by_nack(s: Script) -> None:
    c = s.channel()
    quorum(c)
    fill(c, "ab")
    c.get(no_ack=False)
    tag = c.get(no_ack=False)
    c.send("basic.nack", delivery_tag=tag, multiple=True, requeue=True)
    c.read()
    c.drain()


@scenario
def quorum_delivery_count_by_closing(s: Script) -> None:
    connection = s.connect()
    c, other = connection.channel(), connection.channel()
    quorum(c)
    fill(c, "a")
    other.get(no_ack=False)
    other.close()
    c.read()
    c.drain()


@scenario
def quorum_delivery_limit(s: Script) -> None:
    c = s.channel()
    dead(c)
    quorum(c, delivery_limit=2, dead_letter_exchange="amq.fanout")
    fill(c, "a", message_id="1")
    for _ in range(3):
        tag = c.get(no_ack=False)
        if tag:
            c.send("basic.reject", delivery_tag=tag, requeue=True)
            c.read()
    c.get()
    c.drain("dead")


@scenario
def quorum_delivery_limit_without_dead_letters(s: Script) -> None:
    c = s.channel()
    quorum(c, delivery_limit=1)
    fill(c, "ab")
    for _ in range(2):
        tag = c.get(no_ack=False)
        c.send("basic.reject", delivery_tag=tag, requeue=True)
        c.read()
    c.drain()


@scenario
def quorum_delivery_limit_zero(s: Script) -> None:
    c = s.channel()
    dead(c)
    quorum(c, delivery_limit=0, dead_letter_exchange="amq.fanout")
    fill(c, "a")
    tag = c.get(no_ack=False)
    c.send("basic.reject", delivery_tag=tag, requeue=True)
    c.read()
    c.get()
    c.drain("dead")


@scenario
def quorum_returned_to_consumer(s: Script) -> None:
    c = s.channel()
    quorum(c)
    fill(c, "abc")
    c.call("basic.qos", prefetch_count=2)
    c.consume()
    c.read()
    c.send("basic.nack", delivery_tag=1, requeue=True)
    c.read()
    c.send("basic.ack", delivery_tag=2)
    c.read()
    c.send("basic.ack", delivery_tag=4, multiple=True)
    c.read()


@scenario
def quorum_dead_letters(s: Script) -> None:
    c = s.channel()
    dead(c)
    quorum(c, dead_letter_exchange="amq.fanout", max_length=2)
    fill(c, "abc")
    tag = c.get(no_ack=False)
    c.send("basic.reject", delivery_tag=tag)
    c.read()
    c.drain("dead", "q")


@scenario
def quorum_ttl(s: Script) -> None:
    c = s.channel()
    dead(c)
    quorum(c, dead_letter_exchange="amq.fanout", message_ttl=200)
    fill(c, "a")
    s.wait(EXPIRED_S)
    c.queue(passive=True)
    c.get()
    c.drain("dead")
    c.publish(body="b", expiration="50")
    s.wait(EXPIRED_S)
    c.get()
    c.drain("dead")


@scenario
def quorum_ttl_zero(s: Script) -> None:
    c = s.channel()
    quorum(c)
    fill(c, "a", expiration="0")
    c.get()
    c.consume(no_ack=True)
    fill(c, "b", expiration="0")


@scenario
def quorum_expires(s: Script) -> None:
    c = s.channel()
    quorum(c, expires=300)
    s.wait(1.2)
    c.queue(passive=True)


@scenario
def quorum_refuses(s: Script) -> None:
    c = s.channel()
    quorum(c, max_length=2, overflow="reject-publish")
    c.call("confirm.select")
    for body in "abcdef":
        c.publish(body=body)
        c.read()
    c.drain()


@scenario
def quorum_least_once(s: Script) -> None:
    c = s.channel()
    dead(c)
    quorum(
        c,
        dead_letter_exchange="amq.fanout",
        dead_letter_strategy="at-least-once",
        overflow="reject-publish",
    )
    fill(c, "a")
    tag = c.get(no_ack=False)
    c.send("basic.reject", delivery_tag=tag)
    c.read(2)
    c.drain("dead")


@scenario
def quorum_confirms(s: Script) -> None:
    c = s.channel()
    quorum(c)
    c.call("confirm.select")
    for mode in (1, 2):
        c.publish(delivery_mode=mode)
        c.read()
    c.drain()


@scenario
def quorum_qos(s: Script) -> None:
    c = s.channel()
    quorum(c)
    fill(c, "abc")
    c.call("basic.qos", prefetch_count=1)
    c.consume()
    c.read()
    c.send("basic.ack", delivery_tag=1)
    c.read()


@scenario
def quorum_qos_shared(s: Script) -> None:
    c = s.channel()
    quorum(c)
    c.call("basic.qos", prefetch_count=5, **{"global": True})
    c.consume()
    c.read()


@scenario
def quorum_exclusive_consumer(s: Script) -> None:
    connection = s.connect()
    c, other = connection.channel(), connection.channel()
    quorum(c)
    c.consume(tag="a", exclusive=True)
    other.consume(tag="b")
    other.consume(tag="c", exclusive=True)


@scenario
def quorum_single_active(s: Script) -> None:
    c = s.channel()
    quorum(c, single_active_consumer=True)
    c.consume(tag="a")
    c.consume(tag="b")
    fill(c, "12")
    c.call("basic.cancel", consumer_tag="a")
    fill(c, "3")
    c.get()


@scenario
def quorum_consumer_priority(s: Script) -> None:
    c = s.channel()
    quorum(c)
    c.call("basic.qos", prefetch_count=1)
    c.consume(tag="low")
    c.consume(tag="high", arguments={"x-priority": 5})
    for body in "abc":
        fill(c, body)
    c.consume(tag="wrong", arguments={"x-priority": "a"})


@scenario
def quorum_consumer_cancelled(s: Script) -> None:
    c = s.channel()
    quorum(c)
    fill(c, "ab")
    c.call("basic.qos", prefetch_count=1)
    c.consume()
    c.read()
    c.call("basic.cancel", consumer_tag="t")
    c.send("basic.nack", delivery_tag=1, requeue=True)
    c.read()
    c.drain()


@scenario
def quorum_deleted_under_consumer(s: Script) -> None:
    c, other = s.channel(), s.channel()
    quorum(c)
    other.consume()
    c.call("queue.delete", queue="q")
    other.read()
    c.queue(passive=True)


for _flag in ("if_unused", "if_empty"):

    def _conditional(s: Script, flag: str = _flag) -> None:
        c = s.channel()
        quorum(c)
        c.call("queue.delete", queue="q", **{flag: True})

    register(f"quorum_delete_{_flag}", _conditional)


@scenario
def quorum_priorities(s: Script) -> None:
    c = s.channel()
    quorum(c)
    for body, priority in (("low", 1), ("none", None), ("high", 9)):
        if priority is None:
            c.publish(body=body)
        else:
            c.publish(body=body, priority=priority)
    c.read()
    c.drain()


@scenario
def quorum_tx(s: Script) -> None:
    c = s.channel()
    quorum(c)
    c.call("tx.select")
    c.publish(body="a")
    c.call("tx.commit")
    c.read()
    tag = c.get(no_ack=False)
    c.send("basic.ack", delivery_tag=tag)
    c.call("tx.rollback")
    c.call("tx.commit")
    c.close()
    c.read()
    c.get()


@scenario
def quorum_consumer_offset_argument(s: Script) -> None:
    c = s.channel()
    quorum(c)
    c.consume(arguments={"x-stream-offset": "first", "x-priority": Typed("l", 2**40)})
