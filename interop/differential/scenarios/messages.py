"""Publishing, getting, acknowledging: what is said and in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import wire
from script import Script, register, scenario
from wire import Typed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from script import Scenario
    from wire import Value

#: Everything a message can carry.
ALL_PROPERTIES: Mapping[str, Value] = {
    "content_type": "text/plain",
    "content_encoding": "utf-8",
    "headers": {
        "text": "a",
        "int": 1,
        "long": Typed("l", 2**40),
        "short": Typed("s", -3),
        "byte": Typed("b", -4),
        "unsigned": Typed("B", 5),
        "unsigned_short": Typed("u", 6),
        "unsigned_int": Typed("i", 7),
        "double": 1.5,
        "float": Typed("f", 2.5),
        "bool": True,
        "void": None,
        "binary": b"\x00\xff",
        "time": Typed("T", 1_700_000_000),
        "table": {"inner": {"deep": [1, "a", {"b": None}]}},
        "not_utf8": Typed("S", b"\xff\xfe"),
    },
    "delivery_mode": 1,
    "priority": 7,
    "correlation_id": "c",
    "reply_to": "r",
    "expiration": "60000",
    "message_id": "m",
    "timestamp": 1_700_000_000,
    "type": "t",
    "user_id": "guest",
    "app_id": "a",
    "cluster_id": "x",
}

#: Messages that are refused, or look as if.
PUBLISHED: Mapping[str, Mapping[str, Value]] = {
    "expiration_text": {"expiration": "x"},
    "expiration_empty": {"expiration": ""},
    "expiration_negative": {"expiration": "-1"},
    "expiration_trailing": {"expiration": "10ms"},
    "expiration_space": {"expiration": " 10"},
    "expiration_large": {"expiration": "315360000001"},
    "expiration_plus": {"expiration": "+60000"},
    "expiration_fraction": {"expiration": "1.5"},
    "user_other": {"user_id": "bob"},
    "user_empty": {"user_id": ""},
    "user_own": {"user_id": "guest"},
    "cc_text": {"headers": {"CC": "r"}},
    "cc_number": {"headers": {"CC": 5}},
    "cc_of_numbers": {"headers": {"CC": [1, 2]}},
    "bcc_text": {"headers": {"BCC": "r"}},
    "delivery_mode_odd": {"delivery_mode": 7},
    "priority_high": {"priority": 255},
    "no_properties": {},
    "all_properties": ALL_PROPERTIES,
    "x_death_made_up": {"headers": {"x-death": [{"queue": "q", "reason": "expired"}]}},
    "x_death_text": {"headers": {"x-death": "oops"}},
}


def _publish(properties: Mapping[str, Value]) -> Scenario:
    def publish(s: Script) -> None:
        c = s.channel()
        c.queue()
        c.publish(**properties)  # type: ignore[arg-type]
        c.read()
        c.get()

    return publish


for _name, _properties in PUBLISHED.items():
    register(f"publish_{_name}", _publish(_properties))


@scenario
def publish_nowhere(s: Script) -> None:
    c = s.channel()
    c.publish("none")
    c.publish("none", mandatory=True, message_id="1", headers={"a": 1})
    c.publish("none", exchange="amq.direct", mandatory=True, body="")
    c.read()
    c.publish("k", exchange="not-there")
    c.read()
    c.publish("k", exchange="not-there", mandatory=True)
    c.read()


@scenario
def publish_immediate(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.publish(immediate=True)
    c.read()


@scenario
def publish_to_failing_channel(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.publish(exchange="not-there", body="1")
    c.publish(body="2")
    c.read()
    c.get()


@scenario
def publish_sizes(s: Script) -> None:
    c = s.channel()
    c.queue()
    for size in (0, 1, 131_063, 131_064, 131_065, 262_128, 400_000):
        c.publish(body="x" * size)
        c.read()
        c.get()


@scenario
def publish_cc(s: Script) -> None:
    c = s.channel()
    for name in "abc":
        c.queue(name)
    c.publish("a", headers={"CC": ["b", "a"], "BCC": ["c", "a"], "other": 1})
    c.read()
    c.drain("a", "b", "c")
    c.publish("none", headers={"CC": ["none"], "BCC": ["c"]}, mandatory=True)
    c.publish("none", headers={"CC": ["none"], "BCC": ["neither"]}, mandatory=True)
    c.read()
    c.drain("c")
    c.publish("a", headers={"cc": ["b"]})
    c.publish("a", headers={"CC": []})
    c.read()
    c.drain("a", "b")


@scenario
def publish_cc_topic(s: Script) -> None:
    c = s.channel()
    c.queue("q")
    c.queue("r")
    c.bind("q", "amq.topic", "*.one")
    c.bind("q", "amq.topic", "#")
    c.bind("r", "amq.topic", "a.#.z")
    c.publish("a.one", exchange="amq.topic", headers={"CC": ["a.z", "b.one"]})
    for key in ("a.z", "a.b.c.z", "az", "", ".", "a..z", "one", "x.one"):
        c.publish(key, key, exchange="amq.topic")
    c.read()
    c.drain("q", "r")


HEADERS: Mapping[str, Mapping[str, Value]] = {
    "all": {"x-match": "all", "a": 1, "b": "x"},
    "any": {"x-match": "any", "a": 1, "b": "x"},
    "default": {"a": 1, "b": "x"},
    "exists": {"a": None},
    "nothing_all": {"x-match": "all"},
    "nothing_any": {"x-match": "any"},
    "prefixed": {"x-match": "all", "x-a": 1},
    "all_with_x": {"x-match": "all-with-x", "x-a": 1},
    "any_with_x": {"x-match": "any-with-x", "x-a": 1, "a": 2},
    "long": {"a": Typed("l", 1)},
    "double": {"a": 1.0},
    "text": {"a": "1"},
    "table": {"a": {"b": 1}},
    "array": {"a": [1, 2]},
    "bool": {"a": True},
    "match_number": {"x-match": 5, "a": 1},
    "match_unknown": {"x-match": "some", "a": 1},
}


def _headers(arguments: Mapping[str, Value]) -> Scenario:
    sent: tuple[Mapping[str, Value], ...] = (
        {},
        {"a": 1},
        {"a": 1, "b": "x"},
        {"b": "x"},
        {"a": "1"},
        {"a": None},
        {"a": Typed("l", 1)},
        {"a": 1.0},
        {"a": {"b": 1}},
        {"a": [1, 2]},
        {"a": True},
        {"x-a": 1},
        {"x-a": 1, "a": 2},
    )

    def match(s: Script) -> None:
        c = s.channel()
        c.queue()
        c.bind("q", "amq.headers", "", arguments)
        c.publish("", "without", exchange="amq.headers")
        for number, headers in enumerate(sent):
            c.publish("", str(number), exchange="amq.headers", headers=headers)
        c.read()
        c.drain()

    return match


for _name, _arguments in HEADERS.items():
    register(f"headers_{_name}", _headers(_arguments))


@scenario
def direct_and_fanout(s: Script) -> None:
    c = s.channel()
    c.queue("q")
    c.queue("r")
    c.bind("q", "amq.direct", "k")
    c.bind("q", "amq.direct", "other")
    c.bind("r", "amq.direct", "k")
    c.bind("r", "amq.fanout", "ignored")
    for key in ("k", "other", "K", ""):
        c.publish(key, key, exchange="amq.direct", mandatory=True)
        c.publish(key, key, exchange="amq.fanout")
    c.read()
    c.drain("q", "r")


@scenario
def get_order_and_counts(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.get()
    for body in "abcd":
        c.publish(body=body)
    c.read()
    first, second = c.get(no_ack=False), c.get(no_ack=False)
    c.send("basic.reject", delivery_tag=second, requeue=True)
    c.send("basic.nack", delivery_tag=first, requeue=True)
    c.read()
    c.drain()


def _settle(name: str, **values: Value) -> Scenario:
    def settle(s: Script) -> None:
        c = s.channel()
        c.queue()
        for body in "abc":
            c.publish(body=body)
        c.consume()
        c.read()
        c.send(name, **values)
        c.read()
        c.send(name, **values)
        c.read()
        c.queue(passive=True)
        c.drain()

    return settle


SETTLED: tuple[tuple[str, Callable[[Script], None]], ...] = (
    ("ack_one", _settle("basic.ack", delivery_tag=2)),
    ("ack_up_to", _settle("basic.ack", delivery_tag=2, multiple=True)),
    ("ack_all", _settle("basic.ack", delivery_tag=0, multiple=True)),
    ("ack_zero", _settle("basic.ack", delivery_tag=0)),
    ("ack_unknown", _settle("basic.ack", delivery_tag=9)),
    ("ack_beyond", _settle("basic.ack", delivery_tag=9, multiple=True)),
    ("ack_huge", _settle("basic.ack", delivery_tag=2**64 - 1)),
    ("reject_drop", _settle("basic.reject", delivery_tag=2)),
    ("reject_requeue", _settle("basic.reject", delivery_tag=2, requeue=True)),
    ("reject_unknown", _settle("basic.reject", delivery_tag=9, requeue=True)),
    ("nack_drop", _settle("basic.nack", delivery_tag=2, multiple=True)),
    ("nack_requeue", _settle("basic.nack", delivery_tag=2, multiple=True, requeue=True)),
    ("nack_all", _settle("basic.nack", delivery_tag=0, multiple=True, requeue=True)),
    ("nack_unknown", _settle("basic.nack", delivery_tag=9)),
    ("recover", _settle("basic.recover", requeue=True)),
    ("recover_async", _settle("basic.recover-async", requeue=True)),
    ("recover_same", _settle("basic.recover")),
    ("recover_async_same", _settle("basic.recover-async")),
)
for _name, _scenario in SETTLED:
    register(f"settle_{_name}", _scenario)


@scenario
def settle_on_another_channel(s: Script) -> None:
    connection = s.connect()
    c, other = connection.channel(), connection.channel()
    c.queue()
    c.publish()
    tag = c.get(no_ack=False)
    other.send("basic.ack", delivery_tag=tag)
    other.read()
    c.send("basic.ack", delivery_tag=tag)
    c.read()


@scenario
def settle_no_ack(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.publish()
    c.publish()
    c.get()
    c.send("basic.ack", delivery_tag=1)
    c.read()


@scenario
def settle_by_closing(s: Script) -> None:
    connection = s.connect()
    c, other = connection.channel(), connection.channel()
    c.queue()
    for body in "abcde":
        c.publish(body=body)
    c.get(no_ack=False)
    c.send("basic.ack", delivery_tag=1)
    other.consume(tag="o")
    other.read()
    other.send("basic.ack", delivery_tag=2)
    other.close()
    c.drain()


@scenario
def flow(s: Script) -> None:
    c = s.channel()
    c.call("channel.flow", active=True)
    c.call("channel.flow", active=False)


@scenario
def binary_keys(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.bind("q", "amq.direct", "ü€")
    c.publish("ü€", exchange="amq.direct")
    c.drain()
    octets = wire.method_payload("basic.publish", {"routing_key": b"\xff\xfe", "mandatory": True})
    c.frames((1, octets), (2, wire.header_payload(0, {})), what="basic.publish with key FF FE")
    c.read()
