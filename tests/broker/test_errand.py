"""Errands: a few steps at once, the others in the next turns."""

from __future__ import annotations

import pytest

from amqpd.broker.errand import AT_ONCE, RESERVE, Errand
from amqpd.broker.surroundings import EFFORT
from tests.broker.model import Model

COST = 10


def test_steps_are_made_at_once_or_in_turns() -> None:
    model, made, done = Model(), list[int](), list[int]()

    errand = Errand(map(made.append, range(2000)), model.broker.around, COST)
    errand.begin()

    assert len(made) == AT_ONCE
    errand.when_done(lambda: done.append(len(made)))
    a_turn = (EFFORT - RESERVE) // COST
    assert model.broker.dispatch()
    assert (len(made), done) == (AT_ONCE + a_turn, [])
    while model.broker.dispatch():
        pass
    assert (made, done) == (list(range(2000)), [2000])
    errand.when_done(lambda: done.append(0))
    assert done == [2000, 0]


def test_few_steps_are_made_at_once() -> None:
    made: list[int] = []

    errand = Errand(map(made.append, range(3)), Model().broker.around, COST)
    errand.begin()

    assert (errand.is_done, made) == (True, [0, 1, 2])


def test_nobody_waits_for_steps_that_fail() -> None:
    model, done = Model(), list[bool]()
    errand = Errand((1 // (AT_ONCE + 5 - n) for n in range(1000)), model.broker.around, COST)
    errand.begin()
    errand.when_done(lambda: done.append(True))

    with pytest.raises(ZeroDivisionError):
        model.broker.dispatch()

    assert done == [True]
    assert not model.broker.dispatch()
