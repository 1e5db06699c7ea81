"""What is counted of the messages on the wire: by channel, queue, exchange and vhost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pamqp.commands import Basic, Exchange, Queue

from amqpd.broker.arguments import QueueType
from tests.wire.wire import Client, World, published

if TYPE_CHECKING:
    from amqpd.broker.counts import Counts

NAMES = (
    "published", "delivered", "delivered_no_ack", "got", "got_no_ack", "got_nothing",
    "redelivered", "acked",
)  # fmt: skip


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Client:
    """A client with a queue q."""
    client = world.client()
    client.declare("q")
    return client


def counted(counts: Counts) -> dict[str, int]:
    """The counters that are not 0."""
    return {name: value for name in NAMES if (value := getattr(counts, name))}


def of_queue(world: World) -> dict[str, int]:
    """Those of the queue q."""
    (lane,) = world.broker.vhosts["/"].queues["q"].lanes
    return counted(lane.counts)


def test_publishes_deliveries_and_acks_are_counted_where_they_happen(
    world: World, client: Client
) -> None:
    client.say(b"".join(published(b"x", "q") for _ in range(5)))
    client.consume("q")
    client.send(Basic.Ack(3, True))

    assert of_queue(world) == {"published": 5, "delivered": 5, "acked": 3}
    channel = client.session.channels[1]
    assert counted(channel.counts) == {"delivered": 5, "acked": 3}
    assert channel.publisher.published == {"": 5}
    consumer = channel.consumers["t"]
    assert (consumer.delivered, consumer.redelivered) == (5, 0)
    totals = world.broker.vhosts["/"].stats.totals
    assert counted(totals[QueueType.CLASSIC]) == of_queue(world)


def test_deliveries_that_need_no_ack_are_counted_apart(world: World, client: Client) -> None:
    client.publish(b"x", "q")
    client.consume("q", no_ack=True)

    assert of_queue(world) == {"published": 1, "delivered_no_ack": 1}
    assert counted(client.session.channels[1].counts) == {"delivered_no_ack": 1}


def test_a_returned_message_is_counted_as_redelivered(world: World, client: Client) -> None:
    client.publish(b"x", "q")
    client.consume("q")
    client.send(Basic.Nack(1))

    assert of_queue(world) == {"published": 1, "delivered": 2, "redelivered": 1}
    assert client.session.channels[1].consumers["t"].redelivered == 1


def test_gets_are_counted_with_and_without_ack_and_in_vain(world: World, client: Client) -> None:
    for _ in range(2):
        client.publish(b"x", "q")
    client.get("q", no_ack=False)
    client.send(Basic.Nack(1))
    client.get("q")
    client.get("q")
    client.get("q")

    expected = {"got": 1, "got_no_ack": 2, "got_nothing": 1, "redelivered": 1}
    assert of_queue(world) == {"published": 2, **expected}
    assert counted(client.session.channels[1].counts) == expected


def test_what_no_queue_takes_is_counted_as_returned_or_dropped(
    world: World, client: Client
) -> None:
    # In one read they are one run.
    client.say(published(b"x", "nowhere", mandatory=True) * 3 + published(b"x", "nowhere") * 2)

    publisher = client.session.channels[1].publisher
    stats = world.broker.vhosts["/"].stats
    assert (publisher.returned, publisher.dropped) == (3, 2)
    assert (stats.returned, stats.dropped) == (3, 2)


def test_confirms_are_counted_by_message_whatever_number_one_frame_confirms(
    world: World, client: Client
) -> None:
    client.confirms()
    client.say(b"".join(published(b"x", "q") for _ in range(5)))
    client.publish(b"x", "q")

    stats = world.broker.vhosts["/"].stats
    assert client.session.channels[1].confirmed == 6
    assert (stats.confirmed, stats.wanting_confirms) == (6, 6)


def test_an_exchange_counts_messages_and_their_copies_and_the_vhost_keeps_them(
    world: World, client: Client
) -> None:
    client.declare("r")
    client.ask(Exchange.Declare(exchange="x", exchange_type="fanout"), Exchange.DeclareOk)
    for queue in ("q", "r"):
        client.ask(Queue.Bind(queue=queue, exchange="x"), Queue.BindOk)
    client.say(b"".join(published(b"m", key, "x") for key in ("a", "b", "c")))

    vhost = world.broker.vhosts["/"]
    tallies = vhost.exchanges["x"].tallies
    assert (tallies.messages, tallies.copies) == (3, 6)
    assert dict(tallies.by_queue()) == {"q": 3, "r": 3}
    client.ask(Exchange.Delete(exchange="x"), Exchange.DeleteOk)
    stats = vhost.stats
    assert (stats.departed_messages, stats.departed_copies) == (3, 6)


def test_exchanges_that_lead_to_the_same_queue_are_counted_apart(
    world: World, client: Client
) -> None:
    client.ask(Queue.Bind(queue="q", exchange="amq.fanout"), Queue.BindOk)
    client.say(published(b"x", "q") + published(b"x", "k", "amq.fanout") + published(b"x", "q"))

    exchanges = world.broker.vhosts["/"].exchanges
    assert exchanges[""].tallies.messages == 2
    assert exchanges["amq.fanout"].tallies.messages == 1
    assert client.session.channels[1].publisher.published == {"": 2, "amq.fanout": 1}


def test_queues_that_came_and_went_are_counted(world: World, client: Client) -> None:
    client.declare("q")
    client.declare("r")
    client.ask(Queue.Delete(queue="r"), Queue.DeleteOk)

    stats = world.broker.vhosts["/"].stats
    assert (stats.queues_declared, stats.queues_created, stats.queues_deleted) == (3, 2, 1)
    presence = world.broker.presence
    assert (presence.connections_opened, presence.channels_opened) == (1, 1)
