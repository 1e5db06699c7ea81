"""Why a queue is not moving."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from amqpd.broker.broker import Alarms
from amqpd.management.diagnosis import reason, why
from tests.broker.model import FakeConsumer, Model
from tests.management.served import short_of_disk

if TYPE_CHECKING:
    from pathlib import Path

    from amqpd.broker.session import ConsumerFacts


class Busy(FakeConsumer):
    """A consumer that tells how much it holds."""

    def facts(self) -> ConsumerFacts:
        """With its prefetch, and what is unacked."""
        return replace(super().facts(), prefetch=self.prefetch, unacked=len(self.unacked))


class Holding(Busy):
    """It has had its oldest message since the first second."""

    def facts(self) -> ConsumerFacts:
        """Since when."""
        return replace(super().facts(), oldest_unacked_ms=1000)


@pytest.fixture
def model() -> Model:
    return Model()


def test_an_empty_queue_has_nothing_to_say(model: Model) -> None:
    assert reason(model.queue()) == ""


def test_without_consumers_it_says_so(model: Model) -> None:
    queue = model.queue()
    model.publish(b"a")

    assert "Nobody consumes: `amqpd consume q`" in reason(queue)


def test_consumers_that_do_not_acknowledge_are_named_with_what_they_hold(model: Model) -> None:
    queue = model.queue()
    model.consume(Busy(credit=2))
    model.publish(b"a", b"b", b"c")
    model.turn()

    assert reason(queue).startswith("The only consumer does not acknowledge: it holds 2 messages")
    model.consume(Busy(credit=3))
    model.publish(b"d", b"e", b"f")
    model.turn()
    assert reason(queue).startswith("All 2 consumers do not acknowledge")


def test_consumers_that_do_not_read_are_named(model: Model) -> None:
    queue = model.queue()
    slow = Busy(credit=0)
    slow.is_slow = True
    model.consume(slow)
    model.publish(b"a")
    model.turn()

    assert "The only consumer does not read what was sent" in reason(queue)


def test_what_is_with_consumers_is_said_when_nothing_else_waits(model: Model) -> None:
    queue = model.queue()
    model.consume(Busy())
    model.publish(b"a")
    model.turn()

    assert reason(queue) == "Its only message is with a consumer that has not acknowledged it."


def test_what_waits_for_its_next_attempt_is_said_to(model: Model) -> None:
    retry = {"x-delayed-retry-type": "all", "x-delayed-retry-min": 60_000}
    queue = model.queue(arguments=retry)
    consumer = Busy()
    model.consume(consumer)
    model.publish(b"a")
    model.turn()
    model.vhost.requeue(consumer.take(), failed=True)
    model.turn()

    assert reason(queue).startswith("Its only message waits for the next attempt")


@pytest.mark.parametrize(
    ("overflow", "end"),
    [
        ("reject-publish", "what is published is refused"),
        ("block", "publishers wait"),
        ("drop-head", None),
    ],
)
def test_a_full_queue_says_what_publishers_see(
    model: Model, overflow: str, end: str | None
) -> None:
    queue = model.queue(arguments={"x-max-length": 2, "x-overflow": overflow})
    model.publish(b"a", b"bc")
    model.turn()

    told = reason(queue)

    assert ("Full with 2 messages of 3 bytes" in told) is (end is not None)
    assert (end or "Nobody consumes") in told
    assert "Nobody consumes" in told


def test_a_queue_that_moves_has_nothing_to_say(model: Model) -> None:
    queue = model.queue()
    model.publish(b"a")
    model.consume(Busy())

    assert reason(queue) == ""


def test_a_command_that_is_named_can_be_copied_as_it_is(model: Model) -> None:
    queue = model.queue("it's; rm -rf *")
    model.publish(b"a", key="it's; rm -rf *")

    assert shlex.split(reason(queue).split("`")[1]) == ["amqpd", "consume", "it's; rm -rf *"]


def test_an_alarm_is_a_reason_why_nothing_comes_in_and_none_why_what_is_there_waits(
    model: Model,
) -> None:
    queue = model.queue()
    model.publish(b"a")

    assert why(queue, Alarms(), 0) == reason(queue)
    told = why(queue, Alarms(memory=True, disk=True), 0)
    assert told.startswith("Nothing new comes in: the broker is low on memory and on disk, and")
    assert told.endswith(reason(queue))


def test_what_consumers_have_had_for_a_moment_only_is_on_its_way(model: Model) -> None:
    queue = model.queue()
    consumer = Holding()
    model.consume(consumer)
    model.publish(b"a")
    model.turn()

    assert reason(queue) == "Its only message is with a consumer that has not acknowledged it."
    assert why(queue, Alarms(), 5_999) == ""
    assert why(queue, Alarms(), 6_000) == reason(queue)


async def test_a_queue_tells_of_the_alarm_over_http_and_counts_as_stuck_for_it_no_more(
    tmp_path: Path,
) -> None:
    async with short_of_disk(tmp_path) as api:
        await api.put("/queues/%2F/q")
        stream = {"arguments": {"x-queue-type": "stream"}, "durable": True}
        await api.put("/queues/%2F/s", stream)

        for name in ("q", "s"):
            said = (await api.get(f"/queues/%2F/{name}"))["why_waiting"]
            assert said.startswith("Nothing new comes in: the broker is low on disk, and takes no")
        assert await api.get("/queues", only="stuck") == []
