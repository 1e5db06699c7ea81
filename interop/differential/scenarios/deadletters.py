"""Dead letters: every reason, the tables they leave, the keys they go by, and cycles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from script import Channel, Script, register, scenario
from wire import Typed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from script import Scenario
    from wire import Value

EXPIRED_S = 0.5


def dead(c: Channel, exchange: str = "amq.fanout", key: str = "") -> None:
    """A queue for dead letters."""
    c.queue("dead")
    c.bind("dead", exchange, key)


def source(c: Channel, queue: str = "q", **arguments: Value) -> None:
    """A queue with dead letters to amq.fanout unless said otherwise."""
    extra = {f"x-{name.replace('_', '-')}": value for name, value in arguments.items()}
    c.queue(queue, arguments={"x-dead-letter-exchange": "amq.fanout", **extra})


def reject(c: Channel, queue: str = "q") -> None:
    """Get a message and reject it for good."""
    tag = c.get(queue, no_ack=False)
    if tag:
        c.send("basic.reject", delivery_tag=tag)
        c.read()


@scenario
def death_counts(s: Script) -> None:
    c = s.channel()
    c.queue("again")
    c.bind("again", "amq.fanout")
    source(c)
    c.publish(body="m")
    for _ in range(3):
        reject(c)
        c.get("again", no_ack=False)
        headers = c.connection.properties.get("headers")
        assert headers
        c.call("queue.purge", queue="again")
        c.publish(body="fresh")
    c.call("queue.purge", queue="q")


@scenario
def death_history_of_three_queues(s: Script) -> None:
    c = s.channel()
    to = "x-dead-letter-routing-key"
    source(c, "one", dead_letter_exchange="", dead_letter_routing_key="two", message_ttl=50)
    source(c, "two", dead_letter_exchange="", dead_letter_routing_key="three", max_length=0)
    c.queue("three", arguments={"x-dead-letter-exchange": "amq.direct", to: "end"})
    c.queue("end")
    c.bind("end", "amq.direct", "end")
    c.publish("one", headers={"own": "kept"}, expiration="60000", priority=4, delivery_mode=2)
    s.wait(EXPIRED_S)
    reject(c, "three")
    c.drain("end")


@scenario
def death_order_of_entries(s: Script) -> None:
    c = s.channel()
    source(c, "a", dead_letter_exchange="", dead_letter_routing_key="b")
    source(c, "b", dead_letter_exchange="", dead_letter_routing_key="a")
    c.publish("a")
    for queue in "abab":
        reject(c, queue)
    c.drain("a")


@scenario
def death_two_reasons_of_one_queue(s: Script) -> None:
    c = s.channel()
    dead(c)
    source(c, message_ttl=100)
    c.bind("q", "amq.direct", "q")
    c.publish(body="m")
    reject(c)
    c.drain("dead")
    c.publish(body="n")
    s.wait(EXPIRED_S)
    c.drain("dead")


@scenario
def death_of_several_at_once(s: Script) -> None:
    c = s.channel()
    dead(c)
    source(c)
    for body in "abcd":
        c.publish(body=body)
    c.consume()
    c.read()
    c.send("basic.nack", delivery_tag=3, multiple=True)
    c.read()
    c.drain("dead")


@scenario
def death_by_expiry_in_order(s: Script) -> None:
    c = s.channel()
    dead(c)
    source(c, message_ttl=100)
    for body in "abc":
        c.publish(body=body)
    s.wait(EXPIRED_S)
    c.drain("dead")


@scenario
def death_by_zero_ttl(s: Script) -> None:
    c = s.channel()
    dead(c)
    source(c)
    c.publish(expiration="0")
    c.read()
    c.drain("dead")
    source(c, "zero", message_ttl=0)
    c.publish("zero")
    c.read()
    c.drain("dead")


@scenario
def death_by_length_in_bytes(s: Script) -> None:
    c = s.channel()
    dead(c)
    source(c, max_length_bytes=5)
    for body in ("aaa", "bbb", "cccccccc"):
        c.publish(body=body)
        c.read()
    c.drain("dead", "q")


@scenario
def death_by_length_of_returned(s: Script) -> None:
    c = s.channel()
    dead(c)
    source(c, max_length=1)
    c.publish(body="a")
    c.read()
    tag = c.get(no_ack=False)
    c.publish(body="b")
    c.read()
    c.send("basic.nack", delivery_tag=tag, requeue=True)
    c.read()
    c.drain("dead", "q")


KEYS: Mapping[str, Mapping[str, Value]] = {
    "none": {},
    "own": {"x-dead-letter-routing-key": "other"},
    "empty": {"x-dead-letter-routing-key": ""},
}


def _keys(arguments: Mapping[str, Value]) -> Scenario:
    def route(s: Script) -> None:
        c = s.channel()
        for key in ("q", "other", ""):
            c.queue(f"dead-{key}")
            c.bind(f"dead-{key}", "amq.topic", key)
        # An empty key stands for the queue's name only where both are empty.
        c.queue(arguments={"x-dead-letter-exchange": "amq.topic", **arguments})
        c.publish(headers={"h": 1})
        reject(c)
        c.drain("dead-q", "dead-other", "dead-")

    return route


for _name, _arguments in KEYS.items():
    register(f"death_key_{_name}", _keys(_arguments))


@scenario
def death_keeps_properties(s: Script) -> None:
    c = s.channel()
    dead(c)
    source(c)
    c.publish(
        content_type="text/plain",
        content_encoding="utf-8",
        headers={"table": {"deep": [1, None]}, "long": Typed("l", 5)},
        delivery_mode=2,
        priority=3,
        correlation_id="c",
        reply_to="r",
        expiration="60000",
        message_id="m",
        timestamp=1_700_000_000,
        type="t",
        user_id="guest",
        app_id="a",
        cluster_id="x",
    )
    reject(c)
    c.drain("dead")


@scenario
def death_through_alternate(s: Script) -> None:
    c = s.channel()
    dead(c)
    c.exchange("dlx", arguments={"alternate-exchange": "amq.fanout"})
    source(c, dead_letter_exchange="dlx")
    c.publish()
    reject(c)
    c.drain("dead")


@scenario
def death_into_internal_exchange(s: Script) -> None:
    c = s.channel()
    c.exchange("dlx", "fanout", internal=True)
    dead(c, "dlx")
    source(c, dead_letter_exchange="dlx")
    c.publish()
    reject(c)
    c.drain("dead")


@scenario
def death_into_full_queue(s: Script) -> None:
    c = s.channel()
    c.queue("dead", arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    c.bind("dead", "amq.fanout")
    source(c)
    for body in "ab":
        c.publish(body=body)
        c.read()
        reject(c)
    c.drain("dead")


@scenario
def death_into_several_queues(s: Script) -> None:
    c = s.channel()
    dead(c)
    c.queue("second")
    c.bind("second", "amq.fanout")
    source(c)
    c.publish()
    reject(c)
    c.drain("dead", "second")


@scenario
def death_into_own_queue(s: Script) -> None:
    c = s.channel()
    source(c, dead_letter_exchange="", dead_letter_routing_key="q")
    c.publish()
    for _ in range(3):
        reject(c)
    c.drain()


@scenario
def death_cycle_of_length(s: Script) -> None:
    c = s.channel()
    source(c, dead_letter_exchange="", dead_letter_routing_key="q", max_length=1)
    for body in "abc":
        c.publish(body=body)
        c.read()
    c.drain()


@scenario
def death_cycle_of_two_expiries(s: Script) -> None:
    c = s.channel()
    source(c, "a", dead_letter_exchange="", dead_letter_routing_key="b", message_ttl=50)
    source(c, "b", dead_letter_exchange="", dead_letter_routing_key="a", message_ttl=50)
    c.publish("a")
    s.wait(EXPIRED_S)
    c.queue("a", passive=True)
    c.queue("b", passive=True)


@scenario
def death_cycle_broken_by_reject(s: Script) -> None:
    c = s.channel()
    source(c, "a", dead_letter_exchange="", dead_letter_routing_key="b", message_ttl=50)
    source(c, "b", dead_letter_exchange="", dead_letter_routing_key="a")
    c.publish("a")
    s.wait(EXPIRED_S)
    reject(c, "b")
    s.wait(EXPIRED_S)
    c.drain("b")


@scenario
def death_of_client_history_grows(s: Script) -> None:
    c = s.channel()
    dead(c)
    source(c)
    entry = {
        "queue": "q",
        "reason": "rejected",
        "count": Typed("l", 4),
        "exchange": "x",
        "time": Typed("T", 1_000),
        "routing-keys": ["k"],
    }
    other = {**entry, "queue": "elsewhere"}
    c.publish(headers={"x-death": [other, entry]})
    reject(c)
    c.drain("dead")


@scenario
def death_of_client_expiration(s: Script) -> None:
    c = s.channel()
    dead(c)
    source(c)
    for expiration in ("60000", "0060000"):
        c.publish(expiration=expiration)
        reject(c)
    c.drain("dead")


@scenario
def death_and_consumer(s: Script) -> None:
    c = s.channel()
    dead(c)
    source(c)
    c.consume("dead", "d", no_ack=True)
    c.consume("q", "t")
    c.publish()
    c.read()
    c.send("basic.nack", delivery_tag=1)
    c.read()


@scenario
def death_unacked_of_closed_channel(s: Script) -> None:
    connection = s.connect()
    c, other = connection.channel(), connection.channel()
    dead(c)
    source(c)
    c.publish()
    other.get(no_ack=False)
    other.close()
    c.drain("q", "dead")


@scenario
def death_of_expired_queue(s: Script) -> None:
    c = s.channel()
    dead(c)
    source(c, expires=200)
    c.publish()
    s.wait(1.0)
    c.queue("q", passive=True)
    c.drain("dead")


@scenario
def death_of_priorities(s: Script) -> None:
    c = s.channel()
    dead(c)
    source(c, max_priority=3, message_ttl=100)
    for body, priority in (("a", 1), ("b", 3), ("c", 2)):
        c.publish(body=body, priority=priority)
    s.wait(EXPIRED_S)
    c.queue(passive=True)
    c.queue("dead", passive=True)


@scenario
def death_confirmed(s: Script) -> None:
    c = s.channel()
    dead(c)
    source(c, max_length=1, overflow="reject-publish-dlx")
    c.call("confirm.select")
    for body in "abc":
        c.publish(body=body, mandatory=True)
        c.read()
    c.drain("dead", "q")


@scenario
def death_topic_keys(s: Script) -> None:
    c = s.channel()
    dead(c, "amq.topic", "#")
    source(c, dead_letter_exchange="amq.topic")
    c.bind("q", "amq.direct", "a.b")
    c.publish("a.b", "m", "amq.direct", headers={"CC": ["c.d"]})
    reject(c)
    c.drain("dead")
