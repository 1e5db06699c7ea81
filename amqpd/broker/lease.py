"""Queue expiry: a queue that nobody uses for the time of `x-expires` is deleted.

A queue is in use while it has a consumer, and each declare and basic.get renews its lease.
The lease begins anew with every change of what is in force, and at start; messages in the
queue are not dead-lettered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from amqpd.broker.queue import Queue


class Lease:
    """The lease of one queue; `expired(queue)` is called when it ends."""

    def __init__(self, queue: Queue, expired: Callable[[Queue], object]) -> None:
        self._queue = queue
        self._expired = expired
        #: Counts the leases: what was arranged for an older one comes to nothing.
        self._number = 0

    def begin(self) -> None:
        """A new lease, if the queue has one at all."""
        queue = self._queue
        self._number += 1
        number = self._number
        lease_ms = queue.arguments.expires_ms
        if lease_ms is None:
            return
        queue.used_ms = queue.around.now_ms

        def look(now_ms: int) -> None:
            if queue.deleted or number != self._number:
                return
            if queue.ring:
                queue.used_ms = now_ms
            if now_ms - queue.used_ms >= lease_ms:
                self._expired(queue)
            else:
                queue.around.timers.at(queue.used_ms + lease_ms, look)

        queue.around.timers.at(queue.used_ms + lease_ms, look)
