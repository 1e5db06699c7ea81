"""Queues: who gets what, in which order, what waits on disk, what expires and what dies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpd.broker.content import body as body_of
from amqpd.broker.content import header_payload
from amqpd.fields import plain_table
from amqpd.properties import decode_header
from tests.broker.model import FakeConsumer, Model

if TYPE_CHECKING:
    from amqpd.broker.lane import Lane
    from amqpd.broker.queue import Got, Queue
    from amqpd.broker.stretch import Stretch


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


def test_what_is_rejected_after_its_queue_is_gone_is_nobodys(model: Model) -> None:
    model.queue("dead")
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    queue, consumer = model.queue(arguments=dead), FakeConsumer()
    model.consume(consumer)
    model.publish(b"a")
    model.turn()

    queue.delete()
    model.vhost.discard(consumer.take())
    model.turn()

    assert model.vhost.queues["dead"].ready == 0


def test_higher_priority_messages_overtake(model: Model) -> None:
    model.queue(arguments={"x-max-priority": 5})
    for body, priority in ((b"a", 1), (b"b", None), (b"c", 9), (b"d", 1)):
        model.publish(body, priority=priority)

    consumer = FakeConsumer()
    model.consume(consumer)
    model.turn()

    assert consumer.bodies == [b"c", b"a", b"d", b"b"]


def test_what_comes_back_by_turns_of_two_levels_is_in_the_order_of_each(model: Model) -> None:
    model.queue(arguments={"x-max-priority": 1})
    consumer = FakeConsumer()
    model.consume(consumer)
    for octets, priority in ((b"a", 0), (b"B", 1), (b"c", 0), (b"D", 1)):
        model.publish(octets, priority=priority)
        model.turn()
    assert consumer.bodies == [b"a", b"B", b"c", b"D"]
    consumer.bodies.clear()

    model.vhost.requeue(consumer.take())
    model.turn()

    assert consumer.bodies == [b"B", b"D", b"a", b"c"]


def test_an_unused_queue_expires(model: Model) -> None:
    model.queue(arguments={"x-expires": 1000})
    model.turn(999)
    assert "q" in model.vhost.queues

    model.turn(2)

    assert "q" not in model.vhost.queues


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_asking_whether_a_classic_queue_is_there_is_a_use_of_it(model: Model, kind: str) -> None:
    model.queue(arguments={"x-expires": 1000, "x-queue-type": kind})
    model.turn(800)
    model.vhost.declare_queue(
        model.access,
        "q",
        passive=True,
        durable=False,
        exclusive=False,
        auto_delete=False,
        arguments={},
        owner=model,
    )

    model.turn(800)
    assert ("q" in model.vhost.queues) == (kind == "classic")
    model.turn(201)

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


# -- expiry ------------------------------------------------------------------------------


def test_a_message_behind_one_that_never_expires_is_not_delivered_late(model: Model) -> None:
    queue = model.queue(durable=False)
    model.publish(b"a", mode=1)
    model.publish(b"b", expiration="10", mode=1)
    model.publish(b"c", mode=1)
    model.broker.tick(model.broker.around.now_ms + 11)
    assert queue.ready == 3

    consumer = FakeConsumer()
    model.consume(consumer)
    model.broker.dispatch()

    assert consumer.bodies == [b"a", b"c"]
    assert model.vhost.publishing.dropped == {"expired": 1}


def test_messages_expire_on_time_whatever_is_ahead_of_them(model: Model) -> None:
    queue = model.queue(durable=False)
    model.publish(b"a", mode=1)
    model.publish(b"b", expiration="10", mode=1)
    model.publish(b"c", expiration="50", mode=1)
    model.publish(b"d", expiration="30", mode=1)
    consumer = FakeConsumer(credit=1)
    model.consume(consumer)
    model.turn()

    model.turn(11)
    assert queue.ready == 2
    model.turn(20)
    assert queue.ready == 1
    model.turn(20)

    assert consumer.bodies == [b"a"]
    assert queue.ready == 0


def test_basic_get_finds_nothing_that_had_no_time_to_live(model: Model) -> None:
    model.queue(durable=False, arguments={"x-message-ttl": 0})
    model.turn(1000)
    model.publish(b"a", mode=1)
    got: list[Got | None] = []

    model.vhost.get(model.access, "q", model, True, got.append)

    assert got == [None]


def test_what_had_no_time_to_live_expires_when_it_comes_back(model: Model) -> None:
    model.queue(durable=False, arguments={"x-message-ttl": 0})
    model.turn(1000)
    consumer = FakeConsumer()
    model.consume(consumer)
    model.publish(b"a", mode=1)
    model.turn()
    assert consumer.bodies == [b"a"]

    model.vhost.requeue(consumer.take())
    model.turn()

    assert consumer.bodies == [b"a"]
    assert model.vhost.queues["q"].ready == 0


def test_basic_get_skips_what_has_expired(model: Model) -> None:
    model.queue(durable=False)
    model.publish(b"a", mode=1)
    model.publish(b"b", expiration="10", mode=1)
    model.publish(b"c", mode=1)
    model.turn(11)
    got: list[Got | None] = []

    for _ in range(3):
        model.vhost.get(model.access, "q", model, True, got.append)

    assert [one is not None and one.piece.run.contents[0][-2:-1] for one in got] == [
        b"a",
        b"c",
        False,
    ]


def test_messages_that_waited_on_disk_expire_there_too(model: Model) -> None:
    queue = model.queue(arguments={"x-message-ttl": 50})
    queue.lanes[0].window = 2
    for body in (b"a", b"b", b"c", b"d"):
        model.publish(body)
    model.commit()
    assert queue.lanes[0].loaded == 2

    model.turn(51)

    assert queue.ready == 0
    model.commit()
    assert model.store.rows[int(queue.lanes[0].id)] == {}


def test_a_timer_for_a_message_that_is_gone_does_no_harm(model: Model) -> None:
    queue = model.queue(durable=False)
    for expiration in ("50", "20"):
        model.publish(b"a", expiration=expiration, mode=1)
        model.turn()
        model.vhost.purge_queue(model.access, "q", model)
    model.publish(b"b", mode=1)

    model.turn(60)

    assert queue.ready == 1


def test_a_message_that_expires_while_it_is_unacked_is_not_delivered_again(model: Model) -> None:
    queue = model.queue(durable=False)
    consumer = FakeConsumer()
    model.consume(consumer)
    model.publish(b"a", expiration="10", mode=1)
    model.turn()
    model.turn(20)

    model.vhost.requeue(consumer.take())
    model.turn()

    assert consumer.bodies == [b"a"]
    assert (queue.ready, queue.unacked) == (0, 0)


# -- while the store is slow -------------------------------------------------------------


def a_paged_queue(model: Model, *, window: int = 2, count: int = 6) -> Queue:
    """A queue with two messages in memory and four on disk, and a store that takes its time."""
    queue = model.queue()
    queue.lanes[0].window = window
    for index in range(count):
        model.publish(b"%d" % index)
    model.commit()
    model.store.is_slow = True
    return queue


def test_a_get_waits_for_the_head_to_come_from_disk(model: Model) -> None:
    queue = a_paged_queue(model)
    got: list[Got | None] = []
    for _ in range(4):
        model.vhost.get(model.access, "q", model, True, got.append)

    model.turn()
    assert len(got) == 2
    model.store.answer()
    model.turn()

    assert [one is not None for one in got] == [True] * 4
    assert queue.ready == 2


def test_a_get_from_within_a_delivery_is_served_after_it(model: Model) -> None:
    got: list[Got | None] = []

    class Greedy(FakeConsumer):
        """Fetches one more message with each that it gets."""

        def deliver(self, lane: Lane, piece: Stretch) -> None:
            super().deliver(lane, piece)
            model.vhost.get(model.access, "q", model, True, got.append)
            assert got == []

    queue, consumer = model.queue(), Greedy(credit=1)
    model.publish(b"a", b"b", b"c")
    model.consume(consumer)

    model.turn()

    assert consumer.bodies == [b"a"]
    (one,) = got
    assert one is not None
    assert body_of(one.piece.run.contents[one.piece.lo]) == b"b"
    assert queue.ready == 1


def test_what_a_get_gives_back_at_once_expires_in_the_next_turn(model: Model) -> None:
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    model.queue("dead")
    queue = model.queue(arguments={"x-message-ttl": 100, **dead})
    model.publish(b"a", b"b")

    def done(got: Got | None) -> None:
        """The client has gone meanwhile, and so has the time of the message."""
        assert got is not None
        model.broker.around.now_ms += 200
        queue.requeue(got.lane, [got.piece], failed=True)

    model.vhost.get(model.access, "q", model, False, done)
    assert (queue.ready, queue.unacked) == (2, 0)
    model.turn()

    assert (queue.ready, queue.unacked) == (0, 0)
    assert model.vhost.queues["dead"].ready == 2


def test_gets_that_wait_are_told_when_the_queue_is_deleted(model: Model) -> None:
    a_paged_queue(model)
    got: list[Got | None] = []
    for _ in range(3):
        model.vhost.get(model.access, "q", model, True, got.append)

    model.vhost.delete_queue(model.access, "q", if_unused=False, if_empty=False, owner=model)
    assert got[2] is None
    model.store.answer()
    model.turn()

    assert len(got) == 3


def test_what_a_purge_has_removed_does_not_come_back_from_disk(model: Model) -> None:
    queue = a_paged_queue(model)
    consumer = FakeConsumer(no_ack=True)
    model.consume(consumer)
    model.turn()
    model.commit()
    assert consumer.bodies == [b"0", b"1"]

    answer = model.vhost.purge_queue(model.access, "q", model)
    model.store.answer()
    model.turn()
    model.commit()

    assert answer.value == 4
    assert consumer.bodies == [b"0", b"1"]
    assert queue.ready == 0
    assert model.store.rows[int(queue.lanes[0].id)] == {}


def test_a_queue_that_pages_again_after_a_purge_goes_on(model: Model) -> None:
    a_paged_queue(model)
    consumer = FakeConsumer(no_ack=True)
    model.consume(consumer)
    model.turn()
    model.commit()  # the rest is asked for
    model.vhost.purge_queue(model.access, "q", model)
    for index in range(6, 12):
        model.publish(b"%d" % index)
    model.commit()
    assert consumer.bodies == [b"0", b"1", b"6", b"7"]

    for _ in range(4):
        model.store.answer()
        model.turn()
        model.commit()

    assert consumer.bodies[4:] == [b"8", b"9", b"10", b"11"]


def test_a_deleted_queue_ignores_what_comes_from_disk(model: Model) -> None:
    queue = a_paged_queue(model)
    consumer = FakeConsumer(no_ack=True)
    model.consume(consumer)
    model.turn()
    model.commit()

    model.vhost.delete_queue(model.access, "q", if_unused=False, if_empty=False, owner=model)
    model.store.answer()
    queue.wake()
    model.turn()

    assert consumer.bodies == [b"0", b"1"]


def test_a_level_that_comes_from_disk_is_not_overtaken(model: Model) -> None:
    queue = model.queue(arguments={"x-max-priority": 1}, durable=False)
    queue.lanes[1].window = 1
    for body, priority in ((b"low", 0), (b"high 1", 1), (b"high 2", 1)):
        model.publish(body, priority=priority, mode=1)
    model.commit()
    model.store.is_slow = True
    consumer = FakeConsumer(no_ack=True)
    model.consume(consumer)

    model.turn()
    model.commit()
    assert consumer.bodies == [b"high 1"]
    model.store.answer()
    for _ in range(2):
        model.turn()
        model.commit()

    assert consumer.bodies == [b"high 1", b"high 2", b"low"]


def test_a_level_whose_messages_were_lost_holds_nobody_up(model: Model) -> None:
    queue = model.queue(arguments={"x-max-priority": 1}, durable=False)
    high = queue.lanes[1]
    high.window = 1
    for body, priority in ((b"low", 0), (b"1", 1), (b"2", 1), (b"3", 1)):
        model.publish(body, priority=priority, mode=1)
    model.commit()
    del model.store.rows[int(high.id)][2]
    consumer = FakeConsumer(no_ack=True)
    model.consume(consumer)

    for _ in range(4):
        model.turn()
        model.commit()

    assert consumer.bodies == [b"1", b"2", b"low"]
    assert queue.ready == 0


def test_a_queue_over_its_limit_waits_for_its_head_to_come_from_disk(model: Model) -> None:
    queue = model.queue(arguments={"x-max-length": 3}, durable=False)
    queue.lanes[0].window = 1
    for body in (b"a", b"b", b"c"):
        model.publish(body, mode=1)
    model.commit()
    model.store.is_slow = True
    model.publish(b"d", mode=1)
    model.publish(b"e", mode=1)
    model.turn()
    assert queue.ready == 4

    model.commit()
    model.store.answer()
    model.turn()

    assert queue.ready == 3
    assert model.vhost.publishing.dropped == {"maxlen": 2}


def test_a_queue_may_be_limited_in_bytes(model: Model) -> None:
    queue = model.queue(arguments={"x-max-length-bytes": 5}, durable=False)

    model.publish(b"aaa", b"bb", b"cc", mode=1)

    assert (queue.ready, queue.ready_bytes) == (2, 4)


def test_a_queue_is_faulted_while_a_lane_of_it_cannot_be_read(model: Model) -> None:
    queue, other = model.queue(), model.queue("other")
    model.publish(b"a")
    assert [queue.is_faulted, other.is_faulted] == [False, False]

    model.broker.around.unreadable = {int(queue.lanes[0].id): "an error"}

    assert [queue.is_faulted, other.is_faulted] == [True, False]
