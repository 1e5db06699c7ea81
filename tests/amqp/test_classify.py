"""Classify: which messages need a closer look, found without decoding anything."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from amqpd import fields
from amqpd.amqp import frames, methods
from amqpd.properties import Properties, encode_header
from tests.amqp.recorder import (
    a_parser,
    a_publish,
    publish_method,
)

if TYPE_CHECKING:
    from amqpd.amqp.wire import Codec


SPECIAL = {
    "expiration without a number": Properties(expiration=""),
    "expiration with a sign": Properties(expiration="+1"),
    "expiration with letters": Properties(expiration="10s", message_id="m"),
    "long expiration": Properties(expiration="1" * 12),
    "user-id": Properties(user_id="guest", app_id="a"),
    "CC": Properties(headers=fields.table(CC=["b"])),
    "BCC": Properties(headers=fields.table(x=1, BCC=["b"]), delivery_mode=2),
    "direct reply": Properties(reply_to="amq.rabbitmq.reply-to"),
    "LavinMQ's direct reply": Properties(reply_to="amq.direct.reply-to"),
    "direct reply address": Properties(correlation_id="1", reply_to="amq.rabbitmq.reply-to.xyz"),
}


@pytest.mark.parametrize("properties", SPECIAL.values(), ids=SPECIAL.keys())
def test_properties_that_change_what_happens_need_a_closer_look(
    codec: Codec, properties: Properties
) -> None:
    parser, session = a_parser(codec)
    message = a_publish("a", properties=properties)

    parser.feed(a_publish("a", b"1") + message * 2 + a_publish("a", b"2"))

    assert session.kinds() == ["publish", "special", "special", "publish"]
    assert session.log[1] == (
        "special",
        1,
        methods.names("", "a"),
        message[len(publish_method("a")) :],
    )


HEADERS: dict[str, fields.Wrappable] = {
    "XCC": 1,
    "cc": 2,
    "C": 3,
    "CCC": "CC",
    "BC": b"\x02CC",
    "nested": {"CC": ["a"], "BCC": 1},
    "list": ["\x02CC", 1.5, None, True],
}
EVERY_TYPE: dict[str, fields.FieldValue] = {
    "t": True,
    "b": -1,
    "B": 1,
    "s": -2,
    "u": 2,
    "I": -3,
    "i": 3,
    "l": -4,
    "T": 4,
    "f": 0.5,
    "d": 0.25,
    "S": "text",
    "x": b"\xff",
    "V": None,
    "D": Decimal("1.5"),
    "A": [fields.wrap({"k": [1]})],
    "F": fields.table(a={"b": {}}),
}
ORDINARY = {
    "all the others": Properties(
        content_type="text/plain",
        content_encoding="gzip",
        headers=fields.table(HEADERS),
        delivery_mode=2,
        priority=5,
        correlation_id="c",
        reply_to="amq.rabbitmq.reply-t",
        expiration="00000060000",
        message_id="m",
        timestamp=1,
        type="t",
        app_id="app",
        cluster_id="cluster",
    ),
    "as applications": Properties(
        content_type="a/b", headers=fields.table(x=1), message_id="1", timestamp=2
    ),
    "every type of field": Properties(
        headers={kind: fields.Field(kind, value) for kind, value in EVERY_TYPE.items()}
    ),
}


@pytest.mark.parametrize("properties", ORDINARY.values(), ids=ORDINARY.keys())
def test_other_properties_do_not(codec: Codec, properties: Properties) -> None:
    parser, session = a_parser(codec)

    parser.feed(a_publish("a", properties=properties) * 3)

    assert session.kinds() == ["publish"]
    persistent = properties.delivery_mode == 2
    assert [message.persistent for message in session.queues[1, "a"]] == [persistent] * 3


def test_a_priority_matters_only_to_routes_that_want_it(codec: Codec) -> None:
    parser, session = a_parser(codec)
    properties = Properties(priority=1)

    parser.feed(
        a_publish("a^", b"0")
        + a_publish("a^", b"1", properties=properties)
        + a_publish("a^", b"2", properties=properties)
        + a_publish("a", b"3", properties=properties)
    )

    assert session.kinds() == ["publish"]
    assert session.bodies(1, "a") == [b"0", b"3"]
    assert session.bodies(1, "a1") == [b"1", b"2"]


def test_all_priorities_of_a_read_come_together_each_in_its_order(codec: Codec) -> None:
    parser, session = a_parser(codec)
    levels = [0, 255, 7, 7, 0, 255]

    parser.feed(
        b"".join(
            a_publish("a^", b"%d" % at, properties=Properties(priority=level, message_id="m"))
            for at, level in enumerate(levels)
        )
    )

    assert session.kinds() == ["publish"]
    assert session.bodies(1, "a0") == [b"0", b"4"]
    assert session.bodies(1, "a255") == [b"1", b"5"]
    assert session.bodies(1, "a7") == [b"2", b"3"]
    assert [asked for asked in session.resolved if asked.startswith(b"level")] == [
        b"level 0",
        b"level 255",
        b"level 7",
    ]


def test_what_differs_between_priorities_stays_with_each_message(codec: Codec) -> None:
    parser, session = a_parser(codec)
    messages = [
        ("a^", 1, None, 2),
        ("a^", 2, "5", 2),
        ("a^z", 2, "5", 2),
        ("a^", 1, "7", 1),
        ("a^", 3, None, 2),
        ("a^y", 1, None, 2),
    ]

    parser.feed(
        b"".join(
            a_publish(
                key,
                b"%d" % at,
                properties=Properties(priority=level, expiration=time, delivery_mode=mode),
            )
            for at, (key, level, time, mode) in enumerate(messages)
        )
    )

    # Whether they are persistent decides over a run: a1 has had its first message alone.
    assert session.bodies(1, "a1") == [b"0", b"3", b"5"]
    assert session.bodies(1, "a2") == [b"1", b"2"]
    assert session.bodies(1, "a3") == [b"4"]
    for level in (1, 2, 3):
        wanted = [one for one in messages if one[1] == level]
        found = session.queues[1, f"a{level}"]
        assert [one.names for one in found] == [methods.names("", key) for key, *_ in wanted]
        times = [-1 if time is None else int(time) for _, _, time, _ in wanted]
        assert [one.expiration_ms for one in found] == times
        assert [one.persistent for one in found] == [mode == 2 for *_, mode in wanted]
    assert session.numbers[1, "a"] == [1, 4, 5, 2, 3, 6]


def test_messages_are_gathered_whatever_their_expirations(codec: Codec) -> None:
    parser, session = a_parser(codec)
    times = [None, "5", "5", "0", "60000", "60000", None, None]

    parser.feed(
        b"".join(
            a_publish("a", b"%d" % at, properties=Properties(expiration=time, delivery_mode=1))
            for at, time in enumerate(times)
        )
    )

    assert session.kinds() == ["publish"]
    assert session.bodies(1, "a") == [b"%d" % at for at in range(8)]
    expirations = [message.expiration_ms for message in session.queues[1, "a"]]
    assert expirations == [-1, 5, 5, 0, 60_000, 60_000, -1, -1]


def test_a_message_may_expire_sooner_than_the_first_of_its_read_or_never(codec: Codec) -> None:
    parser, session = a_parser(codec)

    parser.feed(
        b"".join(
            a_publish("a", properties=Properties(expiration=time, delivery_mode=1))
            for time in ("60000", "5", None)
        )
    )

    assert [message.expiration_ms for message in session.queues[1, "a"]] == [60_000, 5, -1]


def test_expirations_of_one_read_are_not_those_of_the_next(codec: Codec) -> None:
    parser, session = a_parser(codec)

    for times in (["5", "6"], ["7", "7"]):
        parser.feed(
            b"".join(
                a_publish("a", properties=Properties(expiration=time, delivery_mode=1))
                for time in times
            )
        )

    expirations = [message.expiration_ms for message in session.queues[1, "a"]]
    assert expirations == [5, 6, 7, 7]


def test_expiration_and_priority_go_together(codec: Codec) -> None:
    parser, session = a_parser(codec)
    properties = Properties(
        headers=fields.table(x=1), delivery_mode=2, priority=3, reply_to="r", expiration="77"
    )

    parser.feed(a_publish("a^", properties=properties) * 3)

    (first, *_) = session.queues[1, "a3"]
    assert (first.persistent, first.expiration_ms) == (True, 77)
    assert session.kinds() == ["publish"]


def test_a_route_without_group_gets_every_message_by_itself(codec: Codec) -> None:
    parser, session = a_parser(codec)

    parser.feed(a_publish("a!") * 3)

    assert session.kinds() == ["special"] * 3


HEADER_START = encode_header(Properties(), 0)[:12]
MALFORMED = {
    "flags missing": b"",
    "half of the flags": b"\x80",
    "more flags announced": b"\x00\x01\x00\x00",
    "unknown flag": b"\x00\x02",
    "octets too many": b"\x00\x00\x00",
    "no text": b"\x80\x00",
    "text too long": b"\x80\x00\x05abc",
    "no octet": b"\x10\x00",
    "no priority": b"\x08\x00",
    "no expiration": b"\x01\x00",
    "expiration too long": b"\x01\x00\x0512",
    "octets behind the expiration": b"\x01\x00\x0212x",
    "short timestamp": b"\x00\x40\x00\x00",
    "no table": b"\x20\x00\x00\x00",
    "table too long": b"\x20\x00\x00\x00\x00\x10\x01a",
    "negative table": b"\x20\x00\xff\xff\xff\xff\x01a",
    "key without value": b"\x20\x00\x00\x00\x00\x02\x01a",
    "unknown type": b"\x20\x00\x00\x00\x00\x03\x01aZ",
    "short integer": b"\x20\x00\x00\x00\x00\x06\x01aI\x00\x00\x00",
    "long string": b"\x20\x00\x00\x00\x00\x08\x01aS\x00\x00\x00\x09x",
    "negative string": b"\x20\x00\x00\x00\x00\x08\x01aS\xff\xff\xff\xffx",
    "string without length": b"\x20\x00\x00\x00\x00\x04\x01aS\x00",
    "array too long": b"\x20\x00\x00\x00\x00\x08\x01aA\x00\x00\x00\x09V",
    "array without length": b"\x20\x00\x00\x00\x00\x04\x01aA\x00",
    "value over the end of its array": b"\x20\x00\x00\x00\x00\x09\x01aA\x00\x00\x00\x01Ix",
    "inner table over the end": b"\x20\x00\x00\x00\x00\x09\x01aF\x00\x00\x00\x02\x05x",
}


@pytest.mark.parametrize("tail", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_properties_are_left_to_the_session(codec: Codec, tail: bytes) -> None:
    parser, session = a_parser(codec)
    header = frames.frame(frames.HEADER, 1, HEADER_START + tail)
    parser.feed(a_publish("a"))

    parser.feed((publish_method("a") + header) * 2)

    assert session.kinds() == ["publish", "special", "special"]


def test_headers_nested_too_deeply_are_left_to_the_session(codec: Codec) -> None:
    parser, session = a_parser(codec)
    deep: fields.Wrappable = 1
    for _ in range(fields.MAX_DEPTH - 1):
        deep = {"k": [deep]} if isinstance(deep, int) else {"k": deep}
    just = fields.table(k=deep)["k"].value
    assert isinstance(just, dict)

    parser.feed(a_publish("a") + a_publish("a", properties=Properties(headers=just)))
    too_deep = Properties(headers=fields.table(k=just, l=1))
    parser.feed(a_publish("a", properties=too_deep))

    assert session.kinds() == ["publish", "special"]
