"""Levels: the lanes of a queue, which may be 256, together.

    ready_of, head_of, …    what is asked of them often
    Handful                 what one consumer gets of them at once
    push_parts              messages of one read come to several of them

A read has a few messages for each level: a call for each of them would be most of the work.

Compiled; plain Python otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from amqpd.broker.stretch import Stretch

if TYPE_CHECKING:
    from mypy_extensions import i64

    from amqpd.broker.lane import Lane
    from amqpd.broker.run import Append, Run, Target

#: A priority, -1 for none, and from where to where in a run its messages are.
Part = tuple[int, int, int]

#: What a delivery costs beside its bytes, in bytes.
DELIVERY_BYTES: Final = 64
#: A handful ends with what makes it cost so much: then it is seen whether there is room for more.
HANDFUL_BYTES: Final = 128 << 10


def ready_of(lanes: list[Lane]) -> int:
    """Messages that are ready."""
    total: i64 = 0
    for lane in lanes:
        total += lane.ready
    return total


def unacked_of(lanes: list[Lane]) -> int:
    """Messages that a client has."""
    total: i64 = 0
    for lane in lanes:
        total += lane.unacked
    return total


def delayed_of(lanes: list[Lane]) -> int:
    """Messages that came back and wait for their time."""
    total: i64 = 0
    for lane in lanes:
        total += lane.delayed
    return total


def ready_bytes_of(lanes: list[Lane]) -> int:
    """Body bytes of these."""
    total: i64 = 0
    for lane in lanes:
        total += lane.ready_bytes
    return total


def loaded_of(lanes: list[Lane]) -> int:
    """Those of them that are in memory."""
    total: i64 = 0
    for lane in lanes:
        total += lane.loaded
    return total


def head_of(lanes: list[Lane]) -> Lane | None:
    """The first lane that has something in memory; none while one before it loads."""
    for lane in lanes:
        if lane.loaded:
            return lane
        if lane.ready:
            return None
    return None


def wanting_of(lanes: list[Lane], ahead: int) -> list[Lane]:
    """Those of the first `ahead` lanes with messages that want some from the store."""
    found: list[Lane] = []
    left: i64 = ahead
    for lane in lanes:
        if lane.ready == 0:
            continue
        if lane.paged and not lane.refilling and lane.loaded <= lane.window // 2:
            found.append(lane)
        left -= 1
        if left == 0:
            break
    return found


def empty_of(lanes: list[Lane], messages: int, size_bytes: int) -> int:
    """How many have nothing, neither here nor in the store; their windows are so small again."""
    empty: i64 = 0
    for lane in lanes:
        if lane.ready == 0 and not lane.paged:
            lane.window = messages
            lane.window_bytes = size_bytes
            empty += 1
    return empty


def push_parts(run: Run, lanes: list[Lane], parts: list[Part]) -> list[tuple[Lane, int, int]]:
    """Put each part of a run, none of which expires, into its lane: lane, base, deadline."""
    placed: list[tuple[Lane, int, int]] = []
    for lane, part in zip(lanes, parts, strict=True):
        placed.append((lane, lane.push(run, 0, not lane.is_full, part[1], part[2]), 0))
    return placed


def enter_parts(entry: Append, targets: list[tuple[Lane, int, int]], parts: list[Part]) -> bool:
    """The parts are on their way to the store; whether two lanes get the same messages."""
    chain = True
    upto: i64 = 0
    for target, part in zip(targets, parts, strict=True):
        target[0].enter(entry, target[1], target[2], part[1], part[2])
        chain = chain and part[1] >= upto
        upto = part[2]
    return not chain and len({(part[1], part[2]) for part in parts}) < len(parts)


def committed(targets: list[Target]) -> list[Lane]:
    """What went to these is on disk; those that may have something brought now."""
    found: list[Lane] = []
    for target in targets:
        lane = target.home
        lane.committed_upto = max(lane.committed_upto, target.upto)
        if lane.paged:
            found.append(lane)
    return found


class Handful:
    """What one consumer gets at once: of several levels, in the order in which it goes out.

    `returned`: some were handed out before. `waits`: what comes next waits for its mark.
    """

    def __init__(self) -> None:
        self.lanes: list[Lane] = []
        #: Of each of the lanes, which may be there more than once.
        self.pieces: list[Stretch] = []
        self.messages: i64 = 0
        self.redelivered: i64 = 0
        self.cost_bytes: i64 = 0
        self.returned = False
        self.waits = False

    def take(self, lanes: list[Lane], credit: int, settle: bool, cost_bytes: int) -> None:
        """Take from the heads of lanes, while no one before it loads; see `Lane.take`."""
        left: i64 = credit
        most: i64 = min(cost_bytes, HANDFUL_BYTES)
        for lane in lanes:
            while lane.loaded > 0:
                piece = lane.take(left, settle)
                if piece is None:
                    self.waits = True
                    return
                left -= self._add(lane, piece)
                if left <= 0 or self.cost_bytes >= most:
                    return
            if lane.ready > 0:
                return

    def _add(self, lane: Lane, piece: Stretch) -> i64:
        count: i64 = piece.hi - piece.lo
        self.lanes.append(lane)
        self.pieces.append(piece)
        self.messages += count
        if piece.redelivered:
            self.redelivered += count
        if piece.acquired:
            self.returned = True
        self.cost_bytes += piece.run.share(piece.lo, piece.hi) + DELIVERY_BYTES * count
        return count

    def spans(self) -> list[Stretch]:
        """The pieces; those that follow each other in a run, and are alike, as one."""
        found: list[Stretch] = []
        last: Stretch | None = None
        for piece in self.pieces:
            if last is not None and _goes_on(last, piece):
                last.hi = piece.hi
            elif piece.shown is not None:
                last = None
                found.append(piece)
            else:
                last = Stretch(piece.run, piece.base, piece.lo, piece.hi, 0, piece.redelivered)
                found.append(last)
        return found


def _goes_on(last: Stretch, piece: Stretch) -> bool:
    return (
        piece.run is last.run
        and piece.lo == last.hi
        and piece.redelivered == last.redelivered
        and piece.shown is None
    )
