"""What falls due between two ticks: looked at when it does, not at the next tick.

A message with a short time to live dies on time, and so do its dead letters, however many
queues they go through. What comes later than the next tick is left to the ticks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from amqpd.broker.timers import Timers
    from amqpd.clock import Clock

#: What falls due within so long is done together.
GRAIN_S: Final = 0.005


class Due:
    """Calls `fall` when the next of the timers is due, if that is before the next tick."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        timers: Timers,
        clock: Clock,
        fall: Callable[[], None],
        tick_s: float,
    ) -> None:
        self._loop = loop
        self._timers = timers
        self._clock = clock
        self._fall = fall
        self._tick_s = tick_s
        self._handle: asyncio.TimerHandle | None = None
        self._when_ms = 0

    def look(self) -> None:  # hot: S1b, S2, S7
        """Called at the end of each turn: it may have brought something that is due sooner."""
        when_ms = self._timers.next_ms
        if when_ms is None or (self._handle is not None and when_ms >= self._when_ms):
            return
        delay_s = (when_ms - self._clock.now_ms()) / 1000
        if delay_s > self._tick_s:
            return
        self.stop()
        self._when_ms = when_ms
        self._handle = self._loop.call_later(max(delay_s, GRAIN_S), self._is_due)

    def stop(self) -> None:
        """Nothing falls due any more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _is_due(self) -> None:
        self._handle = None
        self._fall()
