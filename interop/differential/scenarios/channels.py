"""Channels: errors in every state, methods that do not belong there, nowait everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import wire
from script import Script, register, scenario

if TYPE_CHECKING:
    from collections.abc import Mapping

    from script import Scenario
    from wire import Value

GET_MISSING = ("basic.get", {"queue": "missing"})
#: A message, frame by frame.
MESSAGE = (
    (wire.METHOD, wire.method_payload("basic.publish", {"routing_key": "q"})),
    (wire.HEADER, wire.header_payload(1, {})),
    (wire.BODY, b"m"),
)

#: What a client says before it has heard that its channel is closed.
UNHEARD: Mapping[str, tuple[tuple[str, Mapping[str, Value]], ...]] = {
    "method": (("queue.declare", {"queue": "late", "exclusive": True}),),
    "second_error": (GET_MISSING,),
    "acks": (("basic.ack", {"delivery_tag": 1}), ("basic.nack", {"delivery_tag": 9})),
    "close": (("channel.close", {"code": 200}),),
    "open": (("channel.open", {}),),
    "flow": (("channel.flow", {"active": True}),),
    "confirm": (("confirm.select", {}),),
    "server_method": (("basic.qos-ok", {}),),
}


def _unheard(said: tuple[tuple[str, Mapping[str, Value]], ...]) -> Scenario:
    def say(s: Script) -> None:
        c = s.channel()
        c.queue()
        frames = [(wire.METHOD, wire.method_payload(name, values)) for name, values in said]
        first = (wire.METHOD, wire.method_payload(*GET_MISSING))
        c.frames(first, *frames, what=f"an error, then {', '.join(name for name, _ in said)}")
        c.read()
        if not c.connection.closing:
            c.queue(passive=True)
            c.queue("late", passive=True)

    return say


for _name, _said in UNHEARD.items():
    register(f"closing_{_name}", _unheard(_said))


@scenario
def closing_with_messages(s: Script) -> None:
    c = s.channel()
    c.queue()
    first = (wire.METHOD, wire.method_payload(*GET_MISSING))
    c.frames(first, *MESSAGE, *MESSAGE, what="an error, then two messages")
    c.read()
    c.get()


@scenario
def closing_within_message(s: Script) -> None:
    c = s.channel()
    c.queue()
    wrong = (wire.METHOD, wire.method_payload("basic.publish", {"exchange": "missing"}))
    c.frames(wrong, *MESSAGE[1:], *MESSAGE, what="a message that is refused, then another one")
    c.read()
    c.get()


@scenario
def closing_gives_back(s: Script) -> None:
    connection = s.connect()
    c, other = connection.channel(), connection.channel()
    other.queue()
    for body in "abc":
        other.publish(body=body)
    other.read()
    c.get(no_ack=False)
    c.consume()
    c.read()
    c.get("missing")
    other.drain()


@scenario
def closing_forgets(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.call("confirm.select")
    c.call("basic.qos", prefetch_count=1)
    c.get("missing")
    for body in "ab":
        c.publish(body=body)
    c.read()
    c.consume()
    c.read()
    c.call("queue.bind", exchange="amq.direct", routing_key="k")


#: Methods that only a server sends, and some that belong to channel 0.
NOT_FOR_CHANNELS: Mapping[str, Mapping[str, Value]] = {
    "basic.deliver": {"consumer_tag": "t"},
    "basic.return": {"code": 312},
    "basic.get-ok": {},
    "basic.get-empty": {},
    "basic.consume-ok": {"consumer_tag": "t"},
    "basic.cancel-ok": {"consumer_tag": "t"},
    "basic.qos-ok": {},
    "basic.recover-ok": {},
    "channel.open-ok": {},
    "channel.flow-ok": {"active": True},
    "channel.close-ok": {},
    "exchange.declare-ok": {},
    "confirm.select-ok": {},
    "tx.select-ok": {},
    "access.request-ok": {},
    "connection.blocked": {"reason": "r"},
    "connection.open": {"virtual_host": "/"},
    "connection.tune-ok": {},
}


def _misplaced(name: str, values: Mapping[str, Value]) -> Scenario:
    def send(s: Script) -> None:
        c = s.channel()
        c.queue()
        c.send(name, **values)
        c.read()
        c.queue(passive=True)

    return send


for _name, _values in NOT_FOR_CHANNELS.items():
    register(f"misplaced_{_name.replace('.', '_')}", _misplaced(_name, _values))

#: Methods on channel 0 of an open connection.
ON_ZERO: Mapping[str, Mapping[str, Value]] = {
    "connection.start-ok": {"mechanism": "PLAIN"},
    "connection.secure-ok": {},
    "connection.open-ok": {},
    "connection.close-ok": {},
    "connection.start": {},
    "connection.blocked": {"reason": "r"},
    "channel.close": {"code": 200},
    "basic.publish": {},
    "confirm.select": {},
}


def _on_zero(name: str, values: Mapping[str, Value]) -> Scenario:
    def send(s: Script) -> None:
        connection = s.connect()
        connection.send(0, name, **values)
        connection.read()
        if not connection.over:
            connection.channel().queue()

    return send


for _name, _values in ON_ZERO.items():
    register(f"on_zero_{_name.replace('.', '_')}", _on_zero(_name, _values))

#: Methods without an answer, and the errors they have all the same.
NOWAIT: Mapping[str, Mapping[str, Value]] = {
    "queue.declare": {"queue": "q", "durable": True},
    "queue.bind": {"queue": "q", "exchange": "missing"},
    "queue.purge": {"queue": "missing"},
    "queue.delete": {"queue": "q", "if_empty": True},
    "exchange.declare": {"exchange": "amq.direct", "type": "fanout"},
    "exchange.delete": {"exchange": "amq.direct"},
    "exchange.bind": {"source": "missing", "destination": "amq.direct"},
    "exchange.unbind": {"source": "", "destination": "amq.direct"},
    "basic.consume": {"queue": "missing", "consumer_tag": "t"},
    "basic.cancel": {"consumer_tag": "missing"},
}


def _nowait(name: str, values: Mapping[str, Value]) -> Scenario:
    def send(s: Script) -> None:
        c = s.channel()
        c.queue()
        c.publish()
        c.read()
        c.send(name, **{**values, "nowait": True})
        c.read()
        c.queue(passive=True)

    return send


for _name, _values in NOWAIT.items():
    register(f"nowait_refused_{_name.replace('.', '_')}", _nowait(_name, _values))


@scenario
def nowait_accepted(s: Script) -> None:
    c = s.channel()
    c.send("exchange.declare", exchange="x", type="fanout", nowait=True)
    c.send("exchange.declare", exchange="y", type="fanout", nowait=True)
    c.send("exchange.bind", source="x", destination="y", nowait=True)
    c.queue()
    c.send("queue.bind", queue="q", exchange="y", nowait=True)
    c.publish("k", exchange="x")
    c.send("basic.consume", queue="q", consumer_tag="t", nowait=True)
    c.read()
    c.send("exchange.unbind", source="x", destination="y", nowait=True)
    c.publish("k", exchange="x", mandatory=True)
    c.read()
    c.send("exchange.delete", exchange="x", nowait=True)
    c.send("queue.purge", queue="q", nowait=True)
    c.send("confirm.select", nowait=True)
    c.publish("q", "confirmed")
    c.read()
    c.send("queue.delete", queue="q", nowait=True)
    c.read()


PASSIVE: Mapping[str, Mapping[str, Value]] = {
    "other_flags": {"durable": True, "auto_delete": True},
    "other_arguments": {"arguments": {"x-max-length": -1}},
    "not_exclusive": {"exclusive": False},
    "nowait": {"nowait": True},
}


def _passive(values: Mapping[str, Value]) -> Scenario:
    def declare(s: Script) -> None:
        c = s.channel()
        c.queue()
        c.send("queue.declare", **{"queue": "q", "exclusive": True, "passive": True, **values})
        c.read()
        c.send("queue.declare", **{"queue": "missing", "passive": True, **values})
        c.read()

    return declare


for _name, _values in PASSIVE.items():
    register(f"passive_{_name}", _passive(_values))


@scenario
def passive_exchange(s: Script) -> None:
    c = s.channel()
    c.exchange("x", "topic", durable=False)
    c.exchange("x", "fanout", passive=True, durable=True, auto_delete=True, internal=True)
    c.exchange("x", "nope", passive=True)
    c.exchange("x", "topic", passive=True, arguments={"alternate-exchange": 5})
    c.exchange("missing", passive=True)
    c.send("exchange.declare", exchange="missing", passive=True, nowait=True)
    c.read()


@scenario
def passive_names_the_last_queue(s: Script) -> None:
    c = s.channel()
    c.queue("first")
    c.queue("second")
    c.queue("first", passive=True)
    c.call("queue.purge")
    c.publish("first")
    c.call("basic.get", no_ack=True)


@scenario
def channels_are_strangers(s: Script) -> None:
    connection = s.connect()
    c, other = connection.channel(), connection.channel()
    c.queue()
    other.call("queue.bind", exchange="amq.direct", routing_key="k")
    c.consume(tag="t")
    other.call("basic.cancel", consumer_tag="t")
    c.publish()
    c.read()
    other.send("basic.ack", delivery_tag=1)
    other.read()
    c.send("basic.ack", delivery_tag=1)
    c.queue(passive=True)


@scenario
def channel_reuse_after_error(s: Script) -> None:
    c = s.channel()
    for _ in range(3):
        c.get("missing")
        c.queue()
        c.publish()
        c.get(no_ack=False)


@scenario
def channel_reopened_before_close_ok(s: Script) -> None:
    connection = s.connect()
    c = connection.channel()
    c.queue()
    close = (wire.METHOD, wire.method_payload("channel.close", {"code": 200}))
    again = (wire.METHOD, wire.method_payload("channel.open", {}))
    declare = (
        wire.METHOD,
        wire.method_payload("queue.declare", {"queue": "q", "passive": True}),
    )
    c.frames(close, again, declare, what="close, open and declare at once")
    connection.wait_for("queue.declare-ok", channel=1)
