"""Contents: taking a message apart and putting it together again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpd.broker.content import (
    body,
    body_size,
    build,
    expiration_at,
    first_with,
    header_payload,
    is_sealed,
    restamp,
    seal,
    sizes,
    unseal,
    without,
)
from amqpd.fields import table
from amqpd.properties import Properties, encode_header


def a_header(size: int) -> bytes:
    return b"\x00\x3c\x00\x00" + size.to_bytes(8, "big") + b"\x10\x00\x02"


@given(st.binary(max_size=60), st.integers(9, 30), st.integers(1, 65_535))
def test_what_was_built_comes_apart_again(payload: bytes, frame_max: int, channel: int) -> None:
    header = a_header(len(payload))

    content = build(channel, header, payload, frame_max)

    assert header_payload(content) == header
    assert body(content) == payload
    assert body_size(content) == len(payload)
    assert sizes([content, content], 0, 2) == 2 * len(payload)


@given(st.binary(max_size=60), st.integers(9, 30), st.binary(max_size=20))
def test_what_is_hidden_in_a_header_comes_out_again(
    payload: bytes, frame_max: int, hidden: bytes
) -> None:
    header = a_header(len(payload))
    content = build(7, header, payload, frame_max)

    sealed = seal(content, hidden)

    assert is_sealed(header_payload(sealed))
    assert not is_sealed(header)
    assert unseal(header_payload(sealed)) == (header, hidden)
    assert body(sealed) == payload
    assert body_size(sealed) == len(payload)
    assert sealed[1:3] == content[1:3]


def test_the_first_with_a_mark_among_its_headers_is_found() -> None:
    plain = build(1, a_header(4), b"mark")
    other, marked = (
        build(1, encode_header(Properties(headers=table({name: 1})), 0), b"")
        for name in ("other", "mark")
    )
    contents = [plain, other, marked, plain]

    assert first_with(contents, 0, 4, (b"\x04mark",)) == 2
    assert first_with(contents, 0, 4, (b"\x04none", b"\x04mark")) == 2
    assert first_with(contents, 0, 2, (b"\x04mark",)) == 2
    assert first_with(contents, 3, 4, (b"\x04mark",)) == 4


@pytest.mark.parametrize("channel", [1, 2047, 32_767, 32_768, 65_535])
def test_every_frame_carries_the_channel_number(channel: int) -> None:
    content = build(channel, a_header(3), b"abc", frame_max=10)

    header, first, second = content[:23], content[23:33], content[33:]
    assert header == b"\x02" + channel.to_bytes(2, "big") + b"\0\0\0\x0f" + a_header(3) + b"\xce"
    assert first == b"\x03" + channel.to_bytes(2, "big") + b"\0\0\0\x02ab\xce"
    assert second == b"\x03" + channel.to_bytes(2, "big") + b"\0\0\0\x01c\xce"


def test_an_empty_body_has_no_frame() -> None:
    content = build(1, a_header(0), b"")

    assert len(content) == 8 + len(a_header(0))
    assert body(content) == b""


def test_a_body_that_fits_is_one_frame() -> None:
    content = build(1, a_header(2), b"ab", frame_max=10)

    assert content.endswith(b"\x03\0\1\0\0\0\x02ab\xce")
    assert body(content) == b"ab"


PROPERTIES = st.builds(
    Properties,
    content_type=st.none() | st.text(max_size=5),
    content_encoding=st.none() | st.just(""),
    headers=st.none() | st.builds(lambda value: table({"k": value}), st.integers(0, 9)),
    delivery_mode=st.none() | st.integers(1, 2),
    priority=st.none() | st.integers(0, 255),
    correlation_id=st.none() | st.text(max_size=5),
    reply_to=st.none() | st.just("r"),
    message_id=st.none() | st.text(max_size=5),
    timestamp=st.none() | st.integers(0, 2**63),
    user_id=st.none() | st.just("u"),
)


@given(PROPERTIES, st.sampled_from(["0", "60000", "12345678901"]), st.binary(max_size=20))
def test_contents_are_alike_that_differ_in_their_expiration(
    properties: Properties, expiration: str, payload: bytes
) -> None:
    bare = build(3, encode_header(properties, len(payload)), payload)
    properties.expiration = expiration
    content = build(3, encode_header(properties, len(payload)), payload)
    properties.expiration = "9" * len(expiration)
    other = build(3, encode_header(properties, len(payload)), payload)

    at = expiration_at(content)

    assert expiration_at(bare) == 0
    assert content[at + 1 : at + 1 + content[at]] == expiration.encode()
    assert without(content, at) == without(other, at) != without(bare, 0)
    assert without(bare, 0) == header_payload(bare)[12:]


@given(PROPERTIES, st.binary(max_size=60), st.integers(9, 30))
def test_a_content_is_stamped_with_other_properties(
    properties: Properties, payload: bytes, frame_max: int
) -> None:
    properties.expiration = "77"
    content = build(40_000, encode_header(properties, len(payload)), payload, frame_max)
    header = encode_header(Properties(message_id="12", app_id="a"), len(payload))

    stamped = restamp(content, header[12:15], expiration_at(content), header[17:])
    bare = restamp(content, header[12:], 0, b"")

    assert bare == build(40_000, header, payload, frame_max)
    assert stamped == bare.replace(b"\x0212", b"\x0277", 1)
