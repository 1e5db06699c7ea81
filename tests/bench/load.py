"""A small load generator: one publisher and one consumer of one queue, in one thread.

All messages have one size, so that deliveries are counted by their octets and cost nothing to
take in: what is measured is the broker. Anything may differ in their properties otherwise.
"""

from __future__ import annotations

import os
import selectors
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pamqp import body, frame, header
from pamqp.commands import Basic, Confirm

from tests.client import Client

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from pamqp.common import FieldTable

CONFIRM: Final = b"\x00\x3c\x00\x50"
PIECE: Final = 65_536


def published(
    queue: str, payload: bytes, properties: Basic.Properties, exchange: str = ""
) -> bytes:
    """The frames of one message."""
    return (
        frame.marshal(Basic.Publish(exchange=exchange, routing_key=queue), 1)
        + frame.marshal(header.ContentHeader(0, len(payload), properties), 1)
        + frame.marshal(body.ContentBody(payload), 1)
    )


class Raw:
    """A client's socket, after the login, for octets as they are."""

    def __init__(self, port: int) -> None:
        self.client = Client(port, timeout_s=30)
        self.channel = self.client.channel()
        self.socket: socket.socket = self.client._socket
        self.out = memoryview(b"")

    def begin(self) -> None:
        """From now on nothing waits."""
        self.socket.setblocking(False)

    def push(self) -> None:
        """Send what the socket takes."""
        try:
            while self.out:
                self.out = self.out[self.socket.send(self.out) :]
        except BlockingIOError:
            return

    def read(self) -> bytes:
        """What has come."""
        try:
            octets = self.socket.recv(1 << 20)
        except BlockingIOError:
            return b""
        if not octets:
            raise ConnectionError("the broker has closed the connection")
        return octets


class Publisher(Raw):
    """Publishes with confirms, at most `window` of them open.

    With `fills` the window is filled whenever there is room, else a piece is sent at a time.
    """

    def __init__(
        self,
        port: int,
        messages: Sequence[bytes],
        window: int,
        most: int = 0,
        *,
        fills: bool = False,
    ) -> None:
        super().__init__(port)
        self.channel.call(Confirm.Select(), Confirm.SelectOk)
        self.sent = self.confirmed = 0
        self._messages = messages
        self._window = window
        self._most = most or 1 << 60
        self._fills = fills

    @property
    def is_done(self) -> bool:
        """All that it was to send is confirmed."""
        return self.confirmed >= self._most

    def hear(self) -> None:
        """Take confirms."""
        octets = self.read()
        at = octets.rfind(CONFIRM)
        if at >= 0:
            self.confirmed = int.from_bytes(octets[at + 4 : at + 12])

    def turn(self) -> None:
        """Take confirms, send more."""
        self.hear()
        self.push()
        while not self.out:
            count = min(self._window - (self.sent - self.confirmed), self._most - self.sent)
            if count <= 0:
                break
            parts: list[bytes] = []
            size = 0
            while len(parts) < count and size < PIECE:
                parts.append(self._messages[(self.sent + len(parts)) % len(self._messages)])
                size += len(parts[-1])
            self.sent += len(parts)
            self.out = memoryview(b"".join(parts))
            self.push()
            if not self._fills:
                break


class Consumer(Raw):
    """Takes messages of one size, acknowledges every `ack_every`."""

    def __init__(
        self,
        port: int,
        queue: str,
        size: int,
        prefetch: int = 256,
        ack_every: int = 64,
        exchange: str | None = None,
        arguments: FieldTable | None = None,
    ) -> None:
        super().__init__(port)
        self.taken = 0
        self._acked = 0
        self._ack_every = ack_every
        self._octets = 0
        tag = "t"
        names = ("", queue) if exchange is None else (exchange, "")
        deliver = Basic.Deliver(tag, 1, False, *names)
        self._size = len(frame.marshal(deliver, 1)) + size
        self.channel.consume(queue, prefetch=prefetch, tag=tag, arguments=arguments or {})
        # What came in with the answer.
        self._octets = sum(self._size for _ in self.channel.deliveries)
        self._octets += len(self.client._pending)

    def turn(self) -> None:
        """Take deliveries, acknowledge."""
        self._octets += len(self.read())
        self.taken = self._octets // self._size
        if self.taken - self._acked >= self._ack_every:
            self._acked = self.taken
            ack = frame.marshal(Basic.Ack(self.taken, True), 1)
            self.out = memoryview(bytes(self.out) + ack)
        self.push()


def cpu_s(pid: int) -> float:
    """CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Its memory, files left out."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    return 0.0


@dataclass
class Measured:
    """What came of a run."""

    published: int = 0
    consumed: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    peak_mb: float = 0.0


@dataclass
class Load:
    """Publishers and consumers that run together."""

    pid: int
    raws: list[Publisher | Consumer] = field(default_factory=list)

    def run(self, until: Callable[[float], bool]) -> Measured:
        """Until so many seconds have passed, or something has come about."""
        watch = selectors.DefaultSelector()
        for raw in self.raws:
            raw.begin()
            watch.register(raw.socket, selectors.EVENT_READ, raw)
            raw.turn()
        before = self._counts()
        begun, cpu, found, looked = time.perf_counter(), cpu_s(self.pid), Measured(), 0.0
        passed = 0.0
        while not until(passed):
            for key, _ in watch.select(0.05):
                raw = key.data
                raw.turn()
                watch.modify(raw.socket, _events(raw), raw)
            passed = time.perf_counter() - begun
            if passed - looked > 0.1:
                looked = passed
                found.peak_mb = max(found.peak_mb, resident_mb(self.pid))
        after = self._counts()
        found.published, found.consumed = after[0] - before[0], after[1] - before[1]
        found.seconds, found.cpu_s = passed, cpu_s(self.pid) - cpu
        watch.close()
        return found

    def _counts(self) -> tuple[int, int]:
        published = sum(one.confirmed for one in self.raws if isinstance(one, Publisher))
        return published, sum(one.taken for one in self.raws if isinstance(one, Consumer))

    def close(self) -> None:
        """Hang up."""
        for raw in self.raws:
            raw.client.abort()


def _events(raw: Raw) -> int:
    return selectors.EVENT_READ | (selectors.EVENT_WRITE if raw.out else 0)


def declare(port: int, queue: str, arguments: FieldTable) -> None:
    """A durable queue."""
    with Client(port) as client:
        client.channel().declare_queue(queue, durable=True, arguments=arguments)


def delete(port: int, queue: str) -> None:
    """It goes with all its messages."""
    with Client(port, timeout_s=60) as client:
        client.channel().delete_queue(queue)
