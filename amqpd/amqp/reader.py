"""Reader: what both parsers have in common, which is everything but the fast path.

Holds back what is not whole yet, takes frames one by one, and gives assembled messages to
the gathering.

Compiled together with `codec`; plain Python otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from librt.strings import read_i16_be, read_i32_be, read_i64_be
from mypy_extensions import i64

from amqpd.amqp import frames
from amqpd.amqp.assembly import Assembly
from amqpd.amqp.classify import classify
from amqpd.amqp.gathering import Gathering

if TYPE_CHECKING:
    from amqpd.amqp.assembly import Assembled, Events

# Class id << 16 | method id.
PUBLISH: Final[i64] = 0x003C0028
ACK: Final[i64] = 0x003C0050
REJECT: Final[i64] = 0x003C005A
NACK: Final[i64] = 0x003C0078
#: The payload of ack, nack and reject: class, method, tag, one octet of bits.
SETTLE_SIZE: Final[i64] = 13


class Reader:
    """The state of one connection's parser.

    `position` is behind the frame that is being handled: what follows survives an exception.
    `halted`: what follows shall wait for the next call.
    """

    def __init__(self, events: Events) -> None:
        self.events = events
        self.gathering = Gathering(events)
        self.routes = self.gathering.routes
        self.assembly = Assembly()
        self.open = self.assembly.open
        self.frame_max: i64 = 0
        #: Largest payload, largest body.
        self.limit: i64 = 0
        self.largest: i64 = self.assembly.max_message_bytes
        self.position: i64 = 0
        self.lost = False
        self.halted = False
        self._pieces: list[bytes] = []
        self._held: i64 = 0
        self._needed: i64 = 0

    def set_frame_max(self, value: int) -> None:
        """Accept frames up to this size; 0 is no limit."""
        self.frame_max = value
        self.limit = frames.payload_limit(value)
        self.assembly.frame_max = value

    def set_max_message_bytes(self, value: int) -> None:
        """Accept bodies up to this size."""
        self.largest = value
        self.assembly.max_message_bytes = value

    def held_bytes(self) -> int:
        """Octets in memory that wait for others: of frames, and of contents."""
        return self._held + self.assembly.held_bytes

    def receive(self, data: bytes) -> bytes:
        """What is to be parsed now: the octets held back and these, or nothing yet.

        Pieces are joined only when what they are to complete is there, so that many small
        reads of one large frame do not copy it again and again.
        """
        if self.lost:
            return b""
        if self._held > 0:
            self._pieces.append(data)
            self._held += len(data)
            if self._held < self._needed:
                return b""
            data = b"".join(self._pieces)
            self._pieces = []
            self._held = 0
        self.position = 0
        return data

    def keep(self, data: bytes, needed: i64) -> None:
        """Hold back what begins at the position until there are `needed` octets."""
        rest: i64 = len(data) - self.position
        if rest > 0 and not self.lost:
            self._pieces = [data[self.position :]]
            self._held = rest
            self._needed = needed

    def failed(self, data: bytes) -> None:
        """After an exception: what came before the bad frame was sent before it, and counts."""
        self.keep(data, 0)
        self.gathering.flush()

    def frame(self, data: bytes) -> i64:
        """Take the frame at the position, and go behind it.

        Returns how many octets it needs if it is not whole, else 0.
        """
        at: i64 = self.position
        self.lost = True
        lack: i64 = frames.missing(data, at, self.frame_max)
        self.lost = False
        if lack > 0:
            return len(data) - at + lack
        self.position = at + 8 + i64(read_i32_be(data, at + 3))
        frame = frames.cut(data, at)
        channel: i64 = frame.channel
        if frame.kind == frames.METHOD:
            self._method(channel, frame.payload)
        elif frame.kind == frames.HEADER:
            self._assembled(channel, self.assembly.header(channel, frame.payload))
        elif frame.kind == frames.BODY:
            self._assembled(channel, self.assembly.body(channel, frame.payload))
        else:
            self.gathering.flush()
            self.events.heartbeat()
        return 0

    def _method(self, channel: i64, payload: bytes) -> None:
        method: i64 = i64(read_i32_be(payload, 0))
        if channel != 0:
            if method == PUBLISH:
                self.assembly.begin(channel, frames.frame(frames.METHOD, channel, payload))
                return
            self.assembly.interrupt(channel)
            size: i64 = len(payload)
            if size == SETTLE_SIZE and is_settle(method):
                self.settle(channel, method, read_i64_be(payload, 4), payload[12])
                return
        self.gathering.flush()
        self.events.method(channel, payload)

    def _assembled(self, channel: i64, assembled: Assembled | None) -> None:
        if assembled is None:
            return
        if assembled.oversize:
            self.gathering.flush()
            self.events.too_large(channel, assembled.method_frame[7:-1], assembled.oversize)
        else:
            self.message(assembled.method_frame, assembled.content)

    def message(self, method_frame: bytes, content: bytes) -> None:
        """A message whose route is not known, or that was assembled."""
        gathering = self.gathering
        channel: i64 = i64(read_i16_be(method_frame, 1)) & 0xFFFF
        route = self.routes.get(method_frame)
        if route is None:
            route = gathering.resolve(method_frame, channel)
        if route is None:
            gathering.flush()
            self.events.content(channel, method_frame[7:-1], content)
            return
        end: i64 = i64(read_i32_be(content, 3)) + 7
        gathering.take(route, content, classify(content, 19, end))

    def settle(self, channel: i64, method: i64, tag: i64, bits: int) -> None:
        """An ack, nack or reject; the tag as a signed number."""
        if method == ACK and tag >= 0:
            self.gathering.ack(channel, tag, bits & 1 != 0)
            return
        self.gathering.flush()
        wide: int = tag
        if wide < 0:
            wide += 1 << 64
        if method == ACK:
            multiple = bits & 1 != 0
            self.events.ack(channel, 0 if multiple else wide, wide, multiple)
        elif method == NACK:
            self.events.nack(channel, wide, bits & 1 != 0, bits & 2 != 0)
        else:
            self.events.reject(channel, wide, bits & 1 != 0)


def is_settle(method: i64) -> bool:
    """Whether the method is an ack, a nack or a reject."""
    return method in (ACK, NACK, REJECT)
