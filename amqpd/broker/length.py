"""Length: how many messages and bytes a queue may hold, counted as RabbitMQ counts.

Ready messages count and their bodies, and those that wait for their time since they came back;
nothing else. A message fits if the queue is within
its limits with it; where several arrive together they are counted one after the other. What
does not fit is refused, or takes the place of what is at the head, or is taken all the same
while its publisher waits (`pressure`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpd.broker.arguments import Overflow, QueueType, Victim
from amqpd.broker.deadletter import MAXLEN
from amqpd.broker.expiry import BURIAL_COST

if TYPE_CHECKING:
    from amqpd.broker.arguments import QueueArguments
    from amqpd.broker.lane import Lane
    from amqpd.broker.queue import Queue
    from amqpd.broker.stretch import Stretch

_REFUSING = frozenset({Overflow.REJECT_PUBLISH, Overflow.REJECT_PUBLISH_DLX})


class Length:
    """The limits of one queue; without any, `is_limited` is all that anybody asks."""

    __slots__ = (
        "_messages", "_queue", "_resume_bytes", "_resume_messages", "_size_bytes", "_victim",
        "blocks", "drops", "is_limited", "refuses",
    )  # fmt: skip

    def __init__(self, queue: Queue, arguments: QueueArguments) -> None:
        self._queue = queue
        self.use(arguments)

    def use(self, arguments: QueueArguments) -> None:
        """These arguments are in force from now on."""
        # A stream makes room by whole segments: see `retention`.
        is_stream = arguments.queue_type is QueueType.STREAM
        self._messages = None if is_stream else arguments.max_length
        self._size_bytes = None if is_stream else arguments.max_length_bytes
        self._victim = arguments.overflow_victim
        percent = arguments.flow_resume_percent
        self._resume_messages = (self._messages or 0) * percent // 100
        self._resume_bytes = (self._size_bytes or 0) * percent // 100
        overflow = arguments.overflow
        self.is_limited = self._messages is not None or self._size_bytes is not None
        #: What happens to a message that does not fit; one of them, or none.
        self.drops = self.is_limited and overflow is Overflow.DROP_HEAD
        self.refuses = self.is_limited and overflow in _REFUSING
        self.blocks = self.is_limited and overflow is Overflow.BLOCK

    def fits(self, messages: int, body_bytes: int) -> bool:
        """Whether all of so many more messages of so many bytes together fit."""
        queue = self._queue
        return (self._messages is None or queue.waiting + messages <= self._messages) and (
            self._size_bytes is None or queue.waiting_bytes + body_bytes <= self._size_bytes
        )

    def admits(self, messages: int, body_bytes: int) -> bool:
        """Whether they fit, once consumers with credit have taken what they can."""
        if self.fits(messages, body_bytes):
            return True
        self._queue.act()
        return self.fits(messages, body_bytes)

    @property
    def is_full(self) -> bool:
        """Nothing more fits, unless the queue is empty: then a consumer may be waiting."""
        queue = self._queue
        waiting = queue.waiting
        return waiting > 0 and (
            (self._messages is not None and waiting >= self._messages)
            or (self._size_bytes is not None and queue.waiting_bytes >= self._size_bytes)
        )

    @property
    def is_over(self) -> bool:
        """More is here than fits."""
        return not self.fits(0, 0)

    @property
    def has_room(self) -> bool:
        """So much has gone that publishers may go on."""
        queue = self._queue
        return (self._messages is None or queue.waiting <= self._resume_messages) and (
            self._size_bytes is None or queue.waiting_bytes <= self._resume_bytes
        )

    # -- making room ---------------------------------------------------------------------

    def trim(self, *, bounded: bool = False) -> None:
        """Drop what is over the limits, if it is this queue's way to make room.

        `bounded`: no more dead letters than a turn allows, the rest in the next ones.
        """
        if not self.drops:
            return
        queue = self._queue
        around = queue.around
        bounded = bounded and queue.arguments.dead_letter_exchange is not None
        while (over := self._over()) is not None:
            lane, head = self._victim_of()
            if lane is None or head is None:
                return  # the first to go is on its way from the store
            messages, size_bytes = over
            count = max(messages, head.run.reaching(head.lo, head.hi, size_bytes))
            if bounded:
                count = min(count, around.spare // BURIAL_COST)
                if count <= 0:
                    queue.go_on_later()
                    return
            piece = lane.remove_of(head, count)
            around.spare -= BURIAL_COST * (piece.hi - piece.lo) if bounded else 0
            around.bury(queue, [(lane, piece)], MAXLEN)

    def _over(self) -> tuple[int, int] | None:
        """Messages and bytes above the limits."""
        queue = self._queue
        messages = 0 if self._messages is None else queue.waiting - self._messages
        size_bytes = 0 if self._size_bytes is None else queue.waiting_bytes - self._size_bytes
        if messages <= 0 and size_bytes <= 0:
            return None
        return max(messages, 0), max(size_bytes, 0)

    def _victim_of(self) -> tuple[Lane | None, Stretch | None]:
        """Where the next victim is: the head, or the oldest of the lowest priority."""
        queue = self._queue
        lane: Lane | None = None
        if self._victim is Victim.HEAD:
            if queue.returned is not None:
                found = queue.returned.first(queue.around.now_ms)
                if found is not None:
                    return found
            lane = queue.paging.head()
        else:
            lane = next((one for one in reversed(queue.paging.occupied) if one.ready), None)
        if lane is None or not lane.loaded:
            return None, None
        return lane, lane.head()
