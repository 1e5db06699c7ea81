"""What falls due: calls ordered by time, driven by the clock that comes in as an argument."""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Timers:
    """A heap of (time in ms, call). Nothing is cancelled: a call looks whether it still matters."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Callable[[int], None]]] = []
        self._order = count()

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def next_ms(self) -> int | None:
        """When the next call falls due."""
        return self._heap[0][0] if self._heap else None

    def at(self, when_ms: int, call: Callable[[int], None]) -> None:
        """`call(now_ms)` at the first tick at or after `when_ms`."""
        heapq.heappush(self._heap, (when_ms, next(self._order), call))

    def tick(self, now_ms: int, most: int = 1000) -> None:
        """Make the calls that are due, at most so many in one go."""
        for _ in range(most):
            if not self._heap or self._heap[0][0] > now_ms:
                return
            heapq.heappop(self._heap)[2](now_ms)
