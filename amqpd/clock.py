"""Time: the interface the rooms are given, and the real clock.

There is one time in the broker: milliseconds since the epoch that never go backwards and
never jump. Deadlines that are stored survive a restart in it, heartbeats and timeouts are
not disturbed by somebody setting the machine's clock.
"""

from __future__ import annotations

import time
from typing import Final, Protocol

#: How much faster or slower than real time the clock runs to catch up with the machine's.
SLEW: Final = 0.05


class Clock(Protocol):
    """Tells the time."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch; never smaller than before."""
        ...


class SteadyClock:
    """The machine's wall clock with the jumps taken out.

    It starts at the wall clock's time and runs at the speed of the monotonic clock. When
    the wall clock is set, it drifts towards the new time by at most 5 % of what passes, so
    an hour's jump expires nothing early and stops no heartbeat.
    """

    def __init__(self) -> None:
        self._last_s = time.monotonic()
        self._now_s = time.time()

    def now_ms(self) -> int:
        """Milliseconds since the epoch; never smaller than before."""
        monotonic_s = time.monotonic()
        passed_s = monotonic_s - self._last_s
        self._last_s = monotonic_s
        self._now_s += passed_s
        room_s = passed_s * SLEW
        self._now_s += min(room_s, max(-room_s, time.time() - self._now_s))
        return int(self._now_s * 1000)
