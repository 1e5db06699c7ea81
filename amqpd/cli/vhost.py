"""`amqpd vhost …` and `amqpd policy …`: make and remove vhosts, set and remove policies."""

from __future__ import annotations

import json

import click

from amqpd.cli.options import fail, printable
from amqpd.cli.reach import broker_options, near, reached, sure, vhost_option
from amqpd.cli.remote import EX_DATA, Remote, RemoteError, segment

_yes = click.option("--yes", is_flag=True, help="Do not ask.")
APPLY_TO = ("all", "queues", "exchanges", "classic_queues", "quorum_queues", "streams")


@click.group()
def vhost() -> None:
    """One vhost: add, delete."""


@vhost.command()
@click.argument("name")
@click.option("--description", metavar="TEXT", default="", help="What it is for.")
@click.option("--default-queue-type", type=click.Choice(["classic", "quorum", "stream"]),
              help="Of queues that are declared without one.")  # fmt: skip
@broker_options
def add(
    name: str,
    description: str,
    default_queue_type: str | None,
    url: str | None,
    username: str | None,
    password: str | None,
) -> None:
    """Make a vhost; whoever makes it may use it."""
    body = {"description": description}
    if default_queue_type is not None:
        body["default_queue_type"] = default_queue_type
    with reached(url, username, password) as remote:
        remote.put(f"/vhosts/{segment(name)}", body)
    click.echo(printable(f"vhost '{name}' added"))
    click.echo(printable(f"let somebody in: amqpd user permissions USER '.*' -p {name}"))


@vhost.command()
@click.argument("name")
@_yes
@broker_options
def delete(
    name: str, yes: bool, url: str | None, username: str | None, password: str | None
) -> None:
    """Remove a vhost with everything in it."""
    with reached(url, username, password) as remote:
        try:
            remote.get(f"/vhosts/{segment(name)}")
        except RemoteError as error:
            if error.status != 404:
                raise
            names = [one["name"] for one in remote.get("/vhosts")]
            fail(f"no vhost '{name}'.{near(name, names)}", EX_DATA)
        queues = remote.get(f"/queues/{segment(name)}", columns="messages")
        messages = sum(one.get("messages", 0) for one in queues)
        sure(
            f"vhost '{name}', its {len(queues)} queues and {messages} messages are deleted",
            yes,
        )
        remote.delete(f"/vhosts/{segment(name)}")
    click.echo(f"deleted, with {len(queues)} queues and {messages} messages")


# -- policies ----------------------------------------------------------------------------


@click.group()
def policy() -> None:
    """One policy: set, delete."""


@policy.command("set")
@click.argument("name")
@click.argument("pattern")
@click.argument("definition")
@click.option("--apply-to", type=click.Choice(APPLY_TO), default="all", help="[all]")
@click.option("--priority", type=int, default=0, help="The highest that matches counts.  [0]")
@vhost_option
@broker_options
def set_(
    name: str,
    pattern: str,
    definition: str,
    apply_to: str,
    priority: int,
    vhost: str | None,
    url: str | None,
    username: str | None,
    password: str | None,
) -> None:
    """Set arguments for all things whose name matches, as JSON: '{"max-length": 1000}'."""
    try:
        parsed = json.loads(definition)
    except ValueError as error:
        fail(f"{definition}: not JSON: {error}", EX_DATA)
    body = {
        "pattern": pattern,
        "definition": parsed,
        "apply-to": apply_to,
        "priority": priority,
    }
    where = segment(vhost or "/")
    with reached(url, username, password) as remote:
        remote.put(f"/policies/{where}/{segment(name)}", body)
        count = _matched(remote, where, name)
    click.echo(printable(f"policy '{name}' is set; in force for {count} queues and exchanges"))


@policy.command("delete")
@click.argument("name")
@vhost_option
@_yes
@broker_options
def delete_policy(
    name: str,
    vhost: str | None,
    yes: bool,
    url: str | None,
    username: str | None,
    password: str | None,
) -> None:
    """Remove a policy."""
    where = segment(vhost or "/")
    with reached(url, username, password) as remote:
        names = [one["name"] for one in remote.get(f"/policies/{where}")]
        if name not in names:
            fail(f"no policy '{name}' in vhost '{vhost or '/'}'.{near(name, names)}", EX_DATA)
        count = _matched(remote, where, name)
        sure(f"policy '{name}', in force for {count} queues and exchanges, is removed", yes)
        remote.delete(f"/policies/{where}/{segment(name)}")
    click.echo("removed")


def _matched(remote: Remote, where: str, name: str) -> int:
    return sum(
        one.get("policy") == name
        for what in ("queues", "exchanges")
        for one in remote.get(f"/{what}/{where}", columns="policy")
    )
