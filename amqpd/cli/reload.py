"""`amqpd reload`: the running broker reads its settings and certificates again."""

from __future__ import annotations

from typing import Final

import click

from amqpd.cli.answer import EX_CONFIG, answer, answers, fail
from amqpd.cli.reach import broker_options, reached
from amqpd.cli.remote import RemoteError, segment

#: How the broker answers that its settings are wrong.
REFUSED: Final = 503


@click.command()
@broker_options
@answers("node", "reloaded")
def reload() -> None:
    """Have the broker read settings and certificates again, as SIGHUP does: all or nothing."""
    with reached() as remote:
        node = remote.get("/overview", columns="node")["node"]
        try:
            remote.post(f"/nodes/{segment(node)}/actions", {"action": "reload"})
        except RemoteError as error:
            if error.status != REFUSED:
                raise
            fail(f"{error.reason}; nothing has changed", EX_CONFIG)
    answer({"node": node, "reloaded": True}, f"{node}: settings and certificates were read again")
