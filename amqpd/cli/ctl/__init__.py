"""`amqpd ctl VERB …`: the commands of `rabbitmqctl`, for hands and scripts that know them.

Everything goes through the HTTP API of a running broker; verbs that have no meaning without
Erlang say so. Results have RabbitMQ's columns, exit codes are those of sysexits.h: 0, 64 usage,
65 wrong data, 67 no such user, 69 not reached, or a check has failed, 70 internal error, 75 try
again, 77 refused.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from amqpd.cli.ctl import (
    control,
    diagnostics,
    evaluate,
    limits,
    node,
    objects,
    others,
    parameters,
    permissions,
    plugins,
    policies,
    report,
    status,
    streams,
    users,
    vhosts,
)
from amqpd.cli.ctl.refusals import WORDS, no_verb, not_understood
from amqpd.cli.ctl.verb import GROUPS, VERBS, shared_options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["ctl"]

#: Importing them is what fills the table.
ROOMS = (
    users,
    permissions,
    vhosts,
    policies,
    parameters,
    limits,
    objects,
    node,
    status,
    control,
    evaluate,
    diagnostics,
    streams,
    others,
    report,
)
VERBS["plugins"] = plugins.plugins
GROUPS["plugins"] = ["plugins"]


@contextlib.contextmanager
def _usage() -> Iterator[None]:
    """Arguments that are not understood end with the code that rabbitmqctl has for them."""
    try:
        yield
    except click.UsageError as error:
        not_understood(error)


class Verbs(click.Group):
    """All verbs; its help lists them by what they are about."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Options before the verb."""
        ctx.meta[WORDS] = [*args]
        with _usage():
            return super().parse_args(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A verb; whoever looks for another one is told of the nearest."""
        found = super().get_command(ctx, cmd_name)
        if found is None and not ctx.resilient_parsing and not cmd_name.startswith("-"):
            no_verb(ctx, cmd_name, [*VERBS])
        return found

    def invoke(self, ctx: click.Context) -> object:
        """Find the verb, read its arguments, run it."""
        with _usage():
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One section for each group."""
        for group, names in GROUPS.items():
            with formatter.section(group.capitalize()):
                rows = [(name, VERBS[name].get_short_help_str(60)) for name in names]
                formatter.write_dl(rows)


ctl = Verbs(
    "ctl",
    commands=VERBS,
    params=shared_options(),
    help="Commands of rabbitmqctl, for a running broker.",
    subcommand_metavar="VERB [ARGUMENTS]…",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main(arguments: Sequence[str] | None = None) -> None:
    """`amqpd ctl` as a program of its own."""
    ctl.main(args=None if arguments is None else list(arguments), prog_name="amqpd ctl")
