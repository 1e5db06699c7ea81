"""The command line: `amqpd ...`. Talks to a running broker, except `start` and `config`.

Nothing slow is imported before the command that needs it: `amqpd --version` and the start of
a broker are measured in milliseconds.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

#: As shells have it for Ctrl-C; and an error of ours (sysexits.h).
_INTERRUPTED, _SOFTWARE = 130, 70


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; ends the process with its exit code.

    Ctrl-C while modules are still read is the same as a moment later: an end without a traceback.
    What nobody has thought of is shown with one, for whoever reports it.
    """
    try:
        from amqpd.cli.main import main as run

        run(arguments)
    except KeyboardInterrupt:
        raise SystemExit(_INTERRUPTED) from None
    except Exception:
        import traceback

        traceback.print_exc()
        sys.stderr.write("amqpd: this is an error of amqpd itself\n")
        raise SystemExit(_SOFTWARE) from None
