"""`python -m tests.bench.streams`: what streams cost beside queues, in the model and the store.

Writing: batches of new messages, each committed and synced. Reading: all of them, in order.
Opening again. Then what the model does with a message: its offset, a filter. CPU is the thread's
(loop) and the process's (in all) clock, per message.

    --load          a broker with publishers and consumers at once: a stream beside a durable
                    queue, or beside one queue for each consumer, in turns; 2 minutes
    --replay N      N messages are published, then read from the first one on: rates and memory
"""

# ruff: noqa: T201 - what it prints is what it is for

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pamqp.commands import Basic, Queue

from amqpd.broker.chunk import stamp
from amqpd.broker.content import build
from amqpd.broker.definitions import PutQueue, PutVhost
from amqpd.broker.filtering import Filter
from amqpd.broker.run import Run
from amqpd.fields import wrap
from amqpd.properties import Properties, encode_header
from amqpd.store.packing import pack
from tests.bench.load import Consumer, Load, Publisher, declare, delete, published, resident_mb
from tests.client import Client
from tests.server.running import Program
from tests.store.batches import Writing, opened

if TYPE_CHECKING:
    from collections.abc import Callable

    from pamqp.common import FieldTable

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


#: Messages that may be unconfirmed, and their size; consumers.
SHAPES = ((2000, 1024, 1), (2000, 1024, 3), (256, 128, 1), (256, 128, 3))
PREFETCH = 1000
PERSISTENT = Basic.Properties(delivery_mode=2)
#: What a header with an offset adds to a message.
OFFSET_BYTES = 29


def load(
    port: int, pid: int, kind: str, shape: tuple[int, int, int], seconds: float
) -> tuple[float, float]:
    """Messages published per second, and the broker's CPU time for each in microseconds."""
    window, size, consumers = shape
    stream: FieldTable = {"x-queue-type": "stream"}
    names = [f"{kind}{at}" for at in range(1 if kind == "stream" else consumers)]
    message = published("", bytes(size), PERSISTENT, "amq.fanout")
    delivered = (
        len(message) - (8 + int.from_bytes(message[3:7])) + OFFSET_BYTES * (kind == "stream")
    )
    with Client(port) as client:
        channel = client.channel()
        for name in names:
            arguments: FieldTable = stream if kind == "stream" else {}
            channel.declare_queue(name, durable=True, arguments=arguments)
            channel.call(Queue.Bind(queue=name, exchange="amq.fanout"), Queue.BindOk)
    run = Load(pid)
    for at in range(consumers):
        name = names[at % len(names)]
        run.raws.append(Consumer(port, name, delivered, PREFETCH, 64, "amq.fanout"))
    run.raws.append(Publisher(port, [message], window, fills=True))
    run.run(lambda passed: passed > 0.3)
    found = run.run(lambda passed: passed > seconds)
    run.close()
    for name in names:
        delete(port, name)
    return found.published / found.seconds, found.cpu_s / max(1, found.published) * 1e6


def compare(folder: Path, seconds: float, rounds: int) -> None:
    """Streams beside queues, in turns."""
    with Program(folder / "data").wait_ready() as broker:
        port, pid = broker.port, broker.process.pid
        for shape in SHAPES:
            turns: dict[str, list[tuple[float, float]]] = {"queue": [], "stream": []}
            for _ in range(rounds):
                for kind, found in turns.items():
                    found.append(load(port, pid, kind, shape, seconds))
            rates = {kind: statistics.median(rate for rate, _ in turns[kind]) for kind in turns}
            cpu = {kind: min(cpu for _, cpu in turns[kind]) for kind in turns}
            print(
                f"window {shape[0]:4} x {shape[1]:4} B, {shape[2]} consumers   "
                f"queue {rates['queue']:8,.0f}/s {cpu['queue']:6.2f} us   "
                f"stream {rates['stream']:8,.0f}/s {cpu['stream']:6.2f} us   "
                f"{rates['stream'] / rates['queue']:5.2f} x the rate, "
                f"{cpu['stream'] / cpu['queue']:5.2f} x the CPU",
                flush=True,
            )
        broker.stop()


def replay(folder: Path, count: int, size: int) -> None:
    """Fill a stream and read it from the first message to the last."""
    with Program(folder / "data").wait_ready() as broker:
        port, pid = broker.port, broker.process.pid
        declare(port, "s", {"x-queue-type": "stream"})
        message = published("s", bytes(size), PERSISTENT)
        delivered = len(message) - (8 + int.from_bytes(message[3:7])) + OFFSET_BYTES
        idle = resident_mb(pid)
        filling = Load(pid, [publisher := Publisher(port, [message], 2000, count, fills=True)])
        filled = filling.run(lambda _: publisher.is_done)
        filling.close()
        first: FieldTable = {"x-stream-offset": "first"}
        consumer = Consumer(port, "s", delivered, PREFETCH, 64, arguments=first)
        reading = Load(pid, [consumer])
        read = reading.run(lambda _: consumer.taken >= count)
        reading.close()
        broker.stop()
    print(
        f"{count:,} x {size} B   fill {count / filled.seconds:9,.0f}/s "
        f"{filled.cpu_s / count * 1e6:5.2f} us {filled.peak_mb:4.0f} MB   "
        f"replay {count / read.seconds:9,.0f}/s {read.cpu_s / count * 1e6:5.2f} us "
        f"{read.peak_mb:4.0f} MB   (idle {idle:.0f} MB)"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, default=None)
    parser.add_argument("--load", action="store_true")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--replay", type=int, default=0)
    parser.add_argument("--size", type=int, default=128)
    options = parser.parse_args()
    if options.load or options.replay:
        with tempfile.TemporaryDirectory(dir=options.directory) as scratch:
            if options.load:
                compare(Path(scratch), options.seconds, options.rounds)
            else:
                replay(Path(scratch), options.replay, options.size)
        return
    store_and_model(options.directory)


def store_and_model(folder: Path | None) -> None:
    """The store by itself, and the model."""
    cases = ((1024, 512, 102_400), (1024, 256, 51_200), (128, 2048, 409_600), (1024, 1, 1000))
    for size, batch, count in cases:
        for kind in ("queue", "stream"):
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
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
