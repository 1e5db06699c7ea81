"""Timeouts: what a client has kept for too long goes back to its queue.

    watch(connection, 60_000)        something may be overdue then
    sweep(connection, now_ms)        at about that time: take back what is overdue

There is no timer per message. A connection knows when it is worth a look; nothing can be
overdue before. A client that understands it is told that its consumer is cancelled, and keeps
what is not overdue; what it says of the others comes too late and means nothing. Any other
loses its channel, and so does one that has no consumer to lose: it got the message by
basic.get, or has cancelled the consumer itself, or is in a transaction.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from amqpd.amqp.consumer import Consumer
from amqpd.amqp.incoming import UNKNOWN
from amqpd.amqp.settlement import Settlement, give_back
from amqpd.broker.delivery import Leaving
from amqpd.broker.lane import Lane
from amqpd.broker.queue import Queue
from amqpd.broker.run import Run, SettleLog
from amqpd.errors import PreconditionFailed

if TYPE_CHECKING:
    from amqpd.amqp.channel import Channel
    from amqpd.amqp.connection import Connection
    from amqpd.broker.delivery import Held

logger = logging.getLogger(__name__)

#: So many ranges are taken back at a time; the next ones with the next tick.
MOST: Final = 20_000
#: RabbitMQ's words.
_TOO_LATE: Final = (
    "delivery acknowledgement on channel {} timed out. Timeout value used: {} ms. "
    "This timeout value can be configured, see consumers doc guide to learn more"
)


class _Nobody:
    """What owns messages that are not a client's any more."""

    def wake(self) -> None:
        """Nothing is handed out here."""


def _a_grave() -> Lane:
    lane = Lane(_Nobody(), SettleLog(), 0, 0, False)
    lane.dead = lane.is_grave = True
    lane.placeholder = Run([], b"", None, False, 0, 0)
    return lane


#: Where deliveries belong that were taken back, until the client says what it thinks of them.
GRAVE: Final = _a_grave()


def watch(connection: Connection, timeout_ms: int) -> int:
    """When a message that goes out now is overdue (0: never); the connection will look then."""
    if timeout_ms == 0:
        return 0
    due_ms = connection.broker.around.now_ms + timeout_ms
    if connection.look_ms == 0 or due_ms < connection.look_ms:
        connection.look_ms = due_ms
    return due_ms


def sweep(connection: Connection, now_ms: int) -> int:
    """Take back what is overdue; when it is worth another look (0: that is not known yet)."""
    times = []
    for channel in list(connection.channels.values()):
        if channel.is_open:
            _expire(channel, now_ms)
        if channel.is_open:
            times += [
                now_ms + one.timeout_ms for one in channel.consumers.values() if one.timeout_ms
            ]
            if channel.unacked.due_ms:
                times.append(channel.unacked.due_ms)
    return min(times, default=0)


def _expire(channel: Channel, now_ms: int) -> None:
    renewed: dict[object, int] = {
        one: one.acked_ms + one.timeout_ms
        for one in channel.consumers.values()
        if one.timeout_ms and one.restarts_timeout
    }
    overdue = channel.unacked.expire(now_ms, MOST, GRAVE, renewed)
    if not overdue:
        return
    consumers = list(dict.fromkeys(held.consumer for held in overdue))
    timeout_ms = _timeout_of(overdue[0])
    logger.warning(
        "connection %s, channel %d: messages were not acknowledged within %d ms (%s)",
        channel.connection.peer,
        channel.number,
        timeout_ms,
        ", ".join(_called(one) for one in consumers),
    )
    lost = [one for one in consumers if _can_be_cancelled(channel, one)]
    for consumer in lost:
        assert isinstance(consumer, Consumer)
        channel.vhost.cancel(consumer)
        consumer.cancelled()
    lanes = list(dict.fromkeys(held.lane for held in overdue))
    give_back(channel, Settlement.REQUEUE, Leaving(overdue, 0, lanes))
    if lost != consumers:
        error = PreconditionFailed(_TOO_LATE.format(channel.number, timeout_ms))
        channel.connection.refuse(error, channel.number, UNKNOWN)


def _called(consumer: object) -> str:
    return f"consumer '{consumer.tag}'" if isinstance(consumer, Consumer) else "basic.get"


def _can_be_cancelled(channel: Channel, consumer: object) -> bool:
    connection = channel.connection
    return (
        isinstance(consumer, Consumer)
        and channel.consumers.get(consumer.tag) is consumer
        and channel.tx is None
        and not connection.broker.limits.timeout_closes
        and connection.can("consumer_cancel_notify")
    )


def _timeout_of(held: Held) -> int:
    consumer, queue = held.consumer, held.lane.owner
    if isinstance(consumer, Consumer):
        return consumer.timeout_ms
    assert isinstance(queue, Queue)
    return queue.ack_timeout_ms()
