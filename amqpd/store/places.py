"""Places in streams: found by bisection, because what a chunk says of itself only grows.

Place       a chunk without its contents
Places      of one stream, over a function that finds the chunk at or before an offset
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from amqpd.broker.archive import Cut

if TYPE_CHECKING:
    from collections.abc import Callable


class Place(NamedTuple):
    """A chunk: where it begins, what it holds, when its newest message came."""

    base: int
    messages: int
    segment: int
    size_before: int
    stored_ms: int


class Places:
    """The chunks of a stream from offset `first` to below `upto`.

    `probe(low, high)` finds the last chunk that begins between the two, both included.
    """

    def __init__(self, probe: Callable[[int, int], Place | None], first: int, upto: int) -> None:
        self._probe = probe
        self._first = first
        self._upto = upto

    def last(self) -> Place | None:
        """The last chunk."""
        return self._probe(self._first, self._upto - 1)

    def since(self, stored_ms: int) -> Place | None:
        """The first chunk in which something came at that time or later."""
        return self._search(lambda place: place.stored_ms >= stored_ms)

    def cut(self, size: int, stored_ms: int) -> Cut:
        """See `Archive.find_cut`."""
        last = self.last()
        if last is None:
            return Cut(self._first, 0, 0)
        large = self._search(lambda place: place.size_before >= size)
        if large is not None and large.base != large.segment:
            large = self._behind(large.segment)
        new = self.since(stored_ms)
        segment = max((last if one is None else one).segment for one in (large, new))
        kept = self._probe(self._first, segment) or last
        behind = self._behind(segment)
        newest = None if behind is None else self._probe(self._first, behind.base - 1)
        return Cut(segment, kept.size_before, 0 if newest is None else newest.stored_ms)

    def _behind(self, segment: int) -> Place | None:
        """The first chunk of the next segment."""
        return self._search(lambda place: place.segment > segment)

    def _search(self, holds: Callable[[Place], bool]) -> Place | None:
        """The first chunk for which this holds; it holds for all behind it, too."""
        low, high, found = self._first, self._upto, None
        while low < high:
            middle = (low + high) // 2
            place = self._probe(low, middle)
            if place is None:
                low = middle + 1
            elif holds(place):
                found, high = place, place.base
            else:
                low = max(middle + 1, place.base + place.messages)
        return found
