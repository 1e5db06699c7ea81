"""Certificates for a trial."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from click.testing import CliRunner

from amqpd.cli.main import group
from tests.client import Client
from tests.server.running import running

if TYPE_CHECKING:
    from pathlib import Path


def invoke(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(group, list(arguments), prog_name="amqpd")
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


async def test_a_broker_and_a_client_use_what_was_made(tmp_path: Path) -> None:
    import asyncio
    import ssl

    made = tmp_path / "tls"

    printed = await asyncio.to_thread(invoke, "tls", "self-signed", str(made))

    assert "--tls-cert" in printed
    for file in made.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    async with running(
        tmp_path,
        amqp__tls_port=0,
        tls__certificate=str(made / "server.pem"),
        tls__key=str(made / "server-key.pem"),
    ) as broker:
        port = next(
            one.port for one in broker.started.result().listeners if one.protocol == "amqps"
        )

        def talk(host: str) -> None:
            context = ssl.create_default_context(cafile=str(made / "ca.pem"))
            with Client(port, host=host, tls=context) as client:
                client.channel().declare_queue("q")

        await asyncio.to_thread(talk, "127.0.0.1")
        await asyncio.to_thread(talk, "localhost")


def test_files_that_are_there_stay_unless_told_otherwise(tmp_path: Path) -> None:
    made = str(tmp_path / "tls")
    invoke("tls", "self-signed", made, "--host", "broker.example", "--days", "1")

    assert "--overwrite" in invoke("tls", "self-signed", made, code=65)
    invoke("tls", "self-signed", made, "--overwrite")
