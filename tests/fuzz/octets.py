"""Writing AMQP without any checks: every value goes on the wire as it is."""

from __future__ import annotations

import struct
from typing import Final

HEADER: Final = b"AMQP\x00\x00\x09\x01"
METHOD: Final = 1
CONTENT: Final = 2
BODY: Final = 3
HEARTBEAT: Final = 8
END: Final = b"\xce"


def short(text: bytes) -> bytes:
    """A short string; longer ones are cut."""
    return bytes([min(len(text), 255)]) + text[:255]


def long(text: bytes) -> bytes:
    """A long string."""
    return struct.pack(">I", len(text)) + text


def table(*entries: tuple[bytes, bytes]) -> bytes:
    """A field table of names and already written values."""
    return long(b"".join(short(name) + value for name, value in entries))


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    """A frame."""
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + END


def method(channel: int, class_id: int, method_id: int, arguments: bytes = b"") -> bytes:
    """A method frame."""
    return frame(METHOD, channel, struct.pack(">HH", class_id, method_id) + arguments)


def content(channel: int, size: int, flags: int = 0, properties: bytes = b"") -> bytes:
    """A content header frame of class basic."""
    return frame(CONTENT, channel, struct.pack(">HHQH", 60, 0, size, flags) + properties)


def start_ok(user: bytes = b"guest", password: bytes = b"guest") -> bytes:
    """Login by PLAIN."""
    properties = table((b"product", b"S" + long(b"fuzz")))
    response = long(b"\0" + user + b"\0" + password)
    return method(0, 10, 11, properties + short(b"PLAIN") + response + short(b"en_US"))


def tune_ok(channel_max: int = 2047, frame_max: int = 131_072) -> bytes:
    """The client's limits; no heartbeat."""
    return method(0, 10, 31, struct.pack(">HIH", channel_max, frame_max, 0))


def handshake() -> list[bytes]:
    """From the protocol header to an open connection."""
    vhost = method(0, 10, 40, short(b"/") + short(b"") + b"\0")
    return [HEADER, start_ok(), tune_ok(), vhost]


CHANNEL_OPEN: Final = short(b"")


def frames_of(octets: bytes) -> list[tuple[int, int, bytes]]:
    """Everything a broker sent, as (type, channel, payload).

    Raises:
        ValueError: it is not a sequence of whole frames.
    """
    found: list[tuple[int, int, bytes]] = []
    at = 0
    while at < len(octets):
        if octets[at : at + 4] == b"AMQP":
            at += 8
            continue
        if len(octets) - at < 8:
            raise ValueError(f"half a frame: {octets[at:].hex()}")
        kind, channel, size = struct.unpack_from(">BHI", octets, at)
        end = at + 7 + size
        if octets[end : end + 1] != END:
            raise ValueError(f"no frame end: {octets[at : at + 40].hex()}")
        found.append((kind, channel, octets[at + 7 : end]))
        at = end + 1
    return found


def close_codes(octets: bytes) -> list[int]:
    """The reply codes of all channel.close and connection.close that a broker sent."""
    codes: list[int] = []
    for kind, _, payload in frames_of(octets):
        if kind == METHOD and payload[:4] in (b"\0\x0a\0\x32", b"\0\x14\0\x28"):
            codes.append(int.from_bytes(payload[4:6]))
    return codes
