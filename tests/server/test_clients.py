"""Clients that people use, unchanged, against a broker with its store on disk."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import aio_pika
import pika  # type: ignore[import-untyped]  # pika has no types
import pika.exceptions  # type: ignore[import-untyped]  # as above
import pytest

from tests.server.running import ROOT, Program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MESSAGES = 200
PERSISTENT = pika.BasicProperties(delivery_mode=2, headers={"number": 1, "name": "größe"})

needs_tools = pytest.mark.skipif(not shutil.which("amqp-publish"), reason="no amqp-tools here")
needs_java = pytest.mark.skipif(
    not (shutil.which("mvn") and shutil.which("java")), reason="no Maven or no Java here"
)
needs_kombu = pytest.mark.skipif(not importlib.util.find_spec("kombu"), reason="no kombu here")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """One broker for all tests of this file; it logs no traceback and ends well."""
    with Program(tmp_path_factory.mktemp("clients") / "data") as program:
        yield program.wait_ready()
        assert program.stop() == 0
        assert "Traceback" not in program.log, program.log[-4000:]


@pytest.fixture
def connection(broker: Program) -> Iterator[pika.BlockingConnection]:
    """A connection of pika's blocking client."""
    parameters = pika.ConnectionParameters("127.0.0.1", broker.port, heartbeat=30)
    with pika.BlockingConnection(parameters) as connection:
        yield connection


def test_pika_publishes_with_confirms_and_consumes(connection: pika.BlockingConnection) -> None:
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare("pika", durable=True)
    for number in range(MESSAGES):
        channel.basic_publish("", "pika", b"%d" % number, PERSISTENT, mandatory=True)

    channel.basic_qos(prefetch_count=10)
    heard = []
    for method, properties, body in channel.consume("pika", inactivity_timeout=5):
        assert method is not None, "nothing more came"
        assert properties is not None
        assert properties.headers == PERSISTENT.headers
        heard.append(body)
        channel.basic_ack(method.delivery_tag or 0)
        if len(heard) == MESSAGES:
            break

    assert heard == [b"%d" % number for number in range(MESSAGES)]


def test_pika_hears_of_an_unroutable_message(connection: pika.BlockingConnection) -> None:
    channel = connection.channel()
    channel.confirm_delivery()

    with pytest.raises(pika.exceptions.UnroutableError):
        channel.basic_publish("", "pika.nowhere", b"", mandatory=True)


def test_pika_hears_why_a_channel_was_closed(connection: pika.BlockingConnection) -> None:
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as closed:
        connection.channel().queue_declare("pika.missing", passive=True)

    assert closed.value.reply_code == 404
    assert closed.value.reply_text == "NOT_FOUND - no queue 'pika.missing' in vhost '/'"


def test_pika_is_refused_with_a_wrong_password(broker: Program) -> None:
    credentials = pika.PlainCredentials("guest", "wrong")
    parameters = pika.ConnectionParameters("127.0.0.1", broker.port, credentials=credentials)

    with pytest.raises(pika.exceptions.ProbableAuthenticationError):
        pika.BlockingConnection(parameters)


async def test_aio_pika_publishes_with_confirms_and_consumes(broker: Program) -> None:
    url = f"amqp://guest:guest@127.0.0.1:{broker.port}/"
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange("aio", aio_pika.ExchangeType.TOPIC)
        queue = await channel.declare_queue("aio", durable=True)
        await queue.bind(exchange, "a.*")
        for number in range(MESSAGES):
            message = aio_pika.Message(
                b"%d" % number, delivery_mode=aio_pika.DeliveryMode.PERSISTENT
            )
            await exchange.publish(message, routing_key="a.b")
        heard = []
        async with queue.iterator(timeout=5) as arriving:
            async for arrived in arriving:
                heard.append(arrived.body)
                await arrived.ack()
                if len(heard) == MESSAGES:
                    break

    assert heard == [b"%d" % number for number in range(MESSAGES)]


async def test_aio_pika_rolls_back_a_transaction(broker: Program) -> None:
    url = f"amqp://guest:guest@127.0.0.1:{broker.port}/"
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel(publisher_confirms=False)
        queue = await channel.declare_queue(exclusive=True)
        transaction = channel.transaction()
        await transaction.select()
        await channel.default_exchange.publish(aio_pika.Message(b"no"), queue.name)
        await transaction.rollback()
        await channel.default_exchange.publish(aio_pika.Message(b"yes"), queue.name)
        await transaction.commit()

        first = await queue.get(no_ack=True)
        second = await queue.get(no_ack=True, fail=False)

    assert first.body == b"yes"
    assert second is None


KOMBU = """
import sys, kombu
with kombu.Connection(sys.argv[1]) as connection:
    queue = connection.SimpleQueue("kombu")
    for number in range(20):
        queue.put({"number": number}, serializer="json", compression="zlib")
    heard = []
    for number in range(20):
        message = queue.get(timeout=5)
        heard.append(message.payload["number"])
        message.ack()
    queue.close()
    assert heard == list(range(20)), heard
"""


@needs_kombu
def test_kombu_keeps_objects_in_a_simple_queue(broker: Program) -> None:
    url = f"amqp://guest:guest@127.0.0.1:{broker.port}//"

    subprocess.run([sys.executable, "-c", KOMBU, url], check=True, timeout=30)


@needs_tools
def test_the_c_tools_publish_get_and_consume(broker: Program) -> None:
    def tool(name: str, *options: str, text: bytes = b"") -> bytes:
        url = f"--url=amqp://guest:guest@127.0.0.1:{broker.port}/%2f"
        command = [f"amqp-{name}", url, *options]
        return subprocess.run(
            command, input=text, stdout=subprocess.PIPE, check=True, timeout=20
        ).stdout

    tool("declare-queue", "-d", "-q", "tools")
    tool("publish", "-p", "-r", "tools", text=b"one")
    tool("publish", "-p", "-r", "tools", text=b"2" * 300_000)

    assert tool("get", "-q", "tools") == b"one"
    assert tool("consume", "-q", "tools", "-c", "1", "cat") == b"2" * 300_000
    assert tool("delete-queue", "-q", "tools").strip() == b"0"


@needs_java
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_java_client_does_what_applications_do(broker: Program, tmp_path: Path) -> None:
    tree = tmp_path / "java"
    shutil.copytree(ROOT / "interop" / "java", tree)
    libraries = "-DoutputDirectory=target/libs"
    build = [
        "mvn",
        "-q",
        "-B",
        "-Dmaven.test.skip=true",
        "package",
        "dependency:copy-dependencies",
        libraries,
    ]
    subprocess.run(build, cwd=tree, check=True)

    url = f"amqp://guest:guest@127.0.0.1:{broker.port}/%2F"
    path = os.pathsep.join(("target/classes", "target/libs/*"))
    run = subprocess.run(
        ["java", "-cp", path, "amqpd.Smoke", url],
        cwd=tree,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=120,
    )

    assert "not ok" not in run.stdout, run.stdout
    assert run.returncode == 0
