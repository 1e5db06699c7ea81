"""Browsing: looking at the messages of a queue, and taking single ones out, by their places.

    peek(queue, after, most, done)      the next messages behind a place, in order of delivery
    find(queue, place, done)            one message
    is_there(queue, found)              whether nobody has got it meanwhile
    take_out(queue, found)              out of the queue, whoever waits for it

Looking changes nothing: neither order nor `redelivered` nor what the store holds. Messages
that a consumer has are not here, nor those that wait for their time (`retry`); what came back
stands in its level. A place is a priority level and a position, and stays the same as long as
the message is in the queue.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

from amqpd.broker.attempts import FRESH, Counted
from amqpd.broker.content import build, is_sealed, unseal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from amqpd.broker.attempts import Returned
    from amqpd.broker.lane import Lane
    from amqpd.broker.queue import Queue
    from amqpd.broker.rows import Row

#: One look brings at most so many octets, or one message.
LOOK_BYTES: Final = 4 << 20


class Place(NamedTuple):
    """Where a message waits: higher levels go first, then lower positions."""

    level: int
    position: int


class Found(NamedTuple):
    """A message in its place; the store's `row` if it is only there.

    `entered_ms`: when it was published; 0: it came from the store, which does not know.
    """

    place: Place
    names: bytes
    content: bytes
    deadline_ms: int
    redelivered: bool
    persistent: bool
    row: Row | None = None
    entered_ms: int = 0


def peek(
    queue: Queue,
    after: Place | None,
    most: int,
    done: Callable[[list[Found], Place | None], None],
) -> None:
    """`done(messages, last)`: the next `most` behind a place, at once or once they are read.

    `last`: where to go on; None: that was the end of the queue. If there is no message, yet
    this is not the end, what comes next is still on its way to the disk.
    """
    _Look(queue, most, done).go_on(after)


def find(queue: Queue, place: Place, done: Callable[[Found | None], None]) -> None:
    """`done(message)`: the one in this place, None if there is none any more."""

    def looked(found: list[Found], _last: Place | None) -> None:
        done(found[0] if found and found[0].place == place else None)

    if queue.priorities.find(place.level) is None:
        done(None)
        return
    peek(queue, Place(place.level, place.position - 1), 1, looked)


class _Look:
    """One look, level by level: what is in memory first, then what is in the store."""

    def __init__(
        self, queue: Queue, most: int, done: Callable[[list[Found], Place | None], None]
    ) -> None:
        self._queue = queue
        self._most = most
        self._done = done
        self._found: list[Found] = []
        self._size = 0

    def go_on(self, after: Place | None) -> None:
        """Look behind a place."""
        queue = self._queue
        for lane in () if queue.deleted else reversed(queue.lanes):
            level, position = int(lane.priority), -1
            if after is not None and level >= after.level:
                if level > after.level:
                    continue
                position = after.position
            if not self._take(_in_memory(lane, position)):
                return
            if lane.paged and max(position + 1, lane.loaded_upto) < lane.next_position:
                self._read(lane, level, position)
                return
        self._done(self._found, None)

    def _take(self, some: Iterable[Found]) -> bool:
        """Whether there was room for all of them; what has expired takes none.

        If not, the look is over: the next one begins behind the last message of this.
        """
        found = self._found
        for one in some:
            if 0 < one.deadline_ms < self._queue.around.now_ms:
                continue
            if len(found) >= self._most or self._size >= LOOK_BYTES:
                self._done(found, found[-1].place)
                return False
            found.append(one)
            self._size += len(one.content)
        return True

    def _read(self, lane: Lane, level: int, position: int) -> None:
        low = max(position + 1, int(lane.loaded_upto))
        upto = min(int(lane.next_position), int(lane.committed_upto))
        if upto <= low:
            # On its way to the store and nowhere else: it is seen in the next look.
            self._done(self._found, Place(level, low - 1))
            return

        def arrived(rows: list[Row], seen: int) -> None:
            if lane.dead:
                self._done(self._found, None)
                return
            # What has come into memory meanwhile may have gone from there: it is looked at again.
            loaded_upto = int(lane.loaded_upto)
            stored = (
                _stored(row, level, lane)
                for row in self._queue.expiry.unswept(lane, rows)
                if row[0] >= loaded_upto
            )
            if self._take(chain(_in_memory(lane, low - 1), stored)):
                self.go_on(Place(level, max(loaded_upto, min(seen, upto)) - 1))

        def arrived_counted(returned: Returned) -> None:
            attempts = returned.attempts
            # Those that came back with a time are not ready before the window comes by them.
            rows = [row for row in returned.rows if not attempts.get(row[0], FRESH).due_ms]
            arrived(rows, returned.upto)

        around, room = self._queue.around, self._most - len(self._found) + 1
        if lane.counted:
            question = Counted(int(lane.id), low, upto, around.now_ms, room, LOOK_BYTES)
            around.read_returned(question, arrived_counted)
        else:
            around.refill(lane.id, low, upto, room, LOOK_BYTES, arrived)


def _in_memory(lane: Lane, position: int) -> Iterator[Found]:
    level = int(lane.priority)
    for stretch in lane.stretches():
        run = stretch.run
        for index in range(max(stretch.lo, position + 1 - stretch.base), stretch.hi):
            yield Found(
                Place(level, stretch.base + index),
                run.names_of(index),
                run.contents[index],
                int(stretch.earliest(index, index + 1)),
                stretch.redelivered,
                run.persistent,
                entered_ms=int(run.entered_ms),
            )


def _stored(row: Row, level: int, lane: Lane) -> Found:
    position, _, deadline_ms, _, transient, names, header, body = row
    redelivered = position < lane.redelivered_below
    content = build(1, unseal(header)[0] if is_sealed(header) else header, body)
    return Found(
        Place(level, position), names, content, deadline_ms, redelivered, not transient, row
    )


def take_out(queue: Queue, found: Found) -> bool:
    """Take a message out of its queue for good; False if it is not there any more.

    The removal goes to the journal; with a copy elsewhere in the same `atomic` both happen
    or neither does.
    """
    lane = queue.priorities.find(found.place.level)
    position = found.place.position
    if lane is None or lane.dead:
        return False
    if position < lane.loaded_upto:
        start = _start(lane, position)
        return start is not None and _cut_out(queue, lane, start, position)
    row = found.row
    if row is None or not _is_stored(queue, lane, row, position):
        return False
    _, message_id, _, shared, transient, _, _, body = row
    lane.settle_stored(position, message_id, shared, transient, len(body))
    queue.expiry.taken_out(lane, position)
    return True


def is_there(queue: Queue, found: Found) -> bool:
    """Whether a message is in its place still: nobody has got it meanwhile."""
    lane = queue.priorities.find(found.place.level)
    position = found.place.position
    if lane is None or lane.dead:
        return False
    if position < lane.loaded_upto:
        return _start(lane, position) is not None
    return found.row is not None and _is_stored(queue, lane, found.row, position)


def _start(lane: Lane, position: int) -> int | None:
    """Where the stretch begins in which a message is."""
    for stretch in lane.stretches():
        if stretch.base + stretch.lo <= position < stretch.base + stretch.hi:
            return stretch.base + stretch.lo
    return None


def _is_stored(queue: Queue, lane: Lane, row: Row, position: int) -> bool:
    # Behind the end: it was in a lane that was worn.
    return position < lane.next_position and queue.expiry.unswept(lane, [row]) != []


def _cut_out(queue: Queue, lane: Lane, start: int, position: int) -> bool:
    stretch = lane.cut(start, position)
    if position > start:
        # What was one stretch is two; both must be found when they expire.
        queue.expiry.came_back(lane, (stretch,))
    piece = lane.remove_of(stretch, 1)
    lane.settle(piece.run, piece.base, piece.lo, piece.hi)
    return True
