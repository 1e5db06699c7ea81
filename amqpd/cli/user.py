"""`amqpd user …`: one user: add, password, tags, permissions, delete; `amqpd hash-password`."""

from __future__ import annotations

import secrets
import sys
from typing import Any

import click

from amqpd.cli.options import fail, printable
from amqpd.cli.reach import as_json as _print_json
from amqpd.cli.reach import broker_options, json_option, near, reached, sure, vhost_option
from amqpd.cli.remote import EX_NO_USER, EX_USAGE, Remote, RemoteError, segment

_generate = click.option(
    "--generate-password", "--generate", is_flag=True, help="Make one, and print it once."
)
_new_password = click.option(
    "--new-password", metavar="PASSWORD", help="This one; better on standard input: lists of "
    "processes show it."
)  # fmt: skip
_yes = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group()
def user() -> None:
    """One user: add, password, tags, permissions, delete."""


@user.command()
@click.argument("name")
@_generate
@_new_password
@click.option("--tags", metavar="TAG,TAG", default="", help="administrator, monitoring, …  [none]")
@click.option("--permissions", metavar="PATTERN", help="May do everything with such names.")
@vhost_option
@broker_options
@json_option
def add(
    name: str,
    generate_password: bool,
    new_password: str | None,
    tags: str,
    permissions: str | None,
    vhost: str | None,
    url: str | None,
    username: str | None,
    password: str | None,
    as_json: bool,
) -> None:
    """Make a user; its password is the first line of standard input, or generated."""
    with reached(url, username, password) as remote:
        if _known(remote, name) is not None:
            fail(f"user '{name}' exists; 'amqpd user password {name}' changes its password", 65)
        made, told = _password(generate_password, new_password)
        remote.put(f"/users/{segment(name)}", {"password": made, "tags": tags})
        if permissions is not None:
            _permit(remote, name, vhost or "/", permissions, permissions, permissions)
    if as_json:
        _print_json({"user": name, "tags": tags, "password": made if told else None})
        return
    click.echo(printable(f"user '{name}' added{told}"))
    if permissions is None:
        click.echo(printable(f"it may do nothing yet: amqpd user permissions {name} '.*'"))


@user.command("password")
@click.argument("name")
@_generate
@_new_password
@broker_options
@json_option
def password_(
    name: str,
    generate_password: bool,
    new_password: str | None,
    url: str | None,
    username: str | None,
    password: str | None,
    as_json: bool,
) -> None:
    """Give a user another password: the first line of standard input, or a generated one."""
    with reached(url, username, password) as remote:
        known = _find(remote, name)
        made, told = _password(generate_password, new_password)
        remote.put(f"/users/{segment(name)}", {"password": made, "tags": known["tags"]})
    if as_json:
        _print_json({"user": name, "password": made if told else None})
        return
    click.echo(printable(f"user '{name}' has another password{told}"))


@user.command()
@click.argument("name")
@click.argument("tags", nargs=-1)
@broker_options
def tags(
    name: str, tags: tuple[str, ...], url: str | None, username: str | None, password: str | None
) -> None:
    """Set a user's tags; none given: it has none."""
    with reached(url, username, password) as remote:
        known = _find(remote, name)
        body: dict[str, Any] = {"tags": ",".join(tags)}
        if known["password_hash"]:
            body |= {key: known[key] for key in ("password_hash", "hashing_algorithm")}
        remote.put(f"/users/{segment(name)}", body)
    click.echo(printable(f"user '{name}' has the tags: {', '.join(tags) or 'none'}"))


@user.command()
@click.argument("name")
@click.argument("configure")
@click.argument("write", required=False)
@click.argument("read", required=False)
@vhost_option
@broker_options
def permissions(
    name: str,
    configure: str,
    write: str | None,
    read: str | None,
    vhost: str | None,
    url: str | None,
    username: str | None,
    password: str | None,
) -> None:
    """Say of which names a user may configure, write to and read things; one pattern: all three."""
    with reached(url, username, password) as remote:
        _find(remote, name)
        _permit(remote, name, vhost or "/", configure, write or configure, read or configure)
    click.echo(printable(f"user '{name}' may use vhost '{vhost or '/'}'"))


@user.command()
@click.argument("name")
@_yes
@broker_options
def delete(
    name: str, yes: bool, url: str | None, username: str | None, password: str | None
) -> None:
    """Remove a user; its connections are closed."""
    with reached(url, username, password) as remote:
        _find(remote, name)
        count = len(remote.get(f"/connections/username/{segment(name)}"))
        sure(f"user '{name}' is removed, {count} connections of it are closed", yes)
        remote.delete(f"/users/{segment(name)}")
    click.echo("removed")


@click.command("hash-password")
@click.argument("password", required=False)
def hash_password(password: str | None) -> None:
    """Print a password's hash, as definitions have it; no broker is needed."""
    from amqpd.auth.passwords import hash_password as hashed

    made, _ = _password(False, password)
    click.echo(hashed(made))


def _known(remote: Remote, name: str) -> dict[str, Any] | None:
    try:
        return dict(remote.get(f"/users/{segment(name)}"))
    except RemoteError as error:
        if error.status != 404:
            raise
        return None


def _find(remote: Remote, name: str) -> dict[str, Any]:
    known = _known(remote, name)
    if known is None:
        names = [one["name"] for one in remote.get("/users")]
        fail(f"no user '{name}'.{near(name, names)}", EX_NO_USER)
    return known


def _permit(remote: Remote, name: str, vhost: str, configure: str, write: str, read: str) -> None:
    body = {"configure": configure, "write": write, "read": read}
    remote.put(f"/permissions/{segment(vhost)}/{segment(name)}", body)


def _password(generate: bool, given: str | None) -> tuple[str, str]:
    """A password, and what is to be told of it."""
    if generate:
        made = secrets.token_urlsafe(18)
        return made, f", password {made}"
    if given is None:
        if sys.stdin.isatty():
            given = click.prompt("password", hide_input=True, confirmation_prompt=True)
        else:
            given = sys.stdin.readline().rstrip("\n")
    if not given:
        fail("a password: on standard input, or --generate-password", EX_USAGE)
    return str(given), ""
