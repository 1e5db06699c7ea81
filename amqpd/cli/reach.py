"""What commands for people share: options that say which broker, and what they print.

Columns are as wide as what is in them, colours are for terminals only, `--json` prints what the
API said, and an error names the next step.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import sys
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from amqpd.cli.options import fail, printable
from amqpd.cli.remote import EX_DATA, EX_USAGE, Remote, RemoteError, segment, whereabouts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_Command = TypeVar("_Command", bound="Callable[..., None]")
#: JSON as it came.
Json = Any
NOT_FOUND: Final = 404


#: Options of all commands that reach a broker: name, what it takes, help.
BROKER: Final = (
    ("--url", "URL", "The broker's HTTP address, or its data directory; default: the one here."),
    ("--username", "USER", "Who asks.  [guest]"),
    ("--password", "PASSWORD", "With which password.  [guest]"),
)
#: Where they leave what commands do not have to know.
CONTEXT: Final = "amqpd.context"
CA: Final = "amqpd.ca"


def _keep(key: str) -> Callable[[click.Context, click.Parameter, str | None], None]:
    def keep(context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
        context.meta[key] = value

    return keep


def kept(key: str) -> str:
    """What was said with `--context` or `--ca`; empty: nothing."""
    context = click.get_current_context(silent=True)
    return "" if context is None else context.meta.get(key) or ""


def context_parameters() -> list[click.Option]:
    """The options `--context` and `--ca`."""
    return [
        click.Option([name], metavar=metavar, help=text, expose_value=False, callback=_keep(key))
        for name, key, metavar, text in (
            ("--context", CONTEXT, "NAME", "A broker by name; see `amqpd context`."),
            ("--ca", CA, "FILE", "PEM: who signs its certificate."),
        )
    ]


def broker_parameters() -> list[click.Option]:
    """The options that say which broker, and who asks."""
    named = [click.Option([name], metavar=metavar, help=text) for name, metavar, text in BROKER]
    return [*named, *context_parameters()]


def broker_options(command: _Command) -> _Command:
    """Add the options that say which broker."""
    return _with(command, broker_parameters())


def context_options(command: _Command) -> _Command:
    """Add `--context` and `--ca`."""
    return _with(command, context_parameters())


def _with(command: _Command, options: list[click.Option]) -> _Command:
    for one in reversed(options):
        names = [*one.opts]
        add = click.option(
            *names,
            metavar=one.metavar,
            help=one.help,
            expose_value=one.expose_value,
            callback=one.callback,
        )
        command = add(command)
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
    place = whereabouts(url, username, password, context=kept(CONTEXT), ca=kept(CA))
    remote = Remote(place)
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
    fail(f"no queue '{name}' in vhost '{vhost}'.{near(name, names)}", EX_DATA)


def near(name: str, names: Iterable[str]) -> str:
    """The question that helps whoever has mistyped a name; empty if nothing is near."""
    found = difflib.get_close_matches(name, list(names), n=1)
    return f"  Did you mean '{found[0]}'?" if found else ""


def sure(what: str, yes: bool) -> None:
    """Ask on a terminal, on standard error; a script says `--yes`."""
    click.echo(printable(what), err=True)
    if yes:
        return
    if not sys.stdin.isatty():
        fail("--yes says that this is meant", EX_USAGE)
    click.confirm("Go on?", abort=True, err=True)
