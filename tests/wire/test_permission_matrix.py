"""Every operation of AMQP with every combination of rights: RabbitMQ's matrix, as a table.

`OPERATIONS` says which rights each needs. From it follow: with exactly these it works; without
any one of them it is refused, by name; with each of the eight combinations of rights on
everything it works if and only if they are among them. A method that is not in the table fails
the last test.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest
from pamqp import frame
from pamqp.commands import Basic, Confirm, Exchange, Queue, Tx
from pamqp.commands import Channel as ChannelClass
from pamqp.commands import Connection as ConnectionClass

from amqpd.amqp import access
from amqpd.amqp.channel import METHODS
from amqpd.broker.definitions import (
    DeletePermission,
    PutPermission,
    PutTopicPermission,
    PutUser,
    PutVhost,
)
from tests.wire.wire import World, published

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pamqp.base import Frame as Command
    from pamqp.common import FieldArray, FieldTable

    from tests.wire.wire import Client, Received

RIGHTS: Final = ("configure", "write", "read")
#: What a right is asked for: right, kind and name.
Need = tuple[str, str, str]

WORKER = "worker"


@dataclass(frozen=True)
class Operation:
    """What a client says, and what it needs for that; `any_of` needs one of the rights only."""

    name: str
    octets: bytes
    needs: tuple[Need, ...] = ()
    any_of: tuple[Need, ...] = ()
    #: What the method is answered with; a publish is not answered.
    reply: type[Command] | None = None


def said(name: str, method: Command, *needs: Need, any_of: tuple[Need, ...] = ()) -> Operation:
    reply = next(
        kind
        for kind in (*vars(Basic).values(), *vars(Queue).values(), *vars(Exchange).values())
        if getattr(kind, "name", "") in method.valid_responses
    )
    return Operation(name, frame.marshal(method, 1), needs, any_of, reply)


def told(name: str, octets: bytes, *needs: Need) -> Operation:
    return Operation(name, octets, needs)


def every(kind: str, name: str) -> tuple[Need, ...]:
    return tuple((right, kind, name) for right in ("configure", "write", "read"))


def copies(**headers: FieldArray) -> Basic.Properties:
    return Basic.Properties(headers={**headers})


DEAD_LETTERS: Final[FieldTable] = {"x-dead-letter-exchange": "dlx"}
ALTERNATE: Final[FieldTable] = {"alternate-exchange": "ae"}

OPERATIONS: Final = (
    said("exchange.declare", Exchange.Declare(exchange="new"), ("configure", "exchange", "new")),
    said("exchange.declare again", Exchange.Declare(exchange="x", exchange_type="direct"),
         ("configure", "exchange", "x")),
    said("exchange.declare with an alternate exchange",
         Exchange.Declare(exchange="new", arguments=ALTERNATE),
         ("configure", "exchange", "new"), ("read", "exchange", "new"),
         ("write", "exchange", "ae")),
    said("exchange.declare passive", Exchange.Declare(exchange="x", passive=True),
         any_of=every("exchange", "x")),
    said("exchange.delete", Exchange.Delete(exchange="x"), ("configure", "exchange", "x")),
    said("exchange.bind", Exchange.Bind(destination="x", source="y", routing_key="k"),
         ("write", "exchange", "x"), ("read", "exchange", "y")),
    said("exchange.unbind", Exchange.Unbind(destination="x", source="y", routing_key="k"),
         ("write", "exchange", "x"), ("read", "exchange", "y")),
    said("queue.declare", Queue.Declare(queue="new"), ("configure", "queue", "new")),
    said("queue.declare again", Queue.Declare(queue="q"), ("configure", "queue", "q")),
    said("queue.declare with a dead letter exchange",
         Queue.Declare(queue="new", arguments=DEAD_LETTERS),
         ("configure", "queue", "new"), ("read", "queue", "new"), ("write", "exchange", "dlx")),
    said("queue.declare without a name", Queue.Declare(queue=""),
         ("configure", "queue", "amq.gen")),
    said("queue.declare passive", Queue.Declare(queue="q", passive=True),
         any_of=every("queue", "q")),
    said("queue.delete", Queue.Delete(queue="q"), ("configure", "queue", "q")),
    said("queue.purge", Queue.Purge(queue="q"), ("read", "queue", "q")),
    said("queue.bind", Queue.Bind(queue="q", exchange="x", routing_key="k"),
         ("write", "queue", "q"), ("read", "exchange", "x")),
    said("queue.unbind", Queue.Unbind(queue="q", exchange="x", routing_key="k"),
         ("write", "queue", "q"), ("read", "exchange", "x")),
    said("basic.consume", Basic.Consume(queue="q"), ("read", "queue", "q")),
    said("basic.get", Basic.Get(queue="q"), ("read", "queue", "q")),
    told("basic.publish", published(b"m", "k", "x"), ("write", "exchange", "x")),
    told("basic.publish with properties",
         published(b"m", "k", "x", properties=Basic.Properties(expiration="9")),
         ("write", "exchange", "x")),
    told("basic.publish to the default exchange", published(b"m", "q"),
         ("write", "exchange", "amq.default")),
    told("basic.publish with copies", published(b"m", "k", "x", properties=copies(CC=["a"])),
         ("write", "exchange", "x")),
)  # fmt: skip

#: What needs no rights of its own: it is about what the channel has already.
FREE: Final[frozenset[type[Command]]] = frozenset(
    {
        Basic.Qos, Basic.Cancel, Basic.CancelOk, Basic.Recover, Basic.RecoverAsync,
        ChannelClass.Flow, Tx.Select, Tx.Commit, Tx.Rollback, Confirm.Select, access.Request,
    }
)  # fmt: skip


class Place:
    """A vhost with everything in it that the operations are about."""

    def __init__(self) -> None:
        self.world = World()
        self.world.broker.apply(PutVhost("other"))
        owner = self.world.client()
        owner.declare("q")
        for name in ("x", "y", "ae", "dlx"):
            owner.ask(Exchange.Declare(exchange=name), Exchange.DeclareOk)
        self.world.broker.apply(PutUser(WORKER, "", ""))

    def grant(self, *needs: Need, vhost: str = "/") -> None:
        """Exactly these rights."""
        patterns = (
            "|".join(f"^{name.replace('.', chr(92) + '.')}" + "$" * (name != "amq.gen")
                     for right, _, name in needs if right == wanted)
            for wanted in RIGHTS
        )  # fmt: skip
        self.world.broker.change(PutPermission(WORKER, vhost, *patterns))

    def grant_all(self, *rights: str, vhost: str = "/") -> None:
        """These rights, on everything."""
        patterns = (".*" if one in rights else "" for one in RIGHTS)
        self.world.broker.change(PutPermission(WORKER, vhost, *patterns))

    def worker(self) -> Client:
        client = self.world.client(user=WORKER)
        client.hear()
        return client


def outcome(client: Client, operation: Operation) -> list[Received]:
    """What an operation is answered with; a publish that nobody objects to with nothing."""
    client.say(operation.octets)
    return client.hear()


def assert_done(heard: list[Received], operation: Operation) -> None:
    if operation.reply is None:
        assert heard == []
    else:
        (answer,) = heard
        assert isinstance(answer, (operation.reply, Basic.GetEmpty)), answer


def assert_refused(heard: list[Received], need: Need) -> None:
    (close,) = heard
    assert isinstance(close, ChannelClass.Close), close
    right, kind, name = need
    begin = f"ACCESS_REFUSED - {right} access to {kind} '{name}"
    assert close.reply_code == 403
    assert (close.reply_text or "").startswith(begin), close.reply_text
    assert (close.reply_text or "").endswith(f"refused for user '{WORKER}'")


def combinations() -> Iterator[tuple[str, ...]]:
    for count in range(4):
        yield from itertools.combinations(RIGHTS, count)


each_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: str(one.name))


@each_operation
def test_exactly_what_is_needed_is_enough(operation: Operation) -> None:
    for needs in [operation.needs] if operation.needs else [(one,) for one in operation.any_of]:
        place = Place()
        place.grant(*needs)

        assert_done(outcome(place.worker(), operation), operation)


@each_operation
def test_without_any_one_of_them_it_is_refused_by_name(operation: Operation) -> None:
    for missing in operation.needs:
        place = Place()
        place.grant(*(one for one in operation.needs if one != missing))

        assert_refused(outcome(place.worker(), operation), missing)


@each_operation
@pytest.mark.parametrize("rights", list(combinations()), ids="+".join)
def test_every_combination_of_rights(operation: Operation, rights: tuple[str, ...]) -> None:
    place = Place()
    place.grant_all(*rights)

    heard = outcome(place.worker(), operation)

    needed = {right for right, _, _ in operation.needs}
    if needed <= set(rights) and (not operation.any_of or rights):
        assert_done(heard, operation)
    else:
        wanted = operation.needs or operation.any_of
        assert_refused(heard, next(one for one in wanted if one[0] not in rights))


@each_operation
def test_a_right_that_is_taken_away_is_gone_at_once(operation: Operation) -> None:
    place = Place()
    place.grant_all(*RIGHTS)
    client = place.worker()

    place.world.broker.change(DeletePermission(WORKER, "/"))

    assert_refused(outcome(client, operation), (operation.needs or operation.any_of)[0])


@each_operation
def test_rights_in_another_vhost_are_none_here(operation: Operation) -> None:
    place = Place()
    place.grant_all(vhost="/")
    place.grant_all(*RIGHTS, vhost="other")

    assert_refused(outcome(place.worker(), operation), (operation.needs or operation.any_of)[0])


@pytest.mark.parametrize("vhosts", [[], ["other"]])
def test_without_a_row_there_is_no_way_in(vhosts: list[str]) -> None:
    place = Place()
    for vhost in vhosts:
        place.grant_all(*RIGHTS, vhost=vhost)
    client = place.world.connect()
    client.start(response=f"\0{WORKER}\0{WORKER}")
    client.send(ConnectionClass.TuneOk(2047, 131_072, 0), 0)

    client.send(ConnectionClass.Open("/"), 0)

    close = client.hear()[-1]
    assert isinstance(close, ConnectionClass.Close)
    assert (close.reply_code, close.reply_text) == (
        530,
        f"NOT_ALLOWED - access to vhost '/' refused for user '{WORKER}'",
    )


# -- before and beside the table ------------------------------------------------------------


def test_what_is_not_there_is_refused_like_what_is() -> None:
    for method in (
        Queue.Declare(queue="nothing", passive=True),
        Exchange.Declare(exchange="nothing", passive=True),
        Queue.Purge(queue="nothing"),
        Basic.Get(queue="nothing"),
        Basic.Consume(queue="nothing"),
        Queue.Bind(queue="nothing", exchange="x"),
        Exchange.Bind(destination="nothing", source="x"),
    ):
        place = Place()
        place.grant_all()
        client = place.worker()
        client.send(method)
        (close,) = client.hear()

        assert isinstance(close, ChannelClass.Close)
        assert close.reply_code == 403, method


@pytest.mark.parametrize(
    "method",
    [
        Queue.Declare(queue="mine", exclusive=True), Queue.Declare(queue="mine", passive=True),
        Queue.Delete(queue="mine"), Queue.Purge(queue="mine"), Basic.Get(queue="mine"),
        Basic.Consume(queue="mine"), Queue.Bind(queue="mine", exchange="x"),
        Queue.Unbind(queue="mine", exchange="x"),
    ],
    ids=lambda one: str(one.name),
)  # fmt: skip
def test_the_exclusive_queue_of_another_connection_is_locked_for_all_methods(
    method: Command,
) -> None:
    place = Place()
    owner = place.world.client()
    owner.declare("mine", exclusive=True)
    owner.ask(Queue.Bind(queue="mine", exchange="x"), Queue.BindOk)
    place.grant_all(*RIGHTS)
    client = place.worker()

    client.send(method)

    (close,) = client.hear()
    assert isinstance(close, ChannelClass.Close)
    assert close.reply_code == 405


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (frame.marshal(Exchange.Declare(exchange=""), 1), "operation not permitted on the default"),
        (frame.marshal(Exchange.Delete(exchange=""), 1), "operation not permitted on the default"),
        (frame.marshal(Queue.Bind(queue="q", exchange=""), 1), "operation not permitted on the"),
        (frame.marshal(Queue.Unbind(queue="q", exchange=""), 1), "operation not permitted on the"),
        (frame.marshal(Exchange.Bind(destination="", source="x"), 1), "operation not permitted on"),
        (frame.marshal(Exchange.Bind(destination="x", source=""), 1), "operation not permitted on"),
        (frame.marshal(Exchange.Declare(exchange="amq.new"), 1), "contains reserved prefix"),
        (frame.marshal(Exchange.Delete(exchange="amq.topic"), 1), "deletion of system exchange"),
        (frame.marshal(Queue.Declare(queue="amq.new"), 1), "contains reserved prefix"),
        (published(b"m", "k", "internal"), "cannot publish to internal exchange 'internal'"),
    ],
)
def test_some_things_nobody_may_do(octets: bytes, text: str) -> None:
    place = Place()
    client = place.world.client()
    client.ask(Exchange.Declare(exchange="internal", internal=True), Exchange.DeclareOk)

    client.say(octets)

    (close,) = client.hear()
    assert isinstance(close, ChannelClass.Close)
    assert close.reply_code == 403
    assert text in (close.reply_text or "")


# -- topics ---------------------------------------------------------------------------------

TOPIC = "amq.topic"


@pytest.mark.parametrize(
    ("octets", "key"),
    [
        (published(b"m", "b", TOPIC), "b"),
        (published(b"m", "a", TOPIC, properties=copies(CC=["a1", "b1"])), "b1"),
        (published(b"m", "a", TOPIC, properties=copies(BCC=["a1", "b2"])), "b2"),
        (published(b"m", "a", TOPIC, properties=copies(CC=["a"] * 100, BCC=["b3"])), "b3"),
    ],
)
def test_every_routing_key_is_checked_where_topics_are_limited(octets: bytes, key: str) -> None:
    place = Place()
    place.grant_all(*RIGHTS)
    place.world.broker.change(PutTopicPermission(WORKER, "/", TOPIC, "^a", ""))
    client = place.worker()

    client.say(octets)

    (close,) = client.hear()
    assert isinstance(close, ChannelClass.Close)
    assert close.reply_text == (
        f"ACCESS_REFUSED - write access to topic '{key}' in exchange 'amq.topic' in vhost '/' "
        f"refused for user '{WORKER}'"
    )


def test_allowed_keys_pass_where_topics_are_limited() -> None:
    place = Place()
    place.grant_all(*RIGHTS)
    place.world.broker.change(PutTopicPermission(WORKER, "/", TOPIC, "^a", "^a"))
    client = place.worker()

    client.say(published(b"m", "a", TOPIC, properties=copies(CC=["a1"], BCC=["a2"])))
    client.ask(Queue.Bind(queue="q", exchange=TOPIC, routing_key="a.#"), Queue.BindOk)
    client.say(published(b"m", "b", "x"))

    assert client.hear() == []


@pytest.mark.parametrize(
    "method",
    [
        Queue.Bind(queue="q", exchange=TOPIC, routing_key="#"),
        Queue.Unbind(queue="q", exchange=TOPIC, routing_key="#"),
        Exchange.Bind(destination="x", source=TOPIC, routing_key="#"),
        Exchange.Unbind(destination="x", source=TOPIC, routing_key="#"),
    ],
    ids=lambda one: str(one.name),
)
def test_binding_keys_are_checked_where_topics_are_limited(method: Command) -> None:
    place = Place()
    place.grant_all(*RIGHTS)
    place.world.broker.change(PutTopicPermission(WORKER, "/", TOPIC, "^a", "^a"))
    client = place.worker()

    client.send(method)

    (close,) = client.hear()
    assert isinstance(close, ChannelClass.Close)
    assert (close.reply_text or "").startswith("ACCESS_REFUSED - read access to topic '#'")


# -- the table ------------------------------------------------------------------------------


def test_the_table_has_every_method_that_a_channel_answers() -> None:
    covered = {operation.name.split(" ")[0] for operation in OPERATIONS}
    free = {str(one.name).lower() for one in FREE}

    assert {kind.name.lower() for kind in METHODS} == (covered - {"basic.publish"}) | free
