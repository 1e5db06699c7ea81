"""Rows of lists that are shown again as they were: their JSON is made once.

    Shelf().rows(what, mark)            those of one list and its columns
        .tidy(is_gone)                  every few seconds: what nobody asked for is dropped
    Rows.shown(things, show, columns)   JSON of each that is there
    Rows.sorted / .remember             and the order they were in, while it is the same things

Whoever watches ten thousand queues sees the same as five seconds ago of nearly all. A mark is
all that a row depends on, so one that is equal has the same row; it costs a fifth of making it
anew. None is the mark of what changes all the time, or is known to be shown differently soon.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from amqpd.management.request import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

T = TypeVar("T")

#: Lists and columns that rows are kept of, and what they may take together.
MOST_LISTS: Final = 8
MOST_BYTES: Final = 32 << 20
#: What a row takes beside its JSON: its mark, and its place.
ROW_BYTES: Final = 400
#: Calls of `tidy` after which a list that nobody has asked for is dropped: a minute.
IDLE: Final = 12


class Rows(Generic[T]):
    """The rows of one list with the same columns."""

    def __init__(self, shelf: Shelf, mark: Callable[[T], object]) -> None:
        self.mark = mark
        self.idle = 0
        self.size_bytes = 0
        self._shelf = shelf
        self._rows: dict[T, tuple[object, bytes]] = {}
        self._orders: dict[Hashable, tuple[list[T], list[T]]] = {}

    def shown(self, things: Sequence[T], show: Callable[[T], object]) -> list[bytes]:
        """The JSON of each; `show` gives the facts of one, None: it is gone."""
        rows, mark = self._rows, self.mark
        found = []
        for thing in things:
            now = mark(thing)
            known = rows.get(thing)
            if known is not None and now is not None and known[0] == now:
                found.append(known[1])
                continue
            facts = show(thing)
            if facts is not None:
                row = encode(facts)
                found.append(row)
                self._keep(thing, now, row)
        return found

    def _keep(self, thing: T, now: object, row: bytes) -> None:
        before = self._rows.pop(thing, None)
        if before is not None:
            self.size_bytes -= ROW_BYTES + len(before[1])
        if now is not None and self._shelf.has_room:
            self._rows[thing] = now, row
            self.size_bytes += ROW_BYTES + len(row)

    def ordered(self, order: Hashable, things: list[T]) -> list[T] | None:
        """The same things in an order, if they were put into it before."""
        known = self._orders.get(order)
        return known[1] if known is not None and known[0] == things else None

    def remember(self, order: Hashable, things: list[T], found: list[T]) -> None:
        """What `things` are in an order in which they stay."""
        self._orders[order] = things, found

    def forget(self, is_gone: Callable[[T], bool]) -> None:
        """What is gone is let go of."""
        for order, (things, _) in list(self._orders.items()):
            if any(map(is_gone, things)):
                del self._orders[order]
        for thing in [one for one in self._rows if is_gone(one)]:
            self._keep(thing, None, b"")


class Shelf:
    """The rows of all lists."""

    def __init__(self) -> None:
        self._lists: dict[Hashable, Rows[Any]] = {}

    @property
    def has_room(self) -> bool:
        """Whether more may be kept."""
        return sum(one.size_bytes for one in self._lists.values()) < MOST_BYTES

    def rows(self, what: Hashable, mark: Callable[[T], object]) -> Rows[T]:
        """The rows of a list; `mark` gives what one depends on."""
        found: Rows[T] | None = self._lists.pop(what, None)
        if found is None:
            found = Rows(self, mark)
        # The last of them is the one that was asked for last.
        self._lists[what] = found
        found.mark, found.idle = mark, 0
        if len(self._lists) > MOST_LISTS:
            del self._lists[next(iter(self._lists))]
        return found

    def tidy(self, is_gone: Callable[[Any], bool]) -> None:
        """Let go of what is gone, and of lists that nobody wants any more."""
        for what, rows in list(self._lists.items()):
            rows.idle += 1
            if rows.idle > IDLE:
                del self._lists[what]
            else:
                rows.forget(is_gone)
