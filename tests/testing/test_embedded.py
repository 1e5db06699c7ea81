"""Brokers inside a test suite, in this process and as their own."""

from __future__ import annotations

import logging
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from amqpd.server.app import GOODBYE_S
from amqpd.testing import BrokerProcess, EmbeddedBroker, StartFailed
from tests.client import Client, ConnectionClosed, Gone

if TYPE_CHECKING:
    from amqpd.testing import RunningBroker

both = pytest.mark.parametrize("kind", [EmbeddedBroker, BrokerProcess])
Kind = type[EmbeddedBroker] | type[BrokerProcess]


def publish(broker: RunningBroker, body: bytes) -> None:
    """One confirmed durable message in the queue `kept`."""
    with Client(broker.port) as client:
        channel = client.channel()
        channel.declare_queue("kept", durable=True)
        channel.select_confirms()
        channel.publish("", "kept", body, persistent=True)
        channel.wait_confirms()


def kept(broker: RunningBroker) -> bytes | None:
    """What `publish` left."""
    with Client(broker.port) as client:
        message = client.channel().get("kept", no_ack=True)
        return message.body if message else None


@both
def test_it_has_a_port_of_its_own_and_says_where(kind: Kind) -> None:
    with kind() as one, kind() as other:
        assert one.port != other.port
        assert one.uri == f"amqp://guest:guest@127.0.0.1:{one.port}/%2F"
        assert one.http_uri == ""

        publish(one, b"here")

        with pytest.raises(Exception, match="no queue 'kept'"):
            kept(other)


@both
def test_the_login_and_the_vhost_are_in_the_uri(kind: Kind) -> None:
    settings: dict[str, str | int | float | bool] = {
        "auth.default_user": "shop@1",
        "auth.default_password": "a/b",
        "auth.default_vhost": "orders/eu",
        "http.port": 0,
        "amqp.passwords_over_tls_only": False,
    }
    with kind(settings=settings) as broker:
        assert broker.uri == f"amqp://shop%401:a%2Fb@127.0.0.1:{broker.port}/orders%2Feu"
        assert broker.http_uri.startswith("http://shop%401:a%2Fb@127.0.0.1:")
        with Client(broker.port, user="shop@1", password="a/b", vhost="orders/eu") as client:
            assert client.channel().number == 1


@both
def test_a_restart_keeps_the_port_and_what_is_durable(kind: Kind) -> None:
    with kind() as broker:
        port = broker.port
        publish(broker, b"stays")
        with Client(port) as client:
            client.channel()

            broker.restart()

            with pytest.raises((ConnectionClosed, Gone, OSError)):
                client.channel()
        assert broker.port == port
        assert kept(broker) == b"stays"


def test_a_directory_outlives_the_broker(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path / "data") as broker:
        publish(broker, b"on disk")

    with BrokerProcess(tmp_path / "data") as broker:
        assert kept(broker) == b"on disk"

    assert not (tmp_path / "data" / "run.json").exists()


def test_a_killed_process_comes_back_with_what_was_confirmed() -> None:
    with BrokerProcess() as broker:
        port = broker.port
        publish(broker, b"confirmed")

        broker.kill()

        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        broker.start()
        assert broker.port == port
        assert kept(broker) == b"confirmed"


@both
def test_what_is_wrong_is_said_and_nothing_is_left(kind: Kind) -> None:
    with pytest.raises(StartFailed, match=r"did you mean 'amqp\.heartbeat_s'"):
        kind(settings={"amqp.heartbeat": 5}).start()
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(StartFailed, match="is taken"),
    ):
        kind(settings={"amqp.port": taken.getsockname()[1]}).start()

    assert not [one for one in threading.enumerate() if one.name == "amqpd-embedded"]


@both
def test_stopped_twice_or_started_twice_is_once(kind: Kind) -> None:
    broker = kind()
    broker.stop()
    broker.start()
    port = broker.port

    assert broker.start().port == port

    broker.stop()
    broker.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


@both
def test_clients_that_are_still_there_do_not_hold_it_up(kind: Kind) -> None:
    broker = kind().start()
    with Client(broker.port) as client:
        client.channel()
        started = time.monotonic()

        broker.stop()

        assert time.monotonic() - started < GOODBYE_S


def test_what_belongs_to_the_process_is_left_alone() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE), signal.getsignal(signal.SIGTERM)
    handlers = list(logging.getLogger().handlers)

    with EmbeddedBroker() as broker:
        assert broker.server.settings.amqp.port == 0
        during = resource.getrlimit(resource.RLIMIT_NOFILE), signal.getsignal(signal.SIGTERM)
        assert logging.getLogger().handlers == handlers

    assert during == before


def test_the_environment_says_nothing_to_an_embedded_broker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AMQPD_AMQP_PORT", "off")
    monkeypatch.setenv("RABBITMQ_DEFAULT_USER", "somebody")

    with EmbeddedBroker() as broker, Client(broker.port) as client:
        assert client.channel().number == 1


def test_a_process_ends_with_its_standard_input() -> None:
    with BrokerProcess() as broker:
        process = broker._running
        assert process.stdin is not None

        process.stdin.close()

        assert process.wait(timeout=60) == 0


def test_a_process_has_the_environment_and_the_folder_of_its_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BrokerProcess():
        pass
    monkeypatch.setenv("AMQPD_AUTH_DEFAULT_USER", "shop")
    monkeypatch.setenv("AMQPD_AUTH_DEFAULT_PASSWORD", "key")
    monkeypatch.chdir(tmp_path)

    with BrokerProcess(Path("data")) as broker:
        assert broker.uri.startswith("amqp://shop:key@127.0.0.1:")
        assert (tmp_path / "data" / "run.json").exists()


def test_a_killed_process_says_so_and_only_once_it_has_ended() -> None:
    with BrokerProcess() as broker:
        process = broker._running
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0)

        process.kill()

        assert process.wait(60) == -signal.SIGKILL
        process.kill()
        assert process.wait() == -signal.SIGKILL


#: Starts two brokers, tells where, and is killed.
SUITE = """
import os, signal
from amqpd.testing import BrokerProcess
one, other = BrokerProcess().start(), BrokerProcess().start()
print(one.pid, other.pid, os.getpid(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_nothing_outlives_a_killed_test_run() -> None:
    run = subprocess.Popen([sys.executable, "-c", SUITE], stdout=subprocess.PIPE, text=True)
    with run:
        # Brokers and the process that forked them have the output as well, or have ended.
        said, _ = run.communicate(timeout=60)

    brokers = [int(number) for number in said.split()[:2]]
    assert len(brokers) == 2
    patience = time.monotonic() + 60
    while any(Path(f"/proc/{pid}/cmdline").exists() for pid in brokers):
        assert time.monotonic() < patience
        time.sleep(0.01)


@pytest.mark.slow
@both
def test_a_started_broker_is_ready_within_100_ms(kind: Kind) -> None:
    with kind():
        pass  # What is imported once does not count.
    took = []
    for _ in range(10):
        started = time.perf_counter()
        with kind() as broker, Client(broker.port):
            took.append(time.perf_counter() - started)

    assert sorted(took)[len(took) // 2] <= 0.1, took
