"""Stretches: parts of runs as they wait in a lane, in the order of their positions.

Compiled; plain Python otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_extensions import i64

    from amqpd.broker.run import Run


class Stretch:
    """A part of a run inside a lane: contents[lo:hi] at positions base + index.

    Each of its messages was handed out `acquired` times before, as far as is known, of which
    `failed` count against the delivery limit; after a crash it may have been once more.
    `shown` are the contents as they are to be handed out, where these tell the counts.
    Where messages of a run expire at different times, nothing is due before `deadline_ms`; see
    `Lane.divide`.
    """

    def __init__(
        self,
        run: Run,
        base: int,
        low: int,
        high: int,
        deadline_ms: int,
        redelivered: bool,
        acquired: int = 0,
        failed: int = 0,
    ) -> None:
        self.run = run
        self.base: i64 = base
        self.lo: i64 = low
        self.hi: i64 = high
        self.deadline_ms: i64 = deadline_ms
        self.redelivered = redelivered
        self.acquired: i64 = acquired
        self.failed: i64 = failed
        self.shown: list[bytes] | None = None
        #: Of the delivery that it came back from.
        self.tag: i64 = 0
        #: It is in its lane; what was handed out or removed as a whole is not.
        self.waits = True

    @property
    def position(self) -> int:
        """The position of its first message."""
        return self.base + self.lo

    def earliest(self, low: int, high: int) -> int:
        """When the first message of the run's `contents[low:high]`, which are in it, expires."""
        if self.run.deadlines is None:
            return self.deadline_ms
        return self.run.earliest(low, high)


def place(stretch: Stretch) -> int:
    """The position of a stretch's first message, to sort by."""
    return stretch.base + stretch.lo


def in_order(stretches: list[Stretch]) -> bool:
    """Whether they are in the order of their positions."""
    last: i64 = -1
    for one in stretches:
        at: i64 = one.base + one.lo
        if at < last:
            return False
        last = at
    return True


def merged(first: list[Stretch], second: list[Stretch]) -> list[Stretch]:
    """Two lists in the order of positions as one."""
    both: list[Stretch] = []
    at: i64 = 0
    end: i64 = len(first)
    for one in second:
        position: i64 = one.base + one.lo
        while at < end and first[at].base + first[at].lo < position:
            both.append(first[at])
            at += 1
        both.append(one)
    while at < end:
        both.append(first[at])
        at += 1
    return both
