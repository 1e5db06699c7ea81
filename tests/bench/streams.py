"""`python -m tests.bench.streams`: what streams cost beside queues, in the model and the store.

Writing: batches of new messages, each committed and synced. Reading: all of them, in order.
Opening again. Then what the model does with a message: its offset, a filter. CPU is the thread's
(loop) and the process's (in all) clock, per message.
"""

# ruff: noqa: T201 - what it prints is what it is for

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from amqpd.broker.chunk import stamp
from amqpd.broker.content import build
from amqpd.broker.definitions import PutQueue, PutVhost
from amqpd.broker.filtering import Filter
from amqpd.broker.run import Run
from amqpd.fields import wrap
from amqpd.properties import Properties, encode_header
from amqpd.store.packing import pack
from tests.store.batches import Writing, opened

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.store.batches import Driven


def define(store: Driven, writing: Writing) -> None:
    """A queue on lane 1 and a stream on lane 2."""
    stream = {"x-queue-type": wrap("stream")}
    store.write(
        writing.batch(
            defines=[
                PutVhost("/"),
                PutQueue("/", "q", True, False, False, {}, (1,)),
                PutQueue("/", "s", True, False, False, stream, (2,)),
            ]
        )
    )


def write(store: Driven, writing: Writing, size: int, batch: int, count: int, kind: str) -> str:
    """Write so many messages; the figures as text."""
    bodies = [os.urandom(size) for _ in range(batch)]
    cpu, started, loop_s, made_s = time.process_time(), time.perf_counter(), 0.0, 0.0
    commit_s: list[float] = []
    for _ in range(count // batch):
        making = time.thread_time()
        entry = writing.extend(bodies, 2) if kind == "stream" else writing.append(bodies, 1)
        work = writing.batch(entry)
        made_s += time.thread_time() - making
        packing = time.thread_time()
        pack(work)
        loop_s += time.thread_time() - packing
        begun = time.perf_counter()
        store.write(work)
        commit_s.append(time.perf_counter() - begun)
    total = time.process_time() - cpu - made_s - loop_s
    wall = time.perf_counter() - started - made_s - loop_s
    middle_ms = sorted(commit_s)[len(commit_s) // 2] * 1e3
    return (
        f"write {count / wall / 1000:5.0f} k/s   loop {loop_s / count * 1e6:5.2f}   "
        f"in all {total / count * 1e6:5.2f} us   commit p50 {middle_ms:.1f} ms"
    )


def read(store: Driven, kind: str) -> str:
    """Read everything back."""
    cpu, started, at, count = time.process_time(), time.perf_counter(), 0, 0
    while True:
        if kind == "stream":
            chunks, at = store.read_stream(2, at, 1 << 40, 1 << 20)
            got = sum(len(chunk[3]) for chunk in chunks)
        else:
            rows = store.read(1, at, max_messages=2048, max_bytes=4 << 20)
            got = len(rows)
            at = rows[-1].position + 1 if rows else at
        if not got:
            break
        count += got
    total, wall = time.process_time() - cpu, time.perf_counter() - started
    return f"read {count / wall / 1000:5.0f} k/s   in all {total / count * 1e6:5.2f} us"


def per_message(work: Callable[[], object], messages: int) -> float:
    """Nanoseconds of work for each of so many messages, the best of some."""
    best = float("inf")
    for _ in range(20):
        begun = time.perf_counter_ns()
        work()
        best = min(best, (time.perf_counter_ns() - begun) / messages)
    return best


def model(size: int) -> str:
    """What a message costs in the model."""
    headers = {"x-stream-filter-value": wrap("a"), "other": wrap("text")}
    properties = Properties(delivery_mode=2, headers=headers)
    content = build(1, encode_header(properties, size), bytes(size))
    run = Run([content] * 1000, b"\x01x\x01k", None, True, 1, 1000 * len(content))
    stamped = stamp(run, 5)
    wanted = Filter(["b"], [])
    offset = per_message(lambda: stamp(run, 5), 1000)
    filtered = per_message(lambda: wanted.next_run(stamped.contents, 0, 1000, 1000), 1000)
    return f"offset {offset:5.0f} ns   filter {filtered:5.0f} ns"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, default=None)
    options = parser.parse_args()
    cases = ((1024, 512, 102_400), (1024, 256, 51_200), (128, 2048, 409_600), (1024, 1, 1000))
    for size, batch, count in cases:
        for kind in ("queue", "stream"):
            with tempfile.TemporaryDirectory(dir=options.directory) as scratch:
                directory = Path(scratch) / "data"
                store, writing = opened(directory, "apsw"), Writing()
                define(store, writing)
                figures = write(store, writing, size, batch, count, kind)
                print(f"{size:5} B x {batch:4}  {kind:6}  {figures}   {read(store, kind)}")
                store.close()
                begun = time.perf_counter()
                opened(directory, "apsw").close()
                print(f"{'':20}open and close {(time.perf_counter() - begun) * 1e3:.0f} ms")
    for size in (16, 128, 1024):
        print(f"{size:5} B  {model(size)}", flush=True)


if __name__ == "__main__":
    main()
