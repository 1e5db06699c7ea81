"""What has brought other brokers down or open, where it takes a socket or a disk to see it.

The numbers are those of the table in `amqpd/docs/security.md`.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from typing import TYPE_CHECKING

import pytest
from pamqp.commands import Basic, Queue

from amqpd.amqp import methods
from amqpd.amqp.commands import make
from amqpd.amqp.connection import Connection
from amqpd.amqp.sasl import Peer
from amqpd.broker.definitions import DeletePermission, PutPermission, PutUser
from amqpd.server.app import TICK_S
from amqpd.server.listener import Listener, bind
from amqpd.server.login import is_loopback, new_password_hash
from amqpd.server.room import Place, Room
from tests.client import ChannelClosed, Client, ConnectionClosed
from tests.server.running import Program, running
from tests.server.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.server.running import Running


def worker(broker: Running) -> None:
    """A user `worker` that may do everything in `/`."""
    broker.server.broker.change(PutUser("worker", *new_password_hash("worker"), ()))
    broker.server.broker.change(PutPermission("worker", "/", ".*", ".*", ".*"))


async def test_12_unknown_users_cannot_be_told_by_the_time_it_takes(tmp_path: Path) -> None:
    async with running(tmp_path, None, auth__failure_delay_s=0) as broker:
        worker(broker)

        def attempt(user: str) -> float:
            began = time.perf_counter()
            with (
                pytest.raises(ConnectionClosed),
                Client(broker.port, user=user, password="w r o n g"),
            ):
                pass
            return time.perf_counter() - began

        def both() -> list[tuple[float, float]]:
            return [(attempt("worker"), attempt("nobody")) for _ in range(100)]

        taken = await asyncio.to_thread(both)

    # In turns, because this machine has other work to do as well.
    known, unknown = (min(times) for times in zip(*taken, strict=True))
    assert 0.6 < known / unknown < 1.6


@pytest.mark.parametrize(
    ("host", "yes"),
    [("127.0.0.2", True), ("::ffff:127.0.0.1", True), ("10.0.0.1", False),
     ("::ffff:10.0.0.1", False), ("127.0.0.1.example.org", False), ("::", False)],
)  # fmt: skip
def test_13_loopback_is_the_address_of_the_peer_and_not_that_of_the_listener(
    host: str, yes: bool
) -> None:
    peer = Peer(host, 1, local_host="127.0.0.1")

    assert is_loopback(peer.host) is yes


async def test_18_rights_that_are_taken_away_end_what_runs_within_a_second(tmp_path: Path) -> None:
    async with running(tmp_path) as broker:
        worker(broker)
        client = await asyncio.to_thread(Client, broker.port, user="worker", password="worker")
        channel = await asyncio.to_thread(client.channel)
        await asyncio.to_thread(channel.declare_queue, "q")
        await asyncio.to_thread(channel.consume, "q")
        channel.publish("", "q", b"before")
        assert await asyncio.to_thread(channel.next_delivery, 5.0)
        (session,) = (one.session for one in broker.server.connections)
        assert isinstance(session, Connection)

        broker.server.broker.change(DeletePermission("worker", "/"))

        model = broker.server.broker
        ticks, tick = 0, model.tick

        def counted(now_ms: int) -> None:
            nonlocal ticks
            ticks += 1
            tick(now_ms)

        model.tick = counted  # type: ignore[method-assign]  # a second in its own time
        await until(lambda: not session.channels[1].consumers)
        assert ticks * TICK_S <= 1
        channel.publish("", "q", b"after")
        with pytest.raises(ChannelClosed, match="ACCESS_REFUSED"):
            await asyncio.to_thread(channel.call, Basic.Qos(), Basic.QosOk)
        client.abort()


async def test_23_limits_count_over_all_listeners() -> None:
    room = Room(2)
    places: list[Place] = []

    class Silent(asyncio.Protocol):
        """Keeps its place."""

        def __init__(self, place: Place) -> None:
            places.append(place)

    sockets = [bind("127.0.0.1", 0, 16, "--port") for _ in range(2)]
    listeners = [Listener(one, Silent, room) for one in sockets]
    async with asyncio.TaskGroup() as tasks:
        for listener in listeners:
            listener.start(tasks)
        ports = [listener.listening[0].port for listener in listeners]
        clients = [await asyncio.open_connection("127.0.0.1", port) for port in (*ports, *ports)]
        await until(lambda: room.refused == 2)

        assert room.connections == 2
        for _, writer in clients:
            writer.close()
        for listener in listeners:
            listener.close()


HOSTILE = (
    "../../../tmp/evil", "..", ".", "/etc/passwd", "a/b/c", "C:\\x", "x\0y", "~root", "$(touch x)",
    "`id`", "con", "%2e%2e%2f", "\u202e", "x" * 200, "amqpd.db", "run.json",
    "'; DROP TABLE queue;--",
)  # fmt: skip


def test_39_names_never_become_files(tmp_path: Path) -> None:
    with Program(tmp_path / "data").wait_ready() as broker:
        before = {path.name for path in broker.data.iterdir()}
        around = {path.name for path in tmp_path.iterdir()}
        with Client(broker.port) as client:
            channel = client.channel()
            for name in HOSTILE:
                # Names that pamqp would not send.
                declare = make(
                    Queue.Declare, ticket=0, queue=name, passive=False, durable=True,
                    exclusive=False, auto_delete=False, nowait=False, arguments={},
                )  # fmt: skip
                client.send_octets(methods.encode(declare, channel.number))
                client.wait(Queue.DeclareOk, channel.number)
            channel.select_confirms()
            for name in HOSTILE:
                if name.isascii():
                    channel.publish("", name, b"x")
            channel.wait_confirms()
        assert broker.stop() == 0
        after = {path.name for path in broker.data.iterdir()}

    allowed = {"amqpd.db", "amqpd.db-wal", "amqpd.db-shm", "amqpd.lock", "run.json"}
    assert after - before <= allowed
    assert {path.name for path in tmp_path.iterdir()} == around
    with sqlite3.connect(tmp_path / "data" / "amqpd.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_39_a_broker_writes_nowhere_but_into_its_directory(tmp_path: Path) -> None:
    here = tmp_path / "cwd"
    here.mkdir()
    with Program(tmp_path / "data").wait_ready() as broker:
        opened = [
            os.readlink(f"/proc/{broker.process.pid}/fd/{number}")
            for number in os.listdir(f"/proc/{broker.process.pid}/fd")
        ]

    files = [path for path in opened if path.startswith("/") and not path.startswith("/dev/")]
    assert {path for path in files if not path.startswith(str(tmp_path))} <= {"/proc/self/statm"}
