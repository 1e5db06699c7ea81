"""Exchanges and bindings."""

from __future__ import annotations

from script import Script, register, scenario


@scenario
def exchange_predeclared(s: Script) -> None:
    c = s.channel()
    for kind in ("direct", "fanout", "topic", "headers"):
        c.exchange(f"amq.{kind}", kind, durable=True)
        c.exchange(f"amq.{kind}", kind)
    c.exchange("amq.match", "headers", durable=True)
    c.exchange("amq.rabbitmq.trace", "topic", durable=True, internal=True)
    c.exchange("amq.direct", "fanout", durable=True)
    c.exchange("amq.new", "direct")
    c.exchange("amq.new", passive=True)
    c.call("exchange.delete", exchange="amq.direct")
    c.call("exchange.delete", exchange="amq.not")


@scenario
def exchange_default(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.exchange("", "direct")
    c.exchange("", "direct", passive=True)
    c.call("exchange.delete", exchange="")
    c.bind("q", "", "k")
    c.call("queue.unbind", queue="q", exchange="", routing_key="q")
    c.call("exchange.bind", source="", destination="amq.direct", routing_key="k")
    c.call("exchange.bind", source="amq.direct", destination="", routing_key="k")
    c.call("exchange.unbind", source="amq.direct", destination="", routing_key="k")


@scenario
def exchange_unknown_type(s: Script) -> None:
    s.channel().exchange("x", "nope")


@scenario
def exchange_types(s: Script) -> None:
    c = s.channel()
    c.exchange("x", "direct", passive=True)
    c.exchange("x", "fanout")
    c.exchange("x", "direct", passive=True)
    c.exchange("line\nfeed", "direct")
    c.exchange("linefeed", passive=True)


AGAIN = {
    "same": {},
    "type": {"kind": "topic"},
    "durable": {"durable": True},
    "auto_delete": {"auto_delete": True},
    "internal": {"internal": True},
    "alternate": {"arguments": {"alternate-exchange": "amq.fanout"}},
    "unknown_argument": {"arguments": {"foo": 1}},
}


def _redeclare(second: dict[str, object]) -> object:
    def redeclare(s: Script) -> None:
        c = s.channel()
        c.exchange("x")
        c.exchange("x", **second)  # type: ignore[arg-type]

    return redeclare


for _name, _second in AGAIN.items():
    register(f"exchange_again_{_name}", _redeclare(_second))  # type: ignore[arg-type]


@scenario
def exchange_alternate_arguments(s: Script) -> None:
    c = s.channel()
    c.exchange("x", arguments={"alternate-exchange": 5})
    c.exchange("x", arguments={"alternate-exchange": "not-there"})
    c.exchange("x", arguments={"alternate-exchange": "other"})
    c.exchange("x")
    c.queue()
    c.publish("k", exchange="x", mandatory=True)
    c.read()


@scenario
def exchange_delete(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.exchange("x")
    c.bind("q", "x", "k")
    c.call("exchange.delete", exchange="x", if_unused=True)
    c.call("queue.unbind", queue="q", exchange="x", routing_key="k")
    c.call("exchange.delete", exchange="x", if_unused=True)
    c.call("exchange.delete", exchange="x")
    c.exchange("x")
    c.call("exchange.bind", source="amq.direct", destination="x", routing_key="k")
    c.call("exchange.delete", exchange="x", if_unused=True)
    c.send("exchange.declare", exchange="y", type="direct", nowait=True)
    c.send("exchange.delete", exchange="y", nowait=True)
    c.exchange("y", passive=True)


@scenario
def exchange_auto_delete(s: Script) -> None:
    c = s.channel()
    c.queue("q")
    c.exchange("x", auto_delete=True)
    c.exchange("x", passive=True)
    c.bind("q", "x", "a")
    c.bind("q", "x", "b")
    c.call("queue.unbind", queue="q", exchange="x", routing_key="a")
    c.exchange("x", passive=True)
    c.call("queue.delete", queue="q")
    c.exchange("x", passive=True)
    c.exchange("up", auto_delete=True)
    c.exchange("down", auto_delete=True)
    c.queue("q")
    c.call("exchange.bind", source="up", destination="down", routing_key="k")
    c.bind("q", "down", "k")
    c.call("queue.unbind", queue="q", exchange="down", routing_key="k")
    c.exchange("down", passive=True)
    c.exchange("up", passive=True)


@scenario
def exchange_internal(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.exchange("inner", "fanout", internal=True)
    c.exchange("outer", "fanout")
    c.bind("q", "inner")
    c.call("exchange.bind", source="outer", destination="inner")
    c.publish("k", exchange="outer")
    c.get()
    c.publish("k", exchange="inner")
    c.read()
    c.publish("k", exchange="amq.rabbitmq.trace")
    c.read()


@scenario
def bind_missing(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.bind("none", "amq.direct", "k")
    c.bind("q", "none", "k")
    c.bind("none", "none", "k")
    for queue, exchange in (("q", "amq.direct"), ("none", "amq.direct"), ("q", "none")):
        c.call("queue.unbind", queue=queue, exchange=exchange, routing_key="nothing")
    for source, destination in (("none", "amq.direct"), ("amq.direct", "none")):
        c.call("exchange.bind", source=source, destination=destination, routing_key="k")
        c.call("exchange.unbind", source=source, destination=destination, routing_key="k")


@scenario
def bind_twice(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.bind("q", "amq.direct", "k")
    c.bind("q", "amq.direct", "k")
    c.bind("q", "amq.direct", "k", {"extra": 1})
    c.publish("k", exchange="amq.direct")
    c.drain()
    c.call("queue.unbind", queue="q", exchange="amq.direct", routing_key="k")
    c.publish("k", exchange="amq.direct")
    c.drain()
    c.call(
        "queue.unbind", queue="q", exchange="amq.direct", routing_key="k", arguments={"extra": 1}
    )
    c.publish("k", exchange="amq.direct")
    c.drain()


@scenario
def bind_keys_of_last_queue(s: Script) -> None:
    c = s.channel()
    name = c.queue("")
    c.call("queue.bind", exchange="amq.direct")
    c.publish(name, exchange="amq.direct")
    c.call("basic.get", no_ack=True)
    c.call("queue.bind", queue="", exchange="amq.direct", routing_key="k")
    c.publish("k", exchange="amq.direct")
    c.call("basic.get", no_ack=True)


@scenario
def exchange_to_exchange(s: Script) -> None:
    c = s.channel()
    for name in ("a", "b"):
        c.exchange(name, "fanout")
    c.queue("q")
    c.queue("r")
    c.call("exchange.bind", source="a", destination="b", routing_key="")
    c.call("exchange.bind", source="b", destination="a", routing_key="")
    c.call("exchange.bind", source="a", destination="b", routing_key="again")
    c.bind("q", "a")
    c.bind("q", "b")
    c.bind("r", "b")
    c.publish("key", exchange="a")
    c.drain("q", "r")
    c.call("exchange.unbind", source="a", destination="b", routing_key="")
    c.call("exchange.unbind", source="a", destination="b", routing_key="again")
    c.publish("key", exchange="a")
    c.drain("q", "r")
    c.call("exchange.bind", source="a", destination="a", routing_key="")
    c.publish("key", exchange="a")
    c.drain("q", "r")


@scenario
def alternate_exchange(s: Script) -> None:
    c = s.channel()
    c.exchange("ae", "fanout")
    c.exchange("x", arguments={"alternate-exchange": "ae"})
    c.exchange("y", arguments={"alternate-exchange": "x"})
    c.queue("q")
    c.queue("r")
    c.bind("q", "ae")
    c.bind("r", "x", "known")
    for exchange in ("x", "y"):
        for key in ("known", "other"):
            c.publish(key, exchange=exchange, mandatory=True)
    c.drain("q", "r")
    c.call("queue.unbind", queue="q", exchange="ae")
    c.publish("other", exchange="y", mandatory=True)
    c.read()
    c.call("exchange.delete", exchange="ae")
    c.publish("other", exchange="y", mandatory=True)
    c.read()


@scenario
def alternate_exchange_of_itself(s: Script) -> None:
    c = s.channel()
    c.exchange("x", arguments={"alternate-exchange": "x"})
    c.publish("k", exchange="x", mandatory=True)
    c.read()


@scenario
def alternate_exchange_behind_dead_end(s: Script) -> None:
    c = s.channel()
    c.exchange("ae", "fanout")
    c.exchange("end", "fanout")
    c.exchange("x", "fanout", arguments={"alternate-exchange": "ae"})
    c.queue()
    c.bind("q", "ae")
    c.call("exchange.bind", source="x", destination="end")
    c.publish("k", exchange="x", mandatory=True)
    c.read()
    c.drain()


@scenario
def alternate_exchange_cycle(s: Script) -> None:
    c = s.channel()
    c.exchange("x", arguments={"alternate-exchange": "y"})
    c.exchange("y", arguments={"alternate-exchange": "x"})
    c.publish("k", exchange="x", mandatory=True)
    c.read()
    c.queue()
    c.bind("q", "x", "other")
    c.publish("k", exchange="y", mandatory=True, headers={"CC": ["other"]})
    c.read()
    c.drain()


@scenario
def alternate_exchange_internal(s: Script) -> None:
    c = s.channel()
    c.exchange("inner", "fanout", internal=True)
    c.exchange("x", arguments={"alternate-exchange": "inner"})
    c.queue()
    c.bind("q", "inner")
    c.publish("k", exchange="x", mandatory=True)
    c.read()
    c.drain()


@scenario
def alternate_exchange_default(s: Script) -> None:
    c = s.channel()
    c.exchange("x", arguments={"alternate-exchange": ""})
    c.queue()
    c.publish("q", exchange="x", mandatory=True)
    c.publish("nowhere", exchange="x", mandatory=True)
    c.read()
    c.drain()


@scenario
def exchange_graph_of_types(s: Script) -> None:
    c = s.channel()
    c.exchange("topics", "topic")
    c.exchange("headers", "headers")
    c.exchange("keys", "direct")
    c.call("exchange.bind", source="topics", destination="headers", routing_key="a.#")
    c.call("exchange.bind", source="headers", destination="keys", arguments={"h": 1})
    c.queue("q")
    c.queue("r")
    c.bind("q", "keys", "a.b")
    c.bind("r", "headers", "", {"x-match": "any", "h": 1, "g": 1})
    for key in ("a.b", "a.c", "b"):
        for headers in ({}, {"h": 1}, {"g": 1}):
            c.publish(key, f"{key} {headers}", "topics", headers=headers)
    c.read()
    c.drain("q", "r")


@scenario
def exchange_graph_diamond(s: Script) -> None:
    c = s.channel()
    for name in ("top", "left", "right", "bottom"):
        c.exchange(name, "fanout")
    for source, destination in (
        ("top", "left"),
        ("top", "right"),
        ("left", "bottom"),
        ("right", "bottom"),
    ):
        c.call("exchange.bind", source=source, destination=destination)
    c.queue()
    c.bind("q", "bottom")
    c.publish("k", exchange="top")
    c.read()
    c.drain()
    c.call("exchange.delete", exchange="bottom")
    c.publish("k", exchange="top", mandatory=True)
    c.read()


@scenario
def topic_words(s: Script) -> None:
    c = s.channel()
    patterns = ("#", "*", "*.*", "a.#", "#.b", "a.*.b", "#.a.#", "*.#", "#.*", "", ".", "a..b")
    for number, pattern in enumerate(patterns):
        c.queue(f"q{number}")
        c.bind(f"q{number}", "amq.topic", pattern)
    for key in ("a", "b", "a.b", "a.x.b", "a..b", "", ".", "a.", ".a", "#", "*", "x.a.y"):
        c.publish(key, key, "amq.topic")
    c.read()
    c.drain(*(f"q{number}" for number in range(len(patterns))))


@scenario
def binding_arguments_matter(s: Script) -> None:
    c = s.channel()
    c.queue()
    for arguments in ({}, {"a": 1}, {"a": 2}, {"b": 1, "a": 1}, {"a": 1, "b": 1}):
        c.bind("q", "amq.direct", "k", arguments)
    for arguments in ({"a": 1}, {"a": 1}, {"a": 3}):
        c.call(
            "queue.unbind",
            queue="q",
            exchange="amq.direct",
            routing_key="k",
            arguments=arguments,
        )
    c.publish("k", exchange="amq.direct")
    c.read()
    c.drain()


@scenario
def exchange_durable_and_queue(s: Script) -> None:
    c = s.channel()
    c.exchange("x", "fanout", durable=True, auto_delete=True)
    c.exchange("x", "fanout", durable=True)
    c.queue("q", exclusive=False, auto_delete=True)
    c.bind("q", "x")
    c.consume("q")
    c.call("basic.cancel", consumer_tag="t")
    c.exchange("x", passive=True)
