"""Basic properties: in the order of the wire, kept as they are, nothing invented."""

from __future__ import annotations

from typing import cast

import pamqp.frame
import pytest
from pamqp import commands, header

from amqpd.amqp import frames
from amqpd.errors import SyntaxError
from amqpd.fields import Field, table
from amqpd.properties import Properties, decode_header, encode_header

ALL = Properties(
    content_type="application/json",
    content_encoding="gzip",
    headers=table({"x-number": 1, "ü": "ü"}),
    delivery_mode=2,
    priority=9,
    correlation_id="correlation",
    reply_to="reply",
    expiration="60000",
    message_id="message",
    timestamp=2**63 + 1,
    type="kind",
    user_id="guest",
    app_id="app",
    cluster_id="cluster",
)
NAMES = list(Properties.__dataclass_fields__)


def test_all_properties_are_read_and_written() -> None:
    payload = encode_header(ALL, 2**40)

    assert decode_header(payload) == (60, 2**40, ALL)


@pytest.mark.parametrize("name", NAMES)
def test_each_property_stands_alone(name: str) -> None:
    properties = Properties()
    setattr(properties, name, getattr(ALL, name))

    payload = encode_header(properties, 1)

    assert decode_header(payload) == (60, 1, properties)
    assert int.from_bytes(payload[12:14], "big") == 0x8000 >> NAMES.index(name)


def test_without_properties_the_header_has_fourteen_octets() -> None:
    assert encode_header(Properties(), 0) == b"\x00\x3c" + bytes(12)


def test_an_empty_text_is_present() -> None:
    properties = Properties(content_type="", headers={})

    assert decode_header(encode_header(properties, 0))[2] == properties


def test_texts_that_are_not_utf_8_survive() -> None:
    payload = encode_header(Properties(), 5)[:12] + b"\x80\x80\x02\xff\xfe\x01\x80"

    _, size, properties = decode_header(payload)

    assert encode_header(properties, size) == payload


def test_pamqp_reads_what_we_write() -> None:
    properties = Properties(
        content_type="a/b", headers=table(k="v"), delivery_mode=2, message_id="m", app_id="app"
    )
    octets = frames.frame(frames.HEADER, 1, encode_header(properties, 77))

    _, channel, found = pamqp.frame.unmarshal(octets)

    assert isinstance(found, header.ContentHeader)
    assert (channel, found.body_size) == (1, 77)
    assert found.properties == commands.Basic.Properties(
        content_type="a/b", headers={"k": "v"}, delivery_mode=2, message_id="m", app_id="app"
    )


@pytest.mark.parametrize("name", NAMES)
def test_properties_that_are_cut_short_are_refused(name: str) -> None:
    properties = Properties()
    setattr(properties, name, getattr(ALL, name))
    payload = encode_header(properties, 1)

    for cut in range(len(payload)):
        with pytest.raises(SyntaxError):
            decode_header(payload[:cut])


@pytest.mark.parametrize("flags", [b"\x00\x01", b"\x00\x02", b"\x80\x03"])
def test_flags_that_mean_nothing_are_refused(flags: bytes) -> None:
    with pytest.raises(SyntaxError, match="malformed properties in content header: unknown flags"):
        decode_header(encode_header(Properties(), 0)[:12] + flags + bytes(20))


def test_octets_after_the_last_property_are_refused() -> None:
    with pytest.raises(SyntaxError, match="2 octets too many"):
        decode_header(encode_header(ALL, 0) + b"ab")


WRONG = [
    Properties(content_type="x" * 256),
    Properties(priority=256),
    Properties(delivery_mode=-1),
    Properties(timestamp=2**64),
    Properties(headers={"k" * 300: Field("V", None)}),
    Properties(priority=cast("int", 1.5)),
]


@pytest.mark.parametrize("properties", WRONG)
def test_values_that_do_not_fit_are_not_written(properties: Properties) -> None:
    with pytest.raises(ValueError, match=r"^property "):
        encode_header(properties, 0)
