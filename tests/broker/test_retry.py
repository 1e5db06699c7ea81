"""Retry: messages that came back wait for their time, in memory or on disk, and are not lost."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from amqpd.broker import paging, retry
from amqpd.broker.deadletter import EXPIRED
from amqpd.broker.expiry import BURIAL_COST
from amqpd.broker.publishing import DELETED
from amqpd.errors import PreconditionFailed
from amqpd.fields import table
from tests.broker.model import FakeConsumer
from tests.broker.types.living import Living

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from amqpd.broker.attempts import Counted, Delayed, Returned

RETRY = {
    "x-delayed-retry-type": "all",
    "x-delayed-retry-min": 100,
    "x-delayed-retry-max": 10_000,
}


@pytest.fixture
def model() -> Living:
    return Living()


@pytest.fixture
def _little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four messages in memory, two in a read."""
    monkeypatch.setattr(retry, "HELD_MESSAGES", 4)
    monkeypatch.setattr(retry, "READ_MESSAGES", 2)


def a_consumer(
    model: Living,
    *bodies: bytes,
    mode: int = 2,
    durable: bool = True,
    arguments: Mapping[str, object] | None = None,
) -> FakeConsumer:
    """A consumer that holds messages of a queue with delayed retry."""
    model.queue(durable=durable, arguments={**RETRY, **(arguments or {})})
    consumer = FakeConsumer()
    model.consume(consumer)
    model.publish(*bodies, mode=mode)
    model.turn()
    assert consumer.bodies == list(bodies)
    consumer.bodies.clear()
    return consumer


def fail(model: Living, consumer: FakeConsumer, tag: int) -> None:
    """The message with this tag is rejected."""
    model.vhost.requeue(consumer.unacked.take(tag, tag, False), failed=True)
    model.turn()


def fail_all(model: Living, consumer: FakeConsumer) -> None:
    model.vhost.requeue(consumer.take(), failed=True)
    model.turn()


def figures(model: Living) -> tuple[int, int, int]:
    """Ready, unacked, delayed."""
    queue = model.vhost.queues["q"]
    return queue.ready, queue.unacked, queue.delayed


def in_memory(model: Living) -> int:
    """Messages that wait for their time in memory."""
    delays = model.vhost.queues["q"].retry._delays.values()
    return sum(delay.held + len(delay.fresh) for delay in delays)


def new_consumer(model: Living) -> FakeConsumer:
    consumer = FakeConsumer()
    model.consume(consumer)
    model.turn()
    return consumer


def begin_again(model: Living) -> None:
    """As after a restart, before anything was read."""
    model.disk.crash()
    model.start(model.broker.around.now_ms)
    model.vhost, model.access = model.broker.open_vhost("/", "u")


# -- waiting -----------------------------------------------------------------------------


def test_a_message_that_failed_comes_again_when_its_time_has_come(model: Living) -> None:
    consumer = a_consumer(model, b"a")

    fail(model, consumer, 1)

    assert figures(model) == (0, 0, 1)
    model.wait(90)
    assert consumer.bodies == []
    model.wait(20)
    assert consumer.bodies == [b"a"]
    assert consumer.redelivered == [False, True]
    fail(model, consumer, 2)
    model.wait(190)
    assert consumer.bodies == [b"a"]
    model.wait(20)
    assert consumer.bodies == [b"a", b"a"]


def test_it_takes_its_old_place(model: Living) -> None:
    consumer = a_consumer(model, b"a", b"b", b"c")
    fail(model, consumer, 2)
    model.vhost.cancel(consumer)
    model.publish(b"d")
    model.vhost.requeue(consumer.take())
    model.turn()

    model.wait(120)

    assert new_consumer(model).bodies == [b"a", b"b", b"c", b"d"]


def test_only_returns_of_the_kind_have_to_wait(model: Living) -> None:
    consumer = a_consumer(model, b"a", arguments={"x-delayed-retry-type": "failed"})

    model.vhost.requeue(consumer.take(), failed=False)
    model.turn()

    assert consumer.bodies == [b"a"]


def test_an_explicit_wish_of_a_message_comes_first(model: Living) -> None:
    model.queue(arguments=RETRY)
    consumer = FakeConsumer()
    model.consume(consumer)
    model.publish(b"slow", headers=table({"x-retry-delay": 500}))
    model.publish(b"once", headers=table({"x-delivery-limit": 0}))
    model.turn()

    fail_all(model, consumer)
    model.wait(490)
    assert consumer.bodies == [b"slow", b"once"]
    model.wait(30)

    assert consumer.bodies == [b"slow", b"once", b"slow"]
    assert model.vhost.publishing.dropped["delivery_limit"] == 1


def test_jitter_spreads_messages_that_came_back_together(model: Living) -> None:
    draws = iter([0, 2000, 1000])
    model.broker.around.chance = lambda below: next(draws)
    consumer = a_consumer(model, b"a", b"b", b"c", arguments={"x-delayed-retry-jitter": "0.5"})

    fail_all(model, consumer)
    model.wait(200)

    assert consumer.bodies == [b"a", b"c", b"b"]


def test_what_is_delayed_counts_for_a_length_limit(model: Living) -> None:
    consumer = a_consumer(
        model, b"a", b"b", arguments={"x-max-length": 2, "x-overflow": "reject-publish"}
    )
    fail_all(model, consumer)

    assert model.publish(b"c").refused
    assert model.vhost.queues["q"].waiting_bytes == 2


def test_a_lane_begins_anew_with_deadlines_only_when_nothing_waits(model: Living) -> None:
    consumer = a_consumer(model, b"a", arguments={"x-message-ttl": 5000})
    fail_all(model, consumer)
    lane = model.vhost.queues["q"].lanes[0]

    model.publish(b"b", expiration="10")

    assert lane.mixed


def test_a_turn_makes_only_so_many_ready(model: Living) -> None:
    consumer = a_consumer(model, *[b"%d" % n for n in range(10)])
    for tag in range(1, 11):
        fail(model, consumer, tag)
    model.vhost.cancel(consumer)
    model.broker.tick(model.broker.around.now_ms + 1000)
    model.broker.around.spare = 10

    queue = model.vhost.queues["q"]
    queue.retry.release()

    assert 0 < queue.ready < 10
    model.turn()
    assert queue.ready == 10


def test_what_dies_of_its_failures_takes_of_the_turn_if_it_becomes_a_dead_letter(
    model: Living,
) -> None:
    model.queue("dead")
    limits = {"x-delivery-limit": 0, "x-delayed-retry-type": "disabled"}
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    consumer = a_consumer(model, b"a", b"b", arguments={**limits, **dead})
    spare = model.broker.around.spare

    model.vhost.requeue(consumer.take(), failed=True)

    assert model.broker.around.spare <= spare - 2 * BURIAL_COST
    model.turn()
    assert model.vhost.queues["dead"].ready == 2


def test_what_waited_is_ahead_of_all_priorities_of_a_quorum_queue(model: Living) -> None:
    quorum = {"x-queue-type": "quorum"}
    consumer = FakeConsumer()
    model.queue(arguments={**RETRY, **quorum})
    model.consume(consumer)
    model.publish(b"low", b"high", priority=0)
    model.turn()
    fail(model, consumer, 1)
    model.vhost.cancel(consumer)
    model.publish(b"urgent", priority=9)

    model.wait(120)

    assert new_consumer(model).bodies == [b"low", b"urgent"]


# -- on disk -----------------------------------------------------------------------------


@pytest.mark.parametrize("passed_ms", [10, 5000])
def test_what_waits_is_there_after_a_restart_and_waits_on(model: Living, passed_ms: int) -> None:
    consumer = a_consumer(model, b"a", b"b")
    fail(model, consumer, 1)
    model.vhost.settle(consumer.take())
    model.turn()

    model.restart(passed_ms)
    again = new_consumer(model)

    assert figures(model) == ((0, 0, 1) if passed_ms == 10 else (0, 1, 0))
    assert again.bodies == ([] if passed_ms == 10 else [b"a"])
    model.wait(120)
    assert again.bodies == [b"a"]
    assert again.redelivered == [True]


@pytest.mark.usefixtures("_little_memory")
@pytest.mark.parametrize(("mode", "durable"), [(2, True), (1, True), (1, False)])
def test_many_that_wait_are_not_all_in_memory(model: Living, mode: int, durable: bool) -> None:
    bodies = [b"%02d" % number for number in range(40)]
    consumer = a_consumer(model, *bodies, mode=mode, durable=durable)

    for tag in range(40, 0, -1):
        fail(model, consumer, tag)
        assert in_memory(model) <= 5
    model.wait(90)

    assert figures(model) == (0, 0, 40)
    model.wait(30)
    assert sorted(consumer.bodies) == bodies
    assert in_memory(model) == 0
    model.vhost.settle(consumer.take())
    model.turn()
    assert all(not rows for rows in model.disk._rows.values())


@pytest.mark.usefixtures("_little_memory")
def test_transient_messages_that_were_on_disk_already_are_not_stored_again(model: Living) -> None:
    model.queue(arguments=RETRY)
    (lane,) = model.vhost.queues["q"].lanes
    lane.window = 2
    bodies = [b"%02d" % number for number in range(12)]
    for one in bodies:
        model.publish(one, mode=1)
        model.turn()
    consumer = new_consumer(model)
    assert consumer.bodies == bodies
    consumer.bodies.clear()
    rows = model.disk._rows[int(lane.id)]
    before = {position: rows[position].message_id for position in rows}
    assert len(before) == 10

    for tag in range(12, 0, -1):
        fail(model, consumer, tag)
    after = {position: rows[position].message_id for position in rows}

    assert in_memory(model) <= 5
    assert before.items() <= after.items()
    model.wait(120)
    assert sorted(consumer.bodies) == bodies
    model.vhost.settle(consumer.take())
    model.turn()
    assert all(not rows for rows in model.disk._rows.values())


@pytest.mark.usefixtures("_little_memory")
def test_those_whose_time_comes_first_are_in_memory(model: Living) -> None:
    consumer = a_consumer(model, *[b"%d" % number for number in range(9)])
    for tag in range(1, 10):
        fail(model, consumer, tag)
        model.wait(10)
    reads = model.reads

    model.wait(20)

    assert consumer.bodies == [b"0", b"1"]
    assert model.reads <= reads + 1
    model.wait(100)
    assert consumer.bodies == [b"%d" % number for number in range(9)]


@pytest.mark.usefixtures("_little_memory")
def test_messages_come_and_go_while_others_are_being_read(model: Living) -> None:
    consumer = a_consumer(model, *[b"%d" % number for number in range(12)])
    for tag in range(1, 7):
        model.vhost.requeue(consumer.unacked.take(tag, tag, False), failed=True)
    model.turn(80)
    # The reads are asked for, and answered only after more has come back.
    model.broker.tick(model.broker.around.now_ms + 25)
    model.broker.dispatch()
    for tag in range(7, 13):
        model.vhost.requeue(consumer.unacked.take(tag, tag, False), failed=True)
    model.turn()

    model.wait(400)

    assert sorted(consumer.bodies, key=int) == [b"%d" % number for number in range(12)]
    assert figures(model) == (0, 12, 0)


@pytest.mark.usefixtures("_little_memory")
def test_a_run_that_waits_is_divided_where_memory_ends(model: Living) -> None:
    model.queue(arguments=RETRY)
    consumer = FakeConsumer()
    model.consume(consumer)
    model.publish_run(*[b"%d" % number for number in range(9)])
    model.turn()
    due = model.broker.around.now_ms + 100
    delay = model.vhost.queues["q"].retry._delay(model.vhost.queues["q"].lanes[0])
    delay.behind = (due, 3)

    fail_all(model, consumer)

    assert (delay.held, delay.stored) == (4, 5)
    model.wait(120)
    assert sorted(consumer.bodies[9:]) == [b"%d" % number for number in range(9)]


def test_a_message_that_waits_keeps_no_others_in_memory(model: Living) -> None:
    model.queue(arguments=RETRY)
    consumer = FakeConsumer()
    model.consume(consumer)
    model.publish_run(*[b"%d" % number for number in range(9)])
    model.turn()

    fail(model, consumer, 5)

    ((_, _, piece),) = model.vhost.queues["q"].retry._delays[0].heap
    assert len(piece.run.contents) == 1
    assert piece.position == 4


@pytest.mark.usefixtures("_little_memory")
@pytest.mark.parametrize("passed_ms", [10, 95, 5000])
def test_after_a_restart_the_window_leaves_out_what_waits(model: Living, passed_ms: int) -> None:
    """Some wait before, some behind the end of what the window holds."""
    consumer = a_consumer(model, *[b"%02d" % number for number in range(30)])
    model.vhost.cancel(consumer)
    for tag in range(1, 31, 3):
        fail(model, consumer, tag)
        model.turn(1)
    model.restart(passed_ms)
    queue = model.vhost.queues["q"]
    lane = queue.lanes[0]
    lane.window = 5
    assert queue.ready + queue.delayed == 30

    again = FakeConsumer(credit=12)
    model.consume(again)
    for _ in range(40):
        model.turn(10)
        model.vhost.settle(again.take())
        lane.window = 5

    assert sorted(again.bodies) == [b"%02d" % number for number in range(30)]
    if passed_ms == 5000:
        assert again.bodies == sorted(again.bodies)
    assert figures(model) == (0, 0, 0)
    assert all(not rows for rows in model.disk._rows.values())


@pytest.mark.usefixtures("_little_memory")
def test_what_the_disk_has_lost_is_not_waited_for(model: Living) -> None:
    consumer = a_consumer(model, *[b"%d" % number for number in range(9)])
    for tag in range(1, 10):
        fail(model, consumer, tag)
    (lane,) = model.vhost.queues["q"].lanes
    rows = model.disk._rows[int(lane.id)]
    for position in (7, 8):
        del rows[position]

    model.wait(150)

    assert len(consumer.bodies) == 7
    assert figures(model) == (0, 7, 0)
    assert lane.stored == 7


def test_a_queue_in_which_something_waits_brings_the_others_from_disk(model: Living) -> None:
    consumer = a_consumer(model, b"waits")
    fail(model, consumer, 1)
    (lane,) = model.vhost.queues["q"].lanes
    lane.window = 2
    model.vhost.cancel(consumer)
    bodies = [b"%d" % number for number in range(9)]
    for one in bodies:
        model.publish(one)
        model.turn()
    assert lane.loaded_upto < lane.next_position

    again = FakeConsumer()
    model.consume(again)
    model.wait(50)
    assert again.bodies == bodies
    model.wait(60)

    assert again.bodies == [*bodies, b"waits"]


def test_what_the_disk_has_lost_before_the_window_came_by_is_not_waited_for(
    model: Living,
) -> None:
    consumer = a_consumer(model, *[b"%d" % number for number in range(4)])
    fail(model, consumer, 2)
    (lane,) = model.vhost.queues["q"].lanes
    begin_again(model)
    del model.disk._rows[int(lane.id)][1]

    model.turn()

    assert figures(model) == (3, 0, 0)


# -- leaving -----------------------------------------------------------------------------


@pytest.mark.usefixtures("_little_memory")
@pytest.mark.parametrize("restarted", [False, True])
def test_a_purge_takes_what_waits_wherever_it_is(model: Living, restarted: bool) -> None:
    consumer = a_consumer(model, *[b"%d" % number for number in range(12)])
    for tag in range(1, 10):
        fail(model, consumer, tag)
    if restarted:
        model.restart()
        (lane,) = model.vhost.queues["q"].lanes
        lane.window = 2

    count = model.vhost.purge_queue(model.access, "q", model).value
    model.wait(300)

    assert count == (12 if restarted else 9)
    assert figures(model) == (0, 0 if restarted else 3, 0)
    assert consumer.bodies == []
    model.restart(5000)
    assert len(new_consumer(model).bodies) == (0 if restarted else 3)


def test_a_purge_where_nothing_waits_takes_what_is_ready(model: Living) -> None:
    consumer = a_consumer(model, b"a")
    model.vhost.cancel(consumer)
    model.publish(b"b", b"c")

    assert model.vhost.purge_queue(model.access, "q", model).value == 2

    fail_all(model, consumer)
    assert figures(model) == (0, 0, 1)


def test_what_comes_back_after_a_purge_waits_as_before(model: Living) -> None:
    consumer = a_consumer(model, b"a", b"b")
    fail(model, consumer, 1)

    model.vhost.purge_queue(model.access, "q", model)
    fail(model, consumer, 2)
    model.wait(150)

    assert consumer.bodies == [b"b"]


def test_a_queue_in_which_something_waits_is_not_empty(model: Living) -> None:
    consumer = a_consumer(model, b"a", b"b")
    fail(model, consumer, 1)
    model.vhost.requeue(consumer.take(), failed=True)

    with pytest.raises(PreconditionFailed, match="not empty"):
        model.vhost.delete_queue(model.access, "q", if_unused=False, if_empty=True, owner=None)
    deleted = model.vhost.delete_queue(
        model.access, "q", if_unused=False, if_empty=False, owner=None
    )

    assert deleted.value == 2
    assert model.vhost.publishing.dropped[DELETED] == 2


def test_a_deleted_queue_forgets_what_waits(model: Living) -> None:
    consumer = a_consumer(model, b"a")
    fail(model, consumer, 1)

    model.vhost.delete_queue(model.access, "q", if_unused=False, if_empty=False, owner=model)
    model.wait(200)

    assert consumer.bodies == []
    assert all(not rows for rows in model.disk._rows.values())


@pytest.mark.usefixtures("_little_memory")
@pytest.mark.parametrize("count", [1, 20])
def test_what_waits_expires_on_time(model: Living, count: int) -> None:
    consumer = a_consumer(
        model,
        *[b"%d" % number for number in range(count)],
        arguments={"x-message-ttl": 50, "x-delayed-retry-min": 1000},
    )
    fail_all(model, consumer)

    model.wait(80)

    assert figures(model) == (0, 0, 0)
    assert model.vhost.publishing.dropped[EXPIRED] == count


@pytest.mark.parametrize("dead_letters", [False, True])
def test_what_waits_beyond_the_window_expires_on_time(model: Living, dead_letters: bool) -> None:
    model.queue("dead")
    more = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    model.queue(arguments=RETRY | {"x-delayed-retry-min": 1000} | (more if dead_letters else {}))
    consumer = FakeConsumer()
    model.consume(consumer)
    model.publish(*[b"%d" % number for number in range(8)])
    model.publish(b"mortal", expiration="500")
    model.turn()
    fail(model, consumer, 9)
    begin_again(model)
    for lane in model.vhost.queues["q"].lanes:
        lane.window = 2
    model.turn()
    (lane,) = model.vhost.queues["q"].lanes
    lane.loaded_upto = min(lane.loaded_upto, 8)

    model.wait(600)

    assert model.vhost.queues["q"].delayed == 0
    assert model.vhost.queues["dead"].ready == int(dead_letters)


# -- reads that are under way ------------------------------------------------------------


def a_delay(model: Living) -> retry.Delay:
    """What is known of the delayed messages of the queue q."""
    queue = model.vhost.queues["q"]
    return queue.retry._delay(queue.lanes[0])


def hold(model: Living, consumer: FakeConsumer, tag: int, delay_ms: int) -> None:
    """A message comes back, and the disk does not know yet."""
    model.broker.tick(model.broker.around.now_ms)
    queue = model.vhost.queues["q"]
    queue.arguments = replace(
        queue.arguments, delayed_retry_min_ms=delay_ms, delayed_retry_max_ms=delay_ms
    )
    model.vhost.requeue(consumer.unacked.take(tag, tag, False))


@pytest.mark.usefixtures("_little_memory")
def test_what_is_not_on_disk_yet_is_taken_along_by_a_read(model: Living) -> None:
    consumer = a_consumer(model, *[b"%d" % number for number in range(12)])
    for tag in range(1, 10):
        hold(model, consumer, tag, 1000 + tag)
    model.turn()
    delay = a_delay(model)
    assert delay.behind < (model.broker.around.now_ms + 1005, 0)
    model.vhost.queues["q"].retry._read(delay)
    now_ms = model.broker.around.now_ms
    hold(model, consumer, 10, delay.behind[0] + 1 - now_ms)  # nearer than what is read
    hold(model, consumer, 11, 5000)  # further away
    assert len(delay.fresh) == 2

    while delay.reading:
        model.commit()

    assert [piece.position for _, _, piece in delay.heap].count(9) == 1
    model.wait(1200)
    assert sorted(consumer.bodies, key=int) == [b"%d" % number for number in (*range(10),)]
    assert figures(model) == (0, 11, 1)


@pytest.mark.usefixtures("_little_memory")
def test_where_nothing_is_on_disk_yet_all_of_it_is_taken_back(model: Living) -> None:
    consumer = a_consumer(model, *[b"%d" % number for number in range(6)])
    for tag in range(1, 7):
        hold(model, consumer, tag, 1000 + tag)
    delay = a_delay(model)
    assert delay.stored

    model.vhost.queues["q"].retry._read(delay)
    model.commit()

    assert (delay.held, delay.stored, delay.behind) == (6, 0, retry.EVER)
    model.wait(1100)
    assert len(consumer.bodies) == 6


@pytest.mark.usefixtures("_little_memory")
def test_an_answer_from_before_a_purge_is_worth_nothing(model: Living) -> None:
    consumer = a_consumer(model, *[b"%d" % number for number in range(9)])
    for tag in range(1, 10):
        hold(model, consumer, tag, 1000 + tag)
    model.turn()
    model.vhost.queues["q"].retry._read(a_delay(model))

    model.vhost.purge_queue(model.access, "q", model)
    model.commit()
    model.wait(1200)

    assert consumer.bodies == []
    assert figures(model) == (0, 0, 0)


@pytest.mark.usefixtures("_little_memory")
def test_a_purge_takes_what_is_not_on_disk_yet(model: Living) -> None:
    consumer = a_consumer(model, *[b"%d" % number for number in range(9)])
    for tag in range(1, 10):
        hold(model, consumer, tag, 1000 + tag)
    assert a_delay(model).fresh

    assert model.vhost.purge_queue(model.access, "q", model).value == 9

    model.wait(1200)
    assert consumer.bodies == []
    assert figures(model) == (0, 0, 0)
    assert all(not rows for rows in model.disk._rows.values())


def test_the_window_comes_by_something_earlier_than_what_is_in_memory(
    model: Living, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "REFILL_MESSAGES", 2)
    consumer = a_consumer(model, *[b"%d" % number for number in range(6)])
    hold(model, consumer, 6, 500)
    model.vhost.cancel(consumer)
    model.turn()
    begin_again(model)
    (lane,) = model.vhost.queues["q"].lanes
    lane.window = 2
    again = FakeConsumer(credit=2)
    model.consume(again)
    model.turn()
    hold(model, again, 1, 100)
    hold(model, again, 2, 2000)
    delay = a_delay(model)
    assert (delay.held, delay.stored, lane.loaded_upto) == (2, 0, 4)

    again.prefetch = 9
    assert again.queue is not None
    again.queue.wake()
    model.turn()
    assert (delay.life, delay.held) == (1, 3)

    model.wait(600)
    assert again.bodies == [b"0", b"1", b"2", b"3", b"4", b"0", b"5"]
    model.wait(2000)
    assert again.bodies[7:] == [b"1"]


@pytest.mark.usefixtures("_little_memory")
def test_the_window_comes_by_something_later_than_what_is_in_memory(
    model: Living, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "REFILL_MESSAGES", 2)
    consumer = a_consumer(model, *[b"%d" % number for number in range(12)])
    hold(model, consumer, 12, 5000)
    model.vhost.cancel(consumer)
    model.turn()
    begin_again(model)
    (lane,) = model.vhost.queues["q"].lanes
    lane.window = 2
    again = FakeConsumer(credit=6)
    model.consume(again)
    model.turn()
    for tag in range(1, 7):
        hold(model, again, tag, 100 + tag)
    delay = a_delay(model)
    held, life = delay.held, delay.life
    assert (held, delay.stored, lane.loaded_upto < 11) == (2, 4, True)

    again.prefetch = 20
    assert again.queue is not None
    again.queue.wake()
    model.turn()

    assert (delay.held, delay.stored, delay.life) == (held, 5, life)
    model.wait(1000)
    assert sorted(again.bodies[11:]) == [b"%d" % number for number in range(6)]
    model.wait(5000, 100)
    assert again.bodies[17:] == [b"11"]


def test_what_a_purge_was_faster_than_does_not_come_into_the_window(model: Living) -> None:
    consumer = a_consumer(model, *[b"%d" % number for number in range(6)])
    model.vhost.cancel(consumer)
    fail(model, consumer, 2)
    begin_again(model)
    asked: list[Callable[[], None]] = []

    def ask(question: Counted | Delayed, done: Callable[[Returned], None]) -> None:
        asked.append(partial(model._read_returned, question, done))

    model.broker.around.read_returned = ask
    model.turn()
    (read,) = asked
    read()
    model.broker.around.read_returned = model._read_returned

    assert model.vhost.purge_queue(model.access, "q", model).value == 6
    model.wait(200)

    assert figures(model) == (0, 0, 0)
    assert model.bodies() == []
    model.publish(b"new")
    assert model.bodies() == [b"new"]


# -- the timer ---------------------------------------------------------------------------


def test_a_time_at_which_nothing_is_due_any_more_wakes_nobody(model: Living) -> None:
    consumer = a_consumer(model, b"a", b"b", b"c")
    hold(model, consumer, 1, 500)
    model.vhost.purge_queue(model.access, "q", model)
    hold(model, consumer, 2, 100)
    model.wait(110)
    hold(model, consumer, 3, 1000)
    model.turn()

    for passed_ms, woken in ((400, False), (600, True)):
        model.broker.tick(model.broker.around.now_ms + passed_ms)
        assert bool(model.broker.around.awake) == woken

    model.turn()
    assert consumer.bodies == [b"b", b"c"]


def test_what_has_waited_expires_on_time_behind_what_does_not(model: Living) -> None:
    model.queue(arguments=RETRY)
    consumer = FakeConsumer()
    model.consume(consumer)
    model.publish(b"stays")
    model.publish(b"expires", expiration="1000")
    model.turn()
    model.vhost.cancel(consumer)

    fail_all(model, consumer)
    assert figures(model) == (0, 0, 2)
    model.wait(200)
    assert figures(model) == (2, 0, 0)
    model.wait(900)

    assert figures(model) == (1, 0, 0)
    assert model.bodies() == [b"stays"]
