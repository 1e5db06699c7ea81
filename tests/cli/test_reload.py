"""`amqpd reload`: settings that are wrong change nothing, and are named."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from click.testing import CliRunner

from amqpd.cli.main import group
from amqpd.config import load
from tests.management.served import served

if TYPE_CHECKING:
    from pathlib import Path

    from amqpd.config import Config


def wrong_settings() -> Config:
    """What the file says by now."""
    return load(None, {"AMQPD_LOG_LEVEL": "nonsense"}, {})


async def test_a_wrong_setting_is_named_and_nothing_changes(tmp_path: Path) -> None:
    async with served(tmp_path) as api:
        runner = CliRunner(env={"AMQPD_URL": api.uri})

        def reload(*more: str) -> tuple[int, str, str]:
            result = runner.invoke(group, ["reload", *more], prog_name="amqpd")
            return result.exit_code, result.stdout, result.stderr

        well, said, _ = await asyncio.to_thread(reload)
        api.broker.server.read_again = wrong_settings
        wrong, _, told = await asyncio.to_thread(reload, "--json")

    assert (well, wrong) == (0, 78)
    assert "settings and certificates were read again" in said
    assert "'nonsense' is not valid" in json.loads(told)["reason"]
    assert json.loads(told)["reason"].endswith("; nothing has changed")
