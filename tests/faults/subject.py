"""Brokers to be killed: a process, where it listens, and how to end it without mercy."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final, Protocol

START_S: Final = 60.0
ROOT: Final = Path(__file__).resolve().parents[2]
#: Where Debian and most others put it.
RABBITMQ: Final = "/usr/lib/rabbitmq/bin/rabbitmq-server"


class Subject(Protocol):
    """A broker with a data directory that outlives its process."""

    def start(self) -> int:
        """Start it; the port it accepts AMQP connections on."""

    def kill(self) -> None:
        """End the process with SIGKILL and wait until it is gone."""

    def stop(self) -> int:
        """Ask it to end (SIGTERM); its exit code."""


class Amqpd:
    """The broker of this project, from the source tree, on any free port."""

    def __init__(self, data: Path, *options: str) -> None:
        self.data = data
        self.log = data.with_suffix(".log")
        self.options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running process."""
        assert self._process is not None, "not started"
        return self._process

    def start(self) -> int:
        """Start it and wait for its run.json."""
        run = self.data / "run.json"
        run.unlink(missing_ok=True)
        off = ("--http-port", "off", "--metrics-port", "off")
        command = [sys.executable, "-m", "amqpd", "--data-dir", str(self.data), "--port", "0"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *off, *self.options], cwd=ROOT, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"ended at start: {self.log_text()[-2000:]}")
            if run.exists():
                return _port_of(json.loads(run.read_text(encoding="utf-8")))
            time.sleep(0.02)
        raise AssertionError(f"not ready after {START_S} s: {self.log_text()[-2000:]}")

    def kill(self) -> None:
        """End it as the kernel's OOM killer would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask it to stop."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def log_text(self) -> str:
        """All it wrote, over all its lives."""
        return self.log.read_text(encoding="utf-8", errors="replace")


def _port_of(run: dict[str, object]) -> int:
    """The AMQP port in a run.json."""
    listeners = run["listeners"]
    assert isinstance(listeners, list)
    found = [each for each in listeners if each["protocol"] == "amqp"]
    port = found[0]["port"]
    assert isinstance(port, int)
    return port


class RabbitMQ:
    """The reference, on its default port: for a network namespace of its own."""

    PORT: Final = 5672

    def __init__(self, data: Path) -> None:
        self.data = data
        data.mkdir(parents=True, exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> int:
        """Start it and wait for the port."""
        environment = {
            **os.environ,
            "HOME": str(self.data),
            "RABBITMQ_MNESIA_BASE": str(self.data / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.data / "log"),
            "RABBITMQ_NODENAME": "killed@localhost",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.data / "plugins"),
            "RABBITMQ_PID_FILE": str(self.data / "pid"),
        }
        # In its own session, so that the virtual machine below the script can be reached.
        self._process = subprocess.Popen(
            [RABBITMQ], env=environment, stdout=subprocess.DEVNULL, start_new_session=True
        )
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            try:
                with socket.create_connection(("127.0.0.1", self.PORT), timeout=1) as connection:
                    connection.sendall(b"AMQP\x00\x00\x09\x01")
                    if connection.recv(1):
                        return self.PORT
            except OSError:
                time.sleep(0.1)
        raise AssertionError("RabbitMQ did not start")

    def kill(self) -> None:
        """Kill the whole session of processes."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ask the whole session of processes to end."""
        return self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> int:
        assert self._process is not None, "not started"
        os.killpg(self._process.pid, how)
        return self._process.wait(60)


def rabbitmq_is_here() -> bool:
    """Whether the reference can be started."""
    return shutil.which(RABBITMQ) is not None
