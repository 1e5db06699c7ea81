"""Runtime parameters: of components in a vhost, and global ones; definitions as a file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from amqpd.cli.answer import EX_DATA
from amqpd.cli.ctl.policies import parse_json
from amqpd.cli.ctl.refusals import bad, end
from amqpd.cli.ctl.verb import argument, option, verb
from amqpd.cli.definitions import write_privately
from amqpd.cli.remote import segment

if TYPE_CHECKING:
    from amqpd.cli.ctl.verb import Ctl

GROUP: Final = "parameters"
DEFINITIONS: Final = "definitions"
THREE: Final = (argument("component"), argument("name"))


@verb("set_parameter", GROUP, *THREE, argument("value"))
def set_parameter(ctl: Ctl, component: str, name: str, value: str) -> None:
    """Set a parameter of a component; the value in JSON."""
    ctl.say(
        f'Setting runtime parameter "{name}" for component "{component}" to "{value}" '
        f'in vhost "{ctl.vhost}" ...'
    )
    ctl.remote.put(
        f"/parameters/{segment(component)}/{ctl.vhost_path}/{segment(name)}",
        {"value": parse_json(value)},
    )


@verb("clear_parameter", GROUP, *THREE)
def clear_parameter(ctl: Ctl, component: str, name: str) -> None:
    """Remove a parameter."""
    ctl.say(
        f'Clearing runtime parameter "{name}" for component "{component}" '
        f'on vhost "{ctl.vhost}" ...'
    )
    ctl.remote.delete(f"/parameters/{segment(component)}/{ctl.vhost_path}/{segment(name)}")


@verb("list_parameters", GROUP)
def list_parameters(ctl: Ctl) -> None:
    """The parameters of a vhost."""
    ctl.say(f'Listing runtime parameters for vhost "{ctl.vhost}" ...')
    ctl.remote.get(f"/vhosts/{ctl.vhost_path}", columns="name")
    rows = [row for row in ctl.remote.get("/parameters") if row["vhost"] == ctl.vhost]
    ctl.show(("component", "name", "value"), _valued(rows))


@verb("set_global_parameter", GROUP, argument("name"), argument("value"))
def set_global_parameter(ctl: Ctl, name: str, value: str) -> None:
    """Set a global parameter; the value in JSON."""
    ctl.say(f'Setting global runtime parameter "{name}" to "{value}" ...')
    ctl.remote.put(f"/global-parameters/{segment(name)}", {"value": parse_json(value)})


@verb("clear_global_parameter", GROUP, argument("name"))
def clear_global_parameter(ctl: Ctl, name: str) -> None:
    """Remove a global parameter."""
    ctl.say(f'Clearing global runtime parameter "{name}" ...')
    ctl.remote.delete(f"/global-parameters/{segment(name)}")


@verb("list_global_parameters", GROUP)
def list_global_parameters(ctl: Ctl) -> None:
    """All global parameters."""
    ctl.say("Listing global runtime parameters ...")
    ctl.show(("name", "value"), _valued(ctl.remote.get("/global-parameters")))


def _valued(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Values as they were given: in JSON, whatever is around them."""
    return [
        {**row, "value": json.dumps(row["value"], separators=(",", ":"), ensure_ascii=False)}
        for row in rows
    ]


# -- definitions -------------------------------------------------------------------------


@verb(
    "export_definitions",
    DEFINITIONS,
    argument("file"),
    option("--format", "format_name", type=click.Choice(["json"]), default="json"),
)
def export_definitions(ctl: Ctl, file: str, format_name: str) -> None:
    """Write all definitions to a file, or to standard output with `-`."""
    path = "/definitions" if not ctl.vhost_given else f"/definitions/{ctl.vhost_path}"
    if file != "-" and not Path(file).parent.is_dir():
        bad(f"Directory {Path(file).parent} does not exist")
    text = json.dumps(ctl.remote.get(path), indent=2) + "\n"
    if file == "-":
        sys.stdout.write(text)
        return
    ctl.say(f'Exporting definitions in {format_name.upper()} to a file at "{file}" ...')
    try:
        write_privately(Path(file), text)
    except OSError as error:
        end(f"file '{file}': {error.strerror}", EX_DATA)


@verb("import_definitions", DEFINITIONS, argument("file", required=False))
def import_definitions(ctl: Ctl, file: str | None) -> None:
    """Bring in definitions from a file, or from standard input."""
    try:
        text = sys.stdin.read() if file in (None, "-") else Path(str(file)).read_text()
    except FileNotFoundError:
        bad(f"File {file} does not exist")
    except OSError as error:
        bad(f"File {file}: {error.strerror}")
    source = "standard input" if file in (None, "-") else f'a file at "{file}"'
    ctl.say(f"Importing definitions in JSON from {source} ...")
    path = "/definitions" if not ctl.vhost_given else f"/definitions/{ctl.vhost_path}"
    ctl.remote.post(path, parse_json(text))
    ctl.result("Successfully started definition import.")
