"""A consumer of an AMQP channel: its credit, and deliveries on their way to the client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pamqp.commands import Basic

from amqpd.amqp import facts, methods

if TYPE_CHECKING:
    from amqpd.amqp.channel import Channel
    from amqpd.broker.lane import Lane
    from amqpd.broker.levels import Handful
    from amqpd.broker.ring import Subscription
    from amqpd.broker.session import ConsumerFacts
    from amqpd.broker.stretch import Stretch
    from amqpd.fields import Table

#: The most that is handed over at once where the client sets no limit.
UNLIMITED: Final = 4096
#: While memory is short, who sets no limit gets nothing more as long as clients have so much of
#: its queues: what they have is in memory.
HOARD_BYTES: Final = 16 << 20


class Consumer:
    """One basic.consume; what the broker hands messages to."""

    __slots__ = (
        "_output", "_starving", "_tag_octets", "acked_ms", "arguments", "channel", "delivered",
        "exclusive", "no_ack", "owner", "prefetch", "priority", "queue", "queue_name",
        "redelivered", "restarts_timeout", "tag", "timeout_ms", "unacked",
    )  # fmt: skip

    def __init__(
        self,
        channel: Channel,
        tag: str,
        queue_name: str,
        *,
        no_ack: bool,
        exclusive: bool,
        arguments: Table,
    ) -> None:
        self.tag = tag
        self.queue_name = queue_name
        self.no_ack = no_ack
        self.exclusive = exclusive
        #: Set by the vhost, which knows the arguments.
        self.priority = 0
        self.arguments = arguments
        self.owner: object = channel.connection
        #: The consumer's place in its queue; set and cleared by the vhost.
        self.queue: Subscription | None = None
        #: Later changes by basic.qos are for later consumers.
        self.prefetch = channel.prefetch
        #: Set by the vhost.
        self.timeout_ms = 0
        #: With each acknowledgement the timeout of all it has begins again: that was the last.
        self.restarts_timeout = False
        self.acked_ms = 0
        self.unacked = 0
        self.delivered = 0
        self.redelivered = 0
        self.channel = channel
        self._output = channel.output
        self._tag_octets = methods.shortstr(tag)
        self._starving = False

    @property
    def prefetch_shared(self) -> int:
        """The channel's limit, as it is now."""
        return self.channel.prefetch_shared

    @property
    def is_slow(self) -> bool:
        """It wants more, and cannot be written to at the moment."""
        return self._starving

    def credit(self) -> int:  # hot: S1b, S2
        """How many messages may be handed over now."""
        channel = self.channel
        if channel.paused:
            return 0
        if self._output.is_full:
            if not self._starving:
                self._starving = True
                self._output.when_room(self._relieved)
            return 0
        if self.no_ack:
            # It uses up nothing of a shared limit, but waits while the others have used it up.
            shared = channel.prefetch_shared
            return 0 if shared and channel.unacked_shared >= shared else UNLIMITED
        if not self.prefetch and channel.broker.alarms.memory and self._is_hoarding():
            return 0
        credit = self.prefetch - self.unacked if self.prefetch else UNLIMITED
        if channel.prefetch_shared:
            credit = min(credit, channel.prefetch_shared - channel.unacked_shared)
        return max(0, min(credit, UNLIMITED))

    def _is_hoarding(self) -> bool:
        """Clients have very much of the queues that this channel has messages of."""
        return sum(lane.unacked_bytes for lane in self.channel.unacked.lanes) > HOARD_BYTES

    def _relieved(self) -> None:
        self._starving = False
        self.wake()

    def wake(self) -> None:
        """There may be credit again."""
        if self.queue is not None:
            self.queue.wake()

    def deliver(self, lane: Lane, piece: Stretch) -> None:  # hot: S1b, S2
        """Write the deliveries of a stretch, and remember them unless they need no ack."""
        count = piece.hi - piece.lo
        tag = self._count(count, count if piece.redelivered else 0)
        if not self.no_ack:
            self.channel.unacked.add(tag, lane, piece, self, *self._times_ms())
        self._write(tag, piece)

    def deliver_all(self, handful: Handful) -> None:  # hot: tests/bench/semantics.py
        """The same with what several levels have."""
        tag = self._count(handful.messages, handful.redelivered)
        if not self.no_ack:
            unacked = self.channel.unacked
            unacked.add_all(tag, handful.lanes, handful.pieces, self, *self._times_ms())
        for span in handful.spans():
            self._write(tag, span)
            tag += span.hi - span.lo

    def _count(self, count: int, redelivered: int) -> int:
        """Count what goes out; its first delivery tag."""
        channel = self.channel
        tag = channel.next_tag
        channel.next_tag = tag + count
        self.delivered += count
        if redelivered:
            self.redelivered += redelivered
            channel.counts.redelivered += redelivered
        if self.no_ack:
            channel.counts.delivered_no_ack += count
        else:
            channel.counts.delivered += count
            self.unacked += count
            channel.unacked_shared += count
        return tag

    def _times_ms(self) -> tuple[int, int]:
        """When what goes out now is overdue, 0: never; and now."""
        now_ms = self.channel.broker.around.now_ms
        return self.timeout_ms and now_ms + self.timeout_ms, now_ms

    def _write(self, tag: int, piece: Stretch) -> None:
        channel = self.channel
        run = piece.run
        if channel.vhost.firehose.on:
            channel.vhost.firehose.delivered(channel.who(), self.queue_name, piece)
        contents, names, low, high = run.contents, run.names_each, piece.lo, piece.hi
        if piece.shown is not None:
            # Made for this delivery: with the counts of a message that came back.
            contents, names = piece.shown, names if names is None else names[low:high]
            low, high = 0, high - low
        output = self._output
        output.outbox.deliver(
            channel.number,
            self._tag_octets,
            tag,
            piece.redelivered,
            run.names,
            names,
            contents,
            low,
            high,
            run.channel,
            output.frame_max,
        )
        output.touch()
        if channel.prefetch_shared:
            channel.served(self)

    def settled(self, count: int) -> None:
        """So many of the unacked ones are done with: credit comes back."""
        self.unacked -= count
        channel = self.channel
        channel.unacked_shared -= count
        # A shared limit is for all; the channel wakes them in turn.
        if not channel.prefetch_shared:
            self.wake()

    def facts(self) -> ConsumerFacts:
        """What it tells of itself."""
        return facts.of_consumer(self, self.channel)

    def cancelled(self) -> None:
        """The queue is gone, or the right to read it: tell clients that understand it."""
        self.queue = None
        channel = self.channel
        channel.consumers.pop(self.tag, None)
        if channel.is_open and channel.connection.can("consumer_cancel_notify"):
            channel.reply(Basic.Cancel(consumer_tag=self.tag, nowait=True))
