"""What a channel answers to basic.qos, consume, cancel, get and recover.

Publishing is in `publish`, acknowledgements arrive as ranges at `Channel.settle_tags`.
"""

from __future__ import annotations

import logging
import struct
from functools import partial
from typing import TYPE_CHECKING, Final

from pamqp.commands import Basic

from amqpd.amqp import direct_reply, methods
from amqpd.amqp.commands import make
from amqpd.amqp.consumer import Consumer
from amqpd.amqp.settlement import Settlement, requeue_all
from amqpd.amqp.timeouts import watch
from amqpd.broker.access import AuthorityFailed, Undecided
from amqpd.errors import AmqpError, NotAllowed, NotImplementedHere, PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from amqpd.amqp.channel import Channel
    from amqpd.amqp.replies import Reply
    from amqpd.broker.queue import Got

logger = logging.getLogger(__name__)

#: What begins the name of a consumer to which the client gave none.
GENERATED: Final = "amq.ctag-"
_GET_OK: Final = struct.Struct(">HHQ?")
_COUNT: Final = struct.Struct(">I")


def qos(channel: Channel, method: Basic.Qos) -> None:
    """basic.qos: for later consumers, or with `global` one limit for the whole channel."""
    if method.prefetch_size:
        raise NotImplementedHere(f"prefetch_size!=0 ({method.prefetch_size})")
    if method.global_:
        channel.prefetch_shared = method.prefetch_count
        channel.wake_consumers()
    else:
        channel.prefetch = method.prefetch_count
    channel.reply(Basic.QosOk())


def consume(channel: Channel, method: Basic.Consume) -> None:
    """basic.consume; the reply goes out before the first delivery."""
    limit = channel.connection.settings.consumers_per_channel
    tags = channel.consumers
    if limit and len(tags) >= limit:
        raise NotAllowed(f"reached maximum ({limit}) of consumers per channel")
    tag = method.consumer_tag
    reply_consumer = channel.reply_consumer
    if tag in tags or (reply_consumer is not None and reply_consumer.tag == tag):
        raise NotAllowed(f"attempt to reuse consumer tag '{tag}'")
    tag = tag or GENERATED + channel.connection.new_token()
    if method.queue in direct_reply.PSEUDO_QUEUES:
        _consume_replies(channel, method, tag)
    else:
        _consume_queue(channel, method, tag)
    if not method.nowait:
        channel.reply(Basic.ConsumeOk(consumer_tag=tag))


def _consume_queue(channel: Channel, method: Basic.Consume, tag: str) -> None:
    name = channel.queue_name(method.queue)
    consumer = Consumer(
        channel,
        tag,
        name,
        no_ack=method.no_ack,
        exclusive=method.exclusive,
        arguments=methods.table(method.arguments),
    )
    channel.vhost.consume(
        channel.access, name, consumer, exclusive=method.exclusive, owner=channel.connection
    )
    channel.consumers[tag] = consumer
    watch(channel.connection, consumer.timeout_ms)


def _consume_replies(channel: Channel, method: Basic.Consume, tag: str) -> None:
    if channel.reply_consumer is not None:
        raise PreconditionFailed("reply consumer already set")
    if not method.no_ack:
        raise PreconditionFailed("reply consumer cannot acknowledge")
    channel.reply_consumer = channel.reply_consumers.open(channel, tag)


def cancel(channel: Channel, method: Basic.Cancel) -> None:
    """basic.cancel: nothing is delivered after the reply; an unknown tag is fine."""
    tag = method.consumer_tag or ""
    consumer = channel.consumers.pop(tag, None)
    if consumer is not None:
        channel.vhost.cancel(consumer)
    elif channel.reply_consumer is not None and channel.reply_consumer.tag == tag:
        channel.reply_consumers.close(channel.reply_consumer)
        channel.reply_consumer = None
    if not method.nowait:
        channel.reply(Basic.CancelOk(consumer_tag=tag))


def cancel_ok(channel: Channel, method: Basic.CancelOk) -> None:
    """A client's answer to our cancel, which was sent with nowait: fine."""


def get(channel: Channel, method: Basic.Get) -> None:
    """basic.get; where the head of the queue is still on disk the reply keeps its place."""
    _Get(channel, method.no_ack).start(channel.queue_name(method.queue))


class _Get:
    """One basic.get, answered at once or later."""

    __slots__ = ("_channel", "_emit", "_no_ack", "_number", "_place", "_queue")

    def __init__(self, channel: Channel, no_ack: bool) -> None:
        self._channel = channel
        self._no_ack = no_ack
        self._emit: Callable[[], None] | None = None
        self._number = 0
        self._place: Reply | None = None
        self._queue = ""

    def start(self, queue: str) -> None:
        channel = self._channel
        self._queue = queue
        channel.vhost.get(channel.access, queue, channel.connection, self._no_ack, self._done)
        if self._emit is not None:
            channel.replies.send(self._emit, self._number)
        else:
            self._place = channel.replies.reserve()

    def _done(self, got: Got | None) -> None:
        emit = self._empty if got is None else self._answer(got)
        number = 0 if got is None else got.number
        if self._place is not None:
            self._channel.replies.fill(self._place, emit, number)
        self._emit = emit
        self._number = number

    def _count(self, redelivered: bool) -> None:
        counts = self._channel.counts
        counts.redelivered += redelivered
        counts.got += not self._no_ack
        counts.got_no_ack += self._no_ack

    def _empty(self) -> None:
        self._channel.counts.got_nothing += 1
        self._channel.output.send(make(Basic.GetEmpty, cluster_id=""), self._channel.number)

    def _answer(self, got: Got) -> Callable[[], None]:
        channel = self._channel
        output = channel.output
        piece = got.piece
        tag = channel.next_tag
        channel.next_tag = tag + 1
        self._count(piece.redelivered)
        if channel.vhost.firehose.on:
            channel.vhost.firehose.delivered(channel.who(), self._queue, piece)
        if not self._no_ack:
            due_ms = watch(channel.connection, got.timeout_ms)
            now_ms = channel.broker.around.now_ms
            channel.unacked.add(tag, got.lane, piece, None, due_ms, now_ms)
            if not channel.is_open:  # closed while the message was on its way from the disk
                requeue_all(channel, Settlement.REQUEUE_FAILED)
        payload = (
            _GET_OK.pack(60, 71, tag, piece.redelivered)
            + piece.run.names_of(piece.lo)
            + _COUNT.pack(got.remaining)
        )
        content = piece.run.contents[piece.lo] if piece.shown is None else piece.shown[0]
        write = partial(output.outbox.content, channel.number, payload, content, output.frame_max)

        def emit() -> None:
            write()
            output.touch()

        return emit


def recover(channel: Channel, method: Basic.Recover) -> None:
    """basic.recover: everything unacked goes back to its queues."""
    _recover(channel, method.requeue)
    channel.reply(Basic.RecoverOk())


def recover_async(channel: Channel, method: Basic.RecoverAsync) -> None:
    """basic.recover-async: the same without a reply."""
    _recover(channel, method.requeue)


def _recover(channel: Channel, requeue: bool) -> None:
    if not requeue:
        raise NotImplementedHere("requeue=false")
    requeue_all(channel, Settlement.REQUEUE)


def recheck(channel: Channel, consumer: Consumer) -> None:
    """Rights have changed: a consumer that may not read its queue any more is cancelled."""
    if channel.consumers.get(consumer.tag) is not consumer:
        return  # it ended while somebody was asked
    try:
        channel.access.read("queue", consumer.queue_name)
    except Undecided as undecided:
        undecided.find_out(partial(recheck, channel, consumer))
    except AuthorityFailed as error:
        # A backend that is down for a moment must not stop what it has allowed before.
        logger.warning("consumer '%s' goes on: %s", consumer.tag, error.explanation)
    except AmqpError:
        channel.vhost.cancel(consumer)
        consumer.cancelled()
