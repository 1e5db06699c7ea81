"""Streams as a client sees them: offsets, credit, what is refused and in which words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pamqp.commands import Basic, Channel, Connection, Exchange, Queue, Tx

from tests.wire.wire import Client, Message, World, published

if TYPE_CHECKING:
    from tests.wire.wire import Received

STREAM: dict[str, Any] = {"x-queue-type": "stream"}


def a_client(*bodies: bytes, prefetch: int = 10, **arguments: object) -> Client:
    """A client with a stream s that holds messages, and a prefetch limit."""
    client = World().client("consumer_cancel_notify")
    client.declare("s", durable=True, arguments={**STREAM, **arguments})
    for body in bodies:
        client.publish(body, "s")
    client.ask(Basic.Qos(prefetch_count=prefetch), Basic.QosOk)
    return client


def read(client: Client, start: object = "first", tag: str = "t", **more: object) -> None:
    client.consume("s", tag, arguments={"x-stream-offset": start, **more})


def heard(received: list[Received]) -> list[tuple[object, bytes]]:
    """Offset and body of each delivery."""
    found: list[tuple[object, bytes]] = []
    for one in received:
        assert isinstance(one, Message), one
        assert isinstance(one.method, Basic.Deliver)
        assert not one.method.redelivered
        assert one.properties.headers is not None
        found.append((one.properties.headers["x-stream-offset"], one.body))
    return found


def test_messages_stay_and_carry_their_offsets() -> None:
    client = a_client(b"a", b"b")

    for tag in ("one", "two"):
        read(client, tag=tag)
        assert heard(client.hear()) == [(0, b"a"), (1, b"b")]
        client.send(Basic.Ack(0, multiple=True))

    ok = client.ask(Queue.Declare(queue="s", passive=True), Queue.DeclareOk)
    assert (ok.message_count, ok.consumer_count) == (2, 2)


def test_a_run_of_publishes_has_dense_offsets() -> None:
    client = a_client(prefetch=100)
    client.say(b"".join(published(b"%d" % n, "s") for n in range(50)))

    read(client)

    assert heard(client.hear()) == [(n, b"%d" % n) for n in range(50)]


def test_the_channel_of_the_publisher_is_not_the_consumers() -> None:
    client = a_client()
    client.open(2)
    client.publish(b"x" * 200_000, "s", channel=2)

    read(client)

    assert heard(client.hear()) == [(0, b"x" * 200_000)]


def test_publishes_are_confirmed_when_they_are_on_disk() -> None:
    client = a_client()
    client.confirms()
    client.world.disk = False

    client.publish(b"a", "s", properties=Basic.Properties(delivery_mode=1))
    assert client.hear() == []

    client.world.commit()
    (ack,) = client.hear()
    assert isinstance(ack, Basic.Ack)


@pytest.mark.parametrize(
    "settle",
    [
        Basic.Ack(1),
        Basic.Reject(1, requeue=True),
        Basic.Reject(1, requeue=False),
        Basic.Nack(1, requeue=True),
        Basic.Nack(1, requeue=False),
    ],
    ids=lambda method: f"{method.name} {getattr(method, 'requeue', '')}",
)
def test_every_settlement_gives_credit(settle: Basic.Ack) -> None:
    client = a_client(b"a", b"b", b"c", prefetch=1)
    read(client)
    assert heard(client.hear()) == [(0, b"a")]

    client.send(settle)

    assert heard(client.hear()) == [(1, b"b")]


def test_recovery_gives_credit_and_nothing_comes_twice() -> None:
    client = a_client(b"a", b"b", b"c", prefetch=2)
    read(client)
    client.hear()

    client.send(Basic.Recover(requeue=True))

    ok, *deliveries = client.hear()
    assert isinstance(ok, Basic.RecoverOk)
    assert heard(deliveries) == [(2, b"c")]


def test_cancelled_consumers_get_no_more_and_their_tags_stay_valid() -> None:
    client = a_client(b"a", b"b", b"c", prefetch=1)
    read(client)
    client.hear()

    client.ask(Basic.Cancel("t"), Basic.CancelOk)
    client.send(Basic.Ack(1))

    assert client.hear() == []
    read(client)
    assert heard(client.hear()) == [(0, b"a")]


def test_a_transaction_publishes_and_acknowledges_together() -> None:
    client = a_client(b"a")
    client.open(2)
    client.ask(Basic.Qos(prefetch_count=10), Basic.QosOk, 2)
    client.tx(2)
    client.consume("s", "me", 2)
    client.publish(b"b", "s")
    client.hear()

    client.publish(b"c", "s", channel=2)
    client.send(Basic.Ack(1), 2)
    client.hear()
    stream = client.world.broker.vhosts["/"].queues["s"]
    assert stream.ready == 2
    client.send(Tx.Commit(), 2)
    received = client.hear()
    assert any(isinstance(one, Tx.CommitOk) for one in received)
    assert stream.ready == 3


def test_deleting_a_stream_cancels_its_consumers() -> None:
    client = a_client(b"a", b"b")
    read(client)
    client.hear()
    client.open(2)

    ok, cancel = _both(client, Queue.Delete(queue="s"))

    assert isinstance(ok, Queue.DeleteOk)
    assert ok.message_count == 2
    assert isinstance(cancel, Basic.Cancel)


def _both(client: Client, method: Queue.Delete) -> tuple[Received, Received]:
    client.send(method, 2)
    one, other = client.hear()
    return (one, other) if isinstance(one, Queue.DeleteOk) else (other, one)


def test_a_stream_in_use_or_with_messages_is_not_deleted_where_asked_for() -> None:
    client = a_client(b"a")
    client.send(Queue.Delete(queue="s", if_empty=True))
    (close,) = client.hear()
    assert isinstance(close, Channel.Close)
    assert close.reply_text == "PRECONDITION_FAILED - queue 's' in vhost '/' not empty"


# -- what is refused -----------------------------------------------------------------------

WHERE = "queue 's' in vhost '/'"


@pytest.mark.parametrize(
    ("method", "text"),
    [
        (Basic.Get(queue="s"), f"basic.get not supported by stream queues {WHERE}"),
        (Queue.Purge(queue="s"), f"queue.purge not supported by stream queues {WHERE}"),
        (
            Basic.Consume(queue="s", no_ack=True),
            f"automatic acknowledgement not supported by stream {WHERE}",
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_what_streams_do_not_do_ends_the_connection(method: Basic.Get, text: str) -> None:
    client = a_client(b"a")

    client.send(method)

    (close,) = client.hear()
    assert isinstance(close, Connection.Close)
    assert (close.reply_code, close.reply_text) == (540, f"NOT_IMPLEMENTED - {text}")


def test_a_shared_prefetch_limit_ends_the_connection() -> None:
    client = a_client()
    client.ask(Basic.Qos(prefetch_count=5, global_=True), Basic.QosOk)

    client.send(Basic.Consume(queue="s"))

    (close,) = client.hear()
    assert isinstance(close, Connection.Close)
    assert close.reply_text == f"NOT_IMPLEMENTED - {WHERE} does not support global qos"


@pytest.mark.parametrize(
    ("prefetch", "arguments", "text"),
    [
        (0, {}, f"consumer prefetch count is not set for stream {WHERE}"),
        (
            10,
            {"x-stream-offset": "middle"},
            f"invalid arg 'x-stream-offset' for {WHERE}: "
            '{invalid_stream_offset_arg,{longstr,<<"middle">>}}',
        ),
        (10, {"x-priority": 1}, f"invalid arg 'x-priority' for {WHERE} of queue type stream"),
        (
            10,
            {"x-stream-filter": 5},
            f"invalid arg 'x-stream-filter' for {WHERE}: {{unacceptable_type,byte}}",
        ),
        (
            10,
            {"x-filter-match-type": "some"},
            f"invalid arg 'x-filter-match-type' for {WHERE}: invalid_filter_match_type",
        ),
        (
            10,
            {"x-stream-automatic-offset-tracking": 1},
            f"invalid arg 'x-stream-automatic-offset-tracking' for {WHERE}: "
            "{unacceptable_type,byte}",
        ),
    ],
)
def test_consumers_that_are_refused(prefetch: int, arguments: dict[str, object], text: str) -> None:
    client = a_client(prefetch=prefetch)

    client.send(Basic.Consume(queue="s", arguments=arguments))  # type: ignore[arg-type]  # as sent

    (close,) = client.hear()
    assert isinstance(close, Channel.Close)
    assert (close.reply_code, close.reply_text) == (406, f"PRECONDITION_FAILED - {text}")


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"durable": False}, f"invalid property 'non-durable' for {WHERE}"),
        ({"exclusive": True}, f"invalid property 'exclusive-owner' for {WHERE}"),
        ({"auto_delete": True}, f"invalid property 'auto-delete' for {WHERE}"),
        ({"queue": ""}, "Cannot declare a server-named queue for type stream"),
    ],
)
def test_streams_are_durable_and_for_everybody(more: dict[str, Any], text: str) -> None:
    client = World().client()

    client.send(Queue.Declare(**{"queue": "s", "durable": True, "arguments": STREAM, **more}))

    (close,) = client.hear()
    assert isinstance(close, Channel.Close)
    assert (close.reply_code, close.reply_text) == (406, f"PRECONDITION_FAILED - {text}")


@pytest.mark.parametrize(
    "argument",
    [
        {"x-message-ttl": 1000},
        {"x-expires": 1000},
        {"x-dead-letter-exchange": ""},
        {"x-max-length": 10},
        {"x-overflow": "drop-head"},
        {"x-max-priority": 3},
        {"x-single-active-consumer": True},
        {"x-delivery-limit": 3},
        {"x-queue-mode": "lazy"},
    ],
    ids=lambda argument: next(iter(argument)),
)
def test_arguments_that_streams_do_not_take(argument: dict[str, Any]) -> None:
    client = World().client()

    client.send(Queue.Declare(queue="s", durable=True, arguments={**STREAM, **argument}))

    (close,) = client.hear()
    assert isinstance(close, Channel.Close)
    (name,) = argument
    text = f"PRECONDITION_FAILED - invalid arg '{name}' for {WHERE} of queue type stream"
    assert close.reply_text == text


def test_arguments_that_streams_take() -> None:
    client = World().client()

    client.declare(
        "s",
        durable=True,
        arguments={
            **STREAM,
            "x-max-age": "7D",
            "x-max-length-bytes": 1_000_000,
            "x-stream-max-segment-size-bytes": 100_000,
            "x-stream-filter-size-bytes": 32,
            "x-queue-leader-locator": "balanced",
            "x-initial-cluster-size": 3,
        },
    )


def test_rights_are_those_of_queues() -> None:
    world = World()
    client = world.client()
    client.declare("s", durable=True, arguments=STREAM)
    world.user("nobody", configure="^$", write="^$", read="^$")
    other = world.client(user="nobody")
    other.ask(Basic.Qos(prefetch_count=10), Basic.QosOk)

    other.send(Basic.Consume(queue="s"))

    (close,) = other.hear()
    assert isinstance(close, Channel.Close)
    assert close.reply_code == 403


# -- super streams -------------------------------------------------------------------------


def test_a_super_stream_leads_each_key_to_its_partition() -> None:
    client = World().client()
    client.ask(Basic.Qos(prefetch_count=10), Basic.QosOk)
    client.ask(
        Exchange.Declare(exchange="orders", exchange_type="x-super-stream", durable=True),
        Exchange.DeclareOk,
    )
    for number in range(3):
        name = f"orders-{number}"
        client.declare(name, durable=True, arguments=STREAM)
        client.ask(
            Queue.Bind(
                queue=name,
                exchange="orders",
                routing_key=str(number),
                arguments={"x-stream-partition-order": number},
            ),
            Queue.BindOk,
        )

    for number in (0, 1, 1, 2):
        client.publish(b"%d" % number, str(number), "orders")

    for number, bodies in enumerate(([b"0"], [b"1", b"1"], [b"2"])):
        name = f"orders-{number}"
        client.consume(name, name, arguments={"x-stream-offset": "first"})
        assert [body for _, body in heard(client.hear())] == bodies
