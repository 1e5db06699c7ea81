"""The codec of the hot path: publishes and acks in, deliveries and confirms out, by runs.

A publish is method, header and body frame taken in one step; its message stays one slice of
the octets that came. The whole method frame is the key of the route cache, so exchange and
routing key are looked at once for each distinct frame. All other frames go frame by frame
through `frames`, `assembly` and the session.

Promises: the order of everything on a channel is kept; whatever is whole in the buffer is
parsed before `feed` returns; any octets end in events or in one `AmqpError`.

Compiled by mypyc on `librt` primitives; `codec_pure` is the same for plain interpreters.
Positions are i64 locals: 5 to 10 times the speed of boxed integers here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from librt.strings import (
    BytesWriter,
    read_i16_be,
    read_i32_be,
    read_i64_be,
    write_i32_be,
    write_i64_be,
)
from mypy_extensions import i32, i64, u8

from amqpd.amqp import frames
from amqpd.amqp.assembly import Assembly
from amqpd.amqp.gathering import (
    CLOSER_LOOK,
    PERSISTENT,
    PRIORITY,
    ChannelCount,
    Gathering,
    Group,
    Route,
    Slot,
)

if TYPE_CHECKING:
    from amqpd.amqp.assembly import Assembled, Events

__all__ = ["ChannelCount", "Group", "Outbox", "Parser", "Route", "Slot"]

# Class id << 16 | method id.
PUBLISH: Final[i64] = 0x003C0028
ACK: Final[i64] = 0x003C0050
REJECT: Final[i64] = 0x003C005A
NACK: Final[i64] = 0x003C0078
#: The payload of ack, nack and reject: class, method, tag, one octet of bits.
SETTLE_SIZE: Final[i64] = 13
END: Final = 0xCE

#: Contents from this size on are not copied into the outbox.
LARGE: Final[i64] = 16_384


class Parser:
    """Octets of one connection to events.

    `frame_max` and `max_message_bytes` may be changed at any time. After a `FrameError` that
    leaves the start of the next frame unknown, everything fed is ignored.
    """

    def __init__(self, events: Events, frame_max: int) -> None:
        self._events = events
        self._gathering = Gathering(events)
        self._routes = self._gathering.routes
        self._assembly = Assembly()
        self._open = self._assembly.open
        self._frame_max = 0
        self._limit: i64 = 0
        self._largest: i64 = self._assembly.max_message_bytes
        self._pieces: list[bytes] = []
        self._held: i64 = 0
        self._needed: i64 = 0
        self._position: i64 = 0
        self._lost = False
        self.frame_max = frame_max

    @property
    def touched_channels(self) -> list[ChannelCount]:
        """Channels that have published since the session last emptied this list."""
        return self._gathering.touched_channels

    @property
    def frame_max(self) -> int:
        """Largest frame to accept, 0 for no limit."""
        return self._frame_max

    @frame_max.setter
    def frame_max(self, value: int) -> None:
        self._frame_max = value
        self._limit = frames.payload_limit(value)
        self._assembly.frame_max = value

    @property
    def max_message_bytes(self) -> int:
        """Largest body to accept; others are told to `too_large` and skipped."""
        return self._assembly.max_message_bytes

    @max_message_bytes.setter
    def max_message_bytes(self, value: int) -> None:
        self._assembly.max_message_bytes = value
        self._largest = value

    def forget(self) -> None:
        """Drop all routes: they may lead elsewhere now."""
        self._routes.clear()

    def discard(self, channel: int) -> None:
        """Throw away the content of this channel that is still incomplete."""
        self._assembly.discard(channel)

    def feed(self, data: bytes) -> None:
        """Parse everything that is whole, keep the rest.

        Raises:
            AmqpError: from the octets or from the session. What came after the frame that
                caused it is kept, and parsed by the next call.
        """
        if self._lost:
            return
        if self._held > 0:
            self._pieces.append(data)
            self._held += len(data)
            if self._held < self._needed:
                return
            data = b"".join(self._pieces)
            self._pieces = []
            self._held = 0
        self._position = 0
        try:
            self._parse(data)
        except BaseException:
            # What came before the bad frame was sent before it, and counts.
            self._keep(data, 0)
            self._gathering.flush()
            raise
        self._gathering.flush()

    def _keep(self, data: bytes, needed: i64) -> None:
        """Keep what begins at the current position until `needed` octets are there."""
        rest: i64 = len(data) - self._position
        if rest > 0 and not self._lost:
            self._pieces = [data[self._position :]]
            self._held = rest
            self._needed = needed

    def _parse(self, data: bytes) -> None:
        """Take frame after frame, until what is left is not whole."""  # hot: tests/bench/codec.py
        n: i64 = len(data)
        pos: i64 = 0
        needed: i64 = 0
        while pos < n:
            after: i64 = 0
            if n - pos >= 12:
                # Type, channel and the upper octet of the size, which is 0 in the fast path.
                head: i64 = i64(read_i32_be(data, pos))
                size: i64 = i64(read_i32_be(data, pos + 3))
                if head & 0xFF0000FF == 0x01000000 and size <= self._limit:
                    method: i64 = i64(read_i32_be(data, pos + 7))
                    if method == PUBLISH:
                        after = self._publish(data, pos, head, size)
                    elif size == SETTLE_SIZE and n - pos >= 21:
                        after = self._settle(data, pos, head, method)
            if after == 0:
                self._position = pos
                needed = self._frame(data)
                if needed > 0:
                    break
                pos = self._position
            elif after > 0:
                pos = after
            else:
                needed = -after
                break
        self._position = pos
        self._keep(data, needed)

    def _publish(  # noqa: C901 - one test for each field that may be wrong
        self, data: bytes, pos: i64, head: i64, size: i64
    ) -> i64:
        """Take method, header and body at `pos` in one step.

        Returns the position behind them; minus the octets needed if that is all there is to
        say yet; 0 if they must go frame by frame.
        """
        n: i64 = len(data)
        h: i64 = pos + 8 + size
        if n < h:
            return pos - h
        if data[h - 1] != END or (self._open and (head >> 8 & 0xFFFF) in self._open):
            return 0
        if n - h < 7:
            return pos - h - 8
        # Same channel, and a size below 2**24.
        header_size: i64 = i64(read_i32_be(data, h + 3))
        if i64(read_i32_be(data, h)) != head + 0x01000000 or not 14 <= header_size <= self._limit:
            return 0
        b: i64 = h + 8 + header_size
        if n < b:
            return pos - b
        body_size: i64 = read_i64_be(data, h + 11)
        if data[b - 1] != END or i64(read_i32_be(data, h + 7)) != 0x003C0000:
            return 0
        end: i64 = b
        if body_size != 0:
            if body_size < 0 or body_size > self._largest or body_size > self._limit:
                return 0
            if n - b < 7:
                return pos - b - 8
            if i64(read_i32_be(data, b)) != head + 0x02000000:
                return 0
            if i64(read_i32_be(data, b + 3)) != body_size:
                return 0
            end = b + 8 + body_size
            if n < end:
                return pos - end
            if data[end - 1] != END:
                return 0
        self._position = end
        key = data[pos:h]
        route = self._routes.get(key)
        if route is None:
            self._message(key, data[h:end])
        else:
            found: i64 = 0
            if header_size != 14 or read_i16_be(data, h + 19) != 0:
                found = classify(data, h + 19, b - 1)
            self._gathering.take(route, data[h:end], found)
        return end

    def _message(self, method_frame: bytes, content: bytes) -> None:
        """A message whose route is not known, or that was assembled."""
        gathering = self._gathering
        channel: i64 = i64(read_i16_be(method_frame, 1)) & 0xFFFF
        route = self._routes.get(method_frame)
        if route is None:
            route = gathering.resolve(method_frame, channel)
        if route is None:
            gathering.flush()
            self._events.content(channel, method_frame[7:-1], content)
            return
        end: i64 = i64(read_i32_be(content, 3)) + 7
        gathering.take(route, content, classify(content, 19, end))

    def _settle(self, data: bytes, pos: i64, head: i64, method: i64) -> i64:
        """Take an ack, nack or reject; returns the position behind it, 0 if it is none."""
        if not is_settle(method) or data[pos + 20] != END or self._open:
            return 0
        self._position = pos + 21
        self._settled(head >> 8 & 0xFFFF, method, read_i64_be(data, pos + 11), data[pos + 19])
        return pos + 21

    def _settled(self, channel: i64, method: i64, tag: i64, bits: int) -> None:
        gathering = self._gathering
        if method == ACK and tag >= 0:
            gathering.ack(channel, tag, bits & 1 != 0)
            return
        gathering.flush()
        wide: int = tag
        if wide < 0:
            wide += 1 << 64
        if method == ACK:
            multiple = bits & 1 != 0
            self._events.ack(channel, 0 if multiple else wide, wide, multiple)
        elif method == NACK:
            self._events.reject(channel, wide, bits & 1 != 0, bits & 2 != 0)
        else:
            self._events.reject(channel, wide, False, bits & 1 != 0)

    def _frame(self, data: bytes) -> i64:
        """Take the frame at the current position the slow way, and go behind it.

        Returns how many octets it needs if it is not whole, else 0.
        """
        at: i64 = self._position
        self._lost = True
        lack: i64 = frames.missing(data, at, self._frame_max)
        self._lost = False
        if lack > 0:
            return len(data) - at + lack
        self._position = at + 8 + i64(read_i32_be(data, at + 3))
        frame = frames.cut(data, at)
        channel: i64 = frame.channel
        if frame.kind == frames.METHOD:
            self._method(channel, frame.payload)
        elif frame.kind == frames.HEADER:
            self._assembled(channel, self._assembly.header(channel, frame.payload))
        elif frame.kind == frames.BODY:
            self._assembled(channel, self._assembly.body(channel, frame.payload))
        else:
            self._gathering.flush()
            self._events.heartbeat()
        return 0

    def _method(self, channel: i64, payload: bytes) -> None:
        method: i64 = i64(read_i32_be(payload, 0))
        if channel != 0:
            if method == PUBLISH:
                self._assembly.begin(channel, frames.frame(frames.METHOD, channel, payload))
                return
            self._assembly.interrupt(channel)
            size: i64 = len(payload)
            if size == SETTLE_SIZE and is_settle(method):
                self._settled(channel, method, read_i64_be(payload, 4), payload[12])
                return
        self._gathering.flush()
        self._events.method(channel, payload)

    def _assembled(self, channel: i64, assembled: Assembled | None) -> None:
        if assembled is None:
            return
        if assembled.oversize:
            self._gathering.flush()
            self._events.too_large(channel, assembled.method_frame[7:-1], assembled.oversize)
        else:
            self._message(assembled.method_frame, assembled.content)


def is_settle(method: i64) -> bool:
    """Whether the method is an ack, a nack or a reject."""
    return method in (ACK, NACK, REJECT)


def classify(data: bytes, at: i64, end: i64) -> i64:  # noqa: C901 - one line for each property
    """What the properties at `at` (their flags) to `end` mean for the hot path.

    CLOSER_LOOK for expiration, user-id, CC or BCC, a direct reply-to address, and for
    everything that `properties.decode_header` would refuse: it then finds the error.
    """
    if at + 2 > end:
        return CLOSER_LOOK
    flags: i64 = i64(read_i16_be(data, at)) & 0xFFFF
    # Expiration 0x0100, user-id 0x0010, reserved 0x0003.
    if flags & 0x0113:
        return CLOSER_LOOK
    at += 2
    found: i64 = 0
    if flags & 0x8000:
        at = skip_text(data, at, end)
    if flags & 0x4000:
        at = skip_text(data, at, end)
    if flags & 0x2000:
        at = skip_table(data, at, end, 1)
    if flags & 0x1000:
        if at >= end:
            return CLOSER_LOOK
        if data[at] == 2:
            found |= PERSISTENT
        at += 1
    if flags & 0x0800:
        found |= PRIORITY
        at += 1
    if flags & 0x0400:
        at = skip_text(data, at, end)
    if flags & 0x0200:
        if at < end and data[at] >= 21 and data[at + 1 : at + 22] == b"amq.rabbitmq.reply-to":
            return CLOSER_LOOK
        at = skip_text(data, at, end)
    if flags & 0x0080:
        at = skip_text(data, at, end)
    if flags & 0x0040:
        at += 8
    if flags & 0x0020:
        at = skip_text(data, at, end)
    if flags & 0x0008:
        at = skip_text(data, at, end)
    if flags & 0x0004:
        at = skip_text(data, at, end)
    if at != end:
        return CLOSER_LOOK
    return found


#: Further than any octet: what is added to it stays so.
BEYOND: Final[i64] = 1 << 40


def skip_text(data: bytes, at: i64, end: i64) -> i64:
    """Behind the short string at `at`; BEYOND if there is none."""
    if at >= end:
        return BEYOND
    return at + 1 + i64(data[at])


def skip_table(data: bytes, at: i64, end: i64, depth: i64) -> i64:
    """Behind the table at `at`; BEYOND if it is malformed or asks for a closer look."""
    if at + 4 > end or depth > 32:
        return BEYOND
    size: i64 = i64(read_i32_be(data, at))
    at += 4
    limit: i64 = at + size
    if size < 0 or limit > end:
        return BEYOND
    while at < limit:
        length: i64 = i64(data[at])
        key: i64 = at + 1
        at = key + length
        if at >= limit:
            return BEYOND
        if depth == 1 and length <= 3 and data[at - 1] == 67 and is_copy(data, key, length):
            return BEYOND
        at = skip_value(data, at, limit, depth)
    return at if at == limit else BEYOND


def is_copy(data: bytes, at: i64, length: i64) -> bool:
    """Whether the key at `at` is CC or BCC."""
    if length == 2:
        return data[at] == 67
    return length == 3 and data[at] == 66 and data[at + 1] == 67


def skip_value(data: bytes, at: i64, limit: i64, depth: i64) -> i64:
    """Behind the tagged value at `at`, which may be further than `limit`."""
    tag = data[at]
    at += 1
    if tag == 83 or tag == 120:  # S x
        if at + 4 > limit:
            return BEYOND
        size: i64 = i64(read_i32_be(data, at))
        if size < 0:
            return BEYOND
        return at + 4 + size
    if tag == 73 or tag == 105 or tag == 102:  # I i f
        return at + 4
    if tag == 108 or tag == 84 or tag == 100:  # l T d
        return at + 8
    if tag == 116 or tag == 98 or tag == 66:  # t b B
        return at + 1
    if tag == 70:  # F
        return skip_table(data, at, limit, depth + 1)
    if tag == 65:  # A
        return skip_array(data, at, limit, depth + 1)
    if tag == 115 or tag == 117:  # s u
        return at + 2
    if tag == 68:  # D
        return at + 5
    if tag == 86:  # V
        return at
    return BEYOND


def skip_array(data: bytes, at: i64, end: i64, depth: i64) -> i64:
    """Behind the array at `at`; BEYOND if it is malformed."""
    if at + 4 > end or depth > 32:
        return BEYOND
    size: i64 = i64(read_i32_be(data, at))
    at += 4
    limit: i64 = at + size
    if size < 0 or limit > end:
        return BEYOND
    while at < limit:
        at = skip_value(data, at, limit, depth)
    return at if at == limit else BEYOND


# Class and method of basic.deliver, without the first octet, which is 0.
_DELIVER: Final = b"\x3c\x00\x3c"


class Outbox:
    """What a connection is to send. Small things are written into one buffer, in order;
    large contents are kept as they are, so that many consumers share one body.
    """

    def __init__(self) -> None:
        self._writer = BytesWriter()
        self._sealed: list[bytes | memoryview] = []
        self._sealed_bytes: i64 = 0

    def __len__(self) -> int:
        return self._sealed_bytes + len(self._writer)

    def take(self) -> bytes:
        """Everything as one piece; the outbox is empty then."""
        if self._sealed:
            return b"".join(self.pieces())
        taken = self._writer.getvalue()
        self._writer = BytesWriter()
        return taken

    def pieces(self) -> list[bytes | memoryview]:
        """Everything in pieces, large contents not copied; the outbox is empty then."""
        self._seal()
        taken = self._sealed
        self._sealed = []
        self._sealed_bytes = 0
        return taken

    def deliver(
        self,
        channel: i64,
        consumer_tag: bytes,
        tag: i64,
        redelivered: bool,
        names: bytes,
        names_each: list[bytes] | None,
        contents: list[bytes],
        lo: i64,
        hi: i64,
        source_channel: i64,
        frame_max: i64,
    ) -> None:
        """basic.deliver for `contents[lo:hi]`, with delivery tags from `tag` on.

        `consumer_tag` is a short string with its length; `frame_max` is the consumer's.
        """  # hot: tests/bench/codec.py
        begin = _DELIVER + consumer_tag
        flag = b"\x01" if redelivered else b"\x00"
        suffix = flag + names + b"\xce"
        # Frame type, channel and size, and the first octet of the class.
        head: i64 = 1 << 56 | channel << 40
        fixed: i64 = 13 + len(consumer_tag)
        own = channel == source_channel
        writer = self._writer
        i: i64 = lo
        while i < hi:
            content = contents[i]
            if names_each is not None:
                suffix = names_each[i]
                write_i64_be(writer, head | (fixed + len(suffix)) << 8)
                writer.write(begin)
                write_i64_be(writer, tag)
                writer.write(flag)
                writer.write(suffix)
                writer.append(END)
            else:
                write_i64_be(writer, head | (fixed + len(names)) << 8)
                writer.write(begin)
                write_i64_be(writer, tag)
                writer.write(suffix)
            if own and len(content) < LARGE and len(content) <= frame_max:
                writer.write(content)
            else:
                self._content(channel, content, own, frame_max)
                writer = self._writer
            tag += 1
            i += 1

    def content(self, channel: i64, method_payload: bytes, content: bytes, frame_max: i64) -> None:
        """A method with its content, as in basic.get-ok and basic.return."""
        self._head(frames.METHOD, channel, len(method_payload))
        self._writer.write(method_payload)
        self._writer.append(END)
        self._content(channel, content, False, frame_max)

    def _content(self, channel: i64, content: bytes, own: bool, frame_max: i64) -> None:
        """A content with the channel number of the consumer and frames of its size."""
        size: i64 = len(content)
        if frame_max == 0:
            frame_max = frames.UNLIMITED
        if size > frame_max and not fits(content, frame_max):
            self._reframe(channel, content, frame_max - 8)
        elif size < LARGE:
            start: i64 = len(self._writer)
            self._writer.write(content)
            if not own:
                self._renumber(channel, content, start)
        elif own or i64(read_i16_be(content, 1)) & 0xFFFF == channel:
            self._share(content)
        else:
            self._reframe(channel, content, frames.UNLIMITED)

    def _renumber(self, channel: i64, content: bytes, start: i64) -> None:
        """Change the channel number in a content that was just written at `start`."""
        writer = self._writer
        upper = u8(channel >> 8)
        lower = u8(channel & 0xFF)
        at: i64 = 0
        size: i64 = len(content)
        while at < size:
            writer[start + at + 1] = upper
            writer[start + at + 2] = lower
            at += 8 + i64(read_i32_be(content, at + 3))

    def _reframe(self, channel: i64, content: bytes, most: i64) -> None:
        """Write a content in frames with payloads of at most `most` octets.

        A header cannot be divided: it goes out as it is.
        """
        at: i64 = 0
        size: i64 = len(content)
        while at < size:
            kind = content[at]
            start: i64 = at + 7
            at = start + i64(read_i32_be(content, at + 3))
            while start < at:
                end: i64 = at
                if kind == frames.BODY and at - start > most:
                    end = start + most
                self._head(kind, channel, end - start)
                if end - start < LARGE:
                    self._writer.write(content[start:end])
                else:
                    self._share(memoryview(content)[start:end])
                self._writer.append(END)
                start = end
            at += 1

    def _head(self, kind: int, channel: i64, size: i64) -> None:
        writer = self._writer
        writer.append(kind)
        writer.append(channel >> 8)
        writer.append(channel & 0xFF)
        write_i32_be(writer, i32(size))

    def _share(self, piece: bytes | memoryview) -> None:
        self._seal()
        self._sealed.append(piece)
        self._sealed_bytes += len(piece)

    def _seal(self) -> None:
        written: i64 = len(self._writer)
        if written > 0:
            self._sealed.append(self._writer.getvalue())
            self._sealed_bytes += written
            self._writer = BytesWriter()

    def confirm(self, channel: i64, tag: i64, multiple: bool) -> None:
        """basic.ack to a publisher."""
        self._settle(channel, ACK, tag, 1 if multiple else 0)

    def nack(self, channel: i64, tag: i64, multiple: bool) -> None:
        """basic.nack to a publisher."""
        self._settle(channel, NACK, tag, 1 if multiple else 0)

    def _settle(self, channel: i64, method: i64, tag: i64, bits: int) -> None:
        self._head(frames.METHOD, channel, SETTLE_SIZE)
        writer = self._writer
        write_i32_be(writer, i32(method))
        write_i64_be(writer, tag)
        writer.append(bits)
        writer.append(END)

    def frame(self, raw: bytes) -> None:
        """A frame, or several, that someone else has put together."""
        self._writer.write(raw)


def fits(content: bytes, frame_max: i64) -> bool:
    """Whether no body frame of a content is larger than `frame_max`."""
    size: i64 = len(content)
    at: i64 = 8 + i64(read_i32_be(content, 3))
    while at < size:
        part: i64 = 8 + i64(read_i32_be(content, at + 3))
        if part > frame_max:
            return False
        at += part
    return True
