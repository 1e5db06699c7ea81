"""Sums: what all lanes of many queues hold, and which queues something happened in.

Whoever watches asks this of ten thousand queues every second, so each costs a few dozen
nanoseconds; nothing is done per message for it.

Compiled; plain Python otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpd.broker.chunk import StreamLane

if TYPE_CHECKING:
    from mypy_extensions import i64

    from amqpd.broker.counts import Counts
    from amqpd.broker.lane import Lane


class Sums:
    """What lanes hold together; `kept` is in a stream and with a client at the same time.

    `persistent_bytes` are those of queues that have anything in the store.
    """

    def __init__(self) -> None:
        self.ready: i64 = 0
        self.unacked: i64 = 0
        self.delayed: i64 = 0
        self.kept: i64 = 0
        self.loaded: i64 = 0
        self.stored: i64 = 0
        self.paged_out: i64 = 0
        self.ready_bytes: i64 = 0
        self.unacked_bytes: i64 = 0
        self.loaded_bytes: i64 = 0
        self.paged_out_bytes: i64 = 0
        self.persistent_bytes: i64 = 0

    @property
    def messages(self) -> int:
        """All messages, each once."""
        return self.ready + self.unacked + self.delayed - self.kept

    def add(self, lanes: list[Lane]) -> None:
        """Those of one queue."""
        stored: i64 = 0
        size_bytes: i64 = 0
        for lane in lanes:
            unacked: i64 = lane.unacked
            self.ready += lane.ready
            self.unacked += unacked
            self.delayed += lane.delayed
            self.loaded += lane.loaded
            self.paged_out += lane.paged_out
            self.ready_bytes += lane.ready_bytes
            self.unacked_bytes += lane.unacked_bytes
            self.loaded_bytes += lane.loaded_bytes
            self.paged_out_bytes += lane.paged_out_bytes
            size_bytes += lane.ready_bytes + lane.unacked_bytes
            if lane.durable:
                stored += lane.stored
            if unacked and isinstance(lane, StreamLane):
                self.kept += unacked
        self.stored += stored
        if stored:
            self.persistent_bytes += size_bytes

    def add_all(self, queues: list[list[Lane]]) -> None:
        """Those of many queues."""
        for lanes in queues:
            self.add(lanes)


def sums_of(queues: list[list[Lane]]) -> Sums:
    """What the lanes of some queues hold."""
    found = Sums()
    found.add_all(queues)
    return found


def moved(queues: list[list[Lane]]) -> list[int]:
    """Which queues, by their place, something happened in since this was asked last."""
    found: list[int] = []
    for place, lanes in enumerate(queues):
        differs = False
        for lane in lanes:
            passed = passed_through(lane.counts)
            if (
                lane.seen_passed != passed
                or lane.seen_ready != lane.ready
                or lane.seen_unacked != lane.unacked
                or lane.seen_delayed != lane.delayed
            ):
                differs = True
                lane.seen_passed = passed
                lane.seen_ready = lane.ready
                lane.seen_unacked = lane.unacked
                lane.seen_delayed = lane.delayed
        if differs:
            found.append(place)
    return found


def row_of(lanes: list[Lane]) -> tuple[int, ...]:
    """All that is shown of what a queue's lanes hold, and how much has passed through them."""
    sums = Sums()
    sums.add(lanes)
    passed: i64 = 0
    for lane in lanes:
        passed += passed_through(lane.counts)
    return (
        passed,
        sums.ready,
        sums.unacked,
        sums.delayed,
        sums.kept,
        sums.loaded,
        sums.stored,
        sums.paged_out,
        sums.ready_bytes,
        sums.unacked_bytes,
        sums.loaded_bytes,
        sums.paged_out_bytes,
        sums.persistent_bytes,
    )


def traffic_of(lanes: list[Lane]) -> tuple[int, int, int, int, int, int, int, int, int]:
    """What has passed through the lanes of a queue, in the order of `rates.TRAFFIC`."""
    published: i64 = 0
    delivered: i64 = 0
    delivered_no_ack: i64 = 0
    got: i64 = 0
    got_no_ack: i64 = 0
    got_nothing: i64 = 0
    redelivered: i64 = 0
    acked: i64 = 0
    for lane in lanes:
        counts = lane.counts
        published += counts.published
        delivered += counts.delivered
        delivered_no_ack += counts.delivered_no_ack
        got += counts.got
        got_no_ack += counts.got_no_ack
        got_nothing += counts.got_nothing
        redelivered += counts.redelivered
        acked += counts.acked
    return (
        published,
        delivered,
        delivered_no_ack,
        delivered + delivered_no_ack + got + got_no_ack,
        got,
        got_no_ack,
        got_nothing,
        redelivered,
        acked,
    )


def passed_through(counts: Counts) -> i64:
    """A number that grows with each counter."""
    return (
        counts.published
        + counts.delivered
        + counts.delivered_no_ack
        + counts.got
        + counts.got_no_ack
        + counts.got_nothing
        + counts.redelivered
        + counts.acked
    )
