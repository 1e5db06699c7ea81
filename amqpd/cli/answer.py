"""What commands say: lines for people, JSON for programs, and errors for both.

    @answers("queue", "removed")            adds `--json`; its help names the keys
    answer({"queue": name, "removed": 3}, "3 messages removed")
    fail("no queue 'x'", EX_DATA)           one line on standard error, or an object with --json

Nothing of a broker is known here, and nothing is imported that takes time.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import click

from amqpd.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_Command = TypeVar("_Command", bound="Callable[..., None]")
#: JSON as it came.
Json = Any

#: sysexits.h, as `rabbitmqctl` uses them.
EX_USAGE: Final = 64
EX_DATA: Final = 65
EX_NO_INPUT: Final = 66
EX_NO_USER: Final = 67
EX_UNAVAILABLE: Final = 69
EX_SOFTWARE: Final = 70
EX_CANNOT_CREATE: Final = 73
EX_IO: Final = 74
EX_TRY_AGAIN: Final = 75
EX_NO_PERMISSION: Final = 77
EX_CONFIG: Final = 78
#: As shells have it for Ctrl-C.
EX_INTERRUPTED: Final = 130

#: What an exit code is called in JSON.
ERRORS: Final[Mapping[int, str]] = {
    EX_USAGE: "usage",
    EX_DATA: "data",
    EX_NO_INPUT: "no_input",
    EX_NO_USER: "no_user",
    EX_UNAVAILABLE: "unavailable",
    EX_SOFTWARE: "software",
    EX_CANNOT_CREATE: "cannot_create",
    EX_IO: "io",
    EX_TRY_AGAIN: "try_again",
    EX_NO_PERMISSION: "no_permission",
    EX_CONFIG: "config",
    EX_INTERRUPTED: "interrupted",
}
#: Where the option leaves that it was given.
_JSON: Final = "amqpd.json"


class JsonOption(click.Option):
    """`--json`, and what is in it: the keys of one object, or words where it is the API's."""

    def __init__(self, names: Sequence[str], keys: tuple[str, ...] = (), says: str = "") -> None:
        shape = says or f"{{{', '.join(keys)}}}"
        super().__init__(
            names,
            is_flag=True,
            expose_value=False,
            is_eager=True,  # what is wrong with the others is told in JSON, too
            callback=_keep,
            help=f"As JSON: {shape}.",
        )
        self.keys = keys


def _keep(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        context.meta[_JSON] = parameter


def answers(*keys: str, says: str = "") -> Callable[[_Command], _Command]:
    """Add `--json`; an answer has these keys, or is what the words say it is."""

    return click.option("--json", cls=JsonOption, keys=keys, says=says)


def wants_json() -> bool:
    """Whether the command that runs was given `--json`."""
    context = click.get_current_context(silent=True)
    return context is not None and _JSON in context.meta


def answer(facts: Json, *lines: str) -> None:
    """Say what was done or found: the facts with `--json`, the lines without."""
    if wants_json():
        _check(facts)
        print_json(facts)
        return
    for line in lines:
        click.echo(printable(line))


def _check(facts: Json) -> None:
    """What the help says of it is what it is."""
    option = click.get_current_context().meta[_JSON]
    assert not option.keys or set(option.keys) == set(facts), (option.keys, [*facts])


def print_json(content: Json) -> None:
    """Print JSON for programs."""
    click.echo(json.dumps(content, indent=2))


def print_line(facts: Json, line: str) -> None:
    """One of several answers, as it comes: an object on a line of its own, or the line."""
    click.echo(json.dumps(facts) if wants_json() else printable(line))


def note(text: str) -> None:
    """Say something beside the answer, on standard error; programs are not told."""
    if not wants_json():
        click.echo(printable(text), err=True)


def fail(text: str, code: int) -> NoReturn:
    """Say what is wrong, in one line or as one object, and end the process."""
    tell(text, code)
    raise SystemExit(code)


def fail_for(texts: Sequence[str], code: int) -> NoReturn:
    """The same where several things are wrong: a line for each, or one object with all."""
    for text in ["\n".join(texts)] if wants_json() else texts:
        tell(text, code)
    raise SystemExit(code)


def tell(text: str, code: int, *, as_json: bool | None = None) -> None:
    """Say what is wrong on standard error; without a wish, as the command was asked to."""
    if wants_json() if as_json is None else as_json:
        error = ERRORS.get(code, "other")
        click.echo(json.dumps({"error": error, "reason": text, "exit_code": code}), err=True)
    else:
        click.echo(f"amqpd: {printable(text)}", err=True)
