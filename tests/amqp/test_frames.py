"""Frames: cut and joined, with RabbitMQ's words for what is wrong."""

from __future__ import annotations

import pamqp.frame
import pytest
from pamqp import body, heartbeat

from amqpd.amqp import frames
from amqpd.errors import FrameError, UnexpectedFrame


def test_a_frame_is_cut_as_it_was_joined() -> None:
    octets = frames.frame(frames.BODY, 65535, b"payload")

    assert frames.missing(b"xx" + octets, 2, 4096) == 0
    assert frames.cut(b"xx" + octets + b"yy", 2) == frames.Frame(
        frames.BODY, 65535, b"payload", 2 + len(octets)
    )


def test_pamqp_understands_our_frames() -> None:
    _, channel, found = pamqp.frame.unmarshal(frames.frame(frames.BODY, 7, b"payload"))
    assert isinstance(found, body.ContentBody)
    assert (channel, found.value) == (7, b"payload")

    _, channel, beat = pamqp.frame.unmarshal(frames.HEARTBEAT_FRAME)
    assert isinstance(beat, heartbeat.Heartbeat)
    assert channel == 0


def test_the_heartbeat_is_a_frame() -> None:
    assert frames.frame(frames.HEARTBEAT, 0, b"") == frames.HEARTBEAT_FRAME


def test_what_is_missing_is_known_as_far_as_possible() -> None:
    octets = frames.frame(frames.METHOD, 1, bytes(20))

    assert [frames.missing(octets[:have], 0, 4096) for have in range(len(octets) + 1)] == [
        *range(8, 1, -1),
        *range(21, -1, -1),
    ]


@pytest.mark.parametrize(("frame_max", "limit"), [(4096, 4096), (131_072, 131_072), (0, 2**31 - 1)])
def test_frames_may_be_eight_octets_larger_than_agreed(frame_max: int, limit: int) -> None:
    head = b"\x03\x00\x01"

    assert frames.payload_limit(frame_max) == limit
    assert frames.missing(head + limit.to_bytes(4, "big"), 0, frame_max) == limit + 1
    with pytest.raises(FrameError, match="frame_too_large") as raised:
        frames.missing(head + (limit + 1).to_bytes(4, "big"), 0, frame_max)
    if frame_max:
        text = f"type 3, all octets = <<>>: {{frame_too_large,{limit + 1},{limit - 8}}}"
        assert raised.value.reply_text == f"FRAME_ERROR - {text}"


def test_the_end_octet_is_checked() -> None:
    octets = frames.frame(frames.METHOD, 1, b"\x00\x0a\x00\x0b" + bytes(20))[:-1] + b"\x41"

    with pytest.raises(FrameError) as raised:
        frames.missing(octets, 0, 4096)

    assert raised.value.explanation == (
        "type 1, first 16 octets = <<0,10,0,11,0,0,0,0,0,0,0,0,0,0,0,0>>:"
        " {invalid_frame_end_marker,65}"
    )


@pytest.mark.parametrize(
    ("kind", "payload", "text"),
    [
        (8, b"\x01", "type 8, all octets = <<1>>: unknown_frame"),
        (7, b"", "type 7, all octets = <<>>: unknown_frame"),
        (0, b"abc", 'type 0, all octets = <<"abc">>: unknown_frame'),
        (1, b'a"b', "type 1, all octets = <<97,34,98>>: unknown_frame"),
        (1, b"\x00\x0a\x00", "type 1, all octets = <<0,10,0>>: unknown_frame"),
        (2, bytes(11), "type 2, all octets = <<0,0,0,0,0,0,0,0,0,0,0>>: unknown_frame"),
    ],
)
def test_unknown_and_too_short_frames_are_refused(kind: int, payload: bytes, text: str) -> None:
    with pytest.raises(FrameError) as raised:
        frames.cut(frames.frame(kind, 0, payload), 0)

    assert raised.value.explanation == text


@pytest.mark.parametrize(
    ("kind", "channel", "payload", "text"),
    [
        (2, 0, b"A" * 17, 'type 2, first 16 octets = <<"AAAAAAAAAAAAAAAA">>'),
        (3, 0, b"", "type 3, all octets = <<>>"),
        (8, 1, b"", "type 8, all octets = <<>>"),
    ],
)
def test_frames_on_a_channel_that_cannot_have_them_are_unexpected(
    kind: int, channel: int, payload: bytes, text: str
) -> None:
    with pytest.raises(UnexpectedFrame) as raised:
        frames.cut(frames.frame(kind, channel, payload), 0)

    assert raised.value.explanation == text
