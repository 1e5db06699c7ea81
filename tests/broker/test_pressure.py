"""Pressure: publishers of crowded and of full queues wait, and go on."""

from __future__ import annotations

from functools import partial

import pytest

from amqpd.broker.definitions import DeleteParameter, PutParameter
from amqpd.broker.parameters import POLICY
from amqpd.broker.pressure import CROWD_MESSAGES, HOLD_MS, STUCK_MS
from tests.broker.model import FakeConsumer, Model

BLOCK = {"x-overflow": "block"}


@pytest.fixture
def model() -> Model:
    return Model()


# -- crowded -----------------------------------------------------------------------------


def test_a_queue_that_is_too_long_for_its_consumers_is_told(model: Model) -> None:
    queue = model.queue(durable=False)
    consumer = FakeConsumer(credit=0)
    consumer.is_slow = True
    model.consume(consumer)

    crowded = model.publish_run(*[b"x"] * CROWD_MESSAGES, mode=1).crowded

    assert crowded is queue


def a_crowd(model: Model) -> tuple[FakeConsumer, list[str]]:
    """A queue that is longer than its slow consumer can take, with a publisher held for it."""
    queue = model.queue(durable=False)
    consumer = FakeConsumer(credit=0)
    consumer.is_slow = True
    model.consume(consumer)
    published = model.publish_run(*[b"x"] * CROWD_MESSAGES, mode=1)
    assert published.crowded is queue
    told: list[str] = []
    queue.pressure.hold(lambda: told.append("go on"))
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


def test_publishers_wait_on_while_the_consumers_move(model: Model) -> None:
    consumer, told = a_crowd(model)
    assert consumer.queue is not None
    for _ in range(3):
        consumer.prefetch += 1
        consumer.queue.wake()
        model.turn()
        model.turn(HOLD_MS)
        assert told == []

    model.turn(HOLD_MS)

    assert told == ["go on"]


def test_publishers_that_wait_again_wait_as_long_as_the_first_time(model: Model) -> None:
    consumer, told = a_crowd(model)
    queue = model.vhost.queues["q"]
    consumer.prefetch = CROWD_MESSAGES
    assert consumer.queue is not None
    consumer.queue.wake()
    model.turn(10)
    assert told == ["go on"]
    consumer.prefetch = 0
    model.publish_run(*[b"x"] * CROWD_MESSAGES, mode=1)
    queue.pressure.hold(lambda: told.append("and again"))

    model.turn(HOLD_MS - 5)
    assert told == ["go on"]
    model.turn(10)

    assert told == ["go on", "and again"]


def test_purging_a_queue_lets_publishers_go_on(model: Model) -> None:
    _, told = a_crowd(model)

    model.vhost.purge_queue(model.access, "q", model)
    model.turn()

    assert told == ["go on"]


def test_a_look_at_publishers_that_went_on_changes_nothing(model: Model) -> None:
    _, told = a_crowd(model)
    model.vhost.purge_queue(model.access, "q", model)
    model.turn()

    model.turn(HOLD_MS)

    assert told == ["go on"]
    assert model.publish_run(*[b"x"] * CROWD_MESSAGES, mode=1).crowded is not None


# -- full --------------------------------------------------------------------------------


def test_a_full_queue_takes_what_comes_and_its_publishers_wait(model: Model) -> None:
    queue = model.queue(arguments={"x-max-length": 2, **BLOCK})

    first, second, third = (model.publish(each) for each in (b"a", b"b", b"c"))

    assert (first.full, first.tickets) == ((), ())
    assert (second.full, second.tickets) == ((queue,), ())  # it fits, but no other does
    assert third.full == (queue,)
    assert [ticket.is_open for ticket in third.tickets] == [False]
    assert not third.refused
    assert queue.ready == 3


def test_bytes_fill_a_queue_too(model: Model) -> None:
    queue = model.queue(arguments={"x-max-length-bytes": 4, **BLOCK})

    assert model.publish(b"123").full == ()
    assert model.publish(b"4").tickets == ()
    assert model.publish(b"5").full == (queue,)


@pytest.mark.parametrize(("body", "full"), [(b"12", False), (b"123", True)])
def test_a_queue_is_full_at_its_limit_of_bytes_and_not_only_above(
    model: Model, body: bytes, full: bool
) -> None:
    queue = model.queue(arguments={"x-max-length-bytes": 3, "x-overflow": "block"})

    assert model.publish(body).full == (queue,) * full


def test_a_queue_whose_consumer_takes_all_is_never_full(model: Model) -> None:
    model.queue(arguments={"x-max-length": 0, **BLOCK})
    model.consume(FakeConsumer())

    assert model.publish(b"a").full == ()


class Full:
    """A queue of ten with three publishers that wait for room."""

    def __init__(self, model: Model, **arguments: object) -> None:
        self.model = model
        self.queue = model.queue(
            arguments={"x-max-length": 10, **BLOCK, **arguments}, durable=False
        )
        published = [model.publish(b"x", mode=1) for _ in range(12)]
        assert published[-1].full == (self.queue,)
        (self.ticket,) = published[-1].tickets
        assert published[-2].tickets == (self.ticket,)
        self.told: list[str] = []
        self.ticket.when_open(self.open)
        self.ticket.when_open(self.open)
        for name in ("a", "b", "c"):
            self.queue.pressure.wait_for_room(name, partial(self.told.append, name))

    def open(self) -> None:
        self.told.append("open")

    def consume(self, messages: int) -> None:
        """A consumer takes some."""
        consumer = FakeConsumer(credit=messages)
        self.model.consume(consumer)
        self.model.broker.dispatch()

    def turns(self, count: int) -> None:
        """Let some turns pass."""
        for _ in range(count):
            self.model.turn()


def test_publishers_go_on_one_by_one_below_four_fifths(model: Model) -> None:
    full = Full(model)
    full.consume(3)
    full.turns(5)
    assert full.told == []  # nine are left: there is room, but not much

    full.consume(1)
    assert full.told == ["open", "a"]

    full.turns(1)
    assert full.told == ["open", "a", "b"]
    full.turns(5)
    assert full.told == ["open", "a", "b", "c"]
    assert not full.queue.pressure.is_felt


def test_publishers_that_are_gone_need_no_turn(model: Model) -> None:
    full = Full(model)
    for name in ("a", "b", "c"):
        full.queue.pressure.leave(name)

    full.consume(4)

    assert full.told == ["open"]
    assert not full.queue.pressure.is_felt


def test_who_begins_to_wait_while_others_do_does_not_make_them_wait_longer(model: Model) -> None:
    consumer, held = a_crowd(model)
    queue = model.vhost.queues["q"]
    model.turn(HOLD_MS - 1)
    queue.pressure.hold(lambda: held.append("second"))
    assert held == []

    model.turn(1)

    assert held[-1] == "second"
    assert consumer.bodies == []


def test_publishers_wait_again_when_the_first_one_has_filled_it_up(model: Model) -> None:
    full = Full(model)
    full.consume(4)
    for _ in range(3):
        model.publish(b"x", mode=1)
    full.turns(5)

    assert full.told == ["open", "a"]


def test_where_publishers_go_on_can_be_set(model: Model) -> None:
    full = Full(model, **{"x-flow-resume": 10})
    full.consume(10)
    full.turns(5)
    assert full.told == []

    full.consume(1)

    assert full.told == ["open", "a"]


def test_what_get_takes_makes_room(model: Model) -> None:
    full = Full(model)
    for _ in range(4):
        model.vhost.get(model.access, "q", model, True, lambda _: None)

    full.turns(1)

    assert full.told == ["open", "a"]


def test_purging_a_full_queue_makes_room(model: Model) -> None:
    full = Full(model)

    model.vhost.purge_queue(model.access, "q", model)
    full.turns(3)

    assert full.told == ["open", "a", "b", "c"]


def test_messages_that_expire_make_room(model: Model) -> None:
    full = Full(model, **{"x-message-ttl": 100})

    model.turn(101)

    assert full.told == ["open", "a"]


def test_nobody_waits_for_a_queue_that_is_gone(model: Model) -> None:
    full = Full(model)

    model.vhost.delete_queue(model.access, "q", if_unused=False, if_empty=False, owner=model)

    assert full.told == ["open", "a", "b", "c"]


def test_nobody_waits_for_a_queue_that_drops_by_now(model: Model) -> None:
    model.queue()
    policy("block", model)
    full = Full.__new__(Full)
    full.model, full.queue, full.told = model, model.vhost.queues["q"], []
    published = [model.publish(b"x", mode=1) for _ in range(12)][-1]
    full.queue.pressure.wait_for_room("a", lambda: full.told.append("a"))
    published.tickets[0].when_open(full.open)

    policy("drop-head", model)
    full.turns(1)

    assert full.told == ["open", "a"]
    assert full.queue.ready == 10


def test_nobody_waits_for_a_queue_that_has_no_limit_any_more(model: Model) -> None:
    queue = model.queue()
    policy("block", model)
    assert [model.publish(b"x", mode=1) for _ in range(12)][-1].full == (queue,)
    told: list[str] = []
    queue.pressure.wait_for_room("a", lambda: told.append("a"))

    model.broker.change(DeleteParameter(POLICY, "/", "p"))
    model.turn()

    assert told == ["a"]
    assert model.publish(b"x").full == ()


def test_who_leaves_is_not_told(model: Model) -> None:
    full = Full(model)
    full.ticket.forget(full.open)
    full.queue.pressure.leave("b")

    model.vhost.purge_queue(model.access, "q", model)
    full.turns(3)

    assert full.told == ["a", "c"]


def policy(overflow: str, model: Model) -> None:
    """All queues hold ten messages."""
    definition = f'{{"max-length": 10, "overflow": "{overflow}"}}'
    value = f'{{"pattern": ".*", "definition": {definition}}}'
    model.broker.change(PutParameter(POLICY, "/", "p", value))
