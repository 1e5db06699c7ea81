"""Rights that somebody far away decides on: nothing happens before the answer, nothing is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pamqp import frame
from pamqp.commands import Basic, Exchange, Queue, Tx
from pamqp.commands import Channel as ChannelClass
from pamqp.commands import Connection as ConnectionClass

from amqpd.broker.access import Question, Verdict
from amqpd.broker.broker import Alarms
from tests.wire.wire import World, bodies, published

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.wire.wire import Client, Received


class Elsewhere:
    """An authority, and its rights in the one vhost there is: answers when it is told to."""

    def __init__(self) -> None:
        self.revision = 0
        self.refused: set[Question] = set()
        self.failing = False
        self.known: dict[Question, Verdict] = {}
        self.asked: list[tuple[Question, Callable[[], None]]] = []

    def rights(self, vhost: str) -> Elsewhere:
        return self

    def verdict(self, question: Question) -> Verdict:
        return self.known.get(question, Verdict.UNKNOWN)

    def find_out(self, question: Question, done: Callable[[], None]) -> None:
        self.asked.append((question, done))

    def answer(self) -> list[Question]:
        """Answer everything that was asked by now."""
        asked, self.asked = self.asked, []
        for question, done in asked:
            self.known[question] = self._decide(question)
            done()
        return [question for question, _ in asked]

    def _decide(self, question: Question) -> Verdict:
        if self.failing:
            return Verdict.FAILED
        return Verdict.NO if question in self.refused else Verdict.YES

    def forget(self) -> None:
        """Everything has to be asked anew."""
        self.revision += 1
        self.known.clear()


class Far:
    """A user whose rights are elsewhere, its client, and the broker."""

    def __init__(self) -> None:
        self.world = World()
        self.elsewhere = Elsewhere()
        self.world.authorities["far"] = self.elsewhere
        self.client: Client = self.world.connect()

    def in_vhost(self) -> Far:
        """The client has a channel 1."""
        self.client.start("consumer_cancel_notify", response="\0far\0far")
        self.client.send(ConnectionClass.TuneOk(2047, 131_072, 0), 0)
        self.client.send(ConnectionClass.Open("/"), 0)
        self.until_answered()
        self.client.open(1)
        return self

    def until_answered(self) -> list[Received]:
        """Let all questions be answered, those that follow too; what the client heard."""
        heard = self.client.hear()
        while self.elsewhere.asked:
            self.elsewhere.answer()
            self.world.turn()
            heard += self.client.hear()
        return heard

    def say(self, *octets: bytes) -> list[Received]:
        """Say all of it in one read; what is heard in the end."""
        self.client.say(b"".join(octets))
        return self.until_answered()


def declared(queue: str = "q", **more: object) -> bytes:
    return frame.marshal(Queue.Declare(queue=queue, **more), 1)  # type: ignore[arg-type]  # as in wire


@pytest.fixture
def far() -> Far:
    return Far().in_vhost()


def test_a_vhost_is_entered_when_the_answer_is_there() -> None:
    far = Far()
    far.client.start(response="\0far\0far")
    far.client.say(
        frame.marshal(ConnectionClass.TuneOk(2047, 131_072, 0), 0)
        + frame.marshal(ConnectionClass.Open("/"), 0)
        + frame.marshal(ChannelClass.Open(), 1)
    )

    assert not any(isinstance(one, ConnectionClass.OpenOk) for one in far.client.hear())
    assert not far.client.session.wants_reading

    assert far.elsewhere.answer() == [Question("read", "vhost", "/")]
    assert [type(one) for one in far.client.hear()] == [
        ConnectionClass.OpenOk,
        ChannelClass.OpenOk,
    ]
    assert far.client.session.wants_reading


def test_whoever_may_not_enter_is_told_so() -> None:
    far = Far()
    far.elsewhere.refused.add(Question("read", "vhost", "/"))
    far.client.start(response="\0far\0far")
    far.client.send(ConnectionClass.TuneOk(2047, 131_072, 0), 0)
    far.client.send(ConnectionClass.Open("/"), 0)

    close = far.until_answered()[-1]

    assert isinstance(close, ConnectionClass.Close)
    assert (close.reply_code, close.reply_text) == (
        530,
        "NOT_ALLOWED - access to vhost '/' refused for user 'far'",
    )


def test_what_follows_waits_and_keeps_its_order(far: Far) -> None:
    far.client.say(declared("q") + declared("r") + published(b"1", "q"))

    assert far.client.hear() == []
    assert "q" not in far.world.broker.vhosts["/"].queues

    heard = far.until_answered()

    assert [one.queue for one in heard if isinstance(one, Queue.DeclareOk)] == ["q", "r"]
    assert far.world.broker.vhosts["/"].queues["q"].ready == 1


def test_more_that_is_read_meanwhile_waits_too(far: Far) -> None:
    far.client.say(declared("q")[:9])
    far.client.say(declared("q")[9:] + published(b"1", "q")[:20])
    far.client.say(published(b"1", "q")[20:])

    far.until_answered()

    assert far.world.broker.vhosts["/"].queues["q"].ready == 1


def test_a_refusal_is_as_any_other(far: Far) -> None:
    far.elsewhere.refused.add(Question("configure", "queue", "q"))

    (close,) = far.say(declared("q"))

    assert isinstance(close, ChannelClass.Close)
    assert close.reply_text == (
        "ACCESS_REFUSED - configure access to queue 'q' in vhost '/' refused for user 'far'"
    )


def test_a_backend_that_fails_refuses_and_is_asked_again(far: Far) -> None:
    far.elsewhere.failing = True
    (close,) = far.say(declared("q"))
    assert isinstance(close, ChannelClass.Close)
    assert close.reply_text.endswith("refused for user 'far', the auth backend failed")

    far.elsewhere.failing = False
    far.elsewhere.known.clear()
    far.say(frame.marshal(ChannelClass.CloseOk(), 1), frame.marshal(ChannelClass.Open(), 1))

    assert [type(one) for one in far.say(declared("q"))] == [Queue.DeclareOk]


def test_a_queue_that_the_broker_names_keeps_its_name_through_all_questions(far: Far) -> None:
    arguments = {"x-dead-letter-exchange": "amq.topic"}

    (first,) = far.say(declared("", arguments=arguments))
    (second,) = far.say(declared(""))

    assert isinstance(first, Queue.DeclareOk)
    assert isinstance(second, Queue.DeclareOk)
    assert first.queue != second.queue
    assert list(far.world.broker.vhosts["/"].queues) == [first.queue, second.queue]


def test_messages_wait_for_the_right_to_publish_and_are_confirmed_once(far: Far) -> None:
    far.say(declared("q"))
    far.client.confirms()
    far.elsewhere.forget()
    far.client.session.access_changed()

    heard = far.say(*(published(b"%d" % n, "q") for n in range(5)))

    assert far.world.broker.vhosts["/"].queues["q"].ready == 5
    assert [(one.delivery_tag, one.multiple) for one in heard if isinstance(one, Basic.Ack)] == [
        (5, True)
    ]


def test_messages_with_several_keys_wait_for_all_of_them(far: Far) -> None:
    far.say(
        declared("q"),
        frame.marshal(Queue.Bind(queue="q", exchange="amq.topic", routing_key="#"), 1),
    )
    far.client.confirms()
    copies = Basic.Properties(headers={"CC": ["b", "c"]})

    heard = far.say(published(b"1", "a", "amq.topic", properties=copies), published(b"2", "q"))

    asked = {one.routing_key for one in far.elsewhere.known if one.kind == "topic"}
    assert asked == {"#", "a", "b", "c"}
    assert far.world.broker.vhosts["/"].queues["q"].ready == 2
    assert [one.delivery_tag for one in heard if isinstance(one, Basic.Ack)] == [2]


def test_what_a_transaction_publishes_waits_with_it(far: Far) -> None:
    far.say(declared("q"))
    far.client.tx()

    heard = far.say(published(b"1", "q"), frame.marshal(Tx.Commit(), 1))

    assert [type(one) for one in heard] == [Tx.CommitOk]
    assert far.world.broker.vhosts["/"].queues["q"].ready == 1


def test_an_answer_for_a_connection_that_is_gone_does_nothing(far: Far) -> None:
    far.client.say(declared("q"))

    far.client.session.connection_lost("")
    far.elsewhere.answer()

    assert far.world.broker.vhosts["/"].queues == {}


def test_a_vhost_is_not_entered_by_who_is_gone() -> None:
    far = Far()
    far.client.start(response="\0far\0far")
    far.client.send(ConnectionClass.TuneOk(2047, 131_072, 0), 0)
    far.client.send(ConnectionClass.Open("/"), 0)

    far.client.session.connection_lost("")
    far.elsewhere.answer()

    assert far.world.broker.presence.connections == 0
    assert far.client.session.vhost is None


def test_a_broker_that_stops_does_not_wait_for_answers(far: Far) -> None:
    far.client.say(declared("q"))
    far.client.session.shut_down()
    far.client.say(frame.marshal(ConnectionClass.CloseOk(), 0))

    assert far.client.session.closing
    far.elsewhere.answer()
    assert far.world.broker.vhosts["/"].queues == {}


def test_heartbeats_are_not_missed_while_somebody_thinks() -> None:
    far = Far()
    far.client.start(response="\0far\0far")
    far.client.send(ConnectionClass.TuneOk(2047, 131_072, 1), 0)
    far.client.send(ConnectionClass.Open("/"), 0)
    far.until_answered()
    far.client.say(frame.marshal(ChannelClass.Open(), 1) + declared("q"))

    far.client.wait(8)

    assert not far.client.session.closing


def test_a_consumer_ends_when_the_right_is_gone(far: Far) -> None:
    far.say(declared("q"), frame.marshal(Basic.Consume(queue="q", consumer_tag="t"), 1))
    far.elsewhere.refused.add(Question("read", "queue", "q"))
    far.elsewhere.forget()

    far.client.session.access_changed()
    heard = far.until_answered()

    assert [type(one) for one in heard] == [Basic.Cancel]


def test_a_consumer_goes_on_while_nobody_can_be_asked(far: Far) -> None:
    far.say(declared("q"), frame.marshal(Basic.Consume(queue="q", consumer_tag="t"), 1))
    far.elsewhere.failing = True
    far.elsewhere.forget()

    far.client.session.access_changed()

    assert far.until_answered() == []
    far.world.client().publish(b"1", "q")
    assert bodies(far.client.hear()) == [b"1"]


def test_a_consumer_that_ended_meanwhile_is_left_alone(far: Far) -> None:
    far.say(declared("q"), frame.marshal(Basic.Consume(queue="q", consumer_tag="t"), 1))
    far.elsewhere.refused.add(Question("read", "queue", "q"))
    far.elsewhere.forget()
    far.client.session.access_changed()

    far.client.send(Basic.Cancel("t"))

    assert [type(one) for one in far.until_answered()] == [Basic.CancelOk]


@pytest.mark.parametrize(
    "method",
    [
        Queue.Purge(queue="q"),
        Queue.Delete(queue="q"),
        Queue.Declare(queue="q", passive=True),
        Queue.Bind(queue="q", exchange="amq.direct"),
        Queue.Unbind(queue="q", exchange="amq.direct"),
        Exchange.Declare(exchange="e", arguments={"alternate-exchange": "amq.fanout"}),
        Exchange.Bind(destination="amq.fanout", source="amq.topic"),
        Basic.Get(queue="q"),
        Basic.Consume(queue="q"),
    ],
    ids=lambda method: str(method.name),
)
def test_every_operation_can_wait(far: Far, method: Queue.Purge) -> None:
    far.say(declared("q"))
    far.elsewhere.forget()

    far.client.send(method)
    assert far.elsewhere.asked
    heard = far.until_answered()

    assert len(heard) == 1
    assert not isinstance(heard[0], ChannelClass.Close)


# -- logins that end ------------------------------------------------------------------------


def test_a_connection_ends_with_its_credentials() -> None:
    world = World()
    world.expiring["guest"] = world.now_ms + 5_000
    client = world.client()

    assert client.wait(4.5) == []
    (close,) = client.wait(0.5)

    assert isinstance(close, ConnectionClass.Close)
    assert (close.reply_code, close.reply_text) == (320, "CONNECTION_FORCED - credential expired")


def test_a_new_secret_keeps_it_open() -> None:
    world = World()
    world.expiring["guest"] = world.now_ms + 5_000
    client = world.client()
    world.expiring["guest"] = world.now_ms + 9_000
    client.ask(ConnectionClass.UpdateSecret("guest", ""), ConnectionClass.UpdateSecretOk, 0)

    assert client.wait(8) == []
    assert len(client.wait(2)) == 1


def test_a_new_secret_brings_new_rights(far: Far) -> None:
    poor = Elsewhere()
    poor.refused.add(Question("configure", "queue", "q"))
    far.world.authorities["far"] = poor

    far.client.send(ConnectionClass.UpdateSecret("far", ""), 0)
    poor.answer()
    far.client.say(declared("q"))
    poor.answer()
    updated, close = far.client.hear()

    assert isinstance(updated, ConnectionClass.UpdateSecretOk)
    assert isinstance(close, ChannelClass.Close)


def test_a_new_secret_for_a_connection_that_is_gone_is_nothing(
    far: Far, caplog: pytest.LogCaptureFixture
) -> None:
    poor = Elsewhere()
    far.world.authorities["far"] = poor
    far.client.send(ConnectionClass.UpdateSecret("far", ""), 0)

    far.client.session.connection_lost("")
    far.client.hear_octets()
    poor.answer()

    assert "internal error" not in caplog.text
    assert far.client.hear_octets() == b""


def test_a_new_secret_without_right_to_the_vhost_ends_the_connection(far: Far) -> None:
    poor = Elsewhere()
    poor.refused.add(Question("read", "vhost", "/"))
    far.world.authorities["far"] = poor

    far.client.send(ConnectionClass.UpdateSecret("far", ""), 0)
    poor.answer()
    (close,) = far.client.hear()

    assert isinstance(close, ConnectionClass.Close)
    assert close.reply_code == 530


def test_what_follows_waits_for_all_that_is_asked(far: Far) -> None:
    later = Elsewhere()
    far.world.authorities["far"] = later
    far.world.later = True
    far.client.send(ConnectionClass.UpdateSecret("far", ""), 0)
    far.client.say(declared("q") + declared("r"))
    (login,) = far.world.logins
    login()

    far.elsewhere.answer()

    assert [type(one) for one in far.client.hear()] == [Queue.DeclareOk]
    assert far.elsewhere.asked == []
    assert not far.client.session.wants_reading
    later.answer()
    assert later.answer() == [Question("configure", "queue", "r")]
    updated, second = far.client.hear()
    assert isinstance(updated, ConnectionClass.UpdateSecretOk)
    assert isinstance(second, Queue.DeclareOk)
    assert far.client.session.wants_reading


# -- what happens while a message waits ----------------------------------------------------

SPECIAL = Basic.Properties(headers={"CC": ["r"]})


def test_a_message_whose_channel_is_lost_meanwhile_is_dropped() -> None:
    far = Far().in_vhost()
    far.say(declared("q", arguments={"x-consumer-timeout": 1_000}))
    far.say(published(b"held", "q"), frame.marshal(Basic.Get(queue="q"), 1))
    far.elsewhere.forget()
    far.client.session.access_changed()
    far.client.say(published(b"late", "q", "amq.direct", properties=SPECIAL))
    assert far.elsewhere.asked

    far.client.session.tick(far.client.now_ms + 1_500)
    (close,) = far.client.hear()
    assert isinstance(close, ChannelClass.Close)
    assert far.until_answered() == []

    assert far.client.session.channels[1].publisher.published.get("amq.direct") is None


def test_a_message_whose_keys_wait_is_dropped_with_its_channel(far: Far) -> None:
    far.say(declared("q", arguments={"x-consumer-timeout": 1_000}))
    far.say(frame.marshal(Queue.Bind(queue="q", exchange="amq.topic", routing_key="#"), 1))
    far.say(published(b"held", "k", "amq.topic"), frame.marshal(Basic.Get(queue="q"), 1))
    special = Basic.Properties(headers={"CC": ["other"]})
    far.client.say(published(b"late", "k", "amq.topic", properties=special))
    assert [one.routing_key for one, _ in far.elsewhere.asked] == ["other"]

    far.client.session.tick(far.client.now_ms + 1_500)
    far.client.send(ChannelClass.CloseOk())
    far.until_answered()

    assert 1 not in far.client.session.channels
    assert far.world.broker.vhosts["/"].queues["q"].messages == 1


def test_an_alarm_while_a_message_waits_blocks_its_publisher() -> None:
    far = Far()
    far.client.start("connection.blocked", response="\0far\0far")
    far.client.send(ConnectionClass.TuneOk(2047, 131_072, 0), 0)
    far.client.send(ConnectionClass.Open("/"), 0)
    far.until_answered()
    far.client.open(1)
    far.say(declared("q"))
    far.client.say(published(b"1", "q", properties=SPECIAL))
    assert far.elsewhere.asked
    far.world.broker.resources(Alarms(memory=True))

    heard = far.until_answered()

    assert [type(one) for one in heard] == [ConnectionClass.Blocked]
    assert far.world.broker.vhosts["/"].queues["q"].ready == 1
    assert not far.client.session.wants_reading
