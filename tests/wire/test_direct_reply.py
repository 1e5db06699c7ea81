"""Direct reply-to: from the request's reply-to to the reply's delivery."""

from __future__ import annotations

import pytest
from pamqp.commands import Basic, Queue, Tx
from pamqp.commands import Channel as ChannelClass
from pamqp.commands import Connection as ConnectionClass

from amqpd.broker.definitions import PutPermission, PutVhost
from tests.wire.wire import Client, Message, World, bodies

PSEUDO = "amq.rabbitmq.reply-to"


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def asker(world: World) -> Client:
    """A client that consumes replies, with a queue for requests."""
    client = world.client()
    client.declare("requests")
    client.consume(PSEUDO, "replies", no_ack=True)
    return client


def ask(asker: Client, answerer: Client) -> str:
    """Send a request; the name under which it can be answered."""
    asker.publish(b"?", "requests", properties=Basic.Properties(reply_to=PSEUDO))
    request = answerer.get("requests")
    assert request is not None
    name = request.properties.reply_to
    assert name is not None
    return name


def refusal(client: Client) -> tuple[int | None, str]:
    """Code and text of the channel.close that came."""
    (close,) = client.hear()
    assert isinstance(close, ChannelClass.Close), close
    return close.reply_code, close.reply_text


def test_a_reply_finds_its_way_without_a_queue(world: World, asker: Client) -> None:
    answerer = world.client()
    name = ask(asker, answerer)
    assert name.startswith(PSEUDO + ".")

    answerer.publish(b"!", name, properties=Basic.Properties(correlation_id="7"))

    (reply,) = asker.hear()
    assert isinstance(reply, Message)
    assert isinstance(reply.method, Basic.Deliver)
    assert (reply.method.consumer_tag, reply.method.delivery_tag) == ("replies", 1)
    assert (reply.method.exchange, reply.method.routing_key) == ("", name)
    assert (reply.body, reply.properties.correlation_id) == (b"!", "7")


def test_no_reply_comes_from_another_vhost(world: World, asker: Client) -> None:
    name = ask(asker, world.client())
    world.broker.apply(PutVhost("elsewhere"))
    world.broker.apply(PutPermission("other", "elsewhere", ".*", ".*", ".*"))
    elsewhere = world.connect()
    elsewhere.start(response="\0other\0other")
    elsewhere.send(ConnectionClass.TuneOk(2047, 131_072, 0), 0)
    elsewhere.send(ConnectionClass.Open("elsewhere"), 0)
    elsewhere.hear()
    elsewhere.open(1)

    elsewhere.publish(b"!", name)

    assert bodies(asker.hear()) == []


def test_lavinmqs_name_for_it_is_understood(world: World) -> None:
    asker, answerer = world.client(), world.client()
    asker.declare("requests")
    asker.consume("amq.direct.reply-to", "replies", no_ack=True)
    properties = Basic.Properties(reply_to="amq.direct.reply-to")
    asker.publish(b"?", "requests", properties=properties)
    request = answerer.get("requests")
    assert request is not None
    assert request.properties.reply_to is not None

    answerer.publish(b"!", request.properties.reply_to)

    assert bodies(asker.hear()) == [b"!"]


def test_a_reply_counts_as_routed_and_is_confirmed(world: World, asker: Client) -> None:
    answerer = world.client()
    name = ask(asker, answerer)
    answerer.confirms()

    answerer.publish(b"!", name, mandatory=True)

    (ack,) = answerer.hear()
    assert isinstance(ack, Basic.Ack)


@pytest.mark.parametrize("how", ["cancel", "close", "lose"])
def test_when_the_asker_is_gone_a_mandatory_reply_comes_back(
    world: World, asker: Client, how: str
) -> None:
    answerer = world.client()
    name = ask(asker, answerer)
    answerer.ask(Queue.Declare(queue=name, passive=True), Queue.DeclareOk)

    if how == "cancel":
        asker.ask(Basic.Cancel("replies"), Basic.CancelOk)
    elif how == "close":
        asker.ask(ChannelClass.Close(200, "", 0, 0), ChannelClass.CloseOk)
    else:
        asker.session.connection_lost("gone")

    answerer.publish(b"!", name, mandatory=True)
    (returned,) = answerer.hear()
    assert isinstance(returned, Message)
    answerer.send(Queue.Declare(queue=name, passive=True))
    assert refusal(answerer) == (404, f"NOT_FOUND - no queue '{name}' in vhost '/'")


def test_a_reply_of_another_vhost_finds_nobody(world: World, asker: Client) -> None:
    name = ask(asker, world.client())
    world.broker.apply(PutVhost("elsewhere"))
    world.broker.apply(PutPermission("other", "elsewhere", ".*", ".*", ".*"))
    stranger = world.connect()
    stranger.log_in(user="other", vhost="elsewhere")
    stranger.open(1)

    stranger.publish(b"!", name, mandatory=True)

    assert len(bodies(stranger.hear())) == 1, "it comes back"
    assert asker.hear() == []


def test_declaring_the_name_tells_whether_anyone_waits(world: World, asker: Client) -> None:
    answerer = world.client()
    name = ask(asker, answerer)

    for queue in (name, PSEUDO):
        ok = answerer.ask(Queue.Declare(queue=queue), Queue.DeclareOk)
        assert (ok.queue, ok.message_count, ok.consumer_count) == (queue, 0, 1)


def test_the_pseudo_queue_cannot_be_bound(asker: Client) -> None:
    asker.send(Queue.Bind(queue=PSEUDO, exchange="amq.direct"))

    assert refusal(asker) == (
        403,
        "ACCESS_REFUSED - cannot bind or unbind to a volatile (direct reply-to) queue",
    )


def test_there_is_one_reply_consumer_for_a_channel(asker: Client) -> None:
    asker.send(Basic.Consume(queue=PSEUDO, no_ack=True))

    assert refusal(asker) == (406, "PRECONDITION_FAILED - reply consumer already set")


def test_a_reply_consumer_cannot_acknowledge(world: World) -> None:
    client = world.client()
    client.send(Basic.Consume(queue=PSEUDO))

    assert refusal(client) == (406, "PRECONDITION_FAILED - reply consumer cannot acknowledge")


def test_its_tag_cannot_be_used_again(asker: Client) -> None:
    asker.send(Basic.Consume(queue="requests", consumer_tag="replies"))

    (close,) = asker.hear()
    assert getattr(close, "reply_code", 0) == 530


def test_replies_that_nobody_reads_are_lost_in_the_end(world: World, asker: Client) -> None:
    answerer = world.client()
    name = ask(asker, answerer)
    for _ in range(20):
        answerer.publish(b"x" * 1_000_000, name)

    answerer.publish(b"x", name, mandatory=True)

    assert len(bodies(answerer.hear())) == 1
    assert len(bodies(asker.hear())) == 17


def test_in_a_transaction_a_reply_waits_for_the_commit(world: World, asker: Client) -> None:
    answerer = world.client()
    name = ask(asker, answerer)
    answerer.tx()
    answerer.publish(b"!", name)
    assert asker.hear() == []

    answerer.ask(Tx.Commit(), Tx.CommitOk)

    assert bodies(asker.hear()) == [b"!"]
