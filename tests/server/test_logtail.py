"""The log for those who follow it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import aio_pika
import pytest

from amqpd.server.logtail import KEPT, Recent
from tests.server.running import running

if TYPE_CHECKING:
    from pathlib import Path

LOG = logging.getLogger("amqpd.test")


def record(level: int, text: str, exc_info: bool = False) -> logging.LogRecord:
    """A record of some logger."""
    error = (ValueError, ValueError("bad"), None) if exc_info else None
    return logging.LogRecord("amqpd.test", level, "", 0, text, None, error)


def test_the_last_lines_are_kept_and_found_by_level_and_text() -> None:
    recent = Recent()
    for number in range(KEPT + 5):
        recent.emit(record(logging.INFO, f"line {number}"))
    recent.emit(record(logging.WARNING, "Queue 'orders' is odd"))
    recent.emit(record(logging.ERROR, "broken", exc_info=True))

    assert len(recent.lines("debug", "", 10_000)) == KEPT
    assert [one.text for one in recent.lines("warning", "ORDERS", 9)] == ["Queue 'orders' is odd"]
    newest = recent.lines("info", "", 2)
    assert [one.level for one in newest] == ["error", "warning"]
    assert newest[0].number > newest[1].number
    assert "ValueError: bad" in newest[0].text
    assert (newest[0].category, newest[1].category) == ("test", "test")


def test_nobody_forges_a_line_for_those_who_look() -> None:
    recent = Recent()
    recent.emit(record(logging.INFO, "user 'a\n2026-01-01 [info] user 'admin' \x9b2J'"))

    (line,) = recent.lines("info", "", 9)
    assert line.text.isprintable()


@pytest.mark.parametrize("form", ["text", "json"])
async def test_lines_are_published_from_any_thread_by_their_level(
    tmp_path: Path, form: str
) -> None:
    async with (
        running(tmp_path, log__format=form) as broker,
        await aio_pika.connect(broker.uri) as connection,
    ):
        channel = await connection.channel()
        queue = await channel.declare_queue("log", exclusive=True)
        await queue.bind("amq.rabbitmq.log", "error")
        got: asyncio.Queue[aio_pika.abc.AbstractIncomingMessage] = asyncio.Queue()
        await queue.consume(got.put, no_ack=True)

        LOG.error("from here")
        await asyncio.to_thread(LOG.error, "from %s", "there")
        LOG.warning("not wanted")
        here, there = await got.get(), await got.get()

    assert b"from here" in here.body
    assert b"from there" in there.body
    assert here.routing_key == "error"
    assert here.content_type == {"text": "text/plain", "json": "application/json"}[form]
    assert here.headers["node"]
    assert got.empty()


async def test_logins_are_told_of_over_amqp(tmp_path: Path) -> None:
    async with (
        running(tmp_path, auth__failure_delay_s=0) as broker,
        await aio_pika.connect(broker.uri) as connection,
    ):
        channel = await connection.channel()
        queue = await channel.declare_queue("told", exclusive=True)
        await queue.bind("amq.rabbitmq.event", "user.authentication.*")
        got: asyncio.Queue[aio_pika.abc.AbstractIncomingMessage] = asyncio.Queue()
        await queue.consume(got.put, no_ack=True)

        with pytest.raises(aio_pika.exceptions.AMQPConnectionError):
            await aio_pika.connect(broker.uri.replace("guest:guest", "guest:wrong"))
        await (await aio_pika.connect(broker.uri)).close()
        failure, success = await got.get(), await got.get()

    assert failure.routing_key == "user.authentication.failure"
    assert failure.headers["name"] == "guest"
    assert failure.headers["error"]
    assert success.routing_key == "user.authentication.success"
    for told in (failure.headers, success.headers):
        assert (told["protocol"], told["ssl"]) == ("AMQP 0-9-1", False)
        assert str(told["connection_name"]).startswith(f"127.0.0.1:{told['peer_port']!r} -> ")
        assert "user_who_performed_action" not in told  # nobody has done it yet


async def test_a_connection_that_never_got_in_is_told_of_when_it_is_gone(tmp_path: Path) -> None:
    async with (
        running(tmp_path, auth__failure_delay_s=0) as broker,
        await aio_pika.connect(broker.uri) as connection,
    ):
        channel = await connection.channel()
        queue = await channel.declare_queue("told", exclusive=True)
        await queue.bind("amq.rabbitmq.event", "connection.*")
        got: asyncio.Queue[aio_pika.abc.AbstractIncomingMessage] = asyncio.Queue()
        await queue.consume(got.put, no_ack=True)

        with pytest.raises(aio_pika.exceptions.AMQPConnectionError):
            await aio_pika.connect(broker.uri.replace("guest:guest", "guest:wrong"), name="x")
        closed = await got.get()
        _, writer = await asyncio.open_connection("127.0.0.1", broker.port)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        stranger = await got.get()
        writer.close()

    assert (closed.routing_key, stranger.routing_key) == ("connection.closed", "connection.closed")
    assert closed.headers["user_provided_name"] == "x"
    assert sorted(stranger.headers) == [
        "client_properties",
        "name",
        "node",
        "pid",
        "timestamp_in_ms",
    ]


async def test_what_a_connection_takes_with_it_goes_before_it(tmp_path: Path) -> None:
    async with running(tmp_path) as broker, await aio_pika.connect(broker.uri) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("told", exclusive=True)
        other = await aio_pika.connect(broker.uri)
        mine = await (await other.channel()).declare_queue("mine", exclusive=True)
        await mine.consume(asyncio.Queue[object]().put)
        for key in ("consumer.deleted", "channel.closed", "queue.deleted", "connection.closed"):
            await queue.bind("amq.rabbitmq.event", key)
        got: asyncio.Queue[aio_pika.abc.AbstractIncomingMessage] = asyncio.Queue()
        await queue.consume(got.put, no_ack=True)

        await other.close()
        told = [(await got.get()).routing_key for _ in range(4)]

    assert told == ["consumer.deleted", "channel.closed", "queue.deleted", "connection.closed"]


async def test_there_is_no_exchange_where_nobody_wants_one(tmp_path: Path) -> None:
    async with running(tmp_path, events__vhost="") as broker:
        exchanges = broker.server.broker.vhosts["/"].exchanges

        assert not {"amq.rabbitmq.event", "amq.rabbitmq.log"} & set(exchanges)
