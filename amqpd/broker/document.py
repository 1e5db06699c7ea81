"""The definitions of a broker or a vhost as a document: RabbitMQ's `definitions.json`.

    SECTIONS                            the lists of a document of the whole broker, in order
    VHOST_SECTIONS                      those of the document of one vhost
    entries(broker, section, vhost) -> Iterator of dictionaries, as JSON has them
    head(broker, vhost, product, version) -> what a document begins with

What is there while the iterator runs is in it; the caller may pause between two entries.
Exclusive queues belong to a connection and are left out, as is what every vhost begins with.
`restoring` reads such documents.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from amqpd.broker.limits import UserLimits
from amqpd.broker.parameters import GLOBAL, POLICY, USER_LIMITS
from amqpd.broker.pause import PAUSED
from amqpd.fields import plain_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from amqpd.broker.binding import Binding
    from amqpd.broker.broker import Broker
    from amqpd.broker.definitions import PutParameter, PutVhost
    from amqpd.broker.exchange import Exchange
    from amqpd.broker.permissions import User
    from amqpd.broker.queue import Queue
    from amqpd.broker.vhost import VHost

Entry = dict[str, object]

#: How a document says what it is of.
FORMAT: Final = "rabbitmq_definition_format"
CLUSTER: Final = "cluster"
SINGLE_VHOST: Final = "single_virtual_host"
#: Exchanges whose names begin so are in every vhost from the beginning.
PREDECLARED: Final = "amq."
#: Global parameters whose names begin so are the broker's own business.
INTERNAL: Final = "internal"
DEFAULT_ALGORITHM: Final = "rabbit_password_hashing_sha256"


def head(broker: Broker, vhost: str | None, product: str, version: str) -> Entry:
    """What a document begins with."""
    found: Entry = {
        "rabbit_version": version,
        "rabbitmq_version": version,
        "product_name": product,
        "product_version": version,
    }
    if vhost is None:
        name = broker.cluster_name
        return found | {
            FORMAT: CLUSTER,
            "original_cluster_name": name,
            "explanation": f"Definitions of cluster '{name}'",
        }
    definition = broker.definitions[vhost]
    limits = broker.presence.vhost_limits.get(vhost)
    return found | {
        FORMAT: SINGLE_VHOST,
        "original_vhost_name": vhost,
        "explanation": f"Definitions of virtual host '{vhost}'",
        "description": definition.description,
        "metadata": _metadata(definition),
        "limits": limits.named() if limits is not None else {},
    }


# -- entries -----------------------------------------------------------------------------


def user_entry(broker: Broker, user: User) -> Entry:
    """A user."""
    return {
        "name": user.name,
        "password_hash": user.password_hash,
        "hashing_algorithm": user.hashing_algorithm or DEFAULT_ALGORITHM,
        "tags": list(user.listed),
        "limits": broker.presence.user_limits.get(user.name, UserLimits()).named(),
    }


def _metadata(definition: PutVhost) -> Entry:
    found: Entry = {
        "description": definition.description,
        "tags": list(definition.tags),
        "protected_from_deletion": definition.protected_from_deletion,
    }
    if definition.default_queue_type:
        found["default_queue_type"] = definition.default_queue_type
    return found


def vhost_entry(definition: PutVhost) -> Entry:
    """A vhost."""
    found: Entry = {
        "name": definition.name,
        "description": definition.description,
        "tags": list(definition.tags),
        "metadata": _metadata(definition),
        "tracing": definition.tracing,
    }
    if definition.default_queue_type:
        found["default_queue_type"] = definition.default_queue_type
    return found


def exchange_entry(exchange: Exchange) -> Entry:
    """An exchange."""
    return {
        "name": exchange.name,
        "vhost": exchange.vhost,
        "type": exchange.kind,
        "durable": exchange.durable,
        "auto_delete": exchange.auto_delete,
        "internal": exchange.internal,
        "arguments": plain_table(exchange.arguments),
    }


def queue_entry(queue: Queue) -> Entry:
    """A queue."""
    found: Entry = {
        "name": queue.name,
        "vhost": queue.vhost,
        "type": str(queue.own.queue_type),
        "durable": queue.durable,
        "auto_delete": queue.auto_delete,
        "arguments": plain_table(queue.declared),
    }
    if queue.paused is not None:
        # RabbitMQ does not know this key, and leaves it alone.
        found["paused"] = asdict(queue.paused)
    return found


def binding_entry(vhost: str, binding: Binding) -> Entry:
    """A binding."""
    return {
        "source": binding.source,
        "vhost": vhost,
        "destination": binding.destination.name,
        "destination_type": binding.destination.kind,
        "routing_key": binding.routing_key,
        "arguments": plain_table(binding.arguments),
    }


def parameter_entry(parameter: PutParameter) -> Entry:
    """A parameter of a vhost."""
    return {
        "component": parameter.component,
        "vhost": parameter.vhost,
        "name": parameter.name,
        "value": json.loads(parameter.value),
    }


def policy_entry(parameter: PutParameter) -> Entry:
    """A policy, which is a parameter beneath."""
    value = json.loads(parameter.value)
    return {
        "vhost": parameter.vhost,
        "name": parameter.name,
        "pattern": value["pattern"],
        "apply-to": value.get("apply-to", "all"),
        "definition": value["definition"],
        "priority": value.get("priority", 0),
    }


# -- sections ----------------------------------------------------------------------------


def _vhosts_of(broker: Broker, vhost: str | None) -> list[VHost]:
    return [one for one in broker.vhosts.values() if vhost in (None, one.name)]


def _users(broker: Broker, vhost: str | None) -> Iterator[Entry]:
    for user in broker.permissions.users():
        yield user_entry(broker, user)


def _vhosts(broker: Broker, vhost: str | None) -> Iterator[Entry]:
    for definition in list(broker.definitions.values()):
        limits = broker.presence.vhost_limits.get(definition.name)
        # For who reads it; they come back with the parameters.
        yield vhost_entry(definition) | {"limits": limits.named() if limits is not None else {}}


def _permissions(broker: Broker, vhost: str | None) -> Iterator[Entry]:
    for user, name, permission in list(broker.permissions.listing()):
        yield {
            "user": user,
            "vhost": name,
            "configure": permission.configure,
            "write": permission.write,
            "read": permission.read,
        }


def _topic_permissions(broker: Broker, vhost: str | None) -> Iterator[Entry]:
    for user, name, exchange, permission in list(broker.permissions.topic_listing()):
        yield {
            "user": user,
            "vhost": name,
            "exchange": exchange,
            "write": permission.write,
            "read": permission.read,
        }


def _parameters(broker: Broker, vhost: str | None) -> Iterator[Entry]:
    for parameter in broker.parameters.listing(None, vhost):
        if parameter.component not in (POLICY, GLOBAL, USER_LIMITS, PAUSED):
            yield parameter_entry(parameter)


def _global_parameters(broker: Broker, vhost: str | None) -> Iterator[Entry]:
    for parameter in broker.parameters.listing(GLOBAL):
        if parameter.name.startswith(INTERNAL):
            continue
        yield {"name": parameter.name, "value": json.loads(parameter.value)}


def _policies(broker: Broker, vhost: str | None) -> Iterator[Entry]:
    for parameter in broker.parameters.listing(POLICY, vhost):
        yield policy_entry(parameter)


def _exchanges(broker: Broker, vhost: str | None) -> Iterator[Entry]:
    for one in _vhosts_of(broker, vhost):
        for exchange in list(one.exchanges.values()):
            if exchange.name and not exchange.name.startswith(PREDECLARED):
                yield exchange_entry(exchange)


def _queues(broker: Broker, vhost: str | None) -> Iterator[Entry]:
    for one in _vhosts_of(broker, vhost):
        for queue in list(one.queues.values()):
            if queue.owner is None:
                yield queue_entry(queue)


def _bindings(broker: Broker, vhost: str | None) -> Iterator[Entry]:
    for one in _vhosts_of(broker, vhost):
        for binding in list(one.bindings()):
            to = binding.destination
            queue = one.queues.get(to.name) if to.kind == "queue" else None
            if queue is None or queue.owner is None:
                yield binding_entry(one.name, binding)


#: In the order in which a document is read, too.
SECTIONS: Final[Mapping[str, Callable[[Broker, str | None], Iterator[Entry]]]] = {
    "users": _users,
    "vhosts": _vhosts,
    "permissions": _permissions,
    "topic_permissions": _topic_permissions,
    "parameters": _parameters,
    "global_parameters": _global_parameters,
    "policies": _policies,
    "exchanges": _exchanges,
    "queues": _queues,
    "bindings": _bindings,
}
VHOST_SECTIONS: Final = ("parameters", "policies", "exchanges", "queues", "bindings")


def entries(broker: Broker, section: str, vhost: str | None = None) -> Iterator[Entry]:
    """The entries of a section; those of one vhost do not say which."""
    for entry in SECTIONS[section](broker, vhost):
        if vhost is not None:
            del entry["vhost"]
        yield entry
