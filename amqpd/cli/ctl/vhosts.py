"""Virtual hosts, with their metadata, tracing and deletion protection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from amqpd.cli.ctl.refusals import explain, no_vhost
from amqpd.cli.ctl.verb import argument, known_columns, option, verb
from amqpd.cli.remote import RemoteError, segment

if TYPE_CHECKING:
    from amqpd.cli.ctl.verb import Ctl

GROUP: Final = "virtual hosts"
COLUMNS: Final = (
    "name", "description", "tags", "default_queue_type", "protected_from_deletion", "tracing",
    "cluster_state",
)  # fmt: skip
METADATA: Final = (
    option("--description", metavar="TEXT"),
    option("--tags", metavar="TAG,TAG"),
    option("--default-queue-type", metavar="TYPE", help="classic, quorum or stream."),
)


def _path(name: str) -> str:
    return f"/vhosts/{segment(name)}"


def _must_be_there(ctl: Ctl, name: str) -> None:
    """A vhost that is none ends the verb."""
    try:
        ctl.remote.get(_path(name), columns="name")
    except RemoteError as error:
        if error.status == 404:
            no_vhost(ctl.name, name)
        explain(ctl.name, ctl.remote, name, error)


def _metadata(description: str | None, tags: str | None, queue_type: str | None) -> dict[str, Any]:
    given = {"description": description, "tags": tags, "default_queue_type": queue_type}
    return {name: value for name, value in given.items() if value is not None}


@verb(
    "add_vhost",
    GROUP,
    argument("name"),
    *METADATA,
    option("--protected-from-deletion", type=click.BOOL, metavar="true|false"),
)
def add_vhost(
    ctl: Ctl,
    name: str,
    description: str | None,
    tags: str | None,
    default_queue_type: str | None,
    protected_from_deletion: bool | None,
) -> None:
    """Make a vhost; one that is there is fine."""
    ctl.say(f'Adding vhost "{name}" ...')
    body = _metadata(description, tags, default_queue_type)
    if protected_from_deletion is not None:
        body["protected_from_deletion"] = protected_from_deletion
    ctl.remote.put(_path(name), body)


@verb("update_vhost_metadata", GROUP, argument("name"), *METADATA)
def update_vhost_metadata(
    ctl: Ctl,
    name: str,
    description: str | None,
    tags: str | None,
    default_queue_type: str | None,
) -> None:
    """Change what is noted of a vhost; what is not given stays."""
    ctl.say(f'Updating metadata of vhost "{name}" ...')
    _must_be_there(ctl, name)
    ctl.remote.put(_path(name), _metadata(description, tags, default_queue_type))


@verb("set_vhost_tags", GROUP, argument("name"), argument("tags", required=False, many=True))
def set_vhost_tags(ctl: Ctl, name: str, tags: tuple[str, ...]) -> None:
    """Set a vhost's tags."""
    ctl.say(f'Setting tags for virtual host "{name}" to [{", ".join(tags)}] ...')
    _must_be_there(ctl, name)
    ctl.remote.put(_path(name), {"tags": list(tags)})


@verb("delete_vhost", GROUP, argument("name"))
def delete_vhost(ctl: Ctl, name: str) -> None:
    """Remove a vhost with all that is in it."""
    ctl.say(f'Deleting vhost "{name}" ...')
    _must_be_there(ctl, name)
    ctl.remote.delete(_path(name))


@verb("enable_vhost_deletion_protection", GROUP, argument("name"))
def enable_protection(ctl: Ctl, name: str) -> None:
    """Let nobody delete a vhost."""
    ctl.say(f'Will protect virtual host "{name}" from deletion')
    ctl.remote.post(f"{_path(name)}/deletion/protection")


@verb("disable_vhost_deletion_protection", GROUP, argument("name"))
def disable_protection(ctl: Ctl, name: str) -> None:
    """Let a vhost be deleted again."""
    ctl.say(f'Will lift deletion protection from virtual host "{name}"')
    ctl.remote.delete(f"{_path(name)}/deletion/protection")


@verb("list_vhosts", GROUP, argument("columns", required=False, many=True))
def list_vhosts(ctl: Ctl, columns: tuple[str, ...]) -> None:
    """All vhosts; columns: name, description, tags, default_queue_type, tracing, …"""
    chosen = known_columns(columns, COLUMNS) or ["name"]
    ctl.say("Listing vhosts ...")
    ctl.show(chosen, ctl.remote.get("/vhosts"))


@verb("restart_vhost", GROUP)
def restart_vhost(ctl: Ctl) -> None:
    """A vhost that is down would be started; here none ever is."""
    node = ctl.node
    ctl.say(f"Trying to restart vhost '{ctl.vhost}' on node '{node}' ...")
    _must_be_there(ctl, ctl.vhost)
    ctl.result(f"Vhost '{ctl.vhost}' is already running on node '{node}'")


@verb("trace_on", GROUP)
def trace_on(ctl: Ctl) -> None:
    """Copy all messages of a vhost to amq.rabbitmq.trace."""
    ctl.say(f'Starting tracing for vhost "{ctl.vhost}" ...')
    _must_be_there(ctl, ctl.vhost)
    ctl.remote.put(_path(ctl.vhost), {"tracing": True})
    ctl.result(f"Trace enabled for vhost {ctl.vhost}")


@verb("trace_off", GROUP)
def trace_off(ctl: Ctl) -> None:
    """Stop copying messages."""
    ctl.say(f'Stopping tracing for vhost "{ctl.vhost}" ...')
    _must_be_there(ctl, ctl.vhost)
    ctl.remote.put(_path(ctl.vhost), {"tracing": False})
    ctl.result(f"Trace disabled for vhost {ctl.vhost}")
