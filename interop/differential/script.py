"""What scenarios are written in: connections and channels that note down everything they send
and receive, one line each, with the values that change from run to run replaced.
"""

from __future__ import annotations

import re
import socket
import struct
import time
from typing import TYPE_CHECKING, NamedTuple, cast

import wire
from definitions import ORDINARY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from wire import Value

    Scenario = Callable[["Script"], None]

ANSWER_S = 8.0
#: A broker that has said nothing for so long has said everything.
QUIET_S = 0.1
LOCKED = 405
ANSWERS = {"basic.get": ("basic.get-ok", "basic.get-empty")}
SCENARIOS: dict[str, Scenario] = {}

_GENERATED = re.compile(
    r"amq\.gen-[A-Za-z0-9_-]+|amq\.ctag-[A-Za-z0-9_-]+|amq\.rabbitmq\.reply-to\.[A-Za-z0-9_.+/=-]+"
)
#: The same character a hundred times and more.
_REPEATED = re.compile(r"(.)\1{99,}")
_CONTENT = ("basic.deliver", "basic.get-ok", "basic.return")


class Over(Exception):
    """The connection has ended; what the scenario had left to do on it does not happen."""


def _counted(match: re.Match[str]) -> str:
    return f"<{len(match[0])} times {match[1]}>"


def scenario(function: Scenario) -> Scenario:
    """Register a scenario under its function's name."""
    return register(function.__name__, function)


def register(name: str, function: Scenario) -> Scenario:
    """Register a scenario; names are unique."""
    if name in SCENARIOS:
        raise ValueError(f"two scenarios are called {name}")
    SCENARIOS[name] = function
    return function


class Place(NamedTuple):
    """Where scenarios are played: a broker, and a vhost that nobody else uses meanwhile."""

    host: str
    port: int
    vhost: str = ORDINARY


class Script:
    """One run of one scenario against one broker."""

    def __init__(self, place: Place, quiet_s: float = QUIET_S) -> None:
        self.place = place
        self.quiet_s = quiet_s
        self.lines: list[str] = []
        self.connections: list[Connection] = []
        self._names: dict[str, str] = {}
        self.queues: dict[str, None] = {}
        self.exchanges: dict[str, None] = {}

    def note(self, line: str) -> None:
        """Write a line of the transcript."""
        line = _GENERATED.sub(self._stable, line).replace(self.place.vhost, ORDINARY)
        self.lines.append(_REPEATED.sub(_counted, line))

    def _stable(self, match: re.Match[str]) -> str:
        name = match[0]
        if name not in self._names:
            kind = name[: name.rindex("." if "reply-to" in name[:24] else "-")]
            kind = next(k for k in ("amq.gen", "amq.ctag", "amq.rabbitmq.reply-to") if k in name)
            self._names[name] = f"<{kind} {len(self._names) + 1}>"
        return self._names[name]

    def raw(self) -> Connection:
        """A connection of which nothing has been said yet."""
        connection = Connection(self, len(self.connections) + 1)
        self.connections.append(connection)
        return connection

    def connect(self, user: str = "guest", vhost: str | None = None, **client: Value) -> Connection:
        """An open connection; the handshake is not noted down."""
        connection = self.raw()
        connection.silent = True
        connection.handshake(user, self.place.vhost if vhost is None else vhost, client)
        connection.silent = False
        return connection

    def channel(self) -> Channel:
        """The first channel of a new connection."""
        return self.connect().channel()

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)

    def end(self) -> None:
        """Read what is left, close, and delete what was declared."""
        for connection in self.connections:
            connection.read()
        for connection in self.connections:
            connection.silent = True
            connection.leave()
        if self.queues or self.exchanges:
            sweep(self.place, self.queues, self.exchanges)


def sweep(place: Place, queues: Iterable[str], exchanges: Iterable[str]) -> None:
    """Delete these, and wait for those that the broker is still deleting by itself."""
    connection = Connection(Script(place), 0)
    connection.handshake("guest", place.vhost, {})
    deadline = time.monotonic() + ANSWER_S
    for name in queues:
        # Queues of a connection that ended badly are locked until RabbitMQ has deleted them.
        while connection.channel().call("queue.delete", queue=name).get("code") == LOCKED:
            if time.monotonic() > deadline:
                raise ValueError(f"queue {name!r} is still there")
            time.sleep(0.02)
    for name in exchanges:
        connection.channel().call("exchange.delete", exchange=name)
    connection.abort()


class Connection:
    """A socket, its frames, and its channels."""

    def __init__(self, script: Script, number: int) -> None:
        self.script = script
        self.number = number
        self.silent = False
        self.over = False
        self.closing = False
        self.is_open = False
        self.channels: dict[int, Channel] = {}
        #: Of the message that came last.
        self.properties: dict[str, object] = {}
        self._buffer = b""
        self._has_beaten = False
        address = (script.place.host, script.place.port)
        self.socket = socket.create_connection(address, timeout=ANSWER_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def note(self, channel: int, text: str) -> None:
        """Write a line, with the connection's and the channel's number in front."""
        if not self.silent:
            self.script.note(f"{self.number}.{channel} {text}")

    def handshake(self, user: str, vhost: str, client: dict[str, Value]) -> None:
        """Header to open-ok, as a client with all capabilities unless told otherwise."""
        capabilities: Value = {
            "consumer_cancel_notify": True,
            "authentication_failure_close": True,
            "basic.nack": True,
            "publisher_confirms": True,
            "connection.blocked": True,
        }
        self.send_octets(wire.PROTOCOL_HEADER)
        self.wait_for("connection.start")
        self.send(
            0,
            "connection.start-ok",
            client_properties={"capabilities": capabilities, **client},
            mechanism="PLAIN",
            response=f"\0{user}\0{user}",
            locale="en_US",
        )
        self.wait_for("connection.tune")
        self.send(0, "connection.tune-ok", channel_max=2047, frame_max=131072)
        self.call("connection.open", virtual_host=vhost)

    def channel(self, number: int = 0) -> Channel:
        """A channel not opened yet; it opens when it is first used. Also one in use, again."""
        number = number or len(self.channels) + 1
        if number not in self.channels:
            self.channels[number] = Channel(self, number)
        return self.channels[number]

    # -- sending

    def send_octets(self, octets: bytes) -> None:
        """Write octets as they are."""
        if self.over:
            raise Over
        try:
            self.socket.sendall(octets)
        except OSError:
            self._ended()

    def octets(self, what: str, octets: bytes) -> None:
        """Write octets as they are, noted down under this name."""
        self.note(0, f"> {what}")
        self.send_octets(octets)

    def send(self, channel: int, name: str, **values: Value) -> None:
        """Write a method."""
        self.note(channel, f"> {name} {shown(values)}".rstrip())
        self.send_octets(wire.frame(wire.METHOD, channel, wire.method_payload(name, values)))

    def call(self, name: str, **values: Value) -> dict[str, object]:
        """A method of channel 0 and its answer."""
        self.send(0, name, **values)
        return self.wait_for(f"{name}-ok")

    # -- receiving

    def wait_for(
        self, *names: str, channel: int = 0, seconds: float = ANSWER_S
    ) -> dict[str, object]:
        """Note down what comes, up to one of these methods on the channel or its end."""
        deadline = time.monotonic() + seconds
        while True:
            event = self._next(max(0.0, deadline - time.monotonic()))
            if event is None:
                if not self.over:
                    self.note(channel, f"! no {' or '.join(names)}")
                return {}
            got_channel, name, values = event
            if got_channel == channel and (name in names or name == "channel.close"):
                return values
            if name == "connection.close":
                return {}

    def read(self, quiets: float = 1.0) -> None:
        """Note down what comes until nothing has come for so many times the usual while."""
        while not self.over and self._next(quiets * self.script.quiet_s) is not None:
            pass

    def linger(self, seconds: float) -> None:
        """Note down what comes until the connection ends, for so long at most."""
        deadline = time.monotonic() + seconds
        while not self.over and (left := deadline - time.monotonic()) > 0:
            self._next(left)

    def _next(self, seconds: float) -> tuple[int, str, dict[str, object]] | None:
        """The next method with its content; None when nothing comes in time, or ever."""
        frame = self._frame(seconds)
        if frame is None:
            return None
        if frame.kind != wire.METHOD:
            self._note_other(frame)
            return frame.channel, "", {}
        name, values = wire.read_method(frame.payload)
        line = f"< {name} {shown(values)}".rstrip()
        if name in _CONTENT:
            line += self._content()
        if name in ("basic.deliver", "basic.get-ok"):
            self.channel(frame.channel).delivered.append(int(str(values["delivery_tag"])))
        if name in ("basic.ack", "basic.nack"):
            self._note_confirms(frame.channel, name, values)
        else:
            self.note(frame.channel, line)
        self._react(frame.channel, name)
        return frame.channel, name, values

    def _note_other(self, frame: wire.Frame) -> None:
        """A frame that is no method; heartbeats once, how many come is a matter of time."""
        if frame.kind != wire.HEARTBEAT or not self._has_beaten:
            self.note(frame.channel, f"< frame of type {frame.kind}")
        self._has_beaten = frame.kind == wire.HEARTBEAT

    def _note_confirms(self, number: int, name: str, values: dict[str, object]) -> None:
        """One line for each message: how many a frame confirms is the broker's own affair."""
        tag, channel = int(str(values["delivery_tag"])), self.channel(number)
        settled = {tag}
        if values["multiple"]:
            settled |= {one for one in channel.unconfirmed if one <= tag}
        for one in sorted(settled):
            twice = "" if one in channel.unconfirmed else " ! not outstanding"
            self.note(number, f"< {name} {one}{twice}")
        channel.unconfirmed -= settled

    def _content(self) -> str:
        header = self._frame(ANSWER_S)
        if header is None or header.kind != wire.HEADER:
            return " ! without a header"
        size, properties = wire.read_header(header.payload)
        self.properties, body = properties, b""
        while len(body) < size:
            piece = self._frame(ANSWER_S)
            if piece is None or piece.kind != wire.BODY:
                return " ! body cut short"
            body += piece.payload
        return f" | {shown(properties)} | {wire.text(body)}"

    def _react(self, channel: int, name: str) -> None:
        if name == "channel.close":
            self.send_octets(wire.frame(1, channel, wire.method_payload("channel.close-ok", {})))
            self.channel(channel).open = False
        elif name == "connection.open-ok":
            self.is_open = True
        elif name == "connection.close-ok":
            # Who closes the socket now is all the same, and when.
            self.abort()
        elif name == "connection.close":
            self.closing = True
            self.send_octets(wire.frame(1, 0, wire.method_payload("connection.close-ok", {})))

    def _frame(self, seconds: float) -> wire.Frame | None:
        deadline = time.monotonic() + seconds
        while True:
            frame = self._cut()
            if frame is not None or self.over:
                return frame
            self.socket.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                octets = self.socket.recv(262_144)
            except TimeoutError:
                return None
            except OSError:
                octets = b""
            self._buffer += octets
            if not octets:
                self._ended()

    def _cut(self) -> wire.Frame | None:
        if self._buffer.startswith(b"AMQP") and len(self._buffer) >= 8:
            self.note(0, f"< {self._buffer[:8]!r}")
            self._buffer = self._buffer[8:]
        if len(self._buffer) < 7:
            return None
        kind, channel, size = struct.unpack_from(">BHI", self._buffer)
        if len(self._buffer) < size + 8:
            return None
        payload, self._buffer = self._buffer[7 : 7 + size], self._buffer[8 + size :]
        return wire.Frame(kind, channel, payload)

    def _ended(self) -> None:
        self.over = True
        if self._buffer:
            self.note(0, f"< {self._buffer!r}")
        self.note(0, "< end of connection")

    def abort(self) -> None:
        """Close the socket."""
        self.over = True
        self.socket.close()

    def leave(self) -> None:
        """Close the connection in good order if it is open, the socket in any case."""
        if self.is_open and not (self.over or self.closing):
            self.call("connection.close", code=200)
        self.abort()

    def close(self) -> None:
        """Close the connection in good order."""
        self.call("connection.close", code=200, text="done")
        self.abort()


class Channel:
    """A channel: opened when first used, opened again when the broker closed it."""

    def __init__(self, connection: Connection, number: int) -> None:
        self.connection = connection
        self.number = number
        self.open = False
        self.published: int | None = None
        self.unconfirmed: set[int] = set()
        #: The delivery tags of what came, since it was opened.
        self.delivered: list[int] = []

    def _ready(self) -> None:
        connection = self.connection
        if connection.over or connection.closing:
            raise Over
        if not self.open:
            self.open = True
            self.published = None
            self.unconfirmed.clear()
            self.delivered.clear()
            was, connection.silent = connection.silent, True
            connection.send(self.number, "channel.open")
            connection.wait_for("channel.open-ok", channel=self.number)
            connection.silent = was

    def send(self, name: str, **values: Value) -> None:
        """Write a method, wait for nothing."""
        self._ready()
        self._remember(name, values)
        if name == "confirm.select" and self.published is None:
            self.published = 0
        self.connection.send(self.number, name, **values)

    def _remember(self, name: str, values: dict[str, Value]) -> None:
        script = self.connection.script
        if name == "queue.declare" and not values.get("passive") and values.get("queue"):
            script.queues[str(values["queue"])] = None
        elif name == "exchange.declare" and not values.get("passive"):
            script.exchanges[str(values.get("exchange", ""))] = None

    def call(self, name: str, **values: Value) -> dict[str, object]:
        """Write a method and read up to its answer."""
        self.send(name, **values)
        answers = ANSWERS.get(name, (f"{name}-ok",))
        return self.connection.wait_for(*answers, channel=self.number)

    def read(self, quiets: float = 1.0) -> None:
        """Note down what comes until nothing more does."""
        self.connection.read(quiets)

    def frames(self, *frames: tuple[int, bytes], what: str = "") -> None:
        """Write frames of any kind; noted down under the given name."""
        self._ready()
        octets = b"".join(wire.frame(kind, self.number, payload) for kind, payload in frames)
        self.connection.note(self.number, f"> {what}")
        self.connection.send_octets(octets)

    # -- what scenarios say most

    def queue(self, queue: str = "q", **values: Value) -> str:
        """Declare a queue, exclusive unless said otherwise; its name."""
        values = {"exclusive": True, **values}
        return str(self.call("queue.declare", queue=queue, **values).get("queue", ""))

    def exchange(self, exchange: str, kind: str = "direct", **values: Value) -> None:
        """Declare an exchange."""
        self.call("exchange.declare", exchange=exchange, type=kind, **values)

    def bind(
        self, queue: str, exchange: str, key: str = "", arguments: Value = None
    ) -> dict[str, object]:
        """Bind a queue."""
        return self.call(
            "queue.bind", queue=queue, exchange=exchange, routing_key=key, arguments=arguments
        )

    def publish(
        self,
        key: str = "q",
        body: str = "m",
        exchange: str = "",
        mandatory: bool = False,
        immediate: bool = False,
        **properties: Value,
    ) -> None:
        """Publish a message."""
        self._ready()
        self.connection.note(
            self.number,
            f"> basic.publish {exchange!r} {key!r} {body!r} {shown(properties)}".rstrip(),
        )
        method = wire.method_payload(
            "basic.publish",
            {
                "exchange": exchange,
                "routing_key": key,
                "mandatory": mandatory,
                "immediate": immediate,
            },
        )
        if self.published is not None:
            self.published += 1
            self.unconfirmed.add(self.published)
        octets = body.encode()
        frames = wire.frame(wire.METHOD, self.number, method)
        frames += wire.frame(wire.HEADER, self.number, wire.header_payload(len(octets), properties))
        for at in range(0, len(octets), 131_064):
            frames += wire.frame(wire.BODY, self.number, octets[at : at + 131_064])
        self.connection.send_octets(frames)

    def get(self, queue: str = "q", no_ack: bool = True) -> int:
        """Get a message; its delivery tag."""
        values = self.call("basic.get", queue=queue, no_ack=no_ack)
        return int(str(values.get("delivery_tag", 0)))

    def drain(self, *queues: str) -> None:
        """Get all messages of these queues."""
        for queue in queues or ("q",):
            while self.open and not self.connection.closing and self.get(queue):
                pass

    def consume(self, queue: str = "q", tag: str = "t", **values: Value) -> None:
        """Start a consumer."""
        self.call("basic.consume", queue=queue, consumer_tag=tag, **values)

    def close(self) -> None:
        """Close the channel."""
        self.call("channel.close", code=200, text="done")
        self.open = False


def shown(values: dict[str, object] | dict[str, Value]) -> str:
    """Arguments or properties as text, the empty ones left out."""
    out = []
    for name, value in values.items():
        if name == "time" or value in (0, "", None, False):
            continue
        if name == "server_properties":
            value = "+".join(sorted(cast("dict[str, object]", value)))
        elif isinstance(value, dict):
            value = wire.show_table({key: str(item) for key, item in value.items()})
            value = re.sub(r"time=T:\d+", "time=<now>", value)
        out.append(f"{name}={value}" if isinstance(value, int | float) else f"{name}={value!s}")
    return " ".join(out)
