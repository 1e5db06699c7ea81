"""Lists for people: `amqpd queues`, `exchanges`, `bindings`, `connections`, `users`, …

The same list is below its noun: `amqpd queue list`. Columns are chosen by `--columns`, from those
of the list or from the keys of the API; `--csv` is for spreadsheets, `--json` for programs.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import click

from amqpd.cli.answer import EX_USAGE, answers, fail, note, print_json, wants_json
from amqpd.cli.reach import VHOST, broker_options, columns, kept, near, reached, vhost_option
from amqpd.cli.remote import segment
from amqpd.text import as_cell, printable

Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A column: how its value comes from what the API shows."""

    title: str
    value: Callable[[Facts], Any]
    is_number: bool = False
    #: Whether it is shown unless other columns are asked for.
    is_usual: bool = True

    def show(self, facts: Facts) -> str:
        """Its text."""
        value = self.value(facts)
        return f"{value:.1f}" if isinstance(value, float) else _shown(value)


@dataclass(frozen=True, slots=True)
class Noun:
    """A list: its path (with vhosts or without), its columns, what is said when it is empty."""

    path: str
    has_vhost: bool
    columns: tuple[Column, ...]
    empty: str


def _text(key: str, title: str = "") -> Column:
    return Column(title or key, lambda facts: facts.get(key))


def _count(key: str, title: str, *, usual: bool = True) -> Column:
    return Column(title, lambda facts: facts.get(key) or 0, is_number=True, is_usual=usual)


def _rate(key: str, title: str) -> Column:
    def rate(facts: Facts) -> float:
        stats = facts.get("message_stats") or {}
        return float((stats.get(f"{key}_details") or {}).get("rate", 0.0))

    return Column(title, rate, is_number=True)


def _key(path: str) -> Column:
    """A column that is one of the API's keys; dots go down into it."""

    def value(facts: Facts) -> object:
        found: Any = facts
        for name in path.split("."):
            found = found.get(name) if isinstance(found, Mapping) else None
        return found

    return Column(path, value)


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


def _peer(facts: Facts) -> str:
    return f"{facts.get('peer_host')}:{facts.get('peer_port')}"


NOUNS: Final[Mapping[str, Noun]] = {
    "queues": Noun(
        "/queues",
        True,
        (
            _text("vhost"), _text("name", "queue"), _text("type"), _text("state"),
            _count("messages_ready", "ready"), _count("messages_unacknowledged", "unacked"),
            _count("consumers", "consumers"), _rate("publish", "in/s"),
            _rate("deliver_get", "out/s"), _count("message_bytes", "bytes", usual=False),
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
    "bindings": Noun(
        "/bindings",
        True,
        (
            _text("vhost"), Column("from", lambda facts: facts["source"] or "(default)"),
            _text("destination_type", "to"), _text("destination", "name"),
            _text("routing_key", "key"),
            Column("arguments", lambda facts: facts.get("arguments") or ""),
        ),
        "no bindings",
    ),
    "connections": Noun(
        "/connections",
        False,
        (
            Column("connection", lambda facts: facts.get("user_provided_name") or facts["name"]),
            _text("user"), _text("vhost"), _text("state"), _count("channels", "channels"),
            Column("from", _peer),
        ),
        "nobody is connected",
    ),
    "channels": Noun(
        "/channels",
        False,
        (
            _text("name", "channel"), _text("user"), _text("vhost"), _text("state"),
            _count("prefetch_count", "prefetch"), _count("messages_unacknowledged", "unacked"),
            _count("messages_unconfirmed", "unconfirmed"), _count("consumer_count", "consumers"),
        ),
        "no channels; nobody is connected, or nobody has opened one",
    ),
    "consumers": Noun(
        "/consumers",
        True,
        (
            Column("vhost", lambda facts: facts["queue"]["vhost"]),
            Column("queue", lambda facts: facts["queue"]["name"]),
            _text("consumer_tag", "tag"), _text("active"), _text("ack_required", "acks"),
            _count("prefetch_count", "prefetch"),
            Column("channel", lambda facts: facts["channel_details"].get("name")),
        ),
        "no consumers; `amqpd consume QUEUE` is one",
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


def listing(name: str, command: str = "") -> click.Command:
    """The command that lists them, under this name or its own."""
    noun = NOUNS[name]

    def run(sort: str | None, reverse: bool, chosen: str | None, as_csv: bool) -> None:
        shown = _chosen(noun, chosen)
        by = _sort(noun, sort)
        path = f"{noun.path}/{segment(kept(VHOST))}" if kept(VHOST) else noun.path
        with reached() as remote:
            rows = list(remote.get(path))
        if by is not None:
            rows.sort(key=lambda row: _order(by, row), reverse=reverse is not by.is_number)
        _look_for(noun, shown, rows)
        if wants_json():
            print_json(rows if chosen is None else [_facts(row, shown) for row in rows])
        elif as_csv:
            _csv(shown, rows)
        elif not rows:
            click.echo(noun.empty)
        else:
            numbers = frozenset(one.title for one in shown if one.is_number)
            titles = [one.title for one in shown]
            columns(titles, ([one.show(row) for one in shown] for row in rows), numbers)

    add = [
        click.option("--sort", metavar="COLUMN", help="By this one; numbers from the largest."),
        click.option("--reverse", is_flag=True, help="The other way round."),
        click.option("--columns", "chosen", metavar="NAME,…",
                     help="These only; keys of the API count, too: message_bytes."),
        click.option("--csv", "as_csv", is_flag=True, help="As comma-separated values."),
        answers(says=f"the list that GET /api{noun.path} answers, or its --columns"),
        *((vhost_option,) if noun.has_vhost else ()),
        broker_options,
    ]  # fmt: skip
    for one in reversed(add):
        run = one(run)
    text = "List them." if command else f"List {name}."
    return click.command(command or name, help=text)(run)


def _chosen(noun: Noun, names: str | None) -> Sequence[Column]:
    if names is None:
        return [one for one in noun.columns if one.is_usual]
    return [_column(noun, one.strip()) for one in names.split(",") if one.strip()]


def _look_for(noun: Noun, shown: Sequence[Column], rows: Sequence[Facts]) -> None:
    """Say which columns are in no row; a key that some rows have is right."""
    for one in shown if rows else ():
        if one not in noun.columns and all(one.value(row) is None for row in rows):
            known = {column.title for column in noun.columns}.union(*rows)
            note(f"no row has '{one.title}'.{near(one.title, known)}")


def _sort(noun: Noun, name: str | None) -> Column | None:
    if name is None:
        return None
    known = {one.title for one in noun.columns}
    if name not in known and "_" not in name and "." not in name:
        # Not a key of the API either: those are made of several words.
        hint = near(name, known) or f"  There are: {', '.join(sorted(known))}"
        fail(f"--sort {name}: no such column.{hint}", EX_USAGE)
    return _column(noun, name)


def _column(noun: Noun, name: str) -> Column:
    return next((one for one in noun.columns if one.title == name), None) or _key(name)


def _order(by: Column, row: Facts) -> tuple[int, float, str]:
    """Numbers before texts, nothing at the end."""
    match by.value(row):
        case None | "":
            return (2, 0.0, "")
        case bool() as value:
            return (1, 0.0, _shown(value))
        case int() | float() as value:
            return (0, float(value), "")
        case value:
            return (1, 0.0, _shown(value))


def _facts(row: Facts, shown: Sequence[Column]) -> dict[str, Any]:
    return {one.title: one.value(row) for one in shown}


def _csv(shown: Sequence[Column], rows: Sequence[Facts]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([one.title for one in shown])
    writer.writerows([as_cell(printable(one.show(row))) for one in shown] for row in rows)


queues = listing("queues")
exchanges = listing("exchanges")
bindings = listing("bindings")
connections = listing("connections")
channels = listing("channels")
consumers = listing("consumers")
users = listing("users")
vhosts = listing("vhosts")
policies = listing("policies")
