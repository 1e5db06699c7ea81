"""Priorities: levels of quorum queues as they are needed, and the order of what came back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpd.broker.arguments import QueueType
from amqpd.broker.definitions import PutQueue
from amqpd.broker.names import join_keys
from amqpd.broker.priorities import QUORUM_DEFAULT, lane_ids_by_level
from tests.broker.model import FakeConsumer, Model
from tests.broker.types.living import Living

if TYPE_CHECKING:
    from amqpd.broker.queue import Got, Queue

QUORUM = {"x-queue-type": "quorum"}


@pytest.fixture
def model() -> Model:
    return Model()


def levels(queue: Queue) -> list[int]:
    return [int(lane.priority) for lane in queue.lanes]


def consumed(model: Model, credit: int = 1_000) -> FakeConsumer:
    consumer = FakeConsumer(credit)
    model.consume(consumer)
    model.turn()
    return consumer


def test_a_quorum_queue_has_one_level_as_long_as_messages_have_no_priority(model: Model) -> None:
    queue = model.queue(arguments=QUORUM)

    model.publish(b"a", b"b")
    model.publish(b"c", priority=QUORUM_DEFAULT)

    assert levels(queue) == [QUORUM_DEFAULT]
    assert len(queue.definition().lanes) == 1
    assert consumed(model).bodies == [b"a", b"b", b"c"]


def test_the_highest_priority_of_a_quorum_queue_goes_first_and_none_is_4(model: Model) -> None:
    queue = model.queue(arguments=QUORUM)
    for body, priority in ((b"0", 0), (b"none", None), (b"31", 31), (b"255", 255), (b"5", 5)):
        model.publish(body, priority=priority)
    model.publish(b"4", priority=4)

    assert levels(queue) == [0, 4, 5, 31]
    assert consumed(model).bodies == [b"31", b"255", b"5", b"none", b"4", b"0"]


def test_a_level_is_on_disk_before_its_messages(model: Model) -> None:
    queue = model.queue(arguments=QUORUM)
    model.commit()

    number = model.publish(b"a", priority=9).number
    batch = model.broker.journal.take()

    assert batch is not None
    assert batch.number == number
    (define,) = batch.defines
    assert isinstance(define, PutQueue)
    assert dict(lane_ids_by_level(QueueType.QUORUM, define.lanes)) == {
        int(lane.priority): int(lane.id) for lane in queue.lanes
    }


def test_definitions_name_the_lanes_of_quorum_queues_by_their_level() -> None:
    assert lane_ids_by_level(QueueType.QUORUM, (7,)) == [(QUORUM_DEFAULT, 7)]
    assert lane_ids_by_level(QueueType.QUORUM, (0, 5, 0, 0, 7)) == [(1, 5), (4, 7)]
    assert lane_ids_by_level(QueueType.CLASSIC, (0, 0)) == [(0, 0), (1, 0)]


def test_a_classic_queue_has_its_levels_from_the_start(model: Model) -> None:
    queue = model.queue(arguments={"x-max-priority": 2})
    for body, priority in ((b"none", None), (b"9", 9), (b"1", 1)):
        model.publish(body, priority=priority)

    assert levels(queue) == [0, 1, 2]
    assert consumed(model).bodies == [b"9", b"1", b"none"]


def test_a_worn_level_begins_again_in_its_place(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amqpd.broker.paging.WORN", 1)
    monkeypatch.setattr("amqpd.broker.queue.WORN", 1)
    queue = model.queue(arguments=QUORUM)
    consumer = FakeConsumer(no_ack=True)
    model.consume(consumer)
    model.publish(b"a", priority=9)
    model.turn()
    model.commit()
    worn = queue.priorities.find(9)

    model.publish(b"b", priority=9)
    model.turn()

    assert levels(queue) == [4, 9]
    assert queue.priorities.find(9) is not worn
    assert consumer.bodies == [b"a", b"b"]


def test_what_came_back_to_a_quorum_queue_goes_before_higher_priorities(model: Model) -> None:
    model.queue(arguments=QUORUM)
    model.publish(b"low", priority=1)
    consumer = consumed(model)
    model.publish(b"high", priority=9)

    model.vhost.cancel(consumer)
    model.vhost.requeue(consumer.take())

    assert consumed(model).bodies == [b"low", b"high"]


def test_what_came_back_goes_out_in_the_order_in_which_it_did(model: Model) -> None:
    model.queue(arguments=QUORUM)
    consumer = consumed(model)
    for body, priority in ((b"a", 1), (b"b", 9), (b"c", 1), (b"d", 9)):
        model.publish(body, priority=priority)
        model.turn()
    assert consumer.bodies == [b"a", b"b", b"c", b"d"]
    model.vhost.cancel(consumer)

    model.vhost.requeue(consumer.unacked.take(3, 3, False))
    model.vhost.requeue(consumer.unacked.take(0, 0, True))

    other = consumed(model)
    assert other.bodies == [b"c", b"a", b"b", b"d"]
    assert other.redelivered == [True] * 4


def test_what_expires_at_different_times_comes_back_in_its_order_too(model: Model) -> None:
    model.queue(arguments=QUORUM)
    model.publish_run(b"a", b"b", b"c", ttls=[-1, 60_000, 30_000])
    model.publish(b"high", priority=9)
    model.turn()
    consumer = consumed(model)
    assert consumer.bodies == [b"high", b"a", b"b", b"c"]
    model.vhost.cancel(consumer)

    model.vhost.requeue(consumer.unacked.take(0, 0, True))

    assert consumed(model).bodies == [b"high", b"a", b"b", b"c"]


def test_what_was_back_before_there_were_levels_goes_first_too(model: Model) -> None:
    model.queue(arguments=QUORUM)
    model.publish(b"a", b"b")
    consumer = consumed(model, credit=1)
    model.vhost.cancel(consumer)
    model.vhost.requeue(consumer.take())

    model.publish(b"high", priority=9)

    assert consumed(model).bodies == [b"a", b"high", b"b"]


def test_a_get_takes_what_came_back_first(model: Model) -> None:
    queue = model.queue(arguments=QUORUM)
    model.publish(b"low", priority=1)
    consumer = consumed(model)
    model.publish(b"high", priority=9)
    model.vhost.cancel(consumer)
    model.vhost.requeue(consumer.take())
    got: list[Got | None] = []

    for _ in range(2):
        model.vhost.get(model.access, "q", model, True, got.append)

    assert [one is not None and int(one.lane.priority) for one in got] == [1, 9]
    assert queue.ready == 0


def test_a_part_of_what_came_back_leaves_the_rest_in_its_place(model: Model) -> None:
    queue = model.queue(arguments=QUORUM)
    model.publish_run(b"a", b"b", b"c")
    model.publish(b"high", priority=9)
    consumer = consumed(model)
    assert consumer.bodies == [b"high", b"a", b"b", b"c"]
    model.vhost.cancel(consumer)
    # The later ones come back first: the earlier ones wait in front of them.
    model.vhost.requeue(consumer.unacked.take(3, 4, False))
    model.vhost.requeue(consumer.unacked.take(0, 0, True))

    first = consumed(model, credit=1)
    assert first.bodies == [b"b"]
    assert queue.ready == 3
    second = consumed(model)

    assert first.bodies + second.bodies == [b"b", b"c", b"high", b"a"]
    assert (queue.ready, queue.unacked, queue.loaded) == (0, 4, 0)
    model.vhost.settle(first.take())
    model.vhost.settle(second.take())
    assert queue.messages == 0


def test_what_expired_or_was_purged_does_not_go_out_because_it_came_back(model: Model) -> None:
    queue = model.queue(arguments=QUORUM)
    model.publish(b"short", priority=1, expiration="10")
    model.publish(b"long", priority=1)
    consumer = consumed(model)
    model.publish(b"high", priority=9)
    model.vhost.cancel(consumer)
    model.vhost.requeue(consumer.take())

    model.turn(20)
    other = consumed(model, credit=1)
    assert other.bodies == [b"long"]
    model.vhost.cancel(other)
    model.vhost.requeue(other.take())
    assert queue.purge()[0] == 2

    model.publish(b"new")
    assert consumed(model).bodies == [b"new"]


def test_levels_are_there_after_a_start() -> None:
    model = Living()
    model.queue(arguments=QUORUM)
    for body, priority in ((b"0", 0), (b"none", None), (b"31", 31)):
        model.publish(body, priority=priority)
    model.commit()

    model.restart()

    queue = model.vhost.queues["q"]
    assert levels(queue) == [0, 4, 31]
    model.publish(b"30", priority=30)
    assert model.bodies() == [b"31", b"30", b"none", b"0"]


def test_a_quorum_queue_keeps_transient_messages_too() -> None:
    model = Living()
    model.queue(arguments=QUORUM)
    model.queue("classic")
    for queue in ("q", "classic"):
        model.vhost.bind(model.access, "amq.fanout", queue, "queue", "", {}, model)

    assert model.publish(b"a", mode=1).number > 0
    assert model.publish(b"b", exchange="amq.fanout", key="", mode=1).number > 0
    assert model.vhost.queues["classic"].ready == 1
    model.commit()
    model.restart()

    assert model.bodies() == [b"a", b"b"]
    assert model.bodies("classic") == []


def test_a_transient_message_is_routed_if_one_of_its_queues_is_left(model: Model) -> None:
    model.queue(arguments=QUORUM)
    classic = model.queue("classic")
    for queue in ("q", "classic"):
        model.vhost.bind(model.access, "amq.fanout", queue, "queue", "", {}, model)
    path = model.vhost.resolve(model.access, "amq.fanout", "")
    model.vhost.delete_queue(model.access, "q", if_unused=False, if_empty=False, owner=model)

    published = model.vhost.publish(path, model.a_run(b"a", mode=1))

    assert published.routed
    assert classic.ready == 1


def test_the_hidden_keys_of_a_message_are_there_after_a_start() -> None:
    model = Living()
    model.queue(arguments={"x-dead-letter-exchange": "amq.direct"})
    model.queue("dead")
    model.vhost.bind(model.access, "amq.direct", "dead", "queue", "hidden", {}, model)
    for body, blind in ((b"a", [""]), (b"b", ["hidden", "other"]), (b"c", [])):
        run = model.a_run(body)
        run.blind = join_keys(blind)
        model.vhost.publish(model.vhost.resolve(model.access, "", "q"), run)
    model.commit()
    model.restart()
    consumer = FakeConsumer()
    model.consume(consumer)
    model.turn()

    assert consumer.bodies == [b"a", b"b", b"c"]
    model.vhost.discard(consumer.take())
    assert model.bodies("dead") == [b"b"]


def test_what_came_back_is_the_head_that_is_dropped(model: Model) -> None:
    queue = model.queue(arguments={**QUORUM, "x-max-length": 2})
    model.publish(b"low", priority=1)
    consumer = consumed(model)
    model.publish(b"high", priority=9)
    model.vhost.cancel(consumer)
    model.vhost.requeue(consumer.take())

    model.publish(b"none")

    assert queue.ready == 2
    assert consumed(model).bodies == [b"high", b"none"]
