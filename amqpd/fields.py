"""Field tables: the typed values in arguments and headers (AMQP 0-9-1 §4.2.5.5).

The dialect is RabbitMQ's where it differs from the specification (`s` is a 16-bit integer,
`x` a byte array). A decoded value keeps its wire tag, so that encoding gives back the octets
that came in; the exceptions are a key that occurs twice, of which the first counts, and `L`, which
py-amqp and Qpid write for `l` and which not every client can read.

Promises: any octets end in a table or in `SyntaxError` (502), in time and memory linear in
their number.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from amqpd.errors import SyntaxError

if TYPE_CHECKING:
    from collections.abc import Callable

#: Tables and arrays within each other; RabbitMQ sets no limit, Python's stack does.
MAX_DEPTH: Final = 32


class Field(NamedTuple):
    """A value with the tag it has on the wire.

    `t` holds a bool, or the octet if it is neither 0 nor 1. `S` holds a str, or bytes where
    they are not UTF-8. `f` holds a float, or four octets for a NaN that a double cannot carry.
    """

    kind: str
    value: FieldValue


FieldValue: TypeAlias = (
    "bool | int | float | Decimal | str | bytes | dict[str, Field] | list[Field] | None"
)
Table: TypeAlias = dict[str, Field]
#: What `wrap` takes and `plain` gives.
Plain: TypeAlias = (
    "bool | int | float | Decimal | str | bytes | Mapping[str, Plain] | Sequence[Plain] | None"
)
Wrappable: TypeAlias = (
    "bool | int | float | Decimal | str | bytes | datetime | Field"
    " | Mapping[str, Wrappable] | Sequence[Wrappable] | None"
)

#: RabbitMQ's words, found in its error texts and in its HTTP API.
TYPE_NAMES: Final[Mapping[str, str]] = {
    "S": "longstr",
    "I": "signedint",
    "i": "unsignedint",
    "l": "long",
    "s": "short",
    "u": "unsignedshort",
    "b": "byte",
    "B": "unsignedbyte",
    "t": "bool",
    "f": "float",
    "d": "double",
    "D": "decimal",
    "T": "timestamp",
    "F": "table",
    "A": "array",
    "x": "binary",
    "V": "void",
}

_INTEGERS: Final[Mapping[str, struct.Struct]] = {
    "b": struct.Struct(">b"),
    "B": struct.Struct(">B"),
    "s": struct.Struct(">h"),
    "u": struct.Struct(">H"),
    "I": struct.Struct(">i"),
    "i": struct.Struct(">I"),
    "l": struct.Struct(">q"),
    "T": struct.Struct(">Q"),
}
_LONG_OF_QPID: Final = ord("L")
_LENGTH: Final = struct.Struct(">I")
_FLOAT: Final = struct.Struct(">f")
_DOUBLE: Final = struct.Struct(">d")
_DECIMAL: Final = struct.Struct(">BI")


def type_name(field: Field) -> str:
    """RabbitMQ's name for the type, as in `invalid arg … {unacceptable_type,longstr}`."""
    return TYPE_NAMES[field.kind]


def decode_table(octets: bytes, at: int = 0) -> tuple[Table, int]:
    """Read the table that starts at `at` with its length; also tells where it ends.

    Raises:
        SyntaxError: it is cut short, has an unknown type or is nested too deeply.
    """
    return _Reader(octets).table(at, len(octets), 1)


_VOID_TAG: Final = ord("V")
_VOID: Final = Field("V", None)


class _Reader:
    """Walks over octets that came from outside: nothing is read beyond the given limit."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def table(self, at: int, limit: int, depth: int) -> tuple[Table, int]:
        octets = self._octets
        at, end = self._extent(at, limit)
        if depth > MAX_DEPTH:
            raise _too_deep()
        table: Table = {}
        while at < end:
            key_end = at + 1 + octets[at]
            if key_end >= end:
                raise _short()
            key = octets[at + 1 : key_end].decode("utf-8", "surrogateescape")
            field, at = self._field(key_end, end, depth)
            table.setdefault(key, field)
        return table, end

    def _array(self, at: int, limit: int, depth: int) -> tuple[list[Field], int]:
        at, end = self._extent(at, limit)
        if depth > MAX_DEPTH:
            raise _too_deep()
        fields: list[Field] = []
        while at < end:
            field, at = self._field(at, end, depth)
            fields.append(field)
        return fields, end

    def _field(self, at: int, limit: int, depth: int) -> tuple[Field, int]:
        tag = self._octets[at]
        kind = "l" if tag == _LONG_OF_QPID else chr(tag)
        integer = _INTEGERS.get(kind)
        if integer is not None:
            end = _within(at + 1 + integer.size, limit)
            number: int = integer.unpack_from(self._octets, at + 1)[0]
            return Field(kind, number), end
        if tag == _VOID_TAG:
            # One for all: nothing else has no octets of its own, and a frame holds 130,000.
            return _VOID, at + 1
        reader = _READERS.get(tag)
        if reader is None:
            raise SyntaxError(f"field table: unknown field type {tag}")
        value, end = reader(self, at + 1, limit, depth + 1)
        return Field(kind, value), end

    def _extent(self, at: int, limit: int) -> tuple[int, int]:
        """Where the content of something that begins with its length starts and ends."""
        start = _within(at + 4, limit)
        length: int = _LENGTH.unpack_from(self._octets, at)[0]
        return start, _within(start + length, limit)

    def _text(self, at: int, limit: int, _depth: int) -> tuple[str | bytes, int]:
        octets, end = self._binary(at, limit, _depth)
        try:
            return octets.decode(), end
        except UnicodeDecodeError:
            return octets, end

    def _binary(self, at: int, limit: int, _depth: int) -> tuple[bytes, int]:
        start, end = self._extent(at, limit)
        return self._octets[start:end], end

    def _bool(self, at: int, limit: int, _depth: int) -> tuple[bool | int, int]:
        end = _within(at + 1, limit)
        octet = self._octets[at]
        return (octet if octet > 1 else octet == 1), end

    def _float(self, at: int, limit: int, _depth: int) -> tuple[float | bytes, int]:
        end = _within(at + 4, limit)
        octets = self._octets[at:end]
        number: float = _FLOAT.unpack(octets)[0]
        return (number if _FLOAT.pack(number) == octets else octets), end

    def _double(self, at: int, limit: int, _depth: int) -> tuple[float, int]:
        end = _within(at + 8, limit)
        number: float = _DOUBLE.unpack_from(self._octets, at)[0]
        return number, end

    def _decimal(self, at: int, limit: int, _depth: int) -> tuple[Decimal, int]:
        end = _within(at + 5, limit)
        scale, unscaled = _DECIMAL.unpack_from(self._octets, at)
        return Decimal((0, tuple(map(int, str(unscaled))), -scale)), end


#: By the octet that says the type. Not bound: a reader that held these would be a cycle, which
#: waits for the garbage collector.
_READERS: Final[Mapping[int, Callable[[_Reader, int, int, int], tuple[FieldValue, int]]]] = {
    ord("S"): _Reader._text,
    ord("x"): _Reader._binary,
    ord("t"): _Reader._bool,
    ord("f"): _Reader._float,
    ord("d"): _Reader._double,
    ord("D"): _Reader._decimal,
    ord("F"): _Reader.table,
    ord("A"): _Reader._array,
}


def _within(end: int, limit: int) -> int:
    if end > limit:
        raise _short()
    return end


def _short() -> SyntaxError:
    return SyntaxError("field table: a value is longer than the table that holds it")


def _too_deep() -> SyntaxError:
    return SyntaxError(f"field table: nested more than {MAX_DEPTH} deep")


def encode_table(table: Mapping[str, Field]) -> bytes:
    """The table with its length in front.

    Raises:
        ValueError: a key or a value does not fit its wire type.
    """
    parts = bytearray()
    for key, field in table.items():
        name = key.encode("utf-8", "surrogateescape")
        if len(name) > 255:
            raise ValueError(f"field table: key {key[:32]!r}… is longer than 255 octets")
        parts.append(len(name))
        parts += name
        parts += encode_field(field)
    return _LENGTH.pack(len(parts)) + parts


def encode_field(field: Field) -> bytes:
    """The tag and the value.

    Raises:
        ValueError: the value does not fit the tag.
    """
    kind, value = field
    try:
        return kind.encode("ascii") + _encode_value(kind, value)
    except (struct.error, TypeError, OverflowError) as error:
        raise ValueError(f"field table: {value!r} is not a {kind!r}: {error}") from error


def _encode_value(kind: str, value: FieldValue) -> bytes:
    integer = _INTEGERS.get(kind)
    if integer is not None:
        return integer.pack(value)
    match kind, value:
        case "S", str():
            return _sized(value.encode("utf-8", "surrogateescape"))
        case (("S" | "x"), bytes()):
            return _sized(value)
        case "t", int():
            return bytes((value,))
        case "V", None:
            return b""
        case "F", dict():
            return encode_table(value)
        case "A", list():
            return _sized(b"".join(map(encode_field, value)))
        case "D", Decimal():
            return _encode_decimal(value)
        case "f", bytes() if len(value) == 4:
            return value
        case "f", _:
            return _FLOAT.pack(value)
        case "d", _:
            return _DOUBLE.pack(value)
    raise TypeError("no such type, or a value of another one")


def _sized(octets: bytes) -> bytes:
    return _LENGTH.pack(len(octets)) + octets


def _encode_decimal(value: Decimal) -> bytes:
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int) or sign:
        raise TypeError("a decimal on the wire is finite and not negative")
    unscaled = int("".join(map(str, digits))) * 10 ** max(exponent, 0)
    return _DECIMAL.pack(max(-exponent, 0), unscaled)


def wrap(value: Wrappable) -> Field:  # noqa: C901 - one line for each type
    """The field for a Python value: integers as `I` where they fit, else `l`.

    Raises:
        ValueError: an integer needs more than 64 bits, or there is no type for the value.
    """
    match value:
        case Field():
            return value
        case None:
            return Field("V", None)
        case bool():
            return Field("t", value)
        case int() if -(1 << 31) <= value < 1 << 31:
            return Field("I", value)
        case int() if -(1 << 63) <= value < 1 << 63:
            return Field("l", value)
        case float():
            return Field("d", value)
        case Decimal():
            return Field("D", value)
        case str():
            return Field("S", value)
        case bytes():
            return Field("x", value)
        case datetime():
            return Field("T", int(value.timestamp()))
        case Mapping():
            return Field("F", table(value))
        case Sequence():
            return Field("A", [wrap(item) for item in value])
    raise ValueError(f"field table: no type for {value!r}")


def table(values: Mapping[str, Wrappable] | None = None, /, **named: Wrappable) -> Table:
    """A table of Python values, given as a mapping, by name or both."""
    wrapped = {key: wrap(value) for key, value in (values or {}).items()}
    wrapped.update((key, wrap(value)) for key, value in named.items())
    return wrapped


def from_json(values: Mapping[str, object], depth: int = 1) -> Table:
    """A table of JSON values; integers become 64-bit ones, as in RabbitMQ.

    Raises:
        ValueError: a name is too long for a table, a number has more than 64 bits, or it is
            nested so deeply that it could not be read again.
    """
    if depth > MAX_DEPTH:
        raise _too_deep_json()
    table: Table = {}
    for name, value in values.items():
        if len(name.encode("utf-8", "surrogatepass")) > 255:
            raise ValueError(f"argument name '{name[:32]}…' is longer than 255 bytes")
        table[name] = _json_field(name, value, depth)
    return table


def _too_deep_json() -> ValueError:
    return ValueError(f"arguments are nested more than {MAX_DEPTH} deep")


def _json_field(name: str, value: object, depth: int) -> Field:
    match value:
        case int() if not isinstance(value, bool):
            if -(1 << 63) <= value < 1 << 63:
                return Field("l", value)
        case Mapping():
            return Field("F", from_json(value, depth + 1))
        case list():
            if depth == MAX_DEPTH:
                raise _too_deep_json()
            return Field("A", [_json_field(name, each, depth + 1) for each in value])
        case None | bool() | float() | str():
            return wrap(value)
    raise ValueError(f"argument '{name}': {value} does not fit into 64 bits")


def plain(field: Field) -> Plain:
    """The value without its type, nested ones as well."""
    value = field.value
    if isinstance(value, dict):
        return plain_table(value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    if field.kind == "t":
        return bool(value)
    if field.kind == "f" and isinstance(value, bytes):
        return float("nan")
    return value


def plain_table(table: Mapping[str, Field]) -> dict[str, Plain]:
    """The values of a table without their types."""
    return {key: plain(field) for key, field in table.items()}
