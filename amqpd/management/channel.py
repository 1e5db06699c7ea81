"""`/api/channels`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from amqpd.management import consumer as consumers
from amqpd.management.access import Needs
from amqpd.management.errors import not_authorised, not_found
from amqpd.management.listing import PARAMETERS, Slices, listing, moment, one
from amqpd.management.rates import MEASURED, PUBLISHING, TRAFFIC
from amqpd.management.routing import Operation, Route
from amqpd.management.survey import channel_values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from amqpd.broker.presence import Guest
    from amqpd.broker.session import ChannelFacts, ConnectionFacts
    from amqpd.management.call import Call
    from amqpd.management.listing import Facts
    from amqpd.management.rates import Shown
    from amqpd.management.request import Answer


class Place(NamedTuple):
    """A channel of a connection."""

    guest: Guest
    connection: ConnectionFacts
    channel: ChannelFacts

    @property
    def name(self) -> str:
        """As RabbitMQ calls channels."""
        return f"{self.connection.name} ({self.channel.number})"


def facts(call: Call, place: Place, shown: Shown) -> Facts:
    """What is shown of a channel."""
    connection, channel = place.connection, place.channel
    found: Facts = {
        "name": place.name,
        "number": channel.number,
        "node": call.host.node,
        "connection_details": {
            "name": connection.name,
            "peer_host": connection.peer_host,
            "peer_port": connection.peer_port,
            "user_provided_name": connection.given_name,
        },
        "vhost": connection.vhost,
        "user": connection.user,
        "user_who_performed_action": connection.user,
        "state": channel.state,
        "confirm": channel.confirms,
        "transactional": channel.transactional,
        "consumer_count": channel.consumers,
        "messages_unacknowledged": channel.unacked,
        "messages_unconfirmed": channel.unconfirmed,
        "messages_uncommitted": channel.uncommitted,
        "acks_uncommitted": channel.uncommitted_acks,
        "prefetch_count": channel.prefetch,
        "global_prefetch_count": channel.prefetch_shared,
    }
    if channel.oldest_unacked_ms:
        found["oldest_unacked_since"] = moment(channel.oldest_unacked_ms)
    values = channel_values(channel)
    if any(values):
        key = (place.guest, channel.number)
        found["message_stats"] = shown.facts(key, (*TRAFFIC, *PUBLISHING), values, shown.rates)
    series = call.survey.sampler.get((place.guest, channel.number))
    if series is not None and series.moved_ms < series.now.at_ms:
        found["idle_since"] = moment(series.moved_ms)
    return shown.of(found, _NUMBERS)


async def _places(guests: Iterable[Guest]) -> list[Place]:
    """The channels of some connections, looked at in slices."""
    found, slices = list[Place](), Slices()
    for guest in guests:
        connection = guest.facts()
        found += [Place(guest, connection, channel) for channel in guest.channel_facts()]
        await slices.pause()
    return found


#: Left out with `disable_stats`.
_NUMBERS: Final = frozenset(
    {
        "consumer_count", "messages_unacknowledged", "messages_unconfirmed",
        "messages_uncommitted", "acks_uncommitted", "prefetch_count", "global_prefetch_count",
        "oldest_unacked_since", "message_stats", "idle_since", "state", "confirm", "transactional",
    }
)  # fmt: skip
KEYS: Final[dict[str, Callable[[Place], object]]] = {
    "name": lambda place: place.name,
    "also": lambda place: place.connection.given_name,
    "vhost": lambda place: place.connection.vhost,
    "user": lambda place: place.connection.user,
    "number": lambda place: place.channel.number,
    "messages_unacknowledged": lambda place: place.channel.unacked,
    "prefetch_count": lambda place: place.channel.prefetch,
    "consumer_count": lambda place: place.channel.consumers,
}


async def listed(call: Call, guests: Iterable[Guest]) -> Answer:
    """The channels of some connections."""
    shown = call.shown()
    places = await _places(guests)
    return await listing(call, places, lambda one: facts(call, one, shown), KEYS)


def _visible(call: Call, guests: list[Guest]) -> list[Guest]:
    if call.caller.is_monitor:
        return guests
    own = set(call.broker.presence.of_user(call.caller.name))
    return [guest for guest in guests if guest in own]


async def list_channels(call: Call) -> Answer:
    """The open channels."""
    name = call.request.query.get("vhost") or call.request.headers.get("x-vhost")
    presence = call.broker.presence
    guests = presence.in_vhost(name) if name else presence.guests()
    return await listed(call, _visible(call, guests))


async def list_of_vhost(call: Call) -> Answer:
    """The channels in a vhost."""
    return await listed(call, _visible(call, call.broker.presence.in_vhost(call.vhost.name)))


async def show(call: Call) -> Answer:
    """One channel."""
    wanted = call.names["channel"]
    connection_name = wanted.rpartition(" (")[0]
    named = [one for one in call.broker.presence.guests() if one.name == connection_name]
    for place in await _places(named):
        if place.name == wanted:
            if not (call.caller.is_monitor or place.connection.user == call.caller.name):
                raise not_authorised("User not authorised to access object")
            return one(call, facts(call, place, call.shown()) | _details(call, place))
    raise not_found()


def _details(call: Call, place: Place) -> Facts:
    """What the page of one channel shows beside that."""
    vhost = call.broker.vhosts[place.connection.vhost]
    names = {name for name, _, _ in place.channel.delivered}
    on_channel = [
        consumers.facts(call, queue, each)
        for queue in (vhost.queues[name] for name in sorted(names) if name in vhost.queues)
        for each in queue.ring
        if each.consumer.owner is place.guest
        and each.consumer.facts().channel_number == place.channel.number
    ]
    return {
        "consumer_details": on_channel,
        "publishes": [
            {"exchange": {"name": name, "vhost": vhost.name}, "stats": {"publish": messages}}
            for name, messages in place.channel.published.items()
        ],
        "deliveries": [
            {
                "queue": {"name": name, "vhost": vhost.name},
                "stats": {"deliver_get": delivered, "redeliver": redelivered},
            }
            for name, delivered, redelivered in place.channel.delivered
            if delivered
        ],
    }


async def no_prefetch(call: Call) -> Answer:
    """Nothing: how much a channel takes at once is its client's to say."""
    raise not_found("a channel's prefetch is what its client says by basic.qos", "not_found")


LOGIN: Final = Needs.LOGIN
_LIST: Final = (*PARAMETERS, *MEASURED)
ROUTES: Final = (
    Route("/channels", GET=Operation(list_channels, LOGIN, query=_LIST)),
    Route(
        "/vhosts/{vhost}/channels", GET=Operation(list_of_vhost, Needs.VHOST_VISIBLE, query=_LIST)
    ),
    Route(
        "/channels/{channel}",
        GET=Operation(show, LOGIN, query=(*MEASURED, "columns")),
        PUT=Operation(no_prefetch, Needs.ADMINISTRATOR),
    ),
)
