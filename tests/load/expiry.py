"""`python -m tests.load.expiry`: a million messages that expire at random times.

Fills one queue with messages that expire between `--lead` and `--lead` + `--spread` seconds after
the start, then watches from a second connection how many are left and how long it is answered.
How late messages go is known from how many are left: the times of all of them are known here.
`--kind quorum`, `--dead-letters`, `--consumers` and `--restart` (killed in the middle) make it
harder.

Prints one line; exits with 1 if messages went early, were lost or went later than `--late`
seconds, or a turn of the loop took more CPU time than `--blocked` milliseconds, or the queue was
not filled when the first ones expired. How late they go and how long answers take depends on
what else the machine does, too: the share of one core that the broker needs tells whether it
could be in time.
"""

# ruff: noqa: T201 - what it prints is what it is for

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pamqp.commands import Basic, Queue

from tests.bench.load import Load, Publisher, cpu_s, published, resident_mb
from tests.client import Client
from tests.load import held as turns
from tests.server.running import Program

if TYPE_CHECKING:
    from pamqp.common import FieldTable

    from tests.client import Channel

#: What the queue is filled with at least, so that it is over before the first message expires.
FILLED_A_SECOND = 8_000
#: Where the broker notes what its turns take.
HELD = "held"
#: The broker's time goes in steps of 100 ms, and a message is some time under way.
EARLY_S = 0.15


class Expiring(Publisher):
    """Publishes messages that end at random between two times; remembers when."""

    def __init__(
        self, port: int, size: int, window: int, most: int, begin_s: float, spread_s: float
    ) -> None:
        super().__init__(port, [], window, most)
        self.ends_s = array("d")
        self._dice = random.Random(4)  # noqa: S311 - no secret
        self._begin_s, self._spread_s = begin_s, spread_s
        sample = published("q", bytes(size), Basic.Properties(delivery_mode=2, expiration="000000"))
        self._before, self._behind = sample.split(b"000000")

    def some(self, count: int) -> bytes:
        """The next messages."""
        now_s = time.time()
        parts: list[bytes] = []
        for _ in range(count):
            end_s = self._begin_s + self._dice.random() * self._spread_s
            left_ms = max(1, int((end_s - now_s) * 1000))
            self.ends_s.append(now_s + left_ms / 1000)
            parts += (self._before, b"%06d" % left_ms, self._behind)
        return b"".join(parts)

    def turn(self) -> None:
        """Take confirms, send more."""
        self.hear()
        if not self.out:
            count = min(self._window - (self.sent - self.confirmed), self._most - self.sent, 256)
            self.sent += count
            self.out = memoryview(self.some(count))
        self.push()


@dataclass
class Seen:
    """What the second connection saw."""

    late_s: float = 0.0
    early_s: float = 0.0
    answers_s: list[float] = field(default_factory=list)
    peak_mb: float = 0.0
    restart_s: float = 0.0
    held_s: float = 0.0


def length(channel: Channel, queue: str) -> int:
    """How many messages are ready."""
    found = channel.call(Queue.Declare(queue=queue, passive=True), Queue.DeclareOk).message_count
    assert found is not None
    return found


def watch(broker: Program, channel: Channel, ends: list[float], until: int, seen: Seen) -> None:
    """Ask for the length again and again, until no more than so many are left."""
    asked = 0
    while True:
        before_s = time.time()
        left = length(channel, "q")
        after_s = time.time()
        seen.answers_s.append(after_s - before_s)
        # Below nothing while consumers have not been given all that they will hold.
        gone = max(0, len(ends) - left)
        if gone < len(ends):
            seen.late_s = max(seen.late_s, before_s - ends[gone])
        if gone:
            seen.early_s = max(seen.early_s, ends[gone - 1] - after_s)
        if left <= until:
            return
        asked += 1
        if asked % 50 == 0:
            seen.peak_mb = max(seen.peak_mb, resident_mb(broker.process.pid))
        time.sleep(0.005)


def start(folder: Path) -> Program:
    """The broker of a folder, which notes what its turns take."""
    environment = {turns.VARIABLE: str(folder / HELD)}
    return Program(
        folder / "data", environment=environment, module=("tests.load.held",)
    ).wait_ready()


def declare(port: int, kind: str, *, dead_letters: bool) -> None:
    """The queue, and one for what dies."""
    arguments: FieldTable = {"x-queue-type": kind}
    if dead_letters:
        arguments |= {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    with Client(port) as client:
        channel = client.channel()
        channel.declare_queue("q", durable=True, arguments=arguments)
        channel.declare_queue("dead", durable=True)


def consumers(port: int, count: int) -> list[Client]:
    """Consumers that have ten messages each and never acknowledge them."""
    clients = []
    for _ in range(count):
        client = Client(port, timeout_s=60)
        client.channel().consume("q", prefetch=10)
        clients.append(client)
    return clients


def measure(folder: Path, options: argparse.Namespace) -> bool:
    """One run; whether all of it is as it should be."""
    seen = Seen()
    restart = options.restart
    broker = start(folder)
    declare(broker.port, options.kind, dead_letters=options.dead_letters)
    lead_s = options.lead or 2 + options.count / FILLED_A_SECOND
    begin_s = time.time() + lead_s
    publisher = Expiring(broker.port, options.size, 2000, options.count, begin_s, options.spread)
    begun_s = time.time()
    load = Load(broker.process.pid, [publisher])
    load.run(lambda _: publisher.is_done)
    filled_s = time.time() - begun_s
    load.close()
    ends = sorted(publisher.ends_s)
    clients = consumers(broker.port, options.consumers)
    held = 10 * options.consumers
    is_early = time.time() < begin_s
    time.sleep(max(0.0, begin_s - 1 - time.time()))
    watched_s = time.time()
    spent_s = -cpu_s(broker.process.pid)
    probe = Client(broker.port, timeout_s=120)
    if restart:
        watch(broker, probe.channel(), ends, options.count // 2, seen)
        spent_s += cpu_s(broker.process.pid)
        broker.stop(signal.SIGKILL)
        stopped_s = time.time()
        seen.held_s = turns.longest_s(folder / HELD, watched_s, stopped_s)
        broker = start(folder)
        watched_s = time.time()
        seen.restart_s = watched_s - stopped_s
        probe = Client(broker.port, timeout_s=120)
    # What consumers hold has left the queue's front; those that died with them came back.
    watch(broker, probe.channel(), ends[: len(ends) - (0 if restart else held)], 0, seen)
    spent_s += cpu_s(broker.process.pid)
    for client in clients:
        client.abort()
    dead = -1
    if options.dead_letters:
        channel = probe.channel()
        while (dead := length(channel, "dead")) < options.count - held:
            time.sleep(0.1)
            if time.time() > ends[-1] + 60:
                break
    probe.abort()
    seen.held_s = max(seen.held_s, turns.longest_s(folder / HELD, watched_s, time.time()))
    code = broker.stop()
    answers = sorted(seen.answers_s)
    worst_ms, p99_ms = answers[-1] * 1000, answers[len(answers) * 99 // 100] * 1000
    held_ms = seen.held_s * 1000
    print(
        f"{options.kind} {options.count:,} over {options.spread:.0f} s"
        f"{', dead letters' if options.dead_letters else ''}{', restart' if restart else ''}: "
        f"filled in {filled_s:.1f} s{'' if is_early else ', too long'}; "
        f"late {seen.late_s:.2f} s, early {seen.early_s:.2f} s; "
        f"answers p99 {p99_ms:.1f} ms, worst {worst_ms:.1f} ms; longest turn {held_ms:.1f} ms of "
        f"CPU; {spent_s:.1f} s of CPU, {spent_s / options.count * 1e6:.1f} us a message, "
        f"peak {seen.peak_mb:.0f} MB; restart {seen.restart_s:.2f} s; dead {dead:,}; exit {code}"
    )
    lost = options.dead_letters and dead < options.count - held
    return (
        code == 0
        and is_early
        and not lost
        and seen.early_s < EARLY_S
        and seen.late_s - seen.restart_s <= options.late
        and held_ms <= options.blocked
    )


def main() -> int:
    """Fill, watch, tell."""
    parser = argparse.ArgumentParser(prog="python -m tests.load.expiry", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--spread", type=float, default=60.0)
    parser.add_argument("--lead", type=float, default=0, help="0: what filling takes, and more")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--kind", default="classic", choices=("classic", "quorum"))
    parser.add_argument("--dead-letters", action="store_true")
    parser.add_argument("--consumers", type=int, default=0)
    parser.add_argument("--restart", action="store_true")
    parser.add_argument("--late", type=float, default=1.0)
    parser.add_argument("--blocked", type=float, default=50.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        return 0 if measure(Path(name), options) else 1


if __name__ == "__main__":
    sys.exit(main())
