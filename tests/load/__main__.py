"""`python -m tests.load`: figures of load that is held, for `amqpd/docs/limits.md`.

Starts a broker of its own. `--seconds` is how long the churn of connections goes on, `--scale`
makes everything smaller. Prints a table and exits with 1 if something has grown for good.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import resource
import ssl
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pamqp.commands import Queue

from tests.certificates import Authority
from tests.load import crowd
from tests.load.crowd import a_member, bindings, queues
from tests.server.running import Program

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1 << 20


class Watched:
    """A broker, and what the system says of it."""

    def __init__(self, broker: Program) -> None:
        self.broker = broker
        self.rows: list[tuple[str, str]] = []
        self.failures: list[str] = []
        #: On a machine with other work this is not the broker's alone.
        self.usual_p99_ms = 0.0

    @property
    def port(self) -> int:
        return self.broker.port

    @property
    def resident(self) -> int:
        """Bytes in memory."""
        return int(Path(f"/proc/{self.broker.process.pid}/statm").read_text().split()[1]) * 4096

    @property
    def files(self) -> int:
        """Open descriptors."""
        return len(list(Path(f"/proc/{self.broker.process.pid}/fd").iterdir()))

    @property
    def threads(self) -> int:
        return len(list(Path(f"/proc/{self.broker.process.pid}/task").iterdir()))

    @property
    def cpu_s(self) -> float:
        """Processor time used so far."""
        fields = (
            Path(f"/proc/{self.broker.process.pid}/stat").read_text().rpartition(")")[2].split()
        )
        return (int(fields[11]) + int(fields[12])) / 100

    def note(self, what: str, figure: str) -> None:
        """A row of the table."""
        self.rows.append((what, figure))
        print(f"| {what} | {figure} |", flush=True)

    def must(self, what: str, holds: bool) -> None:
        if not holds:
            self.failures.append(what)

    async def latency_ms(self, samples: int = 200) -> tuple[float, float]:
        """How long an empty method takes, median and 99 %, from another connection."""
        taken = []
        async with a_member(self.port) as member:
            for _ in range(samples):
                began = time.perf_counter()
                await member.say(crowd.method(Queue.Declare(queue="probe"), 1))
                await member.hear(crowd.DECLARE_OK)
                taken.append((time.perf_counter() - began) * 1000)
                await asyncio.sleep(0.002)
            await member.say(crowd.method(Queue.Delete(queue="probe"), 1))
            await member.hear(crowd.DELETE_OK)
        taken.sort()
        return taken[len(taken) // 2], taken[int(len(taken) * 0.99)]


async def connections(watched: Watched, count: int) -> None:
    before, files = watched.resident, watched.files
    began = time.perf_counter()
    members = await crowd.crowd(watched.port, count)
    took = time.perf_counter() - began
    grown = watched.resident - before
    watched.note(f"{count:,} idle connections: memory each", f"{grown / count / 1024:.1f} KiB")
    watched.note("opened per second, client included", f"{count / took:,.0f}")
    cpu, began = watched.cpu_s, time.perf_counter()
    await asyncio.sleep(10)
    share = (watched.cpu_s - cpu) / (time.perf_counter() - began)
    watched.note("processor while they are idle (heartbeat 60 s)", f"{share:.1%} of a core")
    p50, p99 = await watched.latency_ms()
    watched.note("a declare on another connection, p50 / p99", f"{p50:.1f} / {p99:.1f} ms")
    watched.must("60 KiB a connection", grown / count < 60 * 1024)
    await crowd.leave(members)
    await settled(watched, files)
    watched.note("descriptors left over", str(watched.files - files))
    watched.must("no descriptor left over", watched.files <= files)


async def over_tls(watched: Watched, authority: Path, count: int) -> None:
    """The same with TLS."""
    port, files = watched.broker.port_of("amqps"), watched.files
    context = ssl.create_default_context(cafile=authority)
    await crowd.leave(await crowd.crowd(port, 1, tls=context))
    before = watched.resident
    members = await crowd.crowd(port, count, tls=context)
    each = (watched.resident - before) / count / 1024
    watched.note(f"{count:,} idle connections with TLS: memory each", f"{each:.1f} KiB")
    watched.must("400 KiB a connection with TLS", each < 400)
    await crowd.leave(members)
    await settled(watched, files)
    watched.must("no descriptor of TLS left over", watched.files <= files)


async def settled(watched: Watched, files: int) -> None:
    """Wait until sockets that are closed are gone."""
    for _ in range(100):
        if watched.files <= files:
            return
        await asyncio.sleep(0.1)


async def channels(watched: Watched, members: int, each: int) -> None:
    joined = await crowd.crowd(watched.port, members)
    before = watched.resident
    for member in joined:
        await member.open_channels(each)
    count = members * each
    grown = watched.resident - before
    watched.note(f"{count:,} channels: memory each", f"{grown / count / 1024:.2f} KiB")
    p50, p99 = await watched.latency_ms()
    watched.note("a declare meanwhile, p50 / p99", f"{p50:.1f} / {p99:.1f} ms")
    watched.must("4 KiB a channel", grown / count < 4 * 1024)
    peak = watched.resident
    for _ in range(3):
        for member in joined:
            await member.close_channels(each)
            await member.open_channels(each)
    again = watched.resident - peak
    watched.note(
        f"after closing and opening them three times ({3 * count:,})", f"{again / MIB:+.1f} MiB"
    )
    watched.must("no growth by channels", again < 24 * MIB)
    await crowd.leave(joined)


async def topology(watched: Watched, durable: int, exclusive: int, per_queue: int) -> None:
    before = watched.resident
    async with a_member(watched.port) as member:
        began = time.perf_counter()
        await member.all_of(queues(durable, durable=True), crowd.DECLARE_OK)
        took = time.perf_counter() - began
        grown = watched.resident - before
        watched.note(
            f"{durable:,} durable queues: memory each", f"{grown / durable / 1024:.1f} KiB"
        )
        watched.note("declared per second, each on disk", f"{durable / took:,.0f}")
        watched.must("8 KiB a queue", grown / durable < 8 * 1024)
        other = watched.resident
        async with a_member(watched.port) as owner:
            await owner.all_of(queues(exclusive, durable=False, exclusive=True), crowd.DECLARE_OK)
            grown = watched.resident - other
            watched.note(
                f"{exclusive:,} exclusive queues: memory each",
                f"{grown / exclusive / 1024:.1f} KiB",
            )
            other = watched.resident
            await member.all_of([crowd.TOPIC], crowd.EXCHANGE_OK)
            count = durable * per_queue
            began = time.perf_counter()
            await member.all_of(bindings("load", durable, per_queue), crowd.BIND_OK)
            took = time.perf_counter() - began
            grown = watched.resident - other
            watched.note(f"{count:,} bindings: memory each", f"{grown / count / 1024:.2f} KiB")
            watched.note("bound per second, each on disk", f"{count / took:,.0f}")
            p50, p99 = await watched.latency_ms()
            watched.note("a declare with all that, p50 / p99", f"{p50:.1f} / {p99:.1f} ms")
            watched.must("declare p99 of 20 ms", p99 < max(20, 3 * watched.usual_p99_ms))


async def churning(watched: Watched, seconds: float) -> None:
    await crowd.churn(watched.port, min(seconds, 20))
    await asyncio.sleep(2)
    before, files, threads = watched.resident, watched.files, watched.threads
    count = await crowd.churn(watched.port, seconds)
    await settled(watched, files)
    watched.note(f"connections in {seconds:.0f} s of churn", f"{count:,}, {count / seconds:,.0f}/s")
    grown = watched.resident - before
    watched.note("memory after them", f"{grown / MIB:+.1f} MiB")
    left = f"{watched.files - files} and {watched.threads - threads}"
    watched.note("descriptors and threads left over", left)
    watched.must("no growth by connections", grown < 8 * MIB)
    watched.must("no descriptors by connections", watched.files <= files)


@contextlib.contextmanager
def a_broker(folder: Path, **environment: str) -> Iterator[Program]:
    quiet = ("--log-level", "error")
    with Program(folder / "data", *quiet, environment=environment).wait_ready() as broker:
        yield broker


def with_tls(authority: Authority) -> dict[str, str]:
    """The settings of a listener with TLS."""
    certificate, key = authority.sign("server")
    return {
        "AMQPD_AMQP_TLS_PORT": "0",
        "AMQPD_TLS_CERTIFICATE": str(certificate),
        "AMQPD_TLS_KEY": str(key),
    }


def scaled(count: int, scale: float) -> int:
    """At least one."""
    return max(1, int(count * scale))


async def clients(watched: Watched, authority: Path, scale: float, seconds: float) -> None:
    """Connections and channels, idle and in masses."""
    watched.note("memory of a new broker", f"{watched.resident / MIB:.0f} MiB")
    p50, watched.usual_p99_ms = await watched.latency_ms()
    figure = f"{p50:.1f} / {watched.usual_p99_ms:.1f} ms"
    watched.note("a declare with nothing else, p50 / p99", figure)
    await connections(watched, scaled(5_000, scale))
    await over_tls(watched, authority, scaled(1_000, scale))
    await channels(watched, scaled(25, scale), 2_000)
    await churning(watched, seconds)


async def measure(scale: float, seconds: float) -> int:
    """Everything; the exit code."""
    failures: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(Path(folder))
        with a_broker(Path(folder), **with_tls(authority)) as broker:
            watched = Watched(broker)
            await clients(watched, authority.file, scale, seconds)
            failures += watched.failures
    with tempfile.TemporaryDirectory() as folder:
        # A new one: memory that is free again would hide what queues take.
        with a_broker(Path(folder)) as broker:
            watched = Watched(broker)
            _, watched.usual_p99_ms = await watched.latency_ms()
            await topology(watched, scaled(10_000, scale), scaled(10_000, scale), 10)
            failures += watched.failures
            broker.stop()
        began = time.perf_counter()
        with a_broker(Path(folder)) as broker:
            watched = Watched(broker)
            took, cpu_s = time.perf_counter() - began, watched.cpu_s
            figure = f"{took:.1f} s, {cpu_s:.1f} s of a core"
            watched.note("start with these queues and bindings", figure)
            watched.must("start within 5 s", cpu_s < 5)
            failures += watched.failures
    for failure in failures:
        print(f"does not hold: {failure}", file=sys.stderr)
    return 1 if failures else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=600.0)
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return asyncio.run(measure(options.scale, options.seconds))


if __name__ == "__main__":
    sys.exit(main())
