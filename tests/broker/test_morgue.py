"""Dead letters that nobody takes yet: they stay, and go on when something has changed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from amqpd.broker.definitions import DeleteQueue, PutParameter, PutQueue
from amqpd.broker.morgue import MOST_STUCK, PAUSE_MS
from amqpd.broker.parameters import POLICY
from amqpd.fields import Field
from tests.broker.model import FakeConsumer, Model
from tests.broker.types.living import Living

if TYPE_CHECKING:
    from amqpd.broker.queue import Queue

SURE = {
    "x-queue-type": "quorum",
    "x-dead-letter-exchange": "dlx",
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}


@pytest.fixture
def model() -> Model:
    return Model()


def reject(model: Model, *bodies: bytes, **arguments: object) -> Queue:
    """A queue in which these have died."""
    named = {name.replace("_", "-"): value for name, value in arguments.items()}
    all_named = {**SURE, **named}
    declared = {name: value for name, value in all_named.items() if value is not None}
    queue = model.queue(arguments=declared)
    consumer = FakeConsumer()
    model.consume(consumer)
    model.publish(*bodies)
    model.turn()
    model.vhost.cancel(consumer)
    model.vhost.discard(consumer.take())
    model.turn()
    return queue


def declare_exchange(model: Model, name: str = "dlx") -> None:
    model.vhost.declare_exchange(
        model.access,
        name,
        "fanout",
        passive=False,
        durable=True,
        auto_delete=False,
        internal=False,
        arguments={},
    )


def bind(model: Model, queue: str) -> None:
    model.vhost.bind(model.access, "dlx", queue, "queue", "", {}, model)


def bodies(model: Model, queue: str) -> list[bytes]:
    consumer = FakeConsumer(no_ack=True)
    model.consume(consumer, queue)
    model.turn()
    model.vhost.cancel(consumer)
    return consumer.bodies


def test_dead_letters_stay_until_their_exchange_leads_somewhere(model: Model) -> None:
    queue = reject(model, b"a", b"b")
    assert (queue.messages, queue.ready, queue.unacked) == (2, 0, 0)

    model.queue("dead")
    declare_exchange(model)
    model.turn(PAUSE_MS)
    assert queue.messages == 2
    bind(model, "dead")
    model.turn(PAUSE_MS)

    assert queue.messages == 0
    assert bodies(model, "dead") == [b"a", b"b"]
    assert model.vhost.publishing.buried == {"rejected": 2}


def test_dead_letters_stay_while_a_target_has_no_room(model: Model) -> None:
    declare_exchange(model)
    target = model.queue("dead", arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    bind(model, "dead")
    queue = reject(model, b"a", b"b", b"c")
    assert (queue.messages, target.ready) == (2, 1)

    taker = FakeConsumer(1)
    model.consume(taker, "dead")
    model.turn(PAUSE_MS)
    model.turn()
    assert (queue.messages, target.ready, taker.bodies) == (1, 1, [b"a"])
    taker.take()
    model.turn()
    model.turn(PAUSE_MS)

    assert (queue.messages, target.ready, taker.bodies) == (0, 1, [b"a", b"b"])


def test_a_target_that_refuses_holds_back_what_goes_to_others_too(model: Model) -> None:
    declare_exchange(model)
    model.queue("full", arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
    other = model.queue("other")
    bind(model, "full")
    bind(model, "other")

    queue = reject(model, b"a")

    assert (queue.messages, other.ready) == (1, 0)
    model.vhost.delete_queue(model.access, "full", if_unused=False, if_empty=False, owner=model)
    model.turn(PAUSE_MS)
    assert (queue.messages, other.ready) == (0, 1)


def test_nobody_tries_again_as_long_as_nothing_changes(model: Model) -> None:
    queue = reject(model, b"a")
    morgue = queue.morgue
    assert morgue is not None
    model.turn(PAUSE_MS)
    spare = model.broker.around.spare

    for _ in range(5):
        model.turn(PAUSE_MS)

    assert model.broker.around.spare >= spare
    assert not model.broker.dispatch()


def test_changes_that_come_fast_are_looked_at_once_in_a_while(model: Model) -> None:
    queue = reject(model, b"a")
    declare_exchange(model)
    model.turn()
    model.queue("dead")
    bind(model, "dead")
    model.turn(1)

    assert queue.messages == 1
    model.turn(PAUSE_MS)
    model.turn()

    assert queue.messages == 0


def test_few_that_cannot_go_hold_nobody_up(model: Model) -> None:
    model.queue("dead")
    queue = model.queue(arguments={**SURE, "x-dead-letter-exchange": ""})
    model.queue("other")
    consumer = FakeConsumer()
    model.consume(consumer)
    model.vhost.bind(model.access, "amq.direct", "q", "queue", "none", {}, model)
    model.vhost.bind(model.access, "amq.direct", "q", "queue", "dead", {}, model)
    model.publish(*[b"lost"] * MOST_STUCK, exchange="amq.direct", key="none")
    model.publish(b"found", exchange="amq.direct", key="dead")
    model.turn()

    model.vhost.discard(consumer.take())
    model.turn()

    assert queue.messages == MOST_STUCK
    assert bodies(model, "dead") == [b"found"]


def test_what_waits_counts_against_the_limit_and_is_purged(model: Model) -> None:
    queue = reject(model, b"a", b"b", x_max_length=2)

    assert model.publish(b"c").refused
    assert queue.waiting_bytes == 2
    answer = model.vhost.purge_queue(model.access, "q", model)
    assert (answer.value, answer.number) == (2, model.broker.journal.last)
    assert not model.publish(b"c").refused


def test_a_queue_that_is_not_sure_of_its_dead_letters_loses_them(model: Model) -> None:
    queue = reject(model, b"a", x_overflow="drop-head")

    assert queue.messages == 0
    assert model.vhost.publishing.dropped == {"rejected": 1}


def test_the_dead_letters_of_a_queue_go_with_it(model: Model) -> None:
    reject(model, b"a")
    model.commit()

    model.vhost.delete_queue(model.access, "q", if_unused=False, if_empty=False, owner=model)
    batch = model.broker.journal.take()

    assert batch is not None
    assert len(batch.drops) == 2
    assert len(batch.defines) == 2
    assert list(model.vhost.publishing.morgues) == []


def test_dead_letters_that_wait_are_there_after_a_start() -> None:
    model = Living()
    reject(model, b"a", b"b")
    model.commit()

    model.restart()
    queue = model.vhost.queues["q"]
    assert (queue.messages, queue.ready) == (2, 0)
    model.queue("dead")
    declare_exchange(model)
    bind(model, "dead")
    model.wait(2 * PAUSE_MS)

    assert queue.messages == 0
    assert model.bodies("dead") == [b"a", b"b"]
    model.restart()
    assert model.vhost.queues["q"].messages == 0


def test_a_long_backlog_is_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amqpd.broker.paging.WINDOW_MESSAGES", 4)
    monkeypatch.setattr("amqpd.broker.paging.LEAST_MESSAGES", 4)
    monkeypatch.setattr("amqpd.broker.paging.REFILL_MESSAGES", 2)
    monkeypatch.setattr("amqpd.broker.morgue.MOST_STUCK", 2)
    model = Living()
    sent = [b"%d" % at for at in range(20)]
    queue = reject(model, *sent)
    model.commit()
    assert queue.morgue is not None
    assert queue.morgue.loaded <= 4

    model.queue("dead")
    declare_exchange(model)
    bind(model, "dead")
    model.wait(2 * PAUSE_MS)

    assert queue.messages == 0
    assert model.bodies("dead") == sent


def test_a_queue_that_is_gone_after_a_start_leaves_nothing_behind() -> None:
    model = Living()
    reject(model, b"a")
    model.commit()
    model.broker.journal.define(DeleteQueue("/", "q"))
    model.commit()

    model.restart()

    assert list(model.vhost.publishing.morgues) == []
    model.restart()
    assert list(model.vhost.publishing.morgues) == []


def test_moving_a_dead_letter_aside_and_on_is_one_entry_each(model: Model) -> None:
    queue = model.queue(arguments=SURE)
    consumer = FakeConsumer()
    model.consume(consumer)
    model.publish(b"a")
    model.turn()
    model.commit()
    model.turn()

    model.vhost.discard(consumer.take())
    batch = model.broker.journal.take()

    assert batch is not None
    assert [type(one) for one in batch.defines] == [PutQueue]
    assert (len(batch.appends), len(batch.settles)) == (1, 1)
    assert queue.messages == 1


def test_a_dead_letter_goes_on_in_the_batch_in_which_it_leaves(model: Model) -> None:
    reject(model, b"a")
    model.commit()
    model.queue("dead")
    declare_exchange(model)
    bind(model, "dead")

    model.turn(PAUSE_MS)
    # Settles that nobody waits for stay behind, and may be lost with the power.
    batch = model.broker.journal.take(settles=False)

    assert batch is not None
    assert (len(batch.appends), len(batch.settles)) == (1, 1)


def test_dead_letters_go_where_the_policy_of_now_says(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare_exchange(model)
    declare_exchange(model, "other")
    model.queue("dead")
    model.vhost.bind(model.access, "other", "dead", "queue", "", {}, model)
    put_policy(model, "dlx")
    for number in range(10):
        model.queue(f"a{number}")
    queue = reject(model, b"a", x_dead_letter_exchange=None)
    assert queue.messages == 1

    monkeypatch.setattr("amqpd.broker.enforcement.STEPS", 1)
    put_policy(model, "other")
    assert queue.arguments.dead_letter_exchange == "dlx"
    assert queue.morgue is not None
    queue.morgue.look()
    model.broker.around.now_ms += PAUSE_MS
    model.broker.dispatch()

    assert queue.messages == 0
    assert bodies(model, "dead") == [b"a"]


def put_policy(model: Model, exchange: str) -> None:
    value = {"pattern": "", "definition": {"dead-letter-exchange": exchange}}
    model.broker.change(PutParameter(POLICY, "/", "p", json.dumps(value)))


# -- of any queue, where each goes into very many --------------------------------------------


@pytest.fixture
def widely(model: Model, monkeypatch: pytest.MonkeyPatch) -> Model:
    """Dead letters go into three queues, which is as much as fits into one turn."""
    monkeypatch.setattr("amqpd.broker.burial.MOST_PLACES", 2)
    monkeypatch.setattr("amqpd.broker.burial.FEW", 3)
    declare_exchange(model)
    for name in ("one", "two", "three"):
        model.queue(name)
        bind(model, name)
    return model


def publish_unlike(model: Model, count: int) -> list[bytes]:
    """Messages of which no two go the same way: each has died somewhere else before."""
    sent = [b"%d" % number for number in range(count)]
    for number, body in enumerate(sent):
        death = {"queue": Field("S", f"q{number}"), "reason": Field("S", "rejected")}
        model.publish(body, headers={"x-death": Field("A", [Field("F", death)])})
    return sent


def places(model: Model) -> list[int]:
    return [model.vhost.queues[name].ready for name in ("one", "two", "three")]


def test_they_go_a_few_in_each_turn_and_none_is_lost(widely: Model) -> None:
    model = widely
    queue = model.queue(arguments={"x-dead-letter-exchange": "dlx"})
    consumer = FakeConsumer()
    model.consume(consumer)
    sent = publish_unlike(model, 4)
    model.turn()
    model.vhost.cancel(consumer)

    model.vhost.discard(consumer.take())

    assert (places(model), queue.messages) == ([1, 1, 1], 3)
    for number in (2, 3, 4):
        model.broker.dispatch()
        assert (places(model), queue.messages) == ([number] * 3, 4 - number)
    for name in ("one", "two", "three"):
        assert bodies(model, name) == sent
    assert model.vhost.publishing.buried == {"rejected": 4}


def test_what_is_dropped_for_want_of_room_is_no_more_than_that(widely: Model) -> None:
    model = widely
    queue = model.queue(arguments={"x-dead-letter-exchange": "dlx", "x-max-length": 2})

    publish_unlike(model, 6)
    model.turn()
    for _ in range(6):
        model.broker.dispatch()

    assert (queue.ready, queue.messages, places(model)) == (2, 2, [4, 4, 4])


def test_those_that_wait_for_a_turn_survive_a_restart(widely: Model) -> None:
    model = widely
    model.queue(arguments={"x-dead-letter-exchange": "dlx"}, durable=True)
    consumer = FakeConsumer()
    model.consume(consumer)
    publish_unlike(model, 3)
    model.turn()
    model.vhost.discard(consumer.take())

    batch = model.broker.journal.take()

    assert batch is not None
    into = [target.home.owner for append in batch.appends for target in append.targets]
    morgue = model.vhost.queues["q"].morgue
    assert into.count(morgue) == 2  # type: ignore[arg-type]  # a queue is who is woken
