"""`python -m tests.load.watched`: what watching a broker costs its messages.

Durable, persistent messages of 1 KiB with confirms go through one queue, in turns with nobody
looking and with an open page (the overview and the list of queues, at the page's own rhythm), a
scrape of Prometheus and a list of all queues, each every five seconds. There are `--queues`
others. Needs the load generator `amqpload`, named by `--amqpload` or $AMQPLOAD.

Prints a line for each turn, and the medians with their ratio; exits with 1 if it is below
`--least`. The rate depends on what else the machine does, CPU per message hardly.
"""

# ruff: noqa: T201 - what it prints is what it is for

from __future__ import annotations

import argparse
import base64
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from tests.server.running import Program

if TYPE_CHECKING:
    from collections.abc import Callable
    from http.client import HTTPResponse

LOAD = (
    "--durable", "--persistent", "--confirm", "256", "--prefetch", "256", "--ack-every", "64",
    "--size", "1024", "--json",
)  # fmt: skip
#: What a page asks for in one stream, each with its seconds: overview, nodes and queues.
VIEWS = (
    ("/alarms", 5), ("/overview?lengths_age=60&lengths_incr=5", 1), ("/nodes", 5),
    ("/queues?page=1&page_size=100&sort=name", 2), ("/vhosts", 15),
)  # fmt: skip
EVERY_S = 5.0
WHO = "Basic " + base64.b64encode(b"guest:guest").decode()
TIMEOUT_S = 60


class Watchers:
    """An open page, Prometheus and a lister, each a thread, from one turn's begin to its end."""

    def __init__(self, broker: Program) -> None:
        self._http, self._metrics = broker.port_of("http"), broker.port_of("http/prometheus")
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        #: What was read, so that nobody measures watchers who saw nothing.
        self.octets = 0

    def __enter__(self) -> Watchers:
        self._start(self._page)
        self._start(lambda: self._again_and_again(self._metrics, "/metrics"))
        self._start(lambda: self._again_and_again(self._http, "/api/queues"))
        return self

    def __exit__(self, *exc: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _start(self, watch: Callable[[], None]) -> None:
        thread = threading.Thread(target=watch)
        thread.start()
        self._threads.append(thread)

    def _page(self) -> None:
        asked = quote(json.dumps(VIEWS))
        with _opened(self._http, f"/api/live?paths={asked}") as stream:
            while not self._ended.is_set():
                self._saw(stream.readline())

    def _saw(self, octets: bytes) -> None:
        with self._lock:
            self.octets += len(octets)

    def _again_and_again(self, port: int, path: str) -> None:
        while True:
            with _opened(port, path) as answer:
                self._saw(answer.read())
            if self._ended.wait(EVERY_S):
                return


def _opened(port: int, path: str) -> HTTPResponse:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
    request.add_header("Authorization", WHO)
    answer: HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT_S)  # noqa: S310 - http
    return answer


def turn(options: argparse.Namespace, broker: Program) -> tuple[float, float]:
    """One load: messages a second that arrived, and the broker's CPU for each in us."""
    command = [
        options.amqpload, "--port", str(broker.port), "--seconds", str(options.seconds), *LOAD,
        "--broker-pid", str(broker.process.pid),
    ]  # fmt: skip
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = json.loads(said)
    return float(found["consume_rate"]), float(found["broker_cpu_us_per_msg"])


def measure(options: argparse.Namespace, broker: Program) -> bool:
    """All turns; whether watching costs as little as it may."""
    declare = (
        "--declare",
        str(options.queues),
        "--prefix",
        "idle",
        "--exchange",
        "idle",
        "--type",
        "direct",
        "--durable",
        "--keep",
    )
    port = ("--port", str(broker.port), "--declare-window", "100")
    subprocess.run([options.amqpload, *port, *declare], check=True, stdout=subprocess.DEVNULL)
    alone: list[tuple[float, float]] = []
    watched: list[tuple[float, float]] = []
    for number in range(1, options.turns + 1):
        alone.append(turn(options, broker))
        with Watchers(broker) as watchers:
            watched.append(turn(options, broker))
        assert watchers.octets, "the watchers saw nothing"
        print(
            f"turn {number}: alone {alone[-1][0]:,.0f}/s {alone[-1][1]:.2f} us, watched "
            f"{watched[-1][0]:,.0f}/s {watched[-1][1]:.2f} us, {watchers.octets >> 10:,} KiB seen",
            flush=True,
        )
    rates, costs = (
        [statistics.median(one[place] for one in side) for side in (alone, watched)]
        for place in (0, 1)
    )
    ratio = rates[1] / rates[0]
    print(
        f"alone {rates[0]:,.0f}/s {costs[0]:.2f} us, watched {rates[1]:,.0f}/s {costs[1]:.2f} us: "
        f"{ratio:.3f} x the rate, {costs[1] / costs[0]:.3f} x the CPU; {options.queues:,} queues"
    )
    return bool(ratio >= options.least)


def main() -> int:
    """Measure and print."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--amqpload", default=os.environ.get("AMQPLOAD", "amqpload"))
    parser.add_argument("--queues", type=int, default=5000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--least", type=float, default=0.95)
    options = parser.parse_args()
    ports = ("--http-port", "0", "--metrics-port", "0")
    with (
        tempfile.TemporaryDirectory() as folder,
        Program(Path(folder) / "data", *ports) as broker,
    ):
        broker.wait_ready()
        begin = time.monotonic()
        kept = measure(options, broker)
        broker.stop()
        print(f"took {time.monotonic() - begin:.0f} s", file=sys.stderr)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
