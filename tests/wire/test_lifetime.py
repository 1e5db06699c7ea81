"""What is over is gone at once: the collector of garbage comes seldom."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest
from pamqp.commands import Basic, Queue
from pamqp.commands import Channel as ChannelClass

from amqpd.amqp.channel import Channel
from amqpd.amqp.replies import Replies
from tests.wire.wire import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.wire.wire import Client


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def nothing(client: Client) -> None:
    """A channel that was only opened."""


def busy(client: Client) -> None:
    client.confirms()
    client.publish(b"x", "q")
    client.send(Basic.Consume(queue="q", consumer_tag="t"))
    client.send(Basic.Consume(queue="amq.rabbitmq.reply-to", consumer_tag="r", no_ack=True))
    client.hear()


def in_transaction(client: Client) -> None:
    client.tx()
    client.publish(b"x", "q")


def closed(client: Client) -> None:
    client.ask(ChannelClass.Close(200, "", 0, 0), ChannelClass.CloseOk)


def failed(client: Client) -> None:
    client.send(Queue.Declare(queue="nothing", passive=True))
    client.send(ChannelClass.CloseOk())
    client.hear()


def lost(client: Client) -> None:
    client.session.connection_lost("")


@pytest.mark.parametrize("used", [nothing, busy, in_transaction])
@pytest.mark.parametrize("ended", [closed, failed, lost])
def test_a_channel_is_gone_with_its_end(
    used: Callable[[Client], None], ended: Callable[[Client], None]
) -> None:
    client = World().client()
    client.declare("q")
    used(client)
    assert alive() == 1

    ended(client)
    client.world.turn()

    assert alive() == 0


@pytest.mark.parametrize("ended", [closed, failed])
def test_nothing_is_kept_for_the_number_of_a_channel_that_has_ended(
    ended: Callable[[Client], None],
) -> None:
    client = World().client()
    assert alive(Replies) == 1

    ended(client)

    assert alive(Replies) == 0


def alive(kind: type = Channel) -> int:
    """How many channels there are, or others."""
    return sum(type(one) is kind for one in gc.get_objects())
