"""A broker in a terminal: it ends with it, unless somebody has said otherwise."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.server.running import NO_RESERVE, ROOT

if TYPE_CHECKING:
    from pathlib import Path

OFF = ("--port", "0", "--http-port", "off", "--metrics-port", "off", "--no-sync")
#: Makes its standard input the terminal that it belongs to, as a login does.
IN_TERMINAL = (
    "import os, sys, fcntl, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)


def started(data: Path, wrapper: tuple[str, ...]) -> tuple[subprocess.Popen[str], int]:
    """A broker that accepts connections, and the other end of its terminal."""
    master, slave = pty.openpty()
    with data.with_suffix(".err").open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", IN_TERMINAL, *wrapper, sys.executable, "-m", "amqpd",
             "--data-dir", str(data), *OFF],
            cwd=ROOT,
            env={**os.environ, **NO_RESERVE},
            stdin=slave,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )  # fmt: skip
    os.close(slave)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("ready in"):
            return process, master
    raise AssertionError(data.with_suffix(".err").read_text())


def test_a_broker_ends_with_its_terminal(tmp_path: Path) -> None:
    process, master = started(tmp_path / "data", ())
    with process:
        os.close(master)

        assert process.wait(60) == 0
    assert "the terminal was closed: stopping" in (tmp_path / "data.err").read_text()


@pytest.mark.slow
def test_under_nohup_it_goes_on(tmp_path: Path) -> None:
    process, master = started(tmp_path / "data", ("/usr/bin/nohup",))
    with process:
        os.close(master)
        process.send_signal(signal.SIGHUP)
        assert process.poll() is None
        process.terminate()

        assert process.wait(60) == 0
    assert "terminal" not in (tmp_path / "data.err").read_text()
