"""An agenda: messages in the order in which they fall due, most of them on disk.

    Agenda(exchange, host, due)
        .add(run, due_ms)       .take_over(shelf)       .count
        calls due(shelf, kept) for each message, on time and in order

The time at which a message falls due is its position on a shelf, so that the store has the
messages in order and the next ones are one read away, after a start as well. A shelf is for
2^24 ms (4.7 hours); a position is the millisecond in it and a slot, counted up from message
to message. When 65,536 messages have used up a shelf's slots, there is another one for the
same hours, as there is after a start: so no position is ever used twice, and nothing but the
messages themselves has to be written or remembered.

In memory are the next `WINDOW` messages or so, and those that are not on disk yet. `unread`
is the position from which on a shelf may have messages on disk that are not in memory; a
message that falls due later than one of those waits for them.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from amqpd.broker.exchange import Exchange, Host
    from amqpd.broker.run import Append, Run
    from amqpd.broker.shelf import Kept, Shelf

LABEL: Final = "agenda"
#: A position: the millisecond in the shelf's hours, and a slot.
HOURS_BITS: Final = 24
SLOT_BITS: Final = 16
END: Final = 1 << HOURS_BITS + SLOT_BITS
#: So many messages stay in memory when there are twice as many.
WINDOW: Final = 4096
WINDOW_BYTES: Final = 8 << 20
#: So many come back from the store at once, when what is in memory runs low this long before.
READ_MESSAGES: Final = 2048
AHEAD_MS: Final = 5_000
#: So many are handed over at once; other work comes in between.
BURST: Final = 500

#: A message in memory: the number that must be safe before it may leave, 0 = it never may.
_Held = tuple["Kept", int]
#: When something falls due and where it is: milliseconds, serial number of its shelf, position.
_Place = tuple[int, int, int]


@dataclass(slots=True)
class Drawer:
    """One shelf: its hours, and what is known of what is on it."""

    shelf: Shelf
    hours: int
    serial: int
    count: int = 0
    slots: int = 0
    unread: int = END
    is_reading: bool = False
    held: dict[int, _Held] = field(default_factory=dict)

    def due_ms(self, position: int) -> int:
        """When the message at a position falls due."""
        return (self.hours << HOURS_BITS) + (position >> SLOT_BITS)


class Agenda:
    """The messages of one exchange that wait for their time."""

    def __init__(self, exchange: Exchange, host: Host, due: Callable[[Shelf, Kept], None]) -> None:
        self._exchange = exchange
        self._host = host
        self._due = due
        self._drawers: dict[int, Drawer] = {}
        self._open: dict[int, Drawer] = {}
        self._next_serial = 1
        self._places: list[_Place] = []
        self._bytes = 0
        self._trim_at = 2 * WINDOW
        self._trim_at_bytes = 2 * WINDOW_BYTES
        self._is_looking = False
        self._rings_ms = 0

    @property
    def count(self) -> int:
        """Messages that wait."""
        return sum(drawer.count for drawer in self._drawers.values())

    @property
    def in_memory(self) -> int:
        """Those of them that are in memory."""
        return len(self._places)

    # -- in ------------------------------------------------------------------------------

    def add(self, run: Run, due_ms: int) -> Append | None:
        """Keep a message (a run of one) until then; what must be on disk to be sure of it."""
        drawer = self._drawer_for(due_ms >> HOURS_BITS)
        position = ((due_ms & (1 << HOURS_BITS) - 1) << SLOT_BITS) + drawer.slots
        drawer.slots += 1
        drawer.count += 1
        spill = len(self._places) >= WINDOW or self._bytes >= WINDOW_BYTES
        kept, entry = drawer.shelf.put(run, position, due_ms, spill=spill)
        self._hold(drawer, kept, 0 if entry is None else int(entry.number))
        if len(self._places) >= self._trim_at or self._bytes >= self._trim_at_bytes:
            self._trim()
        self._ring_at(due_ms)
        return entry if run.persistent and drawer.shelf.durable else None

    def take_over(self, shelf: Shelf) -> None:
        """A shelf of a former life."""
        _, hours, serial = shelf.label.split(".")
        drawer = Drawer(shelf, int(hours), int(serial), shelf.stored)
        drawer.unread = 0 if drawer.count else END
        self._drawers[drawer.serial] = drawer
        self._next_serial = max(self._next_serial, drawer.serial + 1)
        self._ring_at(self._host.now_ms)

    def _drawer_for(self, hours: int) -> Drawer:
        drawer = self._open.get(hours)
        if drawer is None or drawer.slots == 1 << SLOT_BITS:
            serial = self._next_serial
            self._next_serial += 1
            shelf = self._host.shelf(self._exchange, f"{LABEL}.{hours}.{serial}")
            drawer = self._open[hours] = Drawer(shelf, hours, serial)
            self._drawers[serial] = drawer
        return drawer

    def _hold(self, drawer: Drawer, kept: Kept, number: int) -> None:
        drawer.held[kept.position] = kept, number
        heapq.heappush(self._places, (drawer.due_ms(kept.position), drawer.serial, kept.position))
        self._bytes += int(kept.run.size_bytes)

    def _trim(self) -> None:
        """Leave what is far away to the disk, if it is there."""
        if self._is_looking or any(drawer.is_reading for drawer in self._drawers.values()):
            return  # what is on its way in or out may be what would go
        places, self._places, self._bytes = sorted(self._places), [], 0
        for place in places:
            drawer = self._drawers[place[1]]
            kept, number = drawer.held[place[2]]
            is_near = len(self._places) < WINDOW and self._bytes < WINDOW_BYTES
            if is_near or number == 0 or not drawer.shelf.is_safe(number):
                self._places.append(place)
                self._bytes += int(kept.run.size_bytes)
            else:
                del drawer.held[kept.position]
                drawer.unread = min(drawer.unread, kept.position)
        self._trim_at = max(2 * WINDOW, 2 * len(self._places))
        self._trim_at_bytes = max(2 * WINDOW_BYTES, 2 * self._bytes)

    # -- out -----------------------------------------------------------------------------

    def _ring_at(self, when_ms: int) -> None:
        if not self._rings_ms or when_ms < self._rings_ms:
            self._rings_ms = when_ms
            self._host.at(when_ms, self._ring)

    def _ring(self, now_ms: int) -> None:
        if self._rings_ms and now_ms >= self._rings_ms:
            self._rings_ms = 0
            self._look(now_ms)

    def _look(self, now_ms: int) -> None:
        """Hand over what is due, fetch what soon will be, and see when to look again."""
        if any(drawer.shelf.is_gone for drawer in self._drawers.values()):
            return  # the exchange was deleted
        unread = self._first_unread()
        self._is_looking = True
        for _ in range(BURST):
            if not self._places or self._places[0][0] > now_ms:
                break
            if unread is not None and self._places[0] >= unread:
                break
            self._hand_over(*heapq.heappop(self._places)[1:])
        self._is_looking = False
        self._clear_up(now_ms)
        self._look_again(now_ms, unread)

    def _hand_over(self, serial: int, position: int) -> None:
        drawer = self._drawers[serial]
        kept, _ = drawer.held.pop(position)
        drawer.count -= 1
        self._bytes -= int(kept.run.size_bytes)
        self._due(drawer.shelf, kept)

    def _clear_up(self, now_ms: int) -> None:
        """Put empty shelves away that nothing will come to any more."""
        for drawer in list(self._drawers.values()):
            is_empty = not drawer.held and drawer.unread == END
            is_full = drawer is not self._open.get(drawer.hours)
            if is_empty and (is_full or drawer.hours < now_ms >> HOURS_BITS):
                del self._drawers[drawer.serial]
                if not is_full:
                    del self._open[drawer.hours]
                self._host.clear_away(drawer.shelf)

    def _look_again(self, now_ms: int, unread: _Place | None) -> None:
        """Set the time for the next look, and read what will be wanted then."""
        when = [(drawer.hours + 1) << HOURS_BITS for drawer in self._open.values()]
        if self._places and (unread is None or self._places[0] < unread):
            when.append(self._places[0][0])
        if unread is not None and self._runs_low(unread):
            if unread[0] <= now_ms + AHEAD_MS:
                self._fetch(self._drawers[unread[1]])  # its arrival is another look
            else:
                when.append(unread[0] - AHEAD_MS)
        if when:
            self._ring_at(max(now_ms + 1, min(when)))

    def _runs_low(self, unread: _Place) -> bool:
        """Whether there is not much more in memory before what is on disk only."""
        return len(self._places) < WINDOW // 2 or self._places[0] >= unread

    # -- from the store ------------------------------------------------------------------

    def _first_unread(self) -> _Place | None:
        """Where the first message may be that is on disk only."""
        return min(
            (
                (drawer.due_ms(drawer.unread), drawer.serial, drawer.unread)
                for drawer in self._drawers.values()
                if drawer.unread < END
            ),
            default=None,
        )

    def _fetch(self, drawer: Drawer) -> None:
        def arrived(found: list[Kept], upto: int) -> None:
            drawer.is_reading = False
            drawer.unread = upto
            for kept in found:
                if kept.position not in drawer.held:
                    self._hold(drawer, kept, -1)
            self._look(self._host.now_ms)

        if drawer.is_reading:
            return
        drawer.is_reading = True
        drawer.shelf.read(drawer.unread, END, READ_MESSAGES, arrived)
