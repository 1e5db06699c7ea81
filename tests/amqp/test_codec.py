"""Both codecs: how octets are cut does not matter, and what is sent is what a client reads."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from pamqp import commands

from amqpd.amqp import frames, methods
from amqpd.properties import Properties
from tests.amqp.recorder import (
    FRAME_MAX,
    a_content,
    a_parser,
    a_publish,
    an_ack,
    body_of,
    cut_all,
    method,
    publish_method,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from amqpd.amqp.wire import Codec, Parser
    from tests.amqp.recorder import Recorder


CLOSE_OK = method(commands.Channel.CloseOk())


MIXED = (
    a_publish("a", b"1")
    + a_publish("a", b"2")
    + frames.HEARTBEAT_FRAME
    + a_publish("b", bytes(9000), channel=2)
    + an_ack(1)
    + a_publish("a", b"3", properties=Properties(delivery_mode=2, expiration="1"))
    + CLOSE_OK
    + a_publish("?", b"")
)


@pytest.mark.parametrize("size", [1, 2, 7, 8, 20, 21, 22, 100, 4096])
def test_it_does_not_matter_how_the_octets_are_cut(codec: Codec, size: int) -> None:
    whole, expected = a_parser(codec)
    whole.feed(MIXED)
    parser, session = a_parser(codec)

    for at in range(0, len(MIXED), size):
        parser.feed(MIXED[at : at + size])

    assert session.queues == expected.queues
    assert session.kinds().count("method") == 1
    assert ("heartbeat",) in session.log
    assert parser.held_bytes == 0


def halting_at(parser: Parser, session: Recorder, *names: str) -> None:
    """Let these events of the session halt its parser."""

    def halted(event: Callable[..., object]) -> Callable[..., object]:
        def and_halt(*arguments: object) -> object:
            parser.halt()
            return event(*arguments)

        return and_halt

    for name in names:
        setattr(session, name, halted(getattr(session, name)))


@pytest.mark.parametrize("name", ["resolve", "publish", "content", "method", "heartbeat"])
def test_what_follows_a_halt_waits_for_the_next_call(codec: Codec, name: str) -> None:
    whole, expected = a_parser(codec)
    whole.feed(MIXED * 3)
    parser, session = a_parser(codec)
    halting_at(parser, session, name)

    parser.feed(MIXED * 2 + MIXED[:50])
    assert parser.held_bytes
    rest = MIXED[50:]
    calls = 1
    while parser.is_halted or rest:
        parser.feed(rest)
        calls, rest = calls + 1, b""

    assert session.queues == expected.queues
    assert session.kinds().count("method") == 3
    assert parser.held_bytes == 0
    assert calls > 3


@pytest.mark.parametrize(
    "short", [CLOSE_OK, frames.HEARTBEAT_FRAME, an_ack(1)], ids=["close-ok", "heartbeat", "ack"]
)
def test_a_short_frame_at_the_end_of_a_read_is_not_left_behind(codec: Codec, short: bytes) -> None:
    # Found by a client that waited for ever: after a run of equal messages the next one
    # "would not fit", but what was there was not a message.
    parser, session = a_parser(codec)

    parser.feed(a_publish("a", bytes(100)) * 30 + short)

    assert len(session.queues[1, "a"]) == 30
    assert len(session.log) == 2


def test_an_incomplete_message_after_a_run_waits_for_its_rest(codec: Codec) -> None:
    message = a_publish("a", b"0123456789")
    for cut in range(1, len(message)):
        parser, session = a_parser(codec)

        parser.feed(message * 5 + message[:cut])
        assert len(session.queues[1, "a"]) == 5
        parser.feed(message[cut:])

        assert session.bodies(1, "a") == [b"0123456789"] * 6


def test_a_large_frame_in_many_small_pieces_is_not_copied_for_each(codec: Codec) -> None:
    parser, session = a_parser(codec, 5_000_000)
    message = publish_method("a") + a_content(bytes(4_000_000), most=4_500_000)
    start = time.process_time()

    for at in range(0, len(message), 64):
        parser.feed(message[at : at + 64])

    assert len(session.queues[1, "a"]) == 1
    # Copying each time what is there already would take more than 100 GB of copies.
    assert time.process_time() - start < 5


TAG = b"\x04ctag"


def deliveries(octets: bytes) -> list[tuple[object, ...]]:
    """What a client understands: channel, consumer, tag, redelivered, names, body."""
    found: list[tuple[object, ...]] = []
    parts = cut_all(octets)
    while parts:
        head = parts.pop(0)
        command = methods.decode(head.payload)
        assert isinstance(command, commands.Basic.Deliver)
        header = parts.pop(0)
        assert (header.kind, header.channel) == (frames.HEADER, head.channel)
        body = b""
        while parts and parts[0].kind == frames.BODY:
            assert parts[0].channel == head.channel
            body += parts.pop(0).payload
        found.append(
            (
                head.channel,
                command.consumer_tag,
                command.delivery_tag,
                command.redelivered,
                command.exchange,
                command.routing_key,
                body,
            )
        )
    return found


def test_a_run_is_delivered_with_consecutive_tags(codec: Codec) -> None:
    outbox = codec.Outbox()
    contents = [a_content(b"%d" % number) for number in range(600)]

    outbox.deliver(
        1, TAG, 250, False, methods.names("x", "key"), None, contents, 0, 600, 1, FRAME_MAX
    )
    size = len(outbox)
    octets = outbox.take()

    assert size == len(octets)
    assert deliveries(octets) == [
        (1, "ctag", 250 + number, False, "x", "key", b"%d" % number) for number in range(600)
    ]
    assert len(outbox) == 0
    assert outbox.take() == b""


def test_a_part_of_a_run_can_be_delivered(codec: Codec) -> None:
    outbox = codec.Outbox()
    contents = [a_content(b"%d" % number) for number in range(10)]
    names = [methods.names("", f"key-{number}" * number) for number in range(10)]

    outbox.deliver(1, TAG, 1, False, names[0], None, contents, 2, 4, 1, FRAME_MAX)
    outbox.deliver(1, TAG, 3, True, names[0], names, contents, 4, 7, 1, FRAME_MAX)
    outbox.deliver(1, TAG, 6, True, names[0], names, contents, 7, 7, 1, FRAME_MAX)

    assert deliveries(outbox.take()) == [
        (1, "ctag", 1, False, "", "", b"2"),
        (1, "ctag", 2, False, "", "", b"3"),
        (1, "ctag", 3, True, "", "key-4" * 4, b"4"),
        (1, "ctag", 4, True, "", "key-5" * 5, b"5"),
        (1, "ctag", 5, True, "", "key-6" * 6, b"6"),
    ]


def test_the_largest_tags_channels_and_names_fit(codec: Codec) -> None:
    outbox = codec.Outbox()
    names = methods.names("e" * 255, "k" * 255)
    tag = b"\xff" + b"t" * 255

    outbox.deliver(
        65535, tag, 2**63 - 20, True, names, None, [a_content(b"b", 65535)] * 20, 0, 20, 65535, 4096
    )

    found = deliveries(outbox.take())
    assert found[-1] == (65535, "t" * 255, 2**63 - 1, True, "e" * 255, "k" * 255, b"b")


@pytest.mark.parametrize("size", [0, 4, 10_000, 40_000])
@pytest.mark.parametrize("with_names", [False, True])
def test_a_consumer_on_another_channel_gets_its_own_number(
    codec: Codec, size: int, with_names: bool
) -> None:
    outbox = codec.Outbox()
    names = methods.names("", "a")
    content = a_content(bytes(size), channel=1)
    each = [names] if with_names else None

    outbox.deliver(300, TAG, 1, False, names, each, [content], 0, 1, 1, FRAME_MAX)

    size_told = len(outbox)
    octets = outbox.take()
    assert size_told == len(octets)
    assert deliveries(octets) == [(300, "ctag", 1, False, "", "a", bytes(size))]


@pytest.mark.parametrize("channel", [1, 2])
@pytest.mark.parametrize("size", [4089, 5000, 8176, 100_000])
def test_bodies_are_divided_for_a_consumer_with_smaller_frames(
    codec: Codec, size: int, channel: int
) -> None:
    outbox = codec.Outbox()
    body = bytes(number % 251 for number in range(size))
    content = a_content(body, most=131_064)

    outbox.deliver(channel, TAG, 1, False, b"\0\0", None, [content] * 2, 0, 2, 1, 4096)
    octets = outbox.take()

    assert [found[-1] for found in deliveries(octets)] == [body, body]
    assert max(len(part.payload) for part in cut_all(octets)) == 4088


def test_a_consumer_without_frame_max_gets_everything_as_it_is(codec: Codec) -> None:
    outbox = codec.Outbox()
    content = a_content(bytes(100_000), most=100_000)

    outbox.deliver(1, TAG, 1, False, b"\0\0", None, [content], 0, 1, 1, 0)

    assert outbox.take().endswith(content)


def test_large_contents_are_not_copied(codec: Codec) -> None:
    outbox = codec.Outbox()
    small = a_content(b"small")
    large = a_content(bytes(100_000), most=131_064)

    outbox.frame(CLOSE_OK)
    outbox.deliver(1, TAG, 1, False, b"\0\0", None, [small, large, small, large], 0, 4, 1, 131_072)
    size = len(outbox)
    pieces = outbox.pieces()

    assert len(pieces) == 4
    assert pieces[1] is large
    assert pieces[3] is large
    assert sum(map(len, pieces)) == size
    assert len(outbox) == 0
    assert outbox.pieces() == []
    assert [found[-1] for found in deliveries(b"".join(pieces)[len(CLOSE_OK) :])] == [
        b"small",
        bytes(100_000),
    ] * 2


def test_large_contents_are_not_copied_for_another_channel_either(codec: Codec) -> None:
    outbox = codec.Outbox()
    large = a_content(bytes(100_000), most=131_064)

    outbox.deliver(2, TAG, 1, False, b"\0\0", None, [large], 0, 1, 1, 131_072)
    pieces = outbox.pieces()

    shared = [piece for piece in pieces if isinstance(piece, memoryview)]
    assert [piece.obj for piece in shared] == [large]
    assert deliveries(b"".join(pieces))[0][-1] == bytes(100_000)


def test_large_pieces_keep_their_place_among_small_ones(codec: Codec) -> None:
    outbox = codec.Outbox()
    large = a_content(bytes(20_000), most=131_064)

    outbox.confirm(1, 1, False)
    outbox.content(1, b"\x00\x3c\x00\x32", large, 131_072)
    outbox.confirm(1, 2, True)
    octets = outbox.take()

    assert [part.kind for part in cut_all(octets)] == [1, 1, 2, 3, 1]


def test_a_method_with_content_is_written_for_its_channel(codec: Codec) -> None:
    outbox = codec.Outbox()
    command = commands.Basic.GetOk(7, True, "x", "key", 3)

    outbox.content(9, methods.encode_payload(command), a_content(b"body", channel=2), FRAME_MAX)

    assert outbox.take() == method(command, 9) + a_content(b"body", channel=9)


def test_confirms_are_acks_and_nacks_of_the_server(codec: Codec) -> None:
    outbox = codec.Outbox()

    outbox.confirm(40_000, 5, multiple=True)
    outbox.confirm(1, 6, multiple=False)
    outbox.nack(1, 7, multiple=True)
    outbox.nack(1, 2**40, multiple=False)
    size = len(outbox)

    octets = outbox.take()
    assert size == len(octets)
    assert octets == (
        method(commands.Basic.Ack(5, multiple=True), 40_000)
        + method(commands.Basic.Ack(6, multiple=False))
        + method(commands.Basic.Nack(7, multiple=True, requeue=False))
        + method(commands.Basic.Nack(2**40, multiple=False, requeue=False))
    )


def test_a_content_that_was_built_for_the_source_channel_is_passed_on(codec: Codec) -> None:
    outbox = codec.Outbox()
    content = a_content(b"body", channel=3)

    outbox.content(3, b"\x00\x3c\x00\x32", content, FRAME_MAX)

    assert body_of(outbox.take()[12:]) == b"body"


def test_contents_whose_frames_fit_are_not_divided_again(codec: Codec) -> None:
    outbox = codec.Outbox()
    content = a_content(bytes(12_000), most=4088)
    names = methods.names("", "a")

    outbox.deliver(1, TAG, 1, False, names, [names] * 2, [content] * 2, 0, 2, 1, 4096)

    octets = outbox.take()
    assert octets.count(content) == 2
    assert [found[-1] for found in deliveries(octets)] == [bytes(12_000)] * 2


def test_names_of_one_length_in_turn(codec: Codec) -> None:
    outbox = codec.Outbox()
    names = [methods.names("", key) for key in ("a", "b", "c")] * 10
    contents = [a_content(b"%d" % number) for number in range(30)]

    outbox.deliver(1, TAG, 1, False, names[0], names, contents, 0, 30, 1, FRAME_MAX)

    assert [found[5:] for found in deliveries(outbox.take())] == [
        ("abc"[number % 3], b"%d" % number) for number in range(30)
    ]


def test_runs_with_ever_new_names_are_delivered(codec: Codec) -> None:
    outbox = codec.Outbox()
    contents = [a_content(b"body")] * 20

    keys = [f"key-{number // 2}" for number in range(200)]

    for key in keys:
        names = methods.names("", key)
        outbox.deliver(1, TAG, 1, False, names, None, contents, 0, 20, 1, FRAME_MAX)

    found = deliveries(outbox.take())
    assert [delivery[5] for delivery in found[::20]] == keys


def test_octets_put_together_elsewhere_are_passed_on(codec: Codec) -> None:
    outbox = codec.Outbox()
    raw = a_content(bytes(50_000))

    outbox.frame(raw)

    assert b"".join(outbox.pieces()) == raw
