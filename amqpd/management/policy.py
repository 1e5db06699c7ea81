"""`/api/policies` and `/api/operator-policies`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import UNSET, Struct, UnsetType, field

from amqpd.broker.parameters import OPERATOR_POLICY, POLICY
from amqpd.management.access import Needs
from amqpd.management.errors import disallowed, not_found
from amqpd.management.listing import PARAMETERS, listing
from amqpd.management.parameter import delete_parameter, put_parameter, value_of
from amqpd.management.request import Answer, json
from amqpd.management.routing import Operation, Route

if TYPE_CHECKING:
    from collections.abc import Callable

    from amqpd.broker.definitions import PutParameter
    from amqpd.management.call import Call
    from amqpd.management.listing import Facts


class Body(Struct):
    """A policy: for which names, and what it sets."""

    pattern: object
    definition: object
    priority: object | UnsetType = UNSET
    apply_to: object | UnsetType = field(default=UNSET, name="apply-to")


_KEYS: Final[dict[str, Callable[[PutParameter], object]]] = {
    "vhost": lambda one: one.vhost,
    "name": lambda one: one.name,
}


def facts(parameter: PutParameter) -> Facts:
    """What is shown of a policy."""
    value = value_of(parameter)
    assert isinstance(value, dict)
    return {
        "vhost": parameter.vhost,
        "name": parameter.name,
        "pattern": value["pattern"],
        "apply-to": value.get("apply-to", "all"),
        "definition": value["definition"],
        "priority": value.get("priority", 0),
    }


def _component(call: Call) -> str:
    return OPERATOR_POLICY if call.request.path.startswith("/operator-policies") else POLICY


def _one(call: Call) -> str:
    """The component, where one policy is meant.

    Raises:
        HttpError: it is an operator's, and those are closed here.
    """
    component = _component(call)
    if component == OPERATOR_POLICY and not call.host.http.operator_policy_changes:
        raise disallowed("Broker settings disallow editing of operator policies.")
    return component


async def list_policies(call: Call) -> Answer:
    """The policies of a vhost, or of all."""
    vhosts = {one.name for one in call.own_vhosts()}
    found = [one for one in call.broker.parameters.listing(_component(call)) if one.vhost in vhosts]
    return await listing(call, found, facts, _KEYS, default_sort=("priority", "vhost", "name"))


async def show(call: Call) -> Answer:
    """One policy."""
    found = call.broker.parameters.get(_one(call), call.vhost.name, call.names["name"])
    if found is None:
        raise not_found()
    return json(facts(found))


async def put(call: Call) -> Answer:
    """Set a policy; it is in force when this is answered."""
    component = _one(call)
    vhost = call.vhost.name
    body = await call.body(Body)
    _check_targets(call, body.definition)
    value = {
        "pattern": body.pattern,
        "definition": body.definition,
        "priority": 0 if body.priority is UNSET or body.priority is None else body.priority,
        "apply-to": "all" if body.apply_to is UNSET or body.apply_to is None else body.apply_to,
    }
    is_new = await put_parameter(call, component, vhost, call.names["name"], value)
    return Answer(201 if is_new else 204)


def _check_targets(call: Call, definition: object) -> None:
    """A policy must not send messages where its author may not.

    RabbitMQ does not look; otherwise a right to set policies would be a right to write.

    Raises:
        AccessRefused: to one of its exchanges the author must not publish.
    """
    if call.caller.is_administrator or not isinstance(definition, dict):
        return
    for key in ("dead-letter-exchange", "alternate-exchange"):
        name = definition.get(key)
        if isinstance(name, str):
            call.access.write("exchange", name)


async def delete(call: Call) -> Answer:
    """Remove a policy."""
    await delete_parameter(call, _one(call), call.vhost.name, call.names["name"])
    return Answer(204)


def _routes(root: str, needs: Needs) -> tuple[Route, ...]:
    return (
        Route(root, GET=Operation(list_policies, Needs.VHOST, query=PARAMETERS)),
        Route(f"{root}/{{vhost}}", GET=Operation(list_policies, Needs.VHOST, query=PARAMETERS)),
        Route(
            f"{root}/{{vhost}}/{{name}}",
            GET=Operation(show, Needs.POLICYMAKER),
            PUT=Operation(put, needs, Body),
            DELETE=Operation(delete, needs),
        ),
    )


ROUTES: Final = (
    *_routes("/policies", Needs.POLICYMAKER),
    *_routes("/operator-policies", Needs.ADMINISTRATOR),
)
