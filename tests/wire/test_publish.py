"""basic.publish: routing, returns, and the properties that the broker looks at."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp.commands import Basic, Exchange, Queue, Tx
from pamqp.commands import Channel as ChannelClass

from amqpd.broker import tally
from amqpd.broker.expiration import parse_expiration
from amqpd.broker.pressure import CROWD_MESSAGES
from amqpd.errors import PreconditionFailed
from tests.wire.wire import Client, Message, World, bodies, published


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Client:
    """A client with queues a, b and c."""
    client = world.client()
    for queue in "abc":
        client.declare(queue)
    return client


def counts(client: Client) -> dict[str, int]:
    """How many messages each of the queues held; they are empty afterwards."""
    found = {}
    for queue in "abc":
        found[queue] = client.ask(Queue.Purge(queue=queue), Queue.PurgeOk).message_count or 0
    return found


def test_properties_and_body_come_back_as_they_were(client: Client) -> None:
    properties = Basic.Properties(
        content_type="text/plain", headers={"a": 1, "b": [True, None, {"c": "d"}]},
        delivery_mode=2, priority=3, correlation_id="1", reply_to="somewhere",
        expiration="60000", message_id="m", message_type="t", user_id="guest", app_id="app",
    )  # fmt: skip
    client.publish(b"body", "a", properties=properties)

    got = client.get("a")

    assert got is not None
    assert got.body == b"body"
    assert dict(got.properties) == dict(properties)


def test_messages_of_one_read_keep_their_order_in_every_queue(client: Client) -> None:
    client.ask(Exchange.Declare(exchange="x", exchange_type="fanout"), Exchange.DeclareOk)
    client.ask(Queue.Bind(queue="a", exchange="x"), Queue.BindOk)
    client.ask(Queue.Bind(queue="b", exchange="x"), Queue.BindOk)
    sent = [(b"%d" % number, ("x", "", "a", "b")[number % 4]) for number in range(40)]

    client.say(
        b"".join(
            published(body, "" if where == "x" else where or "c", "x" if where == "x" else "")
            for body, where in sent
        )
    )

    for queue in "ab":
        client.consume(queue, queue, no_ack=True)
        expected = [body for body, where in sent if where in ("x", queue)]
        assert bodies(client.hear()) == expected


def test_each_message_goes_to_its_own_queues_however_many_sets_of_queues_there_are(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tally, "MOST", 2)
    queues = ("one", "two", "three", "four", "five")
    for queue in queues:
        client.declare(queue)

    client.say(b"".join(published(queue.encode(), queue) for queue in queues))
    client.say(b"".join(published(queue.encode(), queue) for queue in queues))

    for queue in queues:
        got = [client.get(queue), client.get(queue), client.get(queue)]
        assert [one and one.body for one in got] == [queue.encode(), queue.encode(), None]


def test_a_publish_sees_the_bindings_made_before_it_in_the_same_read(client: Client) -> None:
    client.publish(b"1", "k", "amq.direct")
    client.send(Queue.Bind(queue="a", exchange="amq.direct", routing_key="k", nowait=True))
    client.publish(b"2", "k", "amq.direct")
    client.send(Queue.Unbind(queue="a", exchange="amq.direct", routing_key="k"))
    client.publish(b"3", "k", "amq.direct")

    client.hear()
    client.consume("a", no_ack=True)
    assert bodies(client.hear()) == [b"2"]


def test_another_connections_binding_counts_at_once(world: World, client: Client) -> None:
    client.publish(b"1", "k", "amq.direct")

    world.client().ask(Queue.Bind(queue="a", exchange="amq.direct", routing_key="k"), Queue.BindOk)
    client.publish(b"2", "k", "amq.direct")

    assert counts(client)["a"] == 1


@pytest.mark.parametrize("exchange", ["amq.direct", "amq.fanout"])
def test_a_revoked_right_counts_at_once(world: World, exchange: str) -> None:
    world.user("writer")
    client = world.client(user="writer")
    client.publish(b"1", "k", exchange)
    assert client.hear() == []

    world.user("writer", write="^$")
    client.publish(b"2", "k", exchange)

    (close,) = client.hear()
    assert isinstance(close, ChannelClass.Close)
    assert close.reply_code == 403


def test_only_mandatory_messages_come_back(client: Client) -> None:
    client.publish(b"dropped", "nope")
    assert client.hear() == []
    client.publish(b"kept", "a", mandatory=True)
    assert client.hear() == []

    client.say(
        published(b"1", "nope", mandatory=True) + published(b"2", "nor this", mandatory=True)
    )

    first, second = client.hear()
    assert isinstance(first, Message)
    assert isinstance(first.method, Basic.Return)
    assert (first.method.reply_code, first.method.reply_text) == (312, "NO_ROUTE")
    assert (first.method.exchange, first.method.routing_key, first.body) == ("", "nope", b"1")
    assert isinstance(second, Message)
    assert isinstance(second.method, Basic.Return)
    assert (second.method.routing_key, second.body) == ("nor this", b"2")


def test_a_returned_message_keeps_its_properties(client: Client) -> None:
    properties = Basic.Properties(expiration="5", message_id="m")
    client.publish(b"x", "nope", mandatory=True, properties=properties)

    (returned,) = client.hear()

    assert isinstance(returned, Message)
    assert dict(returned.properties) == dict(properties)


def test_an_alternate_exchange_counts_as_routed(client: Client) -> None:
    client.ask(Exchange.Declare(exchange="all", exchange_type="fanout"), Exchange.DeclareOk)
    client.ask(Queue.Bind(queue="c", exchange="all"), Queue.BindOk)
    client.ask(
        Exchange.Declare(exchange="x", arguments={"alternate-exchange": "all"}),
        Exchange.DeclareOk,
    )

    client.publish(b"x", "nobody", "x", mandatory=True)

    assert client.hear() == []
    assert counts(client)["c"] == 1


def test_cc_and_bcc_are_more_routing_keys_and_bcc_is_taken_out(client: Client) -> None:
    properties = Basic.Properties(headers={"CC": ["b"], "BCC": ["c"], "other": 1})
    client.publish(b"x", "a", properties=properties)

    for queue in "abc":
        got = client.get(queue)
        assert got is not None
        assert isinstance(got.method, Basic.GetOk)
        assert got.method.routing_key == "a"
        assert got.properties.headers == {"CC": ["b"], "other": 1}


@pytest.mark.parametrize("octets", [b"x", b"x" * 300_000])
def test_a_dead_letter_goes_by_the_keys_of_bcc_too_and_nobody_sees_them(
    client: Client, octets: bytes
) -> None:
    dying: dict[str, object] = {"x-dead-letter-exchange": "amq.direct"}
    client.declare("q", arguments={**dying, "x-queue-type": "quorum"}, durable=True)
    client.declare("again", arguments=dying)
    for queue, key in (("a", "q"), ("again", "c"), ("b", "b")):
        client.ask(Queue.Bind(queue=queue, exchange="amq.direct", routing_key=key), Queue.BindOk)
    client.publish(octets, "q", properties=Basic.Properties(headers={"CC": ["b"], "BCC": ["c"]}))
    client.hear()

    for queue in ("q", "again", "again"):
        got = client.get(queue, no_ack=False)
        assert got is not None
        assert isinstance(got.method, Basic.GetOk)
        assert "BCC" not in (got.properties.headers or {})
        client.send(Basic.Reject(got.method.delivery_tag, requeue=False))

    assert got is not None
    headers: Any = got.properties.headers
    assert [death["routing-keys"] for death in headers["x-death"]] == [["q", "b"]] * 2
    assert client.get("again") is not None


def test_the_same_queue_by_several_keys_gets_one_copy(client: Client) -> None:
    client.publish(b"x", "a", properties=Basic.Properties(headers={"CC": ["a", "a"]}))

    assert counts(client) == {"a": 1, "b": 0, "c": 0}


def test_a_headers_exchange_looks_at_every_message(client: Client) -> None:
    client.ask(
        Queue.Bind(queue="a", exchange="amq.headers", arguments={"x-match": "all", "k": "v"}),
        Queue.BindOk,
    )
    client.publish(b"no", "", "amq.headers")
    client.publish(b"no", "", "amq.headers", properties=Basic.Properties(headers={"k": "w"}))

    client.publish(b"yes", "", "amq.headers", properties=Basic.Properties(headers={"k": "v"}))

    got = client.get("a")
    assert got is not None
    assert got.body == b"yes"
    assert client.get("a") is None


def test_ones_own_user_id_and_that_of_others_for_an_impersonator(world: World) -> None:
    client = world.client()
    client.declare("a")
    client.publish(b"1", "a", properties=Basic.Properties(user_id="guest"))
    world.user("actor", "impersonator")
    actor = world.client(user="actor")

    actor.publish(b"2", "a", properties=Basic.Properties(user_id="guest"))

    assert client.ask(Queue.Purge(queue="a"), Queue.PurgeOk).message_count == 2
    assert actor.hear() == []


def test_priorities_decide_in_a_priority_queue(client: Client) -> None:
    client.declare("p", arguments={"x-max-priority": 5})
    for priority in (None, 1, 9):
        client.publish(b"%r" % priority, "p", properties=Basic.Properties(priority=priority))

    client.consume("p", no_ack=True)

    assert bodies(client.hear()) == [b"9", b"1", b"None"]


def test_an_expired_message_is_gone(world: World, client: Client) -> None:
    client.publish(b"x", "a", properties=Basic.Properties(expiration="100"))

    world.broker.tick(world.broker.around.now_ms + 101)
    world.turn()

    assert client.get("a") is None


@pytest.mark.parametrize("expiration", [None, "60000"])
def test_a_publisher_hears_of_a_queue_whose_consumer_cannot_be_written_to(
    world: World, client: Client, expiration: str | None
) -> None:
    consumer = world.client()
    consumer.consume("a", no_ack=True)
    consumer.session.writable(False)
    properties = Basic.Properties(expiration=expiration)
    message = published(b"x", "a", properties=properties)
    for _ in range(2):
        client.session.receive_data(message * CROWD_MESSAGES)
        world.broker.dispatch()

    assert client.session.crowding is not None
    assert client.session.crowding.name == "a"


def test_messages_gathered_before_an_error_are_published(client: Client) -> None:
    client.say(published(b"1", "a") + published(b"2", "k", "nowhere") + published(b"3", "a"))

    (close,) = client.hear()
    assert isinstance(close, ChannelClass.Close)
    assert (close.class_id, close.method_id) == (60, 40)
    client.send(ChannelClass.CloseOk())
    client.open(1)
    assert counts(client)["a"] == 1


def test_the_routes_of_a_closed_channel_are_not_used_by_the_next_one(client: Client) -> None:
    client.confirms()
    client.publish(b"1", "a")
    client.hear()
    client.ask(ChannelClass.Close(200, "", 0, 0), ChannelClass.CloseOk)
    client.open(1)

    client.publish(b"2", "a")

    assert client.hear() == []
    assert counts(client)["a"] == 2


def test_what_counts_is_the_topology_when_the_message_is_complete(client: Client) -> None:
    client.open(2)
    sent = published(b"x", "k", "late", channel=2)
    end = sent.index(b"\xce") + 1
    client.say(sent[:end])
    client.ask(Exchange.Declare(exchange="late", exchange_type="fanout"), Exchange.DeclareOk)
    client.ask(Queue.Bind(queue="a", exchange="late"), Queue.BindOk)

    client.say(sent[end:])

    assert counts(client)["a"] == 1


def test_a_message_that_comes_without_a_route_is_not_lost(client: Client) -> None:
    client.confirms()
    sent = published(b"x", "a")
    end = sent.index(b"\xce") + 1
    incoming = client.session._incoming

    incoming.content(1, sent[7 : end - 1], sent[end:])
    incoming.content(1, sent[7 : end - 1], sent[end:])
    incoming.feed(b"")

    (ack,) = client.hear()
    assert isinstance(ack, Basic.Ack)
    assert (ack.delivery_tag, ack.multiple) == (2, True)
    assert counts(client)["a"] == 2


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("0", 0), ("+5", 5), ("-0", 0), ("007", 7), ("315360000000", 315_360_000_000)],
)
def test_an_expiration_is_a_number_of_milliseconds(text: str, milliseconds: int) -> None:
    assert parse_expiration(text) == milliseconds


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no_integer"),
        ("abc", "no_integer"),
        ("--1", "no_integer"),
        ("\u0665", "no_integer"),
        ("1.5", '{leftover_string,".5"}'),
        ("10s", '{leftover_string,"s"}'),
        ("-1", "{value_negative,-1}"),
        ("315360000001", "{value_too_large,315360000001}"),
        ("9" * 200, "{value_too_large," + "9" * 200 + "}"),
    ],
)
def test_anything_else_is_refused_in_rabbitmqs_words(text: str, reason: str) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        parse_expiration(text)

    assert caught.value.explanation == f"invalid expiration '{text}': {reason}"


def test_a_run_of_messages_of_all_priorities_is_ordered_by_them(client: Client) -> None:
    client.declare("p", arguments={"x-max-priority": 3})
    levels = [1, None, 9, 3, 0, 2, 1, 3]

    client.say(
        b"".join(
            published(b"%d" % at, "p", properties=Basic.Properties(priority=level))
            for at, level in enumerate(levels)
        )
    )
    client.consume("p", no_ack=True)

    assert bodies(client.hear()) == [b"2", b"3", b"7", b"5", b"0", b"6", b"1", b"4"]


@pytest.mark.parametrize(
    ("overflow", "left", "dead"),
    [("drop-head", [b"c", b"a"], [b"b", b"d"]), ("reject-publish-dlx", [b"b", b"a"], [b"c", b"d"])],
)
def test_what_comes_first_decides_what_is_dropped_or_refused_whatever_its_priority(
    client: Client, overflow: str, left: list[bytes], dead: list[bytes]
) -> None:
    client.declare("dead")
    client.declare(
        "p",
        arguments={
            "x-max-priority": 5,
            "x-max-length": 2,
            "x-overflow": overflow,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": "dead",
        },
    )

    client.say(
        b"".join(
            published(one, "p", properties=Basic.Properties(priority=level))
            for one, level in ((b"a", 1), (b"b", 3), (b"c", 2), (b"d", 5))
        )
    )

    for queue, expected in (("p", left), ("dead", dead)):
        client.consume(queue, queue, no_ack=True)
        assert bodies(client.hear()) == expected


def test_priorities_and_expirations_are_kept_by_transactions(world: World, client: Client) -> None:
    client.declare("p", arguments={"x-max-priority": 3})
    client.open(2)
    client.tx(2)
    low, high = Basic.Properties(priority=1), Basic.Properties(priority=2)
    soon = Basic.Properties(priority=3, expiration="10")
    client.say(
        b"".join(
            published(octets, "p", channel=2, properties=properties)
            for octets, properties in ((b"low", low), (b"gone", soon), (b"high", high))
        )
    )
    client.ask(Tx.Commit(), Tx.CommitOk, 2)

    world.broker.tick(world.broker.around.now_ms + 11)
    world.turn()
    client.consume("p", no_ack=True)

    assert bodies(client.hear()) == [b"high", b"low"]


def expiring(*times_ms: int) -> bytes:
    """Messages for queue a in one read, each with its own expiration."""
    return b"".join(
        published(b"%d" % ms, "a", properties=Basic.Properties(expiration=str(ms)))
        for ms in times_ms
    )


def later(client: Client, seconds: int) -> None:
    """Let the broker's time pass."""
    broker = client.world.broker
    broker.tick(broker.around.now_ms + seconds * 1000)
    client.world.turn()


def left(client: Client, queue: str = "a") -> list[bytes]:
    """The messages of a queue, which is empty afterwards."""
    found = []
    while (got := client.get(queue)) is not None:
        found.append(got.body)
    return found


@pytest.mark.parametrize(
    "arguments",
    [{}, {"x-max-length": 9, "x-overflow": "reject-publish"}, {"x-max-priority": 3}],
    ids=["plain", "refusing", "priorities"],
)
def test_messages_of_one_read_expire_each_at_its_own_time(
    client: Client, arguments: dict[str, object]
) -> None:
    client.ask(Queue.Delete(queue="a"), Queue.DeleteOk)
    client.declare("a", arguments=arguments)
    client.say(expiring(9000, 1000, 5000, 1000))

    later(client, 3)

    assert left(client) == [b"9000", b"5000"]


def test_the_smaller_of_both_times_counts_for_each_message_of_a_read(client: Client) -> None:
    client.ask(Queue.Delete(queue="a"), Queue.DeleteOk)
    client.declare("a", arguments={"x-message-ttl": 4000})
    client.say(expiring(9000, 1000, 5000))

    later(client, 3)
    assert client.ask(Queue.Declare(queue="a", passive=True), Queue.DeclareOk).message_count == 2
    later(client, 3)
    assert left(client) == []


def test_messages_of_one_transaction_expire_each_at_its_own_time(client: Client) -> None:
    client.tx()
    client.say(expiring(9000, 1000, 5000))
    client.ask(Tx.Commit(), Tx.CommitOk)

    later(client, 3)

    assert left(client) == [b"9000", b"5000"]


def test_messages_that_do_not_fit_are_refused_one_by_one_whatever_their_expirations(
    client: Client,
) -> None:
    client.ask(Queue.Delete(queue="a"), Queue.DeleteOk)
    client.declare("a", arguments={"x-max-length": 2, "x-overflow": "reject-publish"})
    client.confirms()
    client.hear()

    client.say(expiring(9000, 1000, 5000, 4000))

    answers = client.hear()
    assert [type(one).__name__ for one in answers] == ["Ack", "Nack"]
    assert left(client) == [b"9000", b"1000"]
