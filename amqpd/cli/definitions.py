"""`amqpd export` and `amqpd import`: definitions as a file, in RabbitMQ's format."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import click

from amqpd.cli.answer import (
    EX_CANNOT_CREATE,
    EX_DATA,
    EX_NO_INPUT,
    answer,
    answers,
    fail,
    printable,
    wants_json,
)
from amqpd.cli.progress import working
from amqpd.cli.reach import broker_options, reached
from amqpd.cli.remote import segment

#: What would be done, in one character each.
SIGNS: Final = {"create": "+", "update": "~", "same": "=", "keep": "!", "skip": "="}


_only = click.option("-p", "--vhost", metavar="VHOST", help="Only of this one.")


@click.command("export")
@click.argument("file", required=False)
@_only
@click.option("--no-secrets", is_flag=True, help="Without users and their password hashes.")
@broker_options
@answers(says="to a file {file, counts}, else the definitions, which are JSON anyway")
def export(file: str | None, vhost: str | None, no_secrets: bool) -> None:
    """Write all definitions to a file, or to standard output."""
    with reached() as remote, working("reading definitions"):
        found = remote.get(f"/definitions/{segment(vhost)}" if vhost else "/definitions")
    if no_secrets:
        found.pop("users", None)
    text = json.dumps(found, indent=2) + "\n"
    if file in (None, "-"):
        sys.stdout.write(text)
        return
    try:
        Path(str(file)).write_text(text)
    except OSError as error:
        step = "is its folder there, and may you write to it?"
        fail(f"file '{file}': {error.strerror}; {step}", EX_CANNOT_CREATE)
    counts = {name: len(each) for name, each in found.items() if isinstance(each, list)}
    shown = ", ".join(f"{count} {name}" for name, count in counts.items())
    answer({"file": file, "counts": counts}, f"{file}: {shown}")


@click.command("import")
@click.argument("file")
@click.option("-p", "--vhost", metavar="VHOST", help="Into this one.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@broker_options
@answers(says="{counts, changes}, as POST /api/definitions?dry_run=true answers")
def import_(file: str, vhost: str | None, dry_run: bool) -> None:
    """Bring in definitions from a file, as one transaction: all of them or none."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text()
        document = json.loads(text)
    except OSError as error:
        fail(f"file '{file}': {error.strerror}; '-' is standard input", EX_NO_INPUT)
    except ValueError as error:
        step = "'amqpd export' shows how one looks"
        fail(f"file '{file}': not JSON: {error}; {step}", EX_DATA)
    path = f"/definitions/{segment(vhost)}" if vhost else "/definitions"
    what = "comparing definitions" if dry_run else "importing definitions"
    with reached() as remote, working(what):
        plan = remote.post(f"{path}?dry_run=true", document)
        if not dry_run:
            remote.post(path, document)
    if wants_json():
        answer(plan)
    else:
        _tell(plan)


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
