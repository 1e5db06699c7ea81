"""Vhosts: what clients may declare, bind and delete, who may, and what goes along with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpd.broker.catalogue import QUEUES_A_SLICE
from amqpd.broker.definitions import (
    DeleteBinding,
    DeleteExchange,
    DeleteQueue,
    DeleteVhost,
    PutBinding,
    PutExchange,
    PutPermission,
    PutQueue,
    PutTopicPermission,
    PutVhost,
)
from amqpd.broker.limits import Limits
from amqpd.errors import AccessRefused, NotFound, PreconditionFailed, ResourceLocked
from tests.broker.model import FakeConsumer, Model, a_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from amqpd.broker.catalogue import Answer
    from amqpd.broker.definitions import Command, DestinationKind
    from amqpd.broker.queue import Got
    from amqpd.broker.vhost import QueueInfo


class Client:
    """A connection's view of a vhost, with what it mostly asks for as defaults."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.vhost = model.vhost
        self.access = model.access

    def exchange(
        self,
        name: str = "x",
        kind: str = "direct",
        *,
        passive: bool = False,
        durable: bool = True,
        auto_delete: bool = False,
        internal: bool = False,
        **arguments: object,
    ) -> int:
        answer = self.vhost.declare_exchange(
            self.access,
            name,
            kind,
            passive=passive,
            durable=durable,
            auto_delete=auto_delete,
            internal=internal,
            arguments=a_table({key.replace("_", "-"): one for key, one in arguments.items()}),
        )
        return answer.number

    def queue(
        self,
        name: str = "q",
        *,
        passive: bool = False,
        durable: bool = True,
        exclusive: bool = False,
        auto_delete: bool = False,
        **arguments: object,
    ) -> Answer[QueueInfo]:
        return self.vhost.declare_queue(
            self.access,
            name,
            passive=passive,
            durable=durable,
            exclusive=exclusive,
            auto_delete=auto_delete,
            arguments=a_table({key.replace("_", "-"): one for key, one in arguments.items()}),
            owner=self,
        )

    def bind(
        self, source: str = "x", destination: str = "q", kind: DestinationKind = "queue"
    ) -> int:
        return self.vhost.bind(self.access, source, destination, kind, "key", {}, self).number

    def unbind(
        self, source: str = "x", destination: str = "q", kind: DestinationKind = "queue"
    ) -> int:
        return self.vhost.unbind(self.access, source, destination, kind, "key", {}, self).number

    def delete_queue(
        self, name: str = "q", *, if_unused: bool = False, if_empty: bool = False
    ) -> Answer[int]:
        return self.vhost.delete_queue(
            self.access, name, if_unused=if_unused, if_empty=if_empty, owner=self
        )

    def delete_exchange(self, name: str = "x", *, if_unused: bool = False) -> int:
        return self.vhost.delete_exchange(self.access, name, if_unused=if_unused).number

    def consume(
        self, name: str = "q", *, exclusive: bool = False, no_ack: bool = False
    ) -> FakeConsumer:
        consumer = FakeConsumer(no_ack=no_ack)
        self.vhost.consume(self.access, name, consumer, exclusive=exclusive, owner=self)
        return consumer

    def get(self) -> list[Got | None]:
        got: list[Got | None] = []
        self.vhost.get(self.access, "q", self, True, got.append)
        return got

    def may(self, configure: str = "", write: str = "", read: str = "") -> None:
        self.model.broker.change(PutPermission("u", "/", configure, write, read))


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def client(model: Model) -> Client:
    return Client(model)


def journaled(model: Model) -> list[Command]:
    """The definitions that are on their way to the disk."""
    batch = model.broker.journal.take()
    assert batch is not None
    model.broker.journal.committed(batch)
    return batch.defines


# -- exchanges ---------------------------------------------------------------------------


def test_a_durable_exchange_is_there_once_its_number_is_safe(model: Model, client: Client) -> None:
    model.commit()

    number = client.exchange(alternate_exchange="amq.fanout")

    assert number == model.broker.journal.last
    arguments = a_table({"alternate-exchange": "amq.fanout"})
    assert journaled(model) == [
        PutExchange("/", "x", "direct", True, False, False, arguments, "rmq-internal"),
    ]
    assert client.vhost.exchanges["x"].durable


def test_a_transient_exchange_waits_for_nothing(model: Model, client: Client) -> None:
    model.commit()

    assert client.exchange(durable=False) == 0
    assert client.exchange(durable=False) == 0
    assert model.broker.journal.is_empty


def test_line_ends_in_names_do_not_count(client: Client) -> None:
    client.exchange("a\r\nb")
    client.queue("c\r\nd")
    client.bind("a\nb", "c\rd")

    assert "ab" in client.vhost.exchanges
    assert client.vhost.queues.keys() == {"cd"}
    assert client.delete_queue("c\nd").number
    assert client.delete_exchange("a\nb")


def test_a_repeated_declaration_waits_until_the_first_is_on_disk(
    model: Model, client: Client
) -> None:
    model.commit()
    number = client.exchange()

    assert client.exchange() == number
    with pytest.raises(PreconditionFailed, match="inequivalent arg 'type' for exchange 'x'"):
        client.exchange(kind="fanout")


def test_a_passive_declaration_only_looks(client: Client) -> None:
    with pytest.raises(NotFound, match="no exchange 'x' in vhost '/'"):
        client.exchange(passive=True)
    client.exchange()

    assert client.exchange(kind="whatever", passive=True, durable=False) == 0


def test_the_default_exchange_is_nobodys(client: Client) -> None:
    refusals: list[Callable[[], int]] = [
        lambda: client.exchange(""),
        lambda: client.delete_exchange(""),
        lambda: client.bind("", "q"),
        lambda: client.bind("amq.direct", "", "exchange"),
    ]
    for refused in refusals:
        with pytest.raises(AccessRefused, match="operation not permitted on the default exchange"):
            refused()


def test_names_that_begin_with_amq_are_reserved(client: Client) -> None:
    with pytest.raises(AccessRefused, match=r"exchange name 'amq\.x' contains reserved prefix"):
        client.exchange("amq.x")
    with pytest.raises(AccessRefused, match=r"queue name 'amq\.q' contains reserved prefix"):
        client.queue("amq.q")
    with pytest.raises(AccessRefused, match=r"deletion of system exchange 'amq\.direct'"):
        client.delete_exchange("amq.direct")
    client.exchange("amq.direct")  # it is there


def test_an_alternate_exchange_needs_rights_on_both(client: Client) -> None:
    client.may(configure=".*", read="^x$", write="^other$")
    client.exchange(alternate_exchange="other")

    with pytest.raises(AccessRefused):
        client.exchange("y", alternate_exchange="other")
    client.may(configure=".*", read=".*")
    with pytest.raises(AccessRefused):
        client.exchange("z", alternate_exchange="other")
    with pytest.raises(AccessRefused):
        client.exchange("z", x_alternate_exchange="other")


def test_deleting_an_exchange_takes_its_bindings_along(model: Model, client: Client) -> None:
    client.exchange()
    client.exchange("y")
    client.queue()
    client.bind()
    client.bind("y", "x", "exchange")
    journaled(model)

    number = client.delete_exchange()

    assert number == model.broker.journal.last
    assert journaled(model) == [DeleteExchange("/", "x")]  # the store's tables cascade, too
    assert not client.vhost.exchanges["y"].bindings
    assert client.delete_exchange() == 0


def test_an_exchange_in_use_may_be_spared(client: Client) -> None:
    client.exchange()
    client.queue()
    client.bind()

    with pytest.raises(PreconditionFailed, match="exchange 'x' in vhost '/' in use"):
        client.delete_exchange(if_unused=True)
    client.unbind()
    client.delete_exchange(if_unused=True)

    assert "x" not in client.vhost.exchanges


def test_an_auto_delete_exchange_goes_with_its_last_binding(client: Client) -> None:
    client.exchange(auto_delete=True)
    client.queue("a")
    client.queue("b")
    client.bind(destination="a")
    client.bind(destination="b")

    client.unbind(destination="a")
    assert "x" in client.vhost.exchanges
    client.delete_queue("b")

    assert "x" not in client.vhost.exchanges


def test_auto_delete_exchanges_that_feed_each_other_go_together(client: Client) -> None:
    for name in ("a", "b", "c"):
        client.exchange(name, auto_delete=True)
    client.exchange("stays")
    for source, target in (("a", "b"), ("b", "c"), ("c", "a"), ("stays", "a")):
        client.bind(source, target, "exchange")

    client.delete_exchange("b")

    assert {"a", "b", "c"}.isdisjoint(client.vhost.exchanges)
    assert "stays" in client.vhost.exchanges
    assert list(client.vhost.incoming) == []


def test_a_chain_of_auto_delete_exchanges_may_be_long(model: Model, client: Client) -> None:
    count = 2000
    for index in range(count):
        client.exchange(f"x{index}", auto_delete=True, durable=False)
        if index:
            client.bind(f"x{index - 1}", f"x{index}", "exchange")
    client.queue("end")
    client.bind(f"x{count - 1}", "end")

    client.delete_queue("end")
    while model.broker.dispatch():
        pass

    assert not [name for name in client.vhost.exchanges if name.startswith("x")]


# -- bindings ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["queue", "exchange"])
def test_a_binding_is_durable_if_both_its_ends_are(
    model: Model, client: Client, kind: DestinationKind
) -> None:
    for name, durable in (("durable", True), ("transient", False)):
        client.exchange(f"{name} x", durable=durable)
        client.queue(f"{name} queue", durable=durable)
        client.exchange(f"{name} exchange", durable=durable)
    journaled(model)

    number = client.bind("durable x", f"durable {kind}", kind)
    others = [
        client.bind("durable x", f"transient {kind}", kind),
        client.bind("transient x", f"durable {kind}", kind),
    ]

    assert number == model.broker.journal.last
    assert others == [0, 0]
    assert journaled(model) == [
        PutBinding("/", "durable x", f"durable {kind}", kind, "key"),
    ]
    assert client.unbind("transient x", f"durable {kind}", kind) == 0
    assert client.unbind("durable x", f"durable {kind}", kind) == model.broker.journal.last


def test_binding_twice_is_fine_and_waits_for_the_first(model: Model, client: Client) -> None:
    client.exchange()
    client.queue()

    assert client.bind() == client.bind() == model.broker.journal.last
    assert len(list(client.vhost.incoming)) == 1


def test_unbinding_what_is_not_bound_is_fine(client: Client) -> None:
    client.queue()

    assert client.unbind("amq.direct") == 0
    assert client.unbind("nothing") == 0


def test_unbinding_what_is_not_bound_is_fine_with_the_queue_of_another(
    model: Model, client: Client
) -> None:
    client.queue(exclusive=True)

    assert Client(model).unbind("amq.direct") == 0


def test_both_ends_of_a_binding_must_be_there(client: Client) -> None:
    client.queue()
    with pytest.raises(NotFound, match="no exchange 'x'"):
        client.bind()
    with pytest.raises(NotFound, match="no queue 'no'"):
        client.bind("amq.direct", "no")
    with pytest.raises(NotFound, match="no exchange 'no'"):
        client.bind("amq.direct", "no", "exchange")


def test_binding_needs_the_right_to_write_the_target_and_to_read_the_source(
    client: Client,
) -> None:
    client.queue()
    client.may(write="^q$")
    with pytest.raises(AccessRefused):
        client.bind("amq.direct")
    client.may(read="^amq.direct$")
    with pytest.raises(AccessRefused):
        client.bind("amq.direct")
    client.may(write="^q$", read="^amq.direct$")

    client.bind("amq.direct")


def test_binding_to_a_topic_exchange_needs_the_right_to_read_the_key(
    model: Model, client: Client
) -> None:
    client.queue()
    model.broker.change(PutTopicPermission("u", "/", "amq.topic", "", "^mine$"))

    with pytest.raises(AccessRefused):
        client.bind("amq.topic")


# -- queues ------------------------------------------------------------------------------


def test_a_durable_queue_is_there_once_its_number_is_safe(model: Model, client: Client) -> None:
    model.commit()

    answer = client.queue()

    assert (answer.value.name, answer.value.ready, answer.value.consumers) == ("q", 0, 0)
    assert answer.number == model.broker.journal.last
    (command,) = journaled(model)
    assert isinstance(command, PutQueue)
    assert (command.name, command.durable) == ("q", True)
    assert command.lanes == (client.vhost.queues["q"].lanes[0].id,)


def test_a_queue_without_a_name_gets_one(client: Client) -> None:
    first, second = client.queue("").value.name, client.queue("").value.name

    assert first != second
    assert {first, second} == client.vhost.queues.keys()
    assert first.startswith("amq.gen-")


def test_declaring_a_queue_again_tells_what_is_in_it_and_waits_for_its_definition_only(
    model: Model, client: Client
) -> None:
    number = client.queue().number
    client.consume()
    model.publish(b"a", b"b")
    model.turn()
    model.publish_run(*[b"x"] * 1500)

    answer = client.queue()

    assert (answer.value.ready, answer.value.consumers) == (502, 1)
    assert answer.number == number < model.broker.journal.last


def test_a_transient_queue_waits_for_nothing(client: Client) -> None:
    assert client.queue(durable=False).number == 0
    assert client.queue(durable=False).number == 0
    assert client.queue(passive=True).number == 0


def test_a_queue_of_another_kind_is_another_queue(client: Client) -> None:
    client.queue()

    with pytest.raises(PreconditionFailed, match="inequivalent arg 'durable' for queue 'q'"):
        client.queue(durable=False)
    with pytest.raises(PreconditionFailed, match="inequivalent arg 'x-max-length' for queue 'q'"):
        client.queue(x_max_length=5)


def test_a_queue_is_classic_whether_it_says_so_or_not(client: Client) -> None:
    client.queue("a")
    client.queue("b", x_queue_type="classic")

    client.queue("a", x_queue_type="classic")
    client.queue("b")


def test_a_queue_that_does_not_exist_is_not_found(client: Client) -> None:
    with pytest.raises(NotFound, match="no queue 'q' in vhost '/'"):
        client.queue(passive=True)
    with pytest.raises(NotFound, match="no queue 'q' in vhost '/'"):
        client.consume()
    with pytest.raises(NotFound, match="no queue 'q' in vhost '/'"):
        client.vhost.purge_queue(client.access, "q", client)
    assert client.delete_queue().value == 0


def test_dead_lettering_needs_rights_on_both(client: Client) -> None:
    client.may(configure=".*", read="^q$", write="^dead$")
    client.queue(x_dead_letter_exchange="dead")

    with pytest.raises(AccessRefused):
        client.queue("other", x_dead_letter_exchange="dead")
    with pytest.raises(AccessRefused):
        client.queue("q2", x_dead_letter_exchange="alive")


def test_an_exclusive_queue_is_its_connections_alone(model: Model, client: Client) -> None:
    stranger = Client(model)
    client.queue(exclusive=True)
    client.exchange()

    refusals: list[Callable[[], object]] = [
        lambda: stranger.queue(exclusive=True),
        lambda: stranger.queue(passive=True),
        stranger.consume,
        stranger.bind,
        stranger.delete_queue,
        lambda: stranger.vhost.purge_queue(stranger.access, "q", stranger),
        stranger.get,
    ]
    for refused in refusals:
        with pytest.raises(ResourceLocked, match="cannot obtain exclusive access to locked queue"):
            refused()
    client.queue(exclusive=True)
    client.bind()


def test_a_queue_for_all_cannot_become_exclusive(client: Client) -> None:
    client.queue()

    with pytest.raises(ResourceLocked):
        client.queue(exclusive=True)


def test_exclusive_queues_go_with_their_connection(model: Model, client: Client) -> None:
    stranger = Client(model)
    client.exchange(auto_delete=True)
    for name in ("a", "b", "gone"):
        client.queue(name, exclusive=True)
    client.bind(destination="a")
    client.queue("stays")
    stranger.queue("theirs", exclusive=True)
    client.delete_queue("gone")
    stranger.queue("gone", exclusive=True)

    client.vhost.release(client)
    client.vhost.release(client)

    assert client.vhost.queues.keys() == {"stays", "theirs", "gone"}
    assert "x" not in client.vhost.exchanges


def test_deleting_a_queue_takes_its_bindings_and_messages_along(
    model: Model, client: Client
) -> None:
    client.exchange()
    client.queue()
    client.bind()
    model.publish(b"a", b"b")
    journaled(model)
    lane = client.vhost.queues["q"].lanes[0]

    answer = client.delete_queue()

    assert (answer.value, answer.number) == (2, model.broker.journal.last)
    batch = model.broker.journal.take()
    assert batch is not None
    assert batch.defines == [DeleteQueue("/", "q")]
    assert [drop.lanes for drop in batch.drops] == [(lane.id,)]


def test_a_queue_may_be_spared_while_it_is_used_or_holds_messages(
    model: Model, client: Client
) -> None:
    client.queue()
    consumer = client.consume(no_ack=True)
    with pytest.raises(PreconditionFailed, match="queue 'q' in vhost '/' in use"):
        client.delete_queue(if_unused=True)
    client.vhost.cancel(consumer)
    client.vhost.cancel(consumer)
    model.publish(b"a")
    with pytest.raises(PreconditionFailed, match="queue 'q' in vhost '/' not empty"):
        client.delete_queue(if_empty=True)

    assert client.delete_queue(if_unused=True).value == 1


def test_an_auto_delete_queue_goes_with_its_last_consumer(model: Model, client: Client) -> None:
    client.queue(auto_delete=True)
    one, other = client.consume(), client.consume()
    model.publish(b"a", b"b")
    model.turn()

    client.vhost.cancel(one)
    assert "q" in client.vhost.queues
    client.vhost.cancel(other)

    assert "q" not in client.vhost.queues
    client.vhost.requeue(one.take())
    client.vhost.settle(other.take())
    model.commit()
    assert model.store.rows == {}


def test_an_auto_delete_queue_that_was_deleted_is_not_deleted_again(client: Client) -> None:
    client.queue(auto_delete=True)
    consumer = client.consume()
    assert consumer.queue is not None
    queue = client.vhost.queues["q"]

    client.delete_queue()
    consumer.queue.cancel()
    client.vhost.unused(queue)
    client.queue(auto_delete=True)

    assert "q" in client.vhost.queues


def test_a_queue_that_is_used_does_not_expire(model: Model, client: Client) -> None:
    client.queue(x_expires=1000)
    model.turn(900)
    client.queue(x_expires=1000)
    model.turn(900)
    client.get()
    model.turn(900)
    consumer = client.consume()
    model.turn(5000)
    assert "q" in client.vhost.queues

    client.vhost.cancel(consumer)
    model.turn(999)
    assert "q" in client.vhost.queues
    model.turn(1)

    assert "q" not in client.vhost.queues


def test_a_queue_of_the_same_name_does_not_expire_for_another(model: Model, client: Client) -> None:
    client.queue(x_expires=1000)
    model.turn(500)
    client.delete_queue()
    client.queue()

    model.turn(5000)

    assert "q" in client.vhost.queues


# -- messages ----------------------------------------------------------------------------


def test_purging_tells_how_many_were_ready(model: Model, client: Client) -> None:
    client.queue()
    consumer = client.consume()
    consumer.prefetch = 1
    model.publish(b"a", b"b", b"c")
    model.turn()

    answer = client.vhost.purge_queue(client.access, "q", client)

    assert (answer.value, answer.number) == (2, model.broker.journal.last)
    assert client.vhost.purge_queue(client.access, "q", client).number == 0
    assert client.vhost.queues["q"].unacked == 1


def test_an_exclusive_consumer_is_alone(client: Client) -> None:
    client.queue()
    alone = client.consume(exclusive=True)
    with pytest.raises(AccessRefused, match="queue 'q' in vhost '/' in exclusive use"):
        client.consume()

    client.vhost.cancel(alone)
    client.consume()

    with pytest.raises(AccessRefused, match="in exclusive use"):
        client.consume(exclusive=True)


def test_where_one_consumer_is_active_none_may_be_exclusive(client: Client) -> None:
    client.queue(x_single_active_consumer=True)

    with pytest.raises(AccessRefused, match="queue 'q' in vhost '/' in exclusive use"):
        client.consume(exclusive=True)
    client.consume()


def test_consuming_and_getting_need_the_right_to_read(client: Client) -> None:
    client.queue()
    client.may(configure=".*", write=".*")

    with pytest.raises(AccessRefused):
        client.consume()
    with pytest.raises(AccessRefused):
        client.get()


def test_nobody_gets_messages_of_a_quorum_queue_past_a_single_active_consumer(
    client: Client,
) -> None:
    client.queue(durable=True, x_queue_type="quorum", x_single_active_consumer=True)

    with pytest.raises(ResourceLocked, match="cannot obtain access to locked queue 'q'"):
        client.get()


def test_basic_get_goes_past_a_single_active_consumer_of_a_classic_queue(client: Client) -> None:
    client.queue(x_single_active_consumer=True)

    assert client.get() == [None]


def test_what_a_channel_publishes_is_resolved_here(model: Model, client: Client) -> None:
    client.queue()
    run = model.a_run(b"a")

    path = client.vhost.resolve(client.access, "", "q")

    assert client.vhost.publish(path, run).routed
    assert client.vhost.queues["q"].ready == 1


def test_a_vhost_that_is_gone_has_nothing_and_tells_consumers(model: Model, client: Client) -> None:
    client.queue(auto_delete=True)
    client.queue("mine", exclusive=True)
    consumer = client.consume()
    revision = client.vhost.revision

    model.broker.change(DeleteVhost("/"))

    assert consumer.gone
    assert client.vhost.revision > revision
    assert not client.vhost.queues
    client.vhost.cancel(consumer)
    client.vhost.release(client)
    model.turn()
    model.commit()


def test_a_large_vhost_goes_in_slices_and_is_not_there_from_the_first_one_on(
    model: Model, client: Client
) -> None:
    for index in range(3 * QUEUES_A_SLICE):
        client.queue(f"q{index}")
    queues, lanes = list(client.vhost.queues.values()), model.broker.around
    left: set[int] = {lane.id for queue in queues for lane in queue.lanes}
    lanes.lane_gone = left.discard

    model.broker.change(DeleteVhost("/"))

    assert not client.vhost.queues
    assert all(queue.deleted for queue in queues)
    assert len(left) == 2 * QUEUES_A_SLICE
    model.turn(1)
    assert len(left) == QUEUES_A_SLICE
    model.turn(1)
    assert not left


def test_the_lanes_of_a_vhost_are_those_of_its_queues(client: Client) -> None:
    client.queue("a")
    client.queue("b", x_max_priority=2)

    assert len(list(client.vhost.lanes())) == 4


def test_every_change_makes_routes_old(model: Model, client: Client) -> None:
    revisions = [client.vhost.revision]
    for change in (
        client.queue,
        client.exchange,
        client.bind,
        client.unbind,
        client.delete_queue,
        client.delete_exchange,
        client.may,
    ):
        change()
        revisions.append(client.vhost.revision)

    assert revisions == sorted(set(revisions))


def test_a_command_that_is_not_a_vhosts_is_a_mistake(client: Client) -> None:
    with pytest.raises(AssertionError, match="not a command of a vhost"):
        client.vhost.apply(PutVhost("other"))


def test_a_binding_that_is_applied_twice_is_one(client: Client) -> None:
    client.queue()
    command = PutBinding("/", "amq.direct", "q", "queue", "key")

    client.vhost.apply(command)
    client.vhost.apply(command)
    client.vhost.apply(DeleteBinding("/", "amq.direct", "q", "queue", "key"))
    client.vhost.apply(DeleteBinding("/", "gone", "q", "queue", "key"))

    assert list(client.vhost.incoming) == []
    assert not client.vhost.exchanges["amq.direct"].bindings


def test_a_quorum_queue_is_declared_as_the_classic_one_that_it_was_where_allowed() -> None:
    strict, relaxed = (
        Client(Model(limits=Limits(relaxed_redeclaration=allowed))) for allowed in (False, True)
    )
    for client in (strict, relaxed):
        client.queue(x_queue_type="quorum")

    assert relaxed.queue().value.name == "q"
    with pytest.raises(PreconditionFailed):
        strict.queue()
    with pytest.raises(PreconditionFailed):
        relaxed.queue(x_message_ttl=5)
