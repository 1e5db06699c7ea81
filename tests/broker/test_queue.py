"""Queues: who gets what, in which order, what waits on disk, what expires and what dies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpd.broker.content import header_payload
from amqpd.broker.queue import CROWD_MESSAGES, HOLD_MS, STUCK_MS
from amqpd.fields import plain_table
from amqpd.properties import decode_header
from tests.broker.model import FakeConsumer, Model

if TYPE_CHECKING:
    from amqpd.broker.queue import Got


@pytest.fixture
def model() -> Model:
    return Model()


def test_a_consumer_gets_messages_in_order_up_to_its_credit(model: Model) -> None:
    model.queue()
    consumer = FakeConsumer(credit=2)
    model.consume(consumer)

    model.publish_run(b"a", b"b", b"c")
    model.turn()

    assert consumer.bodies == [b"a", b"b"]
    model.vhost.settle(consumer.take(1))
    model.turn()
    assert consumer.bodies == [b"a", b"b", b"c"]


def test_consumers_share_in_turn(model: Model) -> None:
    model.queue()
    one, other = FakeConsumer(), FakeConsumer()
    model.consume(one)
    model.consume(other)

    for body in (b"a", b"b", b"c", b"d"):
        model.publish(body)
        model.turn()

    assert one.bodies == [b"a", b"c"]
    assert other.bodies == [b"b", b"d"]


def test_a_run_is_split_among_the_consumers(model: Model) -> None:
    model.queue()
    one, other = FakeConsumer(), FakeConsumer()
    model.consume(one)
    model.consume(other)

    model.publish_run(*[bytes([65 + index]) for index in range(10)])
    model.turn()

    assert len(one.bodies) == 5
    assert one.bodies + other.bodies == [bytes([65 + index]) for index in range(10)]


def test_higher_priority_consumers_come_first(model: Model) -> None:
    model.queue()
    low, high = FakeConsumer(credit=5), FakeConsumer(credit=2, priority=10)
    model.consume(low)
    model.consume(high)

    model.publish_run(b"a", b"b", b"c")
    model.turn()

    assert high.bodies == [b"a", b"b"]
    assert low.bodies == [b"c"]


def test_only_the_first_consumer_is_active_where_one_may_be(model: Model) -> None:
    model.queue(arguments={"x-single-active-consumer": True})
    one, other = FakeConsumer(), FakeConsumer()
    model.consume(one)
    model.consume(other)

    model.publish(b"a", b"b")
    model.turn()
    model.vhost.cancel(one)
    model.publish(b"c")
    model.turn()

    assert one.bodies == [b"a", b"b"]
    assert other.bodies == [b"c"]


def test_messages_of_a_lost_consumer_return_in_their_old_order(model: Model) -> None:
    model.queue()
    lost = FakeConsumer(credit=2)
    model.consume(lost)
    model.publish_run(b"a", b"b", b"c")
    model.turn()

    model.vhost.cancel(lost)
    model.vhost.requeue(lost.take())
    next_one = FakeConsumer()
    model.consume(next_one)
    model.turn()
    model.commit()

    assert next_one.bodies == [b"a", b"b", b"c"]
    assert next_one.redelivered == [True, True, False]


def test_get_takes_one_message_and_tells_how_many_are_left(model: Model) -> None:
    model.queue(durable=False)
    model.publish(b"a", b"b", mode=1)
    got: list[Got | None] = []

    for _ in range(3):
        model.vhost.get(model.access, "q", model, False, got.append)

    first, second, third = got
    assert first is not None
    assert second is not None
    assert third is None
    assert (first.remaining, second.remaining) == (1, 0)
    assert (first.number, second.number) == (0, 0)


def test_a_long_queue_keeps_a_window_in_memory_and_the_rest_comes_back(model: Model) -> None:
    queue = model.queue()
    lane = queue.lanes[0]
    lane.window = 100
    bodies = [b"%05d" % number for number in range(5000)]
    for start in range(0, 5000, 50):
        model.publish_run(*bodies[start : start + 50])
        model.turn()
        model.commit()
    assert queue.ready == 5000
    assert lane.loaded <= 150

    consumer = FakeConsumer(credit=70)
    model.consume(consumer)
    while queue.ready or len(consumer.unacked):
        model.turn()
        model.vhost.settle(consumer.take())
        model.commit()

    assert consumer.bodies == bodies
    assert not any(consumer.redelivered)
    assert queue.ready_bytes == 0
    assert lane.stored == 0
    assert model.store.rows[int(lane.id)] == {}


def test_transient_messages_beyond_the_window_go_to_disk_too(model: Model) -> None:
    queue = model.queue(durable=False)
    queue.lanes[0].window = 10
    bodies = [b"%05d" % number for number in range(100)]
    for start in range(0, 100, 10):
        model.publish_run(*bodies[start : start + 10], mode=1)
        model.turn()
    model.commit()
    assert queue.lanes[0].loaded == 10

    consumer = FakeConsumer(no_ack=True)
    model.consume(consumer)
    for _ in range(30):
        model.turn()
        model.commit()

    assert consumer.bodies == bodies


def test_purge_removes_what_is_ready_in_memory_and_on_disk(model: Model) -> None:
    queue = model.queue()
    queue.lanes[0].window = 10
    holder = FakeConsumer(credit=3)
    model.consume(holder)
    for start in range(0, 100, 10):
        model.publish_run(*[b"%d" % (start + one) for one in range(10)])
        model.turn()
        model.commit()

    answer = model.vhost.purge_queue(model.access, "q", model)
    model.commit()

    assert answer.value == 97
    assert queue.ready == 0
    assert sorted(model.store.rows[int(queue.lanes[0].id)]) == [0, 1, 2]
    model.vhost.requeue(holder.take())
    model.turn()
    assert queue.ready + len(holder.unacked) == 3


def test_messages_expire_and_go_to_the_dead_letter_exchange(model: Model) -> None:
    model.queue("dead")
    model.queue(
        arguments={
            "x-message-ttl": 1000,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": "dead",
        }
    )
    model.publish(b"a")
    model.turn(999)
    assert model.vhost.queues["q"].ready == 1

    model.turn(2)

    assert model.vhost.queues["q"].ready == 0
    got: list[Got | None] = []
    model.vhost.get(model.access, "dead", model, True, got.append)
    assert got[0] is not None
    properties = decode_header(header_payload(got[0].piece.run.contents[0]))[2]
    assert properties.headers is not None
    headers = plain_table(properties.headers)
    assert (headers["x-first-death-reason"], headers["x-first-death-queue"]) == ("expired", "q")


def test_the_shorter_of_both_ttls_counts(model: Model) -> None:
    queue = model.queue(arguments={"x-message-ttl": 1000})
    model.publish(b"a", expiration="10")

    model.turn(11)

    assert queue.ready == 0


def test_a_message_without_time_is_delivered_if_somebody_waits(model: Model) -> None:
    queue = model.queue(arguments={"x-message-ttl": 0})
    consumer = FakeConsumer(credit=1)
    model.consume(consumer)

    model.publish_run(b"a", b"b")
    model.turn()

    assert consumer.bodies == [b"a"]
    assert queue.ready == 0


def test_a_queue_at_its_limit_drops_its_head(model: Model) -> None:
    queue = model.queue(arguments={"x-max-length": 2})

    model.publish_run(b"a", b"b", b"c")
    model.publish(b"d")

    consumer = FakeConsumer()
    model.consume(consumer)
    model.turn()
    assert consumer.bodies == [b"c", b"d"]
    assert model.vhost.publishing.dropped == {"maxlen": 2}
    assert queue.ready == 0


def test_a_queue_at_its_limit_refuses_where_it_should(model: Model) -> None:
    model.queue(arguments={"x-max-length": 1, "x-overflow": "reject-publish"})

    first, second = model.publish(b"a"), model.publish(b"b")

    assert not first.refused
    assert second.refused


def test_rejected_messages_are_dead(model: Model) -> None:
    model.queue("dead")
    queue = model.queue(
        arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    )
    consumer = FakeConsumer()
    model.consume(consumer)
    model.publish_run(b"a", b"b")
    model.turn()

    model.vhost.discard(consumer.take(1))
    model.commit()

    assert queue.unacked == 1
    assert model.vhost.queues["dead"].ready == 1
    assert model.vhost.publishing.buried == {"rejected": 1}


def test_higher_priority_messages_overtake(model: Model) -> None:
    model.queue(arguments={"x-max-priority": 5})
    for body, priority in ((b"a", 1), (b"b", None), (b"c", 9), (b"d", 1)):
        model.publish(body, priority=priority)

    consumer = FakeConsumer()
    model.consume(consumer)
    model.turn()

    assert consumer.bodies == [b"c", b"a", b"d", b"b"]


def test_an_unused_queue_expires(model: Model) -> None:
    model.queue(arguments={"x-expires": 1000})
    model.turn(999)
    assert "q" in model.vhost.queues

    model.turn(2)

    assert "q" not in model.vhost.queues


def test_deleting_a_queue_tells_its_consumers(model: Model) -> None:
    model.queue()
    consumer = FakeConsumer()
    model.consume(consumer)
    model.publish(b"a")

    answer = model.vhost.delete_queue(
        model.access, "q", if_unused=False, if_empty=False, owner=model
    )

    assert consumer.gone
    assert answer.number == model.broker.journal.last
    model.vhost.settle(consumer.take())
    model.vhost.requeue(consumer.take())
    model.commit()


def test_a_message_in_two_durable_queues_is_one_append(model: Model) -> None:
    model.queue("a")
    model.queue("b")
    model.queue("c", durable=False)
    for name in "abc":
        model.vhost.bind(model.access, "amq.fanout", name, "queue", "", {}, model)
    model.commit()

    published = model.publish(b"x", exchange="amq.fanout")
    batch = model.broker.journal.take()

    assert batch is not None
    assert published.number == batch.number
    assert [len(append.targets) for append in batch.appends] == [2]
    assert all(model.vhost.queues[name].ready == 1 for name in "abc")


def a_crowd(model: Model) -> tuple[FakeConsumer, list[str]]:
    """A queue that is longer than its slow consumer can take, with a publisher held for it."""
    queue = model.queue(durable=False)
    consumer = FakeConsumer(credit=0)
    consumer.is_slow = True
    model.consume(consumer)
    published = model.publish_run(*[b"x"] * CROWD_MESSAGES, mode=1)
    assert published.crowded is queue
    told: list[str] = []
    queue.hold(lambda: told.append("go on"))
    return consumer, told


def test_publishers_wait_while_a_consumer_cannot_be_written_to(model: Model) -> None:
    consumer, told = a_crowd(model)
    model.turn()
    assert told == []

    consumer.prefetch = CROWD_MESSAGES
    assert consumer.queue is not None
    consumer.queue.wake()
    model.turn()

    assert told == ["go on"]


def test_publishers_do_not_wait_for_a_consumer_that_has_stopped(model: Model) -> None:
    _, told = a_crowd(model)

    model.turn(HOLD_MS)

    assert told == ["go on"]
    assert model.publish_run(b"x", mode=1).crowded is None
    model.turn(STUCK_MS)
    assert model.publish_run(b"x", mode=1).crowded is not None


def test_publishers_do_not_wait_for_a_consumer_at_its_prefetch_limit(model: Model) -> None:
    model.queue(durable=False)
    model.consume(FakeConsumer(credit=0))

    assert model.publish_run(*[b"x"] * CROWD_MESSAGES, mode=1).crowded is None


def test_deleting_a_queue_lets_publishers_go_on(model: Model) -> None:
    _, told = a_crowd(model)

    model.vhost.delete_queue(model.access, "q", if_unused=False, if_empty=False, owner=model)

    assert told == ["go on"]


def test_a_consumer_gets_all_that_it_has_credit_for_after_one_commit(model: Model) -> None:
    model.queue(arguments={"x-max-priority": 5})
    for body, priority in ((b"a", 1), (b"b", 3), (b"c", 1), (b"d", 5)):
        model.publish(body, priority=priority)
        model.commit()
    consumer = FakeConsumer(credit=4)
    model.consume(consumer)
    model.turn()
    assert consumer.bodies == []

    batch = model.broker.journal.take()
    assert batch is not None
    model.broker.journal.committed(batch)
    model.turn()

    assert consumer.bodies == [b"d", b"b", b"a", b"c"]
