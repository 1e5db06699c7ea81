"""exchange.* and queue.*: replies, nowait, and the most recently declared queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pamqp.commands import Basic, Exchange, Queue
from pamqp.commands import Channel as ChannelClass

from amqpd.amqp import methods
from amqpd.amqp.commands import make
from tests.wire.wire import Client, Message, World

if TYPE_CHECKING:
    from pamqp.base import Frame as Command


@pytest.fixture
def client() -> Client:
    """A client with a queue q and an exchange x."""
    client = World().client()
    client.ask(Exchange.Declare(exchange="x", exchange_type="topic"), Exchange.DeclareOk)
    client.declare("q")
    return client


def refused(client: Client, command: Command) -> tuple[int, str]:
    """Send a method that closes the channel; code and text."""
    client.send(command)
    (close,) = client.hear()
    assert isinstance(close, ChannelClass.Close), close
    return close.reply_code or 0, close.reply_text


def test_every_method_has_its_reply(client: Client) -> None:
    client.ask(Exchange.Declare(exchange="y", exchange_type="fanout"), Exchange.DeclareOk)
    client.ask(Exchange.Bind(destination="y", source="x", routing_key="#"), Exchange.BindOk)
    client.ask(Queue.Bind(queue="q", exchange="y"), Queue.BindOk)
    client.publish(b"through both", "a.b", "x")
    assert client.ask(Queue.Purge(queue="q"), Queue.PurgeOk).message_count == 1
    client.ask(Exchange.Unbind(destination="y", source="x", routing_key="#"), Exchange.UnbindOk)
    client.ask(Queue.Unbind(queue="q", exchange="y"), Queue.UnbindOk)
    client.ask(Exchange.Delete(exchange="y"), Exchange.DeleteOk)
    client.publish(b"", "q")
    assert client.ask(Queue.Delete(queue="q"), Queue.DeleteOk).message_count == 1


def test_nowait_suppresses_replies_and_not_errors(client: Client) -> None:
    for command in (
        Exchange.Declare(exchange="y", nowait=True),
        Exchange.Bind(destination="y", source="x", nowait=True),
        Exchange.Unbind(destination="y", source="x", nowait=True),
        Exchange.Delete(exchange="y", nowait=True),
        Queue.Declare(queue="r", nowait=True),
        Queue.Bind(queue="r", exchange="x", nowait=True),
        Queue.Purge(queue="r", nowait=True),
        Queue.Delete(queue="r", nowait=True),
    ):
        client.send(command)
    assert client.hear() == []

    assert refused(client, Queue.Purge(queue="r", nowait=True))[0] == 404


def test_declare_ok_tells_messages_and_consumers(client: Client) -> None:
    client.publish(b"1", "q")
    client.publish(b"2", "q")
    ok = client.ask(Queue.Declare(queue="q", passive=True), Queue.DeclareOk)
    assert (ok.queue, ok.message_count, ok.consumer_count) == ("q", 2, 0)

    client.consume("q", no_ack=True)
    client.hear()

    ok = client.ask(Queue.Declare(queue="q"), Queue.DeclareOk)
    assert (ok.message_count, ok.consumer_count) == (0, 1)


def test_a_queue_without_a_name_gets_one(client: Client) -> None:
    name = client.ask(Queue.Declare(queue=""), Queue.DeclareOk).queue

    assert name is not None
    assert name.startswith("amq.gen-")
    assert len(name) == len("amq.gen-") + 22


def test_an_empty_name_means_the_queue_declared_last_on_this_channel(client: Client) -> None:
    client.declare("last", exclusive=True)
    client.ask(Queue.Bind(queue="", exchange="x", routing_key=""), Queue.BindOk)

    client.publish(b"by its name", "last", "x")

    client.send(Basic.Get(queue="", no_ack=True))
    (got,) = client.hear()
    assert isinstance(got, Message)
    client.ask(Queue.Unbind(queue="", exchange="x", routing_key=""), Queue.UnbindOk)
    client.ask(Queue.Purge(queue=""), Queue.PurgeOk)
    client.ask(Basic.Consume(queue=""), Basic.ConsumeOk)
    client.ask(Queue.Delete(queue=""), Queue.DeleteOk)


def test_with_a_queue_name_an_empty_routing_key_stays_empty(client: Client) -> None:
    client.ask(Queue.Bind(queue="q", exchange="x", routing_key=""), Queue.BindOk)

    client.publish(b"", "", "x")
    client.publish(b"", "q", "x")

    assert client.ask(Queue.Purge(queue="q"), Queue.PurgeOk).message_count == 1


def test_a_passive_declare_of_what_is_not_there_is_404(client: Client) -> None:
    assert refused(client, Queue.Declare(queue="nope", passive=True)) == (
        404,
        "NOT_FOUND - no queue 'nope' in vhost '/'",
    )


def test_the_default_exchange_cannot_even_be_declared_passively(client: Client) -> None:
    assert refused(client, Exchange.Declare(exchange="", passive=True)) == (
        403,
        "ACCESS_REFUSED - operation not permitted on the default exchange",
    )


def test_a_binding_may_be_removed_whose_ends_are_gone(client: Client) -> None:
    client.ask(Queue.Unbind(queue="gone", exchange="amq.topic"), Queue.UnbindOk)
    client.ask(Queue.Unbind(queue="gone", exchange="gone"), Queue.UnbindOk)
    client.ask(Exchange.Unbind(destination="gone", source="amq.topic"), Exchange.UnbindOk)
    client.ask(Exchange.Unbind(destination="amq.topic", source="gone"), Exchange.UnbindOk)


def test_a_passive_declare_of_an_exchange_is_404(client: Client) -> None:
    assert refused(client, Exchange.Declare(exchange="nope", passive=True)) == (
        404,
        "NOT_FOUND - no exchange 'nope' in vhost '/'",
    )


def test_deleting_what_is_not_there_is_fine(client: Client) -> None:
    assert client.ask(Queue.Delete(queue="nope"), Queue.DeleteOk).message_count == 0
    client.ask(Exchange.Delete(exchange="nope"), Exchange.DeleteOk)


def test_delete_if_unused_and_if_empty_are_406(client: Client) -> None:
    client.publish(b"x", "q")
    assert refused(client, Queue.Delete(queue="q", if_empty=True)) == (
        406,
        "PRECONDITION_FAILED - queue 'q' in vhost '/' not empty",
    )


def test_any_name_that_rabbitmq_allows_comes_back_as_it_was(client: Client) -> None:
    name = "a name: with ümlauts/and {signs}"
    command = make(Queue.Declare, ticket=0, queue=name, passive=False, durable=False,
                   exclusive=False, auto_delete=False, nowait=False, arguments={})  # fmt: skip

    client.say(methods.encode(command, 1))

    assert methods.shortstr(name) in client.hear_octets()


def test_replies_wait_for_the_disk_and_keep_their_order() -> None:
    world = World()
    client = world.client()
    world.disk = False

    client.send(Queue.Declare(queue="durable", durable=True))
    client.send(Queue.Declare(queue="transient"))
    client.send(Queue.Bind(queue="durable", exchange="amq.direct", routing_key="k"))
    assert client.hear() == []
    world.commit()

    assert [type(one) for one in client.hear()] == [
        Queue.DeclareOk,
        Queue.DeclareOk,
        Queue.BindOk,
    ]


def test_what_waits_on_one_channel_does_not_hold_another_one() -> None:
    world = World()
    client = world.client()
    client.open(2)
    world.disk = False

    client.send(Queue.Declare(queue="durable", durable=True))

    client.ask(Queue.Declare(queue="transient"), Queue.DeclareOk, channel=2)


def test_the_close_of_a_connection_comes_after_replies_that_wait() -> None:
    world = World()
    client = world.client()
    world.disk = False
    client.send(Queue.Declare(queue="durable", durable=True))

    client.send(Queue.Delete(queue="x"), 99)
    assert client.hear() == []
    world.commit()

    declared, close = client.hear()
    assert isinstance(declared, Queue.DeclareOk)
    assert getattr(close, "reply_code", 0) == 504


def test_a_channel_reopened_at_once_keeps_the_order_of_its_number() -> None:
    world = World()
    client = world.client()
    world.disk = False
    client.send(Queue.Declare(queue="durable", durable=True))
    client.send(ChannelClass.Close(200, "", 0, 0))
    client.send(ChannelClass.Open())
    client.send(Queue.Declare(queue="transient"))
    assert client.hear() == []

    world.commit()

    assert [type(one) for one in client.hear()] == [
        Queue.DeclareOk,
        ChannelClass.CloseOk,
        ChannelClass.OpenOk,
        Queue.DeclareOk,
    ]


def test_replies_of_a_channel_that_was_closed_meanwhile_still_come() -> None:
    world = World()
    client = world.client()
    world.disk = False
    client.send(Queue.Declare(queue="durable", durable=True))
    client.send(ChannelClass.Close(200, "", 0, 0))

    world.commit()

    assert [type(one) for one in client.hear()] == [Queue.DeclareOk, ChannelClass.CloseOk]
    client.open(1)


def test_exclusive_queues_go_with_their_connection() -> None:
    world = World()
    client, other = world.client(), world.client()
    client.declare("mine", exclusive=True)

    client.session.connection_lost("reset")

    assert refused(other, Queue.Declare(queue="mine", passive=True))[0] == 404
