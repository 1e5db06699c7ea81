"""basic.get of a queue whose head is on disk: the reply keeps its place."""

from __future__ import annotations

import pytest
from pamqp.commands import Basic, Queue
from pamqp.commands import Channel as ChannelClass

from tests.wire.wire import Client, Message, World

PERSISTENT = Basic.Properties(delivery_mode=2)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Client:
    """A client whose queue q holds one message, which is on disk only."""
    client = world.client()
    client.declare("q", durable=True)
    vhost = client.session.vhost
    assert vhost is not None
    (lane,) = vhost.queues["q"].lanes
    lane.window = 1
    world.reading = False
    client.publish(b"in memory", "q", properties=PERSISTENT)
    client.publish(b"on disk", "q", properties=PERSISTENT)
    assert client.get("q") is not None
    return client


def test_a_get_waits_for_the_disk_and_later_replies_for_the_get(
    world: World, client: Client
) -> None:
    client.send(Basic.Get(queue="q"))
    client.send(Queue.Declare(queue="other"))
    assert client.hear() == []

    world.read()

    got, declared = client.hear()
    assert isinstance(got, Message)
    assert isinstance(got.method, Basic.GetOk)
    assert got.body == b"on disk"
    assert isinstance(declared, Queue.DeclareOk)


def test_a_get_that_fails_keeps_no_place(client: Client) -> None:
    client.send(Basic.Get(queue="nope"))

    assert isinstance(client.hear()[0], ChannelClass.Close)


def test_a_message_for_a_channel_that_is_closed_goes_back(world: World, client: Client) -> None:
    client.open(2)
    client.send(Basic.Get(queue="q"))
    client.send(ChannelClass.Close(200, "", 0, 0))

    world.read()

    assert [type(one) for one in client.hear()] == [Message, ChannelClass.CloseOk]
    got = client.get("q", channel=2)
    assert got is not None
    assert isinstance(got.method, Basic.GetOk)
    assert got.method.redelivered
