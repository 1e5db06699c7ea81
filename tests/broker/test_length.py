"""Length limits: what counts, what fits, and what has to go."""

from __future__ import annotations

import pytest

from amqpd.broker.arguments import Overflow
from amqpd.broker.definitions import PutParameter
from amqpd.broker.expiry import BURIAL_COST
from amqpd.broker.parameters import POLICY
from amqpd.broker.surroundings import EFFORT
from tests.broker.model import FakeConsumer, Model
from tests.broker.test_publishing import bodies

DEAD = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
REFUSING = {"x-overflow": "reject-publish"}


@pytest.fixture
def model() -> Model:
    return Model()


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


def test_ready_messages_count_and_their_bodies(model: Model) -> None:
    queue = model.queue(arguments={"x-max-length": 2, "x-max-length-bytes": 5, **REFUSING})
    model.consume(FakeConsumer(credit=1))
    model.publish(b"larger than the limit alone")
    model.publish(b"taken")
    assert (queue.ready, queue.unacked) == (0, 1)

    outcomes = [model.publish(each).refused for each in (b"123456", b"1234", b"12", b"1", b"")]

    # In order: too large alone, fits, too large together, fits, one too many.
    assert outcomes == [True, False, True, False, True]
    assert (queue.ready, queue.ready_bytes) == (2, 5)


def test_what_a_consumer_takes_at_once_does_not_count(model: Model) -> None:
    queue = model.queue(arguments={"x-max-length": 1, **REFUSING})
    consumer = FakeConsumer(credit=3)
    model.consume(consumer)

    refused = [model.publish(each).refused for each in (b"a", b"b", b"c", b"d", b"e")]

    assert refused == [False, False, False, False, True]
    assert consumer.bodies == [b"a", b"b", b"c"]
    assert queue.ready == 1


def test_what_a_consumer_is_about_to_take_does_not_count(model: Model) -> None:
    model.queue(arguments={"x-max-length": 1, **REFUSING})
    consumer = FakeConsumer(credit=1)
    model.consume(consumer)
    model.publish(b"a", b"b")
    assert model.publish(b"c").refused

    # In one read with the next message: nobody has looked at the queue since.
    model.vhost.settle(consumer.take())

    assert not model.publish(b"c").refused
    assert consumer.bodies == [b"a", b"b"]


def test_a_queue_of_length_zero_refuses_all(model: Model) -> None:
    model.queue(arguments={"x-max-length": 0, **REFUSING})
    model.consume(FakeConsumer())

    assert model.publish(b"a").refused


def test_a_queue_of_length_zero_hands_over_and_keeps_nothing(model: Model) -> None:
    queue = model.queue(arguments={"x-max-length": 0})
    consumer = FakeConsumer(credit=1)
    model.consume(consumer)

    model.publish(b"a", b"b")

    assert consumer.bodies == [b"a"]
    assert queue.ready == 0


@pytest.mark.parametrize("overflow", list(Overflow))
def test_messages_that_return_are_never_refused(model: Model, overflow: str) -> None:
    queue = model.queue(arguments={"x-max-length": 1, "x-overflow": str(overflow)})
    consumer = FakeConsumer(credit=1)
    model.consume(consumer)
    model.publish(b"a", b"b")
    consumer.prefetch = 0

    model.vhost.requeue(consumer.take())
    model.turn()

    # As in RabbitMQ: the head goes, though it was here before.
    drops = overflow == Overflow.DROP_HEAD
    assert bodies(model, "q") == [b"b"] if drops else [b"a", b"b"]
    assert queue.ready == (1 if drops else 2)


def test_bytes_are_dropped_message_by_message(model: Model) -> None:
    model.queue(arguments={"x-max-length-bytes": 6})

    model.publish_run(b"1", b"22", b"333", b"4444")

    assert bodies(model, "q") == [b"4444"]
    model.publish_run(b"1", b"1")
    assert bodies(model, "q") == [b"4444", b"1", b"1"]
    assert model.vhost.publishing.dropped == {"maxlen": 3}


def test_both_limits_hold(model: Model) -> None:
    model.queue(arguments={"x-max-length": 3, "x-max-length-bytes": 4})

    model.publish_run(b"1", b"1", b"1", b"1")
    assert bodies(model, "q") == [b"1", b"1", b"1"]
    model.publish(b"333")

    assert bodies(model, "q") == [b"1", b"333"]


def test_dropped_messages_are_dead_letters_in_their_order(model: Model) -> None:
    model.queue("dead")
    model.queue(arguments={"x-max-length": 1, **DEAD})

    model.publish_run(b"a", b"b", b"c")

    assert bodies(model, "dead") == [b"a", b"b"]
    assert bodies(model, "q") == [b"c"]


def test_a_head_that_is_on_disk_is_dropped_when_it_is_back(model: Model) -> None:
    queue = model.queue()
    queue.lanes[0].window = 2
    model.publish(b"a", b"b", b"c", b"d", b"e")
    model.commit()
    lane = queue.lanes[0]
    model.store.is_slow = True
    consumer = FakeConsumer(credit=2)
    model.consume(consumer)
    model.turn()
    model.commit()
    assert consumer.bodies == [b"a", b"b"]
    assert (lane.loaded, queue.ready) == (0, 3)

    limit(model, 2)
    model.turn()
    assert queue.ready == 3
    model.store.answer()
    model.turn()

    assert queue.ready == 2
    assert bodies(model, "q") == [b"d", b"e"]


def test_the_highest_priority_is_dropped_first_as_in_rabbitmq(model: Model) -> None:
    model.queue(arguments={"x-max-priority": 5, "x-max-length": 2})

    model.publish(b"low", priority=1)
    model.publish(b"high", priority=5)
    model.publish(b"low too", priority=1)

    assert bodies(model, "q") == [b"low", b"low too"]


def test_a_quorum_queue_drops_what_would_go_out_first(model: Model) -> None:
    queue = model.queue(arguments={"x-queue-type": "quorum", "x-max-length": 2})
    for octets, priority in ((b"low", 0), (b"high", 9), (b"low too", 0)):
        model.publish(octets, priority=priority)
    model.turn()
    consumer = FakeConsumer()
    model.consume(consumer)
    model.turn()
    assert consumer.bodies == [b"low", b"low too"]

    model.vhost.requeue(consumer.unacked.take(2, 2, False))
    model.vhost.cancel(consumer)
    model.publish(b"urgent", b"urgent too", priority=9)
    model.turn()

    assert queue.ready == 2
    again = FakeConsumer()
    model.consume(again)
    model.turn()
    assert again.bodies == [b"urgent", b"urgent too"]


def test_the_lowest_priority_is_dropped_first_where_it_is_wanted(model: Model) -> None:
    victim = {"x-overflow-victim": "lowest-priority"}
    model.queue(arguments={"x-max-priority": 5, "x-max-length": 2, **victim})

    model.publish(b"low", priority=1)
    model.publish(b"high", priority=5)
    model.publish(b"high too", priority=5)
    assert bodies(model, "q") == [b"high", b"high too"]
    model.publish(b"lowest")

    assert bodies(model, "q") == [b"high", b"high too"]


def test_the_lowest_priority_waits_for_the_disk_if_it_is_there(model: Model) -> None:
    queue = model.queue(
        arguments={"x-max-priority": 1, "x-overflow-victim": "lowest-priority", "x-max-length": 9}
    )
    low = queue.lanes[0]
    low.window = 1
    model.publish(b"a", b"b", priority=0)
    model.commit()
    model.store.is_slow = True
    limit(model, 0)
    model.turn()
    assert (low.loaded, low.ready) == (0, 1)

    model.publish(b"high", priority=1)
    assert queue.ready == 2
    model.store.answer()
    model.turn()

    assert queue.ready == 0


def test_a_policy_that_sets_a_limit_drops_what_is_over_it_at_once(model: Model) -> None:
    queue = model.queue()
    model.publish(b"a", b"b", b"c")

    limit(model, 1)
    model.turn()

    assert bodies(model, "q") == [b"c"]
    assert queue.ready == 1


def limit(model: Model, messages: int, pattern: str = ".*") -> None:
    """Set a policy."""
    value = f'{{"pattern": "{pattern}", "definition": {{"max-length": {messages}}}}}'
    model.broker.change(PutParameter(POLICY, "/", "p", value))


def test_so_many_dead_letters_that_one_turn_is_not_enough_are_made_in_the_next_ones(
    model: Model,
) -> None:
    queue, other = model.queue(arguments=DEAD), model.queue("dead")
    count = 2 * EFFORT // BURIAL_COST
    model.publish_run(*[b"x"] * count)
    model.turn()

    limit(model, 1, "^q$")
    model.broker.dispatch()
    assert queue.ready > 1
    while model.broker.around.awake:
        model.turn()

    assert (queue.ready, other.ready) == (1, count - 1)
