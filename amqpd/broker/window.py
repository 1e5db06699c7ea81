"""Windows: the stretches of a lane that are in memory, in the order of their positions.

What is handed out leaves at the head; what comes back finds its old place; what expires or is
pushed out leaves anywhere. Each costs a binary search at most.

Compiled; plain Python otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mypy_extensions import i64

from amqpd.broker.stretch import Stretch, in_order, merged, place

if TYPE_CHECKING:
    from mypy_extensions import i64


class Window:
    """What of a lane is in memory: `loaded` messages, up to about `window` of them."""

    def __init__(self) -> None:
        self.loaded: i64 = 0
        self.loaded_bytes: i64 = 0
        self.window: i64 = 4096
        self.window_bytes: i64 = 8 << 20
        self._empty: i64 = 0  # stretches behind the first that have nothing left
        self._stretches: list[Stretch] = []
        self._first: i64 = 0

    def stretches(self) -> list[Stretch]:
        """What is ready in memory, in order."""
        return [one for one in self._stretches[self._first :] if one.lo < one.hi]

    def last(self) -> Stretch:
        """The stretch that was pushed last; it is in memory."""
        return self._stretches[-1]

    def head(self) -> Stretch | None:
        """The first stretch in memory."""
        if self._first < len(self._stretches):
            return self._stretches[self._first]
        return None

    def divide(self, stretch: Stretch) -> list[Stretch]:
        """Put parts into the place of a stretch whose messages expire at different times.

        In each part they expire at the same time; none if it is one already.
        """
        deadlines = stretch.run.deadlines
        if deadlines is None:
            return []
        parts: list[Stretch] = []
        low: i64 = stretch.lo
        at: i64 = low
        while at < stretch.hi:
            deadline_ms: i64 = deadlines[at]
            end: i64 = at + 1
            while end < stretch.hi and deadlines[end] == deadline_ms:
                end += 1
            if at == low and end == stretch.hi and deadline_ms == stretch.deadline_ms:
                return []
            parts.append(
                Stretch(
                    stretch.run,
                    stretch.base,
                    at,
                    end,
                    deadline_ms,
                    stretch.redelivered,
                    stretch.acquired,
                    stretch.failed,
                )
            )
            at = end
        place_of = self._find(stretch.base + low)
        while self._stretches[place_of] is not stretch:
            place_of += 1
        self._stretches[place_of : place_of + 1] = parts
        stretch.waits = False
        return parts

    def _find(self, position: i64) -> i64:
        """The index of the first stretch that waits behind a position."""
        stretches = self._stretches
        low: i64 = self._first
        high: i64 = len(stretches)
        while low < high:
            middle: i64 = (low + high) // 2
            other = stretches[middle]
            if other.base + other.lo < position:
                low = middle + 1
            else:
                high = middle
        return low

    def _insert(self, piece: Stretch) -> None:
        low = self._find(piece.base + piece.lo)
        if low == self._first and low > 0:
            self._first -= 1
            self._stretches[self._first] = piece
        else:
            self._stretches.insert(low, piece)

    def _insert_all(self, pieces: list[Stretch]) -> None:
        """Costs as much as waits between them, and moving the pointers behind them."""
        if not in_order(pieces):
            pieces.sort(key=place)
        low = self._find(pieces[0].position)
        high = self._find(pieces[len(pieces) - 1].position)
        if low < high:
            pieces = merged(self._stretches[low:high], pieces)
        self._stretches[low:high] = pieces

    def _drop_first(self) -> None:
        first: i64 = self._first + 1
        stretches = self._stretches
        while self._empty > 0 and first < len(stretches):
            if stretches[first].lo < stretches[first].hi:
                break
            first += 1
            self._empty -= 1
        if first == len(stretches):
            stretches.clear()
            first = 0
        elif first >= 256 and first * 2 >= len(stretches):
            del stretches[:first]
            first = 0
        self._first = first

    def drain(self) -> list[Stretch]:
        """Empty the memory window; the caller settles or drops what it gets."""
        taken = self.stretches()
        for one in taken:
            one.waits = False
        self._stretches = []
        self._first = 0
        self._empty = 0
        self.loaded = 0
        self.loaded_bytes = 0
        return taken

    def _cut_off(self, stretch: Stretch, count: i64) -> Stretch:
        """The first messages of a stretch that is not the first one."""
        low: i64 = stretch.lo
        high: i64 = low + count
        stretch.lo = high
        if high == stretch.hi:
            stretch.waits = False
            self._empty += 1
            if self._empty > 64 and self._empty * 2 > len(self._stretches) - self._first:
                self._stretches = self.stretches()
                self._first = 0
                self._empty = 0
        return Stretch(
            stretch.run,
            stretch.base,
            low,
            high,
            stretch.deadline_ms,
            stretch.redelivered,
            stretch.acquired,
            stretch.failed,
        )

    def cut(self, start: int, position: int) -> Stretch:
        """The stretch that begins at a position; cut off the one that begins at `start`."""
        at: i64 = self._find(start)
        while self._stretches[at].lo == self._stretches[at].hi:
            at += 1  # one that is empty ends where the next begins
        first = self._stretches[at]
        if start == position:
            return first
        index: i64 = position - first.base
        second = Stretch(
            first.run,
            first.base,
            index,
            first.hi,
            first.deadline_ms,
            first.redelivered,
            first.acquired,
            first.failed,
        )
        first.hi = index
        self._insert(second)
        return second
