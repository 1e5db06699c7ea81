"""Cycles are collected, and what is there to stay is not looked at again and again."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING

import pytest

from amqpd.server.garbage import CALM_S, MANY_GONE, MANY_MADE, Calm, Garbage

if TYPE_CHECKING:
    from collections.abc import Iterator


class Cycle:
    """Something that refers to itself."""

    def __init__(self) -> None:
        self.own = self


@pytest.fixture(autouse=True)
def by_hand() -> Iterator[None]:
    """Nothing is collected but by these tests, and nothing stays frozen."""
    gc.disable()
    yield
    gc.unfreeze()
    gc.enable()


def gone() -> weakref.ref[Cycle]:
    """A cycle that nobody has any more."""
    return weakref.ref(Cycle())


def test_cycles_are_collected_and_what_survives_is_frozen() -> None:
    lost = gone()

    Garbage().collect(0, 0)

    assert lost() is None
    assert gc.get_freeze_count() > 0


def test_what_was_frozen_is_looked_at_once_much_has_gone() -> None:
    garbage, kept = Garbage(), Cycle()
    garbage.collect(0, 0)
    lost = weakref.ref(kept)
    del kept
    garbage.collect(0, MANY_GONE - 1)
    assert lost() is not None

    garbage.collect(0, MANY_GONE)

    assert lost() is None


def test_what_comes_in_masses_is_frozen_without_a_look() -> None:
    garbage = Garbage()
    lost = gone()

    garbage.collect(MANY_MADE, 0)
    assert lost() is not None

    again = gone()
    garbage.collect(MANY_MADE, 0)
    assert again() is None


def test_in_somebody_elses_process_nothing_is_frozen() -> None:
    gc.unfreeze()
    before = gc.get_freeze_count()
    lost = gone()

    Garbage(freezes=False).collect(MANY_MADE, 0)

    assert lost() is None
    assert gc.get_freeze_count() == before


def test_a_moment_is_quiet_when_neither_clients_nor_long_work_had_the_loop() -> None:
    used_s = 1.0
    calm = Calm(lambda: used_s)
    assert not calm.is_calm(7)  # nothing is known yet

    assert calm.is_calm(7)
    assert not calm.is_calm(8)
    used_s += CALM_S  # a document of definitions is read, and nobody was answered
    assert not calm.is_calm(8)
    used_s += CALM_S / 2
    assert calm.is_calm(8)
