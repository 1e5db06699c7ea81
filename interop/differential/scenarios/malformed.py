"""Frames that are wrong, and contents whose frames come in a wrong order."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import wire
from script import Script, register, scenario

if TYPE_CHECKING:
    from collections.abc import Mapping

    from script import Scenario

PUBLISH = (1, wire.method_payload("basic.publish", {"routing_key": "q"}))
GET = (1, wire.method_payload("basic.get", {"queue": "q", "no_ack": True}))


def header(size: int, **other: int) -> tuple[int, bytes]:
    """A content header."""
    return 2, wire.header_payload(size, {}, **other)


def properties(flags: int, octets: bytes = b"") -> tuple[int, bytes]:
    """A content header with these flags, and this behind them."""
    return 2, struct.pack(">HHQH", 60, 0, 0, flags) + octets


def method(name: str, cut: int = 0, more: bytes = b"") -> tuple[int, bytes]:
    """A method cut short, or with something behind it."""
    payload = wire.method_payload(name, {})
    return 1, payload[: len(payload) - cut] + more


def declare(table: bytes) -> tuple[int, bytes]:
    """A queue.declare with this as its table, length included."""
    return 1, struct.pack(">HHH", 50, 10, 0) + b"\x01q\x04" + table


#: Frames on an open channel with a queue `q`.
FRAMES: Mapping[str, tuple[tuple[int, bytes], ...]] = {
    "header_alone": (header(0),),
    "body_alone": ((3, b"x"),),
    "method_for_header": (PUBLISH, GET),
    "body_for_header": (PUBLISH, (3, b"x")),
    "method_for_body": (PUBLISH, header(3), GET),
    "header_for_body": (PUBLISH, header(3), header(3)),
    "header_of_class": (PUBLISH, header(0, class_id=10)),
    "header_weight": (PUBLISH, header(0, weight=1), GET),
    "body_too_long": (PUBLISH, header(3), (3, b"four")),
    "body_in_pieces": (PUBLISH, header(3), (3, b"a"), (3, b""), (3, b"bc"), GET),
    "body_empty_frame": (PUBLISH, header(0), (3, b""), GET),
    "body_of_600_mib": (PUBLISH, header(600 * 2**20)),
    "header_short": (PUBLISH, (2, b"\0\x3c\0\0")),
    "properties_cut": (PUBLISH, properties(0x8000, b"\x05ab"), GET),
    "properties_trailing": (PUBLISH, properties(0x8000, b"\x01ab"), GET),
    "properties_flag_reserved": (PUBLISH, properties(0x0002), GET),
    "properties_flags_continued": (PUBLISH, properties(0x0001, b"\0\0"), GET),
    "properties_table_bad": (PUBLISH, properties(0x2000, b"\0\0\0\x03\x01aZ"), GET),
    "method_unknown": ((1, struct.pack(">HH", 60, 99)),),
    "class_unknown": ((1, struct.pack(">HH", 99, 10)),),
    "method_of_two_octets": ((1, b"\0\x3c"),),
    "method_empty": ((1, b""),),
    "arguments_short": (method("queue.delete", cut=2),),
    "arguments_long": (method("queue.delete", more=b"xx"),),
    "shortstr_cut": ((1, struct.pack(">HHH", 50, 40, 0) + b"\x09q"),),
    "shortstr_not_utf8": ((1, struct.pack(">HHH", 50, 40, 0) + b"\x02\xff\xfe\0"),),
    "table_type_unknown": (declare(b"\0\0\0\x03\x01aZ"),),
    "table_cut": (declare(b"\0\0\0\x20\x01a"),),
    "table_key_twice": (
        declare(wire.table({"x-max-length": 1, "x-expires": 60_000})),
        (1, wire.method_payload("queue.declare", {"queue": "q", "passive": True})),
    ),
    "frame_type_unknown": ((7, b"x"),),
    "frame_type_zero": ((0, b""),),
    "heartbeat_on_channel": ((8, b""),),
    "ack_cut": (method("basic.ack", cut=1),),
    "publish_cut": (method("basic.publish", cut=1),),
    "publish_long": (method("basic.publish", more=b"x"), header(0)),
}


def _frames(name: str, frames: tuple[tuple[int, bytes], ...]) -> Scenario:
    def send(s: Script) -> None:
        c = s.channel()
        c.queue()
        c.frames(*frames, what=name)
        c.read()

    return send


for _name, _sent in FRAMES.items():
    register(f"frames_{_name}", _frames(_name, _sent))


OCTETS: Mapping[str, bytes] = {
    "end_marker": wire.frame(1, 0, wire.method_payload("channel.open", {}))[:-1] + b"\0",
    "too_large": struct.pack(">BHI", 1, 1, 131_073) + bytes(131_073) + b"\xce",
    "tolerated_length": struct.pack(">BHI", 3, 1, 131_072) + bytes(131_072) + b"\xce",
    "huge": struct.pack(">BHI", 1, 1, 2**32 - 1),
    "header_on_zero": wire.frame(2, 0, wire.header_payload(0, {})),
    "body_on_zero": wire.frame(3, 0, b"x"),
    "heartbeat": wire.frame(8, 0, b""),
    "heartbeat_payload": wire.frame(8, 0, b"\x01"),
    "queue_method_on_zero": wire.frame(1, 0, wire.method_payload("queue.declare", {})),
    "protocol_header_again": wire.PROTOCOL_HEADER,
}


def _octets(name: str, octets: bytes) -> Scenario:
    def send(s: Script) -> None:
        connection = s.connect()
        connection.octets(name, octets)
        connection.read()
        # RabbitMQ waits three seconds before it closes after some of these.
        if connection.closing:
            connection.linger(4.0)

    return send


for _name, _raw in OCTETS.items():
    register(f"octets_{_name}", _octets(_name, _raw))


@scenario
def contents_of_two_channels_interleaved(s: Script) -> None:
    connection = s.connect()
    c, other = connection.channel(), connection.channel()
    c.queue("q")
    other.queue("r")
    to_the_other = (1, wire.method_payload("basic.publish", {"routing_key": "r"}))
    frames = (
        (1, PUBLISH),
        (2, to_the_other),
        (1, header(2)),
        (2, header(2)),
        (2, (3, b"2")),
        (1, (3, b"1")),
        (1, (3, b"a")),
        (2, (3, b"b")),
    )
    octets = b"".join(wire.frame(kind, channel, octets) for channel, (kind, octets) in frames)
    connection.octets("two messages, interleaved", octets)
    connection.read()
    c.drain("q", "r")


@scenario
def channel_closed_within_content(s: Script) -> None:
    connection = s.connect()
    c = connection.channel()
    c.queue()
    c.frames(PUBLISH, header(5), (3, b"ab"), what="half a message")
    c.call("channel.close", code=200)
