"""A blocking AMQP 0-9-1 client, for the command line and for the broker's own tests.

It does one thing at a time and hides nothing: confirms, returns and deliveries are kept in
the order they arrived, errors are raised with their reply code. Frames are written and read
by pamqp, so that the broker's own codec is never on both ends.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import socket
import struct
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self, TypeVar

from pamqp import body, exceptions, frame, header
from pamqp.commands import Basic, Confirm, Connection, Exchange, Queue, Tx
from pamqp.commands import Channel as ChannelClass

from amqpd.amqp.commands import make

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from pamqp.base import Frame as Command
    from pamqp.common import FieldTable, FieldValue

PROTOCOL_HEADER: Final = b"AMQP\x00\x00\x09\x01"
FRAME_MAX: Final = 131_072
HEARTBEAT: Final = b"\x08\x00\x00\x00\x00\x00\x00\xce"
#: A frame without its payload.
OVERHEAD: Final = 8
#: Whatever says that a message is larger is no broker.
BODY_MAX: Final = 512 << 20
_READ_BYTES: Final = 262_144
#: What pamqp raises for octets that are none of AMQP's.
NOT_A_FRAME: Final = (
    exceptions.PAMQPException,
    struct.error,
    ValueError,
    LookupError,
    TypeError,
    OverflowError,
    RecursionError,
)

Reply = TypeVar("Reply", bound="Command")


@functools.cache
def unchecked(kind: type[Reply]) -> type[Reply]:
    """A command of pamqp that takes any name; its own patterns are stricter than brokers are."""
    body_of_class = {"__slots__": kind.__slots__, "validate": lambda _: None}
    return type(kind.__name__, (kind,), body_of_class)


class Gone(Exception):
    """The connection ended without a word."""


class Closed(Exception):
    """The broker closed the channel or the connection, and said why."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text


class ChannelClosed(Closed):
    """The broker closed the channel."""


class ConnectionClosed(Closed):
    """The broker closed the connection."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message as it arrived, by deliver, get or return."""

    tag: int
    redelivered: bool
    exchange: str
    routing_key: str
    body: bytes
    properties: Basic.Properties
    consumer_tag: str = ""
    reply_code: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """A publisher confirm."""

    acked: bool
    tag: int
    multiple: bool


class Client:
    """One connection. `timeout_s` bounds every wait; TimeoutError when it passes.

    `name` is what the broker shows of it.
    """

    def __init__(
        self,
        port: int,
        *,
        host: str = "127.0.0.1",
        user: str = "guest",
        password: str = "guest",  # noqa: S107 - everybody knows it
        vhost: str = "/",
        frame_max: int = FRAME_MAX,
        timeout_s: float = 10.0,
        heartbeat_s: int = 0,
        name: str = "",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.timeout_s = timeout_s
        self.heartbeat_s = heartbeat_s
        self.name = name
        self.frame_max = FRAME_MAX
        self.channels: dict[int, Channel] = {}
        self.blocked = False
        self.server_properties: Mapping[str, object] = {}
        self._pending = bytearray()
        self._socket = socket.create_connection((host, port), timeout=timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if tls is not None:
                self._socket = tls.wrap_socket(self._socket, server_hostname=host)
            self._open(user, password, vhost, frame_max)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.abort()

    def _open(self, user: str, password: str, vhost: str, frame_max: int) -> None:
        self._socket.sendall(PROTOCOL_HEADER)
        start = self.wait(Connection.Start)
        self.server_properties = start.server_properties or {}
        capabilities: FieldTable = {
            "consumer_cancel_notify": True,
            "connection.blocked": True,
            "authentication_failure_close": True,
        }
        self.send(
            Connection.StartOk(
                client_properties={
                    "product": "amqpd",
                    "connection_name": self.name,
                    "capabilities": capabilities,
                },
                mechanism="PLAIN",
                response=f"\0{user}\0{password}",
                locale="en_US",
            )
        )
        tune = self.wait(Connection.Tune)
        self.frame_max = min(frame_max, tune.frame_max or frame_max)
        self.send(Connection.TuneOk(tune.channel_max, self.frame_max, self.heartbeat_s))
        self.send(Connection.Open(vhost))
        self.wait(Connection.OpenOk)

    def channel(self, number: int = 0) -> Channel:
        """Open a channel; the lowest free number unless one is given."""
        number = number or next(n for n in itertools.count(1) if n not in self.channels)
        channel = Channel(self, number)
        self.channels[number] = channel
        channel.call(ChannelClass.Open(), ChannelClass.OpenOk)
        return channel

    def close(self) -> None:
        """Close in the orderly way."""
        self.send(Connection.Close(200, "done", 0, 0))
        self.wait(Connection.CloseOk)
        self._socket.close()

    def beat(self) -> None:
        """Send a heartbeat; who asked for them has to, and to read now and then."""
        self.send_octets(HEARTBEAT)

    def detach(self) -> tuple[socket.socket, bytearray]:
        """The socket and what was read too early, for whoever takes over from here."""
        return self._socket, self._pending

    def abort(self) -> None:
        """Drop the socket."""
        self._socket.close()

    def send(self, command: Command, channel: int = 0) -> None:
        """Write one method frame."""
        self.send_octets(frame.marshal(command, channel))

    def send_octets(self, octets: bytes) -> None:
        """Write anything."""
        try:
            self._socket.sendall(octets)
        except TimeoutError:
            raise
        except OSError as error:
            self._drain_close()
            raise Gone(str(error)) from error

    def _drain_close(self) -> None:
        """What the broker said before it hung up, if it said anything."""
        try:
            while True:
                self._read_frame(time.monotonic() + 1.0)
        except (Gone, TimeoutError):
            return

    def wait(self, kind: type[Reply], channel: int = 0) -> Reply:
        """Read until a method of this kind arrives on the channel."""
        deadline = time.monotonic() + self.timeout_s
        while True:
            number, value = self._read_frame(deadline)
            if number == channel and isinstance(value, kind):
                return value

    def read(self, timeout_s: float = 0.0) -> bool:
        """Take in what has arrived; wait at most this long for the first of it."""
        try:
            self._read_frame(time.monotonic() + timeout_s)
            while self._whole():
                self._read_frame(0.0)
        except TimeoutError:
            return False
        return True

    def _whole(self) -> bool:
        return len(self._pending) >= 7 and len(self._pending) >= self._size()

    def _size(self) -> int:
        return OVERHEAD + int.from_bytes(self._pending[3:7])

    def _read_frame(self, deadline: float) -> tuple[int, frame.FrameTypes]:
        while not self._whole():
            if len(self._pending) >= 7 and self._size() > self.frame_max + OVERHEAD:
                raise Gone(f"a frame of {self._size()} octets: that is not AMQP")
            self._fill(deadline)
        size = self._size()
        octets = bytes(self._pending[:size])
        del self._pending[:size]
        try:
            _, number, value = frame.unmarshal(octets)
        except NOT_A_FRAME as error:
            raise Gone(f"not a frame: {octets[:40].hex()}") from error
        self._take(number, value)
        return number, value

    def _fill(self, deadline: float) -> None:
        self._socket.settimeout(max(0.0005, deadline - time.monotonic()))
        try:
            octets = self._socket.recv(_READ_BYTES)
        except (TimeoutError, BlockingIOError):
            raise TimeoutError from None
        except OSError as error:
            raise Gone(str(error)) from error
        finally:
            self._socket.settimeout(self.timeout_s)
        if not octets:
            raise Gone("end of stream")
        self._pending += octets

    def _take(self, number: int, value: frame.FrameTypes) -> None:
        """Note what changes the connection; pass on the rest to the channel."""
        if isinstance(value, Connection.Close):
            with contextlib.suppress(OSError):  # it may be gone already
                self._socket.sendall(frame.marshal(Connection.CloseOk(), 0))
            self._socket.close()
            raise ConnectionClosed(value.reply_code or 0, value.reply_text or "")
        if isinstance(value, Connection.Blocked):
            self.blocked = True
        elif isinstance(value, Connection.Unblocked):
            self.blocked = False
        elif number in self.channels:
            self.channels[number].take(value)


class Channel:
    """One channel, with everything that arrived on it and was not asked for."""

    def __init__(self, client: Client, number: int) -> None:
        self.client = client
        self.number = number
        self.deliveries: deque[Delivery] = deque()
        self.verdicts: deque[Verdict] = deque()
        self.returned: deque[Delivery] = deque()
        self.cancelled: list[str] = []
        self.published = 0
        #: Publishes without a verdict yet, oldest first (the keys of a dict, for its order).
        self.unconfirmed: dict[int, None] = {}
        self.confirming = False
        #: Publishes that the broker did not take.
        self.refused = 0
        self._method: Command | None = None
        self._properties = Basic.Properties()
        self._missing = 0
        self._pieces: list[bytes] = []
        #: Answers to basic.get.
        self._answers: deque[Delivery | None] = deque()

    # -- what arrives

    def take(self, value: frame.FrameTypes) -> None:
        """Add one frame to what is known."""
        if isinstance(value, header.ContentHeader):
            self._properties = value.properties
            self._missing = value.body_size
            self._pieces = []
            if self._missing > BODY_MAX:
                raise Gone(f"a message of {self._missing} octets")
            if not self._missing:
                self._complete()
        elif isinstance(value, body.ContentBody):
            self._pieces.append(value.value or b"")
            self._missing -= len(value.value or b"")
            if self._missing < 0:
                raise Gone("a message longer than its header says")
            if not self._missing:
                self._complete()
        elif isinstance(value, Basic.Deliver | Basic.GetOk | Basic.Return):
            self._method = value
        elif isinstance(value, Basic.Ack | Basic.Nack):
            acked = isinstance(value, Basic.Ack)
            self._settle(Verdict(acked, value.delivery_tag or 0, bool(value.multiple)))
        elif isinstance(value, Basic.Cancel):
            self.cancelled.append(value.consumer_tag or "")
        elif isinstance(value, Basic.GetEmpty):
            self._answers.append(None)
        elif isinstance(value, ChannelClass.Close):
            self.client.send(ChannelClass.CloseOk(), self.number)
            del self.client.channels[self.number]
            raise ChannelClosed(value.reply_code or 0, value.reply_text or "")

    def _settle(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)
        settled = [verdict.tag]
        if verdict.multiple:
            settled = [number for number in self.unconfirmed if number <= verdict.tag]
        if not verdict.acked:
            self.refused += len(settled)
        for number in settled:
            self.unconfirmed.pop(number, None)

    def _complete(self) -> None:
        method = self._method
        if isinstance(method, Basic.Return):
            self.returned.append(self._delivery(method, reply_code=method.reply_code or 0))
        elif isinstance(method, Basic.Deliver):
            self.deliveries.append(self._delivery(method, consumer_tag=method.consumer_tag or ""))
        elif isinstance(method, Basic.GetOk):
            self._answers.append(self._delivery(method))

    def _delivery(
        self,
        method: Basic.Return | Basic.Deliver | Basic.GetOk,
        *,
        consumer_tag: str = "",
        reply_code: int = 0,
    ) -> Delivery:
        sent = None if isinstance(method, Basic.Return) else method
        return Delivery(
            tag=sent.delivery_tag or 0 if sent else 0,
            redelivered=bool(sent and sent.redelivered),
            exchange=method.exchange or "",
            routing_key=method.routing_key or "",
            body=b"".join(self._pieces),
            properties=self._properties,
            consumer_tag=consumer_tag,
            reply_code=reply_code,
        )

    # -- what is asked

    def send(self, command: Command) -> None:
        """Write one method without waiting."""
        self.client.send(command, self.number)

    def call(self, command: Command, reply: type[Reply]) -> Reply:
        """Write one method and wait for its answer."""
        self.send(command)
        return self.client.wait(reply, self.number)

    def close(self) -> None:
        """Close the channel."""
        self.call(ChannelClass.Close(200, "done", 0, 0), ChannelClass.CloseOk)
        del self.client.channels[self.number]

    def declare_queue(
        self,
        name: str = "",
        *,
        passive: bool = False,
        durable: bool = False,
        exclusive: bool = False,
        auto_delete: bool = False,
        arguments: Mapping[str, FieldValue] | None = None,
    ) -> Queue.DeclareOk:
        """Declare a queue; the answer has its name and counts."""
        command = make(
            unchecked(Queue.Declare),
            ticket=0,
            queue=name,
            passive=passive,
            durable=durable,
            exclusive=exclusive,
            auto_delete=auto_delete,
            nowait=False,
            arguments=dict(arguments or {}),
        )
        return self.call(command, Queue.DeclareOk)

    def declare_exchange(self, name: str, kind: str, *, durable: bool = False) -> None:
        """Declare an exchange."""
        command = Exchange.Declare(0, name, kind, durable=durable)
        self.call(command, Exchange.DeclareOk)

    def bind(self, queue: str, exchange: str, key: str = "") -> None:
        """Bind a queue to an exchange."""
        self.call(Queue.Bind(0, queue, exchange, key), Queue.BindOk)

    def delete_queue(self, name: str) -> int:
        """Delete a queue; how many messages it held."""
        return self.call(Queue.Delete(0, name), Queue.DeleteOk).message_count or 0

    def select_confirms(self) -> None:
        """Ask for publisher confirms; publishes are numbered from where this was first done."""
        self.call(Confirm.Select(), Confirm.SelectOk)
        if not self.confirming:
            self.published = 0
            self.confirming = True

    def publish(
        self,
        exchange: str,
        key: str,
        octets: bytes,
        *,
        persistent: bool = False,
        mandatory: bool = False,
        properties: Basic.Properties | None = None,
    ) -> int:
        """Publish one message; its sequence number on this channel."""
        if properties is None:
            properties = Basic.Properties(delivery_mode=2) if persistent else Basic.Properties()
        command = make(
            unchecked(Basic.Publish),
            ticket=0,
            exchange=exchange,
            routing_key=key,
            mandatory=mandatory,
            immediate=False,
        )
        head = header.ContentHeader(0, len(octets), properties)
        frames = [frame.marshal(command, self.number), frame.marshal(head, self.number)]
        step = self.client.frame_max - 8
        for at in range(0, len(octets), step):
            piece = body.ContentBody(octets[at : at + step])
            frames.append(frame.marshal(piece, self.number))
        self.published += 1
        if self.confirming:
            self.unconfirmed[self.published] = None
        self.client.send_octets(b"".join(frames))
        return self.published

    def wait_confirms(self) -> list[Verdict]:
        """Wait until every publish has its verdict; all verdicts since the last call."""
        deadline = time.monotonic() + self.client.timeout_s
        while self.unconfirmed:
            if not self.client.read(max(0.0, deadline - time.monotonic())):
                raise TimeoutError(f"{len(self.unconfirmed)} publishes without a verdict")
        verdicts = list(self.verdicts)
        self.verdicts.clear()
        return verdicts

    def consume(
        self,
        queue: str,
        *,
        prefetch: int = 0,
        no_ack: bool = False,
        tag: str = "",
        arguments: Mapping[str, FieldValue] | None = None,
    ) -> str:
        """Start a consumer; its tag. Deliveries gather in `deliveries`."""
        if prefetch:
            self.call(Basic.Qos(0, prefetch), Basic.QosOk)
        command = make(
            unchecked(Basic.Consume),
            ticket=0,
            queue=queue,
            consumer_tag=tag,
            no_local=False,
            no_ack=no_ack,
            exclusive=False,
            nowait=False,
            arguments=dict(arguments or {}),
        )
        return self.call(command, Basic.ConsumeOk).consumer_tag or ""

    def cancel(self, tag: str) -> None:
        """Stop a consumer."""
        self.call(Basic.Cancel(tag), Basic.CancelOk)

    def next_delivery(self, timeout_s: float | None = None) -> Delivery | None:
        """The oldest delivery not yet taken; None if none comes in time."""
        limit_s = self.client.timeout_s if timeout_s is None else timeout_s
        deadline = time.monotonic() + limit_s
        while not self.deliveries:
            if not self.client.read(max(0.0, deadline - time.monotonic())):
                return None
        return self.deliveries.popleft()

    def get(self, queue: str, *, no_ack: bool = False) -> Delivery | None:
        """Fetch one message, or None when the queue is empty."""
        self.send(make(unchecked(Basic.Get), ticket=0, queue=queue, no_ack=no_ack))
        deadline = time.monotonic() + self.client.timeout_s
        while not self._answers:
            if not self.client.read(max(0.0, deadline - time.monotonic())):
                raise TimeoutError(f"no answer to a get from {queue!r}")
        return self._answers.popleft()

    def ack(self, tag: int, *, multiple: bool = False) -> None:
        """Settle one delivery, or all up to it."""
        self.send(Basic.Ack(tag, multiple))

    def nack(self, tag: int, *, multiple: bool = False, requeue: bool = True) -> None:
        """Give one delivery back, or all up to it."""
        self.send(Basic.Nack(tag, multiple, requeue))

    def select_tx(self) -> None:
        """Make the channel transactional."""
        self.call(Tx.Select(), Tx.SelectOk)

    def commit(self) -> None:
        """Commit the transaction."""
        self.call(Tx.Commit(), Tx.CommitOk)

    def rollback(self) -> None:
        """Forget the transaction."""
        self.call(Tx.Rollback(), Tx.RollbackOk)
