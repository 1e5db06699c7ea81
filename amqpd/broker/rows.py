"""Rows: messages as they come back from the store, put together to stretches again.

Compiled; plain Python otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpd.broker.content import build, is_sealed, unseal
from amqpd.broker.run import UNKNOWN_IDS, Run
from amqpd.broker.stretch import Stretch

if TYPE_CHECKING:
    from mypy_extensions import i64

#: A row of the store as a lane gets it back: position, message id, deadline in ms (0 none),
#: shared, transient, names, header payload, body.
Row = tuple[int, int, int, bool, bool, bytes, bytes, bytes]


def assemble(rows: list[Row], redelivered_below: int) -> list[Stretch]:
    """Stretches from rows of the store, in their order; messages that follow on share a run."""
    stretches: list[Stretch] = []
    count: i64 = len(rows)
    start: i64 = 0
    while start < count:
        first = rows[start]
        end: i64 = start + 1
        redelivered: bool = first[0] < redelivered_below
        while end < count and _follows(first, rows[end], end - start):
            if redelivered and rows[end][0] >= redelivered_below:
                break
            end += 1
        stretches.append(_stretch(rows, start, end, redelivered))
        start = end
    return stretches


def _follows(first: Row, row: Row, distance: i64) -> bool:
    return (
        row[0] == first[0] + distance
        and row[3] == first[3]
        and row[4] == first[4]
        and not is_sealed(first[6])
        and not is_sealed(row[6])
    )


def _stretch(rows: list[Row], start: i64, end: i64, redelivered: bool) -> Stretch:
    first = rows[start]
    names = first[5]
    each: list[bytes] | None = None
    contents: list[bytes] = []
    size: i64 = 0
    at: i64 = start
    blind = b""
    deadline_ms: i64 = first[2]
    deadlines: list[int] | None = None
    while at < end:
        row = rows[at]
        header = row[6]
        if is_sealed(header):
            header, blind = unseal(header)
        content = build(1, header, row[7])
        contents.append(content)
        size += len(content)
        if each is None and row[5] != names:
            each = [names] * (at - start)
        if each is not None:
            each.append(row[5])
        if deadlines is None and row[2] != deadline_ms:
            deadlines = [first[2]] * (at - start)
        if deadlines is not None:
            deadlines.append(row[2])
        at += 1
    run = Run(contents, names, each, not first[4], 1, size)
    # Ids grow with positions, so the ends tell whether they are consecutive.
    run.first_id = first[1] if rows[end - 1][1] - first[1] == end - start - 1 else UNKNOWN_IDS
    run.shared = first[3]
    run.blind = blind
    if deadlines is not None:
        run.deadlines = deadlines
        deadline_ms = run.earliest(0, end - start)
    return Stretch(run, first[0], 0, end - start, deadline_ms, redelivered)
