"""The clock that takes the jumps out of the machine's."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from amqpd.clock import SLEW, SteadyClock

if TYPE_CHECKING:
    import pytest


class Machine:
    """A machine whose two clocks are set by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monotonic_s = 100.0
        self.wall_s = 1_700_000_000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.monotonic_s)
        monkeypatch.setattr(time, "time", lambda: self.wall_s)

    def pass_time(self, seconds: float) -> None:
        """Both clocks move on."""
        self.monotonic_s += seconds
        self.wall_s += seconds


def test_it_tells_the_wall_clocks_time(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    clock = SteadyClock()

    machine.pass_time(1.5)

    assert clock.now_ms() == 1_700_000_001_500


def test_a_wall_clock_that_is_set_back_does_not_take_it_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine(monkeypatch)
    clock = SteadyClock()
    before = clock.now_ms()

    machine.wall_s -= 3600
    machine.pass_time(10)

    passed = clock.now_ms() - before
    assert 10_000 * (1 - SLEW) - 1 <= passed < 10_000


def test_a_wall_clock_that_is_set_ahead_is_followed_slowly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine(monkeypatch)
    clock = SteadyClock()
    before = clock.now_ms()

    machine.wall_s += 10 * 365 * 86_400
    machine.pass_time(10)

    passed = clock.now_ms() - before
    assert 10_000 < passed <= 10_000 * (1 + SLEW) + 1


def test_after_a_small_jump_it_arrives_at_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    clock = SteadyClock()

    machine.wall_s += 1
    for _ in range(30):
        machine.pass_time(1)
        clock.now_ms()

    assert abs(clock.now_ms() - machine.wall_s * 1000) <= 1
