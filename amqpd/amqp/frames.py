"""Frames: what every octet on an AMQP connection is part of (AMQP 0-9-1 §4.2.3).

Cutting and joining of any frame, with the checks and the error texts; the codecs do the same
in their fast paths for the frames of a publish and an ack and come here for all others.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from amqpd.errors import FrameError, UnexpectedFrame

METHOD: Final = 1
HEADER: Final = 2
BODY: Final = 3
HEARTBEAT: Final = 8
END: Final = 0xCE

#: Type, channel, size before and end octet after the payload.
OVERHEAD: Final = 8
#: How much more than negotiated RabbitMQ lets pass: clients that forget the overhead.
TOLERANCE: Final = 8
#: Largest payload where no frame-max was agreed: sizes are handled as signed 32 bits.
UNLIMITED: Final = 0x7FFFFFFF

PROTOCOL_HEADER: Final = b"AMQP\x00\x00\x09\x01"
#: 0-9, served as 0-9-1.
PROTOCOL_HEADER_0_9: Final = b"AMQP\x01\x01\x00\x09"
HEARTBEAT_FRAME: Final = b"\x08\x00\x00\x00\x00\x00\x00\xce"

_HEAD: Final = struct.Struct(">BHI")
#: Shortest payload of each type (class and method; class, weight and body size).
_MINIMUM: Final = {METHOD: 4, HEADER: 12, BODY: 0, HEARTBEAT: 0}
_SNIPPET: Final = 16


class Frame(NamedTuple):
    """A whole and well-formed frame; `end` is where the next one starts."""

    kind: int
    channel: int
    payload: bytes
    end: int


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    """The frame around a payload."""
    return b"%b%b\xce" % (_HEAD.pack(kind, channel, len(payload)), payload)


def payload_limit(frame_max: int) -> int:
    """Largest payload to accept under a frame-max; 0 is no limit."""
    return frame_max - OVERHEAD + TOLERANCE if frame_max else UNLIMITED


def missing(octets: bytes, at: int, frame_max: int) -> int:
    """How many octets the frame at `at` still lacks, as far as is known; 0 if it is whole.

    Raises:
        FrameError: it is larger than allowed or has no end octet; where the next frame
            starts is then unknown.
    """
    have = len(octets) - at
    if have < OVERHEAD - 1:
        return OVERHEAD - have
    kind, _, size = _HEAD.unpack_from(octets, at)
    if size > payload_limit(frame_max):
        raise FrameError(
            f"type {kind}, all octets = <<>>: "
            f"{{frame_too_large,{size},{max(frame_max, OVERHEAD) - OVERHEAD}}}"
        )
    lack: int = OVERHEAD + size - have
    if lack > 0:
        return lack
    end = at + OVERHEAD - 1 + size
    if octets[end] != END:
        reason = f"{{invalid_frame_end_marker,{octets[end]}}}"
        raise FrameError(_described(kind, octets[at + OVERHEAD - 1 : end], reason))
    return 0


def cut(octets: bytes, at: int) -> Frame:
    """The frame at `at`, which must be whole (`missing` says 0).

    Raises:
        FrameError: unknown type, or too short or too long for its type.
        UnexpectedFrame: heartbeat, header or body on a channel that cannot have it.
    """
    kind, channel, size = _HEAD.unpack_from(octets, at)
    start = at + OVERHEAD - 1
    end = start + size
    payload = octets[start:end]
    if size < _MINIMUM.get(kind, UNLIMITED) or (kind == HEARTBEAT and size):
        raise FrameError(_described(kind, payload, "unknown_frame"))
    if (kind in (HEADER, BODY) and channel == 0) or (kind == HEARTBEAT and channel):
        raise UnexpectedFrame(_described(kind, payload))
    return Frame(kind, channel, payload, end + 1)


def _described(kind: int, payload: bytes, reason: str = "") -> str:
    """RabbitMQ's words for a frame it does not like."""
    which = "all" if len(payload) <= _SNIPPET else f"first {_SNIPPET}"
    text = f"type {kind}, {which} octets = {_erlang(payload[:_SNIPPET])}"
    return f"{text}: {reason}" if reason else text


def _erlang(octets: bytes) -> str:
    """Octets as Erlang prints a binary: a string if it can be read, else numbers."""
    if octets and all(32 <= octet < 127 and octet not in b'"\\' for octet in octets):
        return f'<<"{octets.decode("ascii")}">>'
    return f"<<{','.join(map(str, octets))}>>"
