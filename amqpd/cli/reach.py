"""What commands for people share: options that say which broker, and how it is reached.

    @broker_options
    def show(name: str) -> None:
        with reached() as remote: ...       what the broker refuses ends the process with one line

Columns are as wide as what is in them, and an error names the next step.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import sys
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from amqpd.cli.answer import EX_DATA, EX_USAGE, fail, note, wants_json
from amqpd.cli.remote import Remote, RemoteError, segment, whereabouts
from amqpd.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from amqpd.cli.remote import Place

_Command = TypeVar("_Command", bound="Callable[..., None]")
#: JSON as it came.
Json = Any
NOT_FOUND: Final = 404


def a_name(_context: click.Context, parameter: click.Parameter, value: str) -> str:
    """A name of a thing; there is none without."""
    if not value:
        raise click.BadParameter("a name may not be empty", param=parameter)
    return value


#: Where the options leave what commands do not have to know.
URL: Final = "amqpd.url"
USERNAME: Final = "amqpd.username"
PASSWORD: Final = "amqpd.password"  # noqa: S105
CONTEXT: Final = "amqpd.context"
CA: Final = "amqpd.ca"
VHOST: Final = "amqpd.vhost"

#: Options of all commands that reach a broker: names, where it is kept, what it takes, help.
BROKER: Final = (
    (("--url", "--uri"), URL, "URL",
     "The broker's HTTP address, or its data directory; default: the one here."),
    (("--username",), USERNAME, "USER", "Who asks.  [guest]"),
    (("--password",), PASSWORD, "PASSWORD", "With which password.  [guest]"),
)  # fmt: skip
ELSEWHERE: Final = (
    (("--context",), CONTEXT, "NAME", "A broker by name; see `amqpd context`."),
    (("--ca",), CA, "FILE", "PEM: who signs its certificate."),
)


def _keep(key: str) -> Callable[[click.Context, click.Parameter, str | None], None]:
    def keep(context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
        context.meta[key] = value

    return keep


def kept(key: str) -> str:
    """What was said with one of these options; empty: nothing."""
    context = click.get_current_context(silent=True)
    return "" if context is None else context.meta.get(key) or ""


def broker_options(command: _Command) -> _Command:
    """Add the options that say which broker, and who asks."""
    return _with(command, (*BROKER, *ELSEWHERE))


def context_options(command: _Command) -> _Command:
    """Add `--context` and `--ca`."""
    return _with(command, ELSEWHERE)


def vhost_option(command: _Command) -> _Command:
    """Add `--vhost`; `vhost_name()` says which."""
    return _with(command, ((("-p", "--vhost"), VHOST, "VHOST", "Virtual host.  [/]"),))


def vhost_name() -> str:
    """The vhost that is meant."""
    return kept(VHOST) or "/"


def _with(command: _Command, options: Sequence[tuple[tuple[str, ...], str, str, str]]) -> _Command:
    for names, key, metavar, text in reversed(options):
        add = click.option(
            *names, metavar=metavar, help=text, expose_value=False, callback=_keep(key)
        )
        command = add(command)
    return command


def place(*, timeout_s: float = 60.0, directory: Path | None = None) -> Place:
    """Where the broker is that is meant."""
    return whereabouts(
        kept(URL) or None,
        kept(USERNAME) or None,
        kept(PASSWORD) or None,
        context=kept(CONTEXT),
        ca=kept(CA),
        timeout_s=timeout_s,
        directory=directory,
    )


@contextlib.contextmanager
def reached() -> Iterator[Remote]:
    """The broker that is meant; what it refuses ends the process with one line."""
    remote = Remote(place())
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


def find_queue(remote: Remote, name: str) -> Json:
    """What is known of a queue; 65 with the nearest name if there is none."""
    return find(remote, "queue", f"/queues/{segment(vhost_name())}", name)


def find(remote: Remote, what: str, path: str, name: str) -> Json:
    """What is known of a thing in the vhost that is meant; 65 with the nearest name if not."""
    try:
        return remote.get(f"{path}/{segment(name)}")
    except RemoteError as error:
        if error.status != NOT_FOUND:
            raise
    names = [one["name"] for one in _in_vhost(remote, path)]
    fail(f"no {what} '{name}' in vhost '{vhost_name()}'.{near(name, names)}", EX_DATA)


def _in_vhost(remote: Remote, path: str) -> Json:
    """All of a kind in the vhost that is meant; 65 if there is no such vhost."""
    try:
        return remote.get(path, columns="name")
    except RemoteError as error:
        if error.status != NOT_FOUND:
            raise
    names = [one["name"] for one in remote.get("/vhosts", columns="name")]
    fail(f"no vhost '{vhost_name()}'.{near(vhost_name(), names)}", EX_DATA)


def near(name: str, names: Iterable[str]) -> str:
    """The question that helps whoever has mistyped a name; empty if nothing is near."""
    found = difflib.get_close_matches(name, list(names), n=1)
    return f"  Did you mean '{found[0]}'?" if found else ""


def json_object(option: str, text: str) -> dict[str, Any]:
    """The object that an option or argument holds; anything else ends the process."""
    try:
        found = json.loads(text)
    except ValueError as error:
        fail(f"{option} {text}: not JSON: {error}", EX_DATA)
    if not isinstance(found, dict):
        fail(f'{option} {text}: must be an object like {{"max-length": 1000}}', EX_DATA)
    return found


#: Whatever destroys asks first.
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
idempotently_option = click.option(
    "--idempotently", is_flag=True, help="What is not there is deleted already."
)


def gone_already(remote: Remote, path: str, idempotently: bool) -> bool:
    """Whether there is nothing to delete, and that is fine."""
    if not idempotently:
        return False
    try:
        remote.get(path)
    except RemoteError as error:
        if error.status != NOT_FOUND:
            raise
        return True
    return False


def sure(what: str, yes: bool) -> None:
    """Ask on a terminal, on standard error; a script says `--yes`."""
    if yes:
        note(what)
        return
    if not sys.stdin.isatty():
        if wants_json():
            fail(f"{what}; --yes says that this is meant", EX_USAGE)
        note(what)
        fail("--yes says that this is meant", EX_USAGE)
    click.echo(printable(what), err=True)
    click.confirm("Go on?", abort=True, err=True)
