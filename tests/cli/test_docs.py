"""The manual names every command."""

from __future__ import annotations

from pathlib import Path

import click

import amqpd
from amqpd.cli.ctl.verb import GROUPS
from amqpd.cli.main import group

MANUAL = (Path(amqpd.__file__).parent / "docs" / "command-line.md").read_text()


def test_every_command_is_in_the_manual() -> None:
    context = click.Context(group)
    for name in group.list_commands(context):
        assert f"`{name}`" in MANUAL or f"amqpd {name}" in MANUAL, name
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group) and name != "ctl":
            for inner in command.commands:
                assert f"{name} {inner}" in MANUAL, (name, inner)


def test_every_verb_of_ctl_is_in_the_manual() -> None:
    for about, names in GROUPS.items():
        row = next(line for line in MANUAL.splitlines() if line.startswith(f"| {about} |"))
        assert [one.strip(" `") for one in row.split("|")[2].split(",")] == names
