"""The codec for interpreters without the compiled core: the same interface, other means.

What costs in plain Python is the number of steps, so whole messages are compared and cut at
once. While method, header and start of the body frame repeat, a message is one `startswith`
and one slice; traffic that does not repeat switches that off for the rest of the read.
Deliveries of a run are put together by C loops from a table of their variable octets.

Measured against the source of `codec` run uncompiled (tests/bench/codec.py): parsing takes
a half (properties that differ) to a twelfth (messages that repeat), encoding a half.
"""

from __future__ import annotations

import struct
from itertools import chain, repeat
from typing import TYPE_CHECKING, Final

from amqpd.amqp import frames
from amqpd.amqp.classify import (
    BEYOND,
    CLOSER_LOOK,
    DIRECT_REPLY,
    DIRECT_REPLY_TOO,
    EXPIRATION,
    PERSISTENT,
    PLACE_BITS,
    PRIORITY,
    PRIORITY_BITS,
    is_copy,
    is_number,
    skip_value,
)
from amqpd.amqp.gathering import ChannelCount, Group, Route, Slot
from amqpd.amqp.reader import ACK, NACK, PUBLISH, SETTLE_SIZE, Reader, is_settle

if TYPE_CHECKING:
    from amqpd.amqp.assembly import Events

__all__ = ["ChannelCount", "Group", "Outbox", "Parser", "Route", "Slot"]

END: Final = 0xCE
#: So many messages that do not repeat the one before end the search for repetitions.
MISSES: Final = 16
#: Contents from this size on stay pieces of their own.
LARGE: Final = 16_384
#: Runs from this length on are worth a table.
LONG_RUN: Final = 16
MAX_TABLES: Final = 64

_METHOD: Final = struct.Struct(">BHII")
_HEADER: Final = struct.Struct(">BHIIQH")
_FRAME: Final = struct.Struct(">BHI")
_SETTLE: Final = struct.Struct(">qBB")
_ANSWER: Final = struct.Struct(">BHIIQBB")
_BASIC_NO_WEIGHT: Final = 60 << 16


class Parser:
    """Octets of one connection to events; see `codec.Parser`."""

    def __init__(self, events: Events, frame_max: int) -> None:
        self._reader = Reader(events)
        self._reader.set_frame_max(frame_max)
        # The last message: its route, its octets up to the body, and where they divide.
        self._route: Route | None = None
        self._group: Group | None = None
        self._repeat = b""
        self._content_at = 0
        self._length = 0

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
        n = len(data)
        pos = needed = misses = 0
        while pos < n and not reader.halted:
            after = 0
            if n - pos >= 12:
                kind, channel, size, method = _METHOD.unpack_from(data, pos)
                if kind == frames.METHOD and channel and size <= reader.limit:
                    if method == PUBLISH:
                        after = self._publish(reader, data, pos, channel, pos + 8 + size)
                        if after > 0 and misses < MISSES:
                            run_end = self._run(data, after, pos)
                            misses = 0 if run_end > after else misses + 1
                            after = run_end
                    elif size == SETTLE_SIZE and n - pos >= 21 and is_settle(method):
                        after = self._settle(reader, data, pos, channel, method)
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

    def _publish(  # noqa: C901 - one test for each field that may be wrong
        self, reader: Reader, data: bytes, pos: int, channel: int, h: int
    ) -> int:
        """Take method (at `pos`), header (at `h`) and body in one step.

        Returns the position behind them; minus the octets needed if that is all there is to
        say yet; 0 if they must go frame by frame.
        """
        n = len(data)
        if n < h:
            return pos - h
        if data[h - 1] != END or channel in reader.open:
            return 0
        if n - h < 21:
            return self._short_header(reader, data, pos, channel, h)
        header_size: int
        body_size: int
        kind, owner, header_size, class_weight, body_size, flags = _HEADER.unpack_from(data, h)
        if kind != frames.HEADER or owner != channel or not 14 <= header_size <= reader.limit:
            return 0
        b = h + 8 + header_size
        if n < b:
            return pos - b
        if data[b - 1] != END or class_weight != _BASIC_NO_WEIGHT:
            return 0
        end = b
        if body_size:
            if body_size > reader.largest or body_size > reader.limit:
                return 0
            if n - b < 7:
                return pos - b - 8
            if _FRAME.unpack_from(data, b) != (frames.BODY, channel, body_size):
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
            self._route = None
            return end
        found = _classify(data, h + 21, b - 1, flags) if flags or header_size != 14 else 0
        reader.gathering.take(route, data[h:end], found)
        group = self._group = reader.gathering.last
        # Not if it went to the session by itself, or the session has dropped all routes.
        self._route = route if group is not None and group.gathering and reader.routes else None
        self._content_at = h - pos
        self._length = b - pos
        return end

    def _short_header(self, reader: Reader, data: bytes, pos: int, channel: int, h: int) -> int:
        """As `_publish`, where a header frame cannot be whole."""
        if len(data) - h < 7:
            return pos - h - 8
        kind, owner, size = _FRAME.unpack_from(data, h)
        if kind != frames.HEADER or owner != channel or not 14 <= size <= reader.limit:
            return 0
        needed: int = h + 8 + size - pos
        return -needed

    def _run(self, data: bytes, at: int, before: int) -> int:
        """Take the messages from `at` on that repeat the one that was just taken from `before`.

        Returns the position behind them.
        """
        route = self._route
        if route is None:
            return at
        length = at - before
        start = self._content_at
        # A body frame's head repeats with its header, which has the body's size.
        repeated = data[before : before + min(self._length + 7, length)]
        if not data.startswith(repeated, at):
            return at
        group = self._group
        assert group is not None
        contents = group.contents
        n = len(data)
        first = at
        end = at + length
        while data.startswith(repeated, at) and end <= n and data[end - 1] == END:
            contents.append(data[at + start : end])
            at = end
            end += length
        count = (at - first) // length
        group.size_bytes += count * (length - start)
        if group.names_each is not None:
            group.names_each.extend(repeat(route.names, count))
        if group.expirations is not None:
            group.expirations.extend(repeat(group.expirations[-1], count))
        published = route.channel.published
        if group.numbers is not None:
            group.numbers.extend(range(published + 1, published + count + 1))
        route.channel.published = published + count
        return at

    def _settle(self, reader: Reader, data: bytes, pos: int, channel: int, method: int) -> int:
        """Take an ack, nack or reject; returns the position behind it, 0 if it must go slowly."""
        tag, bits, end = _SETTLE.unpack_from(data, pos + 11)
        if end != END or reader.open:
            return 0
        reader.position = pos + 21
        reader.settle(channel, method, tag, bits)
        return pos + 21


#: Octets of a table's value with its tag, where they do not depend on the value.
_VALUE_SIZES: Final = {
    **dict.fromkeys(b"Iif", 5),
    **dict.fromkeys(b"lTd", 9),
    **dict.fromkeys(b"tbB", 2),
    **dict.fromkeys(b"su", 3),
    ord("D"): 6,
    ord("V"): 1,
}
_TEXTS: Final = b"Sx"


def _classify(data: bytes, at: int, end: int, flags: int) -> int:  # noqa: C901 - see `classify`
    """`classify.classify` in steps that are cheap here; `at` is behind the flags."""
    if flags & 0x0013:
        return CLOSER_LOOK
    found = 0
    start = at - 2
    try:
        if flags & 0x8000:
            at += 1 + data[at]
        if flags & 0x4000:
            at += 1 + data[at]
        if flags & 0x2000:
            at = _skip_table(data, at, end)
        if flags & 0x1000:
            found = PERSISTENT if data[at] == 2 else 0
            at += 1
        if flags & 0x0800:
            found |= PRIORITY | data[at] << PRIORITY_BITS
            at += 1
        if flags & 0x0400:
            at += 1 + data[at]
        if flags & 0x0200:
            if data[at] >= len(DIRECT_REPLY) and data.startswith(DIRECT_REPLY, at + 1):
                return CLOSER_LOOK
            if data[at + 1 : at + 1 + data[at]] == DIRECT_REPLY_TOO:
                return CLOSER_LOOK
            at += 1 + data[at]
        if flags & 0x0100:
            if not is_number(data, at, end):
                return CLOSER_LOOK
            found |= EXPIRATION | (at - start) << PLACE_BITS
            at += 1 + data[at]
        if flags & 0x0080:
            at += 1 + data[at]
        if flags & 0x0040:
            at += 8
        if flags & 0x0020:
            at += 1 + data[at]
        if flags & 0x0008:
            at += 1 + data[at]
        if flags & 0x0004:
            at += 1 + data[at]
    except IndexError:
        return CLOSER_LOOK
    return found if at == end else CLOSER_LOOK


def _skip_table(data: bytes, at: int, end: int) -> int:
    """Behind the headers at `at`; BEYOND if they are malformed or ask for a closer look."""
    start = at + 4
    limit = start + int.from_bytes(data[at:start], "big")
    if limit > end:
        return BEYOND
    at = start
    while at < limit:
        length = data[at]
        at += 1 + length
        if at >= limit or (data[at - 1] == 67 and is_copy(data, at - length, length)):
            return BEYOND
        size = _VALUE_SIZES.get(data[at])
        if size is not None:
            at += size
        elif data[at] in _TEXTS:
            at += 5 + int.from_bytes(data[at + 1 : at + 5], "big")
        else:
            at = skip_value(data, at, limit, 1)
    return at if at == limit else BEYOND


#: By what follows the delivery tag's last octet in a deliver frame: the 256 ways it may end.
_tables: dict[bytes, list[bytes]] = {}


def _table(suffix: bytes) -> list[bytes]:
    table = _tables.get(suffix)
    if table is None:
        if len(_tables) >= MAX_TABLES:
            _tables.clear()
        table = _tables[suffix] = [bytes((octet,)) + suffix for octet in range(256)]
    return table


class Outbox:
    """What a connection is to send, as a list of pieces; see `codec.Outbox`."""

    def __init__(self) -> None:
        self._parts: list[bytes | memoryview] = []
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def take(self) -> bytes:
        """Everything as one piece; the outbox is empty then."""
        taken = b"".join(self._parts)
        self._parts = []
        self._size = 0
        return taken

    def pieces(self) -> list[bytes | memoryview]:
        """Everything in pieces, large contents not copied; the outbox is empty then."""
        pieces: list[bytes | memoryview] = []
        small: list[bytes | memoryview] = []
        for part in self._parts:
            if len(part) < LARGE:
                small.append(part)
                continue
            if small:
                pieces.append(b"".join(small))
                small = []
            pieces.append(part)
        if small:
            pieces.append(b"".join(small))
        self._parts = []
        self._size = 0
        return pieces

    def deliver(
        self,
        channel: int,
        consumer_tag: bytes,
        tag: int,
        redelivered: bool,
        names: bytes,
        names_each: list[bytes] | None,
        contents: list[bytes],
        lo: int,
        hi: int,
        source_channel: int,
        frame_max: int,
    ) -> None:
        """basic.deliver for `contents[lo:hi]`, with delivery tags from `tag` on.

        `consumer_tag` is a short string with its length; `frame_max` is the consumer's.
        """  # hot: tests/bench/codec.py
        run = contents[lo:hi] if lo or hi < len(contents) else contents
        size = sum(map(len, run))
        own = channel == source_channel
        if not own or (size > frame_max and max(map(len, run)) > frame_max):
            for content, content_names in zip(
                run, repeat(names) if names_each is None else names_each[lo:hi], strict=False
            ):
                head = self._deliver_head(channel, consumer_tag, len(content_names))
                self.frame(
                    b"%b%b%c%b\xce" % (head, tag.to_bytes(8, "big"), redelivered, content_names)
                )
                self._content(channel, content, frame_max)
                tag += 1
            return
        self._size += size
        if names_each is not None:
            self._mixed(channel, consumer_tag, tag, redelivered, names_each[lo:hi], run)
        else:
            self._uniform(channel, consumer_tag, tag, redelivered, names, run)

    def _deliver_head(self, channel: int, consumer_tag: bytes, names_size: int) -> bytes:
        size = 13 + len(consumer_tag) + names_size
        return b"%b\x00\x3c\x00\x3c%b" % (
            _FRAME.pack(frames.METHOD, channel, size),
            consumer_tag,
        )

    def _uniform(
        self,
        channel: int,
        consumer_tag: bytes,
        tag: int,
        redelivered: bool,
        names: bytes,
        run: list[bytes],
    ) -> None:
        """Deliveries of contents that can be passed on as they are, with the same names."""
        head = self._deliver_head(channel, consumer_tag, len(names))
        suffix = b"%c%b\xce" % (redelivered, names)
        self._size += len(run) * (len(head) + 8 + len(suffix))
        parts = self._parts
        count = len(run)
        if count < LONG_RUN:
            for content in run:
                parts += (b"%b%b%b" % (head, tag.to_bytes(8, "big"), suffix), content)
                tag += 1
            return
        table = _table(suffix)
        at = 0
        while at < count:
            low = tag & 0xFF
            block = run[at : at + 256 - low]
            base = head + (tag >> 8).to_bytes(7, "big")
            ends = table[low : low + len(block)]
            parts.extend(chain.from_iterable(zip(repeat(base), ends, block, strict=False)))
            at += len(block)
            tag += len(block)

    def _mixed(
        self,
        channel: int,
        consumer_tag: bytes,
        tag: int,
        redelivered: bool,
        names_each: list[bytes],
        run: list[bytes],
    ) -> None:
        """Deliveries of contents that can be passed on as they are, with different names."""
        parts = self._parts
        heads: dict[int, bytes] = {}
        size = 0
        for content, names in zip(run, names_each, strict=True):
            head = heads.get(len(names))
            if head is None:
                head = heads[len(names)] = self._deliver_head(channel, consumer_tag, len(names))
            method = b"%b%b%c%b\xce" % (head, tag.to_bytes(8, "big"), redelivered, names)
            parts += (method, content)
            size += len(method)
            tag += 1
        self._size += size

    def content(self, channel: int, method_payload: bytes, content: bytes, frame_max: int) -> None:
        """A method with its content, as in basic.get-ok and basic.return."""
        self.frame(frames.frame(frames.METHOD, channel, method_payload))
        self._content(channel, content, frame_max)

    def _content(self, channel: int, content: bytes, frame_max: int) -> None:
        """A content with the channel number of the consumer and frames of its size."""
        most = (frame_max or frames.UNLIMITED) - frames.OVERHEAD
        size = len(content)
        if size <= most and content[1:3] == channel.to_bytes(2, "big"):
            self.frame(content)
            return
        at = 0
        while at < size:
            kind, _, payload_size = _FRAME.unpack_from(content, at)
            start = at + 7
            at = start + payload_size
            while start < at:
                end = min(at, start + most) if kind == frames.BODY else at
                self.frame(_FRAME.pack(kind, channel, end - start))
                self._piece(content, start, end)
                self.frame(b"\xce")
                start = end
            at += 1

    def _piece(self, content: bytes, start: int, end: int) -> None:
        if end - start < LARGE:
            self.frame(content[start:end])
        else:
            self._parts.append(memoryview(content)[start:end])
            self._size += end - start

    def confirm(self, channel: int, tag: int, multiple: bool) -> None:
        """basic.ack to a publisher."""
        self.frame(_ANSWER.pack(frames.METHOD, channel, SETTLE_SIZE, ACK, tag, multiple, END))

    def nack(self, channel: int, tag: int, multiple: bool) -> None:
        """basic.nack to a publisher."""
        self.frame(_ANSWER.pack(frames.METHOD, channel, SETTLE_SIZE, NACK, tag, multiple, END))

    def frame(self, raw: bytes) -> None:
        """A frame, or several, that someone else has put together."""
        self._parts.append(raw)
        self._size += len(raw)
