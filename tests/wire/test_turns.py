"""What one read brings about may take long: then it is done in turns, and nothing is different."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pamqp import frame
from pamqp.commands import Basic, Exchange, Queue
from pamqp.commands import Channel as ChannelClass
from pamqp.commands import Connection as ConnectionClass

from amqpd.amqp.connection import Connection, Environment
from amqpd.broker.broker import Alarms
from amqpd.broker.definitions import PutBinding, PutPermission, PutQueue
from tests.wire.wire import World, bodies, published

if TYPE_CHECKING:
    from tests.wire.wire import Client


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Client:
    """With queues a and b, which the exchange x fans out to."""
    client = world.client()
    client.ask(Exchange.Declare(exchange="x", exchange_type="fanout"), Exchange.DeclareOk)
    for name in ("a", "b"):
        client.declare(name)
        client.ask(Queue.Bind(queue=name, exchange="x"), Queue.BindOk)
    return client


def ready(world: World, name: str) -> int:
    return world.broker.vhosts["/"].queues[name].ready


def fanned_out(count: int, **more: object) -> bytes:
    """Messages that have to be routed one by one, in one read."""
    properties = Basic.Properties(**more) if more else None  # type: ignore[arg-type]  # as given
    return b"".join(published(b"%d" % n, f"k{n}", "x", properties=properties) for n in range(count))


def test_a_read_that_takes_long_is_done_in_turns_and_nobody_waits_for_its_end(
    world: World, client: Client
) -> None:
    other = world.client()
    world.late = True

    client.session.receive_data(fanned_out(20))

    assert client.session.is_behind
    assert ready(world, "a") < 5
    world.late = False
    other.declare("mine")
    assert ready(world, "a") < 5
    world.late = True
    assert client.catch_up() >= 15
    assert (ready(world, "a"), ready(world, "b")) == (20, 20)


def test_nothing_is_read_meanwhile_and_silence_is_no_fault(world: World, client: Client) -> None:
    world.late = True
    client.session.receive_data(fanned_out(5))

    assert not client.session.wants_reading
    client.session.receive_data(fanned_out(5))
    assert ready(world, "a") < 5

    assert (client.catch_up() > 0, client.session.wants_reading) == (True, True)
    assert ready(world, "a") == 10


def test_a_frame_that_is_cut_anywhere_is_joined_again(world: World, client: Client) -> None:
    world.late = True
    octets = fanned_out(3)

    for at in range(len(octets)):
        client.session.receive_data(octets[:at])
        client.session.receive_data(octets[at:])
        client.catch_up()

    assert ready(world, "a") == 3 * len(octets)


@pytest.mark.parametrize("more", [{}, {"headers": {"CC": ["a"]}}, {"expiration": "900000"}])
def test_order_and_confirms_are_those_of_a_read_at_once(
    world: World, client: Client, more: dict[str, object]
) -> None:
    client.confirms()
    client.consume("a", no_ack=True)
    world.late = True

    client.session.receive_data(fanned_out(20, **more))
    client.catch_up()

    heard = client.hear()
    assert bodies(heard) == [b"%d" % n for n in range(20)]
    acks = [one for one in heard if isinstance(one, Basic.Ack)]
    assert acks[-1].delivery_tag == 20


def test_an_error_in_the_middle_ends_the_channel_there(world: World, client: Client) -> None:
    world.late = True
    wrong = published(b"x", "k", "nowhere")

    client.session.receive_data(fanned_out(5) + wrong + fanned_out(5))
    client.catch_up()

    (close,) = client.hear()
    assert isinstance(close, ChannelClass.Close)
    assert close.reply_code == 404
    assert ready(world, "a") == 5


def test_methods_wait_for_their_turn_too(world: World, client: Client) -> None:
    world.late = True
    declares = b"".join(
        frame.marshal(Queue.Declare(queue=f"q{n}", exclusive=True), 1) for n in range(10)
    )

    client.session.receive_data(declares)
    assert len(client.hear()) == 1
    client.catch_up()

    assert len(client.hear()) == 9


def test_the_end_is_agreed_on_when_all_before_it_is_done(world: World, client: Client) -> None:
    world.late = True
    close = frame.marshal(ConnectionClass.Close(200, "", 0, 0), 0)

    client.session.receive_data(fanned_out(5) + close)
    client.catch_up()

    assert [type(one) for one in client.hear()] == [ConnectionClass.CloseOk]
    assert ready(world, "a") == 5


def test_what_waits_when_an_alarm_is_raised_is_not_forgotten(world: World, client: Client) -> None:
    world.late = True
    client.session.receive_data(fanned_out(5))

    world.broker.resources(Alarms(memory=True))
    client.catch_up()
    client.session.receive_data(fanned_out(5))
    client.catch_up()
    world.broker.resources(Alarms())
    client.catch_up()

    assert ready(world, "a") == 10


def test_a_connection_that_is_gone_does_nothing_more(world: World, client: Client) -> None:
    world.late = True
    client.session.receive_data(fanned_out(5))
    before = ready(world, "a")

    client.session.connection_lost("")
    client.catch_up()

    assert ready(world, "a") == before


def test_a_turn_for_which_nothing_is_left_does_nothing(world: World, client: Client) -> None:
    world.late = True
    client.session.receive_data(fanned_out(2))
    client.catch_up()
    client.hear()

    client.session.catch_up()

    assert ready(world, "a") == 2
    assert client.session.wants_reading


def test_what_is_settled_in_a_later_turn_counts_for_a_full_queue(
    world: World, client: Client
) -> None:
    client.declare("full", arguments={"x-max-length": 2, "x-overflow": "block"})
    client.publish(b"x", "full")
    assert client.get("full", no_ack=False) is not None
    client.publish(b"x", "full")
    world.late = True

    client.session.receive_data(published(b"x", "full") + frame.marshal(Basic.Ack(1), 1))
    assert not client.session.wants_reading
    client.catch_up()

    assert client.session.wants_reading


def test_where_nobody_else_waits_a_read_is_done_at_once(world: World, client: Client) -> None:
    environment = Environment(
        world.broker, world.settings, world.authenticate, world.replies, world.token
    )
    alone = world.connect()
    alone.session = Connection(environment, alone.peer, world.touched.append, world.now_ms)
    alone.log_in()
    alone.open(1)
    world.late = True

    alone.session.receive_data(fanned_out(20))

    assert not alone.session.is_behind
    assert ready(world, "a") == 20


def test_a_removal_of_many_turns_is_answered_at_its_end_and_what_follows_waits(
    world: World, client: Client
) -> None:
    client.confirms()
    vhost = world.broker.vhosts["/"]
    for number in range(1000):
        vhost.apply(PutBinding("/", "x", "b", "queue", f"{number}"))
    other = world.client()
    world.disk = False
    octets = frame.marshal(Queue.Delete(queue="b"), 1)
    octets += published(b"after", "b") + frame.marshal(Queue.Declare(queue="b"), 1)

    client.session.receive_data(octets)
    other.session.receive_data(frame.marshal(Queue.Declare(queue="b"), 1))

    assert (client.hear(), other.hear()) == ([], [])
    assert not client.session.wants_reading
    world.turn()
    assert client.session.is_behind or not client.session.wants_reading
    world.disk = True
    for _ in range(3):
        world.turn()
        client.catch_up()
        other.catch_up()
    kinds = [type(one) for one in client.hear()]
    assert kinds[0] is Queue.DeleteOk
    assert sorted(kind.__name__ for kind in kinds[1:]) == ["Ack", "DeclareOk"]
    assert [type(one) for one in other.hear()] == [Queue.DeclareOk]
    assert client.session.wants_reading


def test_a_connection_with_very_much_of_its_own_ends_in_turns(world: World, client: Client) -> None:
    vhost = world.broker.vhosts["/"]
    for number in range(600):
        vhost.apply(PutQueue("/", f"own{number}", False, True, False, {}, (0,)), client.session)
        client.consume("a", tag=f"{number}", no_ack=True)
    queue = vhost.queues["a"]
    world.disk = False

    client.session.receive_data(frame.marshal(ConnectionClass.Close(200, "", 0, 0), 0))

    assert client.hear() == []
    assert len(queue.ring) > 0
    world.disk = True
    for _ in range(3):
        world.turn()
    assert [type(one) for one in client.hear()] == [ConnectionClass.CloseOk]
    assert len(queue.ring) == 0
    assert not [name for name in vhost.queues if name.startswith("own")]


def test_rights_that_are_taken_end_very_many_consumers_in_turns(
    world: World, client: Client
) -> None:
    for number in range(600):
        client.consume("a", tag=f"{number}", no_ack=True)
    queue = world.broker.vhosts["/"].queues["a"]
    world.broker.apply(PutPermission("guest", "/", ".*", ".*", "b"))

    client.session.access_changed()

    assert 0 < len(queue.ring) < 600
    world.turn()
    assert len(queue.ring) == 0
