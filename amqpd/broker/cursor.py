"""Cursors: where consumers are in a stream, and what is read for them from the store.

    Cursor       one consumer's place, and the stretches that were read ahead for it
    Progress     how far a consumer has settled what it was given
    ReadAhead    all reads of a broker's streams: few at a time, and bounded in memory
    Tail         the newest messages of a stream, shared by all consumers that are near them

However long a stream is and however many consumers it has, what is in memory of it is a tail
and a few stretches for those that are behind, `ReadAhead.MOST_BYTES` over all streams. Who is
not served for long gives its stretches up and has them read again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from amqpd.broker.consumer import Consumer
    from amqpd.broker.filtering import Filter
    from amqpd.broker.ring import Subscription
    from amqpd.broker.stretch import Stretch

#: Reads under way at a time, over all streams; there is one reader.
AT_ONCE: Final = 4
#: What one read brings: the more consumers there are, the less, but at least one chunk.
READ_BYTES: Final = 1 << 20
LEAST_BYTES: Final = 64 << 10
#: What one tail keeps for consumers that are a little behind, and for what is not on disk yet.
KEPT_BYTES: Final = 8 << 20


class Progress:
    """How far a consumer has settled what it was given: everything below `offset`.

    What it gives back it wants to see again when it resumes: nothing from there on counts.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.offset = -1
        #: The consumer has ended, and may have something left to settle.
        self.is_over = False
        self._limit: float = inf
        # Ranges in the order in which they were given, and settled ones by where they begin.
        self._given: deque[list[int]] = deque()
        self._settled: dict[int, int] = {}

    @property
    def is_done(self) -> bool:
        """Everything that counts is settled."""
        return not self._given

    def give(self, low: int, high: int) -> None:
        """Offsets low to high - 1, above all before, are with the client."""
        if low >= self._limit:
            return
        if self._given and self._given[-1][1] == low:
            self._given[-1][1] = high
        else:
            self._given.append([low, high])

    def settle(self, low: int, high: int) -> bool:
        """Some of them were settled, in any order; whether `offset` moved on."""
        if low >= self._limit:
            return False
        self._settled[low] = high
        moved = False
        while self._given and (end := self._settled.pop(self._given[0][0], 0)):
            head = self._given[0]
            head[0] = self.offset = end
            moved = True
            if end >= head[1]:
                self._given.popleft()
        if moved and self._given:
            self.offset = self._given[0][0]  # what lies between was not for this consumer
        return moved

    def give_back(self, low: int) -> None:
        """The offset `low` was not settled, and will not be."""
        self._limit = min(self._limit, low)
        given = self._given
        while given and given[-1][0] >= low:
            given.pop()
        if given and given[-1][1] > low:
            given[-1][1] = low
        self._settled = {at: end for at, end in self._settled.items() if at < low}


@dataclass(slots=True, eq=False)
class Cursor:
    """One consumer's place in a stream: `offset` is the next that it may get."""

    consumer: Consumer
    subscription: Subscription
    offset: int
    filter: Filter | None
    progress: Progress | None
    #: Read from the store and not handed out yet, in order.
    ahead: deque[Stretch] = field(default_factory=deque)
    ahead_bytes: int = 0
    #: The store was asked, and has not answered.
    reading: bool = False
    #: It is in line to be served.
    is_ready: bool = False

    def find(self, offset: int) -> Stretch | None:
        """What was read ahead from this offset on, or from the next one there is."""
        ahead = self.ahead
        while ahead:
            head = ahead[0]
            if head.base + head.hi > offset:
                return head
            ahead.popleft()
            self.ahead_bytes -= head.run.size_bytes
        return None

    @property
    def ahead_upto(self) -> int:
        """Behind what was read ahead."""
        return self.ahead[-1].base + self.ahead[-1].hi if self.ahead else self.offset

    def give_up(self) -> None:
        """Forget what was read ahead."""
        self.ahead.clear()
        self.ahead_bytes = 0


class ReadAhead:
    """What is read from the store for consumers of streams, of one broker."""

    MOST_BYTES: int = 64 << 20

    def __init__(self) -> None:
        #: How many share the memory: consumers, and streams that have some.
        self.users = 0
        self._busy = 0
        self._waiting: deque[Callable[[], None]] = deque()
        self._holding: dict[Cursor, int] = {}
        self._held_bytes = 0

    @property
    def share_bytes(self) -> int:
        """What one user may keep or read at a time."""
        share = self.MOST_BYTES // 2 // max(1, self.users)
        return max(LEAST_BYTES, min(READ_BYTES, share))

    @property
    def tail_bytes(self) -> int:
        """What one tail may keep of what is on disk, for those who are near it."""
        return max(LEAST_BYTES, min(KEPT_BYTES, self.MOST_BYTES // 2 // max(1, self.users)))

    def ask(self, read: Callable[[], None]) -> None:
        """`read()`, which must end in `answered()`, now or when it is its turn."""
        if self._busy < AT_ONCE:
            self._busy += 1
            read()
        else:
            self._waiting.append(read)

    def answered(self) -> None:
        """A read is over: the next one."""
        if self._waiting:
            self._waiting.popleft()()
        else:
            self._busy -= 1

    def hold(self, cursor: Cursor) -> None:
        """The cursor's stretches have become more or fewer; the oldest of others may have to go."""
        self._held_bytes += cursor.ahead_bytes - self._holding.pop(cursor, 0)
        if cursor.ahead_bytes:
            self._holding[cursor] = cursor.ahead_bytes
        while self._held_bytes > self.MOST_BYTES and len(self._holding) > 1:
            oldest = next(iter(self._holding))
            self._held_bytes -= self._holding.pop(oldest)
            oldest.give_up()


class Tail:
    """The newest messages of a stream: stretches that follow each other without a gap."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self._stretches: list[Stretch] = []

    @property
    def base(self) -> int:
        """The first offset in it; there must be one."""
        return self._stretches[0].base

    def __bool__(self) -> bool:
        return bool(self._stretches)

    def push(self, stretch: Stretch) -> None:
        """Put a stretch at the end."""
        self._stretches.append(stretch)
        self.size_bytes += stretch.run.size_bytes

    def find(self, offset: int) -> Stretch | None:
        """The stretch that this offset is in."""
        at = bisect_right(self._stretches, offset, key=_base) - 1
        return self._stretches[at] if at >= 0 else None

    def drop(self, below: int, most_bytes: int, upto: int) -> None:
        """Drop what is below an offset, and if more than so much is left, what is below `upto`."""
        count = 0
        for stretch in self._stretches:
            end = stretch.base + stretch.hi
            if end > below and (end > upto or self.size_bytes <= most_bytes):
                break
            self.size_bytes -= stretch.run.size_bytes
            count += 1
        del self._stretches[:count]


def _base(stretch: Stretch) -> int:
    return stretch.base
