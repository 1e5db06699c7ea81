"""Basic properties: the fourteen that a message may have (AMQP 0-9-1 §1.8, class 60).

The hot path passes them on as received; this is for whoever must look at them or build a
message of its own. A text that is not UTF-8 is kept with surrogate escapes, so that octets
survive a change of the other properties.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from amqpd import fields
from amqpd.errors import SyntaxError

if TYPE_CHECKING:
    from amqpd.fields import Table

BASIC_CLASS: Final = 60

_HEADER: Final = struct.Struct(">HHQH")
_LONGLONG: Final = struct.Struct(">Q")


@dataclass(slots=True)
class Properties:
    """The properties in their order on the wire; None is absent, an empty text is present."""

    content_type: str | None = None
    content_encoding: str | None = None
    headers: Table | None = None
    delivery_mode: int | None = None
    priority: int | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    expiration: str | None = None
    message_id: str | None = None
    timestamp: int | None = None
    type: str | None = None
    user_id: str | None = None
    app_id: str | None = None
    cluster_id: str | None = None


#: Name and flag bit, in the order of the wire. All are short strings but four.
_FLAGS: Final = tuple(
    (name, 0x8000 >> place) for place, name in enumerate(Properties.__dataclass_fields__)
)
_OCTETS: Final = frozenset({"delivery_mode", "priority"})
#: Bit 0 announces another word of flags, bit 1 is not used: no property has either.
_RESERVED: Final = 0x0003


def named(properties: Properties) -> Table:
    """Those that are present as a table, by their names, headers as a table within it."""
    table: Table = {}
    for name, _ in _FLAGS:
        value: str | int | Table | None = getattr(properties, name)
        match value:
            case None:
                pass
            case dict():
                table[name] = fields.Field("F", value)
            case int() if name == "timestamp":
                table[name] = fields.Field("T", value)
            case _:
                table[name] = fields.wrap(value)
    return table


def decode_header(payload: bytes) -> tuple[int, int, Properties]:
    """Read the payload of a content header frame: class id, body size, properties.

    Raises:
        SyntaxError: the properties are cut short, go on after the last one, or use
            flags that mean nothing.
    """
    if len(payload) < _HEADER.size:
        raise _malformed("cut short")
    class_id, _weight, body_size, flags = _HEADER.unpack_from(payload)
    if flags & _RESERVED:
        raise _malformed("unknown flags")
    properties = Properties()
    at = _HEADER.size
    for name, flag in _FLAGS:
        if flags & flag:
            value, at = _decode(name, payload, at)
            if at > len(payload):
                raise _malformed("cut short")
            setattr(properties, name, value)
    if at != len(payload):
        raise _malformed(f"{len(payload) - at} octets too many")
    return class_id, body_size, properties


def _decode(name: str, payload: bytes, at: int) -> tuple[str | int | Table, int]:
    """One property and where it ends, which may be beyond the payload."""
    if name == "headers":
        return fields.decode_table(payload, at)
    if at >= len(payload):
        raise _malformed("cut short")
    if name in _OCTETS:
        return payload[at], at + 1
    if name == "timestamp":
        return int.from_bytes(payload[at : at + 8], "big"), at + 8
    end = at + 1 + payload[at]
    return payload[at + 1 : end].decode("utf-8", "surrogateescape"), end


def _malformed(what: str) -> SyntaxError:
    return SyntaxError(f"malformed properties in content header: {what}")


def encode_header(properties: Properties, body_size: int) -> bytes:
    """The payload of a content header frame.

    Raises:
        ValueError: a value does not fit its property.
    """
    flags = 0
    parts = [b""]
    for name, flag in _FLAGS:
        value: str | int | Table | None = getattr(properties, name)
        if value is not None:
            flags |= flag
            parts.append(_encode(name, value))
    parts[0] = _HEADER.pack(BASIC_CLASS, 0, body_size, flags)
    return b"".join(parts)


def _encode(name: str, value: str | int | Table) -> bytes:
    try:
        match value:
            case dict():
                return fields.encode_table(value)
            case int() if name in _OCTETS:
                return bytes((value,))
            case int():
                return _LONGLONG.pack(value)
            case str():
                octets = value.encode("utf-8", "surrogateescape")
                return bytes((len(octets),)) + octets
    except (ValueError, struct.error) as error:
        raise ValueError(f"property {name}: {error}") from error
    raise ValueError(f"property {name}: {value!r} has no form on the wire")
