"""`amqpd top`: live in a terminal, one look anywhere else."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import subprocess
import sys
import termios
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from amqpd.cli import top
from amqpd.cli.main import group
from tests.management.served import served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.management.served import Api


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with served(tmp_path) as made:
        await made.put("/queues/%2F/orders", {"durable": True})
        await made.put("/queues/%2F/" + "x" * 200, {"durable": True})
        yield made


async def look(api: Api, *arguments: str) -> str:
    runner = CliRunner(env={"AMQPD_URL": api.uri})
    result = await asyncio.to_thread(runner.invoke, group, ["top", *arguments], prog_name="amqpd")
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


async def test_without_a_terminal_it_is_one_look_and_no_escapes(api: Api) -> None:
    said = await look(api)

    assert "\x1b" not in said
    assert "orders" in said
    assert "2 queues" in said
    assert max(map(len, said.splitlines())) <= 130


async def test_so_many_looks_as_are_asked_for(api: Api) -> None:
    said = await look(api, "-n", "3", "--interval", "0.2", "--json")

    looks = [json.loads(line) for line in said.splitlines()]
    assert len(looks) == 3
    assert looks[0]["queues_in_all"] == 2


@pytest.mark.parametrize("sort", [*top.SORTS])
async def test_every_order_is_one_of_the_api(api: Api, sort: str) -> None:
    assert "orders" in await look(api, "--sort", sort)


async def test_in_a_terminal_it_is_live_and_q_ends_it(api: Api) -> None:
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    command = [sys.executable, "-m", "amqpd", "top", "--interval", "60"]
    environment = {**os.environ, "AMQPD_URL": api.uri, "COLUMNS": "80", "LINES": "12"}
    process = subprocess.Popen(  # noqa: ASYNC220
        command, stdin=slave, stdout=slave, stderr=subprocess.PIPE, env=environment
    )
    try:
        shown = b""
        while b"q ends" not in shown:
            shown += await asyncio.to_thread(os.read, master, 65536)
        assert top.ENTER.encode() in shown
        os.write(master, b"u")  # by another key: a new look at once
        while b"[u]nacked" not in shown:
            shown += await asyncio.to_thread(os.read, master, 65536)
        os.write(master, b"q")
        while top.LEAVE.encode() not in shown:
            shown += await asyncio.to_thread(os.read, master, 65536)
        assert await asyncio.to_thread(process.wait, 60) == 0
        assert termios.tcgetattr(slave) == before
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()
        os.close(master)
        os.close(slave)
    lines = shown.decode().split(top.HOME)[1].split("\r\n")
    assert max(len(line) for line in lines) < 120


@pytest.mark.parametrize("width", [40, 50, 60, 80, 100])
def test_a_narrow_terminal_keeps_names_and_rates(width: int) -> None:
    titles = top._fitting(width)

    assert {"ready", "in/s", "out/s"} <= {name for name, _ in titles}
    room = max(12, width - sum(each + 1 for _, each in titles))
    row = top._row("q" * 50, {name: "1" for name, _ in titles}, room)
    assert len(row) <= max(width, 46)
