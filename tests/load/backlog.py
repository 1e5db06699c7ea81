"""`python -m tests.load.backlog`: ten million messages in one queue, and what they cost.

Fills one durable queue with `--count` persistent messages, with confirms, stops the broker in good
order and kills it with all of them there, looks how long until the first one is had again, and
drains the queue with acknowledgements. The rate of the first `--part` messages, with next to
nothing in the queue, is compared with that of the last ones.

Prints a table; exits with 1 if a message is missing, the rate with a full queue is under `--least`
of that with an empty one, or memory went over `--memory` MB.
"""

# ruff: noqa: T201 - what it prints is what it is for

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pamqp.commands import Basic, Queue

from tests.bench.load import Consumer, Load, Measured, Publisher, declare, published
from tests.bench.semantics import delivered_size
from tests.client import Client
from tests.load import held as turns
from tests.server.running import Program

if TYPE_CHECKING:
    from tests.client import Channel

HELD = "held"
MIB = 1 << 20


@dataclass
class Rate:
    """Messages a second, and what they cost."""

    a_second: float
    cpu_us: float
    peak_mb: float

    @classmethod
    def of(cls, found: Measured) -> Rate:
        """The rate of a run in which messages went one way."""
        count = found.published or found.consumed
        return cls(count / found.seconds, found.cpu_s / count * 1e6, found.peak_mb)

    def __str__(self) -> str:
        return f"{self.a_second:,.0f}/s, {self.cpu_us:.1f} us of CPU each"


def start(folder: Path) -> Program:
    """The broker of a folder, which notes what its turns take."""
    environment = {turns.VARIABLE: str(folder / HELD)}
    return Program(
        folder / "data", environment=environment, module=("tests.load.held",)
    ).wait_ready()


def message(queue: str, size: int) -> bytes:
    """The frames of a persistent message."""
    return published(queue, bytes(size), Basic.Properties(delivery_mode=2))


def fill(broker: Program, queue: str, count: int, size: int) -> Rate:
    """So many confirmed messages more."""
    publisher = Publisher(broker.port, [message(queue, size)], 4_000, count, fills=True)
    load = Load(broker.process.pid, [publisher])
    found = load.run(lambda _: publisher.is_done)
    load.close()
    return Rate.of(found)


def drain(broker: Program, queue: str, count: int, size: int) -> Rate:
    """So many messages less, acknowledged."""
    delivered = delivered_size(message(queue, size))
    consumer = Consumer(broker.port, queue, delivered, prefetch=2_000, ack_every=500)
    load = Load(broker.process.pid, [consumer])
    found = load.run(lambda _: consumer.taken >= count)
    load.close()
    return Rate.of(found)


def first_message_s(broker: Program, queue: str, began_s: float) -> float:
    """When the first message was had, since `began_s`; it goes back to its place."""
    with Client(broker.port, timeout_s=120) as client:
        channel = client.channel()
        channel.call(Basic.Get(queue=queue), Basic.GetOk)
        return time.monotonic() - began_s


def length(channel: Channel, queue: str) -> int:
    """How many messages are ready."""
    found = channel.call(Queue.Declare(queue=queue, passive=True), Queue.DeclareOk).message_count
    assert found is not None
    return found


def waiting(broker: Program, queue: str, wanted: int) -> int:
    """How many messages are ready, as soon as no more are on their way."""
    with Client(broker.port, timeout_s=120) as client:
        channel = client.channel()
        until_s = time.monotonic() + 30
        while (found := length(channel, queue)) != wanted and time.monotonic() < until_s:
            time.sleep(0.1)
        return found


def files_mb(folder: Path) -> dict[str, int]:
    """The sizes of the store's files."""
    return {each.name: each.stat().st_size // MIB for each in (folder / "data").glob("amqpd.db*")}


class Report:
    """The table, and what does not hold."""

    def __init__(self) -> None:
        self.failures: list[str] = []

    def note(self, what: str, figure: object) -> None:
        """A row."""
        print(f"| {what} | {figure} |", flush=True)

    def must(self, what: str, holds: bool) -> None:
        if not holds:
            self.failures.append(what)


def measure(folder: Path, options: argparse.Namespace) -> list[str]:
    """One run; what does not hold."""
    report = Report()
    count, part, size = options.count, options.part, options.size
    broker = start(folder)
    began_s = time.time()
    declare(broker.port, "q", {})
    declare(broker.port, "empty", {})
    fill(broker, "empty", part, size)
    nothing = drain(broker, "empty", part, size)
    first = fill(broker, "q", part, size)
    bulk = fill(broker, "q", count - 2 * part, size)
    last = fill(broker, "q", part, size)
    report.note(f"the first {part:,} of {size} B into a queue", first)
    report.note(f"the last of {count:,}", last)
    report.note("processor and rate of filling", bulk)
    report.note("memory while filling", f"{max(bulk.peak_mb, last.peak_mb):.0f} MB")
    report.note("files", files_mb(folder))
    found = waiting(broker, "q", count)
    report.must(f"{count:,} messages, not {found:,}", found == count)
    held_ms = turns.longest_s(folder / HELD, began_s, time.time()) * 1000
    report.note("longest turn of the loop", f"{held_ms:.0f} ms of CPU")
    for name, how in (("stop", signal.SIGTERM), ("kill", signal.SIGKILL)):
        broker.stop(how)
        started_s = time.monotonic()
        broker = start(folder)
        ready_s = time.monotonic() - started_s
        had_s = first_message_s(broker, "q", started_s)
        report.note(f"after a {name}: ready, first message", f"{ready_s:.2f} s, {had_s:.2f} s")
    began_s = time.time()
    found = waiting(broker, "q", count)
    report.must(f"{count:,} messages after a kill, not {found:,}", found == count)
    drained = drain(broker, "q", count, size)
    report.note(f"draining {part:,}", nothing)
    report.note(f"draining {count:,}", drained)
    report.note("memory while draining", f"{drained.peak_mb:.0f} MB")
    left = waiting(broker, "q", 0)
    report.must(f"nothing left, not {left:,}", left == 0)
    held_ms = turns.longest_s(folder / HELD, began_s, time.time()) * 1000
    report.note("longest turn of the loop meanwhile", f"{held_ms:.0f} ms of CPU")
    report.must("a good end", broker.stop() == 0)
    report.note("files afterwards", files_mb(folder))
    peak_mb = max(bulk.peak_mb, last.peak_mb, drained.peak_mb)
    report.must(f"memory of {options.memory} MB", peak_mb <= options.memory)
    for what, full, empty in (("filling", last, first), ("draining", drained, nothing)):
        ratio = full.a_second / empty.a_second
        report.note(f"rate of {what}, full over empty", f"{ratio:.2f}")
        report.must(f"{options.least:.0%} of the rate of {what}", ratio >= options.least)
    return report.failures


def main() -> int:
    """Fill, stop, kill, drain, tell."""
    parser = argparse.ArgumentParser(prog="python -m tests.load.backlog", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000_000)
    parser.add_argument("--part", type=int, default=500_000)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--least", type=float, default=0.7)
    parser.add_argument("--memory", type=float, default=512.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        failures = measure(Path(name), options)
    for failure in failures:
        print(f"does not hold: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
