"""`/api/consumers`: who takes messages from which queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from amqpd.management.access import Needs
from amqpd.management.errors import not_authorised, not_found
from amqpd.management.listing import PARAMETERS, Slices, listing, moment
from amqpd.management.request import Answer
from amqpd.management.routing import Operation, Route
from amqpd.management.table import to_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from amqpd.broker.queue import Queue
    from amqpd.broker.ring import Subscription
    from amqpd.broker.session import ConsumerFacts
    from amqpd.management.call import Call
    from amqpd.management.listing import Facts


class _Place(NamedTuple):
    queue: Queue
    subscription: Subscription


def channel_details(call: Call, told: ConsumerFacts) -> Facts:
    """The channel that a consumer is on."""
    return {
        "name": f"{told.connection_name} ({told.channel_number})",
        "number": told.channel_number,
        "user": told.user,
        "connection_name": told.connection_name,
        "user_provided_name": told.given_name,
        "peer_host": told.peer_host,
        "peer_port": told.peer_port,
        "node": call.host.node,
    }


def facts(call: Call, queue: Queue, subscription: Subscription) -> Facts:
    """What is shown of a consumer."""
    consumer = subscription.consumer
    told = consumer.facts()
    is_active = queue.ring.is_active(subscription)
    found: Facts = {
        "queue": {"name": queue.name, "vhost": queue.vhost},
        "consumer_tag": consumer.tag,
        "ack_required": not consumer.no_ack,
        "exclusive": consumer.exclusive,
        "active": is_active,
        "activity_status": "single_active"
        if queue.ring.single_active and is_active
        else ("waiting" if queue.ring.single_active else "up"),
        "prefetch_count": told.prefetch,
        "priority": subscription.priority,
        "messages_unacknowledged": told.unacked,
        "arguments": to_json(consumer.arguments),
        "channel_details": channel_details(call, told),
    }
    if told.oldest_unacked_ms:
        found["oldest_unacked_since"] = moment(told.oldest_unacked_ms)
    return found


_KEYS: Final[dict[str, Callable[[_Place], object]]] = {
    "name": lambda one: one.subscription.consumer.tag,
    "consumer_tag": lambda one: one.subscription.consumer.tag,
    "vhost": lambda one: one.queue.vhost,
    "queue": lambda one: one.queue.name,
}


def _facts(call: Call, place: _Place) -> Facts | None:
    if place.queue.deleted or not place.subscription.active:
        return None
    return facts(call, place.queue, place.subscription)


async def list_consumers(call: Call) -> Answer:
    """The consumers in a vhost, or in all: monitors see every one, others their own."""
    found, slices, caller = list[_Place](), Slices(), call.caller
    vhosts = {vhost.name for vhost in call.own_vhosts()}
    for queue in list(call.broker.around.consuming):
        if queue.vhost in vhosts:
            found += [
                _Place(queue, one)
                for one in queue.ring
                if caller.is_monitor or one.consumer.facts().user == caller.name
            ]
        await slices.pause()
    return await listing(
        call,
        found,
        lambda one: _facts(call, one),
        _KEYS,
        default_sort=("vhost", "queue", "consumer_tag"),
    )


async def cancel(call: Call) -> Answer:
    """End a consumer; what it has not settled stays with its channel."""
    names = call.names
    for queue in call.vhost.queues.values():
        for one in queue.ring:
            told = one.consumer.facts()
            place = (told.connection_name, str(told.channel_number), told.tag)
            if place == (names["connection"], names["number"], names["consumer"]):
                if not (call.caller.is_administrator or call.caller.name == told.user):
                    raise not_authorised("User not authorised to access object")
                call.vhost.cancel(one.consumer)
                one.consumer.cancelled()
                call.host.changed()
                return Answer(204)
    raise not_found()


ROUTES: Final = (
    Route("/consumers", GET=Operation(list_consumers, Needs.VHOST, query=PARAMETERS)),
    Route("/consumers/{vhost}", GET=Operation(list_consumers, Needs.VHOST, query=PARAMETERS)),
    Route(
        "/consumers/{vhost}/{connection}/{number}/{consumer}",
        DELETE=Operation(cancel, Needs.VHOST),
    ),
)
