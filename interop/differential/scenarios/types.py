"""Exchange types beyond the four, those that Debian's RabbitMQ has as plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from script import Channel, Script, register, scenario
from wire import Typed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from script import Scenario
    from wire import Value

HASH = "x-consistent-hash"


def counted(c: Channel, *queues: str) -> list[int]:
    """Purge these; how many messages each had is chance, and not noted down."""
    was, c.connection.silent = c.connection.silent, True
    counts = [int(str(c.call("queue.purge", queue=queue)["messages"])) for queue in queues]
    c.connection.silent = was
    return counts


#: Weights of a binding.
WEIGHTS = {
    "number": "10",
    "zero": "0",
    "negative": "-1",
    "text": "a",
    "empty": "",
    "large": "10001",
}


def _weight(key: str) -> Scenario:
    def bind(s: Script) -> None:
        c = s.channel()
        c.queue()
        c.exchange("x", HASH)
        c.bind("q", "x", key)

    return bind


for _name, _key in WEIGHTS.items():
    register(f"hash_weight_{_name}", _weight(_key))

HASHED: Mapping[str, Mapping[str, Value]] = {
    "header": {"hash-header": "h"},
    "correlation_id": {"hash-property": "correlation_id"},
    "message_id": {"hash-property": "message_id"},
    "timestamp": {"hash-property": "timestamp"},
    "unknown_property": {"hash-property": "app_id"},
    "both": {"hash-header": "h", "hash-property": "message_id"},
}


def _hashed(arguments: Mapping[str, Value]) -> Scenario:
    def hash_by(s: Script) -> None:
        c = s.channel()
        c.queue()
        c.exchange("x", HASH, arguments=arguments)
        c.bind("q", "x", "1")
        c.publish("k", "with", "x", message_id="1", correlation_id="2", headers={"h": "a"})
        c.publish("k", "without", "x", mandatory=True)
        c.read()
        c.drain()

    return hash_by


for _name, _arguments in HASHED.items():
    register(f"hash_by_{_name}", _hashed(_arguments))


@scenario
def hash_spreads(s: Script) -> None:
    connection = s.connect()
    connection.silent = True
    c = connection.channel()
    c.exchange("x", HASH)
    for queue in "abc":
        c.queue(queue)
        c.bind(queue, "x", "10")
    for number in range(100):
        c.publish(str(number), exchange="x")
    c.read()
    counts = counted(c, *"abc")
    s.note(f"together {sum(counts)}, all have some: {all(counts)}")


@scenario
def hash_without_bindings(s: Script) -> None:
    c = s.channel()
    c.exchange("x", HASH)
    c.publish("k", exchange="x", mandatory=True)
    c.read()
    c.queue()
    c.bind("q", "x", "1")
    c.publish("k", exchange="x", mandatory=True)
    c.call("queue.unbind", queue="q", exchange="x", routing_key="1")
    c.publish("k", exchange="x", mandatory=True)
    c.read()


@scenario
def hash_redeclare(s: Script) -> None:
    c = s.channel()
    c.exchange("x", HASH, arguments={"hash-header": "a"})
    c.exchange("x", HASH, arguments={"hash-header": "b"})
    c.exchange("x", "direct")


@scenario
def modulus_hash(s: Script) -> None:
    connection = s.connect()
    connection.silent = True
    c = connection.channel()
    c.exchange("x", "x-modulus-hash")
    for queue in "ab":
        c.queue(queue)
        c.bind(queue, "x", "ignored")
    for number in range(20):
        c.publish(str(number), exchange="x")
    c.read()
    counts = counted(c, *"ab")
    s.note(f"together {sum(counts)}, all have some: {all(counts)}")


@scenario
def random_exchange(s: Script) -> None:
    c = s.channel()
    c.exchange("x", "x-random")
    c.publish("k", exchange="x", mandatory=True)
    c.read()
    c.queue("a")
    c.queue("b")
    c.bind("a", "x", "k")
    c.bind("b", "x", "other")
    for _ in range(10):
        c.publish("k", exchange="x", mandatory=True)
    c.read()
    s.note(f"together {sum(counted(c, *'ab'))}")


LENGTHS: Mapping[str, Value] = {
    "two": 2,
    "long": Typed("l", 2),
    "zero": 0,
    "negative": -1,
    "text": "2",
    "double": 2.5,
}


def _recent(length: Value) -> Scenario:
    def replay(s: Script) -> None:
        c = s.channel()
        c.exchange("x", "x-recent-history", arguments={"x-recent-history-length": length})
        for body in "abc":
            c.publish(f"key-{body}", body, "x", message_id=body)
        c.read()
        c.queue()
        c.bind("q", "x", "")
        c.read()
        c.drain()

    return replay


for _name, _length in LENGTHS.items():
    register(f"recent_history_{_name}", _recent(_length))


@scenario
def recent_history_unstored(s: Script) -> None:
    c = s.channel()
    c.exchange("x", "x-recent-history")
    c.publish("k", "a", "x")
    c.publish("k", "b", "x", headers={"x-recent-history-no-store": True})
    c.publish("k", "c", "x", headers={"x-recent-history-no-store": False})
    c.read()
    c.queue("q")
    c.bind("q", "x", "")
    c.publish("k", "d", "x")
    c.read()
    c.drain()
    c.exchange("up", "fanout")
    c.exchange("down", "fanout")
    c.call("exchange.bind", source="x", destination="down")


SELECTORS: Mapping[str, str] = {
    "true": "true.",
    "equal": "{'=', {'ident', <<\"colour\">>}, <<\"red\">>}.",
    "broken": "{'=', ",
}


def _selector(text: str) -> Scenario:
    def select(s: Script) -> None:
        c = s.channel()
        c.exchange("x", "x-jms-topic")
        c.queue()
        c.bind("q", "x", "a.*", {"rjms_erlang_selector": text})
        c.publish("a.b", "red", "x", headers={"colour": "red"})
        c.publish("a.b", "blue", "x", headers={"colour": "blue"})
        c.publish("b.b", "elsewhere", "x", headers={"colour": "red"})
        c.read()
        c.drain()

    return select


for _name, _text in SELECTORS.items():
    register(f"jms_selector_{_name}", _selector(_text))


@scenario
def jms_without_selector(s: Script) -> None:
    c = s.channel()
    c.exchange("x", "x-jms-topic")
    c.queue()
    c.bind("q", "x", "a.#")
    c.publish("a.b.c", exchange="x")
    c.publish("b", exchange="x")
    c.read()
    c.drain()
