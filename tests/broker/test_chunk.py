"""Chunks: messages of a stream carry their offset, and nothing else of them changes."""

from __future__ import annotations

import pytest

from amqpd.broker.chunk import LARGE, SMALL, UNKNOWN, header_text, stamp
from amqpd.broker.content import body, build, header_payload
from amqpd.broker.run import Run
from amqpd.fields import Field, Table, wrap
from amqpd.properties import Properties, decode_header, encode_header

KEY = b"\x15x-stream-filter-value"


def a_content(properties: Properties, payload: bytes = b"body", channel: int = 1) -> bytes:
    return build(channel, encode_header(properties, len(payload)), payload)


def a_run(*contents: bytes, channel: int = 1) -> Run:
    return Run(list(contents), b"\x01x\x01k", None, False, channel, sum(map(len, contents)))


def stamped(properties: Properties, offset: int = 7) -> tuple[int, Properties, bytes]:
    content = stamp(a_run(a_content(properties)), offset).contents[0]
    _, size, found = decode_header(header_payload(content))
    return size, found, body(content)


@pytest.mark.parametrize(
    "properties",
    [
        Properties(),
        Properties(headers={}),
        Properties(headers={"a": wrap("b"), "n": wrap(1)}),
        Properties(content_type="text/plain", content_encoding="gzip"),
        Properties(content_type="t", headers={"a": wrap("b")}, delivery_mode=2, priority=3),
        Properties(content_encoding="e", delivery_mode=1, message_id="m", timestamp=5),
        Properties(cluster_id="c", app_id="a", user_id="u", type="t", expiration="1"),
        Properties(headers={"t": wrap({"in": [1, "x"]})}),
    ],
    ids=lambda properties: ",".join(
        name for name in Properties.__dataclass_fields__ if getattr(properties, name) is not None
    ),
)
def test_a_message_gets_its_offset_before_its_other_headers(properties: Properties) -> None:
    size, found, payload = stamped(properties)

    others: Table = properties.headers or {}
    assert list((found.headers or {}).items()) == [
        ("x-stream-offset", Field("l", 7)),
        *others.items(),
    ]
    properties.headers = found.headers
    assert found == properties
    assert (size, payload) == (4, b"body")


@pytest.mark.parametrize("octets", [SMALL - 1, SMALL, SMALL + 1, LARGE - 1, LARGE, LARGE + 1])
def test_messages_of_every_size_get_their_offset(octets: int) -> None:
    properties = Properties(content_type="t", headers={"a": wrap("b")}, message_id="m")
    payload = bytes(number & 0xFF for number in range(octets))
    less = len(a_content(properties, payload)) - octets
    content = a_content(properties, payload[less:])
    assert len(content) == octets

    stamped = stamp(a_run(content), 7).contents[0]

    _, size, found = decode_header(header_payload(stamped))
    assert found.headers == {"x-stream-offset": Field("l", 7), "a": wrap("b")}
    assert found.message_id == "m"
    assert size == octets - less
    assert body(stamped) == payload[less:]


def test_an_offset_that_a_message_brings_along_is_replaced() -> None:
    headers = {"a": wrap(1), "x-stream-offset": Field("I", 1), "z": wrap(2)}

    _, found, payload = stamped(Properties(headers=headers, content_type="c"), 1 << 40)

    assert found.headers == {"x-stream-offset": Field("l", 1 << 40), "a": wrap(1), "z": wrap(2)}
    assert found.content_type == "c"
    assert payload == b"body"


def test_a_value_that_looks_like_the_offset_stays() -> None:
    inner = wrap({"x-stream-offset": 1})

    _, found, _ = stamped(Properties(headers={"inner": inner}))

    assert found.headers == {"x-stream-offset": Field("l", 7), "inner": inner}


def test_offsets_count_up_and_names_stay() -> None:
    run = a_run(*[a_content(Properties(), b"%d" % n) for n in range(3)])
    run.names_each = [b"\0\1a", b"\0\1b", b"\0\1c"]

    result = stamp(run, 10)

    headers = [decode_header(header_payload(one))[2].headers for one in result.contents]
    assert headers == [{"x-stream-offset": Field("l", n)} for n in (10, 11, 12)]
    assert [body(one) for one in result.contents] == [b"0", b"1", b"2"]
    assert result.names_each == run.names_each
    assert result.size_bytes == sum(map(len, result.contents))
    assert result.persistent


@pytest.mark.parametrize("size", [0, 10, 5000, 300_000])
def test_all_frames_of_a_message_get_the_streams_channel(size: int) -> None:
    payload = bytes(range(250)) * (size // 250)
    content = a_content(Properties(delivery_mode=2), payload, channel=40_000)

    result = stamp(a_run(content, channel=40_000), 0)

    assert result.channel == 1
    assert (
        result.contents[0]
        == stamp(a_run(a_content(Properties(delivery_mode=2), payload)), 0).contents[0]
    )
    assert body(result.contents[0]) == payload


def test_the_published_run_is_left_as_it_is() -> None:
    content = a_content(Properties())
    run = a_run(content)

    stamp(run, 3)

    assert run.contents == [content]


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        (None, None),
        ({}, None),
        ({"other": wrap("x")}, None),
        ({"x-stream-filter-value": wrap("a")}, b"a"),
        ({"x-stream-filter-value": wrap("")}, b""),
        (
            {"n": wrap(1), "l": Field("l", 1), "t": wrap(True), "x-stream-filter-value": wrap("a")},
            b"a",
        ),
        ({"d": wrap(1.5), "T": Field("T", 5), "x-stream-filter-value": wrap("a")}, b"a"),
        ({"x-stream-filter-value": wrap(1)}, UNKNOWN),
        ({"x-stream-filter-value": wrap({"a": 1})}, UNKNOWN),
        ({"in": wrap({"a": 1}), "x-stream-filter-value": wrap("a")}, UNKNOWN),
        ({"in": wrap({"x-stream-filter-value": "a"})}, UNKNOWN),
        ({"text": wrap("\x15x-stream-filter-valueS\0\0\0\1a")}, None),
    ],
)
def test_a_header_that_is_text_is_found_without_decoding(
    headers: Table | None, found: bytes | None
) -> None:
    content = a_content(Properties(content_type="c", headers=headers, content_encoding="e"))

    assert header_text(content, KEY) == found
    assert header_text(stamp(a_run(content), 5).contents[0], KEY) == found


def test_the_body_is_no_header() -> None:
    content = a_content(Properties(headers={"a": wrap(1)}), KEY + b"S\0\0\0\1a")

    assert header_text(content, KEY) is None
