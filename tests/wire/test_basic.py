"""basic.*: consuming, getting, settling, prefetch and recovery as a client sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pamqp import frame
from pamqp.commands import Basic, Queue
from pamqp.commands import Channel as ChannelClass
from pamqp.commands import Connection as ConnectionClass

from amqpd.amqp.commands import make
from tests.wire.wire import Client, Message, Received, World, bodies, method_frame, published

if TYPE_CHECKING:
    from collections.abc import Sequence


def a_client(*messages: bytes, capabilities: Sequence[str] = ()) -> Client:
    """A client with a queue q that holds messages."""
    client = World().client(*capabilities)
    client.declare("q")
    for message in messages:
        client.publish(message, "q")
    return client


def deliveries(received: list[Received]) -> list[tuple[int | None, bool, bytes]]:
    """Delivery tag, redelivered and body of each delivery."""
    found = []
    for one in received:
        assert isinstance(one, Message), one
        assert isinstance(one.method, Basic.Deliver)
        found.append((one.method.delivery_tag, one.method.redelivered, one.body))
    return found


def test_a_delivery_names_consumer_tag_exchange_and_key() -> None:
    client = a_client(b"hello")
    client.consume("q", "me")

    (message,) = client.hear()

    assert isinstance(message, Message)
    deliver = message.method
    assert isinstance(deliver, Basic.Deliver)
    assert (deliver.consumer_tag, deliver.delivery_tag) == ("me", 1)
    assert (deliver.exchange, deliver.routing_key, deliver.redelivered) == ("", "q", False)


def test_tags_count_up_per_channel_over_consumers_and_gets() -> None:
    client = a_client(b"1", b"2")
    got = client.get("q", no_ack=False)
    assert got is not None
    assert isinstance(got.method, Basic.GetOk)
    assert (got.method.delivery_tag, got.method.message_count) == (1, 1)

    client.consume("q")

    assert deliveries(client.hear()) == [(2, False, b"2")]


def test_consume_ok_comes_before_the_first_delivery_in_one_read() -> None:
    client = a_client(b"1")
    client.say(frame.marshal(Basic.Consume(queue="q", consumer_tag="t"), 1))

    assert [type(one) for one in client.hear()] == [Basic.ConsumeOk, Message]


def test_a_consumer_without_a_tag_gets_one() -> None:
    client = a_client()

    tag = client.ask(Basic.Consume(queue="q"), Basic.ConsumeOk).consumer_tag

    assert tag is not None
    assert tag.startswith("amq.ctag-")
    assert len(tag) == len("amq.ctag-") + 22


def test_nowait_suppresses_consume_ok_and_cancel_ok() -> None:
    client = a_client(b"1")
    client.send(Basic.Consume(queue="q", consumer_tag="t", nowait=True))
    assert bodies(client.hear()) == [b"1"]

    client.send(Basic.Cancel("t", nowait=True))

    assert client.hear() == []


def test_nothing_is_delivered_after_cancel_ok_and_unacked_stay() -> None:
    client = a_client(b"1")
    client.consume("q", "t")
    client.hear()
    client.ask(Basic.Cancel("t"), Basic.CancelOk)

    client.publish(b"2", "q")
    assert client.hear() == []
    client.send(Basic.Ack(1))

    assert client.ask(Queue.Purge(queue="q"), Queue.PurgeOk).message_count == 1


def test_cancelling_an_unknown_tag_is_fine() -> None:
    assert a_client().ask(Basic.Cancel("what"), Basic.CancelOk).consumer_tag == "what"


def test_an_empty_queue_answers_get_empty() -> None:
    a_client().ask(Basic.Get(queue="q"), Basic.GetEmpty)


def test_a_get_comes_after_consumers_that_wait_in_the_same_read() -> None:
    client = a_client()
    client.consume("q", "t")
    assert client.hear() == []

    client.say(published(b"1", "q") + frame.marshal(Basic.Get(queue="q", no_ack=True), 1))

    delivery, empty = client.hear()
    assert bodies([delivery]) == [b"1"]
    assert isinstance(empty, Basic.GetEmpty)


def test_a_get_comes_after_the_limits_of_what_came_back_in_the_same_read() -> None:
    client = World().client()
    client.declare("q", arguments={"x-max-length": 1})
    client.publish(b"1", "q")
    client.get("q", no_ack=False)
    client.publish(b"2", "q")

    client.say(frame.marshal(Basic.Nack(1), 1) + frame.marshal(Basic.Get(queue="q"), 1))

    (message,) = client.hear()
    assert isinstance(message, Message)
    assert isinstance(message.method, Basic.GetOk)
    assert (message.body, message.method.message_count) == (b"2", 0)


def test_no_ack_needs_no_settling() -> None:
    client = a_client(b"1")
    client.consume("q", no_ack=True)
    client.hear()

    client.send(Basic.Ack(1))

    (close,) = client.hear()
    assert isinstance(close, ChannelClass.Close)


def test_prefetch_is_for_consumers_started_later() -> None:
    client = a_client(b"1", b"2", b"3")
    client.consume("q", "all", no_ack=False)
    assert len(client.hear()) == 3
    client.send(Basic.Nack(3, multiple=True, requeue=True))
    client.hear()
    client.ask(Basic.Cancel("all"), Basic.CancelOk)
    client.send(Basic.Nack(0, multiple=True, requeue=True))
    client.ask(Basic.Qos(prefetch_count=2), Basic.QosOk)

    client.consume("q", "two")
    assert bodies(client.hear()) == [b"1", b"2"]
    client.send(Basic.Ack(7))

    assert bodies(client.hear()) == [b"3"]


def test_a_shared_prefetch_counts_all_consumers_of_the_channel() -> None:
    client = a_client(b"1", b"2", b"3", b"4")
    client.ask(Basic.Qos(prefetch_count=2, global_=True), Basic.QosOk)
    client.consume("q", "a")
    assert bodies(client.hear()) == [b"1", b"2"]

    client.consume("q", "b")
    assert client.hear() == []
    client.send(Basic.Ack(1))
    assert bodies(client.hear()) == [b"3"]
    client.send(Basic.Qos(prefetch_count=0, global_=True))

    assert bodies(client.hear()) == [b"4"]


def test_a_shared_prefetch_serves_the_consumers_of_a_channel_by_turns() -> None:
    client = a_client(b"1", b"2", b"3", b"4", b"5")
    client.ask(Basic.Qos(prefetch_count=1, global_=True), Basic.QosOk)
    client.consume("q", "a")
    assert bodies(client.hear()) == [b"1"]
    client.consume("q", "b")

    tags = []
    for number in (1, 2, 3, 4):
        client.send(Basic.Ack(number))
        (message,) = client.hear()
        assert isinstance(message, Message)
        assert isinstance(message.method, Basic.Deliver)
        tags.append(message.method.consumer_tag)

    assert tags == ["a", "b", "a", "b"]


def test_a_shared_prefetch_that_is_used_up_stops_consumers_without_acks() -> None:
    client = a_client(b"1")
    client.declare("r")
    client.ask(Basic.Qos(prefetch_count=1, global_=True), Basic.QosOk)
    client.consume("q", "a")
    assert bodies(client.hear()) == [b"1"]
    client.ask(Basic.Consume(queue="r", consumer_tag="b", no_ack=True), Basic.ConsumeOk)
    client.publish(b"2", "r")
    client.publish(b"3", "r")
    assert client.hear() == []

    client.send(Basic.Ack(1))

    assert bodies(client.hear()) == [b"2", b"3"]


def test_a_quorum_queue_has_no_consumers_under_a_shared_prefetch() -> None:
    client = World().client()
    client.declare("q", durable=True, arguments={"x-queue-type": "quorum"})
    client.ask(Basic.Qos(prefetch_count=5, global_=True), Basic.QosOk)

    client.send(Basic.Consume(queue="q"))

    (close,) = client.hear()
    assert isinstance(close, ConnectionClass.Close)
    assert close.reply_code == 540
    assert close.reply_text.endswith("queue 'q' in vhost '/' does not support global qos")


def test_messages_got_do_not_count_against_the_prefetch() -> None:
    client = a_client(b"1", b"2")
    client.ask(Basic.Qos(prefetch_count=1), Basic.QosOk)
    client.get("q", no_ack=False)

    client.consume("q")
    assert bodies(client.hear()) == [b"2"]
    client.send(Basic.Ack(1))

    assert client.hear() == []


@pytest.mark.parametrize("settle", [Basic.Reject(2), Basic.Nack(2)])
def test_requeued_messages_return_to_their_place_redelivered(
    settle: Basic.Reject | Basic.Nack,
) -> None:
    client = a_client(b"1", b"2", b"3")
    client.ask(Basic.Qos(prefetch_count=2), Basic.QosOk)
    client.consume("q")
    client.hear()

    client.send(settle)

    assert deliveries(client.hear()) == [(3, True, b"2")]


def test_discarded_messages_are_gone() -> None:
    client = a_client(b"1", b"2")
    client.consume("q")
    client.hear()
    client.send(Basic.Reject(1, requeue=False))
    client.send(Basic.Nack(2, requeue=False))

    client.send(ChannelClass.Close(200, "", 0, 0))
    client.hear()
    client.open(1)

    assert client.get("q") is None


def test_ack_multiple_settles_everything_up_to_the_tag_and_zero_means_all() -> None:
    client = a_client(b"1", b"2", b"3")
    client.consume("q")
    client.hear()

    client.send(Basic.Ack(2, multiple=True))
    client.send(Basic.Ack(0, multiple=True))
    client.send(Basic.Ack(0, multiple=True))

    assert client.hear() == []


def test_tags_before_an_unknown_one_are_settled() -> None:
    client = a_client(b"1", b"2")
    client.consume("q")
    client.hear()

    client.say(b"".join(frame.marshal(Basic.Ack(tag), 1) for tag in (1, 2, 3)))
    client.hear()
    client.send(ChannelClass.CloseOk())
    client.open(1)

    assert client.get("q") is None


def test_a_channels_unacked_return_in_order_when_it_closes() -> None:
    client = a_client(b"1", b"2", b"3")
    client.open(2)
    client.consume("q", channel=1)
    client.hear()

    client.ask(ChannelClass.Close(200, "", 0, 0), ChannelClass.CloseOk)
    client.consume("q", channel=2)

    assert deliveries(client.hear()) == [(1, True, b"1"), (2, True, b"2"), (3, True, b"3")]


def test_a_lost_connection_returns_its_messages_to_the_others() -> None:
    world = World()
    client, other = world.client(), world.client()
    client.declare("q")
    for body in (b"1", b"2"):
        client.publish(body, "q")
    client.consume("q")
    client.hear()
    other.consume("q")

    client.session.connection_lost("reset by peer")
    world.turn()

    assert deliveries(other.hear()) == [(1, True, b"1"), (2, True, b"2")]
    assert client.session.closing


def test_recover_requeues_everything_unacked() -> None:
    client = a_client(b"1", b"2")
    client.consume("q")
    client.hear()

    client.send(Basic.Recover(requeue=True))

    recovered, *again = client.hear()
    assert isinstance(recovered, Basic.RecoverOk)
    assert deliveries(again) == [(3, True, b"1"), (4, True, b"2")]
    client.send(make(Basic.RecoverAsync, requeue=True))
    assert deliveries(client.hear()) == [(5, True, b"1"), (6, True, b"2")]


def test_the_channel_that_deletes_a_queue_gets_its_answer_before_the_cancel() -> None:
    client = World().client("consumer_cancel_notify")
    client.declare("q", durable=True)
    client.consume("q")

    client.send(Queue.Delete(queue="q"))

    assert [type(one) for one in client.hear()] == [Queue.DeleteOk, Basic.Cancel]


def test_only_clients_that_understand_it_are_told_of_a_deleted_queue() -> None:
    world = World()
    told, untold = world.client("consumer_cancel_notify"), world.client()
    told.declare("q")
    told.consume("q", "a")
    untold.consume("q", "b")

    untold.ask(Queue.Delete(queue="q"), Queue.DeleteOk)

    (cancel,) = told.hear()
    assert isinstance(cancel, Basic.Cancel)
    assert (cancel.consumer_tag, cancel.nowait) == ("a", True)
    told.send(Basic.CancelOk("a"))
    assert told.hear() == []
    assert untold.hear() == []


def test_a_consumer_that_may_not_read_any_more_is_cancelled() -> None:
    world = World()
    world.user("reader")
    client = world.client("consumer_cancel_notify", user="reader")
    client.declare("q")
    client.consume("q")
    client.session.access_changed()
    assert client.hear() == []

    world.user("reader", read="^$")
    client.session.access_changed()

    (cancel,) = client.hear()
    assert isinstance(cancel, Basic.Cancel)
    client.publish(b"x", "q")
    assert client.hear() == []


def test_flow_pauses_and_resumes_deliveries() -> None:
    client = a_client()
    client.consume("q")
    assert client.ask(ChannelClass.Flow(active=False), ChannelClass.FlowOk).active is False
    client.publish(b"1", "q")
    assert client.hear() == []

    client.send(ChannelClass.Flow(active=True))

    assert [type(one) for one in client.hear()] == [ChannelClass.FlowOk, Message]


def test_consumer_priority_decides_who_is_served_first() -> None:
    client = a_client()
    client.consume("q", "low")
    client.consume("q", "high", arguments={"x-priority": 5})

    client.publish(b"1", "q")

    (message,) = client.hear()
    assert isinstance(message, Message)
    assert isinstance(message.method, Basic.Deliver)
    assert message.method.consumer_tag == "high"


def test_deliveries_pause_while_the_transport_is_full() -> None:
    client = a_client()
    client.consume("q")
    client.session.writable(False)
    client.publish(b"1", "q")
    client.publish(b"2", "q")
    assert client.hear() == []

    client.session.writable(True)
    client.world.turn()

    assert bodies(client.hear()) == [b"1", b"2"]


def test_a_single_active_consumer_may_be_asked_again_and_again() -> None:
    client = a_client()
    client.declare("sac", arguments={"x-single-active-consumer": True})
    client.consume("sac")
    client.session.writable(False)
    client.publish(b"1", "sac")
    client.publish(b"2", "sac")
    assert client.session.channels[1].consumers["t"].is_slow

    client.session.writable(True)
    client.world.turn()

    assert bodies(client.hear()) == [b"1", b"2"]


def test_deliveries_pause_while_much_is_unwritten() -> None:
    client = a_client()
    client.consume("q", no_ack=True)
    body = b"x" * 700_000
    for _ in range(3):
        client.say(published(body, "q"))

    assert len(client.session.data_to_send()) < 1_500_000
    client.world.turn()

    assert len(bodies(client.hear())) == 1


def test_a_body_larger_than_the_clients_frames_is_split() -> None:
    world = World()
    sender, receiver = world.client(), world.connect()
    receiver.log_in(frame_max=4096)
    receiver.open(3)
    sender.declare("q")
    body = bytes(range(256)) * 64
    sender.publish(body, "q")

    receiver.consume("q", channel=3)

    assert bodies(receiver.hear()) == [body]


def test_deliveries_wait_while_replies_of_their_channel_do() -> None:
    world = World()
    client = world.client()
    client.declare("q")
    client.consume("q")
    world.disk = False
    client.send(Queue.Declare(queue="durable", durable=True))
    client.publish(b"1", "q")
    assert client.hear() == []

    world.commit()

    assert [type(one) for one in client.hear()] == [Queue.DeclareOk, Message]


def test_access_request_always_gives_ticket_1() -> None:
    client = a_client()

    client.say(method_frame(b"\x00\x1e\x00\x0a\x05/data\x1e"))

    assert client.hear_octets() == method_frame(b"\x00\x1e\x00\x0b\x00\x01")
