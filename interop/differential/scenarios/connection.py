"""Connections and channels: negotiation, logins, closing, limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import wire
from script import Connection, Script, register, scenario

if TYPE_CHECKING:
    from collections.abc import Mapping

    from script import Scenario
    from wire import Value

CAPABLE: Value = {"capabilities": {"authentication_failure_close": True}}


def started(s: Script) -> Connection:
    """A connection that has read connection.start."""
    connection = s.raw()
    connection.silent = True
    connection.send_octets(wire.PROTOCOL_HEADER)
    connection.wait_for("connection.start")
    connection.silent = False
    return connection


def tuned(s: Script, client: Value = CAPABLE) -> Connection:
    """A connection that has logged in and read connection.tune."""
    connection = started(s)
    connection.silent = True
    login(connection, client_properties=client)
    connection.silent = False
    return connection


def login(connection: Connection, **values: Value) -> None:
    """Send start-ok, read what follows."""
    usual: dict[str, Value] = {
        "client_properties": CAPABLE,
        "mechanism": "PLAIN",
        "response": "\0guest\0guest",
        "locale": "en_US",
    }
    connection.send(0, "connection.start-ok", **{**usual, **values})
    connection.wait_for("connection.tune")


HEADERS: Mapping[str, bytes] = {
    "0_9_1": b"AMQP\0\0\x09\x01",
    "0_9": b"AMQP\x01\x01\0\x09",
    "0_8": b"AMQP\x01\x01\x08\0",
    "0_9_2": b"AMQP\0\0\x09\x02",
    "0_10": b"AMQP\x01\x01\0\x0a",
    "1_0": b"AMQP\0\x01\0\0",
    "1_0_sasl": b"AMQP\x03\x01\0\0",
    "http": b"GET / HTTP/1.1\r\n\r\n",
    "tls": b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
    "garbage": b"12345678",
}


def _header(octets: bytes) -> Scenario:
    def header(s: Script) -> None:
        connection = s.raw()
        connection.octets(repr(octets), octets)
        connection.wait_for("connection.start")

    return header


for _name, _octets in HEADERS.items():
    register(f"header_{_name}", _header(_octets))


@scenario
def start_details(s: Script) -> None:
    connection = s.raw()
    connection.silent = True
    connection.send_octets(wire.PROTOCOL_HEADER)
    start = connection.wait_for("connection.start")
    connection.silent = False
    for name in ("version_major", "version_minor", "mechanisms", "locales"):
        s.note(f"{name} {start[name]}")
    properties = start["server_properties"]
    assert isinstance(properties, dict)
    s.note(" ".join(sorted(properties)))
    s.note(f"capabilities {properties['capabilities']}")
    s.note(f"product {properties['product']}")


LOGINS: Mapping[str, Mapping[str, Value]] = {
    "right": {},
    "wrong_password": {"response": "\0guest\0wrong"},
    "unknown_user": {"response": "\0nobody\0guest"},
    "empty_password": {"response": "\0guest\0"},
    "authorization_id": {"response": "somebody\0guest\0guest"},
    "amqplain": {
        "mechanism": "AMQPLAIN",
        "response": wire.table({"LOGIN": "guest", "PASSWORD": "guest"})[4:],
    },
    "amqplain_wrong": {
        "mechanism": "AMQPLAIN",
        "response": wire.table({"LOGIN": "guest", "PASSWORD": "wrong"})[4:],
    },
    "other_locale": {"locale": "de_DE"},
    "mechanism_unknown": {"mechanism": "KERBEROS"},
    "mechanism_empty": {"mechanism": ""},
    "mechanism_lower_case": {"mechanism": "plain"},
    "external": {"mechanism": "EXTERNAL", "response": ""},
    "response_empty": {"response": ""},
    "three_parts": {"response": "\0guest\0guest\0more"},
    "amqplain_without_password": {
        "mechanism": "AMQPLAIN",
        "response": wire.table({"LOGIN": "guest"})[4:],
    },
    "amqplain_garbage": {"mechanism": "AMQPLAIN", "response": "garbage"},
    "capabilities_text": {"client_properties": {"capabilities": "all"}},
    "many_properties": {"client_properties": {"a": {"b": [1, None]}, "c": "d" * 3000}},
}


def _login(values: Mapping[str, Value]) -> Scenario:
    def try_login(s: Script) -> None:
        login(started(s), **values)

    return try_login


for _name, _values in LOGINS.items():
    register(f"login_{_name}", _login(_values))


@scenario
def login_silent_refusal(s: Script) -> None:
    login(started(s), response="\0guest\0wrong", client_properties={})


TUNED: Mapping[str, Mapping[str, Value]] = {
    "same": {"channel_max": 2047, "frame_max": 131_072, "heartbeat": 60},
    "lower": {"channel_max": 10, "frame_max": 8192, "heartbeat": 0},
    "frame_max_small": {"channel_max": 10, "frame_max": 100},
    "frame_max_large": {"channel_max": 10, "frame_max": 131_073},
    "frame_max_zero": {"channel_max": 10, "frame_max": 0},
    "channel_max_large": {"channel_max": 2048, "frame_max": 131_072},
    "channel_max_zero": {"channel_max": 0, "frame_max": 131_072},
}


def _tune(values: Mapping[str, Value]) -> Scenario:
    def tune(s: Script) -> None:
        connection = tuned(s)
        connection.send(0, "connection.tune-ok", **values)
        connection.call("connection.open", virtual_host=s.place.vhost)

    return tune


for _name, _values in TUNED.items():
    register(f"tune_{_name}", _tune(_values))


def _open(name: str, user: str, vhost: str | None) -> None:
    def open_vhost(s: Script) -> None:
        connection = started(s)
        login(connection, response=f"\0{user}\0{user}")
        connection.send(0, "connection.tune-ok", channel_max=2047, frame_max=131_072)
        connection.call("connection.open", virtual_host=s.place.vhost if vhost is None else vhost)

    register(f"open_{name}", open_vhost)


_open("vhost", "guest", "other")
_open("vhost_unknown", "guest", "none")
_open("vhost_empty", "guest", "")
_open("vhost_refused", "stranger", None)


@scenario
def close_and_reopen_channels(s: Script) -> None:
    c = s.channel()
    c.connection.send(1, "channel.open")
    c.connection.wait_for("channel.open-ok", channel=1)
    c.open = True
    c.close()
    c.queue()
    c.close()
    c.connection.channel(2000).queue()
    c.connection.close()


@scenario
def channel_opened_twice(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.connection.send(1, "channel.open")
    c.read()


@scenario
def channel_zero_opened(s: Script) -> None:
    connection = s.connect()
    connection.send(0, "channel.open")
    connection.read()


@scenario
def channel_never_opened(s: Script) -> None:
    connection = s.connect()
    connection.send(5, "queue.declare", queue="q")
    connection.read()


@scenario
def channel_never_opened_close(s: Script) -> None:
    connection = s.connect()
    connection.send(5, "channel.close", code=200)
    connection.read()


@scenario
def channel_close_with_error(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.call("channel.close", code=500, text="mine", **{"class": 60, "method": 40})
    c.open = False
    c.queue(passive=True)


@scenario
def channels_too_many(s: Script) -> None:
    connection = tuned(s)
    connection.send(0, "connection.tune-ok", channel_max=2, frame_max=131_072)
    connection.call("connection.open", virtual_host=s.place.vhost)
    for number in (1, 2, 3):
        connection.send(number, "channel.open")
        connection.wait_for("channel.open-ok", channel=number)


@scenario
def connection_close_answers_nothing_more(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.connection.send(0, "connection.close", code=200, text="bye")
    c.connection.send(1, "queue.declare", queue="late")
    c.read()


@scenario
def connection_opened_twice(s: Script) -> None:
    connection = s.connect()
    connection.send(0, "connection.open", virtual_host=s.place.vhost)
    connection.read()


@scenario
def tune_ok_twice(s: Script) -> None:
    connection = s.connect()
    connection.send(0, "connection.tune-ok", channel_max=10, frame_max=131_072)
    connection.read()


@scenario
def connection_method_on_channel(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.connection.send(1, "connection.close", code=200)
    c.read()


@scenario
def methods_of_the_server(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.send("queue.declare-ok", queue="q")
    c.read()


@scenario
def access_request(s: Script) -> None:
    c = s.channel()
    c.call("access.request", realm="/data", active=True, read=True)


@scenario
def update_secret(s: Script) -> None:
    s.connect().call("connection.update-secret", secret="new", reason="old one expires")


@scenario
def heartbeats(s: Script) -> None:
    connection = tuned(s)
    connection.send(0, "connection.tune-ok", channel_max=10, frame_max=131_072, heartbeat=2)
    connection.call("connection.open", virtual_host=s.place.vhost)
    connection.linger(1.5)


@scenario
def pipelined(s: Script) -> None:
    connection = s.raw()
    connection.send_octets(wire.PROTOCOL_HEADER)
    connection.silent = True
    connection.wait_for("connection.start")
    connection.silent = False
    values: dict[str, Value] = {
        "mechanism": "PLAIN",
        "response": "\0guest\0guest",
        "locale": "en_US",
    }
    steps: tuple[tuple[int, str, dict[str, Value]], ...] = (
        (0, "connection.start-ok", values),
        (0, "connection.tune-ok", {"channel_max": 2047, "frame_max": 131_072}),
        (0, "connection.open", {"virtual_host": "/"}),
        (1, "channel.open", {}),
        (1, "queue.declare", {"queue": "q", "exclusive": True}),
        (1, "basic.get", {"queue": "q"}),
    )
    octets = b"".join(wire.frame(1, n, wire.method_payload(m, v)) for n, m, v in steps)
    connection.octets("everything at once", octets)
    connection.wait_for("basic.get-empty", channel=1)
