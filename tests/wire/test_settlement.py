"""Settlement: what comes back, how often, and very much of it at once, as a client sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pamqp import frame
from pamqp.commands import Basic, Connection, Queue, Tx
from pamqp.commands import Channel as ChannelClass

from amqpd.amqp.commands import make
from tests.wire.wire import Client, Message, World, published

if TYPE_CHECKING:
    from pamqp.base import Frame as Command

QUORUM = {"x-queue-type": "quorum"}
DEAD = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}


@pytest.fixture
def client() -> Client:
    return World().client()


def counts(message: object) -> tuple[object, object]:
    """Acquired and delivery count, as a client finds them."""
    assert isinstance(message, Message)
    headers = message.properties.headers or {}
    return headers.get("x-acquired-count"), headers.get("x-delivery-count")


def fill(client: Client, count: int, queue: str = "q") -> None:
    """Publish messages that are ranges of their own."""
    for number in range(count):
        client.session.receive_data(published(b"%d" % number, queue))
    client.world.turn()


def ready(client: Client, queue: str = "q") -> int | None:
    return client.ask(Queue.Declare(queue=queue, passive=True), Queue.DeclareOk).message_count


def test_a_reject_counts_as_failed_and_a_nack_does_not(client: Client) -> None:
    client.declare("q", durable=True, arguments=QUORUM)
    client.publish(b"m", "q")
    client.consume("q")

    seen = [counts(*client.hear())]
    settle: list[Command] = [
        Basic.Nack(1),
        Basic.Reject(2, requeue=True),
        Basic.Nack(3, True),
        make(Basic.RecoverAsync, requeue=True),
    ]
    for command in settle:
        client.send(command)
        seen.append(counts(*client.hear()))

    assert seen == [(None, None), (1, None), (2, 1), (3, 1), (4, 1)]


def test_the_end_of_a_channel_or_connection_counts_as_failed(client: Client) -> None:
    client.declare("q", durable=True, arguments=QUORUM)
    client.publish(b"m", "q")
    client.open(2)
    client.get("q", channel=2, no_ack=False)
    client.ask(ChannelClass.Close(200, "", 0, 0), ChannelClass.CloseOk, 2)
    other = client.world.client()
    other.consume("q")
    assert counts(*other.hear()) == (1, 1)

    other.session.connection_lost("")
    client.world.turn()

    assert counts(client.get("q")) == (2, 2)


def test_a_message_that_a_consumer_cannot_take_dies_at_the_limit(client: Client) -> None:
    client.declare("dead")
    client.declare("q", arguments={"x-delivery-limit": 1, **DEAD})
    client.publish(b"m", "q")
    client.consume("q")

    for tag in (1, 2):
        client.send(Basic.Reject(tag, requeue=True))

    assert [counts(message) for message in client.hear()] == [(None, None), (1, 1)]
    dead = client.get("dead")
    assert dead is not None
    assert dead.properties.headers is not None
    assert dead.properties.headers["x-last-death-reason"] == "delivery_limit"
    assert ready(client) == 0


def test_the_error_for_an_unknown_tag_names_the_method(client: Client) -> None:
    for number, command in ((1, Basic.Reject(7)), (2, Basic.Nack(7)), (3, Basic.Ack(7))):
        if number > 1:
            client.open(number)
        client.send(command, number)
        (close,) = client.hear()
        assert isinstance(close, ChannelClass.Close)
        assert (close.class_id, close.method_id) == (60, command.index & 0xFF)


# -- very much at once -------------------------------------------------------------------


@pytest.mark.parametrize("way", ["nack", "recover", "channel", "connection"])
def test_two_thousand_unacked_messages_come_back_in_their_order(client: Client, way: str) -> None:
    client.declare("q")
    fill(client, 2000)
    client.consume("q")
    assert len(client.hear()) == 2000
    if way == "nack":
        client.send(Basic.Cancel("t"))
        client.send(Basic.Nack(2000, True, True))
    elif way == "recover":
        client.send(Basic.Cancel("t"))
        client.send(Basic.Recover(requeue=True))
    elif way == "channel":
        client.send(ChannelClass.Close(200, "", 0, 0))
    else:
        client.send(Connection.Close(200, "", 0, 0), 0)

    other = client.world.client()
    other.consume("q")

    heard = other.hear()
    assert [m.body for m in heard if isinstance(m, Message)] == [b"%d" % n for n in range(2000)]
    assert all(m.method.redelivered for m in heard if isinstance(m, Message))  # type: ignore[attr-defined]


def test_the_count_is_right_for_who_asks_in_the_same_read(client: Client) -> None:
    client.declare("q")
    fill(client, 1500)
    client.consume("q")
    client.send(Basic.Cancel("t"))
    client.hear()
    client.session.receive_data(frame.marshal(Basic.Nack(0, True, True), 1))

    assert ready(client) == 1500


def test_what_is_rejected_in_masses_is_dead_lettered_in_its_order(client: Client) -> None:
    client.declare("dead")
    client.declare("q", arguments=DEAD)
    fill(client, 300)
    client.consume("q")
    client.hear()

    client.send(Basic.Nack(299, True, False))

    assert ready(client, "dead") == 299
    first = client.get("dead")
    assert first is not None
    assert first.body == b"0"


@pytest.mark.parametrize(("messages", "at_once"), [(256, True), (257, False)])
def test_masses_that_are_looked_at_one_by_one_come_back_in_turns_as_one_range_too(
    client: Client, messages: int, at_once: bool
) -> None:
    client.declare("q", arguments={"x-delivery-limit": 5})
    client.say(b"".join(published(b"%d" % number, "q") for number in range(messages)))
    client.consume("q")
    client.send(Basic.Cancel("t"))
    client.hear()

    client.session.receive_data(frame.marshal(Basic.Nack(0, True, True), 1))

    queue = client.world.broker.vhosts["/"].queues["q"]
    assert (queue.unacked == 0) == at_once
    client.world.turn()
    assert (queue.unacked, queue.ready) == (0, messages)
    client.consume("q", no_ack=True)
    heard = client.hear()
    assert [m.body for m in heard if isinstance(m, Message)] == [b"%d" % n for n in range(messages)]
    assert {counts(m) for m in heard} == {(1, None)}


def test_masses_of_acks_are_settled_and_give_their_credit_back(client: Client) -> None:
    client.declare("q")
    client.ask(Basic.Qos(prefetch_count=1100), Basic.QosOk)
    fill(client, 1200)
    client.consume("q")
    client.hear()

    client.send(Basic.Ack(1100, True))

    assert len([one for one in client.hear() if isinstance(one, Message)]) == 100
    assert client.world.broker.vhosts["/"].queues["q"].unacked == 100


def test_masses_that_were_not_delivered_are_an_unknown_tag(client: Client) -> None:
    client.declare("q")
    fill(client, 1500)
    client.consume("q")
    client.send(Basic.Nack(1400, False, False))
    client.hear()

    client.send(Basic.Ack(1400, True))

    (close,) = client.hear()
    assert isinstance(close, ChannelClass.Close)
    assert close.reply_text == "PRECONDITION_FAILED - unknown delivery tag 1400"


def test_a_transaction_takes_masses_back_at_once(client: Client) -> None:
    client.declare("q")
    fill(client, 1500)
    client.open(2)
    client.tx(2)
    client.consume("q", channel=2)
    client.hear()
    client.send(Basic.Cancel("t"), 2)
    client.send(Basic.Nack(1500, True, True), 2)

    client.send(Tx.Commit(), 2)

    assert client.world.broker.vhosts["/"].queues["q"].ready == 1500


def test_many_that_are_rejected_with_one_word_become_dead_letters_in_several_turns() -> None:
    world = World()
    client = world.client()
    client.declare("dead")
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    client.declare("q", arguments=arguments)
    count = 3_000
    client.say(published(b"x", "q") * count)
    client.consume("q")
    assert len(client.hear()) == count
    dead = world.broker.vhosts["/"].queues["dead"]

    client.session.receive_data(frame.marshal(Basic.Nack(count, multiple=True, requeue=False), 1))
    assert dead.ready == 0
    world.broker.dispatch()
    assert 0 < dead.ready < count
    while dead.ready < count:
        before = dead.ready
        world.turn()
        assert dead.ready > before
