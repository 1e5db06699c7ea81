"""Health, metrics and the API, as their users see them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from typing import TYPE_CHECKING

import aio_pika
import aiohttp
import pytest

from amqpd.broker.definitions import PutUser
from amqpd.server.login import new_password_hash
from tests.server.running import Running, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


def login(user: str, password: str) -> dict[str, str]:
    """The header of basic authentication."""
    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


GUEST = login("guest", "guest")


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


async def test_the_overview_counts_what_there_is(tmp_path: Path) -> None:
    async with served(tmp_path) as it, await aio_pika.connect(it.broker.uri) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("q")
        for _ in range(3):
            await channel.default_exchange.publish(aio_pika.Message(b"x"), "q")
        await queue.get()

        async with it.client.get(f"{it.api}/api/overview", headers=GUEST) as answer:
            overview = await answer.json()

        assert overview["product_name"] == "RabbitMQ"
        assert overview["node"].startswith("amqpd@")
        assert overview["sync"] is True
        totals = overview["object_totals"]
        assert (totals["connections"], totals["channels"], totals["queues"]) == (1, 1, 1)
        assert overview["queue_totals"] == {
            "messages": 3,
            "messages_ready": 2,
            "messages_unacknowledged": 1,
        }
        assert overview["listeners"][0]["port"] == it.broker.port


async def test_whoami_tells_user_and_tags(tmp_path: Path) -> None:
    async with (
        served(tmp_path) as it,
        it.client.get(f"{it.api}/api/whoami", headers=GUEST) as answer,
    ):
        assert await answer.json() == {
            "name": "guest",
            "tags": ["administrator"],
            "is_internal_user": True,
        }


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic !!!",
        "Basic " + base64.b64encode(b"\xff:x").decode(),
        "Basic " + base64.b64encode(b"guest:wrong").decode(),
        "Basic " + base64.b64encode(b"guest:").decode(),
        "Bearer abc",
    ],
)
async def test_without_the_right_password_there_is_nothing(tmp_path: Path, header: str) -> None:
    async with served(tmp_path) as it:
        headers = {"Authorization": header} if header else {}
        async with it.client.get(f"{it.api}/api/whoami", headers=headers) as answer:
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"].startswith("Basic")
            assert await answer.json() == {"error": "not_authorized", "reason": "Login failed"}


async def test_the_overview_is_for_users_with_a_tag(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        it.broker.server.broker.change(PutUser("shop", *new_password_hash("pw"), ()))
        shop = login("shop", "pw")

        async with it.client.get(f"{it.api}/api/overview", headers=shop) as answer:
            assert answer.status == 401
            assert (await answer.json())["reason"] == "Not management user"


async def test_metrics_are_on_their_own_port_without_login(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        async with it.client.get(f"{it.metrics}/metrics") as answer:
            assert answer.status == 200
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            text = await answer.text()
        async with it.client.get(f"{it.api}/metrics") as answer:
            assert answer.status == 404

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
