"""Levels: sums over the lanes of a queue, which may be 256 and are asked for often.

Compiled; plain Python otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_extensions import i64

    from amqpd.broker.lane import Lane


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


def empty_of(lanes: list[Lane]) -> int:
    """How many have nothing, neither here nor in the store."""
    empty: i64 = 0
    for lane in lanes:
        if lane.ready == 0 and not lane.paged:
            empty += 1
    return empty
