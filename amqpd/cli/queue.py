"""`amqpd queue …`: one queue."""

from __future__ import annotations

import json
from typing import Final

import click

from amqpd.cli.answer import answer, answers, wants_json
from amqpd.cli.complete import names_of
from amqpd.cli.nouns import listing
from amqpd.cli.reach import (
    a_name,
    broker_options,
    find_queue,
    gone_already,
    idempotently_option,
    json_object,
    reached,
    sure,
    vhost_name,
    vhost_option,
    yes_option,
)
from amqpd.cli.remote import segment
from amqpd.text import printable

#: What `queue show` tells, in this order.
SHOWN: Final = (
    ("type", "type"), ("state", "state"), ("durable", "durable"), ("ready", "messages_ready"),
    ("unacked", "messages_unacknowledged"), ("consumers", "consumers"),
    ("bytes", "message_bytes"), ("policy", "policy"), ("operator policy", "operator_policy"),
    ("in force by policy", "effective_policy_definition"), ("arguments", "arguments"),
)  # fmt: skip


@click.group()
def queue() -> None:
    """One queue: list, show, declare, purge, move, pause, resume, delete."""


queue.add_command(listing("queues", "list"))


def _path(name: str, *more: str) -> str:
    return "/".join(["/queues", segment(vhost_name()), segment(name), *more])


@queue.command()
@click.argument("name", callback=a_name, shell_complete=names_of("queues"))
@vhost_option
@broker_options
@answers(says="what GET /api/queues/VHOST/NAME answers, and its bindings")
def show(name: str) -> None:
    """How a queue is, who consumes it and what leads to it."""
    with reached() as remote:
        found = find_queue(remote, name)
        found["bindings"] = remote.get(_path(name, "bindings"))
    if wants_json():
        answer(found)
        return
    click.echo(click.style(printable(f"{name}  (vhost {vhost_name()})"), bold=True))
    for title, key in SHOWN:
        value = found.get(key)
        if value not in (None, "", {}, []):
            shown = json.dumps(value) if isinstance(value, dict | list | bool) else str(value)
            click.echo(printable(f"  {title:<20}{shown}"))
    for one in found["bindings"]:
        if one["source"]:
            click.echo(
                printable(f"  bound to            {one['source']}  key {one['routing_key']}")
            )
    for one in found.get("consumer_details") or []:
        where = one.get("channel_details", {}).get("name", "")
        click.echo(printable(f"  consumer            {one['consumer_tag']}  {where}"))
    if found.get("why_waiting"):
        click.echo(printable(found["why_waiting"]))
    elif not found.get("consumers"):
        click.echo(printable(f"no consumers; `amqpd consume {name}` starts one"))


@queue.command()
@click.argument("name", callback=a_name)
@click.option(
    "--type",
    "kind",
    type=click.Choice(["classic", "quorum", "stream"]),
    help="[the vhost's, else classic]",
)
@click.option("--transient", is_flag=True, help="It does not survive a restart.")
@click.option("--auto-delete", is_flag=True, help="Goes with its last consumer.")
@click.option(
    "--arguments",
    metavar="JSON",
    default="{}",
    help="As clients give them: '{\"x-max-length\": 1000}'.",
)
@vhost_option
@broker_options
@answers("queue", "declared")
def declare(
    name: str, kind: str | None, transient: bool, auto_delete: bool, arguments: str
) -> None:
    """Make a queue; one that is there already and equal is fine."""
    wanted = json_object("--arguments", arguments)
    if kind is not None:
        wanted["x-queue-type"] = kind
    body = {"durable": not transient, "auto_delete": auto_delete, "arguments": wanted}
    with reached() as remote:
        remote.put(_path(name), body)
    answer({"queue": name, "declared": True}, f"queue '{name}' is there")


@queue.command()
@click.argument("name", callback=a_name, shell_complete=names_of("queues"))
@vhost_option
@broker_options
@answers("queue", "removed")
@yes_option
def purge(name: str, yes: bool) -> None:
    """Remove the ready messages of a queue for good."""
    with reached() as remote:
        count = find_queue(remote, name)["messages_ready"]
        sure(f"{count} ready messages of queue '{name}' are removed for good", yes)
        remote.delete(_path(name, "contents"))
    answer({"queue": name, "removed": count}, f"{count} messages removed")


@queue.command()
@click.argument("name", callback=a_name, shell_complete=names_of("queues"))
@vhost_option
@broker_options
@answers("queue", "deleted", "messages")
@idempotently_option
@yes_option
def delete(name: str, yes: bool, idempotently: bool) -> None:
    """Delete a queue with its messages."""
    with reached() as remote:
        if gone_already(remote, _path(name), idempotently):
            answer({"queue": name, "deleted": False, "messages": 0}, "there was none")
            return
        count = find_queue(remote, name)["messages"]
        sure(f"queue '{name}' and its {count} messages are deleted for good", yes)
        remote.delete(_path(name))
    answer({"queue": name, "deleted": True, "messages": count}, f"deleted, with {count} messages")


@queue.command()
@click.argument("name", callback=a_name, shell_complete=names_of("queues"))
@vhost_option
@broker_options
@answers("queue", "paused")
def pause(name: str) -> None:
    """Hold the consumers of a queue back; it takes what is published."""
    with reached() as remote:
        find_queue(remote, name)
        remote.put(_path(name, "pause"))
    answer({"queue": name, "paused": True}, f"paused, until `amqpd queue resume {name}`")


@queue.command()
@click.argument("name", callback=a_name, shell_complete=names_of("queues"))
@vhost_option
@broker_options
@answers("queue", "paused")
def resume(name: str) -> None:
    """Let the consumers of a queue go on."""
    with reached() as remote:
        find_queue(remote, name)
        remote.put(_path(name, "resume"))
    answer({"queue": name, "paused": False}, "its consumers go on")
