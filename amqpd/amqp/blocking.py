"""Blocking: why a client that publishes is not read for a while, and what it is told of it.

    alarm       memory or disk is short: whoever publishes is not read until that is over
    full        queues that are at their limit and hold their publishers (`x-overflow: block`)

A client that understands `connection.blocked` hears of it once, and once when all is well.

Whoever fills a queue may be the one who empties it, or hold up whoever does: what it has to
settle lies behind what it publishes. So a connection is read all the same while it waits, in
the end, for itself: at once as long as it settles something now and then, and else slowly. It
is also read on where a read settles as much as it brings.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from pamqp.commands import Connection as ConnectionClass

from amqpd.amqp.consumer import Consumer
from amqpd.amqp.phase import Phase

if TYPE_CHECKING:
    from collections.abc import Iterable

    from amqpd.amqp.connection import Connection
    from amqpd.broker.consumer import Consumer as BrokerConsumer
    from amqpd.broker.queue import Queue


#: What a connection that waits for itself may send without settling anything before it is
#: read once a tick only: more than client and socket have in their buffers.
PATIENCE_BYTES: Final = 32 << 20


class Blocking:
    """What holds one connection back."""

    __slots__ = (
        "_balance", "_connection", "_is_told", "_may_read", "_patience_bytes", "alarm", "full",
        "is_blocked",
    )  # fmt: skip

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        #: Why publishers are blocked everywhere, if they are; this one is if it published.
        self.alarm = ""
        self.is_blocked = False
        #: The queues whose room it waits for.
        self.full: dict[Queue, None] = {}
        self._may_read = False
        self._balance = 0
        self._patience_bytes = PATIENCE_BYTES
        self._is_told = False

    @property
    def holds(self) -> bool:
        """Whether the connection shall not be read."""
        return self.is_blocked or (bool(self.full) and not self._may_read)

    # -- alarms --------------------------------------------------------------------------

    def published(self) -> None:
        """The client publishes during an alarm: what it sends waits until that is over."""
        if not self.is_blocked:
            self.is_blocked = True
            self._tell(self.alarm)

    def alarmed(self, reason: str) -> None:
        """Resources ran low, or are back (no reason)."""
        self.alarm = reason
        for channel in self._connection.channels.values():
            channel.wake_consumers()
        if not reason and self.is_blocked:
            self.is_blocked = False
            self._connection.read_on()
            self._go_on()

    # -- full queues ---------------------------------------------------------------------

    def filled(self, queues: Iterable[Queue], messages: int) -> None:
        """What it has published has filled queues, or found them full."""
        self._balance += messages
        for queue in queues:
            if queue not in self.full:
                self.full[queue] = None
                queue.pressure.wait_for_room(self, partial(self._has_room, queue))
                self._tell(f"queue '{queue.name}' in vhost '{queue.vhost}' is full")

    def settled(self, messages: int) -> None:
        """It has settled deliveries."""
        self._balance -= messages
        self._patience_bytes = PATIENCE_BYTES

    def end_read(self, size_bytes: int) -> None:
        """A read is over: see whether there may be another one."""
        self._patience_bytes -= size_bytes
        self._may_read = self._balance <= 0 or (
            self._patience_bytes > 0 and self._waits_for_itself()
        )
        self._balance = 0

    def tick(self) -> None:
        """Read a little, now and then, whoever waits for itself."""
        if not self._may_read and self._waits_for_itself():
            self._may_read = True
            self._connection.output.touch()

    def _waits_for_itself(self) -> bool:
        """Whether a queue is stuck as long as this connection is not read."""
        return any(_is_stuck(queue, {self: False}) for queue in self.full)

    def release(self) -> None:
        """The connection is at its end."""
        for queue in self.full:
            queue.pressure.leave(self)
        self.full.clear()

    def _has_room(self, queue: Queue) -> None:
        self.full.pop(queue, None)
        if not self.full:
            self._balance = 0
            self._go_on()

    # -- the client ----------------------------------------------------------------------

    def _tell(self, reason: str) -> None:
        connection = self._connection
        if not self._is_told and connection.can("connection.blocked"):
            self._is_told = True
            connection.output.send(ConnectionClass.Blocked(reason=reason), 0)

    def _go_on(self) -> None:
        connection = self._connection
        if self._is_told and not self.is_blocked and not self.full:
            self._is_told = False
            if connection.phase is Phase.RUNNING:
                connection.output.send(ConnectionClass.Unblocked(), 0)
        # Whoever writes for the connection also looks whether it is to be read.
        connection.output.touch()


def _is_stuck(queue: Queue, known: dict[Blocking, bool]) -> bool:
    """Whether nobody makes room in a queue; `known` tells of some whether they are read.

    A queue without consumers is not stuck: somebody else may come.
    """
    consumers = [one.consumer for one in queue.ring]
    return bool(consumers) and not any(_may_take(consumer, known) for consumer in consumers)


def _may_take(consumer: BrokerConsumer, known: dict[Blocking, bool]) -> bool:
    """Whether a consumer takes something now, or when its connection is read."""
    if not isinstance(consumer, Consumer):
        return consumer.credit() > 0
    blocking = consumer.channel.connection.blocking
    if blocking not in known:
        if consumer.credit() > 0:
            return True
        known[blocking] = False  # not because of itself
        known[blocking] = not blocking.is_blocked and not any(
            _is_stuck(queue, known) for queue in blocking.full
        )
    # What credit it has at the moment came with its last read.
    return known[blocking]
