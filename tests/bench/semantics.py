"""`python -m tests.bench.semantics`: what TTL, dead letters, priorities, limits and policies cost.

Each variant of a durable queue gets the same persistent messages with confirms, and a consumer
that acknowledges them; all take turns in one run with a plain classic queue. Rates depend on
what else the machine does, CPU time less so: believe the latter, of which the least counts.
Two rounds take two minutes.

    --wide          priorities: how much memory a backlog of a million takes on many levels
"""

# ruff: noqa: T201 - what it prints is what it is for

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pamqp.commands import Basic

from tests.bench.load import Consumer, Load, Publisher, declare, delete, published, resident_mb
from tests.server.running import Program

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pamqp.common import FieldTable

SIZE = 1024
#: What a variant may cost at most, over the plain queue.
MOST = 1.25


@dataclass(frozen=True)
class Variant:
    """One kind of queue, and what is published to it."""

    name: str
    arguments: FieldTable = field(default_factory=dict)
    properties: Sequence[Basic.Properties] = (Basic.Properties(delivery_mode=2),)
    #: What the broker adds to each message.
    added_bytes: int = 0


def priorities(count: int) -> list[Basic.Properties]:
    """Every level in turn, but not in order."""
    return [Basic.Properties(delivery_mode=2, priority=at * 7 % count) for at in range(count)]


VARIANTS = (
    Variant("plain"),
    Variant("message TTL", {"x-message-ttl": 3_600_000}),
    Variant(
        "TTL of each message",
        properties=[
            Basic.Properties(delivery_mode=2, expiration=str(3_600_000 + at * 7919 % 1000))
            for at in range(100)
        ],
    ),
    Variant("dead letter exchange", {"x-dead-letter-exchange": "amq.fanout"}),
    Variant("10 priorities", {"x-max-priority": 9}, priorities(10)),
    Variant("max-length", {"x-max-length": 10_000_000}),
    Variant(
        "max-length, reject-publish",
        {"x-max-length": 10_000_000, "x-overflow": "reject-publish"},
    ),
    Variant("max-length, block", {"x-max-length": 10_000_000, "x-overflow": "block"}),
    Variant("policy"),
    Variant("quorum", {"x-queue-type": "quorum"}),
    Variant("quorum, 10 priorities", {"x-queue-type": "quorum"}, priorities(10)),
    # The header with the offset, in a table of its own.
    Variant("stream", {"x-queue-type": "stream"}, added_bytes=29),
)


def messages(variant: Variant, queue: str, size: int) -> list[bytes]:
    """The messages of a variant, encoded."""
    return [published(queue, bytes(size), one) for one in variant.properties]


def delivered_size(message: bytes) -> int:
    """The octets of header and body."""
    method = 8 + int.from_bytes(message[3:7])
    return len(message) - method


def measure(port: int, pid: int, variant: Variant, seconds: float) -> tuple[float, float]:
    """Messages per second, and the broker's CPU time for each in microseconds."""
    queue = variant.name
    declare(port, queue, variant.arguments)
    encoded = messages(variant, queue, SIZE)
    load = Load(pid)
    size = delivered_size(encoded[0]) + variant.added_bytes
    load.raws.append(Consumer(port, queue, size))
    load.raws.append(Publisher(port, encoded, 256))
    load.run(lambda passed: passed > 0.3)
    found = load.run(lambda passed: passed > seconds)
    load.close()
    delete(port, queue)
    return found.consumed / found.seconds, found.cpu_s / max(1, found.consumed) * 1e6


def set_policy(port: int) -> None:
    """A policy for the queue of that name."""
    policy = {"pattern": "^policy$", "definition": {"max-length": 10_000_000}}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/policies/%2F/bench",
        data=json.dumps(policy).encode(),
        method="PUT",
        headers={"Authorization": "Basic Z3Vlc3Q6Z3Vlc3Q=", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310 - as above
        answer.read()


def compare(folder: Path, seconds: float, rounds: int, only: str) -> bool:
    """Print the table; whether all stay within the bound."""
    chosen = [one for one in VARIANTS if one.name == "plain" or only in one.name]
    found: dict[str, list[tuple[float, float]]] = {one.name: [] for one in chosen}
    with Program(folder / "data", "--http-port", "0").wait_ready() as broker:
        set_policy(broker.port_of("http"))
        for _ in range(rounds):
            for variant in chosen:
                outcome = measure(broker.port, broker.process.pid, variant, seconds)
                found[variant.name].append(outcome)
        broker.stop()
    plain = min(cpu for _, cpu in found["plain"])
    within = True
    for name, outcomes in found.items():
        rate = statistics.median(rate for rate, _ in outcomes)
        cpu = min(cpu for _, cpu in outcomes)
        within = within and cpu <= MOST * plain
        print(f"{name:28} {rate:9,.0f}/s   {cpu:6.2f} us CPU   {cpu / plain:5.2f} x plain")
    return within


def backlog(folder: Path, levels: int, count: int, size: int) -> None:
    """Fill a queue and drain it; memory and rates."""
    name = f"{levels} levels" if levels else "plain"
    arguments: FieldTable = {"x-max-priority": levels} if levels else {}
    properties = priorities(levels + 1) if levels else [Basic.Properties(delivery_mode=2)]
    variant = Variant("q", arguments, properties)
    with Program(folder / name.replace(" ", "-")).wait_ready() as broker:
        port, pid = broker.port, broker.process.pid
        declare(port, "q", arguments)
        encoded = messages(variant, "q", size)
        idle = resident_mb(pid)
        filling = Load(pid, [publisher := Publisher(port, encoded, 1000, count)])
        filled = filling.run(lambda _: publisher.is_done)
        filling.close()
        draining = Load(pid, [consumer := Consumer(port, "q", delivered_size(encoded[0]), 1000)])
        drained = draining.run(lambda _: consumer.taken >= count)
        draining.close()
        broker.stop()
    print(
        f"{name:12} fill {count / filled.seconds:9,.0f}/s {filled.cpu_s / count * 1e6:6.2f} us "
        f"{filled.peak_mb:6.0f} MB   drain {count / drained.seconds:9,.0f}/s "
        f"{drained.cpu_s / count * 1e6:6.2f} us {drained.peak_mb:6.0f} MB   (idle {idle:.0f} MB)"
    )


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="variants whose name contains this")
    parser.add_argument("--directory", type=Path, default=None)
    parser.add_argument("--wide", action="store_true")
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--levels", type=int, nargs="*", default=[0, 9, 255])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        folder = Path(name)
        if options.wide:
            for levels in options.levels:
                backlog(folder, levels, options.count, options.size)
            return 0
        return 0 if compare(folder, options.seconds, options.rounds, options.only) else 1


if __name__ == "__main__":
    raise SystemExit(main())
