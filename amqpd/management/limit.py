"""`/api/vhost-limits` and `/api/user-limits`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from amqpd.broker.definitions import DeleteParameter, PutParameter
from amqpd.broker.parameters import LIMITS, USER_LIMITS, VHOST_LIMITS, check
from amqpd.management import user as users
from amqpd.management.access import Needs
from amqpd.management.errors import not_authorised
from amqpd.management.listing import listing
from amqpd.management.parameter import as_set
from amqpd.management.request import Answer, encode
from amqpd.management.routing import Operation, Route

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from amqpd.management.call import Call
    from amqpd.management.listing import Facts


class Body(Struct):
    """A limit; below 0 there is none."""

    value: object


async def list_of_vhosts(call: Call) -> Answer:
    """The limits of vhosts that have some."""
    is_one = "vhost" in call.names
    found: list[Facts] = []
    for vhost in [call.vhost] if is_one else call.visible_vhosts():
        value = as_set(call, VHOST_LIMITS, vhost.name, LIMITS)
        # RabbitMQ's list of all has those, too, whose limits were lifted one by one.
        kept = call.broker.parameters.get(VHOST_LIMITS, vhost.name, LIMITS)
        if value or (kept is not None and not is_one):
            found.append({"vhost": vhost.name, "value": value})
    return await _listed(call, found, "vhost")


async def list_of_users(call: Call) -> Answer:
    """The limits of users that have some."""
    return await _of_users(call, [one.name for one in call.broker.permissions.users()])


async def list_of_user(call: Call) -> Answer:
    """The limits of one user."""
    name = call.names["user"]
    if not (call.caller.is_monitor or name == call.caller.name):
        raise not_authorised("User not authorised to access object")
    return await _of_users(call, [users.find(call, name).name])


async def _of_users(call: Call, names: list[str]) -> Answer:
    limits = ((name, users.limits(call, name)) for name in names)
    found: list[Facts] = [{"user": name, "value": value} for name, value in limits if value]
    return await _listed(call, found, "user")


async def _listed(call: Call, found: list[Facts], column: str) -> Answer:
    keys: Mapping[str, Callable[[Facts], object]] = {
        column: lambda one: one[column],
        "name": lambda one: one[column],
    }
    return await listing(call, found, lambda one: one, keys, default_sort=(column,))


def _parameter(call: Call) -> tuple[str, str, str, Facts]:
    """Component, vhost and name of the parameter that holds the limits, and those it holds."""
    if "user" in call.names:
        name = users.find(call, call.names["user"]).name
        return USER_LIMITS, "", name, users.limits(call, name)
    vhost = call.vhost.name
    return VHOST_LIMITS, vhost, LIMITS, as_set(call, VHOST_LIMITS, vhost, LIMITS)


async def put(call: Call) -> Answer:
    """Set a limit."""
    component, vhost, name, limits = _parameter(call)
    body = await call.body(Body)
    value = {**limits, call.names["name"]: body.value}
    check(component, name, value)
    await call.change(PutParameter(component, vhost, name, encode(value).decode()))
    return Answer(204)


async def delete(call: Call) -> Answer:
    """Lift a limit; one that is not set is fine."""
    component, vhost, name, limits = _parameter(call)
    if limits.pop(call.names["name"], None) is not None:
        command: PutParameter | DeleteParameter = DeleteParameter(component, vhost, name)
        if limits or component == VHOST_LIMITS:
            command = PutParameter(component, vhost, name, encode(limits).decode())
        await call.change(command)
    return Answer(204)


ADMIN: Final = Needs.ADMINISTRATOR
ROUTES: Final = (
    Route("/vhost-limits", GET=Operation(list_of_vhosts, Needs.VHOST_VISIBLE)),
    Route("/vhost-limits/{vhost}", GET=Operation(list_of_vhosts, Needs.VHOST_VISIBLE)),
    Route(
        "/vhost-limits/{vhost}/{name}",
        PUT=Operation(put, ADMIN, Body),
        DELETE=Operation(delete, ADMIN),
    ),
    Route("/user-limits", GET=Operation(list_of_users, ADMIN)),
    Route("/user-limits/{user}", GET=Operation(list_of_user, Needs.LOGIN)),
    Route(
        "/user-limits/{user}/{name}",
        PUT=Operation(put, ADMIN, Body),
        DELETE=Operation(delete, ADMIN),
    ),
)
