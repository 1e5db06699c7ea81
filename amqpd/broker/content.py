"""Contents: a message's header and body as one piece of bytes.

A content is the raw content header frame and body frames as they came from the publisher,
its channel number inside (AMQP 0-9-1 §2.3.5). It is handed on as it is; these functions
look into it, take it apart for the store and put it together again. Contents come from the
codec, which has checked every size and end byte: nothing here checks them again.

Compiled; plain Python otherwise.
"""

from __future__ import annotations

from typing import Final

from librt.strings import (
    BytesWriter,
    read_i16_be,
    read_i32_be,
    read_i64_be,
    write_i16_be,
    write_i32_be,
)
from mypy_extensions import i16, i32, i64

HEADER: Final = 2
BODY: Final = 3
END: Final = 0xCE
#: Type, channel and size before a frame's payload, and the end byte after it.
FRAME_OVERHEAD: Final = 8
#: Where the flags of the properties are, and the one for headers.
_FLAGS_AT: Final[i64] = 19
_HEADERS: Final = 0x20


def header_payload(content: bytes) -> bytes:
    """The payload of the content header frame: class, weight, body size, flags, properties."""
    return content[7 : 7 + i64(read_i32_be(content, 3))]


def body_size(content: bytes) -> i64:
    """The size of the body in bytes, as the header declares it."""
    return read_i64_be(content, 11)


def body(content: bytes) -> bytes:
    """The body without its framing."""
    at: i64 = i64(read_i32_be(content, 3)) + 8
    end: i64 = len(content)
    if at >= end:
        return b""
    size: i64 = i64(read_i32_be(content, at + 3))
    if at + size + 8 == end:
        return content[at + 7 : end - 1]
    joined = BytesWriter()
    while at < end:
        size = i64(read_i32_be(content, at + 3))
        joined.write(content[at + 7 : at + 7 + size])
        at += size + 8
    return joined.getvalue()


def build(channel: int, header: bytes, payload: bytes, frame_max: int = 131_072) -> bytes:
    """A content made of a header frame's payload and a body, in frames of at most `frame_max`."""
    # Channel numbers go up to 65535, what is written is signed.
    unsigned: i64 = channel
    number = i16(unsigned if unsigned < 0x8000 else unsigned - 0x10000)
    out = BytesWriter()
    out.append(HEADER)
    write_i16_be(out, number)
    write_i32_be(out, i32(len(header)))
    out.write(header)
    out.append(END)
    size: i64 = len(payload)
    most: i64 = frame_max - FRAME_OVERHEAD
    at: i64 = 0
    while at < size:
        part: i64 = min(most, size - at)
        out.append(BODY)
        write_i16_be(out, number)
        write_i32_be(out, i32(part))
        if part == size:
            out.write(payload)
        else:
            out.write(payload[at : at + part])
        out.append(END)
        at += part
    return out.getvalue()


def seal(content: bytes, hidden: bytes) -> bytes:
    """The content with something hidden behind its properties, as the store keeps it.

    The weight in its header, which is 0 in all others, tells.
    """
    payload = header_payload(content)
    end: i64 = 7 + len(payload)
    out = BytesWriter()
    out.write(content[:3])
    write_i32_be(out, i32(len(payload) + len(hidden) + 4))
    out.write(payload[:2])
    write_i16_be(out, i16(1))
    out.write(payload[4:])
    out.write(hidden)
    write_i32_be(out, i32(len(hidden)))
    out.write(content[end:])
    return out.getvalue()


def is_sealed(payload: bytes) -> bool:
    """Whether something is hidden in the payload of a header."""
    return len(payload) > 3 and payload[3] != 0


def unseal(payload: bytes) -> tuple[bytes, bytes]:
    """The payload of a header that is sealed as it was before, and what was hidden in it."""
    end: i64 = len(payload) - 4
    start: i64 = end - i64(read_i32_be(payload, end))
    return payload[:2] + b"\0\0" + payload[4:start], payload[start:end]


def first_with(contents: list[bytes], low: int, high: int, marks: tuple[bytes, ...]) -> i64:
    """The first of `contents[low:high]` that may have one of the marks in its headers, or high.

    Those without headers cost a look at their flags.
    """
    at: i64 = low
    end: i64 = high
    while at < end:
        content = contents[at]
        if content[_FLAGS_AT] & _HEADERS:
            payload = header_payload(content)
            for mark in marks:
                if mark in payload:
                    return at
        at += 1
    return end


def sizes(contents: list[bytes], low: int, high: int) -> i64:
    """The body bytes of `contents[low:high]` together."""
    total: i64 = 0
    at: i64 = low
    end: i64 = high
    while at < end:
        total += read_i64_be(contents[at], 11)
        at += 1
    return total


def expiration_at(content: bytes) -> i64:
    """Where the expiration among the properties is, a short string; 0 if there is none."""
    flags: i64 = i64(read_i16_be(content, _FLAGS_AT)) & 0xFFFF
    if not flags & 0x0100:
        return 0
    at: i64 = _FLAGS_AT + 2
    if flags & 0x8000:
        at += 1 + i64(content[at])
    if flags & 0x4000:
        at += 1 + i64(content[at])
    if flags & 0x2000:
        at += 4 + i64(read_i32_be(content, at))
    if flags & 0x1000:
        at += 1
    if flags & 0x0800:
        at += 1
    if flags & 0x0400:
        at += 1 + i64(content[at])
    if flags & 0x0200:
        at += 1 + i64(content[at])
    return at


def without(content: bytes, at: i64) -> bytes:
    """Flags and properties without the text of the short string at `at` (0: with everything)."""
    end: i64 = 7 + i64(read_i32_be(content, 3))
    if at == 0:
        return content[_FLAGS_AT:end]
    return content[_FLAGS_AT : at + 1] + content[at + 1 + i64(content[at]) : end]


def restamp(content: bytes, before: bytes, at: i64, behind: bytes) -> bytes:
    """The content with other flags and properties.

    Between those `before` and `behind` is the text of the short string at `at` (0: nothing).
    """
    end: i64 = 7 + i64(read_i32_be(content, 3))
    text = b""
    if at != 0:
        text = content[at + 1 : at + 1 + i64(content[at])]
    out = BytesWriter()
    out.write(content[:3])
    write_i32_be(out, i32(12 + len(before) + len(text) + len(behind)))
    out.write(content[7:_FLAGS_AT])
    out.write(before)
    out.write(text)
    out.write(behind)
    out.write(content[end:])
    return out.getvalue()
