"""`conf/rabbitmqctl`: the program that client suites call by its path."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.ctl.conftest import Ctl

ROOT = Path(__file__).parents[3]


async def call(ctl: Ctl, program: str, line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of a suite, which gives it to a shell."""
    amqpd = Path(sys.executable).with_name("amqpd")
    environment = {**os.environ, "AMQPD": str(amqpd), "AMQPD_URL": ctl.api.uri}
    return await asyncio.to_thread(
        subprocess.run,
        ["sh", "-c", f"{ROOT / 'conf' / program} {line}"],
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


async def test_a_suite_calls_it_through_a_shell(ctl: Ctl) -> None:
    set_alarm = "eval 'rabbit_alarm:set_alarm({{resource_limit, memory, node()}, []}).'"
    done = await call(ctl, "rabbitmqctl", f"-n 'rabbit@localhost' {set_alarm}")
    assert (done.returncode, done.stdout) == (0, "ok\n"), done

    client = await ctl.api.connect()
    listed = await call(ctl, "rabbitmqctl", "list_connections -q pid peer_port client_properties")
    titles, row = listed.stdout.splitlines()
    assert titles.split("\t") == ["pid", "peer_port", "client_properties"]
    pid = row.split("\t")[0]
    closed = await call(ctl, "rabbitmqctl", f"close_connection '{pid}' 'test'")
    assert closed.returncode == 0, closed
    client.abort()


async def test_the_other_programs_are_the_same_one(ctl: Ctl) -> None:
    listed = await call(ctl, "rabbitmq-plugins", "list -q -m")
    assert "rabbitmq_management" in listed.stdout.split()
    assert (await call(ctl, "rabbitmq-diagnostics", "no_such_verb")).returncode == 64
