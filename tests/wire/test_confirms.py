"""Publisher confirms on the wire: when, in what order, how many at once."""

from __future__ import annotations

import json

import pytest
from pamqp import frame
from pamqp.commands import Basic, Confirm, Queue
from pamqp.commands import Channel as ChannelClass

from amqpd.broker.definitions import PutParameter
from tests.wire.wire import Client, Message, Received, World, published

PERSISTENT = Basic.Properties(delivery_mode=2)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Client:
    """A client in confirm mode, with a durable queue q."""
    client = world.client()
    client.declare("q", durable=True)
    client.confirms()
    return client


def verdicts(received: list[Received]) -> list[tuple[str, int | None, bool]]:
    """Acks and nacks: name, delivery tag, multiple."""
    found: list[tuple[str, int | None, bool]] = []
    for one in received:
        assert isinstance(one, (Basic.Ack, Basic.Nack)), one
        found.append((type(one).__name__, one.delivery_tag, one.multiple))
    return found


def test_a_persistent_message_is_confirmed_when_it_is_on_disk(world: World, client: Client) -> None:
    world.disk = False
    client.publish(b"x", "q", properties=PERSISTENT)
    assert client.hear() == []

    world.commit()

    assert verdicts(client.hear()) == [("Ack", 1, False)]


def test_transient_and_unroutable_messages_are_confirmed_at_once(
    world: World, client: Client
) -> None:
    world.disk = False
    client.publish(b"x", "q")
    assert verdicts(client.hear()) == [("Ack", 1, False)]
    client.publish(b"x", "nowhere", properties=PERSISTENT)
    assert verdicts(client.hear()) == [("Ack", 2, False)]


def test_a_read_is_confirmed_by_one_multiple(client: Client) -> None:
    client.say(b"".join(published(b"x", "q", properties=PERSISTENT) for _ in range(100)))

    assert verdicts(client.hear()) == [("Ack", 100, True)]


def test_messages_without_a_queue_are_confirmed_one_by_one_whatever_came_before(
    client: Client,
) -> None:
    client.publish(b"1", "q")
    client.hear()

    client.say(published(b"x", "nowhere") * 3)

    assert verdicts(client.hear()) == [("Ack", 2, False), ("Ack", 3, False), ("Ack", 4, False)]


def test_confirms_are_in_order_even_if_later_messages_are_safe_earlier(
    world: World, client: Client
) -> None:
    world.disk = False
    client.publish(b"1", "q", properties=PERSISTENT)
    client.publish(b"2", "q")
    assert client.hear() == []

    world.commit()

    assert verdicts(client.hear()) == [("Ack", 2, True)]


def test_a_return_comes_before_its_confirm(client: Client) -> None:
    client.publish(b"x", "nowhere", mandatory=True)

    returned, ack = client.hear()

    assert isinstance(returned, Message)
    assert isinstance(returned.method, Basic.Return)
    assert isinstance(ack, Basic.Ack)


def test_counting_begins_with_the_first_publish_after_select(world: World) -> None:
    client = world.client()
    client.declare("q")
    client.say(published(b"1", "q") + frame.marshal(Confirm.Select(), 1) + published(b"2", "q"))

    select_ok, ack = client.hear()

    assert isinstance(select_ok, Confirm.SelectOk)
    assert verdicts([ack]) == [("Ack", 1, False)]


def test_selecting_twice_does_not_start_again(client: Client) -> None:
    client.publish(b"1", "q")
    client.hear()
    client.confirms()

    client.publish(b"2", "q")

    assert verdicts(client.hear()) == [("Ack", 2, False)]


def test_select_with_nowait_has_no_reply(world: World) -> None:
    client = world.client()
    client.send(Confirm.Select(nowait=True))
    client.publish(b"1", "nowhere")

    assert verdicts(client.hear()) == [("Ack", 1, False)]


def test_what_a_queue_refuses_is_nacked_in_its_turn(world: World, client: Client) -> None:
    client.declare("full", arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    world.disk = False
    client.say(
        published(b"1", "q", properties=PERSISTENT)
        + published(b"2", "full")
        + published(b"3", "full")
        + published(b"4", "full")
        + published(b"5", "q", properties=PERSISTENT)
    )
    assert client.hear() == []

    world.commit()

    assert verdicts(client.hear()) == [
        ("Ack", 2, True), ("Nack", 4, True), ("Ack", 5, False),
    ]  # fmt: skip


def test_what_several_queues_refuse_of_one_read_is_nacked_in_the_order_of_the_client(
    client: Client,
) -> None:
    for name in ("one", "two"):
        client.declare(name, arguments={"x-max-length": 0, "x-overflow": "reject-publish"})

    # Gathered by queue: the first and the fourth together, before the second.
    client.say(b"".join(published(b"x", name) for name in ("one", "two", "q", "one")))

    assert verdicts(client.hear()) == [("Nack", 2, True), ("Ack", 3, False), ("Nack", 4, False)]


def test_a_read_for_a_queue_that_is_full_is_refused_as_a_whole(client: Client) -> None:
    client.declare("full", arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    client.publish(b"1", "full")
    assert verdicts(client.hear()) == [("Ack", 1, False)]

    client.say(b"".join(published(b"x", "full") for _ in range(5)))

    assert verdicts(client.hear()) == [("Nack", 6, True)]
    assert client.world.broker.vhosts["/"].queues["full"].ready == 1


def test_refused_messages_that_have_to_be_looked_at_are_nacked_each_by_its_number(
    client: Client,
) -> None:
    client.declare("full", arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    special = Basic.Properties(user_id="guest")

    client.say(b"".join(published(b"x", "full", properties=special) for _ in range(3)))
    client.publish(b"4", "full", properties=special)

    assert verdicts(client.hear()) == [("Ack", 1, False), ("Nack", 3, True), ("Nack", 4, False)]


def test_a_message_consumed_and_acked_before_it_was_written_is_confirmed(
    world: World, client: Client
) -> None:
    client.consume("q")
    world.disk = False
    client.publish(b"x", "q", properties=PERSISTENT)
    (delivered,) = client.hear()
    assert isinstance(delivered, Message)

    client.send(Basic.Ack(1))

    assert verdicts(client.hear()) == [("Ack", 1, False)]


def test_of_what_was_published_together_all_is_on_disk_or_acked_before_it_is_confirmed(
    world: World, client: Client
) -> None:
    client.declare("r", durable=True)
    client.consume("q")
    world.disk = False
    client.say(b"".join(published(b"x", name, properties=PERSISTENT) for name in ("q", "r")))
    (delivered,) = client.hear()
    assert isinstance(delivered, Message)

    client.send(Basic.Ack(1))
    assert client.hear() == []

    world.commit()
    assert verdicts(client.hear()) == [("Ack", 2, True)]


def test_confirms_do_not_overtake_replies_that_wait(world: World) -> None:
    client = world.client()
    world.disk = False
    client.send(Queue.Declare(queue="durable", durable=True))
    client.send(Confirm.Select())
    client.publish(b"x", "nowhere")
    assert client.hear() == []

    world.commit()

    assert [type(one) for one in client.hear()] == [
        Queue.DeclareOk,
        Confirm.SelectOk,
        Basic.Ack,
    ]


def test_a_channel_that_is_closed_confirms_nothing_more(client: Client) -> None:
    client.say(published(b"1", "q") + frame.marshal(Basic.Ack(9), 1))

    (close,) = client.hear()
    assert isinstance(close, ChannelClass.Close)


def test_each_channel_counts_for_itself(client: Client) -> None:
    client.open(2)
    client.confirms(2)

    client.say(published(b"1", "q") + published(b"2", "q", channel=2) + published(b"3", "q"))

    assert verdicts(client.hear()) == [("Ack", 2, True), ("Ack", 1, False)]
    assert client.session.channels[1].confirms is not None
    assert client.session.channels[1].confirms.outstanding == 0


def test_what_a_policy_has_made_refuse_refuses_on_channels_that_knew_it_before(
    world: World, client: Client
) -> None:
    client.declare("kept", durable=True)
    client.publish(b"1", "kept", properties=PERSISTENT)
    client.hear()
    value = {
        "pattern": "^kept$", "priority": 0, "apply-to": "queues",
        "definition": {"max-length": 1, "overflow": "reject-publish"},
    }  # fmt: skip
    world.broker.change(PutParameter("policy", "/", "full", json.dumps(value)))
    world.turn()

    client.publish(b"2", "kept", properties=PERSISTENT)

    (refused,) = client.hear()
    assert isinstance(refused, Basic.Nack)
