"""Lists for people: `amqpd queues`, `exchanges`, `connections`, `users`, `vhosts`, `policies`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import click

from amqpd.cli.reach import as_json, broker_parameters, columns, reached
from amqpd.cli.remote import segment

Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A column: how its text comes from what the API shows."""

    title: str
    show: Callable[[Facts], str]
    is_number: bool = False


@dataclass(frozen=True, slots=True)
class Noun:
    """A list: its path (with vhosts or without), its columns, what is said when it is empty."""

    path: str
    has_vhost: bool
    columns: tuple[Column, ...]
    empty: str


def _text(key: str, title: str = "") -> Column:
    return Column(title or key, lambda facts: _shown(facts.get(key)))


def _count(key: str, title: str) -> Column:
    return Column(title, lambda facts: str(facts.get(key) or 0), is_number=True)


def _rate(key: str, title: str) -> Column:
    def show(facts: Facts) -> str:
        stats = facts.get("message_stats") or {}
        return f"{(stats.get(f'{key}_details') or {}).get('rate', 0.0):.1f}"

    return Column(title, show, is_number=True)


def _shown(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(map(str, value))
        case dict():
            return json.dumps(value)
        case _:
            return str(value)


NOUNS: Final[Mapping[str, Noun]] = {
    "queues": Noun(
        "/queues",
        True,
        (
            _text("vhost"), _text("name", "queue"), _text("type"), _text("state"),
            _count("messages_ready", "ready"), _count("messages_unacknowledged", "unacked"),
            _count("consumers", "consumers"), _rate("publish", "in/s"),
            _rate("deliver_get", "out/s"),
        ),
        "no queues; `amqpd publish --queue orders hello` makes one",
    ),
    "exchanges": Noun(
        "/exchanges",
        True,
        (
            _text("vhost"), Column("exchange", lambda facts: facts["name"] or "(default)"),
            _text("type"), _text("durable"), _text("internal"), _text("policy"),
            _rate("publish_in", "in/s"), _rate("publish_out", "out/s"),
        ),
        "no exchanges",
    ),
    "connections": Noun(
        "/connections",
        False,
        (
            Column("connection", lambda facts: facts.get("user_provided_name") or facts["name"]),
            _text("user"), _text("vhost"), _text("state"), _count("channels", "channels"),
            Column("from", lambda facts: f"{facts.get('peer_host')}:{facts.get('peer_port')}"),
        ),
        "nobody is connected",
    ),
    "users": Noun("/users", False, (_text("name", "user"), _text("tags")), "no users"),
    "vhosts": Noun(
        "/vhosts",
        False,
        (
            _text("name", "vhost"), _text("description"), _text("default_queue_type"),
            _count("messages_ready", "ready"), _count("messages_unacknowledged", "unacked"),
        ),
        "no vhosts",
    ),
    "policies": Noun(
        "/policies",
        True,
        (
            _text("vhost"), _text("name", "policy"), _text("pattern"), _text("apply-to"),
            _text("definition"), _count("priority", "priority"),
        ),
        "no policies; `amqpd policy set` sets one",
    ),
}  # fmt: skip


def _command(name: str, noun: Noun) -> click.Command:
    def run(
        url: str | None,
        username: str | None,
        password: str | None,
        as_json_: bool,
        vhost: str | None = None,
    ) -> None:
        path = f"{noun.path}/{segment(vhost)}" if vhost else noun.path
        with reached(url, username, password) as remote:
            rows = remote.get(path)
        if as_json_:
            as_json(rows)
        elif not rows:
            click.echo(noun.empty)
        else:
            numbers = frozenset(one.title for one in noun.columns if one.is_number)
            titles = [one.title for one in noun.columns]
            columns(titles, ([one.show(row) for one in noun.columns] for row in rows), numbers)

    options: list[click.Parameter] = [
        click.Option(["--json", "as_json_"], is_flag=True, help="As JSON."),
        *broker_parameters(),
    ]
    if noun.has_vhost:
        option = click.Option(["-p", "--vhost"], metavar="VHOST", help="Only of this one.")
        options.insert(0, option)
    return click.Command(name, params=[*options], callback=run, help=f"List {name}.")


queues = _command("queues", NOUNS["queues"])
exchanges = _command("exchanges", NOUNS["exchanges"])
connections = _command("connections", NOUNS["connections"])
users = _command("users", NOUNS["users"])
vhosts = _command("vhosts", NOUNS["vhosts"])
policies = _command("policies", NOUNS["policies"])
