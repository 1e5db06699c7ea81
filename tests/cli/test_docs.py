"""The manual names every command, and what it shows can be done."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.testing import CliRunner

import amqpd
from amqpd.cli import manual
from amqpd.cli.main import group
from tests.management.served import served

if TYPE_CHECKING:
    import pytest

MANUAL = (Path(amqpd.__file__).parent / "docs" / "command-line.md").read_text()


def test_the_manual_says_what_the_commands_say_of_themselves() -> None:
    # python -m amqpd.cli.manual amqpd/docs/command-line.md writes it anew.
    assert manual.write(MANUAL) == MANUAL


def test_every_command_and_option_is_explained() -> None:
    for path, command in manual.walk():
        assert command.help, path
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help or parameter.hidden, (path, parameter.name)


async def test_every_example_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    environment = {
        "AMQPD_STORE_PATH": str(tmp_path / "data"),
        "AMQPD_CONTEXTS": str(tmp_path / "contexts.json"),
        # The ports that doctor would look at are those of a broker with its defaults.
        "AMQPD_AMQP_PORT": "0",
        "AMQPD_HTTP_PORT": "off",
        "AMQPD_METRICS_PORT": "off",
    }
    runner = CliRunner(env=environment)
    async with served(tmp_path):
        for line in manual.examples(MANUAL):
            program, *words = shlex.split(line)
            assert program == "amqpd"

            result = await asyncio.to_thread(runner.invoke, group, words, prog_name="amqpd")

            assert result.exit_code == 0, (line, result.output, result.exception)
            assert result.output, line
