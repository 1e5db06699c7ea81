"""Any octets in any pieces: both codecs understand the same, and what pamqp understands."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pamqp.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import body, commands, header

from amqpd import fields
from amqpd.amqp import codec as native
from amqpd.amqp import codec_pure, frames, methods
from amqpd.amqp.classify import CLOSER_LOOK, PERSISTENT, PRIORITY, classify
from amqpd.errors import AmqpError, SyntaxError
from amqpd.properties import Properties, decode_header, encode_header
from tests.amqp.recorder import FRAME_MAX, Recorder, a_content, a_publish, an_ack, body_of, cut_all
from tests.properties.streams import (
    CHANGES,
    COMMON,
    PROPERTIES,
    TABLES,
    any_command,
    cut,
    damaged,
    streams,
)

if TYPE_CHECKING:
    from pamqp.base import Frame as Command

    from amqpd.amqp.gathering import Route
    from amqpd.amqp.wire import Codec

CODECS: list[Codec] = [native, codec_pure]
#: Two messages with bodies in one frame that wait for their ends, and what they wait for.
MOST_HELD = 64 * 1024


class Reading(Recorder):
    """Reads everything it is given; whatever is wrong with it must be an AmqpError."""

    def special(self, route: Route, content: bytes) -> None:
        super().special(route, content)
        decode_header(cut_all(content)[0].payload)

    def content(self, channel: int, method_payload: bytes, content: bytes) -> None:
        super().content(channel, method_payload, content)
        methods.decode(method_payload)
        decode_header(cut_all(content)[0].payload)

    def method(self, channel: int, payload: bytes) -> None:
        super().method(channel, payload)
        methods.decode(payload)


def understood(codec: Codec, pieces: list[bytes]) -> tuple[Recorder, list[object]]:
    """What a session hears, and the errors it sees, until nothing more is whole."""
    session = Reading()
    parser = codec.Parser(session, FRAME_MAX)
    parser.max_message_bytes = 5000
    errors: list[object] = []
    for piece in pieces:
        part: bytes | None = piece
        while part is not None:
            try:
                parser.feed(part)
            except AmqpError as error:
                errors.append((type(error), error.explanation))
                part = b""
            else:
                part = None
        assert parser.held_bytes < MOST_HELD
    return session, errors


@given(st.data(), streams())
def test_both_codecs_tell_the_same(data: st.DataObject, stream: bytes) -> None:
    pieces = data.draw(cut(stream))

    one, one_errors = understood(native, pieces)
    other, other_errors = understood(codec_pure, pieces)

    assert one.log == other.log
    assert one_errors == other_errors
    for channel, count in one.counts.items():
        assert other.counts[channel].published == count.published


@given(st.data(), damaged(streams()) | st.binary() | streams().map(lambda stream: stream[3:]))
def test_any_octets_end_in_frames_or_in_amqp_errors(data: st.DataObject, stream: bytes) -> None:
    pieces = data.draw(cut(stream))

    one, one_errors = understood(native, pieces)
    other, other_errors = understood(codec_pure, pieces)

    assert one.log == other.log
    assert one_errors == other_errors


@pytest.mark.parametrize("codec", CODECS, ids=["native", "pure"])
@given(data=st.data(), stream=streams())
def test_pieces_never_matter(codec: Codec, data: st.DataObject, stream: bytes) -> None:
    pieces = data.draw(cut(stream))

    whole, errors = understood(codec, [stream])
    parts, parts_errors = understood(codec, pieces)

    assert errors == parts_errors
    assert whole.queues == parts.queues
    for kind in ("content", "method", "reject", "nack", "too large", "heartbeat", "special"):
        assert [event for event in whole.log if event[0] == kind] == [
            event for event in parts.log if event[0] == kind
        ]
    assert acked(whole) == acked(parts)
    for channel, count in whole.counts.items():
        assert parts.counts[channel].published == count.published


def acked(session: Recorder) -> list[object]:
    """All acks, single ones one by one."""
    found: list[object] = []
    for event in session.log:
        if event[0] == "ack":
            _, channel, first, last, multiple = event
            assert isinstance(first, int)
            assert isinstance(last, int)
            tags = [last] if multiple else range(first, last + 1)
            found += [(channel, tag, multiple) for tag in tags]
    return sorted(found, key=str)


@pytest.mark.parametrize("codec", CODECS, ids=["native", "pure"])
@given(stream=streams(COMMON, ["a", "b", "ab", "a."]))
def test_pamqp_understands_the_same(codec: Codec, stream: bytes) -> None:
    session = Recorder()
    codec.Parser(session, FRAME_MAX).feed(stream)

    queues: dict[tuple[int, str], list[tuple[str | None, bool, bytes]]] = {}
    open_contents: dict[int, tuple[commands.Basic.Publish, header.ContentHeader, bytes]] = {}
    names: dict[int, commands.Basic.Publish] = {}
    others = 0
    while stream:
        used, channel, found = read_by_pamqp(stream)
        stream = stream[used:]
        if isinstance(found, commands.Basic.Publish):
            names[channel] = found
        elif isinstance(found, header.ContentHeader):
            open_contents[channel] = (names.pop(channel), found, b"")
        elif isinstance(found, body.ContentBody):
            publish, head, value = open_contents[channel]
            open_contents[channel] = (publish, head, value + (found.value or b""))
        else:
            others += not isinstance(found, commands.Basic.Ack)
        if channel in open_contents:
            publish, head, value = open_contents[channel]
            if len(value) == head.body_size:
                del open_contents[channel]
                persistent = head.properties.delivery_mode == 2
                for queue in (publish.routing_key or "").strip("."):
                    message = (publish.routing_key, persistent, value)
                    queues.setdefault((channel, queue), []).append(message)

    assert queues == {
        place: [
            (message.names[2:].decode(), message.persistent, body_of(message.content))
            for message in messages
        ]
        for place, messages in session.queues.items()
    }
    assert others == sum(kind not in ("publish", "ack") for kind in session.kinds())


def read_by_pamqp(stream: bytes) -> tuple[int, int, object]:
    """The next frame; pamqp cannot read an empty body frame."""
    if stream[0] == frames.BODY and stream[3:7] == bytes(4):
        return 8, stream[1] << 8 | stream[2], body.ContentBody(b"")
    return pamqp.frame.unmarshal(stream)


@given(damaged(PROPERTIES.map(lambda properties: encode_header(properties, 1))) | st.binary())
def test_what_is_not_looked_at_closer_would_have_been_found_in_order(payload: bytes) -> None:
    payload = encode_header(Properties(), 1)[:12] + payload[12:]
    frame = frames.frame(frames.HEADER, 1, payload) + b"behind the frame is more" * 3

    found = classify(frame, 19, 7 + len(payload))

    try:
        _, _, properties = decode_header(payload)
    except SyntaxError:
        assert found == CLOSER_LOOK
        return
    if found & CLOSER_LOOK:
        assert needs_a_closer_look(properties) or has_a_repeated_key(payload)
    else:
        assert not needs_a_closer_look(properties)
        assert bool(found & PERSISTENT) == (properties.delivery_mode == 2)
        assert bool(found & PRIORITY) == (properties.priority is not None)


def needs_a_closer_look(properties: Properties) -> bool:
    """What `classify` looks for, said in the plain way."""
    headers = properties.headers or {}
    return (
        properties.expiration is not None
        or properties.user_id is not None
        or "CC" in headers
        or "BCC" in headers
        or (properties.reply_to or "").startswith("amq.rabbitmq.reply-to")
    )


def has_a_repeated_key(payload: bytes) -> bool:
    """Of two keys CC in a damaged table the session sees one, which may be inside."""
    return b"\x02CC" in payload or b"\x03BCC" in payload


@given(PROPERTIES, st.integers(0, 2**64 - 1))
def test_properties_are_read_as_they_were_written(properties: Properties, size: int) -> None:
    payload = encode_header(properties, size)

    assert decode_header(payload) == (60, size, properties)


@given(TABLES)
def test_tables_are_read_as_they_were_written(table: fields.Table) -> None:
    octets = fields.encode_table(table)

    assert fields.decode_table(octets) == (table, len(octets))


@given(damaged(TABLES.map(fields.encode_table)) | st.binary())
def test_any_octets_are_a_table_or_a_syntax_error(octets: bytes) -> None:
    try:
        table, end = fields.decode_table(octets)
    except SyntaxError:
        return

    again = fields.encode_table(table)
    if len(again) == end:  # no key occurred twice
        assert again == octets[:end]


@given(any_command())
def test_methods_are_read_as_they_were_written(command: Command) -> None:
    found = methods.decode(methods.encode_payload(command))

    assert type(found) is type(command)
    for name in command.__slots__:
        assert getattr(found, name) == getattr(command, name)


@given(damaged(any_command().map(methods.encode_payload)) | st.binary())
def test_any_octets_are_a_method_or_an_amqp_error(payload: bytes) -> None:
    try:
        command = methods.decode(payload)
    except AmqpError:
        return

    assert command.index == int.from_bytes(payload[:4], "big")


@st.composite
def runs(draw: st.DrawFn) -> tuple[list[bytes], list[bytes], int, int]:
    """Contents with their names, and a part of them."""
    channel = draw(st.sampled_from([1, 300]))
    bodies = st.binary(max_size=20) | st.sampled_from([bytes(5000), bytes(20_000)])
    contents = [
        a_content(value, channel, most=draw(st.sampled_from([4088, 131_064])))
        for value in draw(st.lists(bodies, min_size=1, max_size=6))
    ]
    contents *= draw(st.sampled_from([1, 1, 60]))
    keys = draw(st.lists(st.text(max_size=10), min_size=1, max_size=3))
    names = [methods.names("x", keys[number % len(keys)]) for number in range(len(contents))]
    low = draw(st.integers(0, len(contents)))
    return contents, names, low, draw(st.integers(low, len(contents)))


@given(
    run=runs(),
    uniform=st.booleans(),
    channel=st.sampled_from([1, 300]),
    tag=st.integers(1, 1000) | st.integers(1, 2**62),
    redelivered=st.booleans(),
    frame_max=st.sampled_from([0, 4096, 8192, 131_072]),
)
def test_deliveries_are_those_of_pamqp(
    run: tuple[list[bytes], list[bytes], int, int],
    uniform: bool,
    channel: int,
    tag: int,
    redelivered: bool,
    frame_max: int,
) -> None:
    contents, names, low, high = run
    source = contents[0][1] << 8 | contents[0][2]
    each = None if uniform else names
    written = []
    for codec in CODECS:
        outbox = codec.Outbox()
        outbox.deliver(
            channel, b"\x02ct", tag, redelivered, names[0], each, contents, low, high, source,
            frame_max,
        )  # fmt: skip
        size = len(outbox)
        written.append(b"".join(outbox.pieces()))
        assert size == len(written[-1])

    assert written[0] == written[1]
    parts = cut_all(written[0])
    for number in range(high - low):
        expected = methods.decode(b"\x00\x3c\x00\x3c" + parts[0].payload[4:])
        assert isinstance(expected, commands.Basic.Deliver)
        used = names[0] if uniform else names[low + number]
        assert methods.names(expected.exchange or "", expected.routing_key or "") == used
        assert (expected.delivery_tag, expected.redelivered) == (tag + number, redelivered)
        wanted = body_of(contents[low + number])
        assert parts[1].kind == frames.HEADER
        assert parts[1].payload == cut_all(contents[low + number])[0].payload
        got = b""
        parts = parts[2:]
        while parts and parts[0].kind == frames.BODY:
            assert parts[0].channel == channel
            assert frame_max == 0 or len(parts[0].payload) <= frame_max - 8
            got += parts.pop(0).payload
        assert got == wanted
    assert parts == []


@pytest.mark.slow
@pytest.mark.parametrize("codec", CODECS, ids=["native", "pure"])
def test_two_hundred_thousand_damaged_streams_do_no_harm(codec: Codec) -> None:
    chance = random.Random(20_26)  # noqa: S311 - repeatable, nothing secret
    everything = Properties(
        content_type="a/b", headers=fields.table(CC=["x"], t={"a": [1, 2.0]}), message_id="m"
    )
    streams_of_all_kinds = [
        a_publish("a") * 3 + an_ack(1) + an_ack(2) + frames.HEARTBEAT_FRAME,
        a_publish("ab", b"", properties=everything) * 2 + a_publish("?"),
        a_publish("a", bytes(9000), properties=Properties(delivery_mode=2)) + a_publish("b"),
        methods.encode(commands.Queue.Declare(queue="q", arguments={"x-max-length": 1}), 1) * 2,
    ]
    for _ in range(200_000):
        stream = chance.choice(streams_of_all_kinds)
        for _ in range(chance.randint(1, 4)):
            change = chance.choice(CHANGES)
            stream = change(stream, chance.randint(0, len(stream)), chance.randint(0, 255))
        middle = chance.randint(0, len(stream))

        understood(codec, [stream[:middle], stream[middle:]])
