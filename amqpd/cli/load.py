"""Publishers and consumers of `amqpd bench`: frames made beforehand, answers looked at in bulk.

    Publisher(client, queue, size, window, …)   .publish(elapsed_s)  .read()  .flush()
    Consumer(client, queue, prefetch, no_ack)   .read()  .flush()
    Latencies                                   .add(nanoseconds)  .summary()

A body begins with the time at which it was sent; both ends are this process.
"""

from __future__ import annotations

import math
import ssl
import struct
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Final, Protocol

from pamqp import frame, header
from pamqp.commands import Basic

from amqpd.amqp.commands import make
from amqpd.cli.amqp import ConnectionClosed, Gone, unchecked

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

    from amqpd.cli.amqp import Channel, Client

#: Messages that are sent at once, at most, and bytes.
BURST: Final = 128
BURST_BYTES: Final = 262_144
READ_BYTES: Final = 262_144
#: A percentile is as exact as 1 %.
RESOLUTION: Final = math.log(1.01)
PERCENTILES: Final = (50, 95, 99)

_HEAD: Final = struct.Struct(">BHI")
_METHOD: Final = struct.Struct(">HH")
_TIME: Final = struct.Struct(">Q")
_ACK: Final = struct.Struct(">HHQB")
_END: Final = b"\xce"
METHOD, HEADER, BODY = 1, 2, 3
BASIC: Final = 60
DELIVER, ACK, NACK = (BASIC, 60), (BASIC, 80), (BASIC, 120)
CLOSES: Final = frozenset({(10, 50), (20, 40)})
#: What a socket that does not block says when it would have to.
LATER: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Latencies:
    """How long things took, in steps of one per cent."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._most_ns = 0

    @classmethod
    def of(cls, several: Iterable[Latencies]) -> Latencies:
        """All of them together."""
        made = cls()
        for one in several:
            made._counts.update(one._counts)
            made._most_ns = max(made._most_ns, one._most_ns)
        return made

    def add(self, nanoseconds: int, times: int = 1) -> None:
        """One more, or several that took the same."""
        self._counts[int(math.log(max(1, nanoseconds)) / RESOLUTION)] += times
        self._most_ns = max(self._most_ns, nanoseconds)

    def summary(self) -> dict[str, float]:
        """Percentiles and the most, in milliseconds; empty if there were none."""
        total = sum(self._counts.values())
        if not total:
            return {}
        found = {f"p{rank}": self._percentile(rank / 100 * total) for rank in PERCENTILES}
        return {**found, "max": round(self._most_ns / 1e6, 3)}

    def _percentile(self, wanted: float) -> float:
        seen = 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen >= wanted:
                middle_ns = math.exp((bucket + 0.5) * RESOLUTION)
                return round(min(middle_ns, self._most_ns) / 1e6, 3)
        return round(self._most_ns / 1e6, 3)


class Peer(Protocol):
    """A connection that the loop drives."""

    @property
    def socket(self) -> socket.socket:
        """What to wait for."""

    @property
    def unsent(self) -> bytearray:
        """What the kernel has not taken yet."""

    def read(self) -> None:
        """Take in what has arrived."""

    def flush(self) -> None:
        """Send what is left."""


class Wire:
    """A connection whose socket does not block any more."""

    def __init__(self, client: Client) -> None:
        self.socket, self._pending = client.detach()
        self.unsent = bytearray()
        self.socket.setblocking(False)

    def send(self, octets: bytes) -> None:
        """Send as much as goes; the rest with `flush`."""
        self.unsent += octets
        self.flush()

    def flush(self) -> None:
        """Send what is left."""
        try:
            while self.unsent:
                del self.unsent[: self.socket.send(self.unsent)]
        except LATER:
            return
        except OSError as error:
            raise Gone(str(error)) from error

    def frames(self) -> list[tuple[int, memoryview]]:
        """What has arrived: kinds and payloads of whole frames."""
        octets = self._arrived()
        pending = bytes(self._pending + octets) if self._pending else octets
        view, at, found = memoryview(pending), 0, []
        while at + 8 <= len(pending):
            kind, _, size = _HEAD.unpack_from(pending, at)
            if at + 8 + size > len(pending):
                break
            found.append((kind, view[at + 7 : at + 7 + size]))
            at += 8 + size
        self._pending = bytearray(pending[at:])
        return found

    def _arrived(self) -> bytes:
        try:
            octets = self.socket.recv(READ_BYTES)
        except LATER:
            return b""
        except OSError as error:
            raise Gone(str(error)) from error
        if not octets:
            raise Gone("the broker closed the connection")
        return octets


def _look_out(payload: memoryview, method: tuple[int, int]) -> None:
    """Say it when the broker ends this."""
    if method in CLOSES:
        code = int.from_bytes(payload[4:6])
        text = bytes(payload[7 : 7 + payload[6]]).decode(errors="replace")
        raise ConnectionClosed(code, text)


class Publisher(Wire):
    """Publishes as fast as its window and rate allow."""

    def __init__(
        self,
        client: Client,
        queue: str,
        size: int,
        window: int,
        *,
        persistent: bool,
        most: int | None,
        rate: float | None,
    ) -> None:
        channel = client.channel()
        if window:
            channel.select_confirms()
        self._before, self._after = _message(client, channel, queue, size, persistent)
        super().__init__(client)
        self.latencies = Latencies()
        self.published = self.confirmed = self.refused = 0
        self._window = window
        self._most = most
        self._rate = rate
        self._burst = max(1, min(BURST, BURST_BYTES // (size + 100)))
        #: Of each burst: its last number, and when it was sent.
        self._sent: deque[tuple[int, int]] = deque()
        self._settled = 0

    @property
    def unconfirmed(self) -> int:
        """Publishes without an answer."""
        return self.published - self._settled if self._window else 0

    @property
    def is_done(self) -> bool:
        """All that was asked for is published."""
        return self._most is not None and self.published >= self._most

    @property
    def may_publish(self) -> bool:
        """There is room for more."""
        return self._rate is None and self._room() > 0

    def _room(self) -> int:
        if self.unsent:
            return 0
        room = self._burst
        if self._window:
            room = min(room, self._window - self.unconfirmed)
        if self._most is not None:
            room = min(room, self._most - self.published)
        return room

    def publish(self, elapsed_s: float) -> None:
        """Send what may be sent by now."""
        room = self._room()
        if self._rate is not None:
            room = min(room, int(elapsed_s * self._rate) - self.published)
        if room <= 0:
            return
        now_ns = time.monotonic_ns()
        one = self._before + _TIME.pack(now_ns) + self._after
        self.published += room
        if self._window:
            self._sent.append((self.published, now_ns))
        self.send(one * room)

    def read(self) -> None:
        """Take in confirms."""
        now_ns = 0
        for kind, payload in self.frames():
            if kind != METHOD:
                continue
            method = _METHOD.unpack_from(payload)
            if method not in (ACK, NACK):
                _look_out(payload, method)
                continue
            _, _, tag, multiple = _ACK.unpack_from(payload)
            count = tag - self._settled if multiple & 1 else 1
            self._settled += count
            if method == NACK:
                self.refused += count
            else:
                self.confirmed += count
            now_ns = now_ns or time.monotonic_ns()
            self._answered(tag, count, now_ns)

    def _answered(self, tag: int, count: int, now_ns: int) -> None:
        while self._sent and self._sent[0][0] < tag:
            self._sent.popleft()
        if self._sent:
            self.latencies.add(now_ns - self._sent[0][1], count)


class Consumer(Wire):
    """Takes what comes, and acknowledges everything of a read at once."""

    def __init__(self, client: Client, queue: str, prefetch: int, no_ack: bool) -> None:
        channel = client.channel()
        channel.consume(queue, prefetch=prefetch, no_ack=no_ack)
        early = len(channel.deliveries)
        last = channel.deliveries[-1].tag if channel.deliveries else 0
        super().__init__(client)
        self.latencies = Latencies()
        self.received = early
        self._no_ack = no_ack
        self._is_first = False
        if last and not no_ack:
            self._ack(last)
        # What came with the answer to the consume would wait for ever.
        self.read()

    def _ack(self, tag: int) -> None:
        self.send(_HEAD.pack(METHOD, 1, 13) + _ACK.pack(*ACK, tag, 1) + _END)

    def read(self) -> None:
        """Take in messages."""
        now_ns, tag = time.monotonic_ns(), 0
        for kind, payload in self.frames():
            if kind == METHOD:
                method = _METHOD.unpack_from(payload)
                if method == DELIVER:
                    tag = _TIME.unpack_from(payload, 5 + payload[4])[0]
                else:
                    _look_out(payload, method)
            elif kind == HEADER:
                self.received += 1
                self._is_first = True
            elif kind == BODY and self._is_first:
                self._is_first = False
                if len(payload) >= _TIME.size:
                    self.latencies.add(max(0, now_ns - _TIME.unpack_from(payload)[0]))
        if tag and not self._no_ack:
            self._ack(tag)


def _message(
    client: Client, channel: Channel, queue: str, size: int, persistent: bool
) -> tuple[bytes, bytes]:
    """A publish but for the first eight octets of its body: what is before, and behind."""
    publish = make(
        unchecked(Basic.Publish),
        ticket=0,
        exchange="",
        routing_key=queue,
        mandatory=False,
        immediate=False,
    )
    properties = Basic.Properties(delivery_mode=2 if persistent else 1)
    head = header.ContentHeader(0, size, properties)
    number, step = channel.number, client.frame_max - 8
    before = frame.marshal(publish, number) + frame.marshal(head, number)
    filler, first = b"x" * (size - 8), min(size, step)
    before += _HEAD.pack(BODY, number, first)
    after = [filler[: first - 8], _END]
    for at in range(first - 8, len(filler), step):
        piece = filler[at : at + step]
        after += [_HEAD.pack(BODY, number, len(piece)), piece, _END]
    return before, b"".join(after)
