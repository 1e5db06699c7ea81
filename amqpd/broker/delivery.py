"""Deliveries: what a channel must remember until its client settles it.

    Unacked     what one channel has delivered: ranges of delivery tags, not single ones
    Taken       a part of it that was just settled
    Leaving     very much of it at once, to be taken in parts

Settling in order costs a comparison, out of order a binary search.

Compiled; plain Python otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mypy_extensions import i64

from amqpd.broker.stretch import Stretch

if TYPE_CHECKING:
    from mypy_extensions import i64

    from amqpd.broker.lane import Lane


#: So many ranges that were worked off are freed at a time.
FREE_AT: Final = 8192
#: Whoever wants to know the oldest of one consumer looks at so many ranges, and no more.
LOOKED_AT: Final = 1024


class Taken:
    """Deliveries that were just settled: contents[lo:hi] of a run in a lane.

    `tag` is the delivery tag of contents[lo].
    """

    def __init__(self, held: Held, low: int, high: int) -> None:
        self.tag: i64 = held.tag + (low - held.lo)
        self.lane = held.lane
        self.run = held.run
        self.base: i64 = held.base
        self.lo: i64 = low
        self.hi: i64 = high
        self.deadline_ms: i64 = held.deadline_ms
        self.acquired: i64 = held.acquired
        self.failed: i64 = held.failed
        self.due_ms: i64 = held.due_ms
        self.since_ms: i64 = held.since_ms
        self.consumer = held.consumer


class UnknownTag(Exception):
    """A delivery tag that is not outstanding; `taken` are those before it that were."""

    def __init__(self, tag: int, taken: list[Taken]) -> None:
        super().__init__(f"unknown delivery tag {tag}")
        self.tag = tag
        self.taken = taken


class Held:
    """A range of delivery tags: tag is that of contents[lo].

    `due_ms`: overdue then, 0: never. `since_ms`: delivered then, 0: nobody knows.
    """

    def __init__(
        self, tag: int, lane: Lane, piece: Stretch, consumer: object, due_ms: int, since_ms: int
    ) -> None:
        self.tag: i64 = tag
        self.lane = lane
        placeholder = lane.placeholder
        self.run = piece.run if placeholder is None else placeholder
        self.base: i64 = piece.base
        self.lo: i64 = piece.lo
        self.hi: i64 = piece.hi
        self.deadline_ms: i64 = piece.deadline_ms
        # As before this delivery.
        self.acquired: i64 = piece.acquired
        self.failed: i64 = piece.failed
        self.due_ms: i64 = due_ms
        self.since_ms: i64 = since_ms
        self.consumer = consumer
        # Set once tags inside were settled out of order: 1 = settled, by index in the run.
        self.gone: bytearray | None = None
        self.left: i64 = piece.hi - piece.lo


def acked(taken: list[Taken]) -> None:
    """What was delivered was acknowledged."""
    for one in taken:
        one.lane.acked(one)


def requeued(taken: list[Taken], failed: bool) -> dict[Lane, list[Stretch]]:
    """What was delivered as it goes back into its lanes, counted once more.

    Streams take nothing back: they only hear of it.
    """
    found: dict[Lane, list[Stretch]] = {}
    lane: Lane | None = None
    pieces: list[Stretch] = []
    for one in taken:
        if one.lane.dead or one.lane.hears_of_return(one):
            continue
        if one.lane is not lane:
            lane = one.lane
            known = found.get(lane)
            if known is None:
                found[lane] = pieces = []
            else:
                pieces = known
        run = one.run
        deadline_ms: i64 = one.deadline_ms
        if run.deadlines is not None:
            deadline_ms = run.earliest(one.lo, one.hi)
        piece = Stretch(
            run,
            one.base,
            one.lo,
            one.hi,
            deadline_ms,
            True,
            one.acquired + 1,
            one.failed + (1 if failed else 0),
        )
        piece.tag = one.tag
        pieces.append(piece)
    return found


def tag_of(held: Held) -> int:
    """The first delivery tag of a range, to sort by."""
    return held.tag


class Unacked:
    """What one channel has delivered and its client has not settled yet.

    Settling in order costs a comparison, out of order a binary search; ranges are never
    split, and settled ones inside are swept out when they are the majority.
    """

    def __init__(self) -> None:
        self.outstanding: i64 = 0
        #: Those of them that were taken back and not heard of since.
        self.lost: i64 = 0
        #: Nothing is overdue before; 0: nothing ever is.
        self.due_ms: i64 = 0
        self._held: list[Held] = []
        self._first: i64 = 0
        self._empty: i64 = 0
        #: How often something was settled out of the middle since all was settled.
        self._cuts: i64 = 0
        # The lanes of all that was delivered since then.
        self._lanes: dict[Lane, None] = {}
        self._last_lane: Lane | None = None

    def __len__(self) -> int:
        return self.outstanding

    def add(
        self,
        tag: int,
        lane: Lane,
        piece: Stretch,
        consumer: object,
        due_ms: int = 0,
        since_ms: int = 0,
    ) -> None:
        """Remember a stretch under tag, tag + 1, …, which are the highest so far.

        It was delivered at `since_ms`, and is overdue at `due_ms`, or never (0).
        """
        self._held.append(Held(tag, lane, piece, consumer, due_ms, since_ms))
        self.outstanding += piece.hi - piece.lo
        self._expect(due_ms)
        if lane is not self._last_lane:
            self._last_lane = lane
            self._lanes[lane] = None

    def add_all(
        self,
        tag: int,
        lanes: list[Lane],
        pieces: list[Stretch],
        consumer: object,
        due_ms: int,
        since_ms: int,
    ) -> None:
        """The same with stretches of several lanes, one behind the other."""
        next_tag: i64 = tag
        for lane, piece in zip(lanes, pieces, strict=True):
            self.add(next_tag, lane, piece, consumer, due_ms, since_ms)
            next_tag += piece.hi - piece.lo

    def take(self, first_tag: int, last_tag: int, multiple: bool) -> list[Taken]:
        """Settle tags: first to last one by one, or with `multiple` all up to last (0 = all).

        Raises:
            UnknownTag: one of them is not outstanding; those before it are settled.
        """
        taken: list[Taken] = []
        if multiple:
            if last_tag == 0:
                return self.take_all()
            if not self._is_outstanding(last_tag):
                raise UnknownTag(last_tag, taken)
            self._take_upto(last_tag, taken)
        else:
            tag: i64 = first_tag
            last: i64 = last_tag
            while tag <= last:
                next_tag = self._take_range(tag, last, taken)
                if next_tag == tag:
                    raise UnknownTag(tag, taken)
                tag = next_tag
        self._sweep()
        return taken

    def put_back(self, taken: list[Taken]) -> None:
        """Make settled tags outstanding again (tx.rollback)."""
        for one in taken:
            count: i64 = one.hi - one.lo
            self.outstanding += count
            if one.lane.is_grave:
                self.lost += count
            if not self._refill(one):
                piece = Stretch(
                    one.run,
                    one.base,
                    one.lo,
                    one.hi,
                    one.deadline_ms,
                    False,
                    one.acquired,
                    one.failed,
                )
                self._held.append(
                    Held(one.tag, one.lane, piece, one.consumer, one.due_ms, one.since_ms)
                )
                self._expect(one.due_ms)
        rest = [held for held in self._held[self._first :] if held.left]
        rest.sort(key=tag_of)
        self._held = rest
        self._first = 0
        self._empty = 0

    def since_ms(self, consumer: object | None = None) -> int:
        """When the oldest of what is outstanding was delivered, of all or of one consumer.

        0: nothing is outstanding, or the oldest is not among the first `LOOKED_AT` ranges.
        """
        held = self._held
        at: i64 = self._first
        end: i64 = min(len(held), at + LOOKED_AT)
        while at < end:
            one = held[at]
            if one.left and one.since_ms and (consumer is None or one.consumer is consumer):
                return one.since_ms
            at += 1
        return 0

    def _expect(self, due_ms: i64) -> None:
        if due_ms and (self.due_ms == 0 or due_ms < self.due_ms):
            self.due_ms = due_ms

    def expire(
        self, now_ms: int, most: int, grave: Lane, renewed: dict[object, int] | None = None
    ) -> list[Held]:
        """Let go of what is overdue, so many ranges at most.

        Their tags stay, for ranges of the lane `grave`: what a client says of them late is
        right, and without effect. Nothing of the consumers in `renewed` is overdue before then.
        """
        now: i64 = now_ms
        overdue: list[Held] = []
        self.due_ms = 0
        at: i64 = self._first
        while at < len(self._held):
            one = self._held[at]
            if one.due_ms and one.left:
                if one.due_ms < now and renewed:
                    one.due_ms = max(one.due_ms, renewed.get(one.consumer, 0))
                if one.due_ms < now and len(overdue) < most:
                    overdue.append(one)
                    self._held[at] = ghost_of(one, grave)
                    self.lost += one.left
                else:
                    self._expect(one.due_ms)
            at += 1
        return overdue

    def _refill(self, one: Taken) -> bool:
        """Put tags back into a range with gaps that spans them."""
        at: i64 = self._find(one.tag)
        if at < self._first:
            return False
        held = self._held[at]
        gone = held.gone
        if gone is None or held.run is not one.run or one.lo < held.lo or one.hi > held.hi:
            return False
        index: i64 = one.lo
        while index < one.hi:
            gone[index] = 0
            index += 1
        held.left += one.hi - one.lo
        return True

    def take_all(self) -> list[Taken]:
        """Settle everything, in the order of delivery."""
        taken: list[Taken] = []
        at: i64 = self._first
        while at < len(self._held):
            held = self._held[at]
            self._take_rest(held, held.hi, taken)
            at += 1
        self._held = []
        self.outstanding = 0
        self._begin_anew()
        return taken

    def _begin_anew(self) -> None:
        """Nothing is outstanding."""
        self.due_ms = 0
        self.lost = 0
        self._first = 0
        self._empty = 0
        self._cuts = 0
        self._lanes = {}
        self._last_lane = None

    def reach(self, last_tag: int) -> tuple[int, int]:
        """About how many ranges and messages are outstanding up to a tag (0 = all), or less."""
        held = self._held
        first: i64 = self._first
        if last_tag == 0 or first == len(held):
            return len(held) - first + self._cuts, self.outstanding
        end: i64 = self._find(last_tag) + 1
        tags: i64 = last_tag - held[first].tag + 1
        return max(0, end - first) + self._cuts, max(0, min(tags, self.outstanding))

    @property
    def lanes(self) -> list[Lane]:
        """The lanes of what is outstanding, and some of what was a while ago."""
        return list(self._lanes)

    def detach(self, last_tag: int) -> Leaving:
        """Settle all up to a tag (0 = all) without looking at each.

        Raises:
            UnknownTag: it is not outstanding; nothing was done.
        """
        lanes = self.lanes
        held = self._held
        if last_tag == 0:
            self._held = []
            self.outstanding = 0
            leaving = Leaving(held, self._first, lanes)
            self._begin_anew()
            return leaving
        if not self._is_outstanding(last_tag):
            raise UnknownTag(last_tag, [])
        end = self._find(last_tag)
        part = held[end]
        going = held[self._first : end]
        for one in going:
            self.outstanding -= one.left
            if one.lane.is_grave:
                self.lost -= one.left
            if one.left == 0:
                self._empty -= 1
        lower = lower_part(part, part.lo + (last_tag - part.tag) + 1)
        self.outstanding -= lower.left
        if lower.lane.is_grave:
            self.lost -= lower.left
        if part.left == 0:
            self._empty += 1
        going.append(lower)
        self._first = end
        self._sweep()
        return Leaving(going, 0, lanes)

    def _find(self, tag: i64) -> i64:
        """The index of the last range that begins at or below the tag; may be before first."""
        held = self._held
        low: i64 = self._first
        high: i64 = len(held)
        if low < high and held[low].tag <= tag < held[low].tag + (held[low].hi - held[low].lo):
            return low
        while low < high:
            middle: i64 = (low + high) // 2
            if held[middle].tag <= tag:
                low = middle + 1
            else:
                high = middle
        return low - 1

    def _is_outstanding(self, tag: i64) -> bool:
        at: i64 = self._find(tag)
        if at < self._first:
            return False
        held = self._held[at]
        index: i64 = held.lo + (tag - held.tag)
        if index >= held.hi:
            return False
        gone = held.gone
        return gone is None or gone[index] == 0

    def _take_range(self, tag: i64, last: i64, taken: list[Taken]) -> i64:
        """Settle tag and those after it that lie in the same range; the next tag to settle."""
        at: i64 = self._find(tag)
        if at < self._first:
            return tag
        held = self._held[at]
        low: i64 = held.lo + (tag - held.tag)
        if low >= held.hi:
            return tag
        high: i64 = min(held.hi, low + (last - tag) + 1)
        gone = held.gone
        if gone is None and low != held.lo and high != held.hi:
            gone = held.gone = bytearray(held.hi)
        if gone is not None:
            self._cuts += 1
            at = low
            while at < high and gone[at] == 0:
                gone[at] = 1
                at += 1
            high = at
        if high > low:
            taken.append(Taken(held, low, high))
            self.outstanding -= high - low
            if held.lane.is_grave:
                self.lost -= high - low
            if gone is None:
                self._cut(held, low, high)
            else:
                held.left -= high - low
            if held.left == 0:
                self._empty += 1
        return tag + (high - low)

    def _cut(self, held: Held, low: i64, high: i64) -> None:
        held.left -= high - low
        if low == held.lo:
            held.tag += high - low
            held.lo = high
        else:
            held.hi = low

    def _take_upto(self, last: i64, taken: list[Taken]) -> None:
        held = self._held
        at: i64 = self._first
        while at < len(held) and held[at].tag <= last:
            one = held[at]
            high: i64 = min(one.hi, one.lo + (last - one.tag) + 1)
            had: i64 = one.left
            if had:
                self._take_rest(one, high, taken)
                self.outstanding -= had - one.left
                if one.lane.is_grave:
                    self.lost -= had - one.left
                if one.left == 0:
                    self._empty += 1
            at += 1

    def _take_rest(self, held: Held, high: i64, taken: list[Taken]) -> None:
        """Settle what is outstanding of a range below the index `high`."""
        while held.lo < high:
            take_from(held, high, taken)

    def _sweep(self) -> None:
        held = self._held
        first: i64 = self._first
        while first < len(held) and held[first].left == 0:
            first += 1
            self._empty -= 1
        self._first = first
        if first == len(held):
            held.clear()
            self._begin_anew()
        elif first + self._empty > 64 and (first + self._empty) * 2 > len(held):
            self._held = [one for one in held[first:] if one.left]
            self._first = 0
            self._empty = 0
            self._cuts = 0


def take_from(held: Held, high: i64, taken: list[Taken]) -> None:
    """Settle the first outstanding stretch of a range below the index `high`, and go behind it."""
    gone = held.gone
    low: i64 = held.lo
    end: i64 = high
    if gone is not None:
        while low < high and gone[low]:
            low += 1
        end = low
        while end < high and gone[end] == 0:
            end += 1
    if low < end:
        taken.append(Taken(held, low, end))
        held.left -= end - low
    held.tag += end - held.lo
    held.lo = end


def ghost_of(held: Held, grave: Lane) -> Held:
    """The same tags without their messages."""
    piece = Stretch(held.run, held.base, held.lo, held.hi, 0, False)
    ghost = Held(held.tag, grave, piece, None, 0, 0)
    gone = held.gone
    if gone is not None:
        ghost.gone = bytearray(gone)
    ghost.left = held.left
    return ghost


def lower_part(held: Held, high: i64) -> Held:
    """Cut a range in two below the index `high`."""
    piece = Stretch(
        held.run,
        held.base,
        held.lo,
        high,
        held.deadline_ms,
        False,
        held.acquired,
        held.failed,
    )
    lower = Held(held.tag, held.lane, piece, held.consumer, held.due_ms, held.since_ms)
    gone = held.gone
    if gone is not None:
        lower.gone = gone[:high]
        lower.left = gone.count(0, held.lo, high)
    held.left -= lower.left
    held.tag += high - held.lo
    held.lo = high
    return lower


class Leaving:
    """Deliveries that a channel has let go of, in the order of their tags; see `Unacked.lanes`.

    What was taken is freed in steps: a million of them are not all let go of in one moment.
    """

    def __init__(self, held: list[Held], first: int, lanes: list[Lane]) -> None:
        self.lanes = lanes
        self._held = held
        self._first: i64 = first

    def take_some(self, ranges: int, messages: int) -> list[Taken]:
        """The next of them, so many ranges or messages at most; none: that was all."""
        taken: list[Taken] = []
        held = self._held
        left: i64 = messages
        at: i64 = self._first
        while at < len(held) and len(taken) < ranges and left > 0:
            one = held[at]
            had: i64 = one.left
            if had > 0:
                take_from(one, min(one.hi, one.lo + left), taken)
                left -= had - one.left
            if one.left == 0:
                at += 1
        if at >= FREE_AT or at == len(held):
            del held[:at]
            at = 0
        self._first = at
        return taken


def by_consumer(taken: list[Taken]) -> dict[object, int]:
    """How many messages were settled of each consumer; None: of those that got none."""
    found: dict[object, int] = {}
    for one in taken:
        found[one.consumer] = found.get(one.consumer, 0) + int(one.hi - one.lo)
    return found
