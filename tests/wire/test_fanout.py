"""Messages for very many queues: in several turns, and nothing is different from at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pamqp import frame
from pamqp.commands import Basic, Exchange, Queue, Tx

from amqpd.broker import fanout
from amqpd.broker.definitions import DeleteQueue
from tests.wire.wire import Message, World, bodies, published

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.wire.wire import Client, Received

QUEUES = ("a", "b", "c", "d", "e", "f")
DURABLE = Basic.Properties(delivery_mode=2)
MANY = 10_000


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five queues are very many, and a turn has time for one of them."""
    narrowed(monkeypatch, 4)


def narrowed(monkeypatch: pytest.MonkeyPatch, wide: int) -> None:
    monkeypatch.setattr(fanout, "WIDE", wide)
    monkeypatch.setattr(fanout, "PART", 1)
    monkeypatch.setattr(fanout, "AT_ONCE", 1)
    monkeypatch.setattr(fanout, "SHARE", 1)
    monkeypatch.setattr("amqpd.broker.errand.RESERVE", MANY)
    monkeypatch.setattr("amqpd.amqp.tx.AT_ONCE", wide)
    monkeypatch.setattr("amqpd.amqp.tx.SHARE", 1)


def fanned(world: World, **arguments: dict[str, object]) -> Client:
    """With durable queues a to f behind the exchange x; `arguments` those of some of them."""
    client = world.client()
    client.ask(
        Exchange.Declare(exchange="x", exchange_type="fanout", durable=True), Exchange.DeclareOk
    )
    for name in QUEUES:
        client.declare(name, durable=True, arguments=arguments.get(name, {}))
        client.ask(Queue.Bind(queue=name, exchange="x"), Queue.BindOk)
    return client


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Client:
    return fanned(world)


def a_turn(world: World, client: Client) -> bool:
    """One turn without the disk; whether there is more to do."""
    if client.session.is_behind:
        client.session.catch_up()
    return world.broker.dispatch()


def through(world: World, client: Client) -> None:
    """All turns that there are."""
    while a_turn(world, client) or client.session.is_behind:
        pass


def ready(world: World) -> list[int]:
    queues = world.broker.vhosts["/"].queues
    return [queues[name].ready for name in QUEUES if name in queues]


def acked(heard: list[Received]) -> list[tuple[int, bool]]:
    return [(one.delivery_tag, one.multiple) for one in heard if isinstance(one, Basic.Ack)]


def to_all(body: bytes, **more: object) -> bytes:
    properties = Basic.Properties(delivery_mode=2, **more)  # type: ignore[arg-type]  # as given
    return published(body, "", "x", properties=properties)


def test_it_takes_several_turns_and_others_have_theirs(world: World, client: Client) -> None:
    other = world.client()
    client.confirms()

    client.session.receive_data(to_all(b"1"))

    assert ready(world) == [1, 0, 0, 0, 0, 0]
    assert a_turn(world, client)
    assert ready(world) == [1, 1, 0, 0, 0, 0]
    other.session.receive_data(frame.marshal(Basic.Get(queue="a", no_ack=True), 1))
    assert bodies(other.hear()) == [b"1"]
    through(world, client)
    assert ready(world) == [0, 1, 1, 1, 1, 1]


def test_it_is_confirmed_when_all_of_it_is_on_disk(world: World, client: Client) -> None:
    client.confirms()
    world.disk = False

    client.session.receive_data(to_all(b"1"))
    while a_turn(world, client):
        assert world.broker.journal.take() is None
        assert client.hear() == []

    batch = world.broker.journal.take()
    assert batch is not None
    (append,) = batch.appends
    assert len(append.targets) == len(QUEUES)
    assert client.hear() == []
    world.broker.journal.committed(batch)
    assert acked(client.hear()) == [(1, False)]


def test_every_queue_knows_when_it_came(world: World, client: Client) -> None:
    world.broker.time_is(5_000)
    client.session.receive_data(to_all(b"1") + published(b"2", "", "x"))
    settled(world, client)

    queues = world.broker.vhosts["/"].queues
    entered = {one.run.entered_ms for name in QUEUES for one in queues[name].lanes[0].stretches()}
    assert entered == {5_000}


def test_what_was_read_with_it_comes_after_it(world: World, client: Client) -> None:
    client.confirms()
    client.publish(b"0", "f", properties=DURABLE)
    client.hear()
    client.consume("f", no_ack=False)
    assert bodies(client.hear()) == [b"0"]

    client.session.receive_data(
        to_all(b"1")
        + published(b"2", "f", properties=DURABLE)
        + frame.marshal(Basic.Ack(delivery_tag=1), 1)
        + to_all(b"3")
        + published(b"4", "a", properties=DURABLE)
        + frame.marshal(Basic.Nack(delivery_tag=9), 1)
    )

    assert world.broker.vhosts["/"].queues["f"].unacked == 1
    world.commit()
    client.catch_up()
    world.commit()
    heard = client.hear()
    assert bodies(heard) == [b"1", b"2", b"3"]
    assert [type(one).__name__ for one in heard][-1] == "Close"  # the unknown tag, at the very end
    assert acked(heard)[-1][0] == 5
    assert bodies([one for one in map(world.client().get, "aa") if one]) == [b"1", b"3"]


def test_a_message_that_all_have_settled_meanwhile_is_still_for_the_rest(
    world: World, client: Client
) -> None:
    client.confirms()
    world.disk = False
    client.session.receive_data(to_all(b"1"))

    other = world.client()
    other.session.receive_data(frame.marshal(Basic.Get(queue="a", no_ack=True), 1))
    assert bodies(other.hear()) == [b"1"]
    through(world, client)

    batch = world.broker.journal.take()
    assert batch is not None
    targets = batch.appends[0].targets
    assert [one.lo < one.hi for one in targets] == [False, True, True, True, True, True]


def test_a_message_that_is_settled_everywhere_is_never_written(
    world: World, client: Client
) -> None:
    client.confirms()
    world.disk = False
    other = world.client()
    client.session.receive_data(to_all(b"1"))

    more = True
    while more or client.session.is_behind:
        for name in QUEUES:
            other.session.receive_data(frame.marshal(Basic.Get(queue=name, no_ack=True), 1))
        more = a_turn(world, client)

    assert len(bodies(other.hear())) == len(QUEUES)
    assert acked(client.hear()) == [(1, False)]
    batch = world.broker.journal.take()
    assert batch is None or not batch.appends
    assert world.broker.journal.pending_bytes == 0


def test_it_goes_on_when_its_connection_has_ended(world: World, client: Client) -> None:
    client.session.receive_data(to_all(b"1"))
    client.session.connection_lost("gone")

    world.commit()

    assert ready(world) == [1] * 6


def test_queues_that_go_meanwhile_do_not_get_it(world: World, client: Client) -> None:
    client.confirms()
    client.session.receive_data(to_all(b"1"))
    world.broker.apply(DeleteQueue("/", "a"))
    world.broker.apply(DeleteQueue("/", "f"))

    world.commit()
    client.catch_up()

    assert ready(world) == [1] * 4
    assert acked(client.hear()) == [(1, False)]


def test_if_all_are_gone_it_comes_back(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.confirms()
    monkeypatch.setattr(fanout, "AT_ONCE", 0)
    client.session.receive_data(published(b"1", "", "x", mandatory=True, properties=DURABLE))
    for name in QUEUES:
        world.broker.apply(DeleteQueue("/", name))

    world.commit()
    client.catch_up()

    heard = client.hear()
    assert [type(one) for one in heard] == [Message, Basic.Ack]


def test_two_at_a_time_are_one_after_the_other(world: World, client: Client) -> None:
    other = world.client()
    client.confirms()
    other.confirms()
    client.session.receive_data(to_all(b"1"))
    other.session.receive_data(to_all(b"2"))

    assert ready(world) == [1, 0, 0, 0, 0, 0]
    settled(world, client)

    assert acked(client.hear()) == acked(other.hear()) == [(1, False)]
    for name in QUEUES:
        assert bodies([one for one in (client.get(name), client.get(name)) if one]) == [b"1", b"2"]


def test_what_a_transaction_has_room_for_is_not_refused_later(world: World) -> None:
    full: dict[str, object] = {"x-max-length": 1, "x-overflow": "reject-publish"}
    client, other = fanned(world, f=full), world.client()
    client.tx()
    client.session.receive_data(to_all(b"1") + frame.marshal(Tx.Commit(), 1))
    other.session.receive_data(published(b"2", "f", properties=DURABLE))
    assert ready(world) == [0, 0, 0, 0, 0, 1]

    settled(world, client)

    assert [type(one) for one in client.hear()] == [Tx.CommitOk]
    assert ready(world) == [1, 1, 1, 1, 1, 2]


def test_a_failure_in_the_middle_ends_the_connection_without_a_confirm(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.confirms()
    client.session.receive_data(to_all(b"1"))

    def broken(*_: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(world.broker.vhosts["/"].queues["c"], "level", broken)
    with pytest.raises(ZeroDivisionError):
        world.commit()

    monkeypatch.undo()
    world.commit()
    heard = client.hear()
    assert acked(heard) == []
    assert [type(one).__name__ for one in heard] == ["Close"]
    world.client().declare("another", durable=True)  # the journal is free again


# -- the same as at once ---------------------------------------------------------------------


def singles(**more: object) -> Iterator[bytes]:
    for number in range(9):
        yield to_all(b"%d" % number, **more)


def transient() -> Iterator[bytes]:
    for number in range(9):
        yield published(b"%d" % number, "", "x")


def mixed() -> Iterator[bytes]:
    for number in range(9):
        yield to_all(b"%d" % number, priority=number % 3)
        yield to_all(b"e%d" % number, expiration=str(100_000 + number))
        yield published(b"t%d" % number, "", "x")
        yield to_all(b"c%d" % number, headers={"CC": ["f", "other"], "BCC": ["b"]})


def in_transactions() -> Iterator[bytes]:
    yield frame.marshal(Tx.Select(), 2)
    for number in range(6):
        yield published(b"%d" % number, "", "x", 2, properties=DURABLE)
        yield frame.marshal(Tx.Rollback() if number == 3 else Tx.Commit(), 2)


ARGUMENTS: dict[str, dict[str, dict[str, object]]] = {
    "plain": {},
    "short": {"b": {"x-max-length": 2}, "e": {"x-max-length": 1, "x-overflow": "reject-publish"}},
    "dying": {
        "b": {"x-max-length": 1, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "f"},
        "d": {
            "x-max-length": 1,
            "x-overflow": "reject-publish-dlx",
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": "a",
        },
    },
    "priorities": {"b": {"x-max-priority": 3}, "c": {"x-message-ttl": 90_000}},
    "kinds": {"c": {"x-queue-type": "quorum"}, "d": {"x-queue-type": "quorum"}},
    "streams": {name: {"x-queue-type": "stream"} for name in QUEUES[:2]},
    "only streams": {name: {"x-queue-type": "stream"} for name in QUEUES},
}


@pytest.mark.parametrize("arguments", ARGUMENTS.values(), ids=ARGUMENTS)
@pytest.mark.parametrize(
    ("script", "together"),
    [
        (singles, True),
        (singles, False),
        (transient, True),
        (transient, False),
        (mixed, True),
        (mixed, False),
        (in_transactions, False),
    ],
)
def test_the_end_is_the_same_as_at_once(
    arguments: dict[str, dict[str, object]],
    script: Callable[[], Iterator[bytes]],
    together: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted, found = (
        outcome(monkeypatch, wide, arguments, script, together=together) for wide in (MANY, 4)
    )

    assert found == wanted


def outcome(
    monkeypatch: pytest.MonkeyPatch,
    wide: int,
    arguments: dict[str, dict[str, object]],
    script: Callable[[], Iterator[bytes]],
    *,
    together: bool,
) -> dict[str, object]:
    """What a client hears and what is in the queues and in the store afterwards."""
    narrowed(monkeypatch, wide)
    world = World()
    client = fanned(world, **arguments)
    client.confirms()
    client.open(2)
    if together:
        client.session.receive_data(b"".join(script()))
        settled(world, client)
    else:
        for octets in script():
            client.session.receive_data(octets)
            settled(world, client)
    heard = client.hear()
    assert world.broker.journal.pending_bytes == world.broker.journal.pending_messages == 0
    found: dict[str, object] = {
        "verdicts": verdicts(heard),
        "others": sorted(
            type(one).__name__ for one in heard if not isinstance(one, Basic.Ack | Basic.Nack)
        ),
    }
    queues = world.broker.vhosts["/"].queues
    for name in QUEUES:
        found[f"{name} holds"] = queues[name].messages
        if queues[name].arguments.queue_type != "stream":
            taken = []
            while (message := client.get(name)) is not None:
                taken.append((message.body, message.properties.priority))
            # Dead letters come when there is no room for them any more, sooner or later.
            found[name] = (
                sorted(taken, key=str) if "x-dead-letter-exchange" in str(arguments) else taken
            )
    return found


def verdicts(heard: list[Received]) -> list[str]:
    """What became of each message, in the order of their numbers."""
    found: list[str] = []
    for one in heard:
        if isinstance(one, Basic.Ack | Basic.Nack):
            assert one.delivery_tag is not None
            count = one.delivery_tag - len(found)
            assert count == 1 or (one.multiple and count > 1)
            found += [type(one).__name__] * count
    return found


def settled(world: World, client: Client) -> None:
    """All that was said is done and on disk."""
    world.commit()
    while client.session.is_behind:
        client.catch_up()
        world.commit()
