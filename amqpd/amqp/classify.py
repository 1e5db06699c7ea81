"""Classify: what a message's properties mean for the hot path, without decoding them.

Walks over lengths and tags only. Whatever `properties.decode_header` would refuse is given
to the session as something to look at closer, and found there.

Compiled together with `codec`; plain Python otherwise.
"""

from __future__ import annotations

from typing import Final

from librt.strings import read_i16_be, read_i32_be
from mypy_extensions import i64

PERSISTENT: Final[i64] = 1
PRIORITY: Final[i64] = 2
#: Only the session can tell: see `Events.special`.
CLOSER_LOOK: Final[i64] = 4
EXPIRATION: Final[i64] = 8
#: With PRIORITY there is the priority in 8 bits from here, with EXPIRATION the place of its
#: text, counted from the flags.
PRIORITY_BITS: Final[i64] = 8
PLACE_BITS: Final[i64] = 16
#: An expiration of more digits needs a closer look.
MOST_DIGITS: Final[i64] = 11

#: Further than any octet: what is added to it stays so.
BEYOND: Final[i64] = 1 << 40
#: As in `fields`.
MAX_DEPTH: Final[i64] = 32
DIRECT_REPLY: Final = b"amq.rabbitmq.reply-to"
#: LavinMQ's other name for it.
DIRECT_REPLY_TOO: Final = b"amq.direct.reply-to"


def classify(data: bytes, at: i64, end: i64) -> i64:  # noqa: C901 - one line for each property
    """What the properties at `at` (their flags) to `end` mean for the hot path.

    CLOSER_LOOK for user-id, CC or BCC, a direct reply-to address, an expiration that is not
    simply a number, and for everything that `properties.decode_header` would refuse: it then
    finds the error.
    """
    if at + 2 > end:
        return CLOSER_LOOK
    flags: i64 = i64(read_i16_be(data, at)) & 0xFFFF
    # User-id 0x0010, reserved 0x0003.
    if flags & 0x0013:
        return CLOSER_LOOK
    start: i64 = at
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
        if at >= end:
            return CLOSER_LOOK
        found |= PRIORITY | i64(data[at]) << PRIORITY_BITS
        at += 1
    if flags & 0x0400:
        at = skip_text(data, at, end)
    if flags & 0x0200:
        if at < end and data[at] >= 21 and data[at + 1 : at + 22] == DIRECT_REPLY:
            return CLOSER_LOOK
        if at < end and data[at] == 19 and data[at + 1 : at + 20] == DIRECT_REPLY_TOO:
            return CLOSER_LOOK
        at = skip_text(data, at, end)
    if flags & 0x0100:
        if not is_number(data, at, end):
            return CLOSER_LOOK
        found |= EXPIRATION | (at - start) << PLACE_BITS
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


def is_number(data: bytes, at: i64, end: i64) -> bool:
    """Whether the short string at `at` is a number of few digits."""
    if at >= end:
        return False
    after: i64 = at + 1 + i64(data[at])
    if after > end or not 1 < after - at <= MOST_DIGITS + 1:
        return False
    at += 1
    while at < after:
        digit: i64 = i64(data[at])
        if not 48 <= digit <= 57:
            return False
        at += 1
    return True


def number(data: bytes, at: i64) -> i64:
    """The number in the short string at `at`, which is one."""
    value: i64 = 0
    after: i64 = at + 1 + i64(data[at])
    at += 1
    while at < after:
        value = value * 10 + i64(data[at]) - 48
        at += 1
    return value


def skip_text(data: bytes, at: i64, end: i64) -> i64:
    """Behind the short string at `at`; BEYOND if there is none."""
    if at >= end:
        return BEYOND
    return at + 1 + i64(data[at])


def skip_table(data: bytes, at: i64, end: i64, depth: i64) -> i64:
    """Behind the table at `at`; BEYOND if it is malformed or asks for a closer look."""
    if at + 4 > end or depth > MAX_DEPTH:
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
    if at + 4 > end or depth > MAX_DEPTH:
        return BEYOND
    size: i64 = i64(read_i32_be(data, at))
    at += 4
    limit: i64 = at + size
    if size < 0 or limit > end:
        return BEYOND
    while at < limit:
        at = skip_value(data, at, limit, depth)
    return at if at == limit else BEYOND
