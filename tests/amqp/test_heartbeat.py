"""When heartbeats are due, and when a peer counts as dead."""

from __future__ import annotations

from amqpd.amqp.heartbeat import Heartbeat


def test_the_first_one_is_due_at_the_first_tick() -> None:
    assert Heartbeat(10, 1000).is_due(1000)


def test_then_half_an_interval_after_the_last_thing_that_was_sent() -> None:
    heartbeat = Heartbeat(10, 0)
    assert heartbeat.is_due(0)
    assert not heartbeat.is_due(4999)
    assert heartbeat.is_due(5000)
    heartbeat.sent = True
    assert not heartbeat.is_due(9000)
    assert not heartbeat.is_due(13_999)
    assert heartbeat.is_due(14_000)


def test_a_peer_has_two_intervals() -> None:
    heartbeat = Heartbeat(10, 0)
    assert not heartbeat.is_missed(20_000)
    assert heartbeat.is_missed(20_001)
    heartbeat.received = True
    assert not heartbeat.is_missed(30_000)
    assert not heartbeat.is_missed(50_000)
    assert heartbeat.is_missed(50_001)


def test_without_an_interval_there_are_none() -> None:
    heartbeat = Heartbeat(0, 0)

    assert not heartbeat.is_due(1_000_000)
    assert not heartbeat.is_missed(1_000_000)
