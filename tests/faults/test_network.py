"""Bad networks and bad peers: nothing half-published, nobody held up, everything given back."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import statistics
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from pamqp.commands import Queue

from tests.client import ChannelClosed, Client, Closed, Gone
from tests.faults.kill import Campaign
from tests.faults.proxy import Proxy
from tests.faults.subject import Amqpd
from tests.faults.workloads import MIXED
from tests.fuzz import octets
from tests.fuzz.test_sockets import resident_bytes
from tests.load import crowd
from tests.server.running import Program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.client import Channel

PATIENCE_S: Final = 120.0
#: Descriptors that a broker may open at first use.
OPENED_LATER: Final = 4


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Program]:
    """A broker that gives up on strangers after a second."""
    environment = {"AMQPD_AMQP_HANDSHAKE_TIMEOUT_S": "1"}
    with Program(tmp_path / "data", environment=environment) as program:
        yield program.wait_ready()
        assert program.stop() == 0
    assert "Traceback" not in program.log, program.log[-4000:]


def descriptors(broker: Program) -> int:
    return len(os.listdir(f"/proc/{broker.process.pid}/fd"))


def until(what: str, is_so: object, patience_s: float = PATIENCE_S) -> float:
    """Wait for a condition; how long it took."""
    assert callable(is_so)
    begin_s, tick = time.monotonic(), threading.Event()
    while not is_so():
        assert time.monotonic() - begin_s < patience_s, what
        tick.wait(0.02)
    return time.monotonic() - begin_s


def ready(channel: Channel, queue: str) -> int:
    return channel.declare_queue(queue, passive=True).message_count or 0


# -- segments ----------------------------------------------------------------------------


class Proxied(Amqpd):
    """A broker behind a bad network."""

    def __init__(self, data: Path, slice_bytes: int) -> None:
        super().__init__(data, "--http-port", "0")
        self.slice_bytes = slice_bytes
        self.proxy: Proxy | None = None

    def start(self) -> int:
        self.proxy = Proxy(super().start())
        self.proxy.__enter__()
        self.proxy.to_broker.slice_bytes = self.proxy.to_client.slice_bytes = self.slice_bytes
        return self.proxy.port

    def kill(self) -> None:
        super().kill()
        self._leave()

    def stop(self) -> int:
        code = super().stop()
        self._leave()
        return code

    def _leave(self) -> None:
        if self.proxy is not None:
            self.proxy.__exit__()
            self.proxy = None


@pytest.mark.parametrize("size", [1, 7])
def test_how_octets_are_cut_into_segments_does_not_matter(tmp_path: Path, size: int) -> None:
    subject = Proxied(tmp_path / "data", size)

    workload = replace(MIXED, sizes=(0, 20, 300))
    report = Campaign(subject, tmp_path / "history.jsonl", 1, workload).run(0)

    assert report.clean, report.text()
    assert report.delivered > 0


# -- cuts --------------------------------------------------------------------------------


def session(first: str, second: str) -> list[bytes]:
    """Declares two queues, publishes to them in pieces, consumes from the second."""
    frames = octets.handshake()
    frames.append(octets.method(1, 20, 10, octets.CHANNEL_OPEN))
    for name in (first, second):
        text = b"\0\0" + octets.short(name.encode()) + b"\x02" + octets.table()
        frames.append(octets.method(1, 50, 10, text))
        frames.append(octets.method(1, 60, 40, b"\0\0\0" + octets.short(name.encode()) + b"\0"))
        frames.append(octets.content(1, 900))
        frames += [octets.frame(octets.BODY, 1, b"x" * 300) for _ in range(3)]
    consume = b"\0\0" + octets.short(second.encode()) + b"\1c\0" + octets.table()
    frames.append(octets.method(1, 60, 20, consume))
    return frames


def cut_at_every(broker: Program, step: int) -> None:
    """Cut the session after each so many octets, in both directions."""
    whole = b"".join(session("cut.a", "cut.b"))
    with Client(broker.port) as client:
        channel = client.channel()
        for name in ("cut.a", "cut.b"):
            channel.declare_queue(name, durable=True)
        quiet = descriptors(broker) + OPENED_LATER
        with Proxy(broker.port) as proxy:
            for way in (proxy.to_broker, proxy.to_client):
                for after in range(1, len(whole), step):
                    way.cut_after = after
                    speak(proxy.port, whole)
                way.cut_after = -1
        took_s = until("descriptors are left", lambda: descriptors(broker) <= quiet)
        assert took_s < PATIENCE_S
        for name in ("cut.a", "cut.b"):
            # What was consumed and not acked is back, and nothing is there in part.
            count = ready(channel, name)
            assert count > 0
            for _ in range(count):
                delivery = channel.get(name, no_ack=True)
                assert delivery is not None
                assert delivery.body == b"x" * 900


def speak(port: int, whole: bytes) -> None:
    """Send it all and listen until the connection ends, or is quiet."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        try:
            connection.sendall(whole)
            connection.settimeout(0.05)
            while connection.recv(65_536):
                pass
        except OSError:
            return


def test_a_session_may_be_cut_anywhere(broker: Program) -> None:
    cut_at_every(broker, 61)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_session_may_be_cut_at_every_octet(broker: Program) -> None:
    cut_at_every(broker, 1)


# -- peers that vanish, stall, or die ----------------------------------------------------


def consuming(port: int, broker_port: int, messages: int) -> Client:
    """A consumer with heartbeats of a second that holds some messages of the queue `v`."""
    with Client(broker_port) as client:
        channel = client.channel()
        channel.declare_queue("v", durable=True)
        channel.select_confirms()
        for number in range(messages):
            channel.publish("", "v", b"%d" % number, persistent=True)
        channel.wait_confirms()
    consumer = Client(port, heartbeat_s=1)
    channel = consumer.channel()
    channel.consume("v", prefetch=messages)
    for _ in range(messages):
        assert channel.next_delivery() is not None
    return consumer


def test_a_peer_that_vanishes_is_noticed_and_its_messages_come_back_in_order(
    broker: Program,
) -> None:
    with Proxy(broker.port) as proxy, consuming(proxy.port, broker.port, 5):
        proxy.to_broker.black_hole = proxy.to_client.black_hole = True
        with Client(broker.port) as client:
            channel = client.channel()

            took_s = until("nothing came back", lambda: ready(channel, "v") == 5)

            # Not before two intervals of silence; how soon behind them, the wire tests know.
            assert took_s > 1.0
            found = [channel.get("v", no_ack=True) for _ in range(5)]
            assert [one.body for one in found if one] == [b"%d" % n for n in range(5)]
            assert all(one.redelivered for one in found if one)
    assert "missed heartbeats" in broker.log


def test_a_peer_that_resets_is_noticed_at_once(broker: Program) -> None:
    with Proxy(broker.port) as proxy, consuming(proxy.port, broker.port, 5):
        proxy.cut()
        with Client(broker.port) as client:
            channel = client.channel()
            until("nothing came back", lambda: ready(channel, "v") == 5)


def test_a_peer_that_closes_its_half_is_done(broker: Program) -> None:
    with Proxy(broker.port) as proxy, consuming(proxy.port, broker.port, 5):
        proxy.half_close()
        with Client(broker.port) as client:
            channel = client.channel()
            until("nothing came back", lambda: ready(channel, "v") == 5)


def test_a_consumer_that_stops_reading_costs_little_and_holds_nobody_up(
    broker: Program,
) -> None:
    resident = Path(f"/proc/{broker.process.pid}/statm")

    def used_bytes() -> int:
        return int(resident.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    with Proxy(broker.port) as proxy, Client(broker.port, timeout_s=PATIENCE_S) as client:
        channel = client.channel()
        channel.declare_queue("z", durable=True)
        channel.declare_queue("t", exclusive=True)
        channel.select_confirms()
        for _ in range(3000):
            channel.publish("", "z", b"x" * 10_000, persistent=True)
        channel.wait_confirms()
        quiet_s = [round_trip_s(channel) for _ in range(100)]
        before = used_bytes()

        with Client(proxy.port, heartbeat_s=1) as stalled:
            proxy.stall(proxy.to_client, True)
            stalled.channels.clear()
            stalled.send_octets(stalling())
            busy_s = [round_trip_s(channel) for _ in range(100)]
            growth = used_bytes() - before
            # It sends no heartbeats either.
            until("it is held for ever", lambda: ready(channel, "z") == 3000)

        assert growth < 24 << 20
        assert statistics.median(busy_s) < max(10 * statistics.median(quiet_s), 0.2)


def stalling() -> bytes:
    """A channel with a consumer of all of the queue `z`."""
    consume = b"\0\0" + octets.short(b"z") + b"\1c\0" + octets.table()
    opened = octets.method(1, 20, 10, octets.CHANNEL_OPEN)
    return opened + octets.method(1, 60, 20, consume)


def round_trip_s(channel: Channel) -> float:
    begin_s = time.monotonic()
    channel.publish("", "t", b"x")
    assert channel.get("t", no_ack=True) is not None
    return time.monotonic() - begin_s


def test_a_slow_network_is_only_slow(broker: Program) -> None:
    with Proxy(broker.port) as proxy:
        proxy.to_client.rate = 200_000
        proxy.to_broker.delay_s = 0.01
        with Client(proxy.port) as client:
            channel = client.channel()
            channel.declare_queue("s", durable=True)
            channel.select_confirms()
            for number in range(20):
                channel.publish("", "s", b"%d" % number * 1000, persistent=True)
            channel.wait_confirms()
            channel.consume("s", prefetch=5)
            for number in range(20):
                delivery = channel.next_delivery(PATIENCE_S)
                assert delivery is not None
                assert delivery.body == b"%d" % number * 1000
                channel.ack(delivery.tag)


# -- a channel that closes while it is flooded -------------------------------------------


def closing_rounds(broker: Program, rounds: int) -> None:
    """The broker closes a channel that goes on publishing; the connection stays."""
    with Client(broker.port) as client:
        channel = client.channel(1)
        channel.declare_queue("n", durable=True)
        for _ in range(rounds):
            channel = client.channels.get(1) or client.channel(1)
            channel.send(Queue.Declare(0, "none", True))
            for _ in range(20):
                channel.publish("", "n", b"y" * 2000)
            with pytest.raises(ChannelClosed) as closed:
                channel.call(Queue.Declare(0, "n", True), Queue.DeclareOk)
            assert closed.value.code == 404
        assert ready(client.channel(1), "n") == 0


def test_what_comes_on_a_closing_channel_is_dropped(broker: Program) -> None:
    closing_rounds(broker, 100)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_what_comes_on_a_closing_channel_is_dropped_every_time(broker: Program) -> None:
    closing_rounds(broker, 10_000)


# -- strangers ---------------------------------------------------------------------------


def login_s(broker: Program) -> float:
    """How long it takes to get in."""
    begin_s = time.monotonic()
    Client(broker.port, timeout_s=PATIENCE_S).abort()
    return time.monotonic() - begin_s


def test_strangers_are_cut_off_in_time_and_keep_nobody_out(broker: Program) -> None:
    quiet_s = statistics.median(login_s(broker) for _ in range(20))
    silent = [socket.create_connection(("127.0.0.1", broker.port)) for _ in range(40)]
    dripping = [socket.create_connection(("127.0.0.1", broker.port)) for _ in range(40)]
    began_s, tick, drops = time.monotonic(), threading.Event(), 0
    took_s: list[float] = []
    ended: set[int] = set()
    while len(ended) < len(silent + dripping):
        assert time.monotonic() - began_s < PATIENCE_S, f"{80 - len(ended)} are still there"
        for one in dripping:
            try:
                one.send(octets.HEADER[drops % 8 : drops % 8 + 1])
            except OSError:
                ended.add(id(one))
        drops += 1
        for one in silent:
            one.setblocking(False)
            try:
                if not one.recv(1):
                    ended.add(id(one))
            except BlockingIOError:
                pass
            except OSError:
                ended.add(id(one))
        took_s.append(login_s(broker))
        tick.wait(0.1)
    for one in (*silent, *dripping):
        one.close()
    assert statistics.median(took_s) < max(10 * quiet_s, 0.25)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_two_thousand_clients_come_back_at_once(tmp_path: Path) -> None:
    """Without pauses of their own choice: each tries again as soon as it is refused."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))

    async def come(port: int) -> crowd.Member:
        while True:
            try:
                return await crowd.Member.join(port)
            except (OSError, EOFError):
                await asyncio.sleep(0.05)

    port, used = 0, list[int]()
    for _ in range(2):
        arguments = ("--port", str(port)) if port else ()
        with Program(tmp_path / "data", *arguments) as program:
            await asyncio.to_thread(program.wait_ready)
            port, begin_s = program.port, time.monotonic()
            members = await asyncio.gather(*(come(port) for _ in range(2000)))
            assert time.monotonic() - begin_s < 30
            used.append(resident_bytes(program.process.pid))
            program.process.kill()
        for member in members:
            await member.drop()
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert used[1] < 1.2 * used[0]


# -- all at once -------------------------------------------------------------------------


def test_a_restart_under_many_clients_lets_all_of_them_in_again(tmp_path: Path) -> None:
    port = 0
    for _ in range(2):
        arguments = ("--port", str(port)) if port else ()
        with Program(tmp_path / "data", *arguments) as program:
            port = program.wait_ready().port
            opened: list[Client] = []
            problems: list[str] = []
            begin_s = time.monotonic()

            def come(
                port: int = port, opened: list[Client] = opened, problems: list[str] = problems
            ) -> None:
                try:
                    opened.extend(Client(port, timeout_s=PATIENCE_S) for _ in range(20))
                except (OSError, Gone, Closed) as error:
                    problems.append(repr(error))

            threads = [threading.Thread(target=come) for _ in range(15)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert not problems, problems[:3]
            assert len(opened) == 300
            assert time.monotonic() - begin_s < PATIENCE_S
            program.process.send_signal(signal.SIGKILL)
            program.process.wait()
            for client in opened:
                client.abort()
