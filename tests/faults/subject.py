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
KILLED_S: Final = 60.0
#: Where Debian and most others put it.
RABBITMQ: Final = "/usr/lib/rabbitmq/bin/rabbitmq-server"


class Subject(Protocol):
    """A broker with a data directory that outlives its process."""

    #: A command in front of the next start: one that makes calls fail (`injected`).
    wrapper: tuple[str, ...]

    @property
    def http_port(self) -> int:
        """Where its HTTP API is."""

    def start(self) -> int:
        """Start it; the port it accepts AMQP connections on."""

    def kill(self) -> None:
        """End the process with SIGKILL and wait until it is gone."""

    def stop(self) -> int:
        """Ask it to end (SIGTERM); its exit code."""

    def wait(self, timeout_s: float) -> int:
        """Wait until it has ended by itself; its exit code."""


class Amqpd:
    """The broker of this project, from the source tree, on any free port.

    A `mutant` is one that breaks a promise (`mutants.py`).
    """

    def __init__(
        self,
        data: Path,
        *options: str,
        mutant: str = "",
        environment: dict[str, str] | None = None,
        deadly: int = signal.SIGKILL,
    ) -> None:
        self.data = data
        #: What it is killed with: another signal below something that makes more of it.
        self.deadly = deadly
        self.environment = environment or {}
        self.options = options
        self.module: tuple[str, ...] = ("amqpd",)
        if mutant:
            self.module = ("tests.faults.mutants", mutant, "start")
        #: A command in front of the next start: one that makes calls fail (`injected`).
        self.wrapper: tuple[str, ...] = ()
        self._program: Program | None = None

    @property
    def program(self) -> Program:
        """The process, which must have been started."""
        assert self._program is not None, "not started"
        return self._program

    def start(self) -> int:
        """Start it and wait until it is ready."""
        self._program = Program(
            self.data,
            *self.options,
            environment=self.environment,
            module=self.module,
            wrapper=self.wrapper,
        )
        return self.program.wait_ready().port

    @property
    def http_port(self) -> int:
        """Where its HTTP API is, as run.json says; for one that was started with a port."""
        return self.program.port_of("http")

    def kill(self) -> None:
        """End it as the kernel would."""
        self.program.process.send_signal(self.deadly)
        self.program.process.wait(KILLED_S)
        self.program.__exit__()

    def stop(self) -> int:
        """Ask it to stop."""
        code = self.program.stop()
        self.program.__exit__()
        return code

    def wait(self, timeout_s: float) -> int:
        """Wait until it has ended by itself; its exit code."""
        code = self.program.process.wait(timeout_s)
        self.program.__exit__()
        return code


def injected(*faults: str) -> tuple[str, ...]:
    """The command that makes system calls of what follows it fail (`strace --inject`).

    As in `fdatasync:error=EIO:when=8+`; calls count for each thread. The tracer is a
    grandchild, so that the process is the broker's, with its id and exit code.
    """
    calls = ",".join(sorted({fault.split(":")[0] for fault in faults}))
    options = [option for fault in faults for option in ("-e", f"inject={fault}")]
    # With it only these calls are slow, but strace 6.1 then sends no signals.
    quick = [] if any("signal=" in fault for fault in faults) else ["--seccomp-bpf"]
    command = ("strace", "-D", "-f", "-qq", "-o", "/dev/null", *quick)
    return (*command, "-e", f"trace={calls}", *options)


class RabbitMQ:
    """The reference, on its default port: for a network namespace of its own."""

    PORT: Final = 5672
    http_port = 15672

    def __init__(self, data: Path) -> None:
        self.data = data
        data.mkdir(parents=True, exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None
        self.wrapper: tuple[str, ...] = ()

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
            [*self.wrapper, RABBITMQ],
            env=environment,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
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

    def wait(self, timeout_s: float) -> int:
        """Wait until it has ended by itself; its exit code."""
        assert self._process is not None, "not started"
        return self._process.wait(timeout_s)

    def _end(self, how: signal.Signals) -> int:
        assert self._process is not None, "not started"
        os.killpg(self._process.pid, how)
        return self._process.wait(60)
