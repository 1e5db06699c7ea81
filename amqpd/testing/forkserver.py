"""Starts broker processes in milliseconds: what they import is imported once, by their parent.

Reading the broker's modules takes longer than everything else a start does. So the first
`BrokerProcess` of a test run starts a process that imports them and then waits; each broker is
a fork of that one. It has no threads and no event loop, holds nothing of the test's, and ends
when the test run does, however that ends.

It runs `amqpd.cli.forking`. Where there is no fork (Windows), `BrokerProcess` starts
`amqpd testing` itself.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from typing import IO, Final

#: The length of a message in octets.
HEAD: Final = struct.Struct("!I")


class Forked:
    """A broker process that was forked: as `subprocess.Popen`, as far as it is needed."""

    def __init__(self, server: ForkServer, pid: int, given: IO[str], said: IO[str]) -> None:
        self.pid = pid
        self.stdin = given
        self.stdout = said
        self._server = server
        self._code: int | None = None

    def kill(self) -> None:
        """End it with SIGKILL."""
        if self._code is None:
            # The number is still its own: nobody but `wait` takes it away.
            os.kill(self.pid, signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended; its exit code, below zero for a signal.

        Raises:
            subprocess.TimeoutExpired: it runs still.
        """
        if self._code is None:
            self._read_out(timeout)
            self._code = self._server.ask({"reap": self.pid})
        return self._code

    def _read_out(self, timeout: float | None) -> None:
        # Only the process has the other end, so that it is closed when the process ends.
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            readable, _, _ = select.select([self.stdout], [], [], left)
            if not readable:
                raise subprocess.TimeoutExpired("amqpd testing", timeout or 0.0)
            if not os.read(self.stdout.fileno(), 4096):
                return


class ForkServer:
    """The process that forks brokers; one is enough for a test run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair()
        with theirs:
            # Our own module, in the interpreter that runs the tests.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "amqpd.cli.forking"], stdin=theirs.fileno()
            )
        atexit.register(self.close)

    def start(self, arguments: list[str], errors: IO[str]) -> Forked:
        """Start `amqpd ARGUMENTS` with this environment and folder; `errors` is its stderr."""
        their_input, our_output = os.pipe()
        our_input, their_output = os.pipe()
        request: dict[str, object] = {
            "arguments": arguments,
            "environment": dict(os.environ),
            "folder": os.getcwd(),
        }
        try:
            pid = self.ask(request, their_input, their_output, errors.fileno())
        except BaseException:
            os.close(our_input)
            os.close(our_output)
            raise
        finally:
            os.close(their_input)
            os.close(their_output)
        return Forked(self, pid, open(our_output, "w"), open(our_input))

    def ask(self, request: dict[str, object], *files: int) -> int:
        """Send a request with open files; the answer."""
        octets = json.dumps(request).encode()
        with self._lock:
            socket.send_fds(self._control, [HEAD.pack(len(octets))], files)
            self._control.sendall(octets)
            return int.from_bytes(exactly(self._control, 8), "big", signed=True)

    def close(self) -> None:
        """End it; brokers that still run end with their standard input."""
        atexit.unregister(self.close)
        self._control.close()
        self._process.wait()


_server: ForkServer | None = None
_starting: Final = threading.Lock()


def available() -> bool:
    """Whether brokers can be forked here."""
    return hasattr(os, "fork") and hasattr(socket, "send_fds")


def warm_up() -> None:
    """Start it, if there can be one; it imports while the caller does something else."""
    if available():
        server()


def server() -> ForkServer:
    """The one of this process."""
    global _server
    with _starting:
        if _server is None:
            _server = ForkServer()
        return _server


def exactly(source: socket.socket, count: int) -> bytes:
    """So many octets.

    Raises:
        ConnectionError: the other side has ended.
    """
    octets = b""
    while len(octets) < count:
        more = source.recv(count - len(octets))
        if not more:
            raise ConnectionError("the other side of the fork server has ended")
        octets += more
    return octets
