"""What the tests of this folder share: a broker with its API, and `amqpd ctl` against it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from amqpd.cli.main import group
from tests.management.served import Api, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Ctl:
    """`amqpd ctl` as somebody calls it."""

    def __init__(self, api: Api) -> None:
        self.api = api

    async def run(self, *arguments: str, code: int = 0, stdin: str = "") -> str:
        """What it prints, on both outputs; it ends with that code."""
        environment = {"AMQPD_URL": self.api.uri}
        runner = CliRunner(env=environment)
        result = await asyncio.to_thread(
            runner.invoke, group, ["ctl", *arguments], input=stdin, prog_name="amqpd"
        )
        assert result.exit_code == code, (arguments, result.output, result.exception)
        return result.output

    async def quiet(self, *arguments: str) -> list[list[str]]:
        """The rows of a list, without headers."""
        output = await self.run("-s", *arguments)
        return [line.split("\t") for line in output.splitlines()]


@pytest.fixture
async def ctl(tmp_path: Path) -> AsyncIterator[Ctl]:
    """The command line of a broker of its own."""
    async with served(tmp_path) as api:
        yield Ctl(api)
