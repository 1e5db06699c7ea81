"""Queues that are paused."""

from __future__ import annotations

import pytest

from amqpd.broker.definitions import PutParameter
from amqpd.broker.document import entries
from amqpd.broker.pause import PAUSED, Pause, pausing, resuming
from amqpd.broker.restoring import Restoring
from tests.broker.model import FakeConsumer, Model

BY_SOMEBODY = Pause("somebody", 1_000_000)


@pytest.fixture
def model() -> Model:
    return Model()


def test_consumers_of_a_paused_queue_get_nothing_until_it_is_resumed(model: Model) -> None:
    queue = model.queue()
    consumer = FakeConsumer()
    model.consume(consumer)
    model.broker.change(pausing("/", "q", BY_SOMEBODY))

    model.publish(b"a", b"b")
    model.turn()

    assert (consumer.bodies, queue.ready) == ([], 2)
    model.broker.change(resuming(queue))
    model.turn()
    assert consumer.bodies == [b"a", b"b"]


def test_a_paused_queue_gives_to_basic_get(model: Model) -> None:
    model.queue()
    model.broker.change(pausing("/", "q", BY_SOMEBODY))
    model.publish(b"a")

    got: list[int] = []
    model.vhost.get(model.access, "q", model, True, lambda one: got.append(one is not None))

    assert got == [True]


def test_what_is_unacked_when_it_is_paused_may_be_settled(model: Model) -> None:
    queue = model.queue()
    consumer = FakeConsumer()
    model.consume(consumer)
    model.publish(b"a", b"b")
    model.turn()
    model.broker.change(pausing("/", "q", BY_SOMEBODY))

    model.vhost.settle(consumer.take(1))
    model.turn()

    assert queue.unacked == 1


def test_the_pause_is_written_down_and_goes_with_its_queue(model: Model) -> None:
    model.queue()
    model.broker.change(pausing("/", "q", BY_SOMEBODY))
    assert model.broker.parameters.get(PAUSED, "/", "q") is not None

    model.vhost.delete_queue(model.access, "q", if_unused=False, if_empty=False, owner=None)

    assert model.broker.parameters.get(PAUSED, "/", "q") is None
    assert model.queue().paused is None


def test_the_pause_of_a_transient_queue_is_not_written_down_when_it_goes(model: Model) -> None:
    model.queue(durable=False)
    model.commit()
    model.broker.apply(pausing("/", "q", BY_SOMEBODY))

    model.vhost.delete_queue(model.access, "q", if_unused=False, if_empty=False, owner=None)

    assert model.broker.journal.is_empty
    assert model.broker.parameters.get(PAUSED, "/", "q") is None


def test_a_queue_that_comes_after_its_pause_begins_paused(model: Model) -> None:
    model.broker.change(pausing("/", "q", BY_SOMEBODY))

    assert model.queue().paused == BY_SOMEBODY


def test_a_pause_that_says_nothing_is_one_all_the_same(model: Model) -> None:
    queue = model.queue()

    model.broker.change(PutParameter(PAUSED, "/", "q", '{"user": 7, "since_ms": -1}'))

    assert queue.paused == Pause()


def test_definitions_take_the_pause_along(model: Model) -> None:
    model.queue()
    model.broker.change(pausing("/", "q", BY_SOMEBODY))
    exported = list(entries(model.broker, "queues"))
    other = Model()

    restoring = Restoring(other.broker, {"queues": exported})
    for _ in restoring.steps():
        pass
    restoring.carry_out()

    assert exported[0]["paused"] == {"user": "somebody", "since_ms": 1_000_000}
    assert other.vhost.queues["q"].paused == BY_SOMEBODY
    assert list(entries(model.broker, "parameters")) == []


def test_a_paused_queue_holds_no_publisher_for_its_consumers(model: Model) -> None:
    queue = model.queue()
    slow = FakeConsumer(credit=0)
    slow.is_slow = True
    model.consume(slow)
    model.broker.change(pausing("/", "q", BY_SOMEBODY))

    model.publish_run(*([b"x"] * 3000))

    assert not queue.pressure.is_crowded
