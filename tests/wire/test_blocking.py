"""Blocking: publishers that are not read during an alarm, or while a queue is full."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pamqp import frame
from pamqp.commands import Basic, Channel, Queue, Tx
from pamqp.commands import Connection as ConnectionClass

from amqpd.amqp import blocking, consumer, frames
from amqpd.broker.broker import Alarms
from tests.broker.model import FakeConsumer
from tests.wire.wire import Client, Message, World, bodies, published

if TYPE_CHECKING:
    from collections.abc import Callable

PERSISTENT = Basic.Properties(delivery_mode=2)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Client:
    """A client that understands connection.blocked."""
    return world.client("connection.blocked")


def is_held(client: Client) -> bool:
    """Whether the server is not to read this connection."""
    return not client.session.wants_reading


# -- alarms ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alarms", "reason"),
    [
        (Alarms(memory=True), "low on memory"),
        (Alarms(disk=True), "low on disk"),
        (Alarms(memory=True, disk=True), "low on memory & low on disk"),
    ],
)
def test_a_publisher_is_blocked_with_the_reason_and_unblocked(
    world: World, client: Client, alarms: Alarms, reason: str
) -> None:
    world.broker.resources(alarms)
    assert client.hear() == []
    assert not is_held(client)

    special = published(b"x", "q", properties=Basic.Properties(expiration="1"))
    client.say(published(b"x", "q") + special + published(b"x", "q"))

    (blocked,) = client.hear()
    assert isinstance(blocked, ConnectionClass.Blocked)
    assert blocked.reason == reason
    assert is_held(client)
    world.broker.resources(Alarms())
    (unblocked,) = client.hear()
    assert isinstance(unblocked, ConnectionClass.Unblocked)
    assert not is_held(client)


def test_a_publish_and_all_that_follows_wait_for_the_end_of_an_alarm(
    world: World, client: Client
) -> None:
    client.declare("q")
    client.publish(b"1", "q")
    world.broker.resources(Alarms(memory=True))
    get = frame.marshal(Basic.Get(queue="q", no_ack=True), 1)

    client.say(get + published(b"2", "q") + get[:5])
    client.say(get[5:])

    blocked, message = client.hear()
    assert bodies([message]) == [b"1"]
    assert isinstance(blocked, ConnectionClass.Blocked)
    assert world.client().get("q") is None
    world.broker.resources(Alarms())
    assert bodies([one for one in client.hear() if isinstance(one, Message)]) == [b"2"]


@pytest.mark.parametrize("cut", [1, 8, 20, 60])
def test_an_alarm_in_the_middle_of_a_message_lets_it_through(
    world: World, client: Client, cut: int
) -> None:
    client.declare("q")
    octets = published(b"a body that is long enough to be cut", "q")
    client.say(octets[:cut])
    world.broker.resources(Alarms(memory=True))

    client.say(octets[cut:])

    assert is_held(client)
    assert world.client().get("q") is not None


def test_what_comes_with_the_rest_of_a_cut_message_is_let_through_and_told_once(
    world: World, client: Client
) -> None:
    client.declare("q")
    client.declare("r")
    octets = published(b"1", "q") + published(b"2", "r")
    client.say(octets[:20])
    world.broker.resources(Alarms(memory=True))

    client.say(octets[20:])

    assert [type(one) for one in client.hear()] == [ConnectionClass.Blocked]
    other = world.client()
    assert [other.get(queue).body for queue in ("q", "r")] == [b"1", b"2"]  # type: ignore[union-attr]  # else it fails here


def test_a_cut_message_that_has_to_be_looked_at_blocks_its_publisher_too(
    world: World, client: Client
) -> None:
    client.declare("q")
    octets = published(b"x", "q", properties=Basic.Properties(user_id="guest"))
    client.say(octets[:20])
    world.broker.resources(Alarms(memory=True))

    client.say(octets[20:])

    assert isinstance(client.hear()[0], ConnectionClass.Blocked)
    assert is_held(client)


def test_frames_that_come_in_pieces_during_an_alarm_are_told_apart(
    world: World, client: Client
) -> None:
    client.declare("q")
    world.broker.resources(Alarms(memory=True))
    get, publish = frame.marshal(Basic.Get(queue="q"), 1), published(b"1", "q")

    client.say(get[:9])
    client.say(get[9:] + publish[:9])
    assert [type(one) for one in client.hear()] == [Basic.GetEmpty]
    assert not is_held(client)
    client.say(publish[9:])

    assert is_held(client)
    assert world.client().get("q") is None


def test_who_closes_behind_its_publish_is_not_told_that_it_goes_on(
    world: World, client: Client
) -> None:
    client.declare("q")
    world.broker.resources(Alarms(memory=True))
    client.say(published(b"1", "q") + frame.marshal(ConnectionClass.Close(200, "", 0, 0), 0))
    assert [type(one) for one in client.hear()] == [ConnectionClass.Blocked]

    world.broker.resources(Alarms())

    assert [type(one) for one in client.hear()] == [ConnectionClass.CloseOk]
    assert world.client().get("q") is not None


def test_a_frame_that_is_too_large_is_an_error_during_an_alarm(
    world: World, client: Client
) -> None:
    world.broker.resources(Alarms(memory=True))

    client.say(b"\x01\x00\x01\xff\xff\xff\xff")

    (close,) = client.hear()
    assert isinstance(close, ConnectionClass.Close)
    assert close.reply_code == 501


def test_special_messages_are_publishes_too(world: World, client: Client) -> None:
    world.broker.resources(Alarms(memory=True))

    client.publish(b"x", "q", properties=Basic.Properties(expiration="1"))

    assert isinstance(client.hear()[0], ConnectionClass.Blocked)


def test_consuming_goes_on_during_an_alarm(world: World, client: Client) -> None:
    client.declare("q")
    client.publish(b"1", "q")
    world.broker.resources(Alarms(memory=True))

    client.consume("q")

    assert bodies(client.hear()) == [b"1"]
    assert client.session.wants_reading


def test_clients_without_the_capability_are_held_but_not_told(world: World) -> None:
    client = world.client()
    world.broker.resources(Alarms(memory=True))
    client.publish(b"x", "q")
    assert client.hear() == []
    assert is_held(client)
    touched = len(world.touched)

    world.broker.resources(Alarms())

    assert not is_held(client)
    assert len(world.touched) == touched + 1
    assert client.hear() == []


def test_an_alarm_that_was_there_before_counts(world: World) -> None:
    world.broker.resources(Alarms(disk=True))
    client = world.client("connection.blocked")

    client.publish(b"x", "q")

    assert isinstance(client.hear()[0], ConnectionClass.Blocked)


# -- full queues -------------------------------------------------------------------------


@pytest.fixture
def full(world: World) -> Client:
    """A publisher that was told of a queue of ten messages that has eleven."""
    client = world.client("connection.blocked")
    client.declare("full", arguments={"x-max-length": 10, "x-overflow": "block"})
    client.say(published(b"x", "full") * 11)
    (blocked,) = client.hear()
    assert isinstance(blocked, ConnectionClass.Blocked)
    assert blocked.reason == "queue 'full' in vhost '/' is full"
    return client


def take(world: World, messages: int) -> None:
    """Somebody else takes messages."""
    other = world.client()
    for _ in range(messages):
        assert other.get("full") is not None


def test_a_publisher_is_held_while_a_queue_is_full(world: World, full: Client) -> None:
    assert is_held(full)

    take(world, 3)

    (unblocked,) = full.hear()
    assert isinstance(unblocked, ConnectionClass.Unblocked)
    assert not is_held(full)


def test_other_publishers_and_consumers_are_not_held(world: World, full: Client) -> None:
    other = world.client("connection.blocked")
    other.declare("free")

    other.publish(b"1", "free")
    other.consume("full", no_ack=False)

    assert not is_held(other)


def test_what_fits_is_confirmed_and_what_does_not_when_there_is_room(world: World) -> None:
    client = world.client("connection.blocked")
    client.declare("full", durable=True, arguments={"x-max-length": 2, "x-overflow": "block"})
    client.confirms()
    client.publish(b"1", "full", properties=PERSISTENT)
    assert isinstance(client.hear()[0], Basic.Ack)
    client.publish(b"2", "full", properties=PERSISTENT)
    assert [type(one) for one in client.hear()] == [ConnectionClass.Blocked, Basic.Ack]
    # What the client had sent already when it was held.
    client.publish(b"3", "full", properties=PERSISTENT)
    client.publish(b"4", "full")
    assert client.hear() == []
    assert world.broker.journal.is_empty

    take(world, 3)

    ack, unblocked = client.hear()
    assert isinstance(ack, Basic.Ack)
    assert (ack.delivery_tag, ack.multiple) == (4, True)
    assert isinstance(unblocked, ConnectionClass.Unblocked)


def two_full_queues(world: World) -> Client:
    """Somebody who has published more to both than they may hold."""
    client = world.client("connection.blocked")
    for name in ("one", "two"):
        client.declare(name, arguments={"x-max-length": 1, "x-overflow": "block"})
        client.ask(Queue.Bind(queue=name, exchange="amq.fanout"), Queue.BindOk)
    client.confirms()
    client.publish(b"1", exchange="amq.fanout")
    assert [type(one) for one in client.hear()] == [ConnectionClass.Blocked, Basic.Ack]
    client.publish(b"2", exchange="amq.fanout")
    assert client.hear() == []
    return client


def test_what_was_taken_by_two_full_queues_waits_for_room_in_both(world: World) -> None:
    client, other = two_full_queues(world), world.client()

    for _ in range(2):
        assert other.get("one")
    assert not [one for one in client.hear() if isinstance(one, Basic.Ack)]
    for _ in range(2):
        assert other.get("two")

    (ack,) = (one for one in client.hear() if isinstance(one, Basic.Ack))
    assert ack.delivery_tag == 2


def test_nobody_waits_for_room_any_more_when_the_channel_is_gone(world: World) -> None:
    client = two_full_queues(world)
    queues = world.broker.vhosts["/"].queues
    tickets = [queues[name].pressure._ticket for name in ("one", "two")]
    assert all(ticket is not None and ticket._calls for ticket in tickets)

    client.session.connection_lost("")
    world.turn()

    assert not any(ticket is not None and ticket._calls for ticket in tickets)


def test_what_is_not_on_disk_is_not_confirmed_however_much_room_there_is(
    world: World,
) -> None:
    client = world.client()
    client.declare("full", durable=True, arguments={"x-max-length": 1, "x-overflow": "block"})
    client.confirms()
    world.disk = False
    client.say(published(b"x", "full", properties=PERSISTENT) * 3)
    other = world.client()
    for _ in range(2):
        other.send(Basic.Get(queue="full", no_ack=False))
        other.hear()
    other.send(Queue.Purge(queue="full"))
    other.hear()
    assert client.hear() == []

    world.commit()

    assert isinstance(client.hear()[0], Basic.Ack)


def test_a_message_with_properties_to_be_looked_at_waits_like_any_other(full: Client) -> None:
    full.confirms()

    full.publish(b"x", "full", properties=Basic.Properties(expiration="60000"))

    assert full.hear() == []


def test_an_alarm_and_a_full_queue_are_told_once(world: World, full: Client) -> None:
    world.broker.resources(Alarms(memory=True))
    full.publish(b"x", "full")
    assert full.hear() == []

    take(world, 11)
    assert full.hear() == []
    assert is_held(full)
    world.broker.resources(Alarms())

    assert isinstance(full.hear()[0], ConnectionClass.Unblocked)
    assert not is_held(full)


def test_a_publisher_of_two_full_queues_waits_for_both(world: World, full: Client) -> None:
    full.declare("other", arguments={"x-max-length": 1, "x-overflow": "block"})
    full.publish(b"x", "other")

    take(world, 11)
    assert is_held(full)
    assert full.hear() == []
    world.client().send(Queue.Purge(queue="other"))

    assert not is_held(full)
    assert isinstance(full.hear()[0], ConnectionClass.Unblocked)


def test_publishers_of_a_full_queue_go_on_in_their_order(world: World, full: Client) -> None:
    second = world.client()
    second.publish(b"x", "full")
    assert is_held(second)

    world.disk = False
    taker = world.client()
    taker.send(Queue.Purge(queue="full"))
    assert (is_held(full), is_held(second)) == (False, True)

    world.turn()
    assert not is_held(second)


def test_a_publisher_that_is_gone_waits_no_more(world: World, full: Client) -> None:
    full.confirms()
    full.publish(b"x", "full")
    queue = world.broker.vhosts["/"].queues["full"]
    second = world.client()
    second.publish(b"x", "full")

    full.session.connection_lost("")

    world.disk = False
    world.client().send(Queue.Purge(queue="full"))
    assert not is_held(second)
    assert not queue.pressure.is_felt


def test_a_channel_that_is_closed_waits_no_more(world: World, full: Client) -> None:
    full.confirms()
    full.publish(b"x", "full")
    full.hear()

    full.send(Channel.Close(200, "", 0, 0))
    take(world, 12)

    assert [type(one) for one in full.hear()] == [Channel.CloseOk, ConnectionClass.Unblocked]


def test_a_held_publisher_is_not_taken_for_dead(world: World) -> None:
    client = world.connect()
    client.log_in(heartbeat_s=2)
    client.open(1)
    client.declare("full", arguments={"x-max-length": 1, "x-overflow": "block"})
    client.publish(b"x", "full")

    client.wait(60)

    assert not client.session.closing


def test_a_transaction_is_never_refused_and_its_publisher_waits_after_it(
    world: World, full: Client
) -> None:
    full.open(2)
    full.tx(2)
    full.publish(b"x", "full", channel=2)

    full.ask(Tx.Commit(), Tx.CommitOk, 2)

    assert is_held(full)
    assert world.client().ask(Queue.Declare(queue="full", passive=True), Queue.DeclareOk, 1)


def a_slow_consumer(world: World, queue: str) -> Client:
    """It has one message and takes its time."""
    client = world.client()
    client.send(Basic.Qos(prefetch_count=1))
    client.hear()
    client.consume(queue, no_ack=False)
    return client


def test_who_settles_as_much_as_it_publishes_is_read_on(world: World, full: Client) -> None:
    a_slow_consumer(world, "full")
    full.send(Basic.Get(queue="full", no_ack=False))
    full.hear()
    full.say(published(b"x", "full") * 4)
    assert is_held(full)

    full.say(frame.marshal(Basic.Ack(1), 1) + published(b"x", "full"))
    assert not is_held(full)
    full.say(published(b"x", "full"))
    assert is_held(full)


def test_for_what_was_published_to_a_queue_that_is_gone_nothing_has_to_be_settled(
    full: Client,
) -> None:
    full.say(published(b"x", "full") * 3 + frame.marshal(Queue.Delete(queue="full"), 1))
    assert not is_held(full)
    full.hear()
    full.declare("next", arguments={"x-max-length": 2, "x-overflow": "block"})
    full.say(published(b"x", "next") + frame.marshal(Basic.Get(queue="next"), 1))
    full.publish(b"x", "next")
    full.hear()

    full.say(published(b"x", "next") + frame.marshal(Basic.Ack(1), 1))

    assert not is_held(full)
    full.say(published(b"x", "next"))
    assert is_held(full)


def a_worker(world: World, source: str, target: str) -> Client:
    """It takes one message at a time of one queue, and has filled the other one."""
    client = world.client()
    for queue in (source, target):
        client.declare(queue, arguments={"x-max-length": 2, "x-overflow": "block"})
    client.send(Basic.Qos(prefetch_count=1))
    client.hear()
    client.say(published(b"x", target) * 5)
    client.consume(source, no_ack=False)
    return client


def test_who_waits_for_itself_is_read(world: World) -> None:
    client = a_worker(world, "full", "full")

    client.say(published(b"x", "full"))

    assert not is_held(client)


def test_who_waits_for_itself_and_settles_nothing_is_read_slowly(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocking, "PATIENCE_BYTES", 1000)
    client = a_worker(world, "full", "full")
    one = published(b"x" * 300, "full")
    client.say(frame.marshal(Basic.Ack(1), 1) + one)
    assert not is_held(client)
    client.say(one * 3)
    assert is_held(client)

    client.wait(0.5)
    assert not is_held(client)
    client.say(one)
    assert is_held(client)

    client.say(frame.marshal(Basic.Ack(2), 1) + one * 2)
    assert not is_held(client)


def test_workers_that_wait_for_each_other_are_read(world: World) -> None:
    one, other = a_worker(world, "a", "b"), a_worker(world, "b", "a")

    for client, target in ((one, "b"), (other, "a")):
        client.say(published(b"x", target))
        assert not is_held(client)


def test_a_worker_waits_for_one_that_waits_for_somebody_to_come(world: World) -> None:
    worker, next_one = a_worker(world, "a", "b"), a_worker(world, "b", "c")
    worker.say(published(b"x", "b") * 3)
    next_one.say(published(b"x", "c"))

    for _ in range(5):
        worker.wait(1)
        assert is_held(worker)
        assert is_held(next_one)

    world.client().consume("c", no_ack=True)
    assert not is_held(next_one)


def test_a_worker_waits_while_others_are_read(world: World) -> None:
    worker, other = a_worker(world, "full", "full"), a_slow_consumer(world, "full")
    worker.say(published(b"x", "full"))
    worker.wait(1)
    assert is_held(worker)

    world.broker.resources(Alarms(memory=True))
    other.publish(b"x", "elsewhere")
    assert is_held(other)
    worker.wait(0.5)
    assert not is_held(worker)


def test_a_worker_waits_for_one_that_is_not_read_and_can_take_something_all_the_same(
    world: World,
) -> None:
    worker, other = a_worker(world, "full", "full"), a_slow_consumer(world, "full")
    worker.say(published(b"x", "full"))
    world.broker.resources(Alarms(memory=True))
    elsewhere = published(b"x", "elsewhere")

    other.session.receive_data(frame.marshal(Basic.Ack(1), 1) + elsewhere)
    assert is_held(other)
    worker.session.tick(worker.now_ms + 500)
    assert is_held(worker)

    world.turn()
    worker.session.tick(worker.now_ms + 1000)
    assert not is_held(worker)


def test_a_publisher_waits_for_consumers_that_take_their_time(world: World, full: Client) -> None:
    a_slow_consumer(world, "full")
    full.say(published(b"x", "full"))

    full.wait(5)

    assert is_held(full)


@pytest.mark.parametrize("credit", [0, 1])
def test_consumers_of_other_protocols_count_by_their_credit(world: World, credit: int) -> None:
    worker = a_worker(world, "full", "full")
    other = FakeConsumer(credit=0)
    world.broker.vhosts["/"].queues["full"].attach(other, exclusive=False)
    world.turn()
    other.prefetch = credit

    worker.session.receive_data(published(b"x", "full"))

    assert is_held(worker) == (credit == 1)


def test_a_consumer_with_credit_will_make_room(world: World) -> None:
    worker, other = a_worker(world, "full", "full"), a_slow_consumer(world, "full")
    other.session.receive_data(frame.marshal(Basic.Ack(1), 1))

    worker.session.receive_data(published(b"x", "full"))

    assert is_held(worker)


def test_a_blocked_publisher_is_heard_when_the_connection_ends(world: World) -> None:
    client = world.client("connection.blocked")
    client.declare("q")
    client.publish(b"a", "q")
    world.broker.resources(Alarms(disk=True))
    client.publish(b"b", "q")
    assert not client.session.wants_reading

    client.session.shut_down()

    assert client.session.wants_reading


def begun(world: World, queue: str) -> Callable[[], None]:
    """A message of which a part came before the alarm; what is called sends the rest."""
    client, octets = world.client(), published(b"late", queue)
    client.say(octets[:20])
    return lambda: client.say(octets[20:])


def test_who_hoards_gets_no_more_while_memory_is_short(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "HOARD_BYTES", 100)
    hoarder, modest = world.client(), world.client()
    for queue in ("h", "m"):
        client.declare(queue)
    hoarder.consume("h")
    modest.ask(Basic.Qos(prefetch_count=100), Basic.QosOk)
    modest.consume("m")
    for queue in ("h", "m"):
        client.publish(bytes(80), queue)
        client.publish(bytes(80), queue)
    assert [len(hoarder.hear()), len(modest.hear())] == [2, 2]

    late = [begun(world, "h"), begun(world, "m")]
    world.broker.resources(Alarms(memory=True))
    for finish in late:
        finish()
    assert [bodies(hoarder.hear()), bodies(modest.hear())] == [[], [b"late"]]

    hoarder.send(Basic.Ack(delivery_tag=1))
    assert bodies(hoarder.hear()) == [b"late"]


def test_who_hoards_gets_the_rest_when_memory_is_back(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "HOARD_BYTES", 100)
    hoarder = world.client()
    client.declare("h")
    hoarder.consume("h")
    client.publish(bytes(101), "h")
    assert len(hoarder.hear()) == 1
    finish = begun(world, "h")
    world.broker.resources(Alarms(memory=True))
    finish()
    assert hoarder.hear() == []

    world.broker.resources(Alarms())
    world.turn()

    assert bodies(hoarder.hear()) == [b"late"]


def test_the_largest_frame_there_is_hides_no_publish_behind_it(world: World) -> None:
    client = world.connect()
    client.log_in("connection.blocked", frame_max=4096)
    client.open(1)
    client.declare("q")

    def declare(padding: int) -> bytes:
        return frame.marshal(Queue.Declare(queue="r", arguments={"x": "." * padding}), 1)

    most = frames.payload_limit(4096) + frames.OVERHEAD
    largest = declare(most - len(declare(0)))
    assert len(largest) == most
    world.broker.resources(Alarms(memory=True))

    client.say(largest + published(b"during", "q"))

    assert is_held(client)
    queues = world.broker.vhosts["/"].queues
    assert (len(queues), queues["q"].ready) == (2, 0)
