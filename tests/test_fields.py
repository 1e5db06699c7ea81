"""Field tables: typed, exact, and never trusting a length."""

from __future__ import annotations

import gc
import math
import struct
from datetime import UTC, datetime
from decimal import Decimal

import pamqp.decode
import pytest

from amqpd.errors import SyntaxError
from amqpd.fields import (
    MAX_DEPTH,
    TYPE_NAMES,
    Field,
    FieldValue,
    Table,
    Wrappable,
    decode_table,
    encode_field,
    encode_table,
    plain,
    plain_table,
    table,
    type_name,
    wrap,
)

EVERY_TYPE: dict[str, tuple[Field, bytes]] = {
    "bool": (Field("t", True), b"t\x01"),
    "byte": (Field("b", -128), b"b\x80"),
    "unsignedbyte": (Field("B", 255), b"B\xff"),
    "short": (Field("s", -2), b"s\xff\xfe"),
    "unsignedshort": (Field("u", 65535), b"u\xff\xff"),
    "signedint": (Field("I", -1), b"I\xff\xff\xff\xff"),
    "unsignedint": (Field("i", 2**32 - 1), b"i\xff\xff\xff\xff"),
    "long": (Field("l", -(2**63)), b"l\x80" + bytes(7)),
    "float": (Field("f", 0.5), b"f" + struct.pack(">f", 0.5)),
    "double": (Field("d", 0.1), b"d" + struct.pack(">d", 0.1)),
    "decimal": (Field("D", Decimal("3.14")), b"D\x02\x00\x00\x01\x3a"),
    "longstr": (Field("S", "größe"), b"S\x00\x00\x00\x07gr\xc3\xb6\xc3\x9fe"),
    "binary": (Field("x", b"\x00\xff"), b"x\x00\x00\x00\x02\x00\xff"),
    "array": (Field("A", [Field("t", False), Field("V", None)]), b"A\x00\x00\x00\x03t\x00V"),
    "timestamp": (Field("T", 2**63), b"T\x80" + bytes(7)),
    "table": (Field("F", {"k": Field("b", 1)}), b"F\x00\x00\x00\x04\x01kb\x01"),
    "void": (Field("V", None), b"V"),
}


def in_a_table(value: bytes) -> bytes:
    return (len(value) + 2).to_bytes(4, "big") + b"\x01k" + value


@pytest.mark.parametrize(("field", "octets"), EVERY_TYPE.values(), ids=EVERY_TYPE.keys())
def test_every_type_is_read_and_written(field: Field, octets: bytes) -> None:
    whole = in_a_table(octets)

    found, end = decode_table(b"before" + whole + b"after", 6)

    assert found == {"k": field}
    assert end == 6 + len(whole)
    assert type(found["k"].value) is type(field.value)
    assert encode_table(found) == whole


def test_types_have_the_names_rabbitmq_gives_them() -> None:
    assert {type_name(field): field.kind for field, _ in EVERY_TYPE.values()} == {
        name: kind for kind, name in TYPE_NAMES.items()
    }
    assert set(EVERY_TYPE) == set(TYPE_NAMES.values())


@pytest.mark.parametrize(
    "octets",
    [
        b"t\x02",
        b"S\x00\x00\x00\x02\xff\xfe",
        b"f\x7f\x80\x00\x01",
        b"f\x7f\xc0\x00\x01",
        b"d\x7f\xf0\x00\x00\x00\x00\x00\x01",
        b"d\x80\x00\x00\x00\x00\x00\x00\x00",
        b"D\xff\xff\xff\xff\xff",
        b"D\x00\x00\x00\x00\x00",
        b"D\x05\x00\x00\x00\x00",
        b"D\x01\x00\x00\x00\x0a",
    ],
)
def test_odd_values_survive_unchanged(octets: bytes) -> None:
    found, _ = decode_table(in_a_table(octets))

    assert encode_table(found) == in_a_table(octets)


def test_texts_that_are_not_utf_8_are_octets_and_keys_are_kept() -> None:
    octets = b"\x00\x00\x00\x0a\x02\xff\xfeS\x00\x00\x00\x01\xff\x00V"[:16]
    octets = (12).to_bytes(4, "big") + b"\x02\xff\xfeS\x00\x00\x00\x01\xff" + b"\x01aV"

    found, _ = decode_table(octets)

    assert [field.value for field in found.values()] == [b"\xff", None]
    assert encode_table(found) == octets


def test_texts_with_surrogate_escapes_become_the_octets_that_they_were() -> None:
    assert encode_table({"k": Field("S", "\udcffa")}) == encode_table({"k": Field("S", b"\xffa")})


def test_of_a_key_that_occurs_twice_the_first_counts() -> None:
    found, _ = decode_table(b"\x00\x00\x00\x08\x01kb\x01\x01kb\x02")

    assert found == {"k": Field("b", 1)}


def test_an_empty_table_is_four_octets() -> None:
    assert decode_table(bytes(4)) == ({}, 4)
    assert encode_table({}) == bytes(4)


SHORT = [octets for _, octets in EVERY_TYPE.values() if len(octets) > 1]


@pytest.mark.parametrize("octets", SHORT, ids=lambda octets: chr(octets[0]))
def test_every_length_is_checked(octets: bytes) -> None:
    for cut in range(1, len(octets)):
        with pytest.raises(SyntaxError, match="longer than the table"):
            decode_table(in_a_table(octets[:cut]) + octets[cut:])


@pytest.mark.parametrize(
    "octets",
    [b"", b"\x00\x00\x00", b"\x00\x00\x00\x01", b"\xff\xff\xff\xff\x01k", in_a_table(b"")],
    ids=["nothing", "half a length", "no content", "huge", "no value"],
)
def test_a_table_that_is_cut_short_is_refused(octets: bytes) -> None:
    with pytest.raises(SyntaxError, match="longer than the table"):
        decode_table(octets)


def test_a_key_over_the_end_is_refused() -> None:
    with pytest.raises(SyntaxError):
        decode_table(b"\x00\x00\x00\x02\x05k" + bytes(10))


def test_py_amqps_large_integers_are_longs() -> None:
    found, end = decode_table(in_a_table(b"L" + (1 << 40).to_bytes(8, "big")))

    assert found == {"k": Field("l", 1 << 40)}
    assert decode_table(in_a_table(b"L" + b"\xff" * 8))[0] == {"k": Field("l", -1)}
    assert decode_table(encode_table(found)) == (found, end)


def test_unknown_types_are_refused() -> None:
    with pytest.raises(SyntaxError, match="unknown field type 90"):
        decode_table(in_a_table(b"Z"))


def nested(depth: int, kind: str) -> bytes:
    octets = b"V"
    for _ in range(depth - 1):
        inner = b"\x01k" + octets if kind == "F" else octets
        octets = kind.encode() + len(inner).to_bytes(4, "big") + inner
    return in_a_table(octets)


@pytest.mark.parametrize("kind", ["F", "A"])
def test_depth_is_limited(kind: str) -> None:
    decode_table(nested(MAX_DEPTH, kind))

    with pytest.raises(SyntaxError, match="nested more than 32 deep"):
        decode_table(nested(MAX_DEPTH + 1, kind))
    with pytest.raises(SyntaxError, match="nested more than 32 deep"):
        decode_table(nested(5000, kind))


WRAPPED: list[tuple[Wrappable, Field]] = [
    (None, Field("V", None)),
    (True, Field("t", True)),
    (0, Field("I", 0)),
    (2**31 - 1, Field("I", 2**31 - 1)),
    (2**31, Field("l", 2**31)),
    (-(2**31) - 1, Field("l", -(2**31) - 1)),
    (1.5, Field("d", 1.5)),
    (Decimal("1.5"), Field("D", Decimal("1.5"))),
    ("text", Field("S", "text")),
    (b"octets", Field("x", b"octets")),
    (datetime(1970, 1, 2, tzinfo=UTC), Field("T", 86400)),
    (["a", 1], Field("A", [Field("S", "a"), Field("I", 1)])),
    ({"k": {"l": True}}, Field("F", {"k": Field("F", {"l": Field("t", True)})})),
    (Field("u", 1), Field("u", 1)),
]


@pytest.mark.parametrize(("value", "field"), WRAPPED)
def test_python_values_get_the_type_clients_expect(value: Wrappable, field: Field) -> None:
    assert wrap(value) == field


def test_tables_are_made_of_mappings_and_names() -> None:
    made = table({"x-a": 1}, b="text")

    assert made == {"x-a": Field("I", 1), "b": Field("S", "text")}
    assert table() == {}


def test_integers_beyond_64_bits_have_no_type() -> None:
    with pytest.raises(ValueError, match="no type"):
        wrap(2**63)


def test_plain_values_have_no_types() -> None:
    fields: Table = {
        "bool": Field("t", 5),
        "nan": Field("f", b"\x7f\x80\x00\x01"),
        "list": Field("A", [Field("I", 1), Field("F", {"k": Field("S", b"\xff")})]),
        "time": Field("T", 1),
    }

    found = plain_table(fields)

    nan = found.pop("nan")
    assert isinstance(nan, float)
    assert math.isnan(nan)
    assert found == {"bool": True, "list": [1, {"k": b"\xff"}], "time": 1}
    assert plain(Field("V", None)) is None


WRONG: list[tuple[str, FieldValue]] = [
    ("b", 128),
    ("B", -1),
    ("I", 2**31),
    ("t", 256),
    ("I", "text"),
    ("S", 5),
    ("V", 1),
    ("F", []),
    ("A", {}),
    ("f", 1e300),
    ("d", "x"),
    ("f", b"12345"),
    ("D", Decimal(-1)),
    ("D", Decimal("NaN")),
    ("D", Decimal(2**32)),
    ("Z", 1),
    ("ß", 1),
]


@pytest.mark.parametrize(("kind", "value"), WRONG)
def test_values_that_do_not_fit_their_type_are_not_written(kind: str, value: FieldValue) -> None:
    with pytest.raises(ValueError, match=r"."):
        encode_field(Field(kind, value))


def test_decimals_with_a_positive_exponent_are_written_out() -> None:
    assert encode_field(Field("D", Decimal("1E+3"))) == b"D\x00\x00\x00\x03\xe8"


def test_keys_have_at_most_255_octets() -> None:
    encode_table({"k" * 255: Field("V", None)})

    with pytest.raises(ValueError, match="longer than 255"):
        encode_table({"ü" * 128: Field("V", None)})


def test_pamqp_reads_what_we_write() -> None:
    fields = table(
        {"text": "ü", "number": -5, "large": 2**40, "list": [True, None], "in": {"d": 0.5}}
    )

    _, found = pamqp.decode.field_table(encode_table(fields))

    assert found == plain_table(fields)


def test_reading_leaves_nothing_to_the_garbage_collector() -> None:
    octets = encode_table({"text": Field("S", "a"), "table": Field("F", {"k": Field("t", True)})})
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            decode_table(octets, 0)
        assert gc.collect() == 0
    finally:
        gc.enable()
