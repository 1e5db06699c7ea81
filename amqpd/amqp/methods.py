"""Methods: octets to pamqp's command objects and back.

pamqp supplies the classes, the order and the types of their arguments. Reading is our own,
because here nothing is forgiven: every length is checked, nothing may be left over, texts are
UTF-8. (In basic.publish they need not be, as in RabbitMQ; what is not is kept with surrogate
escapes, so that octets come out as they went in.) So is writing: pamqp refuses names that
RabbitMQ allows.

In a decoded command a `longstr` is always bytes and a `table` always a `fields.Table`;
`octets` and `table` give them with those types.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, cast

from pamqp import commands

from amqpd import fields
from amqpd.amqp import access, frames
from amqpd.errors import FrameError, NotImplementedHere

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pamqp.base import Frame as Command

    from amqpd.fields import Table, Wrappable

_INTEGERS: Final[Mapping[str, struct.Struct]] = {
    "octet": struct.Struct(">B"),
    "short": struct.Struct(">H"),
    "long": struct.Struct(">I"),
    "longlong": struct.Struct(">Q"),
}
#: What stands in front of a text.
_LENGTHS: Final = {"shortstr": _INTEGERS["octet"], "longstr": _INTEGERS["long"]}
_INDEX: Final = struct.Struct(">I")
#: Octets of a method that cannot be decoded; a reply text has room for fewer as numbers.
_SNIPPET: Final = 128

#: Command class by class id << 16 | method id.
_CLASSES: Final[Mapping[int, type[Command]]] = {
    **commands.INDEX_MAPPING,
    access.Request.index: access.Request,
    access.RequestOk.index: access.RequestOk,
}
#: Names and wire types of the arguments of each command class, in order.
_ARGUMENTS: Final[Mapping[int, tuple[tuple[str, str], ...]]] = {
    index: tuple((name, command.amqp_type(name)) for name in command.__slots__)
    for index, command in _CLASSES.items()
}


def index_of(payload: bytes) -> tuple[int, int]:
    """Class id and method id of a method frame's payload."""
    return (payload[0] << 8 | payload[1], payload[2] << 8 | payload[3])


def name(class_id: int, method_id: int) -> str:
    """A method's name as the specification writes it, `basic.publish`; `none` for no method."""
    command = _CLASSES.get(class_id << 16 | method_id)
    return "none" if command is None else command.name.lower()


def decode(payload: bytes) -> Command:
    """The command in the payload of a method frame.

    Raises:
        NotImplementedHere: no such class or method.
        FrameError: arguments cut short, followed by more, or with text that is not UTF-8.
        SyntaxError: a field table is malformed.
    """
    if len(payload) < _INDEX.size:
        raise FrameError("a method frame without a method")
    index: int = _INDEX.unpack_from(payload)[0]
    kind = _CLASSES.get(index)
    if kind is None:
        raise NotImplementedHere(f"unknown method {index & 0xFFFF} of class {index >> 16}")
    command = kind.__new__(kind)
    errors = "surrogateescape" if kind is commands.Basic.Publish else "strict"
    at, bits = _INDEX.size, 0
    for name, wire_type in _ARGUMENTS[index]:
        if wire_type == "bit":
            # Up to eight consecutive bits share an octet (§4.2.5.2).
            if bits % 8 == 0:
                at += 1
            if at > len(payload):
                raise _undecodable(payload)
            setattr(command, name, bool(payload[at - 1] >> bits % 8 & 1))
            bits += 1
        else:
            value, at = _decode_value(wire_type, payload, at, errors)
            setattr(command, name, value)
            bits = 0
    if at != len(payload):
        raise _undecodable(payload)
    return command


def _decode_value(
    wire_type: str, payload: bytes, at: int, errors: str
) -> tuple[int | str | bytes | Table, int]:
    if wire_type == "table":
        return fields.decode_table(payload, at)
    integer = _INTEGERS.get(wire_type) or _LENGTHS[wire_type]
    start = at + integer.size
    if start > len(payload):
        raise _undecodable(payload)
    number: int = integer.unpack_from(payload, at)[0]
    if wire_type in _INTEGERS:
        return number, start
    end = start + number
    if end > len(payload):
        raise _undecodable(payload)
    if wire_type == "longstr":
        return payload[start:end], end
    try:
        return payload[start:end].decode(errors=errors), end
    except UnicodeDecodeError:
        raise FrameError("Malformed UTF-8 in shortstr") from None


def _undecodable(payload: bytes) -> FrameError:
    arguments = payload[_INDEX.size : _INDEX.size + _SNIPPET]
    return FrameError(f"cannot decode <<{','.join(map(str, arguments))}>>")


def table(value: object) -> Table:
    """The `table` argument of a decoded command, with the type that `decode` gave it."""
    assert isinstance(value, dict)
    return cast("Table", value)  # pamqp declares a type of its own for the same attribute


def octets(value: object) -> bytes:
    """The `longstr` argument of a decoded command, with the type that `decode` gave it."""
    assert isinstance(value, bytes)
    return value


def encode(command: Command, channel: int) -> bytes:
    """The method frame of a command; tables may hold fields or Python values.

    Raises:
        ValueError: an argument does not fit its wire type.
    """
    return frames.frame(frames.METHOD, channel, encode_payload(command))


def encode_payload(command: Command) -> bytes:
    """The payload of a command's method frame.

    Raises:
        ValueError: an argument does not fit its wire type.
    """
    parts = [_INDEX.pack(command.index)]
    bits = packed = 0
    for name, wire_type in _ARGUMENTS[command.index]:
        value: object = getattr(command, name)
        if wire_type == "bit":
            packed |= bool(value) << bits
            bits += 1
            continue
        if bits:
            parts.append(bytes((packed,)))
            bits = packed = 0
        parts.append(_encode_value(name, wire_type, value))
    if bits:
        parts.append(bytes((packed,)))
    return b"".join(parts)


def _encode_value(name: str, wire_type: str, value: object) -> bytes:
    try:
        match wire_type, value:
            case "table", (None | dict()):
                return fields.encode_table(fields.table(cast("dict[str, Wrappable] | None", value)))
            case "shortstr", (str() | None):
                return shortstr(value or "")
            case "longstr", (str() | bytes() | None):
                text = value.encode() if isinstance(value, str) else value or b""
                return _INTEGERS["long"].pack(len(text)) + text
            case _, int() if wire_type in _INTEGERS:
                return _INTEGERS[wire_type].pack(value)
    except (ValueError, struct.error) as error:
        raise ValueError(f"argument {name}: {error}") from error
    raise ValueError(f"argument {name}: {value!r} is not a {wire_type}")


def shortstr(text: str) -> bytes:
    """A short string with its length in front.

    Raises:
        ValueError: it has more than 255 octets.
    """
    octets = text.encode("utf-8", "surrogateescape")
    if len(octets) > 255:
        raise ValueError(f"{text[:32]!r}… is longer than 255 octets")
    return bytes((len(octets),)) + octets


def names(exchange: str, routing_key: str) -> bytes:
    """Exchange and routing key in the form in which a message carries them (two short strings)."""
    return shortstr(exchange) + shortstr(routing_key)
