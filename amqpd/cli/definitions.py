"""`amqpd export` and `amqpd import`: definitions as a file, in RabbitMQ's format."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import click

from amqpd.cli.options import fail, printable
from amqpd.cli.progress import working
from amqpd.cli.reach import as_json, broker_options, json_option, reached
from amqpd.cli.remote import EX_DATA, segment

#: What would be done, in one character each.
SIGNS: Final = {"create": "+", "update": "~", "same": "=", "keep": "!", "skip": "="}


@click.command("export")
@click.argument("file", required=False)
@click.option("-p", "--vhost", metavar="VHOST", help="Only of this one.")
@broker_options
def export(
    file: str | None,
    vhost: str | None,
    url: str | None,
    username: str | None,
    password: str | None,
) -> None:
    """Write all definitions to a file, or to standard output."""
    with reached(url, username, password) as remote, working("reading definitions"):
        found = remote.get(f"/definitions/{segment(vhost)}" if vhost else "/definitions")
    text = json.dumps(found, indent=2) + "\n"
    if file in (None, "-"):
        sys.stdout.write(text)
        return
    try:
        Path(str(file)).write_text(text)
    except OSError as error:
        fail(f"file '{file}': {error.strerror}", EX_DATA)
    counts = ", ".join(
        f"{len(each)} {name}" for name, each in found.items() if isinstance(each, list)
    )
    click.echo(f"{file}: {counts}")


@click.command("import")
@click.argument("file")
@click.option("-p", "--vhost", metavar="VHOST", help="Into this one.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@broker_options
@json_option
def import_(
    file: str,
    vhost: str | None,
    dry_run: bool,
    url: str | None,
    username: str | None,
    password: str | None,
    as_json: bool,
) -> None:
    """Bring in definitions from a file, as one transaction: all of them or none."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text()
        document = json.loads(text)
    except OSError as error:
        fail(f"file '{file}': {error.strerror}", EX_DATA)
    except ValueError as error:
        fail(f"file '{file}': not JSON: {error}", EX_DATA)
    path = f"/definitions/{segment(vhost)}" if vhost else "/definitions"
    what = "comparing definitions" if dry_run else "importing definitions"
    with reached(url, username, password) as remote, working(what):
        plan = remote.post(f"{path}?dry_run=true", document)
        if not dry_run:
            remote.post(path, document)
    if as_json:
        _json(plan)
    else:
        _tell(plan)


_json = as_json


def _tell(plan: dict[str, Any]) -> None:
    """One line for each section and action, then the changes one by one."""
    for section, actions in plan["counts"].items():
        for action, count in sorted(actions.items()):
            click.echo(f"{SIGNS.get(action, '?')} {count} {section}  ({action})")
    for one in plan["changes"]:
        where = f" in vhost '{one['vhost']}'" if one["vhost"] else ""
        sign = SIGNS.get(one["action"], "?")
        click.echo(printable(f"  {sign} {one['section']}: {one['name']}{where}"))
    if not plan["changes"]:
        click.echo("nothing changes")
