"""Contents: taking a message apart and putting it together again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpd.broker.content import (
    body,
    body_size,
    build,
    first_with,
    header_payload,
    is_sealed,
    seal,
    sizes,
    unseal,
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
