"""What connections, channels and consumers tell of themselves, as the management shows it."""

from __future__ import annotations

import pytest
from pamqp.commands import Basic
from pamqp.commands import Connection as ConnectionClass

from amqpd.amqp.lines import at_its_end, duration
from amqpd.broker.broker import Alarms
from tests.wire.wire import Client, World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Client:
    return world.client("connection.blocked")


def test_a_connection_is_told_by_both_of_its_ends_and_what_was_agreed(world: World) -> None:
    client = world.connect()
    client.log_in(heartbeat_s=30, frame_max=8192, channel_max=7)
    client.open(1)
    client.open(5)

    told = client.session.facts()

    assert told.name == client.session.name == str(client.peer)
    assert (told.user, told.vhost, told.mechanism, told.protocol) == (
        "guest", "/", "PLAIN", "AMQP 0-9-1",
    )  # fmt: skip
    assert (told.channels, told.channel_max, told.frame_max) == (2, 7, 8192)
    assert told.heartbeat_s == client.session.heartbeat_s == 30
    assert (told.peer_host, told.peer_port, told.tls) == (client.peer.host, client.peer.port, False)
    assert told.received_bytes > 0
    assert told.sent_bytes > 0


def test_a_connection_without_a_vhost_is_told_too(world: World) -> None:
    client = world.connect()
    client.start()

    told = client.session.facts()

    assert (told.vhost, told.channels, told.state) == ("", 0, "running")


def test_the_state_says_why_a_connection_is_not_read(world: World, client: Client) -> None:
    assert client.session.facts().state == "running"

    client.session.reading_paused = True
    assert client.session.facts().state == "flow"

    world.broker.resources(Alarms(memory=True))
    client.publish(b"x", "q")
    assert client.session.facts().state == "blocked"

    world.broker.resources(Alarms())
    client.session.reading_paused = False
    client.hear()
    assert client.session.facts().state == "running"


def test_a_connection_that_ends_is_closing(client: Client) -> None:
    client.session.shut_down()

    assert client.session.facts().state == "closing"
    assert isinstance(client.hear()[-1], ConnectionClass.Close)


def test_a_channel_tells_what_is_on_its_way(world: World, client: Client) -> None:
    client.declare("q", durable=True)
    client.confirms()
    world.disk = False
    client.publish(b"1", "q", properties=Basic.Properties(delivery_mode=2))

    (told,) = client.session.channel_facts()

    assert (told.number, told.state, told.confirms, told.transactional) == (
        1, "running", True, False,
    )  # fmt: skip
    assert (told.unconfirmed, told.confirmed) == (1, 0)
    world.commit()
    (told,) = client.session.channel_facts()
    assert (told.unconfirmed, told.confirmed) == (0, 1)
    assert dict(told.published) == {"": 1}


def test_a_transaction_tells_what_a_commit_would_do(client: Client) -> None:
    client.declare("q")
    client.publish(b"1", "q")
    client.publish(b"2", "q")
    client.open(2)
    client.tx(2)
    client.consume("q", channel=2)
    client.hear()
    client.publish(b"3", "q", channel=2)
    client.send(Basic.Ack(2, True), 2)

    told = client.session.channel_facts()[1]

    assert (told.transactional, told.uncommitted, told.uncommitted_acks) == (True, 1, 2)


def test_a_consumer_tells_what_it_has_and_had(world: World, client: Client) -> None:
    client.declare("q")
    client.send(Basic.Qos(prefetch_count=3))
    client.hear()
    for _ in range(5):
        client.publish(b"x", "q")
    client.consume("q", "tag")
    client.hear()
    client.send(Basic.Nack(1, False, True))
    client.hear()

    (subscription,) = world.broker.vhosts["/"].queues["q"].ring
    told = subscription.consumer.facts()
    (channel,) = client.session.channel_facts()

    assert (told.tag, told.user, told.channel_number, told.connection_name) == (
        "tag", "guest", 1, client.session.name,
    )  # fmt: skip
    assert (told.prefetch, told.unacked, told.delivered, told.redelivered) == (3, 3, 4, 1)
    assert (channel.consumers, channel.unacked, channel.prefetch) == (1, 3, 3)
    assert list(channel.delivered) == [("q", 4, 1)]


@pytest.mark.parametrize(
    ("lasted_ms", "shown"),
    [
        (0, "0ms"),
        (999, "999ms"),
        (1000, "1s"),
        (61_500, "1M, 1s"),
        (3_600_000, "1H, 0M, 0s"),
        (90_061_000, "1D, 1H, 1M, 1s"),
    ],
)
def test_how_long_a_connection_lasted_is_said_as_by_rabbitmq(lasted_ms: int, shown: str) -> None:
    assert duration(lasted_ms) == shown


def test_a_connection_that_entered_no_vhost_is_its_ends_in_the_log(world: World) -> None:
    session = world.connect().session

    assert at_its_end(session) == str(session.peer)


def test_a_connection_is_told_in_the_log_by_where_it_was_and_how_long(
    world: World, client: Client
) -> None:
    world.now_ms += 3000
    world.broker.time_is(world.now_ms)

    told = at_its_end(client.session)
    client.session.connection_lost("")

    assert told == f"{client.peer}, vhost: '/', user: 'guest', duration: '3s'"
    assert at_its_end(client.session) == told
