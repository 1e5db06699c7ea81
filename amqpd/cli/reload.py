"""`amqpd reload`: the running broker reads its settings and certificates again."""

from __future__ import annotations

import click

from amqpd.cli.answer import answer, answers
from amqpd.cli.reach import broker_options, reached
from amqpd.cli.remote import segment


@click.command()
@broker_options
@answers("node", "reloaded")
def reload() -> None:
    """Have the broker read settings and certificates again, as SIGHUP does: all or nothing."""
    with reached() as remote:
        node = remote.get("/overview", columns="node")["node"]
        remote.post(f"/nodes/{segment(node)}/actions", {"action": "reload"})
    answer({"node": node, "reloaded": True}, f"{node}: settings and certificates were read again")
