"""The client of the command line: what it takes for confirmed."""

from __future__ import annotations

from amqpd.testing import EmbeddedBroker
from tests.client import Client


def test_confirms_that_are_asked_for_twice_are_counted_from_the_first_time() -> None:
    with EmbeddedBroker() as broker, Client(broker.port) as client:
        channel = client.channel()
        channel.declare_queue("q", durable=True)
        tags = []
        for _ in range(3):
            channel.select_confirms()
            channel.publish("", "q", b"x", persistent=True)
            tags += [verdict.tag for verdict in channel.wait_confirms()]

        assert tags == [1, 2, 3]
        assert channel.published == 3
