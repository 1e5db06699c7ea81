"""What `docs/command-line.md` says of each command, from the commands themselves.

python -m amqpd.cli.manual amqpd/docs/command-line.md       writes it anew
"""

from __future__ import annotations

import copy
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from amqpd.cli.ctl.verb import GROUPS
from amqpd.cli.main import COMMANDS, group

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH: Final = 96
_VERBS: Final = re.compile(r"(?<=<!-- verbs -->\n).*(?=<!-- end of verbs -->)", re.DOTALL)
_HELP: Final = re.compile(r"(?<=<!-- help -->\n).*(?=<!-- end of help -->)", re.DOTALL)
_EXAMPLES: Final = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def write(text: str) -> str:
    """The page with its generated parts as they have to be now."""
    for pattern, made in ((_VERBS, _verbs()), (_HELP, _help())):
        # Not a template: backslashes in it are what they are.
        lines = "".join(f"{line}\n" for line in made)
        text = pattern.sub(lines.replace("\\", r"\\"), text)
    return text


def examples(text: str) -> list[str]:
    """The command lines that the page shows, in order."""
    found = [line.strip() for block in _EXAMPLES.findall(text) for line in block.splitlines()]
    return [line for line in found if line and not line.startswith("#")]


def _verbs() -> Iterator[str]:
    yield "| about | verbs |"
    yield "|---|---|"
    for about, names in GROUPS.items():
        yield f"| {about} | {', '.join(f'`{name}`' for name in names)} |"


def _help() -> Iterator[str]:
    for path, found in walk():
        # A command remembers its help option as it was first asked for, maybe on its own.
        command = copy.copy(found)
        command._help_option = None
        yield f"### {path}"
        yield ""
        yield "```text"
        context = click.Context(
            command, info_name=path, terminal_width=WIDTH, help_option_names=["-h", "--help"]
        )
        yield from (line.rstrip() for line in command.get_help(context).splitlines())
        yield "```"
        yield ""


def walk() -> Iterator[tuple[str, click.Command]]:
    """Every command of ours with the words that call it, but for the verbs of `ctl`."""
    above = click.Context(group, info_name="amqpd")
    for name in sorted({*COMMANDS, "start"}):
        command = group.get_command(above, name)
        assert command is not None
        yield f"amqpd {name}", command
        if isinstance(command, click.Group) and name != "ctl":
            for inner in sorted(command.commands):
                yield f"amqpd {name} {inner}", command.commands[inner]


if __name__ == "__main__":
    for name in sys.argv[1:]:
        page = Path(name)
        page.write_text(write(page.read_text()))
