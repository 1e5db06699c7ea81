"""`amqpd context`: brokers by name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

import click

from amqpd.cli.answer import EX_DATA, EX_USAGE, answer, answers, fail, wants_json
from amqpd.cli.complete import contexts as names
from amqpd.cli.contexts import NAME_VARIABLE, Context, ContextError, Contexts, place, read, write
from amqpd.cli.reach import columns

if TYPE_CHECKING:
    from collections.abc import Callable


@click.group()
def context() -> None:
    """Brokers by name: add, use, previous, list, show, remove."""


@context.command()
@click.argument("name")
@click.argument("url")
@click.option("--username", metavar="USER", default="", help="Who asks.")
@click.option("--password", metavar="PASSWORD", default="", help="With which password.")
@click.option("--amqp", metavar="URI", default="", help="Where messages go, if not the same host.")
@click.option("-p", "--vhost", metavar="VHOST", default="", help="Virtual host of messages.")
@click.option("--ca", metavar="FILE", default="", help="PEM: who signs its certificate.")
@click.option("--use", "use_it", is_flag=True, help="Use it from now on.")
@answers("context", "in_use")
def add(
    name: str,
    url: str,
    username: str,
    password: str,
    amqp: str,
    vhost: str,
    ca: str,
    use_it: bool,
) -> None:
    """Remember a broker under a name; one of that name is replaced."""
    if urlsplit(url).scheme not in ("http", "https") and not url.startswith(("/", ".")):
        fail(f"{url}: must be like http://host:15672, or a data directory", EX_USAGE)

    if "://" not in url:
        url = os.path.abspath(url)
    ca = ca and os.path.abspath(ca)

    def change(contexts: Contexts) -> None:
        contexts.known[name] = Context(url, username, password, amqp, vhost, ca)
        if use_it:
            contexts.choose(name)

    found = _change(change)
    what = "in use" if use_it else f"'amqpd context use {name}' makes it the one that is meant"
    answer({"context": name, "in_use": found.used == name}, f"context '{name}' added; {what}")


@context.command()
@click.argument("name", required=False, shell_complete=names)
@click.option("--none", "nobody", is_flag=True, help="None: the broker of this machine again.")
@answers("context")
def use(name: str | None, nobody: bool) -> None:
    """Talk to this broker from now on."""
    if (name is None) is not nobody:
        raise click.UsageError("one NAME, or --none")

    def change(contexts: Contexts) -> None:
        if name is not None:
            contexts.find(name)
        contexts.choose(name or "")

    _change(change)
    _say_used(name or "")


@context.command()
@answers("context")
def previous() -> None:
    """Talk to the one before again."""

    def change(contexts: Contexts) -> None:
        if contexts.before:
            contexts.find(contexts.before)
        contexts.choose(contexts.before)

    _say_used(_change(change).used)


def _say_used(name: str) -> None:
    said = f"context '{name}' is in use" if name else "the broker here is in use"
    answer({"context": name or None}, said)


@context.command("list")
@answers(says="a list of objects as `context show` has them")
def list_() -> None:
    """Show all contexts, and which is in use."""
    found = _read()
    if wants_json():
        answer([_facts(found, name) for name in sorted(found.known)])
        return
    if not found.known:
        click.echo("no contexts; `amqpd context add NAME URL` makes one")
        return
    rows = [
        ["*" if name == found.used else "", name, one.url, one.username or "guest", one.vhost]
        for name, one in sorted(found.known.items())
    ]
    columns(["", "context", "address", "user", "vhost"], rows, frozenset())


@context.command()
@click.argument("name", required=False, shell_complete=names)
@answers("name", "url", "username", "password", "amqp", "vhost", "ca", "in_use")
def show(name: str | None) -> None:
    """Show one context, or the one in use, without its password."""
    found = _read()
    name = name or os.environ.get(NAME_VARIABLE) or found.used
    if not name:
        fail("the broker here is in use, and no context; 'amqpd context use NAME'", EX_DATA)
    try:
        found.find(name)
    except ContextError as error:
        _fail(error)
    facts = _facts(found, name)
    answer(facts, *(f"{key:<10}{_plain(value)}" for key, value in facts.items()))


def _plain(value: object) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


@context.command()
@click.argument("name", shell_complete=names)
@answers("context", "removed")
def remove(name: str) -> None:
    """Forget a context."""

    def change(contexts: Contexts) -> None:
        contexts.find(name)
        del contexts.known[name]
        if contexts.used == name:
            contexts.choose("")
        if contexts.before == name:
            contexts.before = ""

    _change(change)
    answer({"context": name, "removed": True}, f"context '{name}' removed")


def _facts(contexts: Contexts, name: str) -> dict[str, object]:
    one = contexts.known[name]
    return {
        "name": name,
        "url": one.url,
        "username": one.username or "guest",
        "password": "***" if one.password else "",
        "amqp": one.amqp,
        "vhost": one.vhost or "/",
        "ca": one.ca,
        "in_use": name == contexts.used,
    }


def _read() -> Contexts:
    try:
        return read(place())
    except ContextError as error:
        _fail(error)


def _change(change: Callable[[Contexts], None]) -> Contexts:
    try:
        found = read(place())
        change(found)
        write(place(), found)
        return found
    except ContextError as error:
        _fail(error)


def _fail(error: ContextError) -> NoReturn:
    fail(str(error), error.code)
