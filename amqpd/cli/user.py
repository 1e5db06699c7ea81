"""`amqpd user …`: one user: add, password, tags, permissions, delete; `amqpd hash-password`."""

from __future__ import annotations

import os
import secrets
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from amqpd.cli.answer import EX_DATA, EX_NO_USER, EX_USAGE, answer, answers, fail, note
from amqpd.cli.complete import names_of
from amqpd.cli.nouns import listing
from amqpd.cli.reach import (
    PASSWORD,
    USERNAME,
    a_name,
    broker_options,
    gone_already,
    idempotently_option,
    kept,
    near,
    reached,
    sure,
    vhost_name,
    vhost_option,
    yes_option,
)
from amqpd.cli.remote import Remote, RemoteError, segment

if TYPE_CHECKING:
    from collections.abc import Iterable

_generate = click.option(
    "--generate-password", "--generate", is_flag=True, help="Make one, and print it once."
)
_new_password = click.option(
    "--new-password", metavar="PASSWORD", help="This one; better on standard input: lists of "
    "processes show it."
)  # fmt: skip


@click.group()
def user() -> None:
    """One user: list, add, password, tags, permissions, delete."""


user.add_command(listing("users", "list"))


@user.command()
@click.argument("name", callback=a_name)
@_generate
@_new_password
@click.option("--tags", metavar="TAG,TAG", default="", help="administrator, monitoring, …  [none]")
@click.option("--permissions", metavar="PATTERN", help="May do everything with such names.")
@vhost_option
@broker_options
@answers("user", "tags", "password")
def add(
    name: str,
    generate_password: bool,
    new_password: str | None,
    tags: str,
    permissions: str | None,
) -> None:
    """Make a user; its password is the first line of standard input, or generated."""
    _look_at_who_asks()
    with reached() as remote:
        if _known(remote, name) is not None:
            fail(
                f"user '{name}' exists; 'amqpd user password {name}' changes its password", EX_DATA
            )
        made, told = _password(generate_password, new_password)
        remote.put(f"/users/{segment(name)}", {"password": made, "tags": tags})
        _look_at(tags.split(","))
        if permissions is not None:
            _permit(remote, name, vhost_name(), permissions)
    lines = [f"user '{name}' added{told}"]
    if permissions is None:
        lines.append(f"it may do nothing yet: amqpd user permissions {name} '.*'")
    answer({"user": name, "tags": tags, "password": made if told else None}, *lines)


@user.command("password")
@click.argument("name", callback=a_name, shell_complete=names_of("users"))
@_generate
@_new_password
@broker_options
@answers("user", "password")
def password_(
    name: str,
    generate_password: bool,
    new_password: str | None,
) -> None:
    """Give a user another password: the first line of standard input, or a generated one."""
    _look_at_who_asks()
    with reached() as remote:
        known = _find(remote, name)
        made, told = _password(generate_password, new_password)
        remote.put(f"/users/{segment(name)}", {"password": made, "tags": known["tags"]})
    answer(
        {"user": name, "password": made if told else None},
        f"user '{name}' has another password{told}",
    )


@user.command()
@click.argument("name", callback=a_name, shell_complete=names_of("users"))
@click.argument("tags", nargs=-1)
@broker_options
@answers("user", "tags")
def tags(name: str, tags: tuple[str, ...]) -> None:
    """Set a user's tags; none given: it has none."""
    with reached() as remote:
        known = _find(remote, name)
        body: dict[str, Any] = {"tags": ",".join(tags)}
        if known["password_hash"]:
            body |= {key: known[key] for key in ("password_hash", "hashing_algorithm")}
        remote.put(f"/users/{segment(name)}", body)
        _look_at(tags)
    answer(
        {"user": name, "tags": ",".join(tags)},
        f"user '{name}' has the tags: {', '.join(tags) or 'none'}",
    )


@user.command()
@click.argument("name", callback=a_name, shell_complete=names_of("users"))
@click.argument("configure")
@click.argument("write", required=False)
@click.argument("read", required=False)
@vhost_option
@broker_options
@answers("user", "vhost", "configure", "write", "read")
def permissions(name: str, configure: str, write: str | None, read: str | None) -> None:
    """Say of which names a user may configure, write to and read things; one pattern: all three."""
    with reached() as remote:
        _find(remote, name)
        rights = _permit(remote, name, vhost_name(), configure, write, read)
    answer(
        {"user": name, "vhost": vhost_name(), **rights},
        f"user '{name}' may use vhost '{vhost_name()}'",
    )


@user.command()
@click.argument("name", callback=a_name, shell_complete=names_of("users"))
@yes_option
@idempotently_option
@broker_options
@answers("user", "deleted", "connections")
def delete(name: str, yes: bool, idempotently: bool) -> None:
    """Remove a user; its connections are closed."""
    with reached() as remote:
        if gone_already(remote, f"/users/{segment(name)}", idempotently):
            answer({"user": name, "deleted": False, "connections": 0}, "there was none")
            return
        _find(remote, name)
        count = len(remote.get(f"/connections/username/{segment(name)}"))
        sure(f"user '{name}' is removed, {count} connections of it are closed", yes)
        remote.delete(f"/users/{segment(name)}")
    answer({"user": name, "deleted": True, "connections": count}, "removed")


@click.command("hash-password")
@click.argument("password", required=False)
@answers("password_hash", "hashing_algorithm")
def hash_password(password: str | None) -> None:
    """Print a password's hash, as definitions have it; no broker is needed."""
    from amqpd.auth.passwords import hash_password as hashed

    made, _ = _password(False, password)
    made = hashed(made)
    answer({"password_hash": made, "hashing_algorithm": "rabbit_password_hashing_sha256"}, made)


#: Tags that mean something here; others are kept, for what reads them elsewhere.
TAGS: Final = frozenset(
    {"administrator", "monitoring", "policymaker", "management", "impersonator"}
)


def _look_at(tags: Iterable[str]) -> None:
    """Say which tags mean nothing."""
    for tag in filter(None, map(str.strip, tags)):
        if tag not in TAGS:
            note(f"warning: tag '{tag}' means nothing to amqpd.{near(tag, TAGS)}")


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


def _permit(
    remote: Remote,
    name: str,
    vhost: str,
    configure: str,
    write: str | None = None,
    read: str | None = None,
) -> dict[str, str]:
    """Give rights; a pattern that is not there is the first one. What was given.

    An empty pattern is one, too: it matches no name.
    """
    body = {
        "configure": configure,
        "write": configure if write is None else write,
        "read": configure if read is None else read,
    }
    remote.put(f"/permissions/{segment(vhost)}/{segment(name)}", body)
    return body


def _look_at_who_asks() -> None:
    """A password without a user is meant for the new one, as it would not be used."""
    if kept(PASSWORD) and not kept(USERNAME) and not os.environ.get("AMQPD_USERNAME"):
        fail(
            "--password goes with --username and says who asks; the new one is the first line of "
            "standard input, or --new-password",
            EX_USAGE,
        )


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
