"""Chunks: messages of a stream as they are stored and handed on.

    stamp(run, offset) -> Run         the same messages with their offsets in their headers
    header_text(content, key)         a header's text, without decoding the others
    StreamLane                        the lane of a stream: nothing leaves it one by one
    Extension                         where an append goes in a stream
    StoredChunk                       what the store gives back

A message gets the header `x-stream-offset` once, when it arrives: what is stored is what
every consumer is sent, so that reading costs no more than cutting a chunk into pieces.

Compiled; plain Python otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from librt.strings import (
    BytesWriter,
    read_i16_be,
    read_i32_be,
    write_i16_be,
    write_i32_be,
    write_i64_be,
)
from mypy_extensions import i16, i32, i64

from amqpd.broker.content import body, build
from amqpd.broker.lane import Lane
from amqpd.broker.run import Run
from amqpd.fields import Field
from amqpd.properties import decode_header, encode_header

if TYPE_CHECKING:
    from amqpd.broker.counts import Counts
    from amqpd.broker.delivery import Taken
    from amqpd.broker.run import Append, SettleLog

OFFSET_HEADER: Final = "x-stream-offset"
#: The header as a field: its key as a short string, and the tag of a 64-bit integer.
_KEY: Final = b"\x0fx-stream-offset"
_FIELD: Final = _KEY + b"l"
_FIELD_BYTES: Final[i64] = 25
_HAS_HEADERS: Final[i64] = 0x2000
#: The channel number inside of what streams hold.
CHANNEL: Final = 1

#: Below this size a content grows where its beginning is put together, and from this size on it
#: is copied once only.
SMALL: Final[i64] = 512
LARGE: Final[i64] = 4096

#: What the store has of a stream: the first offset, names of the first message, names of each
#: if they differ, contents, and their size in bytes.
StoredChunk = tuple[int, bytes, list[bytes] | None, list[bytes], int]


def stamp(run: Run, offset: int) -> Run:
    """A run of the same messages with offsets from `offset` on, for a stream alone."""
    contents: list[bytes] = []
    at: i64 = offset
    size: i64 = 0
    own = run.channel == CHANNEL
    for content in run.contents:
        stamped = stamp_one(content, at)
        if not own:
            stamped = renumbered(stamped)
        size += len(stamped)
        contents.append(stamped)
        at += 1
    return Run(contents, run.names, run.names_each, True, CHANNEL, size)


def stamp_one(content: bytes, offset: i64) -> bytes:
    """A content with its offset in its headers, before all others."""
    end: i64 = 7 + i64(read_i32_be(content, 3))
    flags: i64 = i64(read_i16_be(content, 19)) & 0xFFFF
    at: i64 = 21
    if flags & 0x8000:
        at += 1 + i64(content[at])
    if flags & 0x4000:
        at += 1 + i64(content[at])
    more: i64 = _FIELD_BYTES
    table: i64 = _FIELD_BYTES
    rest: i64 = at
    if flags & _HAS_HEADERS:
        table += i64(read_i32_be(content, at))
        rest += 4
        if table > _FIELD_BYTES and content.find(_KEY, rest, end) >= 0:
            return stamp_again(content, offset)
    else:
        more += 4
    out = BytesWriter()
    out.write(content[:3])
    write_i32_be(out, i32(end - 7 + more))
    out.write(content[7:19])
    flags |= _HAS_HEADERS
    write_i16_be(out, i16(flags if flags < 0x8000 else flags - 0x10000))
    if at > 21:
        out.write(content[21:at])
    write_i32_be(out, i32(table))
    out.write(_FIELD)
    write_i64_be(out, offset)
    if len(content) < SMALL:
        out.write(content[rest:])
        return out.getvalue()
    if len(content) < LARGE:
        return out.getvalue() + content[rest:]
    return b"".join((out.getvalue(), memoryview(content)[rest:]))


def stamp_again(content: bytes, offset: int) -> bytes:
    """The same for a message that seems to have come from a stream: its old offset goes."""
    end: i64 = 7 + i64(read_i32_be(content, 3))
    _, size, properties = decode_header(content[7:end])
    headers = dict(properties.headers or {})
    headers.pop(OFFSET_HEADER, None)
    properties.headers = {OFFSET_HEADER: Field("l", offset), **headers}
    channel: i64 = i64(read_i16_be(content, 1)) & 0xFFFF
    return build(channel, encode_header(properties, size), body(content))


def renumbered(content: bytes) -> bytes:
    """A content with the channel number of streams in all its frames."""
    out = BytesWriter()
    out.write(content)
    at: i64 = 0
    size: i64 = len(content)
    while at < size:
        out[at + 1] = 0
        out[at + 2] = CHANNEL
        at += 8 + i64(read_i32_be(content, at + 3))
    return out.getvalue()


#: What `header_text` gives where only decoding tells.
UNKNOWN: Final = b"\xff not known"


def header_text(content: bytes, key: bytes) -> bytes | None:
    """The text under this key (a short string) in the headers of a content.

    None: there is no such header; `UNKNOWN`: there is one, or may be one, and it is not a
    text or stands behind a value of a type that is not skipped here.
    """
    flags: i64 = i64(read_i16_be(content, 19)) & 0xFFFF
    if not flags & _HAS_HEADERS:
        return None
    at: i64 = 21
    if flags & 0x8000:
        at += 1 + i64(content[at])
    if flags & 0x4000:
        at += 1 + i64(content[at])
    end: i64 = at + 4 + i64(read_i32_be(content, at))
    at += 4
    if content.find(key, at, end) < 0:
        return None
    while at < end:
        start: i64 = at
        at += 1 + i64(content[at])
        found = at - start == len(key) and content[start:at] == key
        tag = content[at]
        at += 1
        size: i64 = 0
        if tag == 83:  # S
            size = 4 + i64(read_i32_be(content, at))
            if found:
                return content[at + 4 : at + size]
        elif tag == 108 or tag == 84 or tag == 100:  # l T d
            size = 8
        elif tag == 73 or tag == 105 or tag == 102:  # I i f
            size = 4
        elif tag == 116 or tag == 98 or tag == 66:  # t b B
            size = 1
        else:
            return UNKNOWN
        if found:
            return UNKNOWN
        at += size
    return None


class Settled(Protocol):
    """The owner of a stream's lane."""

    def wake(self) -> None:
        """Something was committed."""

    def settled(self, taken: Taken) -> None:
        """Deliveries of the stream were acknowledged."""

    def given_back(self, taken: Taken) -> None:
        """Deliveries of the stream came back."""


class Extension:
    """Where an append goes in a stream: all of the run, from the offset `base` on.

    `size_before` is the size of all that was ever appended before it, `segment` the first
    offset of the segment it is in.
    """

    def __init__(
        self, home: StreamLane, run: Run, base: int, stored_ms: int, segment: int, size_before: int
    ) -> None:
        self.home = home
        self.lane: i64 = home.id
        self.run = run
        self.base: i64 = base
        self.stored_ms: i64 = stored_ms
        self.segment: i64 = segment
        self.size_before: i64 = size_before


class StreamLane(Lane):
    """The lane of a stream: offsets are its positions, and nothing leaves it one by one.

    It holds no messages, the stream does. `coming` is what was put in last.
    """

    def __init__(
        self, stream: Settled, log: SettleLog, lane_id: int, total: Counts | None = None
    ) -> None:
        super().__init__(stream, log, lane_id, 0, True, total)
        self.stream = stream
        self.coming: Extension | None = None
        # Clients need not keep messages alive that they have not settled.
        self.placeholder = Run([], b"", None, True, CHANNEL, 0)

    def extend(self, coming: Extension) -> None:
        """A run is put in at the end."""
        count: i64 = len(coming.run.contents)
        self.coming = coming
        self.next_position += count
        self.ready += count
        self.stored += count
        self.ready_bytes += coming.run.size_bytes
        self.counts.published += count
        self.total.published += count

    def enter(
        self, entry: Append, base: int, deadline_ms: int, low: int = 0, high: int = -1
    ) -> None:
        """The run that was put in last is on its way to the store with this append, whole."""
        coming = self.coming
        assert coming is not None
        entry.extensions.append(coming)
        self.coming = None

    def hand_out(self, count: int) -> None:
        """So many messages go to a consumer."""
        self.unacked += count
        self.counts.delivered += count
        self.total.delivered += count

    def hears_of_return(self, taken: Taken) -> bool:
        """Deliveries came back: messages are where they were."""
        self.unacked -= taken.hi - taken.lo
        self.stream.given_back(taken)
        return True

    def discarded(self, count: int) -> None:
        """Deliveries were rejected for good."""
        self.unacked -= count

    def acked(self, taken: Taken) -> None:
        """Deliveries were acknowledged: the stream keeps the messages."""
        count: i64 = taken.hi - taken.lo
        self.unacked -= count
        self.counts.acked += count
        self.total.acked += count
        self.stream.settled(taken)
