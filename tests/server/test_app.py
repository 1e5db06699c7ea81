"""The broker as a whole: start, stop, failures."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
from typing import TYPE_CHECKING

import aio_pika
import pytest
from pamqp.commands import Connection

from amqpd.server import app
from amqpd.server.process import Exit, StartError
from amqpd.store import StoreFailed
from amqpd.store.memory import MemoryStore
from tests.client import ChannelClosed, Client, ConnectionClosed
from tests.server.running import Program, running

if TYPE_CHECKING:
    from pathlib import Path

    from amqpd.broker.journal import Batch
    from amqpd.config import Settings
    from amqpd.store import Post, WriteDone


# -- start and stop, as a process -----------------------------------------------------------


def test_run_json_says_where_it_listens_and_goes_away_with_it(tmp_path: Path) -> None:
    with Program(tmp_path / "data").wait_ready() as broker:
        run = broker.run

        assert run["pid"] == broker.process.pid
        assert run["version"]
        assert str(run["node"]).startswith("rabbit@")
        with Client(broker.port) as client:
            assert client.channel().number == 1

        assert (tmp_path / "data").stat().st_mode & 0o077 == 0
        assert broker.stop() == Exit.OK
        assert not (tmp_path / "data" / "run.json").exists()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_closes_clients_with_320_and_exits_with_0(
    tmp_path: Path, how: signal.Signals
) -> None:
    with Program(tmp_path / "data").wait_ready() as broker, Client(broker.port) as client:
        broker.process.send_signal(how)

        with pytest.raises(ConnectionClosed) as caught:
            client.wait(Connection.CloseOk)

        assert broker.process.wait(timeout=60) == Exit.OK
        assert caught.value.code == 320
        assert caught.value.text == (
            "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"
        )


def test_a_client_that_does_not_answer_does_not_keep_it_from_stopping(tmp_path: Path) -> None:
    with (
        Program(tmp_path / "data").wait_ready() as broker,
        socket.create_connection(("127.0.0.1", broker.port)),
        Client(broker.port),
    ):
        assert broker.stop() == Exit.OK


def test_confirmed_messages_survive_a_stop_and_a_kill(tmp_path: Path) -> None:
    with Program(tmp_path / "data").wait_ready() as broker, Client(broker.port) as client:
        channel = client.channel()
        channel.declare_queue("q", durable=True)
        channel.select_confirms()
        channel.publish("", "q", b"one", persistent=True)
        channel.wait_confirms()
        client.close()
        assert broker.stop() == Exit.OK

    with Program(tmp_path / "data").wait_ready() as broker, Client(broker.port) as client:
        assert "1 queue, 1 message" in broker.screen[1]
        channel = client.channel()
        channel.select_confirms()
        channel.publish("", "q", b"two", persistent=True)
        channel.wait_confirms()
        broker.process.kill()
        broker.process.wait()

    with Program(tmp_path / "data").wait_ready() as broker, Client(broker.port) as client:
        assert "recovered after a crash" in broker.screen[1]
        channel = client.channel()
        got = [channel.get("q", no_ack=True) for _ in range(2)]
        assert [one.body for one in got if one] == [b"one", b"two"]
        assert broker.stop() == Exit.OK


def test_a_second_broker_on_the_same_data_exits_with_75_and_touches_nothing(
    tmp_path: Path,
) -> None:
    with Program(tmp_path / "data").wait_ready() as first:
        run = first.run

        with Program(tmp_path / "data") as second:
            assert second.process.wait(timeout=60) == Exit.TRY_AGAIN
            last = second.log.splitlines()[-1]
            assert last.startswith("amqpd: data directory")
            assert str(first.process.pid) in last

        assert first.run == run
        with Client(first.port) as client:
            assert client.channel().number == 1
        assert first.stop() == Exit.OK


def test_a_taken_port_is_one_line_and_exit_69(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for option in ("--port", "--http-port", "--metrics-port"):
            with Program(tmp_path / "data", option, port) as broker:
                assert broker.process.wait(timeout=60) == Exit.UNAVAILABLE
                last = broker.log.splitlines()[-1]
                assert last.startswith(f"amqpd: port {port} on 127.0.0.1 is taken")
                assert option in last


def test_a_newer_store_is_left_alone_with_exit_78(tmp_path: Path) -> None:
    with Program(tmp_path / "data").wait_ready() as broker:
        assert broker.stop() == Exit.OK
    database = tmp_path / "data" / "amqpd.db"
    content = bytearray(database.read_bytes())
    content[60:64] = (999).to_bytes(4, "big")
    database.write_bytes(content)

    with Program(tmp_path / "data") as broker:
        assert broker.process.wait(timeout=60) == Exit.CONFIG

    assert database.read_bytes() == content


def test_systemd_is_told(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(tmp_path / "notify"))
        supervisor.settimeout(60)
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        with Program(tmp_path / "data", environment=environment).wait_ready() as broker:
            assert supervisor.recv(100) == b"READY=1"
            broker.process.send_signal(signal.SIGHUP)
            assert supervisor.recv(100).startswith(b"RELOADING=1\n")
            assert supervisor.recv(100) == b"READY=1"
            assert broker.stop() == Exit.OK
            assert supervisor.recv(100) == b"STOPPING=1"


def test_the_default_user_comes_from_rabbitmqs_variables(tmp_path: Path) -> None:
    environment = {"RABBITMQ_DEFAULT_USER": "shop", "RABBITMQ_DEFAULT_PASS": "s3cret"}
    with Program(tmp_path / "data", environment=environment).wait_ready() as broker:
        with Client(broker.port, user="shop", password="s3cret") as client:
            assert client.channel().number == 1
        with pytest.raises(ConnectionClosed) as caught:
            Client(broker.port)
        assert caught.value.code == 403
        assert broker.stop() == Exit.OK


def test_rabbitmqs_log_lines_can_be_searched_for(tmp_path: Path) -> None:
    with Program(tmp_path / "data").wait_ready() as broker:
        port = broker.port
        with Client(port) as client:
            with pytest.raises(ChannelClosed):
                client.channel().declare_queue("q", passive=True)
            client.abort()
        with pytest.raises(ConnectionClosed):
            Client(port, password="wrong")
        with Client(port) as client:
            client.close()
        assert broker.stop() == Exit.OK
        log = broker.log

    for line in (
        r"started TCP listener on 127\.0\.0\.1:\d+",
        r"Server startup complete; 0 plugins started\.",
        rf"accepting AMQP connection \(127\.0\.0\.1:\d+ -> 127\.0\.0\.1:{port}\)",
        r"connection .*: user 'guest' authenticated and granted access to vhost '/'",
        r"Channel error on connection .*, channel 1: operation queue\.declare caused a channel "
        r"exception not_found: no queue 'q' in vhost '/'",
        r"closing AMQP connection \(.*, vhost: '/', user: 'guest', duration: '\d+m?s'\): "
        r"client unexpectedly closed TCP connection",
        r"PLAIN login refused: user 'guest'",
        r"closing AMQP connection \(.*, vhost: '/', user: 'guest', duration: '\d+m?s'\)$",
    ):
        assert re.search(line, log, re.MULTILINE), (line, log)


# -- in this process ------------------------------------------------------------------------


async def test_an_unchanged_client_publishes_and_consumes(tmp_path: Path) -> None:
    async with running(tmp_path) as broker:
        async with await aio_pika.connect(broker.uri) as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue("orders", durable=True)
            for text in (b"a", b"b", b"c"):
                await channel.default_exchange.publish(
                    aio_pika.Message(text, delivery_mode=2), "orders"
                )

            got = [await queue.get() for _ in range(3)]

            assert [one.body for one in got] == [b"a", b"b", b"c"]
            for one in got:
                await one.ack()
        assert await broker.stop() == Exit.OK


async def test_stopping_twice_does_not_wait_for_clients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "GOODBYE_S", 3600.0)
    async with running(tmp_path) as broker:
        reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
        writer.write(b"AMQP\0\0\x09\x01")
        await reader.readexactly(100)

        broker.server.stop("first")
        broker.server.stop("second")

        assert await broker.life == Exit.OK
        writer.close()


class FailingStore(MemoryStore):
    """A store whose disk fails from a certain moment on."""

    fails = False
    path: Path

    def write(self, batch: Batch, done: WriteDone) -> None:
        """Fail, or write."""
        if not self.fails:
            super().write(batch, done)
            return
        asyncio.get_running_loop().call_soon(
            done, StoreFailed(self.path, "store: Input/output error")
        )


async def test_a_failed_store_stops_the_broker_with_541_and_exit_70(tmp_path: Path) -> None:
    stores: list[FailingStore] = []

    def make_store(folder: Path, settings: Settings, post: Post) -> FailingStore:
        store = FailingStore(post)
        store.path = folder
        stores.append(store)
        return store

    async with running(tmp_path, make_store) as broker:
        connection = await aio_pika.connect(broker.uri)
        channel = await connection.channel()
        await channel.declare_queue("q", durable=True)
        stores[0].fails = True

        with pytest.raises(Exception, match="INTERNAL_ERROR"):
            await channel.default_exchange.publish(aio_pika.Message(b"", delivery_mode=2), "q")

        assert await broker.life == Exit.SOFTWARE
        await connection.close()


async def test_a_data_directory_that_cannot_be_made_is_an_error_of_configuration(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StartError) as caught:
        async with running(tmp_path / "file"):
            pass

    assert caught.value.code == Exit.CONFIG
    assert "data directory" in str(caught.value)


async def test_run_json_is_complete_when_connections_are_accepted(tmp_path: Path) -> None:
    async with running(tmp_path, http__port=0, metrics__port=0) as broker:
        content = json.loads((tmp_path / "data" / "run.json").read_text())

        assert content["pid"] == os.getpid()
        assert [one["protocol"] for one in content["listeners"]] == [
            "amqp",
            "http/prometheus",
            "http",
        ]
        assert all(one["port"] for one in content["listeners"])
        assert content["listeners"][0]["port"] == broker.port
