"""Frames of AMQP 0-9-1, written and shown: a codec of its own, so that no broker's is tested
against itself. Everything read becomes text in which the types on the wire stay visible.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
END = b"\xce"
PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"

# name: class id, method id, arguments. o octet, s short, l long, q longlong, b bit,
# S short string, L long string, F table.
_METHODS = """
connection.start 10 10 version_major:o version_minor:o server_properties:F mechanisms:L locales:L
connection.start-ok 10 11 client_properties:F mechanism:S response:L locale:S
connection.secure 10 20 challenge:L
connection.secure-ok 10 21 response:L
connection.tune 10 30 channel_max:s frame_max:l heartbeat:s
connection.tune-ok 10 31 channel_max:s frame_max:l heartbeat:s
connection.open 10 40 virtual_host:S reserved_1:S insist:b
connection.open-ok 10 41 known_hosts:S
connection.close 10 50 code:s text:S class:s method:s
connection.close-ok 10 51
connection.blocked 10 60 reason:S
connection.unblocked 10 61
connection.update-secret 10 70 secret:L reason:S
connection.update-secret-ok 10 71
channel.open 20 10 reserved:S
channel.open-ok 20 11 reserved:L
channel.flow 20 20 active:b
channel.flow-ok 20 21 active:b
channel.close 20 40 code:s text:S class:s method:s
channel.close-ok 20 41
access.request 30 10 realm:S exclusive:b passive:b active:b write:b read:b
access.request-ok 30 11 ticket:s
exchange.declare 40 10 ticket:s exchange:S type:S passive:b durable:b auto_delete:b internal:b \
nowait:b arguments:F
exchange.declare-ok 40 11
exchange.delete 40 20 ticket:s exchange:S if_unused:b nowait:b
exchange.delete-ok 40 21
exchange.bind 40 30 ticket:s destination:S source:S routing_key:S nowait:b arguments:F
exchange.bind-ok 40 31
exchange.unbind 40 40 ticket:s destination:S source:S routing_key:S nowait:b arguments:F
exchange.unbind-ok 40 51
queue.declare 50 10 ticket:s queue:S passive:b durable:b exclusive:b auto_delete:b nowait:b \
arguments:F
queue.declare-ok 50 11 queue:S messages:l consumers:l
queue.bind 50 20 ticket:s queue:S exchange:S routing_key:S nowait:b arguments:F
queue.bind-ok 50 21
queue.purge 50 30 ticket:s queue:S nowait:b
queue.purge-ok 50 31 messages:l
queue.delete 50 40 ticket:s queue:S if_unused:b if_empty:b nowait:b
queue.delete-ok 50 41 messages:l
queue.unbind 50 50 ticket:s queue:S exchange:S routing_key:S arguments:F
queue.unbind-ok 50 51
basic.qos 60 10 prefetch_size:l prefetch_count:s global:b
basic.qos-ok 60 11
basic.consume 60 20 ticket:s queue:S consumer_tag:S no_local:b no_ack:b exclusive:b nowait:b \
arguments:F
basic.consume-ok 60 21 consumer_tag:S
basic.cancel 60 30 consumer_tag:S nowait:b
basic.cancel-ok 60 31 consumer_tag:S
basic.publish 60 40 ticket:s exchange:S routing_key:S mandatory:b immediate:b
basic.return 60 50 code:s text:S exchange:S routing_key:S
basic.deliver 60 60 consumer_tag:S delivery_tag:q redelivered:b exchange:S routing_key:S
basic.get 60 70 ticket:s queue:S no_ack:b
basic.get-ok 60 71 delivery_tag:q redelivered:b exchange:S routing_key:S messages:l
basic.get-empty 60 72 reserved:S
basic.ack 60 80 delivery_tag:q multiple:b
basic.reject 60 90 delivery_tag:q requeue:b
basic.recover-async 60 100 requeue:b
basic.recover 60 110 requeue:b
basic.recover-ok 60 111
basic.nack 60 120 delivery_tag:q multiple:b requeue:b
confirm.select 85 10 nowait:b
confirm.select-ok 85 11
tx.select 90 10
tx.select-ok 90 11
tx.commit 90 20
tx.commit-ok 90 21
tx.rollback 90 30
tx.rollback-ok 90 31
"""

#: Names and kinds of a content header's properties, highest flag first.
PROPERTIES = (
    ("content_type", "S"),
    ("content_encoding", "S"),
    ("headers", "F"),
    ("delivery_mode", "o"),
    ("priority", "o"),
    ("correlation_id", "S"),
    ("reply_to", "S"),
    ("expiration", "S"),
    ("message_id", "S"),
    ("timestamp", "q"),
    ("type", "S"),
    ("user_id", "S"),
    ("app_id", "S"),
    ("cluster_id", "S"),
)

_FIXED = {"o": ">B", "s": ">H", "l": ">I", "q": ">Q"}
_FIELDS = {
    "b": ">b", "B": ">B", "s": ">h", "u": ">H", "I": ">i", "i": ">I", "l": ">q", "T": ">Q",
    "f": ">f", "d": ">d", "t": ">?",
}  # fmt: skip


class Typed(NamedTuple):
    """A field value sent with this tag instead of the usual one; bytes are sent as they are."""

    kind: str
    value: Value


Value: TypeAlias = (
    "bool | int | float | str | bytes | Typed | Mapping[str, Value] | Sequence[Value] | None"
)


class Method(NamedTuple):
    """What is known of a method."""

    name: str
    class_id: int
    method_id: int
    arguments: tuple[tuple[str, str], ...]


class Frame(NamedTuple):
    """One frame as read."""

    kind: int
    channel: int
    payload: bytes


def _read_methods() -> dict[str, Method]:
    methods = {}
    for line in _METHODS.strip().splitlines():
        name, class_id, method_id, *rest = line.split()
        arguments = tuple((pair[:-2], pair[-1]) for pair in rest)
        methods[name] = Method(name, int(class_id), int(method_id), arguments)
    return methods


METHODS = _read_methods()
_BY_ID = {(m.class_id, m.method_id): m for m in METHODS.values()}


# -- writing


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    """A frame's octets."""
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + END


def method_payload(name: str, values: Mapping[str, Value]) -> bytes:
    """A method's class, id and arguments; those not given are 0, empty or false."""
    method = METHODS[name]
    unknown = set(values) - {argument for argument, _ in method.arguments}
    if unknown:
        raise ValueError(f"{name} has no {', '.join(unknown)}")
    out = [struct.pack(">HH", method.class_id, method.method_id)]
    bits: list[bool] = []
    for argument, kind in method.arguments:
        if kind == "b":
            bits.append(bool(values.get(argument)))
            continue
        out += _octet_of(bits)
        out.append(encode(kind, values.get(argument)))
    return b"".join(out + _octet_of(bits))


def _octet_of(bits: list[bool]) -> list[bytes]:
    if not bits:
        return []
    octet = sum(bit << place for place, bit in enumerate(bits))
    bits.clear()
    return [bytes([octet])]


def header_payload(
    size: int, properties: Mapping[str, Value], *, class_id: int = 60, weight: int = 0
) -> bytes:
    """A content header."""
    flags, out = 0, b""
    for place, (name, kind) in enumerate(PROPERTIES):
        if name in properties:
            flags |= 0x8000 >> place
            out += encode(kind, properties[name])
    return struct.pack(">HHQH", class_id, weight, size, flags) + out


def encode(kind: str, value: Value) -> bytes:
    """One argument or property."""
    if kind in _FIXED:
        return struct.pack(_FIXED[kind], value or 0)
    if kind == "F":
        return table(value) if isinstance(value, Mapping) else value or bytes(4)  # type: ignore[return-value]
    octets = value.encode() if isinstance(value, str) else value or b""
    assert isinstance(octets, bytes)
    return struct.pack(">B" if kind == "S" else ">I", len(octets)) + octets


def table(values: Mapping[str, Value]) -> bytes:
    """A field table with its length."""
    out = b"".join(encode("S", name) + field(value) for name, value in values.items())
    return struct.pack(">I", len(out)) + out


def field(value: Value) -> bytes:
    """A field value with its tag."""
    kind, value = value if isinstance(value, Typed) else (_usual_kind(value), value)
    if isinstance(value, bytes) and kind not in "Sx":
        return kind.encode() + value
    if kind in _FIELDS:
        return kind.encode() + struct.pack(_FIELDS[kind], value)
    if kind == "A":
        assert isinstance(value, Sequence)
        items = b"".join(field(item) for item in value)
        return b"A" + struct.pack(">I", len(items)) + items
    if kind == "V":
        return b"V"
    return kind.encode() + encode("F" if kind == "F" else "L", value)


def _usual_kind(value: Value) -> str:
    kinds = ((bool, "t"), (int, "I"), (float, "d"), (str, "S"), (bytes, "x"), (Mapping, "F"))
    if value is None:
        return "V"
    return next((kind for type_, kind in kinds if isinstance(value, type_)), "A")


# -- reading


class Reader:
    """Walks over a payload."""

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self.at = 0

    def take(self, size: int) -> bytes:
        """The next octets."""
        piece = self.octets[self.at : self.at + size]
        if len(piece) < size:
            raise ValueError(f"{size} octets wanted, {len(piece)} left")
        self.at += size
        return piece

    def number(self, code: str) -> int | float | bool:
        """The next number in a `struct` format."""
        value: int | float | bool = struct.unpack(code, self.take(struct.calcsize(code)))[0]
        return value

    def string(self, code: str) -> bytes:
        """A string behind its length."""
        return self.take(int(self.number(code)))

    def value(self, kind: str) -> object:
        """One argument or property."""
        if kind in _FIXED:
            return self.number(_FIXED[kind])
        if kind == "F":
            return self.table()
        return text(self.string(">B" if kind == "S" else ">I"))

    def table(self) -> dict[str, str]:
        """A table as `name: tag:value`, in its order."""
        inner, fields = Reader(self.string(">I")), {}
        while inner.at < len(inner.octets):
            name = inner.string(">B").decode()
            fields[name] = inner.field()
        return fields

    def field(self) -> str:
        """A field value as text with its tag."""
        kind = chr(self.take(1)[0])
        if kind in _FIELDS:
            return f"{kind}:{self.number(_FIELDS[kind])}"
        if kind == "V":
            return "V"
        if kind == "F":
            return show_table(self.table())
        if kind == "D":
            return f"D:{self.take(5).hex()}"
        octets = self.string(">I")
        if kind == "A":
            inner, items = Reader(octets), []
            while inner.at < len(octets):
                items.append(inner.field())
            return f"[{', '.join(items)}]"
        return f"{kind}:{text(octets)!r}"


def text(octets: bytes) -> str:
    """Octets as text; those that are not UTF-8 as escapes."""
    return octets.decode("utf-8", "backslashreplace")


def show_table(fields: Mapping[str, str]) -> str:
    """A table as text, sorted: its order means nothing."""
    return "{" + ", ".join(f"{name}={fields[name]}" for name in sorted(fields)) + "}"


def read_method(payload: bytes) -> tuple[str, dict[str, object]]:
    """A method's name and arguments."""
    reader = Reader(payload)
    ids = (int(reader.number(">H")), int(reader.number(">H")))
    if ids not in _BY_ID:
        return f"method {ids}", {}
    method, bit, octet = _BY_ID[ids], 0, 0
    values: dict[str, object] = {}
    for argument, kind in method.arguments:
        if kind == "b":
            if bit == 0:
                octet = reader.take(1)[0]
            values[argument] = octet >> bit & 1
            bit += 1
        else:
            bit = 0
            values[argument] = reader.value(kind)
    return method.name, values


def read_header(payload: bytes) -> tuple[int, dict[str, object]]:
    """The body's size and the properties of a content header."""
    reader = Reader(payload)
    reader.take(4)
    size, flags = int(reader.number(">Q")), int(reader.number(">H"))
    present = [pair for place, pair in enumerate(PROPERTIES) if flags & (0x8000 >> place)]
    return size, {name: reader.value(kind) for name, kind in present}
