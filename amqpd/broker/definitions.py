"""Commands that change definitions: the only way in which vhosts, users, exchanges, queues
and bindings come and go.

A command is a plain value. The model applies it, the journal carries the durable ones, the
store keeps their effect in tables and gives them back at start as a list of commands that,
applied in order to an empty model, make an equal one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from amqpd.fields import Table

DestinationKind = Literal["queue", "exchange"]


@dataclass(frozen=True, slots=True)
class PutVhost:
    """Creates a vhost or changes its metadata."""

    name: str
    description: str = ""
    tags: tuple[str, ...] = ()
    default_queue_type: str = ""
    tracing: bool = False
    protected_from_deletion: bool = False


@dataclass(frozen=True, slots=True)
class DeleteVhost:
    """Removes a vhost with everything in it."""

    name: str


@dataclass(frozen=True, slots=True)
class PutUser:
    """Creates a user or replaces its password hash and tags."""

    name: str
    password_hash: str
    hashing_algorithm: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeleteUser:
    """Removes a user with all its permissions."""

    name: str


@dataclass(frozen=True, slots=True)
class PutPermission:
    """Grants a user access to a vhost: three unanchored patterns."""

    user: str
    vhost: str
    configure: str
    write: str
    read: str


@dataclass(frozen=True, slots=True)
class DeletePermission:
    """Takes a user's access to a vhost away."""

    user: str
    vhost: str


@dataclass(frozen=True, slots=True)
class PutTopicPermission:
    """Limits a user to routing keys that match, on one topic exchange."""

    user: str
    vhost: str
    exchange: str
    write: str
    read: str


@dataclass(frozen=True, slots=True)
class DeleteTopicPermission:
    """Lifts that limit, on one exchange or on all of the vhost."""

    user: str
    vhost: str
    exchange: str | None = None


@dataclass(frozen=True, slots=True)
class PutExchange:
    """Creates an exchange."""

    vhost: str
    name: str
    kind: str
    durable: bool
    auto_delete: bool
    internal: bool
    arguments: Table = field(default_factory=dict)
    #: The user; empty for what is older than that this is kept.
    declared_by: str = ""


@dataclass(frozen=True, slots=True)
class DeleteExchange:
    """Removes an exchange with its bindings."""

    vhost: str
    name: str


@dataclass(frozen=True, slots=True)
class PutQueue:
    """Creates a queue; `lanes` are the store's ids of its levels, lowest priority first."""

    vhost: str
    name: str
    durable: bool
    exclusive: bool
    auto_delete: bool
    arguments: Table
    lanes: tuple[int, ...]
    #: As of exchanges.
    declared_by: str = ""


@dataclass(frozen=True, slots=True)
class DeleteQueue:
    """Removes a queue with its bindings and messages."""

    vhost: str
    name: str


@dataclass(frozen=True, slots=True)
class PutBinding:
    """Binds a queue or an exchange to an exchange."""

    vhost: str
    source: str
    destination: str
    destination_kind: DestinationKind
    routing_key: str
    arguments: Table = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeleteBinding:
    """Removes that binding."""

    vhost: str
    source: str
    destination: str
    destination_kind: DestinationKind
    routing_key: str
    arguments: Table = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PutParameter:
    """Sets a runtime parameter (a policy, a limit, ...); `value` is JSON."""

    component: str
    vhost: str
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class DeleteParameter:
    """Removes a runtime parameter."""

    component: str
    vhost: str
    name: str


Command = (
    PutVhost
    | DeleteVhost
    | PutUser
    | DeleteUser
    | PutPermission
    | DeletePermission
    | PutTopicPermission
    | DeleteTopicPermission
    | PutExchange
    | DeleteExchange
    | PutQueue
    | DeleteQueue
    | PutBinding
    | DeleteBinding
    | PutParameter
    | DeleteParameter
)
