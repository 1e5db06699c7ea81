"""The command `amqpd` and its subcommands; without one it is `amqpd start`."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import click

from amqpd import __version__
from amqpd.cli.config import config
from amqpd.cli.start import start
from amqpd.cli.testing import testing

if TYPE_CHECKING:
    from collections.abc import Sequence


class StartByDefault(click.Group):
    """`amqpd` and `amqpd --port 0` mean `amqpd start …`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `start` in front of what does not name a command or ask about the group."""
        if not args or args[0].split("=")[0] in _options_of(start):
            args = ["start", *args]
        return super().parse_args(ctx, args)


def _options_of(command: click.Command) -> set[str]:
    names = {name for parameter in command.params for name in parameter.opts}
    return names - {"--help"}


@click.group(
    cls=StartByDefault,
    commands={"start": start, "config": config, "testing": testing},
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Without a command: start, with all its options (amqpd start --help).",
)
@click.version_option(
    __version__,
    prog_name="amqpd",
    message=f"%(prog)s %(version)s (Python {platform.python_version()})",
)
def group() -> None:
    """A durable AMQP 0-9-1 broker that RabbitMQ's clients use unchanged."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; ends the process with its exit code."""
    group.main(args=None if arguments is None else list(arguments), prog_name="amqpd")
