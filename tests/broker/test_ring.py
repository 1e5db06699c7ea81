"""The ring: whose turn it is, and who is asked at all."""

from __future__ import annotations

import time

import pytest

from amqpd.broker.ring import Ring, Subscription
from tests.broker.model import FakeConsumer, Model


def a_subscription(ring: Ring, credit: int = 1, priority: int = 0) -> Subscription:
    consumer = FakeConsumer(credit, priority=priority)
    subscription = Subscription(consumer, priority, ring.resume, ring.remove)
    ring.add(subscription)
    return subscription


def credits(subscription: Subscription, credit: int) -> None:
    assert isinstance(subscription.consumer, FakeConsumer)
    subscription.consumer.prefetch = credit


def turns(ring: Ring, count: int) -> list[Subscription | None]:
    return [None if (turn := ring.next()) is None else turn[0] for _ in range(count)]


def test_nobody_has_a_turn_in_an_empty_ring() -> None:
    for single_active in (False, True):
        ring = Ring(single_active)
        assert ring.next() is None
        assert len(ring) == 0


def test_consumers_take_turns() -> None:
    ring = Ring()
    one, two, three = (a_subscription(ring) for _ in range(3))

    assert turns(ring, 4) == [one, two, three, one]
    assert list(ring) == [one, two, three]


def test_a_turn_tells_the_credit_and_how_many_share() -> None:
    ring = Ring()
    one = a_subscription(ring, credit=7)
    a_subscription(ring)
    a_subscription(ring, priority=-1)

    assert ring.next() == (one, 7, 2)


def test_lower_priorities_have_what_higher_ones_leave() -> None:
    ring = Ring()
    low, high = a_subscription(ring), a_subscription(ring, priority=5)

    assert turns(ring, 2) == [high, high]
    credits(high, 0)
    assert turns(ring, 2) == [low, low]
    credits(high, 1)
    high.wake()
    assert turns(ring, 1) == [high]


def test_a_consumer_without_credit_is_set_aside_until_it_is_woken() -> None:
    ring = Ring()
    one, other = a_subscription(ring, credit=0), a_subscription(ring)
    assert turns(ring, 2) == [other, other]

    credits(one, 1)
    assert turns(ring, 1) == [other]
    one.wake()
    one.wake()

    assert turns(ring, 3) == [other, one, other]


def test_all_may_be_set_aside() -> None:
    ring = Ring()
    one, other = a_subscription(ring, credit=0), a_subscription(ring, credit=0, priority=1)

    assert turns(ring, 2) == [None, None]
    credits(one, 1)
    one.wake()

    assert turns(ring, 1) == [one]
    ring.stall(other)
    assert turns(ring, 1) == [one]


def test_a_consumer_that_ends_has_no_turn_any_more() -> None:
    ring = Ring()
    one, other = a_subscription(ring), a_subscription(ring)

    one.cancel()
    one.wake()
    one.cancel()

    assert turns(ring, 2) == [other, other]
    assert len(ring) == 1


def test_a_consumer_may_end_while_it_is_set_aside() -> None:
    ring = Ring()
    one, other = a_subscription(ring, credit=0), a_subscription(ring)
    turns(ring, 1)

    one.cancel()

    assert turns(ring, 2) == [other, other]


def test_only_one_is_active_where_only_one_may_be() -> None:
    ring = Ring(single_active=True)
    first, second = a_subscription(ring), a_subscription(ring)

    assert turns(ring, 2) == [first, first]
    assert [ring.is_active(one) for one in (first, second)] == [True, False]
    credits(first, 0)
    assert turns(ring, 1) == [None]


def test_all_are_active_otherwise() -> None:
    ring = Ring()

    assert all(ring.is_active(one) for one in (a_subscription(ring), a_subscription(ring)))


def test_the_active_one_stays_when_a_higher_priority_comes() -> None:
    ring = Ring(single_active=True)
    first = a_subscription(ring)

    a_subscription(ring, priority=9)

    assert turns(ring, 1) == [first]


def test_where_the_ring_yields_a_higher_priority_takes_over_from_an_idle_one() -> None:
    ring = Ring(single_active=True, yields=True)
    first = a_subscription(ring)
    same, higher, highest = (a_subscription(ring, priority=priority) for priority in (0, 5, 9))

    assert [ring.is_active(one) for one in (first, same, higher, highest)] == [False] * 3 + [True]
    assert turns(ring, 2) == [highest] * 2
    highest.cancel()
    assert turns(ring, 1) == [higher]


def test_where_the_ring_yields_the_active_one_first_settles_what_it_has() -> None:
    model = Model()
    model.queue(arguments={"x-queue-type": "quorum", "x-single-active-consumer": True})
    first, second = FakeConsumer(), FakeConsumer(priority=1)
    model.consume(first)
    model.publish(b"a", b"b")
    model.turn()

    model.consume(second)
    model.publish(b"c")
    model.turn()
    first.take(1)
    model.turn()
    assert (first.bodies, second.bodies) == ([b"a", b"b"], [])
    first.take(2)
    model.turn()

    assert (first.bodies, second.bodies) == ([b"a", b"b"], [b"c"])


@pytest.mark.parametrize("priorities", [(0, 0, 0), (9, 0, 5)])
def test_the_next_active_one_is_the_oldest_of_the_highest_priority(
    priorities: tuple[int, int, int],
) -> None:
    ring = Ring(single_active=True)
    first = a_subscription(ring)
    others = [a_subscription(ring, priority=priority) for priority in priorities]

    first.cancel()

    assert turns(ring, 2) == [others[0]] * 2
    others[1].cancel()
    assert turns(ring, 1) == [others[0]]


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("single_active", [False, True])
@pytest.mark.parametrize("step", [0, 1])
def test_very_many_may_leave_at_once(single_active: bool, backwards: bool, step: int) -> None:
    count = 20_000
    ring = Ring(single_active)
    all_of_them = [a_subscription(ring, priority=step * place) for place in range(count)]

    before_s = time.thread_time()
    for one in reversed(all_of_them) if backwards else all_of_them:
        ring.remove(one)

    # It took 5 s where each looked at all others.
    assert time.thread_time() - before_s < 1
    assert (len(ring), ring.next()) == (0, None)
