"""Ranges: what a batch changes in lanes, by ranges of keys and of message ids.

    Stay        messages that come into one lane
    Rows        messages of many lanes that one statement enters
    Change      how a lane's counters change

A queue with levels has a range of each of them in every run, so what is done here is done for
every few messages.

Compiled; plain Python otherwise.
"""

from __future__ import annotations

import sys
from array import array
from typing import TYPE_CHECKING, Final

from librt.strings import BytesWriter, write_i64_le

if TYPE_CHECKING:
    from mypy_extensions import i64

    from amqpd.broker.run import Run, Settle, Target

#: `key` of `queue_message`: lane, then position.
POSITION_BITS: Final = 40
#: `flags` of `queue_message`: not to survive a restart.
TRANSIENT: Final = 1
#: `flags` of `queue_message`: expires before something ahead of it; in the index by deadline.
EARLY: Final = 2

#: Within `Rows`: so many ids may be missing between two stays, so far are lanes from each other.
_HOLES: Final = 64
_SPAN: Final = 1024


def key_of(lane: int, position: int) -> int:
    """The key of a lane's position."""
    return (lane << POSITION_BITS) + position


class Stay:
    """Messages first_id to last_id are in a lane; key = id + shift. `expires_at` 0: they do not."""

    def __init__(
        self,
        lane: int,
        shift: int,
        first_id: int,
        last_id: int,
        flags: int,
        priority: int,
        expires_at: int,
    ) -> None:
        self.lane: i64 = lane
        self.shift: i64 = shift
        self.first_id: i64 = first_id
        self.last_id: i64 = last_id
        self.flags: i64 = flags
        self.priority: i64 = priority
        self.expires_at: i64 = expires_at

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stay) and self.row() == other.row()

    @property
    def is_possible(self) -> bool:
        """The positions are the lane's own: beyond the last one the next lane begins."""
        first: i64 = (self.first_id + self.shift) >> 40
        last: i64 = (self.last_id + self.shift) >> 40
        return first == self.lane and last == first

    def row(self) -> tuple[int, int, int, int, int, int | None]:
        """As it is bound: shift, first and last id, flags, priority, expires at."""
        expires_at = None if self.expires_at == 0 else int(self.expires_at)
        return self.shift, self.first_id, self.last_id, self.flags, self.priority, expires_at

    def follows(self, other: Stay) -> bool:
        """It continues the other one without a seam."""
        return (
            self.shift == other.shift
            and self.first_id == other.last_id + 1
            and self.priority == other.priority
            and self.like(other)
        )

    def like(self, other: Stay) -> bool:
        """Its rows differ from those of the other one only in key, id and perhaps priority."""
        return self.flags == other.flags and self.expires_at == other.expires_at


class Change:
    """How a lane's counters change. They count persistent messages only."""

    def __init__(self) -> None:
        self.next_position: i64 = 0
        self.messages: i64 = 0
        self.body_bytes: i64 = 0
        #: None: as it was. Only the last mark before a clean stop is lower than the one before.
        self.delivered_upto: int | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Change) and self.row(0) == other.row(0)

    def row(self, lane: int) -> tuple[int, int, int, int, int | None]:
        """As it is bound."""
        return lane, self.next_position, self.messages, self.body_bytes, self.delivered_upto


class Ranges:
    """What a batch changes in lanes, while it is being packed; see `Packed` for the lists."""

    def __init__(
        self,
        stays: list[Stay],
        changes: dict[int, Change],
        gone_keys: list[tuple[int, int]],
        gone_ids: list[tuple[int, int]],
        released: list[tuple[int, int]],
        gone_returns: list[tuple[int, int]],
    ) -> None:
        self.stays = stays
        self.changes = changes
        self.gone_keys = gone_keys
        self.gone_ids = gone_ids
        self.released = released
        self.gone_returns = gone_returns
        self.gone_bytes: i64 = 0

    def change(self, lane: int) -> Change:
        """The counters of a lane."""
        found = self.changes.get(lane)
        if found is None:
            found = self.changes[lane] = Change()
        return found

    def enter(self, target: Target, run: Run) -> None:
        """What is alive of a target comes into its lane; its messages all expire together."""
        shift: i64 = (target.lane << 40) + target.base - run.first_id
        flags: i64 = 0
        if target.transient:
            flags += TRANSIENT
        if target.early:
            flags += EARLY
        for low, high in alive(target):
            first: i64 = run.first_id + low
            last: i64 = run.first_id + high - 1
            self.stays.append(
                Stay(target.lane, shift, first, last, flags, target.priority, target.deadline_ms)
            )
            self.count(target, run, low, high)

    def count(self, target: Target, run: Run, low: int, high: int) -> None:
        """Messages of a run come into a lane."""
        change = self.change(target.lane)
        if not target.transient:
            change.messages += high - low
            change.body_bytes += run.bytes_of(low, high)
        next_position: i64 = target.base + high
        change.next_position = max(change.next_position, next_position)

    def settle(self, settle: Settle) -> None:
        """Messages leave a lane."""
        lane: i64 = settle.lane << 40
        keys: tuple[int, int] = (lane + settle.lo, lane + settle.hi - 1)
        if settle.counted:
            self.gone_returns.append(keys)
        if not settle.transient:
            change = self.change(settle.lane)
            change.messages -= settle.hi - settle.lo
            change.body_bytes -= settle.body_bytes
        if settle.shared or settle.first_id <= 0:
            self.released.append(keys)
        else:
            self.gone_keys.append(keys)
            self.gone_ids.append((settle.first_id, settle.first_id + (settle.hi - settle.lo) - 1))
            self.gone_bytes += settle.body_bytes


def check(stays: list[Stay]) -> None:
    """See that the positions of all are possible.

    Raises:
        ValueError: those of a lane are used up: its keys would be another one's.
    """
    for stay in stays:
        if not stay.is_possible:
            raise ValueError("a lane has used up its positions")


def alive(target: Target) -> list[tuple[int, int]]:
    """The stretches of a target that were not settled before they were written."""
    low: i64 = target.lo
    high: i64 = target.hi
    dead = target.dead
    if dead is None:
        return [(low, high)] if low < high else []
    found: list[tuple[int, int]] = []
    while low < high:
        end: i64 = low
        while end < high and dead[end] == 0:
            end += 1
        if low < end:
            found.append((low, end))
        low = end + 1
    return found


def copies(targets: list[Target]) -> list[tuple[int, int, int]]:
    """Stretches of a run that are alive in the same number of lanes: (low, high, lanes)."""
    first = targets[0]
    last = targets[len(targets) - 1]
    same = True  # all have the same of it
    chain = True  # each has a part of it
    before: i64 = first.lo
    for target in targets:
        if target.dead is not None:
            return _counted(targets)
        same = same and target.lo == first.lo and target.hi == first.hi
        chain = chain and target.lo == before
        before = target.hi
    if same:
        return [(first.lo, first.hi, len(targets))] if first.lo < first.hi else []
    return [(first.lo, last.hi, 1)] if chain else _counted(targets)


def _counted(targets: list[Target]) -> list[tuple[int, int, int]]:
    steps: dict[int, int] = {}
    for target in targets:
        for low, high in alive(target):
            steps[low] = steps.get(low, 0) + 1
            steps[high] = steps.get(high, 0) - 1
    stretches: list[tuple[int, int, int]] = []
    lanes = 0
    begin = 0
    for at in sorted(steps):
        if steps[at] == 0:
            continue  # where one part ends and the next begins
        if lanes:
            stretches.append((begin, at, lanes))
        lanes += steps[at]
        begin = at
    return stretches


def joined(stays: list[Stay]) -> list[Stay]:
    """Sorted by key, so that each leaf of the tree is visited once, and without seams."""
    if len(stays) < 2:
        return stays
    stays.sort(key=_first_key)
    last = stays[0]
    found = [last]
    for stay in stays[1:]:
        if stay.follows(last):
            last.last_id = stay.last_id
        else:
            found.append(stay)
            last = stay
    return found


def united(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges in order, those that follow on as one: levels share the ids of what came together."""
    if len(ranges) < 2:
        return ranges
    ranges.sort()
    found: list[tuple[int, int]] = []
    begin: i64 = ranges[0][0]
    end: i64 = ranges[0][1]
    for low, high in ranges[1:]:
        first: i64 = low
        if first > end + 1:
            found.append((begin, end))
            begin = first
        end = max(end, high)
    found.append((begin, end))
    return found


class Rows:
    """Messages of many lanes with ids from `first_id` on, alike in flags and expiry.

    `keys` has one of each, 0 where none is. `levels` has a character of each lane from
    `first_lane` on: of its priority, and one more.
    """

    def __init__(self, first: Stay) -> None:
        self.stays = [first]
        self.first_id: i64 = first.first_id
        self.first_lane: i64 = first.lane
        self._last_lane: i64 = first.lane
        self._upto: i64 = first.last_id

    def takes(self, stay: Stay) -> bool:
        """Take another one in if it fits, whose ids are above all so far."""
        holes: i64 = stay.first_id - self._upto - 1
        low: i64 = min(self.first_lane, stay.lane)
        high: i64 = max(self._last_lane, stay.lane)
        if not 0 <= holes <= _HOLES or high - low >= _SPAN or not stay.like(self.stays[0]):
            return False
        self.stays.append(stay)
        self.first_lane = low
        self._last_lane = high
        self._upto = stay.last_id
        return True

    def keys(self) -> array[int]:
        """The key of each id."""
        writer = BytesWriter()
        at: i64 = self.first_id
        for stay in self.stays:
            while at < stay.first_id:
                write_i64_le(writer, 0)
                at += 1
            while at <= stay.last_id:
                write_i64_le(writer, at + stay.shift)
                at += 1
        found = array("q", writer.getvalue())
        if sys.byteorder == "big":
            found.byteswap()
        return found

    def levels(self) -> str:
        """The priority of each lane."""
        found = [1] * (self._last_lane - self.first_lane + 1)
        for stay in self.stays:
            found[stay.lane - self.first_lane] = stay.priority + 1
        return "".join(map(chr, found))

    @property
    def like(self) -> tuple[int, int | None]:
        """Flags and expiry of all."""
        row = self.stays[0].row()
        return row[3], row[5]


def rows_of(stays: list[Stay], most: int) -> list[Rows]:
    """Stays by their ids, as few rows as may be; none if it takes more than so many."""
    found: list[Rows] = []
    for stay in sorted(stays, key=_first_id):
        if not found or not found[len(found) - 1].takes(stay):
            if len(found) == most:
                return []
            found.append(Rows(stay))
    return found


def _first_key(stay: Stay) -> int:
    return stay.shift + stay.first_id


def _first_id(stay: Stay) -> int:
    return stay.first_id
