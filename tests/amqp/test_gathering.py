"""Gathering: what one read brings for the same queues comes in one call, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pamqp import commands

from amqpd.amqp import frames, methods
from amqpd.amqp.gathering import MAX_ROUTES, Gathering
from amqpd.errors import ChannelStateError
from amqpd.properties import Properties
from tests.amqp.recorder import (
    Message,
    Recorder,
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


def test_the_messages_of_one_read_for_the_same_queues_come_in_one_call(codec: Codec) -> None:
    parser, session = a_parser(codec)

    parser.feed(b"".join(a_publish("a", b"%d" % number) for number in range(50)))

    assert session.kinds() == ["publish"]
    assert session.bodies(1, "a") == [b"%d" % number for number in range(50)]


def test_nothing_is_kept_of_what_was_handed_over() -> None:
    session, method_frame = Recorder(), publish_method("a")
    gathering = Gathering(session)

    for _ in range(3):
        route = gathering.resolve(method_frame, 1)
        assert route is not None
        gathering.take(route, a_content(b"x"), 0)
        gathering.flush()

    assert session.bodies(1, "a") == [b"x", b"x", b"x"]
    assert gathering.pending == []


def test_a_content_is_the_raw_frames_of_header_and_body(codec: Codec) -> None:
    parser, session = a_parser(codec)
    content = a_content(b"hello", properties=Properties(content_type="text/plain"))

    parser.feed(publish_method("a") + content)

    assert session.queues[1, "a"] == [
        Message(methods.names("", "a"), content, persistent=False),
    ]


def test_an_empty_body_has_no_body_frame(codec: Codec) -> None:
    parser, session = a_parser(codec)

    parser.feed(a_publish("a", b"") * 3)

    assert session.bodies(1, "a") == [b"", b"", b""]


def test_keys_in_turn_for_the_same_queue_are_gathered_with_their_own_names(codec: Codec) -> None:
    parser, session = a_parser(codec)

    parser.feed((a_publish("a", b"1") + a_publish("a.", b"2") + a_publish("a.", b"3")) * 20)

    assert session.kinds() == ["publish"]
    names = [methods.names("", key) for key in ("a", "a.", "a.")] * 20
    assert [message.names for message in session.queues[1, "a"]] == names


def test_frames_that_differ_but_not_in_names_share_one_names(codec: Codec) -> None:
    parser, session = a_parser(codec)
    mandatory = publish_method("a", mandatory=True) + a_content(b"2")

    parser.feed(a_publish("a", b"1") + mandatory)

    assert session.bodies(1, "a") == [b"1", b"2"]
    assert session.kinds() == ["publish"]


def test_persistent_and_transient_messages_are_not_gathered_together(codec: Codec) -> None:
    parser, session = a_parser(codec)
    durable = Properties(delivery_mode=2)

    parser.feed(
        a_publish("a", b"1")
        + a_publish("a", b"2", properties=durable) * 2
        + a_publish("a", b"3", properties=Properties(delivery_mode=1))
    )

    assert [message.persistent for message in session.queues[1, "a"]] == [False, True, True, False]
    assert session.kinds() == ["publish"] * 3


def test_each_queue_gets_its_messages_in_the_order_they_were_published(codec: Codec) -> None:
    parser, session = a_parser(codec)
    keys = ["a", "ab", "b", "a", "b", "ab", "abc", "c"] * 5

    parser.feed(b"".join(a_publish(key, b"%d" % number) for number, key in enumerate(keys)))

    for queue in "abc":
        expected = [b"%d" % number for number, key in enumerate(keys) if queue in key]
        assert session.bodies(1, queue) == expected


def test_a_group_that_wants_to_know_is_told_which_messages_it_gets(codec: Codec) -> None:
    parser, session = a_parser(codec)
    keys = ["a", "b", "b", "b", "b!", "e", "b", "a", "a"]

    parser.feed(b"".join(a_publish(key) for key in keys))
    parser.feed(a_publish("b") * 2)

    assert session.numbers == {(1, "a"): [1, 8, 9], (1, "b"): [2, 3, 4, 7, 10, 11]}


def test_a_message_for_no_queue_is_handed_over_too(codec: Codec) -> None:
    parser, session = a_parser(codec)

    parser.feed(a_publish("-", b"1") + a_publish("-", b"2"))

    assert session.log == [
        ("publish", 1, "", (methods.names("", "-"),) * 2, (a_content(b"1"), a_content(b"2"))),
    ]


def test_every_way_of_publishing_counts_and_marks_the_channel(codec: Codec) -> None:
    parser, session = a_parser(codec)

    parser.feed(a_publish("a") * 30 + a_publish("b!") + a_publish("a", channel=7))

    assert session.counts[1].published == 31
    assert session.counts[7].published == 1
    assert [count.number for count in parser.touched_channels] == [1, 7]
    assert session.counts[1].touched


def test_a_channel_is_marked_again_after_the_session_has_cleared_the_mark(codec: Codec) -> None:
    parser, session = a_parser(codec)
    parser.feed(a_publish("a"))

    parser.touched_channels.clear()
    session.counts[1].touched = False
    parser.feed(a_publish("a"))

    assert parser.touched_channels == [session.counts[1]]


def test_what_was_published_before_a_method_is_handed_over_before_it(codec: Codec) -> None:
    parser, session = a_parser(codec)

    parser.feed(a_publish("a") + CLOSE_OK + a_publish("a"))

    assert session.kinds() == ["publish", "method", "publish"]


def test_a_route_is_resolved_once_for_each_distinct_method_frame(codec: Codec) -> None:
    parser, session = a_parser(codec)

    for _ in range(3):
        parser.feed(a_publish("a") + a_publish("b") + a_publish("a", channel=2))

    assert session.resolved == [
        publish_method("a"),
        publish_method("b"),
        publish_method("a", 2),
    ]


def test_forgotten_routes_are_resolved_again(codec: Codec) -> None:
    parser, session = a_parser(codec)
    parser.feed(a_publish("a") * 2)

    parser.forget()
    parser.feed(a_publish("a") * 2)

    assert len(session.resolved) == 2


def test_the_number_of_remembered_routes_is_bounded(codec: Codec) -> None:
    parser, session = a_parser(codec)
    parser.feed(a_publish("a"))

    parser.feed(b"".join(a_publish(f"a.{number}") for number in range(MAX_ROUTES)))
    parser.feed(a_publish("a"))

    assert len(session.resolved) == MAX_ROUTES + 2
    assert session.counts[1].published == MAX_ROUTES + 2


def test_a_message_without_route_is_given_to_the_session_after_those_before_it(
    codec: Codec,
) -> None:
    parser, session = a_parser(codec)

    parser.feed(a_publish("a") + a_publish("?", b"1") * 2)

    assert session.kinds() == ["publish", "content", "content"]
    assert session.log[1] == ("content", 1, publish_method("?")[7:-1], a_content(b"1"))
    assert session.counts[1].published == 1


def test_an_error_of_the_session_leaves_what_came_before_and_after_it(codec: Codec) -> None:
    parser, session = a_parser(codec)

    with pytest.raises(ChannelStateError):
        parser.feed(a_publish("a", b"1") + a_publish("x") + a_publish("a", b"2") + CLOSE_OK)

    assert session.bodies(1, "a") == [b"1"]
    parser.feed(b"")
    assert session.bodies(1, "a") == [b"1", b"2"]
    assert session.kinds() == ["publish", "publish", "method"]


def test_single_acks_in_order_come_as_one_range(codec: Codec) -> None:
    parser, session = a_parser(codec)

    parser.feed(b"".join(an_ack(tag) for tag in (3, 4, 5, 6, 8, 9, 7)))

    assert session.log == [
        ("ack", 1, 3, 6, False),
        ("ack", 1, 8, 9, False),
        ("ack", 1, 7, 7, False),
    ]


def test_ranges_of_acks_do_not_reach_over_reads_channels_or_other_methods(codec: Codec) -> None:
    parser, session = a_parser(codec)

    parser.feed(an_ack(1) + an_ack(2, channel=2))
    parser.feed(an_ack(2))
    parser.feed(an_ack(3) + CLOSE_OK + an_ack(4))

    assert session.log == [
        ("ack", 1, 1, 1, False),
        ("ack", 2, 2, 2, False),
        ("ack", 1, 2, 2, False),
        ("ack", 1, 3, 3, False),
        ("method", 1, CLOSE_OK[7:-1]),
        ("ack", 1, 4, 4, False),
    ]


def test_an_ack_of_many_comes_alone(codec: Codec) -> None:
    parser, session = a_parser(codec)

    parser.feed(an_ack(1) + an_ack(5, multiple=True) + an_ack(0, multiple=True))

    assert session.log == [
        ("ack", 1, 1, 1, False),
        ("ack", 1, 0, 5, True),
        ("ack", 1, 0, 0, True),
    ]


def test_acks_among_publishes_come_after_them_and_divide_nothing(codec: Codec) -> None:
    parser, session = a_parser(codec)

    parser.feed(b"".join(a_publish("a") + an_ack(tag) for tag in range(1, 6)))

    assert session.kinds() == ["publish", "ack"]
    assert session.log[1] == ("ack", 1, 1, 5, False)
    assert len(session.queues[1, "a"]) == 5


def test_tags_have_64_bits_without_sign(codec: Codec) -> None:
    parser, session = a_parser(codec)
    tag = 2**64 - 1

    parser.feed(
        an_ack(tag)
        + an_ack(tag, multiple=True)
        + method(commands.Basic.Nack(tag, multiple=False, requeue=False))
    )

    assert session.log == [
        ("ack", 1, tag, tag, False),
        ("ack", 1, 0, tag, True),
        ("nack", 1, tag, False, False),
    ]


@pytest.mark.parametrize("multiple", [False, True])
@pytest.mark.parametrize("requeue", [False, True])
def test_nack_and_reject_keep_their_bits(codec: Codec, multiple: bool, requeue: bool) -> None:
    parser, session = a_parser(codec)

    parser.feed(
        a_publish("a")
        + an_ack(1)
        + method(commands.Basic.Nack(2, multiple, requeue))
        + method(commands.Basic.Reject(3, requeue))
    )

    assert session.kinds() == ["publish", "ack", "nack", "reject"]
    assert session.log[2:] == [
        ("nack", 1, 2, multiple, requeue),
        ("reject", 1, 3, requeue),
    ]


def test_acks_while_another_channel_sends_a_large_content(codec: Codec) -> None:
    parser, session = a_parser(codec)
    large = a_publish("a", bytes(10_000), channel=2)

    parser.feed(large[:5000])
    parser.feed(large[5000:9000])
    first = cut_all(large)[2].end
    parser, session = a_parser(codec)
    parser.feed(large[:first] + an_ack(1) + an_ack(2) + a_publish("b", b"b") + large[first:])

    assert session.kinds() == ["publish", "publish", "ack"]
    assert session.bodies(2, "a") == [bytes(10_000)]
    assert session.bodies(1, "b") == [b"b"]


@pytest.mark.parametrize("size", [12, 14])
def test_an_ack_of_the_wrong_size_is_a_method_for_the_session_to_refuse(
    codec: Codec, size: int
) -> None:
    parser, session = a_parser(codec)
    payload = an_ack(1)[7:-1].ljust(size, b"\0")[:size]

    parser.feed(frames.frame(frames.METHOD, 1, payload))

    assert session.log == [("method", 1, payload)]
