"""`python -m tests.load.watched`: what watching a broker costs its messages.

Durable, persistent messages of 1 KiB with confirms go through one queue, in pairs of short turns
with nobody looking and with an open page (the overview and the list of queues, at the page's own
rhythm), a scrape of Prometheus and a list of all queues, each every five seconds. There are
`--queues` others. Needs the load generator `amqpload`, named by `--amqpload` or $AMQPLOAD.

Prints a line for each pair, and the medians of what they compare; exits with 1 if the rate is
below `--least`, or the broker's CPU for a message above `--most`, of what it is unwatched. The
turns of a pair stand side by side, in turns the one or the other first, so that a machine that is
slower for a minute slows down both. What the watchers take themselves is told: they share the
machine. With `--rate`, which a busy machine can hold, only CPU is compared: what watching takes.
"""

# ruff: noqa: T201 - what it prints is what it is for

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests.load.watchers import EVERY_S
from tests.server.running import ROOT, Program

LOAD = (
    "--durable", "--persistent", "--confirm", "256", "--prefetch", "256", "--ack-every", "64",
    "--size", "1024", "--json",
)  # fmt: skip


class Turn(NamedTuple):
    """One load: messages a second that arrived, and what they cost the broker."""

    rate: float
    cpu_us: float

    @property
    def busy(self) -> float:
        """The share of a processor that the broker took."""
        return self.rate * self.cpu_us / 1e6


class Pair(NamedTuple):
    """Two turns side by side, and what the watchers took of a processor themselves."""

    alone: Turn
    watched: Turn
    watchers: float


class Watching:
    """The watchers, from one turn's begin to its end."""

    def __init__(self, broker: Program) -> None:
        ports = (broker.port_of("http"), broker.port_of("http/prometheus"))
        self._begun_s = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.load.watchers", *map(str, ports)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def end(self) -> float:
        """Their share of a processor; they saw something."""
        said = json.loads(self._process.communicate("")[0])
        assert said["octets"] > 0
        return float(said["cpu_s"]) / (time.monotonic() - self._begun_s)


def turn(options: argparse.Namespace, broker: Program) -> Turn:
    """One load."""
    command = [
        options.amqpload, "--port", str(broker.port), "--seconds", str(options.seconds), *LOAD,
        "--broker-pid", str(broker.process.pid), "--rate", str(options.rate),
    ]  # fmt: skip
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = json.loads(said)
    return Turn(float(found["consume_rate"]), float(found["broker_cpu_us_per_msg"]))


def pair(options: argparse.Namespace, broker: Program, *, watched_first: bool) -> Pair:
    """Two turns, of which one is watched."""
    alone = None if watched_first else turn(options, broker)
    watching = Watching(broker)
    watched = turn(options, broker)
    took = watching.end()
    return Pair(alone or turn(options, broker), watched, took)


def declare(options: argparse.Namespace, broker: Program) -> None:
    """The other queues."""
    port = ("--port", str(broker.port), "--declare-window", "100")
    queues = ("--declare", str(options.queues), "--prefix", "idle", "--exchange", "idle")
    command = [options.amqpload, *port, *queues, "--type", "direct", "--durable", "--keep"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def measure(options: argparse.Namespace, broker: Program) -> bool:
    """All pairs; whether watching costs as little as it may."""
    declare(options, broker)
    pairs: list[Pair] = []
    for number in range(1, options.turns + 1):
        one = pair(options, broker, watched_first=number % 2 == 0)
        pairs.append(one)
        print(f"pair {number}: {_shown(one)}", flush=True)
    middle = Pair(
        _middle([one.alone for one in pairs]),
        _middle([one.watched for one in pairs]),
        statistics.median(one.watchers for one in pairs),
    )
    rate = statistics.median(one.watched.rate / one.alone.rate for one in pairs)
    cpu = statistics.median(one.watched.cpu_us / one.alone.cpu_us for one in pairs)
    took = statistics.median(one.watched.busy - one.alone.busy for one in pairs)
    print(f"medians: {_shown(middle)}; {options.queues:,} queues")
    if options.rate:
        print(f"watching takes {took * 1000:.1f} ms of the broker's CPU in a second")
        return bool(took <= options.most - 1)
    print(f"{rate:.3f} x the rate, {cpu:.3f} x the CPU for a message (medians of pairs)")
    return bool(rate >= options.least and cpu <= options.most)


def _middle(turns: list[Turn]) -> Turn:
    return Turn(
        statistics.median(one.rate for one in turns), statistics.median(one.cpu_us for one in turns)
    )


def _shown(one: Pair) -> str:
    return (
        f"alone {one.alone.rate:,.0f}/s {one.alone.cpu_us:.2f} us, watched "
        f"{one.watched.rate:,.0f}/s {one.watched.cpu_us:.2f} us; "
        f"the watchers themselves {one.watchers:.1%} of a processor"
    )


def main() -> int:
    """Measure and print."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--amqpload", default=os.environ.get("AMQPLOAD", "amqpload"))
    parser.add_argument("--queues", type=int, default=5000)
    parser.add_argument("--turns", type=int, default=12, help="pairs of turns")
    # So that each of the watchers is seen as often in each of them.
    parser.add_argument("--seconds", type=int, default=round(2 * EVERY_S))
    parser.add_argument("--rate", type=int, default=0, help="messages a second; 0: all there is")
    parser.add_argument("--least", type=float, default=0.95)
    parser.add_argument("--most", type=float, default=1.05)
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
