"""What the tests of `amqpd publish` and `amqpd consume` share."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from click.testing import CliRunner, Result

from amqpd.cli.main import group

if TYPE_CHECKING:
    from tests.server.running import Running


async def run(broker: Running, *arguments: str, code: int = 0, stdin: bytes = b"") -> Result:
    """Run a command against a broker; it ends with that code."""
    runner = CliRunner(env={"AMQPD_AMQP_URL": f"amqp://127.0.0.1:{broker.port}"})
    result = await asyncio.to_thread(
        runner.invoke, group, list(arguments), input=stdin, prog_name="amqpd"
    )
    assert result.exit_code == code, (arguments, result.output, result.exception)
    return result
