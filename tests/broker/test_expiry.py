"""Expiry: on time wherever a message waits, once, and never more than a turn can take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpd.broker.definitions import PutQueue
from amqpd.broker.expiry import BURIAL_COST, never, nothing
from amqpd.broker.surroundings import EFFORT
from amqpd.store import LaneState
from tests.broker.model import FakeConsumer, Model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from amqpd.broker.expiry import Due
    from amqpd.broker.lane import Lane
    from amqpd.broker.queue import Got, Queue
    from amqpd.broker.stretch import Stretch

DEAD = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}


@pytest.fixture
def model() -> Model:
    return Model()


def paged(model: Model, *ttls: int, dead: bool = False) -> Queue:
    """A queue with one message in memory, and one on disk per time to live (0: for ever)."""
    queue = model.queue(arguments=DEAD if dead else {})
    model.queue("dead")
    queue.lanes[0].window = 1
    model.publish(b"head")
    for number, ttl in enumerate(ttls):
        model.publish(b"%d" % number, expiration=str(ttl) if ttl else None)
        model.commit()
    return queue


def check(queue: Queue, model: Model) -> None:
    """What the queue counts is what the store has."""
    lane = queue.lanes[0]
    model.commit()
    rows = model.store.rows.get(int(lane.id), {})
    assert lane.ready + lane.unacked == len(rows) == lane.stored
    assert lane.ready_bytes + lane.unacked_bytes == sum(len(row[7]) for row in rows.values())
    assert lane.paged_out == lane.ready - lane.loaded


# -- runs of messages that expire at different times ---------------------------------------


def test_each_message_of_a_run_expires_at_its_own_time(model: Model) -> None:
    queue = model.queue(arguments=DEAD)
    model.queue("dead")
    model.publish_run(b"a", b"b", b"c", b"d", b"e", ttls=[30, 10, -1, 20, 10])
    model.commit()

    left = []
    for _ in range(5):
        model.turn(10)
        left.append(queue.ready)
        check(queue, model)

    assert left == [3, 2, 1, 1, 1]
    dead = FakeConsumer()
    model.consume(dead, "dead")
    model.turn()
    model.commit()
    assert dead.bodies == [b"b", b"e", b"d", b"a"]


def test_a_run_goes_out_whole_while_nothing_of_it_has_expired(model: Model) -> None:
    queue = model.queue()
    model.publish_run(b"a", b"b", b"c", ttls=[30, 10, 20])
    consumer = FakeConsumer()

    model.consume(consumer)
    model.turn()

    assert consumer.bodies == [b"a", b"b", b"c"]
    assert len(consumer.take()) == 1
    assert queue.ready == 0


def test_what_comes_back_of_a_run_expires_at_its_own_times(model: Model) -> None:
    queue = model.queue()
    model.publish_run(b"a", b"b", b"c", ttls=[30, 10, 20])
    consumer = FakeConsumer()
    model.consume(consumer)
    model.turn()

    assert consumer.queue is not None
    consumer.queue.cancel()
    model.vhost.requeue(consumer.take())
    left = []
    for _ in range(3):
        model.turn(10)
        left.append(queue.ready)

    assert left == [2, 1, 0]


def test_what_of_a_run_is_on_disk_only_expires_at_its_own_time(model: Model) -> None:
    queue = paged(model)
    model.publish_run(b"a", b"b", b"c", ttls=[50, 10, -1])
    model.commit()

    model.turn(20)
    model.store.answer()
    model.turn()
    check(queue, model)

    assert queue.ready == 3


def test_messages_of_a_run_differ_only_where_all_its_queues_give_them_the_same_time(
    model: Model,
) -> None:
    model.queue(arguments={"x-message-ttl": 15})
    path = model.vhost.resolve(model.access, "", "q")

    assert not model.vhost.publishing.date(path, model.a_run(b"a"), [10])


# -- in memory ---------------------------------------------------------------------------


def test_messages_in_the_order_of_their_deadlines_need_no_index(model: Model) -> None:
    queue = model.queue(arguments={"x-message-ttl": 50})
    model.publish(b"a", b"b")
    model.turn(10)
    model.publish(b"c")

    assert not queue.lanes[0].mixed
    model.turn(45)

    assert queue.ready == 1
    model.turn(10)
    assert queue.ready == 0


def test_what_expires_first_goes_first(model: Model) -> None:
    queue = model.queue(durable=False, arguments=DEAD)
    model.queue("dead")
    for ttl in (50, 20, 40, 10, 30):
        model.publish(b"%d" % ttl, expiration=str(ttl), mode=1)

    left = []
    for _ in range(5):
        model.turn(10)
        left.append(queue.ready)

    assert left == [4, 3, 2, 1, 0]
    dead = FakeConsumer()
    model.consume(dead, "dead")
    model.turn()
    assert dead.bodies == [b"10", b"20", b"30", b"40", b"50"]


def test_an_empty_lane_begins_anew(model: Model) -> None:
    queue = model.queue(durable=False)
    lane = queue.lanes[0]
    model.publish(b"a", mode=1)
    model.publish(b"b", expiration="10", mode=1)
    assert lane.mixed
    consumer = FakeConsumer()
    model.consume(consumer)
    model.turn()
    model.publish(b"c", expiration="20", mode=1)
    assert lane.mixed  # both may still come back

    model.turn()
    model.vhost.settle(consumer.take())
    model.publish(b"d", expiration="5", mode=1)

    assert not lane.mixed


def test_a_returned_message_expires_on_time(model: Model) -> None:
    queue = model.queue(durable=False)
    model.publish(b"a", mode=1)
    model.publish(b"b", expiration="30", mode=1)
    model.publish(b"c", expiration="20", mode=1)
    consumer = FakeConsumer()
    model.consume(consumer)
    model.turn()
    model.vhost.cancel(consumer)

    model.vhost.requeue(consumer.take())
    assert queue.ready == 3
    model.turn(20)
    assert queue.ready == 2
    model.turn(10)

    assert queue.ready == 1


def test_the_index_does_not_hold_on_to_what_was_handed_out(model: Model) -> None:
    queue = model.queue(durable=False)
    model.publish(b"a", mode=1)
    model.publish(b"first", expiration="1000", mode=1)
    consumer = FakeConsumer(no_ack=True)
    model.consume(consumer)
    for _ in range(40):
        model.publish(b"b", mode=1)
        model.publish(*[b"c"] * 10, expiration="999999", mode=1)
        model.turn()

    assert queue.ready == 0
    assert len(consumer.bodies) == 442
    mixed = queue.expiry._lanes[0]
    assert len(mixed.heap) <= 75


def test_what_expires_first_does_not_hold_on_to_what_went_before_it(model: Model) -> None:
    queue = model.queue(durable=False)
    for _ in range(99):
        model.publish(b"long", expiration="999999", mode=1)
    model.publish(b"short", expiration="500", mode=1)
    consumer = FakeConsumer(credit=99)
    model.consume(consumer)
    model.turn()
    assert queue.ready == 1

    model.publish(b"last", expiration="999999", mode=1)

    assert len(queue.expiry._lanes[0].heap) == 2
    model.turn(501)
    assert queue.ready == 1
    consumer.prefetch = 100
    model.vhost.settle(consumer.take())
    model.turn()
    assert consumer.bodies[99:] == [b"last"]


def test_large_messages_that_expire_together_are_buried_in_parts(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amqpd.broker.expiry.BURIAL_BYTES", 20)
    queue = model.queue(arguments=DEAD)
    model.queue("dead")
    for number in range(10):
        model.publish(b"%d" % number * 9, expiration="10")
    bury, parts = model.broker.around.bury, []

    def counted(queue: Queue, dead: Sequence[tuple[Lane, Stretch]], reason: str) -> None:
        parts.append(len(dead))
        bury(queue, dead, reason)

    model.broker.around.bury = counted
    model.turn(20)

    assert parts == [3, 3, 3, 1]
    assert queue.ready == 0
    dead = FakeConsumer()
    model.consume(dead, "dead")
    model.turn()
    assert dead.bodies == [b"%d" % number * 9 for number in range(10)]


def test_a_time_at_which_nothing_expires_any_more_wakes_nobody(model: Model) -> None:
    model.queue(durable=False)
    model.publish(b"gone", expiration="500", mode=1)
    model.turn()
    consumer = FakeConsumer(credit=1)
    model.consume(consumer)
    model.turn()
    model.publish(b"soon", expiration="100", mode=1)
    model.turn(101)
    model.publish(b"later", expiration="1000", mode=1)
    model.turn()

    woken = []
    for passed_ms in (400, 600):
        model.broker.tick(model.broker.around.now_ms + passed_ms)
        woken.append(bool(model.broker.around.awake))
        model.turn()

    assert woken == [False, True]
    assert model.vhost.queues["q"].ready == 0


def test_many_that_expire_at_once_go_in_several_turns(model: Model) -> None:
    queue = model.queue(durable=False, arguments={"x-message-ttl": 10, **DEAD})
    other = model.queue("other", durable=False, arguments={"x-message-ttl": 10, **DEAD})
    model.queue("dead", durable=False)
    model.publish_run(*[b"m"] * 700, mode=1)
    model.publish_run(*[b"m"] * 700, key="other", mode=1)

    model.broker.tick(model.broker.around.now_ms + 10)
    assert model.broker.dispatch() is True
    at_once = 1400 - queue.ready - other.ready
    assert 0 < at_once <= EFFORT // BURIAL_COST + 1
    model.broker.dispatch()
    assert queue.ready < 700
    assert other.ready < 700
    while model.broker.dispatch():
        pass

    assert queue.ready == other.ready == 0
    assert model.vhost.queues["dead"].ready == 1400


def test_many_in_the_middle_go_in_several_turns_too(model: Model) -> None:
    queue = model.queue(durable=False, arguments=DEAD)
    model.queue("dead", durable=False)
    model.publish(b"head", mode=1)
    for _ in range(700):
        model.publish(b"m", expiration="10", mode=1)

    model.broker.tick(model.broker.around.now_ms + 10)
    turns = 1
    while model.broker.dispatch():
        turns += 1

    assert 1 < turns <= 700 * BURIAL_COST // EFFORT + 2
    assert queue.ready == 1


def test_nothing_that_has_expired_is_handed_out_while_the_rest_waits(model: Model) -> None:
    model.queue(durable=False, arguments={"x-message-ttl": 10, **DEAD})
    model.queue("dead", durable=False)
    model.publish_run(*[b"m"] * 700, mode=1)
    model.broker.tick(model.broker.around.now_ms + 11)
    got: list[Got | None] = []

    model.vhost.get(model.access, "q", model, True, got.append)
    consumer = FakeConsumer()
    model.consume(consumer)
    while model.broker.dispatch():
        pass

    assert got == [None]
    assert consumer.bodies == []


# -- on disk -----------------------------------------------------------------------------


@pytest.mark.parametrize("dead", [False, True])
def test_messages_on_disk_expire_on_time_whatever_is_ahead_of_them(
    model: Model, dead: bool
) -> None:
    queue = paged(model, 0, 30, 10, 0, 20, 10, dead=dead)
    lane = queue.lanes[0]
    assert (queue.ready, lane.loaded) == (7, 1)

    left = []
    for _ in range(3):
        model.turn(10)
        left.append(queue.ready)
        check(queue, model)

    assert left == [5, 4, 3]
    assert model.vhost.queues["dead"].ready == (4 if dead else 0)
    consumer = FakeConsumer()
    model.consume(consumer)
    model.turn()
    model.commit()
    assert consumer.bodies == [b"head", b"0", b"3"]
    counts = model.vhost.publishing
    assert (counts.buried if dead else counts.dropped) == {"expired": 4}


def test_dead_letters_from_disk_say_why_and_where_from(model: Model) -> None:
    paged(model, 10, dead=True)

    model.turn(10)
    dead = FakeConsumer()
    model.consume(dead, "dead")
    model.turn()
    model.commit()

    assert dead.bodies == [b"0"]


def test_a_refill_does_not_bring_back_what_has_expired(model: Model) -> None:
    queue = paged(model, 0, 10, 0)
    model.turn(10)
    assert queue.ready == 3
    queue.lanes[0].granted = 100
    consumer = FakeConsumer()
    model.consume(consumer)

    model.turn()  # what expired is still on disk

    assert consumer.bodies == [b"head", b"0", b"2"]
    check(queue, model)


def test_what_was_purged_while_the_store_looked_is_not_counted_twice(model: Model) -> None:
    queue = paged(model, 0, 10, 10, 0)
    model.store.is_slow = True
    model.turn(10)

    queue.purge()
    model.store.answer()

    assert queue.ready == 0
    check(queue, model)


def test_what_was_purged_while_dead_letters_were_read_stays_gone(model: Model) -> None:
    queue = paged(model, 0, 10, 10, 0, dead=True)
    model.store.is_slow = True
    model.turn(10)
    model.store.answer()

    queue.purge()
    model.store.answer()

    check(queue, model)
    assert model.vhost.queues["dead"].ready == 0


@pytest.mark.parametrize("answers", [0, 1])
def test_a_queue_that_goes_while_the_store_looks_takes_nothing_along(
    model: Model, answers: int
) -> None:
    queue = paged(model, 0, 10, dead=True)
    model.store.is_slow = True
    model.turn(10)
    for _ in range(answers):
        model.store.answer()

    model.vhost.remove_queue(queue)
    model.store.answer()
    model.turn()

    assert model.vhost.queues["dead"].ready == 0


def test_what_was_not_on_disk_yet_is_looked_at_again(model: Model) -> None:
    queue = paged(model, 0, 10)
    model.publish(b"late", expiration="10")

    model.turn(10)
    assert queue.ready == 3
    model.commit()

    assert queue.ready == 2
    check(queue, model)


def test_what_is_not_on_disk_at_all_waits_for_the_commit(model: Model) -> None:
    queue = model.queue()
    queue.lanes[0].window = 1
    model.publish(b"a", b"b")
    model.publish(b"c", expiration="10")
    model.turn(11)

    model.commit()

    assert queue.ready == 2
    check(queue, model)


def test_more_than_one_answer_of_the_store_is_asked_for(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amqpd.broker.expiry.SWEEP_MESSAGES", 2)
    queue = paged(model, 0, *[10] * 7, 20)

    model.turn(10)

    assert queue.ready == 3
    check(queue, model)
    model.turn(10)
    assert queue.ready == 2


def test_large_dead_letters_are_read_a_few_at_a_time(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amqpd.broker.expiry.SWEEP_BYTES", 2)
    queue = paged(model, 0, *[10] * 5, dead=True)

    model.turn(10)
    model.commit()

    assert queue.ready == 2
    check(queue, model)
    assert model.vhost.queues["dead"].ready == 5


def test_no_more_dead_letters_are_read_than_the_disk_takes(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amqpd.broker.expiry.SWEEP_BURIALS", 1)
    monkeypatch.setattr("amqpd.broker.expiry.SWEEP_PENDING", 1)
    queue = paged(model, 0, *[10] * 5, dead=True)

    model.turn(10)
    for _ in range(10):
        model.turn()
    assert queue.ready == 6  # the first one waits for the disk

    model.commit()
    assert queue.ready == 2
    check(queue, model)


def test_refills_and_sweeps_take_turns(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amqpd.broker.expiry.SWEEP_MESSAGES", 1)
    queue = paged(model, 0, *[10] * 6, 0)
    queue.lanes[0].granted = 100
    consumer = FakeConsumer()
    model.consume(consumer)
    model.store.is_slow = True
    model.broker.tick(model.broker.around.now_ms + 10)

    for _ in range(20):
        model.broker.dispatch()
        model.store.answer()
        if len(consumer.bodies) > 1:
            break

    assert consumer.bodies[:2] == [b"head", b"0"]
    model.store.is_slow = False
    model.turn()
    check(queue, model)
    assert b"7" in consumer.bodies


def test_once_all_is_in_memory_the_store_is_not_asked(model: Model) -> None:
    queue = paged(model, 0, 1000, 1000)
    consumer = FakeConsumer(credit=2)
    model.consume(consumer)
    model.turn()
    model.commit()
    asked = model.store.asked
    assert not queue.lanes[0].paged

    model.turn(1000)

    assert queue.ready == 0
    assert model.store.asked == asked
    check(queue, model)


def test_messages_from_before_a_restart_expire_on_time(model: Model) -> None:
    queue = paged(model, 0, 10, 20)
    lane = queue.lanes[0]
    state = LaneState(int(lane.next_position), int(lane.ready), int(lane.ready_bytes), 0)
    again = Model()
    again.store.rows, again.store.early = model.store.rows, model.store.early
    again.broker.recover(
        [PutQueue("/", "q", True, False, False, {}, (int(lane.id),))], {int(lane.id): state}
    )
    found = again.vhost.queues["q"]
    found.lanes[0].window = 1

    left = []
    for _ in range(3):
        again.turn(10)
        left.append(found.ready)
        again.commit()

    assert left == [3, 2, 2]
    check(found, again)


def test_without_a_store_nothing_is_there() -> None:
    answers: list[object] = []

    def due(found: Sequence[Due], next_ms: int) -> None:
        answers.append((found, next_ms))

    never(1, 0, 1, (0, 0), 0, 1, due)
    nothing(1, (1,), answers.append)

    assert answers == [((), 0), []]


# -- dead letters between limited queues -------------------------------------------------


def exchange_of_the_dead(model: Model) -> Queue:
    """Two limited queues, each the other's dead letter queue; an expired message in both."""
    for name, other in (("q", "r"), ("r", "q")):
        arguments = {
            "x-max-length": 9,
            "x-max-priority": 2,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": other,
        }
        model.queue(name, arguments=arguments)
        model.publish(b"for ever", key=name)
        model.publish(b"from " + name.encode(), key=name, expiration="10")
    model.broker.around.now_ms += 20
    return model.vhost.queues["q"]


def test_a_queue_may_get_dead_letters_while_its_own_messages_expire(model: Model) -> None:
    queue = exchange_of_the_dead(model)

    model.turn(10)

    consumer = FakeConsumer()
    model.consume(consumer)
    model.turn()
    assert consumer.bodies == [b"for ever", b"from r"]
    model.commit()
    check(queue, model)


def test_a_get_is_served_once_while_dead_letters_come_back(model: Model) -> None:
    exchange_of_the_dead(model)
    model.vhost.queues["q"].purge()
    model.publish(b"from q", expiration="5", priority=2)
    model.broker.around.now_ms += 20
    found: list[Got | None] = []

    model.vhost.get(model.access, "q", model, True, found.append)
    model.turn()

    # Once, whether or not what has died in the other queue is here by then.
    assert len(found) == 1
    model.vhost.get(model.access, "q", model, True, found.append)
    assert [got.remaining for got in found if got is not None] == [0]
