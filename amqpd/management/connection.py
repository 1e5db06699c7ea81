"""`/api/connections`: who is connected, and how to close that."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from amqpd.errors import ConnectionForced
from amqpd.management import channel as channels
from amqpd.management.access import Needs
from amqpd.management.errors import bad_request, not_authorised, not_found
from amqpd.management.listing import PARAMETERS, listing, one
from amqpd.management.queue import COLLECTED
from amqpd.management.rates import DATA, MEASURED
from amqpd.management.request import Answer
from amqpd.management.routing import Operation, Route
from amqpd.management.survey import connection_values
from amqpd.management.table import to_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from amqpd.broker.presence import Guest
    from amqpd.management.call import Call
    from amqpd.management.listing import Facts
    from amqpd.management.rates import Shown

#: What a client hears when no reason was given.
REASON: Final = "Closed via management plugin"


def facts(call: Call, guest: Guest, shown: Shown) -> Facts | None:
    """What is shown of a connection; None: it is gone."""
    told = guest.facts()
    if not told.vhost:
        return None
    found = {
        "name": told.name,
        "user_provided_name": told.given_name,
        "node": call.host.node,
        "type": "network",
        "protocol": told.protocol,
        "user": told.user,
        "user_who_performed_action": told.user,
        "vhost": told.vhost,
        "state": told.state,
        "host": told.host,
        "port": told.port,
        "peer_host": told.peer_host,
        "peer_port": told.peer_port,
        "ssl": told.tls,
        **{name: value or None for name, value in asdict(told.secured).items()},
        "auth_mechanism": told.mechanism,
        "channels": told.channels,
        "channel_max": told.channel_max,
        "frame_max": told.frame_max,
        "timeout": told.heartbeat_s,
        "client_properties": to_json(told.client_properties),
        "connected_at": told.connected_at_ms,
        "recv_cnt": told.received_reads,
        "send_cnt": told.sent_writes,
        "send_pend": told.pending_bytes,
        **shown.facts(guest, DATA, connection_values(told), shown.data),
    }
    return shown.of(found, _NUMBERS)


#: Left out with `disable_stats`.
_NUMBERS: Final = frozenset({"recv_cnt", "send_cnt", "send_pend", *DATA})
KEYS: Final[dict[str, Callable[[Guest], object]]] = {
    "name": lambda guest: guest.name,
    "also": lambda guest: guest.facts().given_name,
    "vhost": lambda guest: guest.facts().vhost,
    "user": lambda guest: guest.facts().user,
}


def visible(call: Call, guests: list[Guest]) -> list[Guest]:
    """Those that the caller may see: monitors all, others their own."""
    if call.caller.is_monitor:
        return guests
    own = set(call.broker.presence.of_user(call.caller.name))
    return [guest for guest in guests if guest in own]


def find(call: Call, *, to_close: bool = False) -> Guest:
    """The connection of the path.

    Raises:
        HttpError: there is none, or it is somebody else's.
    """
    name = call.names["connection"]
    for guest in call.broker.presence.guests():
        if guest.name == name:
            caller = call.caller
            may = caller.is_administrator if to_close else caller.is_monitor
            if not may and guest.facts().user != caller.name:
                raise not_authorised("User not authorised to access object")
            return guest
    raise not_found()


async def _listed(call: Call, guests: list[Guest]) -> Answer:
    shown = call.shown()
    return await listing(
        call,
        visible(call, guests),
        lambda one: facts(call, one, shown),
        KEYS,
        default_sort=("vhost", "name"),
    )


async def list_connections(call: Call) -> Answer:
    """The open connections."""
    name = call.request.query.get("vhost") or call.request.headers.get("x-vhost")
    presence = call.broker.presence
    return await _listed(call, presence.in_vhost(name) if name else presence.guests())


async def list_of_vhost(call: Call) -> Answer:
    """The connections to a vhost."""
    return await _listed(call, call.broker.presence.in_vhost(call.vhost.name))


async def list_of_user(call: Call) -> Answer:
    """The connections of a user."""
    return await _listed(call, call.broker.presence.of_user(call.names["user"]))


async def show(call: Call) -> Answer:
    """One connection."""
    found = facts(call, find(call), call.shown())
    if found is None:
        raise not_found()
    rest = {"garbage_collection": COLLECTED, "reductions": 0, "reductions_details": {"rate": 0.0}}
    return one(call, found | rest)


def _close(call: Call, guest: Guest) -> None:
    reason = call.request.headers.get("x-reason") or REASON
    guest.close(ConnectionForced(reason))
    call.host.changed()


async def close(call: Call) -> Answer:
    """Close a connection; the header X-Reason is told to the client."""
    _close(call, find(call, to_close=True))
    return Answer(204)


async def close_of_user(call: Call) -> Answer:
    """Close all connections of a user."""
    user = call.names["user"]
    if not (call.caller.is_administrator or call.caller.name == user):
        raise not_authorised("User not authorised to access object")
    for guest in call.broker.presence.of_user(user):
        _close(call, guest)
    return Answer(204)


async def list_channels(call: Call) -> Answer:
    """The channels of a connection."""
    return await channels.listed(call, [find(call)])


async def list_sessions(call: Call) -> Answer:
    """The sessions of a connection, which AMQP 0-9-1 does not have."""
    find(call)
    raise bad_request("connection does not use AMQP 1.0")


LOGIN: Final = Needs.LOGIN
_LIST: Final = (*PARAMETERS, *MEASURED)
ROUTES: Final = (
    Route("/connections", GET=Operation(list_connections, LOGIN, query=_LIST)),
    Route(
        "/vhosts/{vhost}/connections",
        GET=Operation(list_of_vhost, Needs.VHOST_VISIBLE, query=_LIST),
    ),
    Route(
        "/connections/{connection}",
        GET=Operation(show, LOGIN, query=(*MEASURED, "columns")),
        DELETE=Operation(close, LOGIN),
    ),
    Route(
        "/connections/username/{user}",
        GET=Operation(list_of_user, LOGIN, query=_LIST),
        DELETE=Operation(close_of_user, LOGIN),
    ),
    Route("/connections/{connection}/channels", GET=Operation(list_channels, LOGIN, query=_LIST)),
    Route("/connections/{connection}/sessions", GET=Operation(list_sessions, LOGIN)),
)
