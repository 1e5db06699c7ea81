"""`amqpd queue …` and `amqpd peek`: one queue and what is in it."""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import click

from amqpd.cli.options import fail, printable
from amqpd.cli.reach import (
    as_json,
    broker_options,
    find_queue,
    json_option,
    reached,
    sure,
    vhost_option,
)
from amqpd.cli.remote import EX_DATA, segment

if TYPE_CHECKING:
    from amqpd.cli.remote import Remote

#: What `queue show` tells, in this order.
SHOWN: Final = (
    ("type", "type"), ("state", "state"), ("durable", "durable"), ("ready", "messages_ready"),
    ("unacked", "messages_unacknowledged"), ("consumers", "consumers"),
    ("bytes", "message_bytes"), ("policy", "policy"), ("operator policy", "operator_policy"),
    ("in force by policy", "effective_policy_definition"), ("arguments", "arguments"),
)  # fmt: skip


#: Messages of one answer.
MOST: Final = 1000


@click.group()
def queue() -> None:
    """One queue: show, purge, delete, pause, resume."""


@queue.command()
@click.argument("name")
@vhost_option
@broker_options
@json_option
def show(
    name: str,
    vhost: str | None,
    url: str | None,
    username: str | None,
    password: str | None,
    as_json: bool,
) -> None:
    """How a queue is, who consumes it and what leads to it."""
    with reached(url, username, password) as remote:
        found = find_queue(remote, vhost or "/", name)
        path = f"/queues/{segment(vhost or '/')}/{segment(name)}/bindings"
        found["bindings"] = remote.get(path)
    if as_json:
        _json(found)
        return
    click.echo(click.style(printable(f"{name}  (vhost {vhost or '/'})"), bold=True))
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
    if not found.get("consumers"):
        click.echo(printable(f"no consumers; `amqpd consume {name}` starts one"))
    elif found.get("why_waiting"):
        click.echo(printable(found["why_waiting"]))


_json = as_json


@queue.command()
@click.argument("name")
@vhost_option
@broker_options
@json_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def purge(
    name: str,
    vhost: str | None,
    url: str | None,
    username: str | None,
    password: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Remove the ready messages of a queue for good."""
    with reached(url, username, password) as remote:
        found = find_queue(remote, vhost or "/", name)
        count = found["messages_ready"]
        sure(f"{count} ready messages of queue '{name}' are removed for good", yes)
        remote.delete(f"/queues/{segment(vhost or '/')}/{segment(name)}/contents")
    if as_json:
        _json({"queue": name, "removed": count})
        return
    click.echo(f"{count} messages removed")


@queue.command()
@click.argument("name")
@vhost_option
@broker_options
@json_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(
    name: str,
    vhost: str | None,
    url: str | None,
    username: str | None,
    password: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Delete a queue with its messages."""
    with reached(url, username, password) as remote:
        found = find_queue(remote, vhost or "/", name)
        count = found["messages"]
        sure(f"queue '{name}' and its {count} messages are deleted for good", yes)
        remote.delete(f"/queues/{segment(vhost or '/')}/{segment(name)}")
    if as_json:
        _json({"queue": name, "deleted": True, "messages": count})
        return
    click.echo(f"deleted, with {count} messages")


@queue.command()
@click.argument("name")
@vhost_option
@broker_options
def pause(
    name: str, vhost: str | None, url: str | None, username: str | None, password: str | None
) -> None:
    """Hold the consumers of a queue back; it takes what is published."""
    with reached(url, username, password) as remote:
        find_queue(remote, vhost or "/", name)
        remote.put(f"/queues/{segment(vhost or '/')}/{segment(name)}/pause")
    click.echo(printable(f"paused, until `amqpd queue resume {name}`"))


@queue.command()
@click.argument("name")
@vhost_option
@broker_options
def resume(
    name: str, vhost: str | None, url: str | None, username: str | None, password: str | None
) -> None:
    """Let the consumers of a queue go on."""
    with reached(url, username, password) as remote:
        find_queue(remote, vhost or "/", name)
        remote.put(f"/queues/{segment(vhost or '/')}/{segment(name)}/resume")
    click.echo("its consumers go on")


# -- peek --------------------------------------------------------------------------------


@click.command()
@click.argument("name", metavar="QUEUE")
@click.option("-n", "--count", type=click.IntRange(1, 1000), default=10, help="So many.  [10]")
@click.option("--last", type=click.IntRange(1, 1000), metavar="N", help="The last so many.")
@click.option("--after", metavar="PLACE", help="Only behind this place.")
@click.option("--search", default="", metavar="TEXT", help="Only with this text in it.")
@vhost_option
@broker_options
@json_option
def peek(
    name: str,
    count: int,
    last: int | None,
    after: str | None,
    search: str,
    vhost: str | None,
    url: str | None,
    username: str | None,
    password: str | None,
    as_json: bool,
) -> None:
    """Look at the messages of a queue without touching them."""
    wish: dict[str, Any] = {"count": count, "search": search}
    if after is not None:
        wish["after"] = after
    with reached(url, username, password) as remote:
        found = find_queue(remote, vhost or "/", name)
        if found.get("type") == "stream":
            fail(f"'{name}' is a stream: `amqpd consume` reads it, and it stays", EX_DATA)
        path = f"/queues/{segment(vhost or '/')}/{segment(name)}/peek"
        if last is None:
            seen = remote.post(path, wish)
        else:
            seen = _end(remote, path, found["messages_ready"], last, search)
    if as_json:
        _json(seen)
        return
    for one in seen["messages"]:
        _print(one)
    what = "they are" if len(seen["messages"]) != 1 else "it is"
    shown = len(seen["messages"])
    click.echo(f"{shown} shown: {what} still in the queue, not marked as redelivered")
    if seen["next"]:
        click.echo(f"more: amqpd peek {printable(name)} --after {seen['next']}")


def _end(remote: Remote, path: str, ready: int, last: int, search: str) -> dict[str, Any]:
    """The last messages of a queue: on to its end, beginning as near to it as is safe."""
    wish: dict[str, Any] = {"count": MOST, "search": search}
    if not search and ready > last:
        first = remote.post(path, {"count": 1})["messages"]
        level, _, position = first[0]["place"].partition(".") if first else ("", "", "")
        if level == "0":  # places grow by one or more from message to message
            wish["after"] = f"0.{int(position) + ready - last - 1}"
    kept: deque[Any] = deque(maxlen=last)
    while True:
        seen = remote.post(path, wish)
        kept += seen["messages"]
        if not seen["next"]:
            return {"messages": list(kept), "next": None}
        wish["after"] = seen["next"]


def _print(one: dict[str, Any]) -> None:
    properties = one["properties"]
    facts = [
        f"#{one['place'].removeprefix('0.')}",
        f"exchange {one['exchange'] or '(default)'}",
        f"key {one['routing_key']}",
        "persistent" if properties.get("delivery_mode") == 2 else "transient",
        f"{one['payload_bytes']} B",
        properties.get("content_type", ""),
        "redelivered" if one["redelivered"] else "",
    ]
    line = "  ".join(fact for fact in facts if fact)
    click.echo(click.style(printable(line), bold=True))
    for name, value in (properties.get("headers") or {}).items():
        click.echo(printable(f"  {name}: {json.dumps(value)}"))
    for text in _pretty(one["payload"]).splitlines() or [""]:
        click.echo(printable(text))


def _pretty(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text
