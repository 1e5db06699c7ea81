"""Timeouts: who keeps messages for too long loses them, and is told so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pamqp.commands import Basic, Queue, Tx
from pamqp.commands import Channel as ChannelClass

from amqpd.amqp import facts, timeouts
from amqpd.broker.limits import Limits
from tests.wire.wire import Client, Message, World, bodies

if TYPE_CHECKING:
    from tests.wire.wire import Received

CANCEL = "consumer_cancel_notify"
QUORUM = {"x-queue-type": "quorum"}


def pass_ms(client: Client, milliseconds: int) -> list[Received]:
    """Let time pass at once; what this client heard."""
    client.now_ms += milliseconds
    client.world.broker.tick(client.now_ms)
    client.session.tick(client.now_ms)
    client.world.turn()
    return client.hear()


def a_client(*capabilities: str, world: World | None = None) -> Client:
    client = (world or World()).client(*capabilities)
    pass_ms(client, 0)
    return client


def hold(client: Client, *octets: bytes, timeout_ms: int = 1_000, **arguments: object) -> None:
    """Get messages of a queue, and do not acknowledge them."""
    client.declare("q", arguments={"x-consumer-timeout": timeout_ms, **arguments})
    for one in octets:
        client.publish(one, "q")
    client.consume("q")
    assert bodies(client.hear()) == list(octets)


def state(client: Client) -> tuple[int | None, int | None]:
    """Ready messages and consumers."""
    answer = client.ask(Queue.Declare(queue="q", passive=True), Queue.DeclareOk)
    return answer.message_count, answer.consumer_count


def cancelled(heard: list[Received]) -> list[str | None]:
    """The tags of consumers that were cancelled; nothing else was heard."""
    tags = [one.consumer_tag for one in heard if isinstance(one, Basic.Cancel) and one.nowait]
    assert len(tags) == len(heard)
    return tags


def closed_with(heard: list[Received]) -> tuple[int | None, str | None]:
    (close,) = heard
    assert isinstance(close, ChannelClass.Close)
    return close.reply_code, close.reply_text


# -- the consumer goes -------------------------------------------------------------------


def test_a_client_that_understands_it_loses_its_consumer_and_what_is_overdue() -> None:
    client = a_client(CANCEL)
    hold(client, b"a")
    assert pass_ms(client, 600) == []
    client.publish(b"b", "q")
    client.hear()

    assert cancelled(pass_ms(client, 600)) == ["t"]

    assert state(client) == (1, 0)
    got = client.get("q")
    assert got is not None
    assert got.body == b"a"
    assert got.method.redelivered  # type: ignore[attr-defined]  # a GetOk
    client.send(Basic.Ack(2))
    assert state(client) == (0, 0)
    assert client.world.broker.vhosts["/"].queues["q"].unacked == 0


@pytest.mark.parametrize("on_queue", [True, False])
def test_each_ack_gives_the_others_their_time_again_where_that_is_asked_for(
    on_queue: bool,
) -> None:
    client = a_client(CANCEL)
    reset = {"x-consumer-timeout-reset": "ack"}
    client.declare("q", arguments={"x-consumer-timeout": 1_000, **(reset if on_queue else {})})
    for one in (b"a", b"b", b"c"):
        client.publish(one, "q")
    client.consume("q", arguments=None if on_queue else reset)
    client.hear()

    for tag in (1, 2):
        assert pass_ms(client, 900) == []
        client.send(Basic.Ack(tag))
    assert pass_ms(client, 900) == []

    assert cancelled(pass_ms(client, 300)) == ["t"]
    assert state(client) == (1, 0)


def test_what_was_taken_back_does_not_count_as_unacked_any_more() -> None:
    client = a_client(CANCEL)
    hold(client, b"a", b"b", b"c", b"d")
    channel = client.session.channels[1]
    pass_ms(client, 1_100)

    assert facts.of_channel(channel).unacked == 0
    client.consume("q", tag="again")
    client.hear()
    assert facts.of_channel(channel).unacked == 4
    for late in (Basic.Ack(2), Basic.Ack(3, multiple=True), Basic.Ack(4), Basic.Ack(5)):
        client.send(late)
        client.hear()

    assert facts.of_channel(channel).unacked == 3


def test_what_is_settled_in_time_is_never_overdue() -> None:
    client = a_client(CANCEL)
    hold(client, b"a", b"b")
    client.send(Basic.Ack(1))
    client.send(Basic.Ack(2))

    assert pass_ms(client, 5_000) == []

    assert state(client) == (0, 1)
    client.publish(b"c", "q")
    assert bodies(client.hear()) == [b"c"]
    assert pass_ms(client, 900) == []
    assert cancelled(pass_ms(client, 200)) == ["t"]


@pytest.mark.parametrize(
    "late",
    [
        [Basic.Ack(1), Basic.Ack(3), Basic.Nack(4), Basic.Reject(2)],
        [Basic.Ack(4, multiple=True)],
        [Basic.Nack(2, multiple=True, requeue=False), Basic.Nack(4, multiple=True)],
        [Basic.Reject(3, requeue=False), Basic.Ack(0, multiple=True)],
    ],
)
def test_what_is_said_too_late_means_nothing(late: list[Basic.Ack | Basic.Nack]) -> None:
    client = a_client(CANCEL)
    hold(client, b"a", b"b", b"c", b"d")
    pass_ms(client, 1_100)

    for command in late:
        client.send(command)

    assert state(client) == (4, 0)
    client.send(Basic.Ack(1))
    assert closed_with(client.hear()) == (406, "PRECONDITION_FAILED - unknown delivery tag 1")


def test_of_a_range_with_gaps_only_the_rest_comes_back() -> None:
    client = a_client(CANCEL)
    client.declare("q", arguments={"x-consumer-timeout": 1_000})
    for octets in (b"a", b"b", b"c", b"d"):
        client.publish(octets, "q")
    client.consume("q")
    client.hear()
    client.send(Basic.Ack(2))

    pass_ms(client, 1_100)

    assert state(client) == (3, 0)
    client.send(Basic.Ack(4, multiple=True))
    assert state(client) == (3, 0)
    client.consume("q", tag="u")
    assert bodies(client.hear()) == [b"a", b"c", b"d"]


def test_a_channel_that_ends_gives_nothing_back_twice() -> None:
    client = a_client(CANCEL)
    hold(client, b"a", b"b")
    pass_ms(client, 1_100)

    client.ask(ChannelClass.Close(0, "", 0, 0), ChannelClass.CloseOk)

    client.open(1)
    assert state(client) == (2, 0)


def test_many_that_are_overdue_come_back_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "MOST", 2)
    client = a_client(CANCEL)
    client.declare("q", arguments={"x-consumer-timeout": 1_000})
    client.consume("q")
    for number in range(5):
        client.publish(b"%d" % number, "q")
    client.hear()

    assert cancelled(pass_ms(client, 1_100)) == ["t"]

    assert state(client) == (2, 0)


def test_only_the_consumer_that_is_late_goes() -> None:
    client = a_client(CANCEL)
    hold(client, b"a")
    client.declare("r", durable=True, arguments=QUORUM)
    client.publish(b"b", "r")
    client.consume("r", tag="quorum")
    client.hear()

    assert cancelled(pass_ms(client, 1_100)) == ["t"]

    assert pass_ms(client, 1_000_000) == []
    assert cancelled(pass_ms(client, 800_000)) == ["quorum"]


def test_a_message_that_is_overdue_sooner_than_those_before_it_goes_first() -> None:
    client = a_client(CANCEL)
    client.declare("r", arguments={"x-consumer-timeout": 60_000})
    client.publish(b"patient", "r")
    client.consume("r", tag="patient")
    client.hear()
    hold(client, b"a")

    assert cancelled(pass_ms(client, 1_100)) == ["t"]

    assert cancelled(pass_ms(client, 60_000)) == ["patient"]


# -- the channel goes --------------------------------------------------------------------

TEXT = (
    "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: "
    "1000 ms. This timeout value can be configured, see consumers doc guide to learn more"
)


def test_a_client_that_does_not_understand_it_loses_its_channel() -> None:
    client = a_client()
    hold(client, b"a")

    assert closed_with(pass_ms(client, 1_100)) == (406, TEXT)

    client.send(ChannelClass.CloseOk())
    client.open(1)
    assert state(client) == (1, 0)


def test_the_channel_goes_where_the_broker_is_set_so() -> None:
    world = World()
    world.broker.limits = Limits(timeout_closes=True)
    client = a_client(CANCEL, world=world)
    hold(client, b"a")

    assert closed_with(pass_ms(client, 1_100)) == (406, TEXT)


def test_the_channel_goes_where_the_consumer_is_gone() -> None:
    client = a_client(CANCEL)
    hold(client, b"a")
    client.ask(Basic.Cancel("t"), Basic.CancelOk)

    assert closed_with(pass_ms(client, 1_100)) == (406, TEXT)


def test_the_channel_goes_where_a_message_was_fetched() -> None:
    client = a_client(CANCEL)
    client.declare("q", arguments={"x-consumer-timeout": 1_000})
    client.publish(b"a", "q")
    assert client.get("q", no_ack=False)

    assert closed_with(pass_ms(client, 1_100)) == (406, TEXT)


def test_what_was_fetched_later_is_overdue_later() -> None:
    client = a_client(CANCEL)
    client.declare("q", arguments={"x-consumer-timeout": 1_000})
    client.publish(b"a", "q")
    client.publish(b"b", "q")
    assert client.get("q", no_ack=False)
    assert pass_ms(client, 600) == []
    assert client.get("q", no_ack=False)
    client.send(Basic.Ack(1))

    assert pass_ms(client, 600) == []
    assert closed_with(pass_ms(client, 500)) == (406, TEXT)


def test_the_channel_goes_in_a_transaction_and_what_it_has_settled_comes_back() -> None:
    client = a_client(CANCEL)
    client.tx()
    hold_in_tx(client, b"a", b"b", b"c", b"d")
    client.send(Basic.Ack(2))

    assert closed_with(pass_ms(client, 1_100)) == (406, TEXT)

    client.send(ChannelClass.CloseOk())
    client.open(1)
    assert state(client) == (4, 0)


def hold_in_tx(client: Client, *octets: bytes) -> None:
    """The same as `hold` on a transactional channel."""
    client.declare("q", arguments={"x-consumer-timeout": 1_000})
    for one in octets:
        client.publish(one, "q")
    client.ask(Tx.Commit(), Tx.CommitOk)
    client.consume("q")
    assert bodies(client.hear()) == list(octets)


def test_a_transaction_that_is_rolled_back_does_not_make_messages_younger() -> None:
    client = a_client(CANCEL)
    client.tx()
    hold_in_tx(client, b"a")
    client.send(Basic.Ack(1))
    client.ask(Basic.Cancel("t"), Basic.CancelOk)
    assert pass_ms(client, 5_000) == []

    client.ask(Tx.Rollback(), Tx.RollbackOk)

    assert closed_with(pass_ms(client, 1)) == (406, TEXT)


def test_nothing_is_handed_out_where_overdue_messages_leave_their_tags() -> None:
    timeouts.GRAVE.owner.wake()

    assert timeouts.GRAVE.dead


def test_a_channel_that_is_at_its_end_is_not_looked_at_again() -> None:
    client = a_client()
    hold(client, b"a")
    assert closed_with(pass_ms(client, 1_100)) == (406, TEXT)
    client.open(2)
    client.consume("q", tag="u", channel=2)
    assert bodies(client.hear()) == [b"a"]

    # Meanwhile the client has not agreed to the end of its first channel.
    assert closed_with(pass_ms(client, 1_100)) == (406, TEXT.replace("channel 1", "channel 2"))


# -- how long ----------------------------------------------------------------------------


def timeout_of(
    client: Client, queue: dict[str, object], consumer: dict[str, object] | None = None
) -> int:
    """What a consumer is allowed; 0: for ever."""
    client.declare("q", durable=True, arguments=queue)
    client.consume("q", arguments=consumer or {})
    timeout: int = client.session.channels[1].consumers["t"].timeout_ms
    return timeout


@pytest.mark.parametrize(
    ("queue", "consumer", "timeout_ms"),
    [
        ({}, {}, 0),
        (QUORUM, {}, 1_800_000),
        ({"x-consumer-timeout": 70}, {}, 70),
        ({**QUORUM, "x-consumer-timeout": 70}, {"x-consumer-timeout": 90}, 90),
        ({"x-consumer-timeout": 70}, {"x-consumer-timeout": 0}, 0),
        ({}, {"x-consumer-timeout": 90}, 90),
    ],
)
def test_the_consumer_decides_then_the_queue_then_its_type(
    queue: dict[str, object], consumer: dict[str, object], timeout_ms: int
) -> None:
    assert timeout_of(a_client(CANCEL), queue, consumer) == timeout_ms


@pytest.mark.parametrize("queue", [{}, QUORUM])
def test_the_broker_decides_where_nothing_else_does(queue: dict[str, object]) -> None:
    client = a_client(CANCEL)
    client.world.broker.around.consumer_timeout_ms = 5_000

    assert timeout_of(client, queue) == 5_000


def test_streams_wait_for_ever() -> None:
    client = a_client(CANCEL)
    client.world.broker.around.consumer_timeout_ms = 5_000
    client.send(Basic.Qos(0, 10))
    client.hear()

    assert timeout_of(client, {"x-queue-type": "stream"}) == 0


def test_who_needs_no_acknowledgement_is_never_late() -> None:
    client = a_client(CANCEL)
    client.declare("q", arguments={"x-consumer-timeout": 1_000})
    client.publish(b"a", "q")
    client.consume("q", no_ack=True)
    (message,) = client.hear()
    assert isinstance(message, Message)

    assert pass_ms(client, 5_000) == []
