"""`amqpd export` and `amqpd import`: definitions as a file, in RabbitMQ's format."""

from __future__ import annotations

import json
import os
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
    wants_json,
)
from amqpd.cli.progress import working
from amqpd.cli.reach import broker_options, reached
from amqpd.cli.remote import segment
from amqpd.text import printable

#: What would be done, in one character each.
SIGNS: Final = {"create": "+", "update": "~", "same": "=", "keep": "!", "skip": "="}


_only = click.option("-p", "--vhost", metavar="VHOST", help="Only of this one.")


def write_privately(path: Path, text: str) -> None:
    """Write a file that has hashes of passwords in it: a new one is for nobody else.

    Raises:
        OSError: it cannot be written.
    """
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(opened, "w") as file:
        file.write(text)


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
        write_privately(Path(str(file)), text)
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
        _tell(plan, document)


def _tell(plan: dict[str, Any], document: dict[str, Any]) -> None:
    """Counts in one line, then the changes one by one, with what is to be known of each."""
    counts: dict[str, dict[str, int]] = {}
    for section, actions in plan["counts"].items():
        for action, count in actions.items():
            of_sign = counts.setdefault(SIGNS.get(action, "?"), {})
            of_sign[section] = of_sign.get(section, 0) + count
    same = sum(counts.pop("=", {}).values())
    parts = [
        f"{sign} {count} {_noun(section, count)}{_remarks(plan, document, sign, section)}"
        for sign, sections in sorted(counts.items())
        for section, count in sections.items()
    ]
    if same:
        parts.append(f"= {same} unchanged")
    click.echo(printable("   ".join(parts) if parts else "nothing is in it"))
    for one in plan["changes"]:
        where = f" in vhost '{one['vhost']}'" if one["vhost"] else ""
        sign = SIGNS.get(one["action"], "?")
        line = f"  {sign} {_noun(one['section'], 1)}: {one['name']}{where}{_remark(one, document)}"
        click.echo(printable(line))
    if not plan["changes"]:
        click.echo("nothing changes")


def _remarks(plan: dict[str, Any], document: dict[str, Any], sign: str, section: str) -> str:
    """What is to be known of the changes of one kind: of one by its name, of more how many."""
    said = [
        f"{one['name']}: {idle}"
        for one in plan["changes"]
        if one["section"] == section
        and SIGNS.get(one["action"], "?") == sign
        and (idle := _idle(one, document))
    ]
    if len(said) > 1:
        return f" ({len(said)} of them with keys that have no effect here)"
    return f" ({said[0]})" if said else ""


def _noun(section: str, count: int) -> str:
    """`2 queues`, `1 queue`, `1 policy`, `1 topic permission`."""
    words = section.replace("_", " ")
    if count != 1:
        return words
    return f"{words[:-3]}y" if words.endswith("ies") else words.removesuffix("s")


def _remark(change: dict[str, Any], document: dict[str, Any]) -> str:
    said = _idle(change, document)
    return f" ({said})" if said else ""


def _idle(change: dict[str, Any], document: dict[str, Any]) -> str:
    """That keys of a policy do nothing; empty: there are none."""
    if change["section"] != "policies":
        return ""
    from amqpd.broker.policy import without_effect

    for one in document["policies"]:
        if one["name"] == change["name"] and one.get("vhost", change["vhost"]) == change["vhost"]:
            idle = without_effect(one["definition"])
            return no_effect(idle) if idle else ""
    return ""


def no_effect(keys: list[str]) -> str:
    """That these keys of a policy do nothing."""
    names = ", ".join(f"'{one}'" for one in keys)
    return f"{names} {'has' if len(keys) == 1 else 'have'} no effect here"
