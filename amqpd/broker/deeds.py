"""What operators change, as lines of the log: those that people look for in RabbitMQ's.

    lines(command, known) -> the lines of one command, before it is carried out

Parameters are policies and limits, too. Who did it, and from where, is in the audit log, with the
same lines; queues and exchanges are told of as events.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from amqpd.broker.definitions import (
    DeleteParameter,
    DeletePermission,
    DeleteTopicPermission,
    DeleteUser,
    DeleteVhost,
    PutParameter,
    PutPermission,
    PutTopicPermission,
    PutUser,
    PutVhost,
)
from amqpd.text import masked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amqpd.broker.definitions import Command
    from amqpd.broker.permissions import User


def lines(command: Command, user: User | None, has_vhost: bool) -> Iterator[str]:
    """The lines; `user` is what was known of the command's user, `has_vhost` whether it exists."""
    match command:
        case PutVhost() if not has_vhost:
            about = f"description: '{command.description}', tags: [{','.join(command.tags)}]"
            yield f"Adding vhost '{command.name}' ({about})"
        case DeleteVhost() if has_vhost:
            yield f"Deleting vhost '{command.name}'"
        case PutUser():
            yield from _user(command, user)
        case DeleteUser() if user is not None:
            yield f"Deleted user '{command.name}'"
        case PutPermission():
            rights = f"'{command.configure}', '{command.write}', '{command.read}'"
            yield f"Successfully set permissions for {_in(command)} to {rights}"
        case DeletePermission():
            yield f"Successfully cleared permissions for {_in(command)}"
        case PutTopicPermission():
            yield (
                f"Successfully set topic permissions on exchange '{command.exchange}' for "
                f"{_in(command)} to '{command.write}', '{command.read}'"
            )
        case DeleteTopicPermission():
            of = f" on exchange '{command.exchange}'" if command.exchange else ""
            yield f"Successfully cleared topic permissions{of} for {_in(command)}"
        case PutParameter():
            value = json.dumps(masked(json.loads(command.value)))
            yield f"Setting {_parameter(command)} to {value}"
        case DeleteParameter():
            yield f"Clearing {_parameter(command)}"
        case _:
            pass


def _parameter(command: PutParameter | DeleteParameter) -> str:
    where = f" in virtual host '{command.vhost}'" if command.vhost else ""
    return f"{command.component} '{command.name}'{where}"


def _user(command: PutUser, known: User | None) -> Iterator[str]:
    name = command.name
    if known is None:
        yield f"Created user '{name}'"
    elif known.password_hash != command.password_hash:
        done = "Successfully changed" if command.password_hash else "Clearing"
        yield f"{done} password for user '{name}'"
    if command.tags != (() if known is None else known.listed):
        yield f"Successfully set user tags for user '{name}' to [{', '.join(command.tags)}]"


def _in(
    command: PutPermission | DeletePermission | PutTopicPermission | DeleteTopicPermission,
) -> str:
    return f"'{command.user}' in virtual host '{command.vhost}'"
