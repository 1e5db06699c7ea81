"""Direct reply-to: answers to a request without a queue.

A client consumes from `amq.rabbitmq.reply-to` and publishes its request with that name as
reply-to; the broker replaces it by a name that leads to this channel and nowhere else. Replies
are published to the default exchange with that name as routing key. They are never stored:
if the channel is gone, or too slow, they are lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from amqpd.amqp import methods

if TYPE_CHECKING:
    from amqpd.amqp.channel import Channel
    from amqpd.broker.run import Run

PSEUDO_QUEUE: Final = "amq.rabbitmq.reply-to"
#: LavinMQ has another name for it, too.
PSEUDO_QUEUES: Final = (PSEUDO_QUEUE, "amq.direct.reply-to")
PREFIX: Final = f"{PSEUDO_QUEUE}."
#: Replies beyond this many unwritten bytes are lost: nobody reads them.
LIMIT_BYTES: Final = 16 << 20


def is_pseudo(name: str) -> bool:
    """Whether this is the pseudo queue or a name made from it."""
    return name in PSEUDO_QUEUES or name.startswith(PREFIX)


class ReplyConsumer:
    """The one consumer of replies that a channel may have."""

    __slots__ = ("_channel", "_tag_octets", "name", "tag", "vhost_name")

    def __init__(self, channel: Channel, tag: str, name: str) -> None:
        self.tag = tag
        #: What requests carry as reply-to; whoever knows it may reply.
        self.name = name
        self.vhost_name = channel.vhost.name
        self._channel = channel
        self._tag_octets = methods.shortstr(tag)

    def deliver(self, run: Run) -> bool:
        """Pass replies on; False if they are lost."""
        channel = self._channel
        output = channel.output
        if len(output.outbox) > LIMIT_BYTES:
            return False
        tag = channel.next_tag
        count = len(run.contents)
        channel.next_tag = tag + count

        def emit() -> None:
            output.outbox.deliver(
                channel.number,
                self._tag_octets,
                tag,
                False,
                run.names,
                run.names_each,
                run.contents,
                0,
                count,
                run.channel,
                output.frame_max,
            )
            output.touch()

        channel.replies.send(emit)
        return True


class ReplyConsumers:
    """All consumers of replies of a broker, by the name that leads to them."""

    def __init__(self) -> None:
        self._by_name: dict[str, ReplyConsumer] = {}

    def open(self, channel: Channel, tag: str) -> ReplyConsumer:
        """A channel begins to consume replies, under a name that nobody can guess."""
        consumer = ReplyConsumer(channel, tag, PREFIX + channel.connection.new_token())
        self._by_name[consumer.name] = consumer
        return consumer

    def close(self, consumer: ReplyConsumer) -> None:
        """It ends; its name leads nowhere from now on."""
        self._by_name.pop(consumer.name, None)

    def find(self, vhost_name: str, name: str) -> ReplyConsumer | None:
        """Who gets a reply that is published under this name in this vhost."""
        consumer = self._by_name.get(name)
        return consumer if consumer is not None and consumer.vhost_name == vhost_name else None
