"""Runtime parameters: settings that people change while the broker runs.

    Parameters
        .put(command)  .delete(command)  .delete_vhost(name)      as commands say
        .get(component, vhost, name) -> PutParameter | None
        .listing(component, vhost) -> list
    check(component, name, value)      before a command is made: is the value one
    parsed(command) -> the value as what it means, of the components that the broker itself has

RabbitMQ's components: policies, operator policies, limits of vhosts and users, global
parameters, and those of shovels and federation, which are kept for the rooms that have them.
Queues that are paused are a component of our own (`pause`).
A value is JSON in the command, and checked before it becomes one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from amqpd.broker.limits import UserLimits, VhostLimits
from amqpd.broker.pause import PAUSED, Pause
from amqpd.broker.policy import Policy, parse_policy
from amqpd.errors import PreconditionFailed

if TYPE_CHECKING:
    from amqpd.broker.definitions import DeleteParameter, PutParameter

POLICY: Final = "policy"
OPERATOR_POLICY: Final = "operator_policy"
VHOST_LIMITS: Final = "vhost-limits"
#: The parameter's name is the user's, its vhost is empty.
USER_LIMITS: Final = "user-limits"
#: Without a vhost.
GLOBAL: Final = "global"
#: A global parameter: what the broker is called.
CLUSTER_NAME: Final = "cluster_name"
#: The name of the one parameter that holds the limits of a vhost.
LIMITS: Final = "limits"
#: Components of rooms above; their values are dictionaries that only these rooms understand.
UPSTREAM: Final = "federation-upstream"
UPSTREAM_SET: Final = "federation-upstream-set"
OTHERS: Final = frozenset({"shovel", UPSTREAM, UPSTREAM_SET})
_SCHEMES: Final = ("amqp:", "amqps:")
#: Of an upstream; the other keys are texts and flags.
_NUMBERS: Final = ("prefetch-count", "reconnect-delay", "max-hops", "expires", "message-ttl")

#: Objects and lists within each other in a value: all who read it can.
MOST_DEPTH: Final = 64

Parsed = Policy | VhostLimits | UserLimits | Pause


class Parameters:
    """The parameters of a broker, as they are set."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str, str], PutParameter] = {}

    def put(self, command: PutParameter) -> None:
        """Set one; it replaces the one of that name."""
        self._values[command.component, command.vhost, command.name] = command

    def delete(self, command: DeleteParameter) -> None:
        """Remove one, if it is there."""
        self._values.pop((command.component, command.vhost, command.name), None)

    def delete_vhost(self, name: str) -> None:
        """Remove all of a vhost."""
        self._values = {key: value for key, value in self._values.items() if key[1] != name}

    def get(self, component: str, vhost: str, name: str) -> PutParameter | None:
        """What is set under this name."""
        return self._values.get((component, vhost, name))

    def listing(self, component: str | None = None, vhost: str | None = None) -> list[PutParameter]:
        """All of a component and a vhost (None: of every one), in the order they were set."""
        return [
            each
            for each in self._values.values()
            if component in (None, each.component) and vhost in (None, each.vhost)
        ]


def check(component: str, name: str, value: object) -> None:
    """Check a value before it is set.

    Raises:
        PreconditionFailed: there is no such component, or it does not take the value.
    """
    if not _is_flat(value):
        raise invalid(f"{name}: nested more than {MOST_DEPTH} deep")
    if component in (POLICY, OPERATOR_POLICY, VHOST_LIMITS, USER_LIMITS, PAUSED):
        _parse(component, name, _dictionary(name, value))
    elif component == UPSTREAM_SET and isinstance(value, list):
        pass  # its upstreams, one after the other
    elif component == UPSTREAM:
        _check_upstream(_dictionary(name, value))
    elif component in OTHERS:
        _dictionary(name, value)
    elif component != GLOBAL:
        raise invalid(f"component {component} not found")


def _check_upstream(value: Mapping[str, object]) -> None:
    given = value.get("uri")
    uris = given if isinstance(given, list) else [given]
    if not uris or not all(isinstance(one, str) and one.startswith(_SCHEMES) for one in uris):
        raise invalid(f"uri must be an AMQP URI or a list of them, got {given}")
    for key in _NUMBERS:
        number = value.get(key, 0)
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            raise invalid(f"{key} must be a number, got {number}")


def _is_flat(value: object) -> bool:
    """Whether it can be read everywhere; without calling itself, which may be what cannot."""
    level = [value]
    for _ in range(MOST_DEPTH):
        level = [
            one
            for each in level
            if isinstance(each, (dict, list))
            for one in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return True
    return not any(isinstance(each, (dict, list)) for each in level)


def parsed(command: PutParameter) -> Parsed | None:
    """What a parameter means to the broker; None: nothing.

    Raises:
        PreconditionFailed: a newer version has set it, and it means nothing to this one.
    """
    if command.component == GLOBAL or command.component in OTHERS:
        return None
    try:
        value = json.loads(command.value)
    except ValueError as error:
        raise invalid(f"Could not parse JSON document: {error}") from error
    check(command.component, command.name, value)
    return _parse(command.component, command.name, _dictionary(command.name, value))


def _parse(component: str, name: str, value: Mapping[str, object]) -> Parsed:
    if component == VHOST_LIMITS:
        return VhostLimits.parse(value)
    if component == USER_LIMITS:
        return UserLimits.parse(value)
    if component == PAUSED:
        return Pause.parse(value)
    return parse_policy(name, value, operator=component == OPERATOR_POLICY)


def _dictionary(name: str, value: object) -> Mapping[str, object]:
    if value == []:
        return {}  # RabbitMQ writes dictionaries without entries so
    if not isinstance(value, Mapping):
        raise invalid(f"{name} not a list {value}")
    return value


def invalid(what: str) -> PreconditionFailed:
    """The error with which RabbitMQ refuses a value."""
    return PreconditionFailed(f"Validation failed\n\n{what}\n")
