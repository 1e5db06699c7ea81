"""`python -m tests.load.watchers HTTP METRICS`: who watches a broker, until standard input ends.

An open page, a scrape of Prometheus and a list of all queues. They are a process of their own
that looks at nothing of what it reads, so that it takes little from the broker and from those
whose messages are counted: what watching costs is the broker's. Prints octets and its own CPU.
"""

# ruff: noqa: T201 - what it prints is what it is for

from __future__ import annotations

import base64
import json
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable

#: What a page asks for in one stream, each with its seconds: overview, nodes and queues.
VIEWS = (
    ("/alarms", 5), ("/overview?lengths_age=60&lengths_incr=5", 1), ("/nodes", 5),
    ("/queues?page=1&page_size=100&sort=name", 2), ("/vhosts", 15),
)  # fmt: skip
#: What others ask for again and again.
EVERY_S = 5.0
WHO = base64.b64encode(b"guest:guest").decode()
OK = b"HTTP/1.1 200 "
#: Octets that are dropped in one call, without a copy.
MOST = 4 << 20


class Watchers:
    """Threads that watch, from begin to end."""

    def __init__(self, http: int, metrics: int) -> None:
        self._http, self._metrics = http, metrics
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._stream: socket.socket | None = None
        #: What was read, so that nobody measures watchers who saw nothing.
        self.octets = 0

    def begin(self) -> None:
        """Watch from now on."""
        self._start(self._page)
        self._start(lambda: self._again_and_again(self._metrics, "/metrics"))
        self._start(lambda: self._again_and_again(self._http, "/api/queues"))

    def end(self) -> None:
        """Watch no more."""
        self._ended.set()
        if self._stream is not None:
            self._stream.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _start(self, watch: Callable[[], None]) -> None:
        thread = threading.Thread(target=watch)
        thread.start()
        self._threads.append(thread)

    def _page(self) -> None:
        with _asked(self._http, f"/api/live?paths={quote(json.dumps(VIEWS))}") as stream:
            self._stream = stream
            self._drop(stream)

    def _again_and_again(self, port: int, path: str) -> None:
        due_s = time.monotonic()
        while True:
            with _asked(port, path) as answer:
                self._drop(answer)
            due_s += EVERY_S
            if self._ended.wait(max(0.0, due_s - time.monotonic())):
                return

    def _drop(self, answer: socket.socket) -> None:
        """Read all there is and keep nothing."""
        buffer = bytearray(MOST)
        while octets := answer.recv_into(buffer, MOST, socket.MSG_TRUNC):
            with self._lock:
                self.octets += octets


def _asked(port: int, path: str) -> socket.socket:
    """The answer to a request, behind the begin of its first line."""
    connected = socket.create_connection(("127.0.0.1", port))
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {WHO}\r\n"
    connected.sendall(f"{head}Connection: close\r\n\r\n".encode())
    first = connected.recv(len(OK), socket.MSG_WAITALL)
    if first != OK:
        raise SystemExit(f"{path}: {first!r}")
    return connected


def main() -> int:
    """Watch until nobody wants it any more."""
    watchers = Watchers(*map(int, sys.argv[1:3]))
    before_s = time.process_time()
    watchers.begin()
    sys.stdin.read()
    watchers.end()
    print(json.dumps({"octets": watchers.octets, "cpu_s": time.process_time() - before_s}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
