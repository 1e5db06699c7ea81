"""`amqpd exchange …`, `binding …`, `connection …`: one exchange, binding or connection."""

from __future__ import annotations

from typing import Any

import click

from amqpd.cli.answer import EX_DATA, answer, answers, fail, wants_json
from amqpd.cli.complete import names_of
from amqpd.cli.nouns import listing
from amqpd.cli.reach import (
    a_name,
    broker_options,
    find,
    find_queue,
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
from amqpd.cli.remote import Remote, segment


def _exchange(name: str) -> str:
    return f"/exchanges/{segment(vhost_name())}/{segment(name)}"


@click.group()
def exchange() -> None:
    """One exchange: list, show, declare, delete."""


exchange.add_command(listing("exchanges", "list"))


@exchange.command()
@click.argument("name", callback=a_name, shell_complete=names_of("exchanges"))
@vhost_option
@broker_options
@answers(says="what GET /api/exchanges/VHOST/NAME answers, and the bindings that leave it")
def show(name: str) -> None:
    """How an exchange is, and where it leads."""
    with reached() as remote:
        found = _find_exchange(remote, name)
        found["bindings"] = remote.get(f"{_exchange(name)}/bindings/source")
    if wants_json():
        answer(found)
        return
    lines = [f"{name}  (vhost {vhost_name()})", f"  type      {found['type']}"]
    lines += [f"  {key:<10}yes" for key in ("durable", "auto_delete", "internal") if found[key]]
    if found.get("policy"):
        lines.append(f"  policy    {found['policy']}")
    if found["arguments"]:
        lines.append(f"  arguments {found['arguments']}")
    for one in found["bindings"]:
        lines.append(
            f"  leads to  {one['destination_type']} {one['destination']}  key {one['routing_key']}"
        )
    if not found["bindings"]:
        lines.append(f"leads nowhere; `amqpd binding add {name} QUEUE --key KEY` changes that")
    answer(found, *lines)


def _find_exchange(remote: Remote, name: str) -> dict[str, Any]:
    return dict(find(remote, "exchange", f"/exchanges/{segment(vhost_name())}", name))


@exchange.command()
@click.argument("name", callback=a_name)
@click.option("--type", "kind", default="direct", metavar="TYPE",
              help="direct, fanout, topic, headers, or a plugin's.  [direct]")  # fmt: skip
@click.option("--transient", is_flag=True, help="It does not survive a restart.")
@click.option("--auto-delete", is_flag=True, help="Goes with its last binding.")
@click.option("--internal", is_flag=True, help="Only other exchanges publish to it.")
@click.option("--arguments", metavar="JSON", default="{}",
              help="As clients give them: '{\"alternate-exchange\": \"rest\"}'.")  # fmt: skip
@vhost_option
@broker_options
@answers("exchange", "declared")
def declare(
    name: str, kind: str, transient: bool, auto_delete: bool, internal: bool, arguments: str
) -> None:
    """Make an exchange; one that is there already and equal is fine."""
    body = {
        "type": kind,
        "durable": not transient,
        "auto_delete": auto_delete,
        "internal": internal,
        "arguments": json_object("--arguments", arguments),
    }
    with reached() as remote:
        remote.put(_exchange(name), body)
    answer({"exchange": name, "declared": True}, f"exchange '{name}' is there")


@exchange.command()
@click.argument("name", callback=a_name, shell_complete=names_of("exchanges"))
@vhost_option
@broker_options
@answers("exchange", "deleted", "bindings")
@idempotently_option
@yes_option
def delete(name: str, yes: bool, idempotently: bool) -> None:
    """Delete an exchange with its bindings."""
    with reached() as remote:
        if gone_already(remote, _exchange(name), idempotently):
            answer({"exchange": name, "deleted": False, "bindings": 0}, "there was none")
            return
        _find_exchange(remote, name)
        count = len(remote.get(f"{_exchange(name)}/bindings/source"))
        sure(f"exchange '{name}' and the {count} bindings that leave it are deleted", yes)
        remote.delete(_exchange(name))
    answer(
        {"exchange": name, "deleted": True, "bindings": count}, f"deleted, with {count} bindings"
    )


# -- bindings ----------------------------------------------------------------------------


@click.group()
def binding() -> None:
    """One binding: list, add, delete."""


binding.add_command(listing("bindings", "list"))
_key = click.option("-k", "--key", default="", metavar="KEY", help="Its binding key.  [empty]")
_to_exchange = click.option(
    "--to-exchange", is_flag=True, help="DESTINATION is an exchange, not a queue."
)


def _between(remote: Remote, source: str, destination: str, to_exchange: bool) -> str:
    """The path of the bindings between two things that are there."""
    _find_exchange(remote, source)
    if to_exchange:
        _find_exchange(remote, destination)
    else:
        find_queue(remote, destination)
    kind = "e" if to_exchange else "q"
    where = segment(vhost_name())
    return f"/bindings/{where}/e/{segment(source)}/{kind}/{segment(destination)}"


@binding.command()
@click.argument("source", callback=a_name, shell_complete=names_of("exchanges"))
@click.argument("destination", callback=a_name, shell_complete=names_of("queues"))
@_key
@_to_exchange
@click.option("--arguments", metavar="JSON", default="{}",
              help="Of headers: '{\"x-match\": \"all\", \"kind\": \"order\"}'.")  # fmt: skip
@vhost_option
@broker_options
@answers("source", "destination", "routing_key", "added")
def add(source: str, destination: str, key: str, to_exchange: bool, arguments: str) -> None:
    """Have what comes to the exchange SOURCE go to DESTINATION."""
    body = {"routing_key": key, "arguments": json_object("--arguments", arguments)}
    with reached() as remote:
        remote.post(_between(remote, source, destination, to_exchange), body)
    answer(
        {"source": source, "destination": destination, "routing_key": key, "added": True},
        f"'{source}' leads to '{destination}' with key '{key}'",
    )


@binding.command("delete")
@click.argument("source", callback=a_name, shell_complete=names_of("exchanges"))
@click.argument("destination", callback=a_name, shell_complete=names_of("queues"))
@_key
@_to_exchange
@idempotently_option
@vhost_option
@broker_options
@answers("source", "destination", "routing_key", "deleted")
def delete_binding(
    source: str, destination: str, key: str, to_exchange: bool, idempotently: bool
) -> None:
    """Remove the bindings with this key; nothing in a queue is touched."""
    with reached() as remote:
        path = _between(remote, source, destination, to_exchange)
        known = remote.get(path)
        meant = [one for one in known if one["routing_key"] == key]
        if not meant and not idempotently:
            keys = [one["routing_key"] for one in known]
            hint = near(key, keys) or "  `amqpd bindings` lists them"
            fail(f"no binding of '{destination}' to '{source}' with key '{key}'.{hint}", EX_DATA)
        for one in meant:
            remote.delete(f"{path}/{segment(one['properties_key'])}")
    answer(
        {"source": source, "destination": destination, "routing_key": key, "deleted": bool(meant)},
        f"{len(meant)} bindings removed",
    )


# -- connections -------------------------------------------------------------------------


@click.group()
def connection() -> None:
    """One connection: list, close."""


connection.add_command(listing("connections", "list"))


@connection.command()
@click.argument("name", callback=a_name, shell_complete=names_of("connections"))
@click.option(
    "--reason", default="closed with amqpd", metavar="TEXT", help="What its client is told."
)
@broker_options
@yes_option
@answers("connection", "closed", "channels")
def close(name: str, reason: str, yes: bool) -> None:
    """Close a connection, by the name it has in the list; its client may come again."""
    with reached() as remote:
        one = _connection(remote, name)
        count = one.get("channels", 0)
        sure(f"connection '{name}' of user '{one.get('user')}', {count} channels, is closed", yes)
        remote.delete(f"/connections/{segment(one['name'])}", {"X-Reason": reason})
    answer({"connection": one["name"], "closed": True, "channels": count}, "closed")


def _connection(remote: Remote, name: str) -> dict[str, Any]:
    """A connection by its own name, or by the one its client gave it, if that is unique."""
    known = remote.get("/connections")
    meant = [one for one in known if name in (one["name"], one.get("user_provided_name"))]
    if len(meant) == 1:
        return dict(meant[0])
    if meant:
        which = ", ".join(f"'{one['name']}'" for one in meant)
        fail(f"'{name}' is the name of {len(meant)} connections: say which, {which}", EX_DATA)
    names = [one.get("user_provided_name") or one["name"] for one in known]
    fail(
        f"no connection '{name}'.{near(name, names) or '  `amqpd connections` lists them'}", EX_DATA
    )
