"""`python -m tests.bench.store`: what storing costs, for each SQLite library.

Steady state: a batch of new messages and the settles of an old one per commit, each synced, a
consumer some 10,000 messages behind. Then paging, many queues, fan-out, and opening a store
with a backlog. CPU is the thread's (loop) and the process's (in all) clock, per message.
"""

# ruff: noqa: T201 - what it prints is what it is for

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from amqpd.broker.definitions import PutQueue, PutVhost
from amqpd.store.packing import pack
from tests.store.batches import Writing, opened, settle

if TYPE_CHECKING:
    from amqpd.broker.run import Append
    from tests.store.batches import Driven

DRIVERS: tuple[Literal["apsw", "sqlite3"], ...] = ("apsw", "sqlite3")
BEHIND = 10_240


def define(store: Driven, lanes: int, writing: Writing) -> None:
    """Queues to write to, each with one lane."""
    queues = [
        PutQueue("/", f"q{lane}", True, False, False, {}, (lane,)) for lane in range(1, lanes + 1)
    ]
    store.write(writing.batch(defines=[PutVhost("/"), *queues]))


def steady(
    store: Driven, writing: Writing, size: int, batch: int, seconds: float, lanes: int, fanout: bool
) -> str:
    """Enqueue and settle for a while; the figures as text."""
    bodies = [os.urandom(size) for _ in range(batch)]
    per_lane = bodies if fanout else bodies[: max(1, batch // lanes)]
    waiting: deque[list[Append]] = deque()
    messages, loop_s, latencies = 0, 0.0, list[float]()
    started, cpu = time.perf_counter(), time.process_time()
    made_s = 0.0
    while time.perf_counter() - started < seconds:
        making = time.thread_time()
        if fanout:
            entries = [writing.append(per_lane, *range(1, lanes + 1))]
        else:
            entries = [writing.append(per_lane, lane) for lane in range(1, lanes + 1)]
        waiting.append(entries)
        old = waiting.popleft() if len(waiting) * batch > BEHIND else []
        settles = [settle(entry, which) for entry in old for which in range(len(entry.targets))]
        work = writing.batch(*entries, *settles)
        made_s += time.thread_time() - making
        packing = time.thread_time()
        pack(work)
        loop_s += time.thread_time() - packing
        begun = time.perf_counter()
        outcome = store.write(work)
        latencies.append(time.perf_counter() - begun)
        if not isinstance(outcome, int):
            raise outcome
        messages += sum(len(entry.run.contents) for entry in entries)
    wall = time.perf_counter() - started - made_s - loop_s
    total = time.process_time() - cpu - made_s - loop_s
    latencies.sort()
    middle, worst = latencies[len(latencies) // 2], latencies[len(latencies) * 99 // 100]
    return (
        f"{messages / wall / 1000:6.0f} k/s   loop {loop_s / messages * 1e6:5.2f}   "
        f"in all {total / messages * 1e6:5.2f} us   "
        f"commit p50 {middle * 1e3:5.1f}  p99 {worst * 1e3:5.1f} ms"
    )


def paging(store: Driven, lane: int, writing: Writing, size: int, count: int) -> str:
    """Read a backlog back by thousands."""
    for _ in range(count // 4096):
        store.write(writing.batch(writing.append([bytes(size)] * 4096, lane)))
    at, cpu, started, messages = 0, time.process_time(), time.perf_counter(), 0
    while rows := store.read(lane, at, max_messages=1000, max_bytes=8 << 20):
        messages += len(rows)
        at = rows[-1].position + 1
    total = time.process_time() - cpu
    wall = time.perf_counter() - started
    return f"{messages / wall / 1000:6.0f} k/s   in all {total / messages * 1e6:5.2f} us"


def opening(directory: Path, driver: Literal["apsw", "sqlite3"]) -> str:
    """Open what is there."""
    started = time.perf_counter()
    store = opened(directory, driver)
    took = time.perf_counter() - started
    held = sum(state.messages for state in store.snapshot.lanes.values())
    store.close()
    return f"{took * 1e3:6.1f} ms with {held} messages"


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--driver", choices=DRIVERS)
    parser.add_argument("--directory", type=Path, default=None)
    options = parser.parse_args()
    cases = (
        ("1 KiB x 512", 1024, 512, 1, False),
        ("128 B x 2048", 128, 2048, 1, False),
        ("1 KiB x 64", 1024, 64, 1, False),
        ("1 KiB x 512, 100 queues", 1024, 512, 100, False),
        ("1 KiB x 512 to 8 queues", 1024, 512, 8, True),
        ("16 KiB x 64", 16384, 64, 1, False),
    )
    for driver in [options.driver] if options.driver else DRIVERS:
        for name, size, batch, lanes, fanout in cases:
            with tempfile.TemporaryDirectory(dir=options.directory) as scratch:
                store, writing = opened(Path(scratch) / "data", driver), Writing()
                define(store, lanes, writing)
                figures = steady(store, writing, size, batch, options.seconds, lanes, fanout)
                store.close()
            print(f"{driver:8} {name:26} {figures}", flush=True)
        with tempfile.TemporaryDirectory(dir=options.directory) as scratch:
            directory = Path(scratch) / "data"
            store, writing = opened(directory, driver), Writing()
            define(store, 1, writing)
            print(f"{driver:8} {'page in, 256 B':26} {paging(store, 1, writing, 256, 200_000)}")
            store.close()
            print(f"{driver:8} {'open':26} {opening(directory, driver)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
