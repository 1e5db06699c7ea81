"""`/api/vhosts`: vhosts with their metadata, deletion protection and tracing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from msgspec import UNSET, Struct, UnsetType

from amqpd.broker.arguments import QueueType
from amqpd.broker.definitions import DeleteVhost, PutPermission, PutVhost
from amqpd.broker.limits import VhostLimits
from amqpd.management.access import Needs
from amqpd.management.errors import bad_request, precondition_failed
from amqpd.management.listing import PARAMETERS, listing, one
from amqpd.management.payload import Tags, Truth, tag_list, truth
from amqpd.management.rates import (
    DATA,
    LENGTHS,
    MEASURED,
    PUBLISHING,
    TRAFFIC,
    vhost_lengths,
    vhost_traffic,
)
from amqpd.management.request import Answer
from amqpd.management.routing import Operation, Route

if TYPE_CHECKING:
    from amqpd.broker.vhost import VHost
    from amqpd.management.call import Call
    from amqpd.management.listing import Facts
    from amqpd.management.rates import Shown

#: A vhost's name travels as a short string.
NAME_BYTES: Final = 255
QUEUE_TYPES: Final = frozenset(QueueType)


#: Left out with `disable_stats`.
_NUMBERS: Final = frozenset({"message_stats", *LENGTHS, *DATA})


class Body(Struct):
    """What a vhost can be made with; what is left out stays as it is."""

    description: str | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    default_queue_type: str | UnsetType | None = UNSET
    defaultqueuetype: str | UnsetType | None = UNSET
    protected_from_deletion: Truth | UnsetType = UNSET
    tracing: Truth | UnsetType = UNSET


def facts(call: Call, vhost: VHost, shown: Shown) -> Facts | None:
    """What is shown of a vhost."""
    definition = call.broker.definitions.get(vhost.name)
    if definition is None:
        return None
    queue_type = definition.default_queue_type or call.broker.limits.default_queue_type
    tags = list(definition.tags)
    protected = definition.protected_from_deletion
    lengths, moved = vhost_lengths(vhost), vhost_traffic(vhost)
    found = {
        "name": vhost.name,
        "description": definition.description,
        "tags": tags,
        "default_queue_type": queue_type or QueueType.CLASSIC,
        "protected_from_deletion": protected,
        "metadata": {
            "description": definition.description,
            "tags": tags,
            "default_queue_type": queue_type or QueueType.CLASSIC,
            **({"protected_from_deletion": True} if protected else {}),
        },
        "tracing": vhost.firehose.on,
        "rights": call.rights_within(vhost.name),
        "cluster_state": {call.host.node: "running"},
        **shown.facts(vhost, LENGTHS, lengths, shown.lengths),
        **shown.facts((vhost, DATA), DATA, call.survey.octets_of(vhost), shown.data),
    }
    if any(moved):
        columns = (*TRAFFIC, *PUBLISHING)
        found["message_stats"] = shown.facts(vhost, columns, moved, shown.rates, len(LENGTHS))
    return shown.of(found, _NUMBERS)


async def list_vhosts(call: Call) -> Answer:
    """The vhosts that the caller may know of."""
    keys = {"name": lambda vhost: vhost.name}
    shown = call.shown()
    return await listing(
        call,
        call.visible_vhosts(),
        lambda one: facts(call, one, shown),
        keys,
        default_sort=("name",),
    )


async def show(call: Call) -> Answer:
    """One vhost."""
    return one(call, facts(call, call.vhost, call.shown()))


async def put(call: Call) -> Answer:
    """Make a vhost, or change its metadata."""
    name = call.names["vhost"]
    body = await call.body(Body)
    known = call.broker.definitions.get(name)
    if not 0 < len(name.encode(errors="surrogateescape")) <= NAME_BYTES:
        raise bad_request(f"vhost name: not between 1 and {NAME_BYTES} bytes")
    commands: list[PutVhost | PutPermission] = [_changed(known or PutVhost(name), body)]
    if known is None and call.broker.permissions.user(call.caller.name) is not None:
        # As RabbitMQ: whoever makes a vhost may use it. Who is not in the tables needs no entry.
        commands.append(PutPermission(call.caller.name, name, ".*", ".*", ".*"))
    await call.change(*commands)
    return Answer(201 if known is None else 204)


def _changed(known: PutVhost, body: Body) -> PutVhost:
    queue_type = body.default_queue_type
    if queue_type is UNSET:
        queue_type = body.defaultqueuetype
    if queue_type is UNSET:
        queue_type = known.default_queue_type
    elif queue_type in (None, "undefined"):
        queue_type = ""
    elif queue_type not in QUEUE_TYPES:
        raise bad_request(f"Unsupported default queue type '{queue_type}'")
    return replace(
        known,
        description=known.description if body.description is UNSET else body.description,
        tags=known.tags if body.tags is UNSET else tag_list(body.tags),
        default_queue_type=str(queue_type or ""),
        protected_from_deletion=truth(body.protected_from_deletion, known.protected_from_deletion),
        tracing=truth(body.tracing, known.tracing),
    )


async def delete(call: Call) -> Answer:
    """Remove a vhost with everything in it, unless it is protected."""
    name = call.vhost.name
    if call.broker.definitions[name].protected_from_deletion:
        raise precondition_failed(
            f"Refusing to delete virtual host '{name}' because it is protected from deletion"
        )
    await call.change(DeleteVhost(name))
    return Answer(204)


async def protect(call: Call) -> Answer:
    """Protect a vhost from being deleted."""
    definition = call.broker.definitions[call.vhost.name]
    await call.change(replace(definition, protected_from_deletion=True))
    return Answer(204)


async def unprotect(call: Call) -> Answer:
    """Lift that protection."""
    definition = call.broker.definitions[call.vhost.name]
    await call.change(replace(definition, protected_from_deletion=False))
    return Answer(204)


async def start(call: Call) -> Answer:
    """Start a vhost on a node; here they all run."""
    _ = call.vhost
    if call.names["node"] != call.host.node:
        raise bad_request(f"node '{call.names['node']}' is not this one")
    return Answer(204)


def limits_of(call: Call, name: str) -> dict[str, int]:
    """The limits of a vhost, by RabbitMQ's names."""
    return call.broker.presence.vhost_limits.get(name, VhostLimits()).named()


ADMIN: Final = Needs.ADMINISTRATOR
ROUTES: Final = (
    Route("/vhosts", GET=Operation(list_vhosts, Needs.LOGIN, query=(*PARAMETERS, *MEASURED))),
    Route(
        "/vhosts/{vhost}",
        GET=Operation(show, ADMIN, query=(*MEASURED, "columns")),
        PUT=Operation(put, ADMIN, Body),
        DELETE=Operation(delete, ADMIN),
    ),
    Route(
        "/vhosts/{vhost}/deletion/protection",
        POST=Operation(protect, ADMIN),
        DELETE=Operation(unprotect, ADMIN),
    ),
    Route("/vhosts/{vhost}/start/{node}", POST=Operation(start, ADMIN)),
)
