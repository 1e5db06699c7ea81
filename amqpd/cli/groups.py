"""Groups with a command of their own: `amqpd bench -x 1` is `amqpd bench throughput -x 1`."""

from __future__ import annotations

import click


class DefaultGroup(click.Group):
    """A group whose `default` is meant where no command is named."""

    default = ""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the usual command in front of what neither names one nor asks about the group."""
        meant = self.get_command(ctx, self.default)
        assert meant is not None
        # A shell that completes has not heard yet which command is meant.
        is_open = not args and not ctx.resilient_parsing
        if is_open or (args and args[0].split("=")[0] in _options_of(meant)):
            args = [self.default, *args]
        return super().parse_args(ctx, args)


def default_to(name: str) -> type[DefaultGroup]:
    """A group of which this command is meant where none is named."""
    return type("DefaultGroup", (DefaultGroup,), {"default": name})


def _options_of(command: click.Command) -> set[str]:
    """Long ones with their value behind `=`, short ones alone."""
    return {name for parameter in command.params for name in parameter.opts} - {"--help"}
