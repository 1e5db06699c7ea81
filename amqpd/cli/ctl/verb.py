"""What all verbs of `amqpd ctl` share: their options, the broker they talk to, their output.

    @verb("list_users", group="users")      makes a command of a function
    def list_users(ctl: Ctl, ...) -> None

The options stand before or behind the verb, as with `rabbitmqctl`; those that only mean
something in an Erlang cluster are accepted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import click

from amqpd.cli.answer import EX_SOFTWARE
from amqpd.cli.ctl.refusals import end, explain, invalid
from amqpd.cli.remote import Remote, RemoteError, segment, whereabouts
from amqpd.cli.tables import FORMATS, MACHINE, lines, pretty
from amqpd.text import in_json, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

#: Every verb by name.
VERBS: Final[dict[str, click.Command]] = {}
#: The names of verbs by what they are about, for the help.
GROUPS: Final[dict[str, list[str]]] = {}

_OPTIONS: Final = (
    click.Option(["-n", "--node"], metavar="NODE", hidden=True),
    click.Option(["-l", "--longnames"], is_flag=True, hidden=True),
    click.Option(["--erlang-cookie"], metavar="COOKIE", hidden=True),
    click.Option(["--script-name"], metavar="NAME", hidden=True),
    click.Option(["-p", "--vhost"], metavar="VHOST", help="Virtual host.  [/]"),
    click.Option(["-q", "--quiet"], is_flag=True, help="Nothing but the result."),
    click.Option(["-s", "--silent"], is_flag=True, help="The same, and no table headers."),
    click.Option(["--no-table-headers"], is_flag=True, help="No table headers."),
    click.Option(
        ["--formatter"], type=click.Choice(FORMATS), help="How results are printed.  [table]"
    ),
    click.Option(["-t", "--timeout"], type=float, metavar="SECONDS", help="Give up after.  [60]"),
    click.Option(
        ["--url"], metavar="URL", help="The broker's HTTP address, or its data directory."
    ),
    click.Option(["--context"], metavar="NAME", help="A broker by name; see `amqpd context`."),
    click.Option(["--ca"], metavar="FILE", help="PEM: who signs its certificate."),
    click.Option(["--username", "as_user"], metavar="USER", help="Who asks.  [guest]"),
    click.Option(
        ["--password", "as_password"], metavar="PASSWORD", help="With which password.  [guest]"
    ),
)
SHARED: Final = frozenset(str(option.name) for option in _OPTIONS)


def shared_options() -> list[click.Parameter]:
    """The options of all verbs, and of `ctl` itself."""
    return list(_OPTIONS)


@dataclass(slots=True)
class Ctl:
    """One call of a verb: the broker it is for and the way to answer."""

    remote: Remote
    #: What is to be done.
    name: str = ""
    vhost: str = "/"
    #: Whether the vhost was named; some lists are of all vhosts otherwise.
    vhost_given: bool = False
    format_name: str = "table"
    quiet: bool = False
    headers: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)
    #: Whether anything was printed that is a result.
    has_answered: bool = False

    @property
    def vhost_path(self) -> str:
        """The vhost as a segment of a path."""
        return segment(self.vhost)

    @property
    def node(self) -> str:
        """What the broker calls itself."""
        return str(self.remote.get("/overview")["node"])

    @property
    def for_programs(self) -> bool:
        """No remarks: the output is read by a program."""
        return self.format_name in MACHINE

    @property
    def wants_json(self) -> bool:
        """Objects instead of words."""
        return self.format_name in ("json", "json_stream")

    def say(self, text: str) -> None:
        """A remark that is no result."""
        if not self.quiet and not self.for_programs:
            click.echo(printable(text))

    def write(self, text: str) -> None:
        """A result that looks the same in every format."""
        self.has_answered = True
        click.echo(text)

    def frame(self, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
        """A list that has a frame unless another format is asked for."""
        chosen = self.format_name
        self.has_answered = True
        for line in lines(columns, rows, "pretty_table" if chosen == "table" else chosen):
            click.echo(line)

    def done(self) -> None:
        """The verb was carried out; programs that have seen no result yet are told so."""
        if not self.has_answered and self.wants_json:
            click.echo(_compact({"node": self.node, "result": "ok"}))

    def result(self, text: str, facts: Mapping[str, Any] | None = None) -> None:
        """A result in words; programs get the facts, or the words as a message."""
        self.has_answered = True
        match self.format_name:
            case "json" | "json_stream":
                click.echo(_compact(facts or {"message": text}))
            case "pretty_table":
                for line in pretty(["Output"], [[one] for one in [printable(text)]]):
                    click.echo(line)
            case _:
                click.echo(printable(text))

    def show(self, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
        """A list, as it was asked for."""
        self.has_answered = True
        for line in lines(columns, rows, self.format_name, headers=self.headers):
            click.echo(line)


def _compact(facts: Mapping[str, Any]) -> str:
    return in_json(json.dumps(facts, separators=(",", ":"), ensure_ascii=False))


def verb(
    name: str, group: str, *parameters: click.Parameter
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a verb; its function gets a `Ctl` and the parameters by name."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        VERBS[name] = _command(name, function, parameters)
        GROUPS.setdefault(group, []).append(name)
        return function

    return register


def verb_in(
    group: click.Group, name: str, *parameters: click.Parameter
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The same for a verb below another, like `plugins list`."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        group.add_command(_command(name, function, parameters))
        return function

    return register


def _command(
    name: str, function: Callable[..., None], parameters: Sequence[click.Parameter]
) -> click.Command:
    def run(**given: Any) -> None:
        ctl = _ctl(click.get_current_context(), name)
        own = {key: value for key, value in given.items() if key not in SHARED}
        try:
            function(ctl, **own)
            ctl.done()
        except RemoteError as error:
            explain(name, ctl.remote, ctl.vhost, error)
        except (KeyError, TypeError, IndexError) as error:
            end(f"{name}: the broker's answer is not understood: {error!r}", EX_SOFTWARE)
        finally:
            ctl.remote.close()

    return click.Command(
        name,
        params=[*parameters, *shared_options()],
        callback=run,
        help=function.__doc__,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def _ctl(context: click.Context, name: str) -> Ctl:
    given: dict[str, Any] = {}
    at: click.Context | None = context
    while at is not None:  # what stands nearest to the verb counts
        given |= {name: at.params[name] for name in SHARED - {*given} if at.params.get(name)}
        at = at.parent
    given = {name: given.get(name) for name in SHARED}
    timeout_s = given["timeout"]
    place = whereabouts(
        given["url"],
        given["as_user"],
        given["as_password"],
        context=given["context"],
        ca=given["ca"] or "",
        timeout_s=timeout_s if timeout_s and timeout_s > 0 else 60.0,
    )
    return Ctl(
        Remote(place),
        name=name,
        vhost=given["vhost"] or "/",
        vhost_given=given["vhost"] is not None,
        format_name=given["formatter"] or "table",
        quiet=bool(given["quiet"] or given["silent"]),
        headers=not (given["silent"] or given["no_table_headers"]),
        options=given,
    )


def known_columns(given: Sequence[str], known: Collection[str]) -> list[str]:
    """The columns that were asked for, one an argument or several with commas between."""
    wanted = [name for one in given for name in one.split(",") if name]
    wrong = sorted({*wanted} - {*known})
    if wrong:
        text = f"Info key(s) {','.join(wrong)} are not supported"
        invalid(text, more=f"Columns: {', '.join(known)}")
    return wanted


def argument(name: str, *, required: bool = True, many: bool = False) -> click.Argument:
    """A positional argument; `many` takes all that are left."""
    return click.Argument([name], required=required, nargs=-1 if many else 1)


def option(*names: str, **attributes: Any) -> click.Option:
    """An option of one verb."""
    return click.Option(list(names), **attributes)
