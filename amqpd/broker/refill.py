"""Refill: what is behind the memory window of a lane comes back from the store.

Each read goes on behind the one before (`Lane.loaded_upto`). Where some messages came back in
a former life, what the store knows of them comes along; those that still wait for their time
are left to `retry`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from amqpd.broker.attempts import FRESH, Counted, assemble_counted
from amqpd.broker.rows import assemble

if TYPE_CHECKING:
    from collections.abc import Callable

    from amqpd.broker.attempts import Returned
    from amqpd.broker.lane import Lane
    from amqpd.broker.queue import Queue
    from amqpd.broker.rows import Row
    from amqpd.broker.stretch import Stretch

logger = logging.getLogger(__name__)


class Refill(Protocol):
    """The core's third opening: brings a stretch of a lane back from the store."""

    def __call__(
        self,
        lane: int,
        from_position: int,
        upto_position: int,
        max_messages: int,
        max_bytes: int,
        done: Callable[[list[Row], int], None],
    ) -> None:
        """`done(rows, upto)`: all committed rows below `upto`, in order of position."""


class Refills:
    """The reads for the lanes of one queue."""

    __slots__ = ("_queue",)

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def begin(self, lane: Lane, upto: int, max_messages: int, max_bytes: int) -> None:
        """Have the next messages of a lane brought, up to a position and so many."""
        lane.refilling = True
        queue, low = self._queue, lane.loaded_upto
        around = queue.around
        queue.expiry.begin_read(lane)

        def arrived(rows: list[Row], seen: int) -> None:
            if self._is_wanted(lane, seen):
                rows = queue.expiry.unswept(lane, rows)
                self._load(lane, assemble(rows, lane.redelivered_below), seen)

        def arrived_counted(returned: Returned) -> None:
            if self._is_wanted(lane, returned.upto):
                self._load_counted(lane, returned)

        if lane.counted:
            question = Counted(lane.id, low, upto, around.now_ms, max_messages, max_bytes)
            around.read_returned(question, arrived_counted)
        else:
            around.refill(lane.id, low, upto, max_messages, max_bytes, arrived)

    def _is_wanted(self, lane: Lane, seen: int) -> bool:
        lane.refilling = False
        self._queue.wake()
        return not lane.dead and lane.loaded_upto < seen  # else a purge was faster

    def _load(self, lane: Lane, stretches: list[Stretch], seen: int) -> None:
        before = lane.ready
        lane.load(stretches, seen)
        if lane.ready < before:
            queue, missing = self._queue, before - lane.ready
            logger.error(
                "queue '%s' in vhost '%s': %d messages that were counted are not in the store; "
                "'amqpd check' tells why",
                queue.name,
                queue.vhost,
                missing,
            )
        self._queue.expiry.came_back(lane, stretches)

    def _load_counted(self, lane: Lane, returned: Returned) -> None:
        queue, attempts = self._queue, returned.attempts
        waiting = [one for one in returned.waiting if not queue.expiry.is_swept(lane, one.position)]
        rows = queue.expiry.unswept(lane, returned.rows)
        stretches = assemble_counted(rows, lane.redelivered_below, attempts)
        queue.retry.found(
            lane, [one for one in stretches if attempts.get(one.position, FRESH).due_ms]
        )
        self._load(lane, stretches, returned.upto)
        queue.retry.passed(lane, waiting)
