"""What goes with a queue or an exchange: nothing is found any more, and no turn takes long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpd.broker import removal
from amqpd.broker.binding import Destination
from amqpd.broker.definitions import DeleteExchange, DeleteQueue, PutBinding, PutExchange, PutQueue
from amqpd.broker.document import entries
from amqpd.broker.removal import AT_ONCE, Leaving
from amqpd.broker.surroundings import EFFORT
from tests.broker.model import FakeConsumer, Model

if TYPE_CHECKING:
    from collections.abc import Callable

    from amqpd.broker.catalogue import Answer

MANY = 3000
#: What a turn does at most, in bindings or queues.
BINDINGS_A_TURN = EFFORT // removal.BINDING_COST
QUEUES_A_TURN = EFFORT // removal.THING_COST


@pytest.fixture
def model() -> Model:
    """With a queue and an exchange, and many bindings between them."""
    model = Model()
    model.queue("q")
    exchange(model, "x")
    for number in range(MANY):
        model.vhost.apply(PutBinding("/", "x", "q", "queue", f"k.{number}"))
    return model


def exchange(model: Model, name: str, *, auto_delete: bool = False) -> None:
    model.vhost.apply(PutExchange("/", name, "topic", True, auto_delete, False))


def delete_queue(model: Model, name: str = "q") -> Answer[int]:
    return model.vhost.delete_queue(
        model.access, name, if_unused=False, if_empty=False, owner=model
    )


def declare_queue(model: Model, name: str = "q") -> None:
    model.vhost.declare_queue(
        model.access,
        name,
        passive=False,
        durable=True,
        exclusive=False,
        auto_delete=False,
        arguments={},
        owner=model,
    )


def declare_exchange(model: Model, name: str = "x") -> None:
    model.vhost.declare_exchange(
        model.access,
        name,
        "topic",
        passive=False,
        durable=True,
        auto_delete=False,
        internal=False,
        arguments={},
    )


def left(model: Model) -> int:
    return len(model.vhost.exchanges["x"].bindings)


def steps_of_turns(model: Model, count: Callable[[], int]) -> list[int]:
    """How much less there is after each turn, until there is nothing more to do."""
    steps, before, more = [], count(), True
    while more:
        more = model.broker.dispatch()
        steps.append(before - count())
        before = count()
    return steps


def test_many_bindings_go_in_turns_and_the_answer_comes_with_the_last(model: Model) -> None:
    answered: list[int] = []

    answer = delete_queue(model)

    assert "q" not in model.vhost.queues
    assert MANY - AT_ONCE <= left(model) < MANY
    assert answer.removal is not None
    answer.removal.when_done(lambda: answered.append(left(model)))
    assert answered == []
    steps = steps_of_turns(model, lambda: left(model))
    assert max(steps) <= BINDINGS_A_TURN
    assert answered == [0]
    assert answer.removal.number == model.broker.journal.last
    batch = model.broker.journal.take()
    assert batch is not None
    assert batch.defines[-1] == DeleteQueue("/", "q")


def test_few_bindings_go_at_once(model: Model) -> None:
    model.queue("few")
    model.vhost.apply(PutBinding("/", "x", "few", "queue", "k"))

    answer = delete_queue(model, "few")

    assert answer.removal is None
    assert left(model) == MANY


def test_what_is_still_being_cleared_away_is_not_shown(model: Model) -> None:
    delete_queue(model)

    assert left(model) > 0
    assert list(model.vhost.bindings()) == []
    assert model.vhost.bindings_from(model.vhost.exchanges["x"]) == []
    assert list(entries(model.broker, "bindings", None)) == []
    model.vhost.delete_exchange(model.access, "x", if_unused=True)


def test_a_name_is_free_when_the_last_binding_has_gone(model: Model) -> None:
    delete_queue(model)

    with pytest.raises(Leaving) as leaving:
        declare_queue(model)
    free: list[bool] = []
    leaving.value.find_out(lambda: free.append(True))
    assert not free
    while model.broker.dispatch():
        pass

    assert free == [True]
    declare_queue(model)
    assert list(model.vhost.bindings()) == []


def test_nobody_unbinds_what_is_going_anyway(model: Model) -> None:
    delete_queue(model)
    key = f"k.{MANY - 1}"

    answer = model.vhost.unbind(model.access, "x", "q", "queue", key, {}, model)

    assert (answer.number, answer.removal) == (0, None)


def test_an_exchange_goes_at_once_and_its_bindings_in_turns(model: Model) -> None:
    answer = model.vhost.delete_exchange(model.access, "x", if_unused=False)

    assert "x" not in model.vhost.exchanges
    assert answer.removal is not None
    assert list(model.vhost.bindings()) == []
    with pytest.raises(Leaving):
        declare_exchange(model)
    steps = steps_of_turns(model, lambda: len(model.vhost.incoming))
    assert max(steps) <= BINDINGS_A_TURN
    assert len(model.vhost.incoming) == 0
    batch = model.broker.journal.take()
    assert batch is not None
    assert batch.defines[-1] == DeleteExchange("/", "x")
    declare_exchange(model)


def test_both_ends_of_the_same_bindings_may_go(model: Model) -> None:
    delete_queue(model)
    model.vhost.delete_exchange(model.access, "x", if_unused=False)
    while model.broker.dispatch():
        pass

    declare_queue(model)
    declare_exchange(model)
    assert (left(model), len(model.vhost.incoming), model.vhost.leaving) == (0, 0, {})


def test_a_vhost_may_go_meanwhile(model: Model) -> None:
    answer = delete_queue(model)
    done: list[bool] = []
    assert answer.removal is not None
    answer.removal.when_done(lambda: done.append(True))

    model.vhost.close()
    while model.broker.dispatch():
        pass

    assert done == [True]


def test_a_document_brings_a_queue_back_whose_bindings_are_still_going(model: Model) -> None:
    delete_queue(model)

    model.vhost.restore(PutQueue("/", "q", True, False, False, {}, ()))

    assert "q" in model.vhost.queues
    assert (left(model), model.vhost.leaving) == (0, {})


def test_a_document_brings_an_exchange_back_whose_bindings_are_still_going(model: Model) -> None:
    model.vhost.delete_exchange(model.access, "x", if_unused=False)

    model.vhost.restore(PutExchange("/", "x", "topic", True, False, False))

    assert model.vhost.exchanges["x"].bindings == {}
    assert model.vhost.incoming.of(Destination("queue", "q")) == []


def test_a_removal_that_fails_keeps_nobody_waiting_and_no_name(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = delete_queue(model)
    done: list[bool] = []
    assert answer.removal is not None
    answer.removal.when_done(lambda: done.append(True))

    def fail(binding: object) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(model.vhost.exchanges["x"], "unbind", fail)
    with pytest.raises(ZeroDivisionError):
        model.broker.dispatch()

    assert done == [True]
    assert model.vhost.leaving == {}


def test_a_long_chain_of_auto_delete_exchanges_goes_in_turns() -> None:
    model = Model()
    model.queue("end")
    for number in range(MANY):
        exchange(model, f"x{number}", auto_delete=True)
        target = ("queue", "end") if not number else ("exchange", f"x{number - 1}")
        model.vhost.apply(PutBinding("/", f"x{number}", target[1], target[0], "#"))  # type: ignore[arg-type]  # one of both
    standing = len(model.vhost.exchanges) - MANY

    answer = delete_queue(model, "end")

    assert answer.removal is not None
    steps = steps_of_turns(model, lambda: len(model.vhost.exchanges))
    assert max(steps) <= QUEUES_A_TURN
    assert len(model.vhost.exchanges) == standing


def test_the_exclusive_queues_of_a_connection_go_in_turns() -> None:
    model, owner = Model(), object()
    for number in range(MANY):
        model.vhost.apply(PutQueue("/", f"q{number}", False, True, False, {}, (0,)), owner)

    removal_of_all = model.vhost.release(owner)

    assert not removal_of_all.is_done
    assert MANY - AT_ONCE <= len(model.vhost.queues) < MANY
    assert max(steps_of_turns(model, lambda: len(model.vhost.queues))) <= QUEUES_A_TURN
    assert (removal_of_all.is_done, len(model.vhost.queues)) == (True, 0)


def test_queues_that_nobody_uses_any_more_go_in_turns() -> None:
    model = Model()
    consumers = []
    for number in range(1000):
        model.vhost.apply(PutQueue("/", f"q{number}", False, False, True, {}, (0,)))
        consumers.append(FakeConsumer())
        model.vhost.consume(model.access, f"q{number}", consumers[-1], exclusive=False, owner=model)
    model.broker.dispatch()

    for consumer in consumers:
        model.vhost.cancel(consumer)

    assert len(model.vhost.queues) >= 1000 - QUEUES_A_TURN
    # Somebody comes before its turn.
    kept = FakeConsumer()
    model.vhost.consume(model.access, "q999", kept, exclusive=False, owner=model)
    steps = steps_of_turns(model, lambda: len(model.vhost.queues))
    assert max(steps) <= QUEUES_A_TURN
    assert list(model.vhost.queues) == ["q999"]
