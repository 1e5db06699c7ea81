"""The command `amqpd` and its subcommands; without one it is `amqpd start`."""

from __future__ import annotations

import difflib
import errno
import functools
import importlib
import os
import platform
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from amqpd import __version__, plugins
from amqpd.cli.answer import EX_INTERRUPTED, EX_IO, EX_USAGE, tell
from amqpd.cli.groups import DefaultGroup
from amqpd.cli.start import start

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


#: What a disk that takes no answer says.
UNWRITTEN: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
#: Our own commands; what is not asked for is not imported, so that a broker starts quickly.
COMMANDS: Final = {
    "audit": "amqpd.cli.audit:audit",
    "backup": "amqpd.cli.store:backup",
    "bench": "amqpd.cli.bench:bench",
    "binding": "amqpd.cli.things:binding",
    "bindings": "amqpd.cli.nouns:bindings",
    "channels": "amqpd.cli.nouns:channels",
    "check": "amqpd.cli.monitor:check",
    "completion": "amqpd.cli.completion:completion",
    "config": "amqpd.cli.config:config",
    "connection": "amqpd.cli.things:connection",
    "connections": "amqpd.cli.nouns:connections",
    "consume": "amqpd.cli.consume:consume",
    "consumers": "amqpd.cli.nouns:consumers",
    "context": "amqpd.cli.context:context",
    "ctl": "amqpd.cli.ctl:ctl",
    "doctor": "amqpd.cli.doctor:doctor",
    "examples": "amqpd.cli.examples:examples",
    "exchange": "amqpd.cli.things:exchange",
    "exchanges": "amqpd.cli.nouns:exchanges",
    "export": "amqpd.cli.definitions:export",
    "hash-password": "amqpd.cli.user:hash_password",
    "import": "amqpd.cli.definitions:import_",
    "peek": "amqpd.cli.peek:peek",
    "ping": "amqpd.cli.ping:ping",
    "policies": "amqpd.cli.nouns:policies",
    "policy": "amqpd.cli.vhost:policy",
    "publish": "amqpd.cli.publish:publish",
    "queue": "amqpd.cli.queue:queue",
    "queues": "amqpd.cli.nouns:queues",
    "reload": "amqpd.cli.reload:reload",
    "restore": "amqpd.cli.store:restore",
    "salvage": "amqpd.cli.store:salvage",
    "stat": "amqpd.cli.ping:stat",
    "testing": "amqpd.cli.testing:testing",
    "tls": "amqpd.cli.tls:tls",
    "top": "amqpd.cli.top:top",
    "user": "amqpd.cli.user:user",
    "users": "amqpd.cli.nouns:users",
    "vhost": "amqpd.cli.vhost:vhost",
    "vhosts": "amqpd.cli.nouns:vhosts",
}


class StartByDefault(DefaultGroup):
    """`amqpd` and `amqpd --port 0` mean `amqpd start …`; the other commands are found by name."""

    default = "start"

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Ours, and those of other packages."""
        return sorted({*super().list_commands(ctx), *COMMANDS, *plugins.names("commands")})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None if nobody provides it."""
        found = super().get_command(ctx, cmd_name)
        if found is not None:
            return found
        if cmd_name in COMMANDS:
            module, _, name = COMMANDS[cmd_name].partition(":")
            part: object = getattr(importlib.import_module(module), name)
        elif cmd_name in plugins.names("commands"):
            part = plugins.load("commands", cmd_name)
        else:
            return None
        assert isinstance(part, click.Command)
        return part

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a name that nobody has gets the nearest one that is there."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            if not near or args[0].startswith("-"):
                raise
            raise click.UsageError(f"{error.message} Did you mean '{near[0]}'?", ctx) from error

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run it; what is wrong with the arguments ends it with 64, and in JSON where wished."""
        words = sys.argv[1:] if args is None else [*args]
        if os.environ.get("NO_COLOR"):
            extra.setdefault("color", False)
        run: Callable[[], Any] = functools.partial(
            super().main, words, prog_name, complete_var, False, **extra
        )
        if not standalone_mode:
            return run()
        try:
            code = run()
        except click.Abort:
            tell("ended before it was done", EX_INTERRUPTED, as_json="--json" in words)
            raise SystemExit(EX_INTERRUPTED) from None
        except click.ClickException as error:
            code = EX_USAGE if isinstance(error, click.UsageError) else error.exit_code
            if "--json" in words:
                tell(error.format_message(), code, as_json=True)
            else:
                error.show()
            raise SystemExit(code) from None
        except OSError as error:
            if error.errno not in UNWRITTEN or error.filename is not None:
                raise
            tell(f"the answer cannot be written: {error.strerror}", EX_IO, as_json=False)
            raise SystemExit(EX_IO) from None
        raise SystemExit(code if isinstance(code, int) else 0)


@click.group(
    cls=StartByDefault,
    commands={"start": start},
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
