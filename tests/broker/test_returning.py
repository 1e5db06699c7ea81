"""Returning: very much comes back, in slices, and nothing overtakes it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from amqpd.broker import broker, returning
from amqpd.broker.returning import Returning
from tests.broker.model import FakeConsumer, Model

if TYPE_CHECKING:
    from amqpd.broker.delivery import Taken
    from amqpd.broker.queue import Got


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    """Four messages in one range each, two of which come back in a turn."""
    monkeypatch.setattr(returning, "AT_ONCE", 1)
    monkeypatch.setattr(returning, "RANGE_COST", 2_000)
    monkeypatch.setattr(broker, "HURRY", 5_000)
    return Model()


def leave(model: Model, consumer: FakeConsumer, *, each: bool = False) -> None:
    """A consumer goes, and everything it has comes back."""
    model.vhost.cancel(consumer)
    leaving = consumer.unacked.detach(0)
    around = model.broker.around
    model.broker.work_off(Returning(leaving, model.vhost.requeue, around, each=each, holds=True))


def a_holder(model: Model) -> FakeConsumer:
    model.queue()
    holder = FakeConsumer()
    model.consume(holder)
    model.publish(b"a", b"b", b"c", b"d")
    model.broker.dispatch()
    return holder


def test_nothing_is_handed_out_until_everything_is_back(model: Model) -> None:
    leave(model, a_holder(model))
    other = FakeConsumer()
    model.consume(other)
    model.publish(b"e")

    assert model.broker.dispatch()
    assert other.bodies == []
    while model.broker.dispatch():
        pass

    assert other.bodies == [b"a", b"b", b"c", b"d", b"e"]
    assert other.redelivered == [True, True, True, True, False]


def test_a_get_waits_until_everything_is_back(model: Model) -> None:
    leave(model, a_holder(model))
    got: list[Got | None] = []

    model.vhost.get(model.access, "q", model, True, got.append)
    assert not got
    while model.broker.dispatch():
        pass

    assert got[0] is not None
    assert got[0].remaining == 3


def test_whoever_asks_finds_what_one_turn_brings_back(model: Model) -> None:
    leave(model, a_holder(model))

    info = model.vhost.declare_queue(
        model.access,
        "q",
        passive=True,
        durable=True,
        exclusive=False,
        auto_delete=False,
        arguments={},
        owner=model,
    ).value

    assert info.ready == 2


def test_where_each_message_costs_a_range_is_cut(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(returning, "AT_ONCE_EACH", 2)
    queue = model.queue()
    holder = FakeConsumer()
    model.consume(holder)
    model.publish_run(*[b"m"] * 5)
    model.broker.dispatch()

    leave(model, holder, each=True)
    model.broker.dispatch()

    assert queue.ready == 4
    model.broker.dispatch()
    assert queue.ready == 5


def test_a_queue_with_a_delivery_limit_looks_at_each(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(returning, "AT_ONCE_LOOKED_AT", 2)
    queue = model.queue(arguments={"x-delivery-limit": 5})
    holder = FakeConsumer()
    model.consume(holder)
    model.publish_run(*[b"m"] * 5)
    model.broker.dispatch()

    leave(model, holder)
    model.broker.dispatch()

    assert queue.ready == 4


RETRY = {"x-delayed-retry-type": "all", "x-delayed-retry-min": 1}


@pytest.mark.parametrize(
    ("arguments", "each"), [({"x-delivery-limit": 5}, False), (RETRY, False), ({}, True)]
)
def test_a_turn_is_measured_in_messages_where_each_costs(
    model: Model, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, object], each: bool
) -> None:
    monkeypatch.setattr(returning, "AT_ONCE_EACH", 2)
    monkeypatch.setattr(returning, "AT_ONCE_LOOKED_AT", 2)
    monkeypatch.setattr(returning, "LOOK_COST", 2_000.0)
    monkeypatch.setattr(returning, "WAIT_COST", 2_000)
    monkeypatch.setattr(returning, "DISCARD_COST", 2_000)
    queue = model.queue(arguments=arguments)
    holder = FakeConsumer()
    model.consume(holder)
    model.publish_run(*[b"m"] * 9)
    model.broker.dispatch()

    leave(model, holder, each=each)
    model.broker.dispatch()

    assert queue.ready + queue.delayed == 2


def test_several_returns_take_turns_and_hold_the_queue_until_the_last_is_done(
    model: Model,
) -> None:
    queue = model.queue()
    holders = [FakeConsumer(credit=2), FakeConsumer(credit=2)]
    for holder in holders:
        model.consume(holder)
    model.publish(b"a", b"b", b"c", b"d")
    model.broker.dispatch()
    other = FakeConsumer()

    for holder in holders:
        leave(model, holder)
    model.consume(other)
    assert queue.returning == 2
    while model.broker.dispatch():
        pass

    assert other.bodies == [b"a", b"b", b"c", b"d"]


def test_a_return_that_fails_holds_nobody_up(model: Model) -> None:
    holder = a_holder(model)
    model.vhost.cancel(holder)

    def settle(taken: list[Taken]) -> None:
        raise RuntimeError

    around = model.broker.around
    leaving = holder.unacked.detach(0)
    model.broker.work_off(Returning(leaving, settle, around, each=False, holds=True))
    with pytest.raises(RuntimeError):
        model.broker.dispatch()

    assert model.vhost.queues["q"].returning == 0
    assert not model.broker.dispatch()


def test_a_queue_that_is_deleted_meanwhile_gets_nothing_back(model: Model) -> None:
    leave(model, a_holder(model))
    model.broker.dispatch()

    model.vhost.delete_queue(model.access, "q", if_unused=False, if_empty=False, owner=model)
    while model.broker.dispatch():
        pass

    assert "q" not in model.vhost.queues


def test_poison_that_is_dead_lettered_is_spread_over_turns(model: Model) -> None:
    model.queue("dead")
    queue = model.queue(
        arguments={
            "x-delivery-limit": 0,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": "dead",
        }
    )
    holder = FakeConsumer()
    model.consume(holder)
    model.publish_run(*[b"m"] * 1000)
    model.broker.dispatch()
    model.vhost.cancel(holder)
    around = model.broker.around
    requeue = partial(model.vhost.requeue, failed=True)
    model.broker.work_off(
        Returning(holder.unacked.detach(0), requeue, around, each=False, holds=True)
    )

    model.broker.dispatch()
    assert model.vhost.queues["dead"].ready <= returning.AT_ONCE_EACH
    while model.broker.dispatch():
        pass

    assert (queue.messages, model.vhost.queues["dead"].ready) == (0, 1000)
