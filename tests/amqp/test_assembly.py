"""Assembly: contents in several frames, and what is not allowed around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pamqp import commands

from amqpd import fields
from amqpd.amqp import frames, methods
from amqpd.errors import FrameError, ResourceError, SessionError, UnexpectedFrame
from amqpd.properties import Properties, encode_header
from tests.amqp.recorder import (
    FRAME_MAX,
    Message,
    a_content,
    a_parser,
    a_publish,
    an_ack,
    cut_all,
    method,
    publish_method,
)

if TYPE_CHECKING:
    from amqpd.amqp.wire import Codec


CLOSE_OK = method(commands.Channel.CloseOk())


def test_a_body_of_several_frames_is_put_together(codec: Codec) -> None:
    parser, session = a_parser(codec)
    body = bytes(range(256)) * 50
    content = a_content(body, properties=Properties(delivery_mode=2))

    parser.feed(a_publish("a", b"1") + publish_method("a") + content + a_publish("a", b"2"))

    assert session.queues[1, "a"][1] == Message(methods.names("", "a"), content, persistent=True)
    assert session.bodies(1, "a") == [b"1", body, b"2"]


def test_channels_may_take_turns_within_their_contents(codec: Codec) -> None:
    parser, session = a_parser(codec)
    one = cut_all(a_publish("a", b"1" * 10_000, channel=1))
    two = cut_all(a_publish("b", b"2" * 10_000, channel=2))
    stream = b""
    for ours, theirs in zip(one, two, strict=True):
        stream += frames.frame(*ours[:3]) + frames.HEARTBEAT_FRAME + frames.frame(*theirs[:3])

    parser.feed(stream)

    assert session.bodies(1, "a") == [b"1" * 10_000]
    assert session.bodies(2, "b") == [b"2" * 10_000]
    assert session.kinds().count("heartbeat") == 5


def test_methods_of_other_channels_may_come_within_a_content(codec: Codec) -> None:
    parser, session = a_parser(codec)
    close = method(commands.Connection.Close(200, "", 0, 0), 0)

    parser.feed(publish_method("a") + close + CLOSE_OK[:1] + b"\0\2" + CLOSE_OK[3:])
    parser.feed(a_content(b"body"))

    assert session.kinds() == ["method", "method", "publish"]


def test_empty_body_frames_are_accepted_and_dropped(codec: Codec) -> None:
    parser, session = a_parser(codec)
    header, body = cut_all(a_content(b"body"))
    empty = frames.frame(frames.BODY, 1, b"")

    parser.feed(publish_method("a") + frames.frame(*header[:3]) + empty * 1000)
    parser.feed(frames.frame(*body[:3]))

    assert session.queues[1, "a"][0].content == a_content(b"body")


def test_a_thousand_empty_body_frames_are_enough(codec: Codec) -> None:
    parser, _ = a_parser(codec)
    header = frames.frame(*cut_all(a_content(b"body"))[0][:3])
    parser.feed(publish_method("a") + header + frames.frame(frames.BODY, 1, b"") * 1000)

    with pytest.raises(UnexpectedFrame, match="more than 1000 empty content body frames"):
        parser.feed(frames.frame(frames.BODY, 1, b""))


def test_a_body_in_tiny_frames_needs_no_more_memory_than_in_large_ones(codec: Codec) -> None:
    parser, session = a_parser(codec)
    body = bytes(20_000)
    header = frames.frame(frames.HEADER, 1, encode_header(Properties(), len(body)))

    parser.feed(publish_method("a") + header + frames.frame(frames.BODY, 1, b"\0") * 19_999)
    assert 19_999 <= parser.held_bytes < 20_100
    parser.feed(frames.frame(frames.BODY, 1, b"\0"))

    assert session.bodies(1, "a") == [body]
    assert len(cut_all(session.queues[1, "a"][0].content)) == 6


def test_frames_that_are_put_together_stay_within_frame_max(codec: Codec) -> None:
    parser, session = a_parser(codec)

    parser.feed(publish_method("a") + a_content(bytes(20_000), most=999))

    parts = cut_all(session.queues[1, "a"][0].content)
    assert max(len(part.payload) for part in parts) <= FRAME_MAX - 8
    assert session.bodies(1, "a") == [bytes(20_000)]


@pytest.mark.parametrize("single_frame", [True, False])
def test_a_message_that_is_too_large_is_refused_at_its_header_and_not_kept(
    codec: Codec, single_frame: bool
) -> None:
    parser, session = a_parser(codec)
    parser.max_message_bytes = 100
    assert parser.max_message_bytes == 100
    size = 101 if single_frame else 20_000
    large = a_publish("a", bytes(size))
    header_end = cut_all(large)[1].end

    parser.feed(a_publish("a", bytes(100)) + large[:header_end])
    assert session.kinds() == ["publish", "too large"]
    assert session.log[1] == ("too large", 1, publish_method("a")[7:-1], size)
    parser.feed(large[header_end:-1])
    assert parser.held_bytes < FRAME_MAX
    parser.feed(large[-1:] + a_publish("b"))

    assert session.kinds() == ["publish", "too large", "publish"]
    assert session.bodies(1, "a") == [bytes(100)]


@pytest.mark.parametrize("limit", [10, 300_000])
def test_what_all_channels_have_begun_together_is_bounded(codec: Codec, limit: int) -> None:
    parser, _ = a_parser(codec, 0)
    parser.max_message_bytes = limit
    most = max(8 * limit, 1024 * 1024)
    begun = b""
    for channel in range(1, most // 10_000 + 2):
        head = Properties(headers=fields.table(x="x" * 10_000))
        message = publish_method("a", channel) + a_content(b"1234", channel, head)
        begun += message[: cut_all(message)[1].end] + frames.HEARTBEAT_FRAME

    text = f"incomplete messages on all channels exceed {most} octets"
    with pytest.raises(ResourceError, match=text):
        parser.feed(begun)

    assert most - 20_000 < parser.held_bytes


def test_bodies_of_incomplete_messages_are_bounded(codec: Codec) -> None:
    parser, session = a_parser(codec)
    parser.max_message_bytes = 200_000
    parts = cut_all(a_publish("a", bytes(200_000)))[:-1]
    begun = [
        b"".join(frames.frame(part.kind, channel, part.payload) for part in parts)
        for channel in range(1, 11)
    ]
    parser.feed(b"".join(begun[:8]))
    held = parser.held_bytes

    parser.discard(1)
    assert parser.held_bytes < held - 190_000
    parser.feed(begun[8])
    with pytest.raises(ResourceError, match="exceed 1600000 octets"):
        parser.feed(begun[9])

    assert session.log == []


def test_a_discarded_content_is_skipped_to_its_end(codec: Codec) -> None:
    parser, session = a_parser(codec)
    message = a_publish("a", bytes(10_000))

    parser.feed(message[:8000])
    parser.discard(1)
    assert parser.held_bytes < FRAME_MAX
    parser.feed(message[8000:] + a_publish("b"))

    assert session.bodies(1, "a") == []
    assert session.bodies(1, "b") == [b"body"]


def test_a_discarded_content_may_stay_incomplete(codec: Codec) -> None:
    parser, session = a_parser(codec)
    parser.feed(publish_method("a") + frames.HEARTBEAT_FRAME)

    parser.discard(1)
    parser.discard(2)
    parser.feed(CLOSE_OK)

    assert session.kinds() == ["heartbeat", "method"]


def test_a_discarded_content_without_body_ends_with_its_header(codec: Codec) -> None:
    parser, session = a_parser(codec)
    parser.feed(publish_method("a") + frames.HEARTBEAT_FRAME)
    parser.discard(1)

    parser.feed(a_content(b"") + a_publish("b"))

    assert session.kinds() == ["heartbeat", "publish"]


HEADER = frames.frame(*cut_all(a_content(b"body"))[0][:3])
BODY = frames.frame(frames.BODY, 1, b"body")
NO_METHOD = "expected method frame, got non method frame instead"
NO_HEADER = "expected content header for class 60, got non content header frame instead"
NO_BODY = "expected content body, got non content body frame instead"
BAD = {
    "body first": (BODY, UnexpectedFrame, NO_METHOD),
    "header first": (HEADER, UnexpectedFrame, NO_METHOD),
    "method for header": (publish_method("a") * 2, UnexpectedFrame, NO_HEADER),
    "other method for header": (publish_method("a") + CLOSE_OK, UnexpectedFrame, NO_HEADER),
    "ack for header": (publish_method("a") + an_ack(1), UnexpectedFrame, NO_HEADER),
    "body for header": (publish_method("a") + BODY, UnexpectedFrame, NO_HEADER),
    "header for body": (publish_method("a") + HEADER * 2, UnexpectedFrame, NO_BODY),
    "method for body": (publish_method("a") + HEADER + CLOSE_OK, UnexpectedFrame, NO_BODY),
    "ack for body": (publish_method("a") + HEADER + an_ack(1), UnexpectedFrame, NO_BODY),
    "publish for body": (
        publish_method("a") + HEADER + publish_method("a"),
        UnexpectedFrame,
        NO_BODY,
    ),
    "another class": (
        publish_method("a") + HEADER.replace(b"\x00\x3c", b"\x00\x0a"),
        UnexpectedFrame,
        "expected content header for class 60, got one for class 10 instead",
    ),
    "weight": (
        publish_method("a") + HEADER.replace(b"\x00\x3c\x00\x00", b"\x00\x3c\x00\x01"),
        UnexpectedFrame,
        NO_HEADER,
    ),
    "more body than declared": (
        publish_method("a") + HEADER + frames.frame(frames.BODY, 1, b"bodies"),
        FrameError,
        "content body frame exceeds remaining content size",
    ),
    "more than any body may have": (
        publish_method("a")
        + frames.frame(frames.HEADER, 1, encode_header(Properties(), 2**29 + 1)),
        FrameError,
        "content body size 536870913 exceeds maximum allowed size 536870912",
    ),
    "size with the upper bit": (
        publish_method("a")
        + frames.frame(frames.HEADER, 1, encode_header(Properties(), 2**64 - 1)),
        FrameError,
        "content body size 18446744073709551615 exceeds maximum allowed size 536870912",
    ),
    "header on channel 0": (
        frames.frame(frames.HEADER, 0, bytes(20)),
        UnexpectedFrame,
        "type 2, first 16 octets = <<0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0>>",
    ),
    "body on channel 0": (
        frames.frame(frames.BODY, 0, b"text"),
        UnexpectedFrame,
        'type 3, all octets = <<"text">>',
    ),
    "heartbeat on a channel": (
        frames.frame(frames.HEARTBEAT, 1, b""),
        UnexpectedFrame,
        "type 8, all octets = <<>>",
    ),
    "heartbeat with a payload": (
        frames.frame(frames.HEARTBEAT, 0, b"\x01"),
        FrameError,
        "type 8, all octets = <<1>>: unknown_frame",
    ),
    "unknown type": (
        frames.frame(9, 0, b""),
        FrameError,
        "type 9, all octets = <<>>: unknown_frame",
    ),
    "short method": (
        frames.frame(frames.METHOD, 1, b"\x00\x0a\x00"),
        FrameError,
        "type 1, all octets = <<0,10,0>>: unknown_frame",
    ),
    "short header": (
        publish_method("a") + frames.frame(frames.HEADER, 1, b"\x00\x3c" + bytes(9)),
        FrameError,
        "type 2, all octets = <<0,60,0,0,0,0,0,0,0,0,0>>: unknown_frame",
    ),
}


@pytest.mark.parametrize(("octets", "error", "text"), BAD.values(), ids=BAD.keys())
def test_frames_out_of_order_or_shape_are_refused_and_the_next_are_understood(
    codec: Codec, octets: bytes, error: type[SessionError], text: str
) -> None:
    parser, session = a_parser(codec)

    with pytest.raises(error) as raised:
        parser.feed(a_publish("b", b"before") + octets)

    assert raised.value.explanation == text
    assert session.bodies(1, "b")[0] == b"before"
    parser.feed(method(commands.Connection.CloseOk(), 0))
    assert session.kinds()[-1] == "method"


@pytest.mark.parametrize("part", [0, 1, 2], ids=["method", "header", "body"])
def test_the_end_octet_of_every_frame_is_checked(codec: Codec, part: int) -> None:
    parser, session = a_parser(codec)
    message = a_publish("a")
    end = cut_all(message)[part].end
    broken = message[: end - 1] + b"\x00" + message[end:]
    kind = part + 1

    with pytest.raises(FrameError, match=rf"^type {kind}, .*: {{invalid_frame_end_marker,0}}$"):
        parser.feed(message * 20 + broken + message)

    assert len(session.queues[1, "a"]) == 20


def test_the_end_octet_of_an_ack_is_checked(codec: Codec) -> None:
    parser, session = a_parser(codec)

    with pytest.raises(FrameError, match="invalid_frame_end_marker,255"):
        parser.feed(an_ack(1) + an_ack(2)[:-1] + b"\xff")

    assert session.log == [("ack", 1, 1, 1, False)]


def test_nothing_is_believed_after_a_frame_without_end(codec: Codec) -> None:
    parser, session = a_parser(codec)
    with pytest.raises(FrameError):
        parser.feed(CLOSE_OK[:-1] + b"\x00")

    parser.feed(CLOSE_OK * 100)

    assert session.log == []
    assert parser.held_bytes == 0


@pytest.mark.parametrize(
    "start",
    [b"", publish_method("a"), publish_method("a") + HEADER],
    ids=["method", "header", "body"],
)
def test_a_frame_may_be_eight_octets_too_large_and_no_more(codec: Codec, start: bytes) -> None:
    kind = {b"": 1, publish_method("a"): 2}.get(start, 3)
    allowed = bytes((kind, 0, 1)) + FRAME_MAX.to_bytes(4, "big")
    refused = bytes((kind, 0, 1)) + (FRAME_MAX + 1).to_bytes(4, "big")

    parser, _ = a_parser(codec)
    parser.feed(start + allowed)
    parser, session = a_parser(codec)
    with pytest.raises(FrameError) as raised:
        parser.feed(a_publish("a") + start + refused)

    expected = f"type {kind}, all octets = <<>>: {{frame_too_large,{FRAME_MAX + 1},4088}}"
    assert raised.value.explanation == expected
    assert session.bodies(1, "a") == [b"body"]


def test_frame_max_can_be_changed(codec: Codec) -> None:
    parser, session = a_parser(codec)
    message = publish_method("a") + a_content(bytes(8184), most=8184)

    parser.frame_max = 8192
    parser.feed(message)
    assert parser.frame_max == 8192
    parser.frame_max = 4096
    with pytest.raises(FrameError, match="frame_too_large,8184,4088"):
        parser.feed(message)

    assert session.bodies(1, "a") == [bytes(8184)]


def test_without_frame_max_frames_may_have_any_size(codec: Codec) -> None:
    parser, session = a_parser(codec, 0)

    parser.feed(publish_method("a") + a_content(bytes(300_000), most=300_000))
    with pytest.raises(FrameError, match="frame_too_large"):
        parser.feed(b"\x01\x00\x01\x80\x00\x00\x00")

    assert session.bodies(1, "a") == [bytes(300_000)]


def test_frames_of_more_than_16_mib_go_frame_by_frame(codec: Codec) -> None:
    parser, session = a_parser(codec, 0)
    size = 1 << 24

    parser.feed(publish_method("a") + a_content(bytes(size), most=size))

    assert session.bodies(1, "a") == [bytes(size)]


def test_a_publish_on_channel_0_is_a_method_for_the_session_to_refuse(codec: Codec) -> None:
    parser, session = a_parser(codec)

    with pytest.raises(UnexpectedFrame):
        parser.feed(a_publish("a", channel=0))

    assert session.log == [("method", 0, publish_method("a")[7:-1])]
