"""Brokers to be killed: a process, where it listens, and how to end it without mercy."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Final, Protocol

from tests.server.running import Program

if TYPE_CHECKING:
    from pathlib import Path

START_S: Final = 60.0
#: Where Debian and most others put it.
RABBITMQ: Final = "/usr/lib/rabbitmq/bin/rabbitmq-server"


class Subject(Protocol):
    """A broker with a data directory that outlives its process."""

    @property
    def http_port(self) -> int:
        """Where its HTTP API is."""

    def start(self) -> int:
        """Start it; the port it accepts AMQP connections on."""

    def kill(self) -> None:
        """End the process with SIGKILL and wait until it is gone."""

    def stop(self) -> int:
        """Ask it to end (SIGTERM); its exit code."""


class Amqpd:
    """The broker of this project, from the source tree, on any free port.

    A `mutant` is one that breaks a promise (`mutants.py`).
    """

    def __init__(self, data: Path, *options: str, mutant: str = "") -> None:
        self.data = data
        self.options = options
        self.module = ("tests.faults.mutants", mutant, "start") if mutant else ("amqpd",)
        self._program: Program | None = None

    @property
    def program(self) -> Program:
        """The process, which must have been started."""
        assert self._program is not None, "not started"
        return self._program

    def start(self) -> int:
        """Start it and wait until it is ready."""
        self._program = Program(self.data, *self.options, module=self.module)
        return self.program.wait_ready().port

    @property
    def http_port(self) -> int:
        """Where its HTTP API is, as run.json says; for one that was started with a port."""
        return self.program.port_of("http")

    def kill(self) -> None:
        """End it as the kernel would."""
        self.program.__exit__()

    def stop(self) -> int:
        """Ask it to stop."""
        code = self.program.stop()
        self.program.__exit__()
        return code


class RabbitMQ:
    """The reference, on its default port: for a network namespace of its own."""

    PORT: Final = 5672
    http_port = 15672

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
