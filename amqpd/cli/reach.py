"""What commands for people share: options that say which broker, and what they print.

Columns are as wide as what is in them, colours are for terminals only, `--json` prints what the
API said, and an error names the next step.
"""

from __future__ import annotations

import contextlib
import difflib
import json
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from amqpd.cli.options import fail, printable
from amqpd.cli.remote import EX_DATA, Remote, RemoteError, segment, whereabouts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_Command = TypeVar("_Command", bound="Callable[..., None]")
#: JSON as it came.
Json = Any
NOT_FOUND: Final = 404


def broker_options(command: _Command) -> _Command:
    """Add `--url`, `--username` and `--password`."""
    for option, metavar, text in (
        ("--password", "PASSWORD", "With which password.  [guest]"),
        ("--username", "USER", "Who asks.  [guest]"),
        ("--url", "URL", "The broker's HTTP address; default: the one of this machine."),
    ):
        command = click.option(option, metavar=metavar, help=text)(command)
    return command


def vhost_option(command: _Command) -> _Command:
    """Add `--vhost`."""
    return click.option("-p", "--vhost", metavar="VHOST", help="Virtual host.")(command)


def json_option(command: _Command) -> _Command:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="As JSON.")(command)


@contextlib.contextmanager
def reached(url: str | None, username: str | None, password: str | None) -> Iterator[Remote]:
    """The broker that is meant; what it refuses ends the process with one line."""
    remote = Remote(whereabouts(url, username, password))
    try:
        yield remote
    except RemoteError as error:
        fail(error.reason, error.code)
    finally:
        remote.close()


def columns(titles: Sequence[str], rows: Iterable[Sequence[str]], right: frozenset[str]) -> None:
    """Print rows below each other; titles in `right` are of numbers."""
    cells = [[printable(one) for one in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(titles, *cells, strict=True)]
    for at, row in enumerate([list(titles), *cells]):
        line = "  ".join(
            text.rjust(width) if title in right else text.ljust(width)
            for title, text, width in zip(titles, row, widths, strict=True)
        ).rstrip()
        click.echo(click.style(line, bold=True) if at == 0 else line)


def as_json(content: Json) -> None:
    """Print JSON for programs."""
    click.echo(json.dumps(content, indent=2))


def find_queue(remote: Remote, vhost: str, name: str) -> Json:
    """What is known of a queue; 65 with the nearest name if there is none."""
    try:
        return remote.get(f"/queues/{segment(vhost)}/{segment(name)}")
    except RemoteError as error:
        if error.status != NOT_FOUND:
            raise
    names = [one["name"] for one in remote.get(f"/queues/{segment(vhost)}", columns="name")]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"  Did you mean '{near[0]}'?" if near else ""
    fail(f"no queue '{name}' in vhost '{vhost}'.{hint}", EX_DATA)
