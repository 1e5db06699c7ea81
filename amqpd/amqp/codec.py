"""The codec of the hot path: publishes and acks in, deliveries and confirms out, by runs.

A publish is method, header and body frame taken in one step; its message stays one slice of
the octets that came. The whole method frame is the key of the route cache, so exchange and
routing key are looked at once for each distinct frame. All other frames go one by one
through `reader`.

Promises: the order of everything on a channel is kept; whatever is whole in the buffer is
parsed before `feed` returns, unless an event calls `halt`; any octets end in events or in one
`AmqpError`.

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
from amqpd.amqp.classify import classify
from amqpd.amqp.gathering import ChannelCount, Group, Route, Slot
from amqpd.amqp.reader import ACK, NACK, PUBLISH, SETTLE_SIZE, Reader, is_settle

if TYPE_CHECKING:
    from amqpd.amqp.assembly import Events

__all__ = ["ChannelCount", "Group", "Outbox", "Parser", "Route", "Slot"]

END: Final = 0xCE

#: Contents from this size on are not copied into the outbox.
LARGE: Final[i64] = 16_384


class Parser:
    """Octets of one connection to events.

    `frame_max` and `max_message_bytes` may be changed at any time. After a `FrameError` that
    leaves the start of the next frame unknown, everything fed is ignored.
    """

    def __init__(self, events: Events, frame_max: int) -> None:
        self._reader = Reader(events)
        self._reader.set_frame_max(frame_max)

    @property
    def touched_channels(self) -> list[ChannelCount]:
        """Channels that have published since the session last emptied this list."""
        return self._reader.gathering.touched_channels

    @property
    def frame_max(self) -> int:
        """Largest frame to accept, 0 for no limit."""
        return self._reader.frame_max

    @frame_max.setter
    def frame_max(self, value: int) -> None:
        self._reader.set_frame_max(value)

    @property
    def max_message_bytes(self) -> int:
        """Largest body to accept; others are told to `too_large` and skipped."""
        return self._reader.largest

    @max_message_bytes.setter
    def max_message_bytes(self, value: int) -> None:
        self._reader.set_max_message_bytes(value)

    @property
    def held_bytes(self) -> int:
        """Octets in memory that wait for others."""
        return self._reader.held_bytes()

    @property
    def is_halted(self) -> bool:
        """The last call ended before everything that is whole was parsed, or at its end."""
        return self._reader.halted

    def halt(self) -> None:
        """Said by an event: what follows is kept for the next call of `feed`."""
        self._reader.halted = True

    def forget(self) -> None:
        """Drop all routes: they may lead elsewhere now."""
        self._reader.routes.clear()

    def discard(self, channel: int) -> None:
        """Throw away the content of this channel that is still incomplete."""
        self._reader.assembly.discard(channel)

    def feed(self, data: bytes) -> None:
        """Parse everything that is whole, or up to a `halt`; keep the rest.

        Raises:
            AmqpError: from the octets or from the session. What came after the frame that
                caused it is kept, and parsed by the next call.
        """
        reader = self._reader
        reader.halted = False
        data = reader.receive(data)
        try:
            self._parse(reader, data)
        except BaseException:
            reader.failed(data)
            raise
        reader.gathering.flush()

    def _parse(self, reader: Reader, data: bytes) -> None:
        """Take frame after frame, until what is left is not whole."""  # hot: tests/bench/codec.py
        n: i64 = len(data)
        pos: i64 = 0
        needed: i64 = 0
        while pos < n and not reader.halted:
            after: i64 = 0
            if n - pos >= 12:
                # Type, channel and the upper octet of the size: 1, not 0, and 0 here.
                head: i64 = i64(read_i32_be(data, pos))
                size: i64 = i64(read_i32_be(data, pos + 3))
                if head & 0xFF0000FF == 0x01000000 != head and size <= reader.limit:
                    method: i64 = i64(read_i32_be(data, pos + 7))
                    if method == PUBLISH:
                        after = publish(reader, data, pos, head, pos + 8 + size)
                    elif size == SETTLE_SIZE and n - pos >= 21 and is_settle(method):
                        after = settle(reader, data, pos, head, method)
            if after == 0:
                reader.position = pos
                needed = reader.frame(data)
                if needed > 0:
                    break
                pos = reader.position
            elif after > 0:
                pos = after
            else:
                needed = -after
                break
        reader.position = pos
        reader.keep(data, needed)


def publish(  # noqa: C901 - one test for each field that may be wrong
    reader: Reader, data: bytes, pos: i64, head: i64, h: i64
) -> i64:
    """Take method (at `pos`), header (at `h`) and body in one step.

    Returns the position behind them; minus the octets needed if that is all there is to
    say yet; 0 if they must go frame by frame.
    """
    n: i64 = len(data)
    if n < h:
        return pos - h
    if data[h - 1] != END or (reader.open and (head >> 8 & 0xFFFF) in reader.open):
        return 0
    if n - h < 7:
        return pos - h - 8
    # Same channel, and a size below 2**24.
    header_size: i64 = i64(read_i32_be(data, h + 3))
    if i64(read_i32_be(data, h)) != head + 0x01000000 or not 14 <= header_size <= reader.limit:
        return 0
    b: i64 = h + 8 + header_size
    if n < b:
        return pos - b
    body_size: i64 = read_i64_be(data, h + 11)
    if data[b - 1] != END or i64(read_i32_be(data, h + 7)) != 0x003C0000:
        return 0
    end: i64 = b
    if body_size != 0:
        if body_size < 0 or body_size > reader.largest or body_size > reader.limit:
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
    reader.position = end
    key = data[pos:h]
    route = reader.routes.get(key)
    if route is None:
        reader.message(key, data[h:end])
    else:
        found: i64 = 0
        if header_size != 14 or read_i16_be(data, h + 19) != 0:
            found = classify(data, h + 19, b - 1)
        reader.gathering.take(route, data[h:end], found)
    return end


def settle(reader: Reader, data: bytes, pos: i64, head: i64, method: i64) -> i64:
    """Take an ack, nack or reject; returns the position behind it, 0 if it must go slowly."""
    if data[pos + 20] != END or reader.open:
        return 0
    reader.position = pos + 21
    reader.settle(head >> 8 & 0xFFFF, method, read_i64_be(data, pos + 11), data[pos + 19])
    return pos + 21


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
