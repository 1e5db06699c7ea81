"""Health and metrics as their users see them, and the life of the HTTP ports."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import socket
import struct
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.server.running import Running, running
from tests.server.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Served:
    """A broker with its HTTP ports, and a client."""

    def __init__(self, broker: Running, client: aiohttp.ClientSession) -> None:
        started = broker.started.result()
        self.broker = broker
        self.client = client
        self.api = started.http[0].uri
        self.metrics = started.metrics[0].uri


@contextlib.asynccontextmanager
async def served(folder: Path) -> AsyncIterator[Served]:
    """A broker whose HTTP ports answer."""
    async with (
        running(folder, http__port=0, metrics__port=0) as broker,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as client,
    ):
        yield Served(broker, client)
    # aiohttp closes its sockets in the turn after.
    await asyncio.sleep(0)


async def test_health_needs_no_login_and_is_on_both_ports(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        for uri in (f"{it.api}/healthz", f"{it.api}/readyz", f"{it.metrics}/readyz"):
            async with it.client.get(uri) as answer:
                assert answer.status == 200
                assert await answer.json() == {"status": "ok"}


async def test_metrics_are_on_both_ports_without_login(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        async with it.client.get(f"{it.metrics}/metrics") as answer:
            assert answer.status == 200
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            text = await answer.text()
        async with it.client.get(f"{it.api}/metrics") as answer:
            assert answer.status == 200

    assert "\nrabbitmq_connections 0\n" in text
    assert "\nrabbitmq_queues 0\n" in text


async def test_a_stopping_broker_closes_its_http_ports(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        async with it.client.get(f"{it.api}/healthz") as answer:
            assert answer.status == 200
        await it.broker.stop()

        with pytest.raises(aiohttp.ClientError):
            await it.client.get(f"{it.api}/healthz")


async def test_it_can_be_stopped_while_http_is_still_starting(tmp_path: Path) -> None:
    async with running(tmp_path, http__port=0) as broker:
        assert await broker.stop() == 0


async def test_a_client_that_goes_before_its_answer_is_nothing_to_tell(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(tmp_path) as it:
        port = it.broker.started.result().http[0].port
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        login = base64.b64encode(b"guest:guest").decode()
        request = (
            "GET /api/live?path=/overview HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: Basic {login}"
        )
        writer.write(f"{request}\r\n\r\n".encode())
        # A reset: nothing more can be written to it.
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        writer.transport.abort()
        await until(lambda: it.broker.server.http_room.connections == 0)
        async with it.client.get(f"{it.api}/healthz") as answer:
            assert answer.status == 200

    assert [one.message for one in caplog.records if one.levelno >= logging.WARNING] == []
