"""What a channel answers to the methods of the classes exchange and queue.

Permissions, existence and equivalence are checked by the vhost, in RabbitMQ's order. Here are
the protocol's own rules: nowait, the most recently declared queue, and the pseudo queue of
direct reply-to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pamqp.commands import Exchange, Queue

from amqpd.amqp import direct_reply, methods
from amqpd.amqp.commands import make
from amqpd.errors import AccessRefused, NotFound

if TYPE_CHECKING:
    from pamqp.base import Frame as Command

    from amqpd.amqp.channel import Channel
    from amqpd.amqp.replies import Reply
    from amqpd.broker.catalogue import Answer

T = TypeVar("T")


def _answer(channel: Channel, nowait: bool, reply: Command, number: int) -> None:
    if not nowait:
        channel.reply(reply, number)


def _answer_removal(
    channel: Channel, nowait: bool, reply: Command, answer: Answer[T], place: Reply | None = None
) -> None:
    """The same for a removal, which may not be through yet: what follows waits for its end."""
    replies, removal = channel.replies, answer.removal
    if removal is None and place is None:
        _answer(channel, nowait, reply, answer.number)
        return
    reserved = place or replies.reserve()
    emit = channel.emit(reply)

    def done() -> None:
        number = answer.number if removal is None else removal.number
        if nowait:
            replies.give_up(reserved)
        else:
            replies.fill(reserved, emit, number)

    if removal is None:
        done()
    else:
        removal.when_done(done)
        channel.connection.wait_for(removal.when_done)


def declare_exchange(channel: Channel, method: Exchange.Declare) -> None:
    """exchange.declare"""
    answer = channel.vhost.declare_exchange(
        channel.access,
        method.exchange,
        method.exchange_type,
        passive=method.passive,
        durable=method.durable,
        auto_delete=method.auto_delete,
        internal=method.internal,
        arguments=methods.table(method.arguments),
    )
    _answer(channel, method.nowait, Exchange.DeclareOk(), answer.number)


def delete_exchange(channel: Channel, method: Exchange.Delete) -> None:
    """exchange.delete"""
    answer = channel.vhost.delete_exchange(
        channel.access, method.exchange, if_unused=method.if_unused
    )
    _answer_removal(channel, method.nowait, Exchange.DeleteOk(), answer)


def bind_exchange(channel: Channel, method: Exchange.Bind) -> None:
    """exchange.bind"""
    answer = channel.vhost.bind(
        channel.access,
        method.source,
        method.destination,
        "exchange",
        method.routing_key,
        methods.table(method.arguments),
        channel.connection,
    )
    _answer(channel, method.nowait, Exchange.BindOk(), answer.number)


def unbind_exchange(channel: Channel, method: Exchange.Unbind) -> None:
    """exchange.unbind"""
    answer = channel.vhost.unbind(
        channel.access,
        method.source,
        method.destination,
        "exchange",
        method.routing_key,
        methods.table(method.arguments),
        channel.connection,
    )
    _answer_removal(channel, method.nowait, Exchange.UnbindOk(), answer)


def _declared(name: str, messages: int, consumers: int) -> Command:
    return make(Queue.DeclareOk, queue=name, message_count=messages, consumer_count=consumers)


def declare_queue(channel: Channel, method: Queue.Declare) -> None:
    """queue.declare"""
    if direct_reply.is_pseudo(method.queue):
        _declare_pseudo_queue(channel, method)
        return
    answer = channel.vhost.declare_queue(
        channel.access,
        method.queue,
        passive=method.passive,
        durable=method.durable,
        exclusive=method.exclusive,
        auto_delete=method.auto_delete,
        arguments=methods.table(method.arguments),
        owner=channel.connection,
    )
    info = answer.value
    channel.last_queue = info.name
    reply = _declared(info.name, info.ready, info.consumers)
    _answer(channel, method.nowait, reply, answer.number)


def _declare_pseudo_queue(channel: Channel, method: Queue.Declare) -> None:
    """Whoever got a request can see in this way whether anyone still waits for the reply."""
    name, vhost = method.queue, channel.vhost.name
    if name not in direct_reply.PSEUDO_QUEUES and channel.reply_consumers.find(vhost, name) is None:
        raise NotFound(f"no queue '{name}' in vhost '{vhost}'")
    channel.last_queue = name
    _answer(channel, method.nowait, _declared(name, 0, 1), 0)


def _binding_names(channel: Channel, queue: str, routing_key: str) -> tuple[str, str]:
    """Both names with the most recently declared queue filled in."""
    name = channel.queue_name(queue)
    if direct_reply.is_pseudo(name):
        raise AccessRefused("cannot bind or unbind to a volatile (direct reply-to) queue")
    if not queue and not routing_key:
        routing_key = name
    return name, routing_key


def bind_queue(channel: Channel, method: Queue.Bind) -> None:
    """queue.bind"""
    name, routing_key = _binding_names(channel, method.queue, method.routing_key)
    answer = channel.vhost.bind(
        channel.access,
        method.exchange,
        name,
        "queue",
        routing_key,
        methods.table(method.arguments),
        channel.connection,
    )
    _answer(channel, method.nowait, Queue.BindOk(), answer.number)


def unbind_queue(channel: Channel, method: Queue.Unbind) -> None:
    """queue.unbind"""
    name, routing_key = _binding_names(channel, method.queue, method.routing_key)
    answer = channel.vhost.unbind(
        channel.access,
        method.exchange,
        name,
        "queue",
        routing_key,
        methods.table(method.arguments),
        channel.connection,
    )
    _answer_removal(channel, False, Queue.UnbindOk(), answer)


def purge_queue(channel: Channel, method: Queue.Purge) -> None:
    """queue.purge"""
    name = channel.queue_name(method.queue)
    answer = channel.vhost.purge_queue(channel.access, name, channel.connection)
    _answer(channel, method.nowait, Queue.PurgeOk(message_count=answer.value), answer.number)


def delete_queue(channel: Channel, method: Queue.Delete) -> None:
    """queue.delete: consumers of this channel hear of it after the answer, as in RabbitMQ."""
    place = channel.replies.reserve()
    try:
        answer = channel.vhost.delete_queue(
            channel.access,
            channel.queue_name(method.queue),
            if_unused=method.if_unused,
            if_empty=method.if_empty,
            owner=channel.connection,
        )
    except Exception:
        channel.replies.give_up(place)
        raise
    reply = Queue.DeleteOk(message_count=answer.value)
    _answer_removal(channel, method.nowait, reply, answer, place)
