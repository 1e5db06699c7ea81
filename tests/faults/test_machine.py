"""Machines that stop for a while, clocks that are set, and limits that are too narrow."""

from __future__ import annotations

import contextlib
import signal
import struct
import subprocess
import threading
import time
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Final

import pytest
from pamqp.commands import Basic

from tests.client import Client, Closed, Gone
from tests.faults.kill import INTERNAL_ERROR, Campaign, End
from tests.faults.subject import Amqpd
from tests.server.running import Program

if TYPE_CHECKING:
    from tests.client import Channel

PATIENCE_S: Final = 60.0
MIB: Final = 1 << 20
#: What a broker ends with when it cannot keep its promises any more.
SOFTWARE: Final = 70
YEAR_S: Final = 365 * 24 * 3600


def beating(port: int, count: int, heartbeat_s: int) -> list[Client]:
    """Clients with heartbeats, and a channel each."""
    clients = [Client(port, heartbeat_s=heartbeat_s, timeout_s=PATIENCE_S) for _ in range(count)]
    for client in clients:
        client.channel()
    return clients


def all_are_served(clients: list[Client]) -> None:
    for client in clients:
        client.beat()
    for number, client in enumerate(clients):
        client.channels[1].declare_queue(f"own.{number}", exclusive=True)


# -- machines that stop ------------------------------------------------------------------


@pytest.mark.parametrize("stopped_s", [5, pytest.param(90, marks=pytest.mark.slow)])
def test_a_machine_that_stood_still_cuts_nobody_off(tmp_path: Path, stopped_s: int) -> None:
    with Program(tmp_path / "data") as program:
        clients = beating(program.wait_ready().port, 10, 2)
        all_are_served(clients)

        # Clients on the same machine say nothing, either.
        program.process.send_signal(signal.SIGSTOP)
        threading.Event().wait(stopped_s)
        program.process.send_signal(signal.SIGCONT)

        all_are_served(clients)
        for client in clients:
            client.close()
        assert program.stop() == 0
    assert "missed" not in program.log


# -- clocks that are set -----------------------------------------------------------------


class WallClock:
    """The wall clock of a broker, as the test sets it."""

    def __init__(self, folder: Path) -> None:
        compiler = which("cc") or which("gcc")
        if compiler is None:
            pytest.skip("needs a C compiler to set a clock")
        library = folder / "clock.so"
        source = str(Path(__file__).with_name("clock.c"))
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-O2", "-o", str(library), source, "-ldl"], check=True
        )
        self._file = folder / "offset"
        self.set_off(0)
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_OFFSET": str(self._file)}

    def set_off(self, seconds: int) -> None:
        """So much ahead of the true time, at once."""
        mode = "r+b" if self._file.exists() else "w+b"
        with self._file.open(mode) as file:
            file.write(struct.pack("=q", seconds))


def ready(channel: Channel, queue: str) -> int | None:
    return channel.declare_queue(queue, passive=True).message_count


@pytest.mark.parametrize(
    "jumps", [(3600, 0), (-3600, 0), (10 * YEAR_S, 0), (-10 * YEAR_S, 0), (7200, 3600, -3600)]
)
def test_setting_the_clock_expires_nothing_and_cuts_nobody_off(
    tmp_path: Path, jumps: tuple[int, ...]
) -> None:
    clock = WallClock(tmp_path)
    with Program(tmp_path / "data", environment=clock.environment) as program:
        clients = beating(program.wait_ready().port, 3, 60)
        channel = clients[0].channels[1]
        channel.select_confirms()
        channel.declare_queue("q", durable=True)
        brief, long = Basic.Properties(expiration="1"), Basic.Properties(expiration="600000")
        for seconds in jumps:
            for properties in (long, Basic.Properties(delivery_mode=2), long):
                channel.publish("", "q", b"stays", properties=properties)
            channel.wait_confirms()
            before = ready(channel, "q")

            clock.set_off(seconds)

            all_are_served(clients)
            # What is due goes nevertheless, so time has passed for the broker.
            channel.publish("", "q", b"goes", properties=brief)
            channel.wait_confirms()
            deadline_s = time.monotonic() + PATIENCE_S
            while ready(channel, "q") != before:
                assert time.monotonic() < deadline_s, "the message due does not expire"
                clients[0].read(0.05)
        assert before == 3 * len(jumps)
        for client in clients:
            client.close()
        assert program.stop() == 0
    assert "missed" not in program.log
    assert "Traceback" not in program.log


# -- limits ------------------------------------------------------------------------------


def test_without_descriptors_newcomers_are_refused_and_all_others_served(tmp_path: Path) -> None:
    wrapper = ("prlimit", "--nofile=256:256")
    with Program(tmp_path / "data", wrapper=wrapper) as program:
        first = Client(program.wait_ready().port, timeout_s=PATIENCE_S)
        channel = first.channel()
        channel.declare_queue("q", durable=True)
        channel.select_confirms()

        crowd, refused = [], 0
        for _ in range(300):
            try:
                crowd.append(Client(program.port, timeout_s=PATIENCE_S))
            except (Gone, OSError):
                refused += 1
            channel.publish("", "q", b"x", persistent=True)
        channel.wait_confirms()

        assert refused > 0
        assert len(crowd) > 100
        assert program.log.count("connection refused") <= refused
        for one in crowd:
            one.abort()
        deadline_s = time.monotonic() + PATIENCE_S
        while not _can_come(program.port):
            assert time.monotonic() < deadline_s, "nobody is let in any more"
            first.read(0.1)
        assert ready(channel, "q") == 300
        first.close()
        assert program.stop() == 0
    assert "Traceback" not in program.log


def _can_come(port: int) -> bool:
    with contextlib.suppress(Gone, OSError), Client(port, timeout_s=PATIENCE_S) as client:
        client.close()
        return True
    return False


def limited(limit: str, *codes: int) -> End:
    """A life under a limit, which it may bring to its end with one of these codes."""
    return End(("prlimit", limit), frozenset(codes), frozenset((INTERNAL_ERROR,)))


@pytest.mark.timeout(600)
def test_a_file_that_may_not_grow_ends_the_broker_and_loses_nothing(tmp_path: Path) -> None:
    subject = Amqpd(tmp_path / "data", "--http-port", "0")
    campaign = Campaign(subject, tmp_path / "history.jsonl", 1)

    report = campaign.run_under(limited(f"--fsize={4 * MIB}", SOFTWARE))

    assert report.clean, report.text()
    assert report.acknowledged > 0
    assert "Traceback" not in subject.program.log, subject.program.log[-4000:]


def test_without_memory_publishers_wait_or_the_broker_ends_and_nothing_is_lost(
    tmp_path: Path,
) -> None:
    confirmed = 0
    with Program(tmp_path / "data", wrapper=("prlimit", f"--as={700 * MIB}")) as program:
        port = program.wait_ready().port
        with contextlib.suppress(Closed, Gone, TimeoutError, OSError):
            confirmed = _fill_memory(port)
        taken = _take(port)
        assert taken or program.process.wait(PATIENCE_S), "it lives, and serves nobody"
        program.process.kill()

    with Program(tmp_path / "data") as program, Client(program.wait_ready().port) as client:
        left = ready(client.channel(), "q")
        assert left is not None
        assert left >= confirmed - taken
        assert program.stop() == 0


def _take(port: int) -> int:
    """Get a message; how many came."""
    with (
        contextlib.suppress(Closed, Gone, TimeoutError, OSError),
        Client(port, timeout_s=PATIENCE_S) as client,
    ):
        return int(client.channel().get("q", no_ack=True) is not None)
    return 0


def _fill_memory(port: int) -> int:
    """Large messages, persistent and not, until the broker says stop; the confirmed ones."""
    confirmed = 0
    with Client(port, timeout_s=5.0) as client, Client(port, timeout_s=5.0) as other:
        channel, transient = client.channel(), other.channel()
        channel.declare_queue("q", durable=True)
        transient.declare_queue("t", exclusive=True)
        channel.select_confirms()
        for _ in range(600):
            other.read()
            if other.blocked or client.blocked:
                break
            transient.publish("", "t", bytes(MIB))
            channel.publish("", "q", bytes(1000), persistent=True)
            channel.wait_confirms()
            confirmed += 1
    return confirmed
