"""`/api/permissions`, `/api/topic-permissions`: what users may do in vhosts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from amqpd.broker.definitions import (
    DeletePermission,
    DeleteTopicPermission,
    PutPermission,
    PutTopicPermission,
)
from amqpd.broker.permissions import Permission, TopicPermission
from amqpd.management import user as users
from amqpd.management.access import Needs
from amqpd.management.errors import bad_request, not_found
from amqpd.management.listing import PARAMETERS, listing
from amqpd.management.request import Answer, json
from amqpd.management.routing import Operation, Route

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from amqpd.management.call import Call
    from amqpd.management.listing import Facts


class Body(Struct):
    """Three patterns of names; an empty one allows nothing."""

    configure: str
    write: str
    read: str


class TopicBody(Struct):
    """Two patterns of routing keys, on one exchange."""

    exchange: str
    write: str
    read: str


_KEYS: Final[dict[str, Callable[[Facts], object]]] = {
    "user": lambda one: one["user"],
    "vhost": lambda one: one["vhost"],
    "name": lambda one: one["user"],
}


async def _listed(call: Call, facts: Sequence[Facts]) -> Answer:
    return await listing(call, facts, lambda one: one, _KEYS, default_sort=("vhost", "user"))


def _all(call: Call) -> list[Facts]:
    return [
        {
            "user": user,
            "vhost": vhost,
            "configure": permission.configure,
            "write": permission.write,
            "read": permission.read,
        }
        for user, vhost, permission in call.broker.permissions.listing()
    ]


def _all_topics(call: Call) -> list[Facts]:
    return [
        {
            "user": user,
            "vhost": vhost,
            "exchange": exchange,
            "write": permission.write,
            "read": permission.read,
        }
        for user, vhost, exchange, permission in call.broker.permissions.topic_listing()
    ]


async def list_all(call: Call) -> Answer:
    """All permissions."""
    return await _listed(call, _all(call))


async def list_of_vhost(call: Call) -> Answer:
    """The permissions in a vhost."""
    name = call.vhost.name
    return await _listed(call, [one for one in _all(call) if one["vhost"] == name])


async def list_of_user(call: Call) -> Answer:
    """The permissions of a user."""
    name = users.find(call, call.names["user"]).name
    return await _listed(call, [one for one in _all(call) if one["user"] == name])


async def list_all_topics(call: Call) -> Answer:
    """All topic permissions."""
    return await _listed(call, _all_topics(call))


async def list_topics_of_vhost(call: Call) -> Answer:
    """The topic permissions in a vhost."""
    name = call.vhost.name
    return await _listed(call, [one for one in _all_topics(call) if one["vhost"] == name])


async def list_topics_of_user(call: Call) -> Answer:
    """The topic permissions of a user."""
    name = users.find(call, call.names["user"]).name
    return await _listed(call, [one for one in _all_topics(call) if one["user"] == name])


# -- one ---------------------------------------------------------------------------------


def _key(call: Call) -> tuple[str, str]:
    """User and vhost, both known.

    Raises:
        HttpError: one of them is not there; to who sets something that is a mistake (400).
    """
    user, vhost = call.names["user"], call.names["vhost"]
    missing = call.broker.permissions.user(user) is None or vhost not in call.broker.vhosts
    if missing and call.request.method == "PUT":
        raise bad_request("vhost_or_user_not_found")
    if missing:
        raise not_found()
    return user, vhost


async def show(call: Call) -> Answer:
    """What a user may do in a vhost."""
    user, vhost = _key(call)
    found = [one for one in _all(call) if (one["user"], one["vhost"]) == (user, vhost)]
    if not found:
        raise not_found()
    return json(found[0])


async def put(call: Call) -> Answer:
    """Grant a user access to a vhost, or change it."""
    user, vhost = _key(call)
    body = await call.body(Body)
    Permission(body.configure, body.write, body.read)  # refuses what is no pattern
    known = call.broker.permissions.get(user, vhost)
    await call.change(PutPermission(user, vhost, body.configure, body.write, body.read))
    return Answer(201 if known is None else 204)


async def delete(call: Call) -> Answer:
    """Take a user's access to a vhost away."""
    user, vhost = _key(call)
    if call.broker.permissions.get(user, vhost) is None:
        raise not_found()
    await call.change(DeletePermission(user, vhost))
    return Answer(204)


def _topics_of(call: Call) -> list[Facts]:
    user, vhost = _key(call)
    return [one for one in _all_topics(call) if (one["user"], one["vhost"]) == (user, vhost)]


async def show_topics(call: Call) -> Answer:
    """The limits on routing keys of a user in a vhost."""
    found = _topics_of(call)
    exchange = call.names.get("exchange")
    if exchange is not None:
        found = [one for one in found if one["exchange"] == exchange]
    if not found:
        raise not_found()
    return json(found)


async def put_topic(call: Call) -> Answer:
    """Limit the routing keys of a user on one exchange."""
    user, vhost = _key(call)
    body = await call.body(TopicBody)
    TopicPermission(body.write, body.read)  # refuses what is no pattern
    known = _topics_of(call)
    await call.change(PutTopicPermission(user, vhost, body.exchange, body.write, body.read))
    return Answer(204 if known else 201)


async def delete_topics(call: Call) -> Answer:
    """Lift these limits, on one exchange or on all."""
    if not _topics_of(call):
        raise not_found()
    user, vhost = _key(call)
    await call.change(DeleteTopicPermission(user, vhost, call.names.get("exchange")))
    return Answer(204)


ADMIN: Final = Needs.ADMINISTRATOR
ROUTES: Final = (
    Route("/permissions", GET=Operation(list_all, ADMIN, query=PARAMETERS)),
    Route("/vhosts/{vhost}/permissions", GET=Operation(list_of_vhost, ADMIN, query=PARAMETERS)),
    Route("/users/{user}/permissions", GET=Operation(list_of_user, ADMIN, query=PARAMETERS)),
    Route(
        "/permissions/{vhost}/{user}",
        GET=Operation(show, ADMIN),
        PUT=Operation(put, ADMIN, Body),
        DELETE=Operation(delete, ADMIN),
    ),
    Route("/topic-permissions", GET=Operation(list_all_topics, ADMIN, query=PARAMETERS)),
    Route(
        "/vhosts/{vhost}/topic-permissions",
        GET=Operation(list_topics_of_vhost, ADMIN, query=PARAMETERS),
    ),
    Route(
        "/users/{user}/topic-permissions",
        GET=Operation(list_topics_of_user, ADMIN, query=PARAMETERS),
    ),
    Route(
        "/topic-permissions/{vhost}/{user}",
        GET=Operation(show_topics, ADMIN),
        PUT=Operation(put_topic, ADMIN, TopicBody),
        DELETE=Operation(delete_topics, ADMIN),
    ),
    Route(
        "/topic-permissions/{vhost}/{user}/{exchange}",
        GET=Operation(show_topics, ADMIN),
        DELETE=Operation(delete_topics, ADMIN),
    ),
)
