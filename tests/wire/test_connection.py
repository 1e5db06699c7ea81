"""A running connection: heartbeats, new secrets, and its end from both sides."""

from __future__ import annotations

import logging

import pytest
from pamqp import frame
from pamqp.commands import Basic, Queue, Tx
from pamqp.commands import Channel as ChannelClass
from pamqp.commands import Connection as ConnectionClass

from amqpd.amqp import frames
from amqpd.amqp.phase import Phase
from amqpd.broker.broker import Alarms
from amqpd.errors import ConnectionForced
from tests.wire.wire import HEADER, Client, Message, World

CLOSE = ConnectionClass.Close(200, "bye", 0, 0)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Client:
    """A client that understands connection.blocked."""
    return world.client("connection.blocked")


def beats(client: Client, seconds: float) -> int:
    """How many heartbeats come in this time, from a client that says nothing."""
    count = 0
    until = client.now_ms + int(seconds * 1000)
    while client.now_ms < until:
        client.now_ms += 500
        client.session.tick(client.now_ms)
        count += client.hear_octets().count(frames.HEARTBEAT_FRAME)
    return count


# -- heartbeats ----------------------------------------------------------------------------


def test_a_heartbeat_comes_twice_an_interval_when_nothing_else_is_sent(world: World) -> None:
    client = world.connect()
    client.log_in(heartbeat_s=4)
    client.session.tick(client.now_ms)
    client.hear_octets()

    assert beats(client, 8) == 4


def test_no_heartbeats_where_none_were_agreed(client: Client) -> None:
    assert beats(client, 100) == 0
    assert not client.session.closing


def test_a_client_that_is_silent_for_two_intervals_is_dead(world: World) -> None:
    client = world.connect()
    client.log_in(heartbeat_s=4)
    client.session.tick(client.now_ms)
    client.wait(8)
    assert not client.session.closing
    client.wait(0.5)
    assert client.session.closing


def test_a_broker_that_stood_still_gives_its_clients_another_two_intervals(world: World) -> None:
    client = world.connect()
    client.log_in(heartbeat_s=4)
    client.session.tick(client.now_ms)
    client.wait(600, step_ms=600_000)
    assert not client.session.closing
    client.wait(8)
    assert not client.session.closing
    client.wait(0.5)
    assert client.session.closing


def test_any_traffic_shows_that_a_client_lives(world: World) -> None:
    client = world.connect()
    client.log_in(heartbeat_s=2)
    for _ in range(5):
        client.say(frames.HEARTBEAT_FRAME)
        client.wait(3)
    assert not client.session.closing


@pytest.mark.parametrize("blocked", [False, True])
def test_a_client_that_is_not_read_is_not_taken_for_dead(world: World, blocked: bool) -> None:
    client = world.connect()
    client.log_in(heartbeat_s=2)
    client.open(1)
    if blocked:
        world.broker.resources(Alarms(memory=True))
        client.publish(b"x", "q")
    else:
        client.session.reading_paused = True

    client.wait(60)

    assert not client.session.closing


def is_held(client: Client) -> bool:
    """Whether the server is not to read this connection."""
    return not client.session.wants_reading


def test_a_client_that_pipelines_far_ahead_of_the_disk_is_not_read(
    world: World, client: Client
) -> None:
    world.disk = False
    client.send(Queue.Declare(queue="q", durable=True))
    client.say(frame.marshal(Queue.Declare(queue="other"), 1) * 4095)
    assert not is_held(client)
    client.send(Queue.Declare(queue="other"))
    assert is_held(client)

    world.commit()

    assert not is_held(client)
    assert len(client.hear()) == 4097


# -- update-secret -------------------------------------------------------------------------


def test_a_new_secret_is_accepted(client: Client) -> None:
    client.ask(ConnectionClass.UpdateSecret("guest", "old"), ConnectionClass.UpdateSecretOk, 0)


def test_a_new_secret_that_is_wrong_closes_the_connection(client: Client) -> None:
    client.send(ConnectionClass.UpdateSecret("wrong", "old"), 0)

    (close,) = client.hear()
    assert isinstance(close, ConnectionClass.Close)
    assert (close.reply_code, close.reply_text) == (
        530,
        "NOT_ALLOWED - New secret was refused by one of the backends",
    )


def test_a_secret_decided_on_after_the_end_changes_nothing(world: World, client: Client) -> None:
    world.later = True
    client.send(ConnectionClass.UpdateSecret("guest", "old"), 0)
    client.send(CLOSE, 0)
    client.hear()

    world.logins.pop()()

    assert client.hear() == []


# -- the end -------------------------------------------------------------------------------


def test_a_client_closes(client: Client) -> None:
    client.ask(CLOSE, ConnectionClass.CloseOk, 0)

    assert client.session.closing
    assert client.session.phase is Phase.CLOSED
    client.say(frame.marshal(Tx.Select(), 1))
    assert client.hear() == []


def test_close_ok_comes_after_replies_that_wait(world: World, client: Client) -> None:
    world.disk = False
    client.send(Queue.Declare(queue="q", durable=True))
    client.send(CLOSE, 0)
    assert client.hear() == []
    client.send(ConnectionClass.CloseOk(), 0)
    assert not client.session.closing

    world.commit()

    assert [type(one) for one in client.hear()] == [Queue.DeclareOk, ConnectionClass.CloseOk]
    assert client.session.closing


def test_both_sides_may_close_at_once(client: Client) -> None:
    client.session.close(ConnectionForced("Closed via management plugin"))
    client.send(CLOSE, 0)

    close, close_ok = client.hear()
    assert isinstance(close, ConnectionClass.Close)
    assert close.reply_text == "CONNECTION_FORCED - Closed via management plugin"
    assert isinstance(close_ok, ConnectionClass.CloseOk)
    client.send(ConnectionClass.CloseOk(), 0)
    assert client.session.closing


def test_the_end_of_the_broker_is_320_and_waits_for_nothing(world: World, client: Client) -> None:
    world.disk = False
    client.send(Queue.Declare(queue="q", durable=True))

    client.session.shut_down()
    client.session.shut_down()

    (close,) = client.hear()
    assert isinstance(close, ConnectionClass.Close)
    assert (close.reply_code, close.reply_text) == (
        320,
        "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'",
    )


def test_a_client_that_does_not_agree_to_the_end_has_one_interval_of_its_heartbeats(
    world: World,
) -> None:
    client = world.connect()
    client.log_in(heartbeat_s=2)
    client.session.shut_down()

    client.wait(1.5)
    assert not client.session.closing
    client.wait(0.5)

    assert client.session.closing


def test_our_own_failure_is_541_without_details(client: Client) -> None:
    client.session.fail()

    (close,) = client.hear()
    assert isinstance(close, ConnectionClass.Close)
    assert (close.reply_code, close.reply_text) == (541, "INTERNAL_ERROR - internal error")


def test_a_connection_that_has_not_begun_just_ends(world: World) -> None:
    client = world.connect()

    client.session.shut_down()

    assert client.session.closing
    assert client.hear_octets() == b""


@pytest.mark.parametrize(("spoke", "warnings"), [(False, 0), (True, 1)])
def test_who_only_looks_whether_the_port_is_open_is_not_worth_a_warning(
    world: World, caplog: pytest.LogCaptureFixture, spoke: bool, warnings: int
) -> None:
    client = world.connect()
    if spoke:
        client.say(HEADER)

    with caplog.at_level(logging.INFO):
        client.session.connection_lost("reset")

    assert client.session.closing
    assert len(caplog.records) == warnings


def test_a_bug_closes_one_connection_and_is_logged(
    world: World, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    other = world.client()
    vhost = client.session.vhost
    assert vhost is not None
    client.declare("q")
    del vhost.queues["q"].ring  # a bug: the queue has lost its consumers

    with caplog.at_level(logging.ERROR):
        client.session.receive_data(frame.marshal(Queue.Delete(queue="q", if_unused=True), 1))

    (close,) = client.hear()
    assert isinstance(close, ConnectionClass.Close)
    assert close.reply_code == 541
    assert "internal error" in caplog.text
    other.session.receive_data(frame.marshal(Tx.Select(), 1))
    assert isinstance(other.hear()[0], Tx.SelectOk)


def test_everything_is_given_back_when_the_socket_is_lost(world: World) -> None:
    client, other = world.client(), world.client()
    other.declare("q")
    client.tx()
    client.open(2)
    client.consume("q")
    client.consume("q", channel=2)
    other.publish(b"1", "q")
    other.publish(b"2", "q")
    client.hear()
    client.send(Basic.Ack(1))

    client.session.connection_lost("")

    ok = other.ask(Queue.Declare(queue="q", passive=True), Queue.DeclareOk)
    assert (ok.message_count, ok.consumer_count) == (2, 0)
    client.session.connection_lost("again")
    world.broker.resources(Alarms(memory=True))
    assert client.hear() == []


def test_replies_that_wait_die_with_the_socket(world: World, client: Client) -> None:
    world.disk = False
    client.send(Queue.Declare(queue="q", durable=True))

    client.session.connection_lost("")
    world.commit()

    assert client.hear() == []


def test_a_bound_on_time_is_kept_even_while_the_disk_hangs(world: World, client: Client) -> None:
    world.disk = False
    client.send(Queue.Declare(queue="q", durable=True))
    client.send(Tx.Select(), 99)

    client.wait(30)

    assert client.session.closing


def test_channels_are_independent(client: Client) -> None:
    client.open(2)
    client.send(Basic.Get(queue="nope"), 2)
    assert isinstance(client.hear()[0], ChannelClass.Close)

    client.declare("q", channel=1)
    client.publish(b"1", "q")

    got = client.get("q")
    assert isinstance(got, Message)
