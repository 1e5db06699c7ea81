"""`/api/parameters`, `/api/global-parameters`, `/api/cluster-name`: what is set at run time.

A parameter of any component is one command; policies and limits have paths of their own and
are parameters beneath.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from amqpd.broker.definitions import DeleteParameter, PutParameter
from amqpd.broker.parameters import CLUSTER_NAME, GLOBAL, POLICY, USER_LIMITS, check
from amqpd.management.access import Needs
from amqpd.management.errors import bad_request, not_found
from amqpd.management.listing import PARAMETERS, listing
from amqpd.management.request import Answer, encode, json
from amqpd.management.routing import Operation, Route

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from amqpd.management.call import Call
    from amqpd.management.listing import Facts

#: Kept as parameters, but not shown among them; policies are when they are asked for.
_ELSEWHERE: Final = frozenset({POLICY, GLOBAL, USER_LIMITS})


class Body(Struct):
    """A value of any kind that the component takes."""

    value: object


class ClusterName(Struct):
    """A name for people."""

    name: str


_KEYS: Final[dict[str, Callable[[PutParameter], object]]] = {
    "vhost": lambda one: one.vhost,
    "component": lambda one: one.component,
    "name": lambda one: one.name,
}


def facts(parameter: PutParameter) -> Facts:
    """What is shown of a parameter."""
    return {
        "vhost": parameter.vhost,
        "component": parameter.component,
        "name": parameter.name,
        "value": value_of(parameter),
    }


def as_set(call: Call, component: str, vhost: str, name: str) -> Facts:
    """What is in a parameter; nothing, if there is none."""
    found = call.broker.parameters.get(component, vhost, name)
    value = None if found is None else value_of(found)
    return dict(value) if isinstance(value, dict) else {}


def value_of(parameter: PutParameter) -> object:
    """What it is set to."""
    return msgspec.json.decode(parameter.value)


def global_facts(parameter: PutParameter) -> Facts:
    """What is shown of a global parameter."""
    return {"name": parameter.name, "value": value_of(parameter)}


async def put_parameter(call: Call, component: str, vhost: str, name: str, value: object) -> bool:
    """Set a parameter, on disk; whether it is a new one.

    Raises:
        PreconditionFailed: the component does not take the value.
    """
    check(component, name, value)
    known = call.broker.parameters.get(component, vhost, name)
    await call.change(PutParameter(component, vhost, name, encode(value).decode()))
    return known is None


async def delete_parameter(call: Call, component: str, vhost: str, name: str) -> None:
    """Remove a parameter, on disk.

    Raises:
        HttpError: it is not set.
    """
    if call.broker.parameters.get(component, vhost, name) is None:
        raise not_found()
    await call.change(DeleteParameter(component, vhost, name))


# -- parameters --------------------------------------------------------------------------


async def list_parameters(call: Call) -> Answer:
    """Parameters, of one component or of all."""
    component = call.names.get("component")
    vhosts = {one.name for one in call.own_vhosts()}
    found = [
        one
        for one in call.broker.parameters.listing(component)
        if one.vhost in vhosts and (one.component not in _ELSEWHERE or component == POLICY)
    ]
    return await _listed(call, found)


async def _listed(call: Call, found: Sequence[PutParameter]) -> Answer:
    return await listing(call, found, facts, _KEYS, default_sort=("vhost", "component", "name"))


async def show(call: Call) -> Answer:
    """One parameter."""
    names = call.names
    found = call.broker.parameters.get(names["component"], names["vhost"], names["name"])
    if found is None:
        raise not_found()
    return json(facts(found))


async def put(call: Call) -> Answer:
    """Set a parameter."""
    component, name = call.names["component"], call.names["name"]
    vhost = call.vhost.name
    if component == POLICY:
        raise bad_request("policies may not be set using this method")
    if component in _ELSEWHERE:
        raise bad_request(f"Validation failed\n\ncomponent {component} not found\n")
    body = await call.body(Body)
    is_new = await put_parameter(call, component, vhost, name, body.value)
    return Answer(201 if is_new else 204)


async def delete(call: Call) -> Answer:
    """Remove a parameter."""
    names = call.names
    await delete_parameter(call, names["component"], call.vhost.name, names["name"])
    return Answer(204)


# -- global ones -------------------------------------------------------------------------


def global_parameters(call: Call) -> list[PutParameter]:
    """What is set for the whole broker; its name is always there."""
    found = call.broker.parameters.listing(GLOBAL)
    if any(one.name == CLUSTER_NAME for one in found):
        return found
    name = encode(call.host.figures().cluster_name).decode()
    return [PutParameter(GLOBAL, "", CLUSTER_NAME, name), *found]


async def list_global(call: Call) -> Answer:
    """The parameters of the whole broker."""
    return await listing(call, global_parameters(call), global_facts, _KEYS, default_sort=("name",))


async def show_global(call: Call) -> Answer:
    """One of them."""
    for one in global_parameters(call):
        if one.name == call.names["name"]:
            return json(global_facts(one))
    raise not_found()


async def put_global(call: Call) -> Answer:
    """Set one of them."""
    body = await call.body(Body)
    name = call.names["name"]
    if name == CLUSTER_NAME and not isinstance(body.value, str):
        raise bad_request("cluster_name: must be a text")
    is_new = await put_parameter(call, GLOBAL, "", name, body.value)
    return Answer(201 if is_new else 204)


async def delete_global(call: Call) -> Answer:
    """Remove one of them."""
    await delete_parameter(call, GLOBAL, "", call.names["name"])
    return Answer(204)


async def show_cluster_name(call: Call) -> Answer:
    """How this broker is called."""
    return json({"name": call.host.figures().cluster_name})


async def put_cluster_name(call: Call) -> Answer:
    """Call it otherwise; clients that connect from now on hear it."""
    body = await call.body(ClusterName)
    await put_parameter(call, GLOBAL, "", CLUSTER_NAME, body.name)
    return Answer(204)


POLICYMAKER: Final = Needs.POLICYMAKER
ROUTES: Final = (
    Route("/parameters", GET=Operation(list_parameters, POLICYMAKER, query=PARAMETERS)),
    Route("/parameters/{component}", GET=Operation(list_parameters, POLICYMAKER, query=PARAMETERS)),
    Route(
        "/parameters/{component}/{vhost}",
        GET=Operation(list_parameters, POLICYMAKER, query=PARAMETERS),
    ),
    Route(
        "/parameters/{component}/{vhost}/{name}",
        GET=Operation(show, POLICYMAKER),
        PUT=Operation(put, POLICYMAKER, Body),
        DELETE=Operation(delete, POLICYMAKER),
    ),
    Route(
        "/global-parameters", GET=Operation(list_global, Needs.GLOBAL_PARAMETERS, query=PARAMETERS)
    ),
    Route(
        "/global-parameters/{name}",
        GET=Operation(show_global, Needs.GLOBAL_PARAMETERS),
        PUT=Operation(put_global, Needs.GLOBAL_PARAMETERS, Body),
        DELETE=Operation(delete_global, Needs.GLOBAL_PARAMETERS),
    ),
    Route(
        "/cluster-name",
        GET=Operation(show_cluster_name, Needs.LOGIN),
        PUT=Operation(put_cluster_name, Needs.ADMINISTRATOR, ClusterName),
    ),
)
