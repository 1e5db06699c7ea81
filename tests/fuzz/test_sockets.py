"""A broker under fire over real sockets: a well-behaved client beside it must not notice."""

from __future__ import annotations

import os
import random
import socket
import statistics
import struct
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from tests.client import Client, Closed, Gone
from tests.fuzz import octets
from tests.fuzz.sessions import Sessions
from tests.fuzz.test_in_process import CODES
from tests.server.running import Program

FAST: Final = 1_000
SLOW: Final = 20_000
#: How many unfriendly connections there are at a time.
AT_ONCE: Final = 8
#: The sentinel's slowest one per cent, publish to confirm, beside that of a quiet broker; the
#: long form judges it, because short ones run on busy machines.
SENTINEL_FACTOR: Final = 3
SENTINEL_P99_S: Final = 0.1
QUIET_SAMPLES: Final = 500
GROWTH_BYTES: Final = 48 << 20
GONE_S: Final = 20.0
#: Files that a broker may open at first use (the reader's connection to the store).
OPENED_LATER: Final = 4
#: Class and method of connection.tune.
TUNE: Final = b"\0\x0a\0\x1e"
#: Reset instead of a proper end of stream.
LINGER_NOT: Final = struct.pack("ii", 1, 0)


@dataclass
class Sentinel:
    """Publishes and consumes with confirms until told to stop; remembers how long each took."""

    port: int
    took_s: list[float] = field(default_factory=list)
    problem: str = ""

    def __post_init__(self) -> None:
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def stop(self) -> None:
        """End, and wait for the end."""
        self.stopping.set()
        self.thread.join()

    def _run(self) -> None:
        try:
            with Client(self.port, timeout_s=20.0) as client:
                self._work(client)
        except (AssertionError, Closed, Gone, TimeoutError) as error:
            self.problem = repr(error)

    def _work(self, client: Client) -> None:
        channel = client.channel()
        queue = "sentinel"
        channel.declare_queue(queue, exclusive=True)
        channel.select_confirms()
        channel.consume(queue, no_ack=True)
        while not self.stopping.wait(0.005):
            body = b"%d" % len(self.took_s)
            begin = time.monotonic()
            channel.publish("", queue, body, persistent=True)
            channel.wait_confirms()
            self.took_s.append(time.monotonic() - begin)
            delivery = channel.next_delivery()
            assert delivery is not None, "the sentinel's message did not come"
            assert delivery.body == body


def attack(port: int, chance: random.Random) -> bytes:
    """One mutated session; what was heard. Ends in one of the ways connections end."""
    heard = b""
    greeting = chance.random() < 0.8
    reads = Sessions(chance).mutated(2 if greeting else 0)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        try:
            if greeting:
                connection.sendall(octets.HEADER + octets.start_ok())
                while TUNE not in heard:
                    heard += connection.recv(65_536)
            for read in reads:
                connection.sendall(read)
            connection.settimeout(chance.choice((0.002, 0.02)))
            while more := connection.recv(65_536):
                heard += more
        except OSError:
            pass
        if chance.random() < 0.3:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
    return heard


def attackers(sentinel: Sentinel, count: int, seed: int) -> list[str]:
    """Mutated sessions from several threads; what was wrong with the answers.

    Ends early when the sentinel is in trouble.
    """
    wrong: list[str] = []

    def work(first: int) -> None:
        for number in range(first, count, AT_ONCE):
            if sentinel.problem:
                return
            chance = random.Random(f"{seed}/{number}")  # noqa: S311 - repeatable
            heard = attack(sentinel.port, chance)
            try:
                codes = octets.close_codes(heard)
            except ValueError:
                continue  # Cut off in the middle: we stopped listening.
            if not set(codes) <= CODES | {200}:
                wrong.append(f"seed {seed} session {number}: closed with {codes}")

    threads = [threading.Thread(target=work, args=(first,)) for first in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong


def descriptors(pid: int) -> int:
    """How many files and sockets a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident_bytes(pid: int) -> int:
    """Memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def wait_for(limit: int, pid: int) -> int:
    """Wait until the process has no more than so many files open; how many there are."""
    deadline = time.monotonic() + GONE_S
    tick = threading.Event()
    while (count := descriptors(pid)) > limit and time.monotonic() < deadline:
        tick.wait(0.1)
    return count


def p99_s(took_s: list[float]) -> float:
    """The slowest one per cent."""
    return statistics.quantiles(took_s, n=100)[98]


def quiet_p99_s(port: int) -> float:
    """The same of a sentinel that is alone."""
    sentinel, tick = Sentinel(port), threading.Event()
    while len(sentinel.took_s) < QUIET_SAMPLES and sentinel.thread.is_alive():
        tick.wait(0.05)
    sentinel.stop()
    assert not sentinel.problem, sentinel.problem
    return p99_s(sentinel.took_s)


def under_fire(folder: Path, count: int, seed: int, *, judge_p99: bool = False) -> None:
    """A broker, its sentinel, and so many mutated sessions."""
    with Program(folder / "data") as broker:
        pid = broker.wait_ready().process.pid
        quiet = descriptors(pid) + OPENED_LATER
        most_s = 0.0
        if judge_p99:
            most_s = max(SENTINEL_P99_S, SENTINEL_FACTOR * quiet_p99_s(broker.port))
        # Once over, so that what is made at first use is not taken for growth.
        sentinel = Sentinel(broker.port)
        attackers(sentinel, AT_ONCE * 20, seed + 1_000)
        before = resident_bytes(pid)

        wrong = attackers(sentinel, count, seed)

        sentinel.stop()
        left = wait_for(quiet, pid)
        growth = resident_bytes(pid) - before
        assert not wrong, wrong[:5]
        assert not sentinel.problem, sentinel.problem
        assert sentinel.took_s, "the sentinel was not served"
        slow_s = p99_s(sentinel.took_s)
        assert not judge_p99 or slow_s < most_s, f"p99 {slow_s:.3f} s of {len(sentinel.took_s)}"
        assert left <= quiet, f"{left - quiet} descriptors left over"
        assert growth < GROWTH_BYTES, f"grew by {growth >> 20} MiB"
        assert broker.stop() == 0
        assert "Traceback" not in broker.log, broker.log[-4000:]


def test_a_broker_under_fire_serves_others(tmp_path: Path) -> None:
    under_fire(tmp_path, FAST, 1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_broker_under_long_fire_serves_others(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    count = request.config.getoption("--fuzz-inputs") or SLOW

    under_fire(tmp_path, count, 2, judge_p99=True)
