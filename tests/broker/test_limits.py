"""Limits: the defaults that clients rely on, and what cannot be set."""

from __future__ import annotations

from dataclasses import replace

import pytest

from amqpd.broker.limits import Limits, UserLimits, VhostLimits, allows
from amqpd.errors import PreconditionFailed


def test_the_defaults_are_those_of_rabbitmq() -> None:
    limits = Limits()

    assert limits.channel_max == 2047
    assert limits.frame_max_bytes == 131_072
    assert limits.initial_frame_max_bytes == 8192
    assert limits.heartbeat_s == 60
    assert limits.max_message_bytes == 16_777_216
    assert limits.max_connections is None
    assert limits.max_channels is None
    assert limits.max_consumers_per_channel is None
    assert limits.max_queues is None
    assert limits.max_exchanges is None
    assert limits.max_topic_hash_wildcards is None


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"channel_max": -1}, "channel_max: -1 is not between 0 and 65535"),
        ({"channel_max": 65536}, "channel_max: 65536 is not between 0 and 65535"),
        ({"frame_max_bytes": 4095}, "frame_max_bytes: 4095 is less than 4096"),
        ({"initial_frame_max_bytes": 1}, "initial_frame_max_bytes: 1 is less than 4096"),
        ({"heartbeat_s": -1}, "heartbeat_s: -1 is not between 0 and 65535"),
        ({"max_message_bytes": 0}, "max_message_bytes: 0 is not between 1 and 536870912"),
        (
            {"max_message_bytes": 536_870_913},
            "max_message_bytes: 536870913 is not between 1 and 536870912",
        ),
    ],
)
def test_what_the_protocol_cannot_carry_is_refused(settings: dict[str, int], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        replace(Limits(), **settings)  # type: ignore[arg-type]


def test_zero_means_unlimited_where_the_protocol_says_so() -> None:
    limits = Limits(channel_max=0, frame_max_bytes=0, heartbeat_s=0)

    assert (limits.channel_max, limits.frame_max_bytes, limits.heartbeat_s) == (0, 0, 0)


def test_limits_of_vhosts_and_users_come_by_rabbitmqs_names() -> None:
    assert VhostLimits.parse({"max-connections": 10, "max-queues": 0}) == VhostLimits(10, 0)
    assert UserLimits.parse({"max-channels": 5}) == UserLimits(None, 5)
    assert UserLimits.parse({}) == UserLimits()


def test_a_negative_limit_is_none() -> None:
    assert VhostLimits.parse({"max-queues": -1}) == VhostLimits()


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"max-channels": 1}, 'Unrecognised terms [{<<"max-channels">>,1}] in limits'),
        ({"max-queues": "1"}, 'max-queues should be a number, actually was <<"1">>'),
        ({"max-queues": True}, "max-queues should be a number, actually was true"),
    ],
)
def test_unknown_and_wrong_limits_are_refused(values: dict[str, object], text: str) -> None:
    with pytest.raises(PreconditionFailed) as refused:
        VhostLimits.parse(values)

    assert refused.value.explanation == f"Validation failed\n\n{text}\n"


def test_limits_of_users_are_refused_by_their_own_name() -> None:
    with pytest.raises(PreconditionFailed, match="in user-limits"):
        UserLimits.parse({"max-queues": 1})


def test_limits_are_shown_by_rabbitmqs_names() -> None:
    assert VhostLimits(10, None).named() == {"max-connections": 10}
    assert UserLimits(0, 5).named() == {"max-connections": 0, "max-channels": 5}


@pytest.mark.parametrize(
    ("limit", "present", "allowed"),
    [(None, 1_000_000, True), (2, 1, True), (2, 2, False), (0, 0, False), (2, 3, False)],
)
def test_one_more_is_allowed_below_the_limit(
    limit: int | None, present: int, allowed: bool
) -> None:
    assert allows(limit, present) is allowed
