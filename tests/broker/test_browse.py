"""Browsing: looking changes nothing; what is taken out is gone, and nothing else is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpd.broker.browse import Found, Place, find, is_there, peek, take_out
from amqpd.broker.content import body
from tests.broker.model import FakeConsumer, Model
from tests.broker.types.living import Living

if TYPE_CHECKING:
    from amqpd.broker.queue import Queue


@pytest.fixture
def model() -> Model:
    return Model()


def look(queue: Queue, after: Place | None = None, most: int = 100) -> tuple[list[Found], bool]:
    """What a look brings, and whether it was the end."""
    seen: list[tuple[list[Found], Place | None]] = []
    peek(queue, after, most, lambda found, last: seen.append((found, last)))
    ((found, last),) = seen
    return found, last is None


def bodies(found: list[Found]) -> list[bytes]:
    return [body(one.content) for one in found]


def page_through(queue: Queue, most: int) -> list[bytes]:
    """All messages, so many at a time."""
    seen: list[bytes] = []
    after: Place | None = None
    for _ in range(100):
        got: list[tuple[list[Found], Place | None]] = []
        peek(queue, after, most, lambda found, last, got=got: got.append((found, last)))  # type: ignore[misc]
        ((found, after),) = got
        seen += bodies(found)
        if after is None:
            return seen
    raise AssertionError("it never ends")


def paged(model: Model, *, priorities: int = 0) -> Queue:
    """A queue with two messages in memory and four on disk."""
    queue = model.queue(arguments={"x-max-priority": priorities} if priorities else {})
    for lane in queue.lanes:
        lane.window = 2
    for number in range(6):
        model.publish(b"%d" % number)
        model.commit()
    return queue


def test_what_is_in_memory_tells_when_it_came_and_what_is_on_disk_only_does_not(
    model: Model,
) -> None:
    came_ms = model.broker.around.now_ms
    queue = paged(model)
    model.turn(1000)

    found, _ = look(queue)

    assert [one.entered_ms for one in found] == [came_ms, came_ms, 0, 0, 0, 0]


def test_a_message_that_came_back_came_when_it_came(model: Model) -> None:
    came_ms = model.broker.around.now_ms
    queue = model.queue()
    model.publish(b"a")
    consumer = FakeConsumer(credit=1)
    model.turn(1000)

    model.consume(consumer)
    model.turn(1000)
    model.vhost.cancel(consumer)
    model.vhost.requeue(consumer.take())

    ((one,), _) = look(queue)
    assert (one.redelivered, one.entered_ms) == (True, came_ms)


def remove(model: Model, queue: Queue, position: int, level: int = 0) -> bool:
    """Take the message in a place out."""
    got: list[Found | None] = []
    find(queue, Place(level, position), got.append)
    (found,) = got
    if found is None:
        return False
    assert is_there(queue, found)
    return take_out(queue, found)


def check(model: Model, queue: Queue) -> None:
    """What the queue counts is what the store has."""
    model.commit()
    for lane in queue.lanes:
        rows = model.store.rows.get(int(lane.id), {})
        assert lane.ready + lane.unacked == len(rows) == lane.stored
        assert lane.ready_bytes + lane.unacked_bytes == sum(len(row[7]) for row in rows.values())


def test_a_look_shows_messages_in_order_wherever_they_are(model: Model) -> None:
    queue = paged(model)

    found, is_end = look(queue)

    assert bodies(found) == [b"0", b"1", b"2", b"3", b"4", b"5"]
    assert is_end
    assert [one.place for one in found] == [Place(0, at) for at in range(6)]


@pytest.mark.parametrize("most", [1, 2, 3, 4, 6, 7])
def test_pages_are_without_gaps(model: Model, most: int) -> None:
    assert page_through(paged(model), most) == [b"0", b"1", b"2", b"3", b"4", b"5"]


def test_looking_changes_nothing(model: Model) -> None:
    queue = paged(model)
    consumer = FakeConsumer()

    look(queue)
    model.consume(consumer)
    for _ in range(5):
        model.turn()
        model.commit()

    assert consumer.bodies == [b"0", b"1", b"2", b"3", b"4", b"5"]
    assert not any(consumer.redelivered)


def test_higher_levels_come_first(model: Model) -> None:
    queue = model.queue(arguments={"x-max-priority": 2})
    for text, priority in ((b"low", 0), (b"high", 2), (b"middle", 1), (b"high too", 2)):
        model.publish(text, priority=priority)

    assert page_through(queue, 1) == [b"high", b"high too", b"middle", b"low"]


def test_what_has_expired_or_is_in_somebodys_hands_is_not_shown(model: Model) -> None:
    queue = model.queue()
    model.publish(b"taken")
    model.consume(FakeConsumer(credit=1))
    model.turn()
    model.publish(b"short", expiration="10")
    model.publish(b"long")
    model.broker.around.now_ms += 50

    assert bodies(look(queue)[0]) == [b"long"]


def test_an_empty_queue_has_nothing_to_show(model: Model) -> None:
    assert look(model.queue()) == ([], True)


@pytest.mark.parametrize("position", range(6))
def test_one_message_is_taken_out_and_the_others_stay(model: Model, position: int) -> None:
    queue = paged(model)

    assert remove(model, queue, position)

    check(model, queue)
    left = [b"%d" % number for number in range(6) if number != position]
    assert bodies(look(queue)[0]) == left
    consumer = FakeConsumer()
    model.consume(consumer)
    for _ in range(5):
        model.turn()
        model.commit()
    assert consumer.bodies == left
    assert queue.ready == 0


@pytest.mark.parametrize("position", range(4))
def test_a_message_leaves_the_middle_of_a_run(model: Model, position: int) -> None:
    queue = model.queue(durable=False)
    model.publish_run(b"0", b"1", b"2", b"3", mode=1)

    assert remove(model, queue, position)
    assert not remove(model, queue, position)

    left = [b"%d" % number for number in range(4) if number != position]
    assert bodies(look(queue)[0]) == left
    assert queue.ready == 3


def test_all_may_be_taken_out_in_any_order(model: Model) -> None:
    queue = paged(model)

    for position in (3, 0, 5, 1, 4, 2):
        assert remove(model, queue, position)

    check(model, queue)
    assert queue.ready == 0
    assert look(queue) == ([], True)


def test_what_is_left_of_a_run_still_expires_on_time(model: Model) -> None:
    queue = model.queue(durable=False)
    model.publish(b"stays", mode=1)
    model.publish_run(b"0", b"1", b"2", mode=1)
    model.publish(b"short", expiration="10", mode=1)
    remove(model, queue, 2)

    model.turn(20)
    model.turn(20)

    assert bodies(look(queue)[0]) == [b"stays", b"0", b"2"]


def test_what_was_taken_out_on_disk_does_not_come_back_with_a_refill(model: Model) -> None:
    queue = paged(model)
    model.store.is_slow = True
    consumer = FakeConsumer()
    model.consume(consumer)
    model.turn()
    got: list[Found | None] = []
    find(queue, Place(0, 4), got.append)
    model.store.answer()
    (found,) = got

    assert found is not None
    take_out(queue, found)
    model.store.is_slow = False
    for _ in range(8):
        model.store.answer()
        model.turn()

    assert b"4" not in consumer.bodies
    check(model, queue)


def test_transient_messages_are_taken_out_on_disk_too(model: Model) -> None:
    queue = model.queue()
    queue.lanes[0].window = 1
    for octets, mode in ((b"0", 2), (b"1", 1), (b"2", 2)):
        model.publish(octets, mode=mode)
        model.commit()
    assert queue.lanes[0].paged_out == 1

    assert remove(model, queue, 1)
    assert (queue.ready, queue.lanes[0].paged_out) == (2, 1)
    assert remove(model, queue, 2)

    assert (queue.ready, queue.lanes[0].paged_out) == (1, 0)
    check(model, queue)


@pytest.mark.parametrize("place", [Place(1, 0), Place(-1, 0), Place(0, 99), Place(0, -5)])
def test_a_place_that_there_is_not_has_no_message(model: Model, place: Place) -> None:
    queue = model.queue()
    model.publish(b"a")
    got: list[Found | None] = []

    find(queue, place, got.append)

    assert got == [None]


def test_a_message_of_a_deleted_queue_is_not_there(model: Model) -> None:
    queue = model.queue()
    model.publish(b"a")
    (found,), _ = look(queue)
    queue.delete()

    assert not is_there(queue, found)
    assert not take_out(queue, found)
    assert look(queue) == ([], True)


def test_a_look_at_a_deleted_queue_ends_at_once(model: Model) -> None:
    queue = paged(model)
    model.store.is_slow = True
    seen: list[tuple[list[Found], Place | None]] = []
    peek(queue, None, 100, lambda found, last: seen.append((found, last)))

    model.vhost.delete_queue(model.access, "q", if_unused=False, if_empty=False, owner=model)
    model.commit()
    model.store.answer()

    assert [(bodies(found), last) for found, last in seen] == [([b"0", b"1"], None)]


def test_what_has_come_into_memory_while_the_store_was_asked_is_shown_once(model: Model) -> None:
    queue = paged(model)
    model.store.is_slow = True
    seen: list[list[bytes]] = []
    peek(queue, None, 100, lambda found, last: seen.append(bodies(found)))
    consumer = FakeConsumer(credit=2)
    model.consume(consumer)
    model.turn()
    consumer.take()
    model.turn()

    model.store.answer()
    model.turn()
    model.store.answer()

    assert seen
    assert len(seen[0]) == len(set(seen[0]))


def test_what_is_on_its_way_to_the_disk_comes_with_the_next_look_and_nothing_twice(
    model: Model,
) -> None:
    queue = model.queue()
    queue.lanes[0].window = 2
    for number in range(4):
        model.publish(b"%d" % number)
    got: list[tuple[list[Found], Place | None]] = []

    peek(queue, None, 100, lambda found, last: got.append((found, last)))

    ((found, last),) = got
    assert bodies(found) == [b"0", b"1"]
    assert last is not None
    model.commit()
    found, is_end = look(queue, last)
    assert bodies(found) == [b"2", b"3"]
    assert is_end


def test_what_comes_into_memory_while_the_store_is_asked_is_not_missed(model: Model) -> None:
    queue = paged(model)
    model.store.is_slow = True
    model.consume(FakeConsumer(credit=1))
    model.turn()
    model.commit()
    seen: list[list[bytes]] = []
    peek(queue, None, 100, lambda found, last: seen.append(bodies(found)))

    while not seen:
        model.store.answer()

    assert seen == [[b"1", b"2", b"3", b"4", b"5"]]


def test_a_page_may_end_within_what_came_into_memory_meanwhile(model: Model) -> None:
    queue = paged(model)
    model.store.is_slow = True
    model.consume(FakeConsumer(credit=1))
    model.turn()
    model.commit()
    seen: list[tuple[list[bytes], Place | None]] = []
    peek(queue, None, 2, lambda found, last: seen.append((bodies(found), last)))

    while not seen:
        model.store.answer()

    assert seen == [([b"1", b"2"], Place(0, 2))]


def test_what_a_consumer_has_got_meanwhile_is_not_taken_out(model: Model) -> None:
    queue = paged(model)
    (first, *_), _ = look(queue)
    model.consume(FakeConsumer(credit=1))
    model.turn()
    model.commit()

    assert not is_there(queue, first)
    assert not take_out(queue, first)

    assert queue.unacked == 1
    assert queue.ready == 5


def test_what_has_expired_on_disk_meanwhile_is_not_taken_out(model: Model) -> None:
    queue = paged(model)
    model.publish(b"short", expiration="10")
    model.commit()
    found, _ = look(queue)
    assert bodies(found)[-1] == b"short"

    model.turn(20)

    assert queue.ready == 6
    assert not is_there(queue, found[-1])
    assert not take_out(queue, found[-1])
    assert queue.ready == 6
    check(model, queue)


def test_a_place_of_a_lane_that_began_again_is_nobodys(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amqpd.broker.paging.WORN", 5)
    monkeypatch.setattr("amqpd.broker.queue.WORN", 5)
    queue = paged(model)
    old, _ = look(queue)
    model.consume(FakeConsumer(no_ack=True))
    for _ in range(5):
        model.turn()
        model.commit()
    model.vhost.cancel(next(iter(queue.ring)).consumer)

    model.publish(b"new")

    assert queue.lanes[0].next_position == 1
    assert not any(is_there(queue, one) for one in old[1:])
    assert not any(take_out(queue, one) for one in old[1:])
    assert bodies(look(queue)[0]) == [b"new"]
    check(model, queue)


@pytest.mark.parametrize("is_due", [False, True])
def test_what_waits_for_its_time_is_not_shown_on_disk_either(is_due: bool) -> None:
    model = Living()
    delays = {"x-delayed-retry-type": "all", "x-delayed-retry-min": 100}
    queue = model.queue(arguments=delays)
    consumer = FakeConsumer()
    model.consume(consumer)
    model.publish(b"0", b"1", b"2")
    model.turn()
    model.vhost.requeue(consumer.unacked.take(2, 2, False), failed=True)
    model.turn()
    assert bodies(look(queue)[0]) == []

    model.disk.crash()
    model.start(model.broker.around.now_ms + 200 * is_due)
    model.vhost, model.access = model.broker.open_vhost("/", "u")
    queue = model.vhost.queues["q"]
    got: list[list[Found]] = []
    peek(queue, None, 100, lambda found, last: got.append(found))
    model.commit()

    (found,) = got
    assert bodies(found) == [b"0", b"2"]
    assert all(take_out(queue, one) for one in found)
    assert queue.ready == int(is_due)
    model.wait(200)
    assert model.bodies() == [b"1"]
