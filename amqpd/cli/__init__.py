"""The command line: `amqpd ...`. Talks to a running broker, except `start` and `config`.

Nothing slow is imported before the command that needs it: `amqpd --version` and the start of
a broker are measured in milliseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

#: As shells have it for Ctrl-C.
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; ends the process with its exit code.

    Ctrl-C while modules are still read is the same as a moment later: an end without a traceback.
    """
    try:
        from amqpd.cli.main import main as run

        run(arguments)
    except KeyboardInterrupt:
        raise SystemExit(_INTERRUPTED) from None
