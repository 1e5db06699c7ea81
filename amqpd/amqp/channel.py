"""A channel: what it has open, and which methods it answers.

`METHODS` is the table of answers; publishes and acknowledgements come past it, gathered by
the codec. A channel that failed sends channel.close and then ignores everything until the
client's close-ok (AMQP 0-9-1 §2.2.5).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar, cast

from pamqp.base import Frame as Command
from pamqp.commands import Basic, Confirm, Exchange, Queue, Tx
from pamqp.commands import Channel as ChannelClass

from amqpd.amqp import access, basic, confirms, methods, topology, tx
from amqpd.amqp.consumer import Consumer
from amqpd.amqp.gathering import ChannelCount
from amqpd.amqp.publish import Publisher
from amqpd.amqp.settlement import MAX_TAG, Settlement, is_much, requeue_all, settle_much
from amqpd.broker.counts import Counts
from amqpd.broker.delivery import Unacked, UnknownTag, by_consumer
from amqpd.broker.errand import Errand
from amqpd.broker.firehose import Who
from amqpd.errors import ChannelError, CommandInvalid, NotFound, PreconditionFailed

if TYPE_CHECKING:
    from amqpd.amqp.connection import Connection
    from amqpd.amqp.direct_reply import ReplyConsumer, ReplyConsumers
    from amqpd.amqp.replies import Replies
    from amqpd.broker.broker import Broker
    from amqpd.broker.delivery import Taken
    from amqpd.broker.permissions import Access
    from amqpd.broker.vhost import VHost


#: What the end of a consumer costs, in units of `Surroundings.spare`.
CANCEL_COST: Final = 8


class State(enum.Enum):
    """What may happen on a channel."""

    OPEN = enum.auto()
    CLOSING = enum.auto()  # we sent Close; only CloseOk counts
    CLOSED = enum.auto()


class Channel:
    """One open channel of a connection."""

    __slots__ = (
        "_flowing", "broker", "confirmed", "confirms", "connection", "consumers", "count", "counts",
        "last_queue",
        "next_tag", "number", "output", "paused", "prefetch", "prefetch_shared", "publisher",
        "replies", "reply_consumer", "state", "tx", "unacked", "unacked_shared", "vhost",
    )  # fmt: skip

    def __init__(self, connection: Connection, vhost: VHost, number: int, replies: Replies) -> None:
        self.connection = connection
        self.broker: Broker = connection.broker
        self.vhost = vhost
        self.number = number
        self.output = connection.output
        self.replies = replies
        self.state = State.OPEN
        #: No deliveries now: the client's flow is off, or replies wait for the disk.
        self.paused = replies.held
        self._flowing = True
        self.count = ChannelCount(number)
        #: What was delivered and acknowledged on this channel, and the publishes confirmed.
        self.counts = Counts()
        self.confirmed = 0
        self.publisher = Publisher(self)
        self.confirms: confirms.Confirms | None = None
        self.tx: tx.Tx | None = None
        self.unacked = Unacked()
        self.next_tag = 1
        self.consumers: dict[str, Consumer] = {}
        self.reply_consumer: ReplyConsumer | None = None
        #: Limits on unacked deliveries, 0 = none: of each later consumer, and of all together.
        self.prefetch = 0
        self.prefetch_shared = 0
        self.unacked_shared = 0
        self.last_queue = ""

    @property
    def is_open(self) -> bool:
        """Neither side has closed it."""
        return self.state is State.OPEN

    @property
    def access(self) -> Access:
        """What the connection's user may do in its vhost."""
        return self.connection.access

    @property
    def reply_consumers(self) -> ReplyConsumers:
        """Where direct replies lead."""
        return self.connection.reply_consumers

    def who(self) -> Who:
        """Whose messages these are, for the firehose."""
        connection = self.connection
        return Who(str(connection.peer), self.number, connection.login.user)

    def queue_name(self, name: str) -> str:
        """The name, or without one that of the queue most recently declared on this channel.

        Raises:
            NotFound: there was none.
        """
        if not name and not self.last_queue:
            raise NotFound("no previously declared queue")
        return name or self.last_queue

    # -- methods and replies -------------------------------------------------------------

    def method(self, command: Command) -> None:
        """Answer a method.

        Raises:
            CommandInvalid: it is not one that clients may send on a channel.
        """
        answer = METHODS.get(type(command))
        if answer is None:
            raise CommandInvalid("unimplemented method")
        if self.tx is not None:
            self.tx.refuse_while_committing()
        answer(self, command)

    def reply(self, command: Command, number: int = 0) -> None:
        """Send a method when `number` is on disk and all earlier replies are out."""
        self.replies.send(self.emit(command), number)

    def emit(self, command: Command) -> Callable[[], None]:
        """What sends a method on this channel."""
        return partial(self.output.raw, methods.encode(command, self.number))

    def replies_held(self, held: bool) -> None:
        """Replies began to wait for the disk, or all of them are out."""
        if self.confirms is not None:
            self.confirms.held = held
        self._pause_or_resume()
        if not held and self.confirms is not None:
            self.confirms.flush()

    def flow(self, active: bool) -> None:
        """The client wants deliveries, or wants none for a while."""
        self._flowing = active
        self._pause_or_resume()

    def _pause_or_resume(self) -> None:
        was_paused = self.paused
        self.paused = not self._flowing or self.replies.held or self.state is not State.OPEN
        if was_paused and not self.paused:
            self.wake_consumers()

    def wake_consumers(self) -> None:
        """All consumers may have credit again; of a shared limit, by turns."""
        for consumer in self.consumers.values():
            consumer.wake()

    def served(self, consumer: Consumer) -> None:
        """A consumer got something of a shared limit: the others come before it now."""
        self.consumers[consumer.tag] = self.consumers.pop(consumer.tag)

    # -- confirms and acknowledgements ---------------------------------------------------

    def write_confirm(self, sequence: int, multiple: bool, refused: bool) -> None:
        """Write one basic.ack or basic.nack for a publisher."""
        if refused:
            self.output.outbox.nack(self.number, sequence, multiple)
        else:
            self.output.outbox.confirm(self.number, sequence, multiple)
        # Nacks count, too: they are answers to publishes.
        self.vhost.stats.confirmed += sequence - self.confirmed
        self.confirmed = sequence
        self.output.touch()

    def settle_tags(
        self, how: Settlement, first_tag: int, last_tag: int, multiple: bool
    ) -> None:  # hot: S2
        """Acknowledge or reject deliveries: first to last, or with `multiple` all up to last.

        Raises:
            PreconditionFailed: one of them is not outstanding; those before it are settled.
        """
        if self.tx is not None:
            self.tx.refuse_while_committing()
        unknown: int | None = None
        try:
            if last_tag > MAX_TAG:
                raise UnknownTag(last_tag, [])
            if multiple and self.tx is None and is_much(self, how, last_tag):
                settle_much(self, how, last_tag)
                return
            taken = self.unacked.take(first_tag, last_tag, multiple)
        except UnknownTag as error:
            taken, unknown = error.taken, error.tag
        if self.tx is not None:
            self.tx.settle(how, taken)
        else:
            self.settle(how, taken)
        if unknown is not None:
            raise PreconditionFailed(f"unknown delivery tag {unknown}")

    def settle(self, how: Settlement, taken: list[Taken]) -> None:  # hot: S2
        """Tell the queues what became of deliveries, and give credit back."""
        settled = by_consumer(taken)
        if how is Settlement.ACK:
            self.vhost.settle(taken)
            self.counts.acked += sum(settled.values())
            self._note_acks(settled)
        elif how is Settlement.DISCARD:
            # First the credit: where a dead letter returns to a queue that has no room, this
            # consumer may make some.
            self._give_credit(settled)
            self.vhost.discard(taken)
            return
        else:
            self.vhost.requeue(taken, failed=how is Settlement.REQUEUE_FAILED)
        self._give_credit(settled)

    def _note_acks(self, settled: Mapping[object, int]) -> None:
        """Whoever acknowledges is alive, where that counts."""
        for consumer in settled:
            if isinstance(consumer, Consumer) and consumer.restarts_timeout:
                consumer.acked_ms = self.broker.around.now_ms

    def _give_credit(self, settled: Mapping[object, int]) -> None:
        blocking = self.connection.blocking
        if blocking.full:
            blocking.settled(sum(settled.values()))
        for consumer, count in settled.items():
            if isinstance(consumer, Consumer):
                consumer.settled(count)
        if self.prefetch_shared:
            self.wake_consumers()

    # -- the end -------------------------------------------------------------------------

    def fail(self, error: ChannelError, class_id: int, method_id: int) -> None:
        """Close the channel because of an error, and wait for the client to agree."""
        self.release()
        self.state = State.CLOSING
        self.reply(
            ChannelClass.Close(
                reply_code=error.reply_code,
                reply_text=error.reply_text,
                class_id=class_id,
                method_id=method_id,
            )
        )

    def release(self) -> None:
        """Give everything back: consumers end, what is unacked is requeued in its old order."""
        if not self.is_open:
            return
        self.state = State.CLOSED
        self.paused = True  # nobody who is still to be cancelled is given anything
        consumers = list(self.consumers.values())
        self.consumers.clear()
        Errand(map(self.vhost.cancel, consumers), self.broker.around, CANCEL_COST).begin()
        if self.reply_consumer is not None:
            self.reply_consumers.close(self.reply_consumer)
        if self.tx is not None:
            self.tx.roll_back(self)
        if self.confirms is not None:
            self.confirms.drop()
            self.confirms = None
        requeue_all(self, Settlement.REQUEUE_FAILED)

    def let_go(self) -> None:
        """Nobody knows it any more; without circles its memory is free at once.

        The collector of garbage comes seldom: 150,000 channels that were closed took 290 MiB
        until it did.
        """
        self.reply_consumer = None
        self.tx = None
        del self.publisher


def _flow(channel: Channel, method: ChannelClass.Flow) -> None:
    """channel.flow: RabbitMQ refuses to pause; here it does what the specification says."""
    active = bool(method.active)
    channel.flow(active)
    channel.reply(ChannelClass.FlowOk(active=active))


def _request_access(channel: Channel, method: access.Request) -> None:
    """access.request: tickets mean nothing."""
    channel.reply(access.RequestOk())


M = TypeVar("M", bound=Command)
Answer: TypeAlias = Callable[[Channel, Command], None]


def _answers(kind: type[M], answer: Callable[[Channel, M], None]) -> tuple[type[Command], Answer]:
    # The table gives an answer nothing but commands of the type it is entered for.
    return kind, cast("Answer", answer)


#: What an open channel answers. Opening and closing are the connection's.
METHODS: Final[Mapping[type[Command], Answer]] = dict(
    (
        _answers(ChannelClass.Flow, _flow),
        _answers(access.Request, _request_access),
        _answers(Exchange.Declare, topology.declare_exchange),
        _answers(Exchange.Delete, topology.delete_exchange),
        _answers(Exchange.Bind, topology.bind_exchange),
        _answers(Exchange.Unbind, topology.unbind_exchange),
        _answers(Queue.Declare, topology.declare_queue),
        _answers(Queue.Bind, topology.bind_queue),
        _answers(Queue.Unbind, topology.unbind_queue),
        _answers(Queue.Purge, topology.purge_queue),
        _answers(Queue.Delete, topology.delete_queue),
        _answers(Basic.Qos, basic.qos),
        _answers(Basic.Consume, basic.consume),
        _answers(Basic.Cancel, basic.cancel),
        _answers(Basic.CancelOk, basic.cancel_ok),
        _answers(Basic.Get, basic.get),
        _answers(Basic.Recover, basic.recover),
        _answers(Basic.RecoverAsync, basic.recover_async),
        _answers(Tx.Select, tx.select),
        _answers(Tx.Commit, tx.commit),
        _answers(Tx.Rollback, tx.rollback),
        _answers(Confirm.Select, confirms.select),
    )
)
