"""The command line: `amqpd ...`. Talks to a running broker, except `start` and `config`.

Nothing slow is imported before the command that needs it: `amqpd --version` and the start of
a broker are measured in milliseconds.
"""

from __future__ import annotations

from amqpd.cli.main import main

__all__ = ["main"]
