"""`amqpd vhost …` and `amqpd policy …`: make and remove vhosts, set and remove policies."""

from __future__ import annotations

from typing import Any

import click

from amqpd.cli.answer import EX_DATA, answer, answers, fail, note
from amqpd.cli.complete import names_of
from amqpd.cli.definitions import no_effect
from amqpd.cli.nouns import listing
from amqpd.cli.reach import (
    a_name,
    broker_options,
    gone_already,
    idempotently_option,
    json_object,
    near,
    reached,
    sure,
    vhost_name,
    vhost_option,
    yes_option,
)
from amqpd.cli.remote import Remote, RemoteError, segment

APPLY_TO = ("all", "queues", "exchanges", "classic_queues", "quorum_queues", "streams")


@click.group()
def vhost() -> None:
    """One vhost: list, add, delete."""


vhost.add_command(listing("vhosts", "list"))


@vhost.command()
@click.argument("name", callback=a_name)
@click.option("--description", metavar="TEXT", default="", help="What it is for.")
@click.option("--default-queue-type", type=click.Choice(["classic", "quorum", "stream"]),
              help="Of queues that are declared without one.")  # fmt: skip
@broker_options
@answers("vhost", "added")
def add(name: str, description: str, default_queue_type: str | None) -> None:
    """Make a vhost; whoever makes it may use it."""
    body = {"description": description}
    if default_queue_type is not None:
        body["default_queue_type"] = default_queue_type
    with reached() as remote:
        remote.put(f"/vhosts/{segment(name)}", body)
    answer(
        {"vhost": name, "added": True},
        f"vhost '{name}' added",
        f"let somebody in: amqpd user permissions USER '.*' -p {name}",
    )


@vhost.command()
@click.argument("name", callback=a_name, shell_complete=names_of("vhosts"))
@yes_option
@idempotently_option
@broker_options
@answers("vhost", "deleted", "queues", "messages")
def delete(name: str, yes: bool, idempotently: bool) -> None:
    """Remove a vhost with everything in it."""
    with reached() as remote:
        if gone_already(remote, f"/vhosts/{segment(name)}", idempotently):
            answer({"vhost": name, "deleted": False, "queues": 0, "messages": 0}, "there was none")
            return
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
    answer(
        {"vhost": name, "deleted": True, "queues": len(queues), "messages": messages},
        f"deleted, with {len(queues)} queues and {messages} messages",
    )


# -- policies ----------------------------------------------------------------------------


@click.group()
def policy() -> None:
    """One policy: list, set, delete."""


policy.add_command(listing("policies", "list"))


@policy.command("set")
@click.argument("name", callback=a_name)
@click.argument("pattern")
@click.argument("definition")
@click.option("--apply-to", type=click.Choice(APPLY_TO), default="all", help="[all]")
@click.option("--priority", type=int, default=0, help="The highest that matches counts.  [0]")
@vhost_option
@broker_options
@answers("policy", "vhost", "matches")
def set_(name: str, pattern: str, definition: str, apply_to: str, priority: int) -> None:
    """Set arguments for all things whose name matches, as JSON: '{"max-length": 1000}'."""
    from amqpd.broker.policy import POLICY_KEYS, without_effect

    for key in json_object("DEFINITION", definition):
        if key not in POLICY_KEYS:
            hint = near(key, POLICY_KEYS) or f"  There are: {', '.join(sorted(POLICY_KEYS))}"
            fail(f"policies have no key '{key}'.{hint}", EX_DATA)

    body: dict[str, Any] = {
        "pattern": pattern,
        "definition": json_object("DEFINITION", definition),
        "apply-to": apply_to,
        "priority": priority,
    }
    where = segment(vhost_name())
    with reached() as remote:
        remote.put(f"/policies/{where}/{segment(name)}", body)
        count = _matched(remote, where, name)
    if idle := without_effect(body["definition"]):
        note(f"warning: {no_effect(idle)}")
    answer(
        {"policy": name, "vhost": vhost_name(), "matches": count},
        f"policy '{name}' is set; in force for {count} queues and exchanges",
    )


@policy.command("delete")
@click.argument("name", callback=a_name, shell_complete=names_of("policies"))
@vhost_option
@yes_option
@idempotently_option
@broker_options
@answers("policy", "deleted", "matched")
def delete_policy(name: str, yes: bool, idempotently: bool) -> None:
    """Remove a policy."""
    where = segment(vhost_name())
    with reached() as remote:
        names = [one["name"] for one in remote.get(f"/policies/{where}")]
        if name not in names:
            if idempotently:
                answer({"policy": name, "deleted": False, "matched": 0}, "there was none")
                return
            fail(f"no policy '{name}' in vhost '{vhost_name()}'.{near(name, names)}", EX_DATA)
        count = _matched(remote, where, name)
        sure(f"policy '{name}', in force for {count} queues and exchanges, is removed", yes)
        remote.delete(f"/policies/{where}/{segment(name)}")
    answer({"policy": name, "deleted": True, "matched": count}, "removed")


def _matched(remote: Remote, where: str, name: str) -> int:
    return sum(
        one.get("policy") == name
        for what in ("queues", "exchanges")
        for one in remote.get(f"/{what}/{where}", columns="policy")
    )
