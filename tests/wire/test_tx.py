"""tx.*: publishes and acknowledgements that take effect together."""

from __future__ import annotations

import pytest
from pamqp import frame
from pamqp.commands import Basic, Queue, Tx
from pamqp.commands import Channel as ChannelClass
from pamqp.commands import Connection as ConnectionClass

from amqpd.amqp.publish import Publisher
from amqpd.amqp.settings import AmqpSettings
from amqpd.amqp.tx import AT_ONCE, PUBLICATION_COST
from amqpd.broker.surroundings import EFFORT
from tests.wire.wire import Client, Message, World, bodies, published

PERSISTENT = Basic.Properties(delivery_mode=2)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Client:
    """A client with a transactional channel and durable queues a and b."""
    client = world.client()
    client.declare("a", durable=True)
    client.declare("b", durable=True)
    client.tx()
    return client


def count(client: Client, queue: str) -> int:
    """Ready messages."""
    ok = client.ask(Queue.Declare(queue=queue, passive=True), Queue.DeclareOk)
    return ok.message_count or 0


def test_messages_are_in_their_queues_only_after_the_commit(client: Client) -> None:
    client.publish(b"1", "a")
    client.publish(b"2", "b", properties=Basic.Properties(expiration="60000"))
    assert (count(client, "a"), count(client, "b")) == (0, 0)

    client.ask(Tx.Commit(), Tx.CommitOk)

    assert (count(client, "a"), count(client, "b")) == (1, 1)


def test_a_commit_is_written_as_a_whole_however_large(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amqpd.broker.journal.BATCH_MESSAGES", 1)
    client.publish(b"0", "a", properties=PERSISTENT)
    client.ask(Tx.Commit(), Tx.CommitOk)
    got = client.get("a", no_ack=False)
    assert got is not None
    assert isinstance(got.method, Basic.GetOk)
    for queue in ("a", "b", "a", "b"):
        client.publish(b"1", queue, properties=PERSISTENT)
    client.send(Basic.Ack(got.method.delivery_tag or 0))
    world.disk = False
    client.send(Tx.Commit())

    batch = world.broker.journal.take()

    assert batch is not None
    assert (batch.messages, len(batch.settles)) == (4, 1)
    assert world.broker.journal.is_empty


def test_a_mandatory_message_whose_queues_are_gone_by_the_commit_comes_back(
    client: Client,
) -> None:
    client.publish(b"1", "a", mandatory=True)
    client.ask(Queue.Delete(queue="a"), Queue.DeleteOk)
    assert client.hear() == []

    client.send(Tx.Commit())

    returned, ok = client.hear()
    assert isinstance(returned, Message)
    assert isinstance(returned.method, Basic.Return)
    assert (returned.method.reply_code, returned.body) == (312, b"1")
    assert isinstance(ok, Tx.CommitOk)


def test_commit_ok_waits_for_the_disk_and_all_of_it_is_one_entry(
    world: World, client: Client
) -> None:
    client.publish(b"0", "a", properties=PERSISTENT)
    client.ask(Tx.Commit(), Tx.CommitOk)
    client.get("a", no_ack=False)
    client.send(Basic.Ack(1))
    client.publish(b"1", "a", properties=PERSISTENT)
    client.publish(b"2", "b", properties=PERSISTENT)
    world.disk = False
    client.send(Tx.Commit())
    assert client.hear() == []

    batch = world.broker.journal.take()
    assert batch is not None
    assert (len(batch.appends), len(batch.settles)) == (2, 1)
    world.broker.journal.committed(batch)

    (heard,) = client.hear()
    assert isinstance(heard, Tx.CommitOk)


def test_an_empty_commit_waits_for_nothing(world: World, client: Client) -> None:
    world.disk = False

    client.ask(Tx.Commit(), Tx.CommitOk)


def test_returns_come_before_commit_ok(client: Client) -> None:
    client.publish(b"x", "nowhere", mandatory=True)
    client.publish(b"y", "nowhere", mandatory=True, properties=Basic.Properties(expiration="1"))
    assert client.hear() == []

    client.send(Tx.Commit())

    assert [type(one) for one in client.hear()] == [Message, Message, Tx.CommitOk]


def test_a_rollback_drops_publishes_and_makes_settled_tags_outstanding_again(
    client: Client,
) -> None:
    for body in (b"1", b"2", b"3"):
        client.publish(body, "a")
    client.ask(Tx.Commit(), Tx.CommitOk)
    client.consume("a")
    assert bodies(client.hear()) == [b"1", b"2", b"3"]
    client.send(Basic.Ack(2))
    client.send(Basic.Reject(1, requeue=True))
    client.send(Basic.Nack(3, requeue=False))
    client.publish(b"4", "a")

    client.ask(Tx.Rollback(), Tx.RollbackOk)

    assert client.hear() == []
    client.send(Basic.Ack(3, multiple=True))
    client.ask(Tx.Commit(), Tx.CommitOk)
    assert count(client, "a") == 0


def test_rejections_take_effect_with_the_commit(client: Client) -> None:
    client.publish(b"1", "a")
    client.publish(b"2", "a")
    client.ask(Tx.Commit(), Tx.CommitOk)
    client.get("a", no_ack=False)
    client.get("a", no_ack=False)
    client.send(Basic.Reject(1, requeue=True))
    client.send(Basic.Nack(2, requeue=False))
    assert count(client, "a") == 0

    client.ask(Tx.Commit(), Tx.CommitOk)

    assert count(client, "a") == 1


def test_a_tag_cannot_be_settled_twice_in_a_transaction(client: Client) -> None:
    client.publish(b"1", "a")
    client.ask(Tx.Commit(), Tx.CommitOk)
    client.get("a", no_ack=False)
    client.send(Basic.Ack(1))

    client.send(Basic.Ack(1))

    (close,) = client.hear()
    assert isinstance(close, ChannelClass.Close)
    assert close.reply_text == "PRECONDITION_FAILED - unknown delivery tag 1"


def test_what_was_not_committed_is_undone_when_the_channel_closes(client: Client) -> None:
    client.publish(b"1", "a")
    client.ask(Tx.Commit(), Tx.CommitOk)
    client.get("a", no_ack=False)
    client.send(Basic.Ack(1))
    client.publish(b"2", "a")

    client.ask(ChannelClass.Close(200, "", 0, 0), ChannelClass.CloseOk)
    client.open(1)

    got = client.get("a")
    assert got is not None
    assert isinstance(got.method, Basic.GetOk)
    assert (got.body, got.method.redelivered, got.method.message_count) == (b"1", True, 0)


def test_a_queue_that_refuses_closes_the_channel(client: Client) -> None:
    client.declare("full", arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
    client.publish(b"x", "full")

    client.send(Tx.Commit())

    (close,) = client.hear()
    assert isinstance(close, ChannelClass.Close)
    assert (close.reply_code, close.reply_text) == (
        406,
        "PRECONDITION_FAILED - partial tx completion",
    )


def test_a_transaction_that_one_queue_refuses_does_nothing_at_all(client: Client) -> None:
    client.declare("full", arguments={"x-max-length": 2, "x-overflow": "reject-publish"})
    client.publish(b"1", "a")
    client.ask(Tx.Commit(), Tx.CommitOk)
    client.get("a", no_ack=False)
    client.send(Basic.Ack(1))
    for _ in range(3):
        client.publish(b"x", "full")
    client.publish(b"2", "a")

    client.send(Tx.Commit())
    client.hear()
    client.send(ChannelClass.CloseOk())
    client.open(1)

    assert client.get("full") is None
    got = client.get("a")
    assert got is not None
    assert isinstance(got.method, Basic.GetOk)
    assert (got.body, got.method.redelivered, got.method.message_count) == (b"1", True, 0)


def test_selecting_twice_is_fine_and_a_commit_begins_the_next_transaction(
    client: Client,
) -> None:
    client.publish(b"1", "a")
    client.tx()
    client.ask(Tx.Commit(), Tx.CommitOk)

    client.ask(Tx.Commit(), Tx.CommitOk)

    assert count(client, "a") == 1


SPECIAL = published(b"x", "a", properties=Basic.Properties(expiration="60000"))


@pytest.mark.parametrize("sent", [published(b"x", "a") + published(b"x", "b"), SPECIAL * 2])
def test_a_publish_while_the_commit_is_on_its_way_is_504(
    world: World, client: Client, sent: bytes
) -> None:
    client.publish(b"0", "a", properties=PERSISTENT)
    world.disk = False
    client.send(Tx.Commit())

    client.say(sent)
    world.commit()

    assert getattr(client.hear()[-1], "reply_code", 0) == 504


def test_a_routing_error_shows_at_the_publish(client: Client) -> None:
    client.publish(b"x", "k", "nowhere")

    (close,) = client.hear()
    assert isinstance(close, ChannelClass.Close)
    assert close.reply_code == 404


def test_a_transaction_that_is_too_large_closes_the_channel_and_leaves_nothing() -> None:
    world = World(AmqpSettings(max_transaction_bytes=10_000))
    client = world.client()
    client.declare("a")
    client.tx()
    for _ in range(3):
        client.say(published(bytes(1000), "a") * 2)
        client.ask(Tx.Commit(), Tx.CommitOk)
    assert count(client, "a") == 6
    for _ in range(6):
        client.publish(bytes(1000), "a")
    assert client.hear() == []

    client.publish(bytes(1000), "a")

    (close,) = client.hear()
    assert isinstance(close, ChannelClass.Close)
    assert close.reply_code == 406
    assert close.reply_text.startswith("PRECONDITION_FAILED - transaction size 10")
    assert close.reply_text.endswith("is larger than configured max size 10000")
    client.send(ChannelClass.CloseOk())
    client.open(1)
    assert count(client, "a") == 6


def test_acknowledgements_count_as_well() -> None:
    world = World(AmqpSettings(max_transaction_bytes=1_000))
    client = world.client()
    client.declare("a")
    for _ in range(5):
        client.publish(b"x", "a")
    client.tx()
    client.consume("a")
    client.hear()

    for tag in (1, 3, 5):
        client.send(Basic.Ack(tag))
    assert client.hear() == []
    client.send(Basic.Ack(2))

    assert isinstance(client.hear()[0], ChannelClass.Close)
    assert count(world.client(), "a") == 5


def test_messages_of_one_read_with_lives_of_their_own_wait_for_the_commit_too(
    client: Client,
) -> None:
    both = b"".join(
        published(body, "a", properties=Basic.Properties(delivery_mode=2, expiration=ttl))
        for body, ttl in ((b"1", "60000"), (b"2", "70000"))
    )
    client.say(both)
    assert count(client, "a") == 0

    client.ask(Tx.Rollback(), Tx.RollbackOk)
    assert count(client, "a") == 0

    client.say(both)
    client.ask(Tx.Commit(), Tx.CommitOk)
    assert count(client, "a") == 2


# -- very much at once -------------------------------------------------------------------

MANY = 1500


def published_many(client: Client, count: int = MANY) -> None:
    """Messages that go one by one into two queues by turns: those of one read go together."""
    for n in range(count):
        client.session.receive_data(published(b"%d" % n, "ab"[n % 2], properties=PERSISTENT))
    assert client.hear() == []


def test_a_commit_of_very_much_takes_several_turns_and_is_one_entry_of_the_journal(
    world: World, client: Client
) -> None:
    published_many(client)
    world.commit()
    world.disk = False
    queues = [world.broker.vhosts["/"].queues[name] for name in "ab"]

    client.session.receive_data(frame.marshal(Tx.Commit(), 1))

    begun = sum(queue.ready for queue in queues)
    assert 0 < begun <= AT_ONCE
    was_read = client.session.wants_reading
    assert not was_read
    assert world.broker.journal.take() is None
    steps: list[int] = []
    more = True
    while more:
        more = world.broker.dispatch()
        steps.append(sum(queue.ready for queue in queues) - begun - sum(steps))
    assert 0 < max(steps) <= EFFORT // PUBLICATION_COST
    assert client.hear() == []
    batch = world.broker.journal.take()
    assert batch is not None
    assert batch.messages == MANY
    world.broker.journal.committed(batch)
    assert [type(one) for one in client.hear()] == [Tx.CommitOk]
    client.catch_up()
    assert client.session.wants_reading
    assert [queue.ready for queue in queues] == [MANY // 2, MANY // 2]


def test_acks_of_very_much_are_settled_in_several_turns(world: World, client: Client) -> None:
    other = world.client()
    for n in range(MANY):
        other.publish(b"x", "ab"[n % 2], properties=PERSISTENT)
    queues = [world.broker.vhosts["/"].queues[name] for name in "ab"]
    for _ in range(MANY // 2):
        for name in "ab":
            client.session.receive_data(frame.marshal(Basic.Get(queue=name), 1))
    world.turn()
    assert len(client.hear()) == MANY
    client.session.receive_data(frame.marshal(Basic.Ack(0, True), 1))
    world.disk = False

    client.session.receive_data(frame.marshal(Tx.Commit(), 1))

    assert 0 < sum(queue.unacked for queue in queues) < MANY
    world.disk = True
    world.turn()
    assert [type(one) for one in client.hear()] == [Tx.CommitOk]
    assert [queue.messages for queue in queues] == [0, 0]


def test_one_large_commit_waits_for_the_other(world: World, client: Client) -> None:
    other = world.client()
    other.tx()
    world.disk = False
    for one in (client, other):
        published_many(one)
        one.session.receive_data(frame.marshal(Tx.Commit(), 1))
    world.disk = True

    world.turn()

    for one in (client, other):
        assert [type(heard) for heard in one.hear()] == [Tx.CommitOk]
        one.catch_up()
    assert count(client, "a") == MANY


def test_a_large_commit_of_a_connection_that_is_gone_is_carried_out(
    world: World, client: Client
) -> None:
    published_many(client)
    world.disk = False
    client.session.receive_data(frame.marshal(Tx.Commit(), 1))

    client.session.connection_lost("")
    world.disk = True
    world.turn()

    assert world.broker.vhosts["/"].queues["a"].ready == MANY // 2
    assert world.broker.journal.open is None


def test_a_commit_that_fails_in_the_middle_ends_the_connection(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    published_many(client)
    world.disk = False
    client.session.receive_data(frame.marshal(Tx.Commit(), 1))

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Publisher, "send", fail)
    with pytest.raises(ZeroDivisionError):
        world.broker.dispatch()

    (close,) = client.hear()
    assert isinstance(close, ConnectionClass.Close)
    assert close.reply_code == 541
    assert world.broker.journal.open is None


def test_a_commit_that_a_queue_refuses_makes_outstanding_again_what_it_would_have_settled() -> None:
    world = World()
    client = world.client()
    client.declare("q")
    client.declare("full", arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
    client.publish(b"a", "q")
    assert client.get("q", no_ack=False)
    client.tx()
    client.send(Basic.Ack(1))
    client.publish(b"x", "full")

    client.send(Tx.Commit())
    (close,) = client.hear()

    assert isinstance(close, ChannelClass.Close)
    assert close.reply_code == 406
    assert world.broker.vhosts["/"].queues["q"].ready == 1
