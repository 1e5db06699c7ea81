"""What falls due between two ticks."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from amqpd.broker.timers import Timers
from amqpd.server.due import GRAIN_S, Due

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

TICK_S = 0.1


class Handle:
    """A call that an event loop was asked to make later."""

    def __init__(self, delay_s: float, call: Callable[[], None]) -> None:
        self.delay_s = delay_s
        self.call = call
        self.is_cancelled = False

    def cancel(self) -> None:
        """It is not made."""
        self.is_cancelled = True


class Bench:
    """A loop and a clock that go nowhere by themselves."""

    def __init__(self) -> None:
        self.time_ms = 1000
        self.asked: list[Handle] = []
        self.fell: list[int] = []
        self.timers = Timers()
        loop = cast("asyncio.AbstractEventLoop", self)
        self.due = Due(loop, self.timers, self, self._fall, TICK_S)

    def _fall(self) -> None:
        self.fell.append(self.time_ms)

    def now_ms(self) -> int:
        """The clock."""
        return self.time_ms

    def call_later(self, delay_s: float, call: Callable[[], None]) -> Handle:
        """The loop."""
        self.asked.append(Handle(delay_s, call))
        return self.asked[-1]

    def put(self, when_ms: int) -> None:
        """Something will be due, and a turn ends."""
        self.timers.at(when_ms, lambda _: None)
        self.due.look()

    @property
    def delays(self) -> list[float]:
        """What was asked for and not called off."""
        return [one.delay_s for one in self.asked if not one.is_cancelled]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_what_is_due_before_the_next_tick_is_called_in_time(bench: Bench) -> None:
    bench.put(1050)
    bench.due.look()
    assert bench.delays == [0.05]

    bench.time_ms = 1051
    bench.asked[0].call()

    assert bench.fell == [1051]


def test_the_earliest_counts(bench: Bench) -> None:
    bench.put(1050)
    bench.put(1080)
    bench.put(1020)

    assert bench.delays == [0.02]


def test_what_is_later_is_left_to_the_ticks(bench: Bench) -> None:
    bench.due.look()
    bench.put(1101)

    assert bench.delays == []


def test_what_is_due_already_is_not_done_at_once(bench: Bench) -> None:
    bench.put(900)

    assert bench.delays == [GRAIN_S]


def test_the_next_one_is_waited_for_when_one_has_come(bench: Bench) -> None:
    bench.put(1050)
    bench.asked[0].call()
    bench.timers.tick(1050)

    bench.put(1060)

    assert [one.delay_s for one in bench.asked] == [0.05, 0.06]


def test_nothing_falls_due_after_a_stop(bench: Bench) -> None:
    bench.due.stop()
    bench.put(1050)

    bench.due.stop()

    assert bench.delays == []
