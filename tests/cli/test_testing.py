"""`amqpd testing`: what a test suite in another language talks to."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from amqpd.server.process import Exit
from tests.client import Client

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = [sys.executable, "-m", "amqpd", "testing"]


def test_it_writes_its_addresses_and_ends_with_standard_input() -> None:
    command = [*COMMAND, "--http-port", "0", "--metrics-port", "0"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as broker:
        assert broker.stdin
        assert broker.stdout
        lines = [broker.stdout.readline() for _ in range(4)]
        amqp = urlsplit(lines[0].strip())
        assert (amqp.scheme, amqp.username, amqp.password) == ("amqp", "guest", "guest")
        assert [urlsplit(line.strip()).scheme for line in lines[1:3]] == ["http", "http"]
        assert lines[3] == "\n"
        with Client(amqp.port or 0) as client:
            assert client.channel().number == 1

        broker.stdin.close()

        assert broker.wait(timeout=60) == Exit.OK
        assert broker.stdout.read() == ""


def test_any_setting_can_be_given_and_a_directory_is_kept(tmp_path: Path) -> None:
    data = tmp_path / "data"
    command = [*COMMAND, "--data-dir", str(data), "--set", "auth.default_user=shop"]

    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=True
    )

    assert done.stdout.startswith("amqp://shop:guest@127.0.0.1:")
    assert (data / "amqpd.db").exists()


def test_a_setting_without_a_value_is_one_line_and_exit_78() -> None:
    done = subprocess.run(
        [*COMMAND, "--set", "amqp.port"], capture_output=True, text=True, timeout=20, check=False
    )

    assert done.returncode == Exit.CONFIG
    assert done.stderr == "amqpd: --set amqp.port: must be KEY=VALUE, as in amqp.heartbeat_s=5\n"
