"""A broker with its HTTP API, and a client that says what it expects."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import aio_pika
import aiohttp
from yarl import URL

from tests.client import Client
from tests.server.running import Running, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

    from amqpd import config
    from amqpd.config import Settings
    from amqpd.store import Post, Store

#: JSON as a test looks at it.
Json = Any
Headers = dict[str, str]


def basic(user: str, password: str) -> Headers:
    """The header of basic authentication."""
    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def name(text: str) -> str:
    """A name as a segment of a path."""
    return quote(text, safe="")


class Api:
    """The API as one user sees it; every call checks the status."""

    def __init__(
        self, broker: Running, client: aiohttp.ClientSession, headers: Mapping[str, str]
    ) -> None:
        started = broker.started.result()
        self.broker = broker
        self.client = client
        self.headers = dict(headers)
        self.uri = started.http[0].uri
        self.metrics = started.metrics[0].uri if started.metrics else ""

    def as_user(self, user: str, password: str) -> Api:
        """The same as another user."""
        return Api(self.broker, self.client, basic(user, password))

    async def call(
        self,
        method: str,
        path: str,
        status: int,
        body: Json = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str | int] | None = None,
    ) -> tuple[Json, Mapping[str, str]]:
        """Send a request; the JSON that came back, if any, and the headers."""
        pairs = "&".join(
            f"{key}={quote(str(value), safe='')}" for key, value in (query or {}).items()
        )
        uri = URL(f"{self.uri}/api{path}{'?' * bool(pairs)}{pairs}", encoded=True)
        sent = {**self.headers, **(headers or {})}
        async with self.client.request(method, uri, json=body, headers=sent) as answer:
            octets = await answer.read()
            assert answer.status == status, (method, path, answer.status, octets)
            is_json = answer.content_type == "application/json" and octets
            return (await answer.json() if is_json else None), answer.headers

    async def get(self, path: str, status: int = 200, **query: str | int) -> Json:
        """GET; what came back."""
        return (await self.call("GET", path, status, query=query))[0]

    async def put(self, path: str, body: Json = None, status: int = 201) -> Json:
        """PUT something new, unless another status is expected."""
        return (await self.call("PUT", path, status, {} if body is None else body))[0]

    async def post(self, path: str, body: Json = None, status: int = 200) -> Json:
        """POST; what came back."""
        return (await self.call("POST", path, status, {} if body is None else body))[0]

    async def delete(self, path: str, status: int = 204, **query: str | int) -> Json:
        """DELETE; what came back."""
        return (await self.call("DELETE", path, status, query=query))[0]

    @contextlib.asynccontextmanager
    async def channel(
        self,
        user: str = "guest",
        password: str = "guest",  # noqa: S107
        vhost: str = "/",
        **options: bool,
    ) -> AsyncIterator[AbstractChannel]:
        """A channel of a connection of its own, for the time of the block."""
        uri = f"amqp://{user}:{password}@127.0.0.1:{self.broker.port}/{name(vhost)}"
        async with await aio_pika.connect(uri) as connection:
            yield await connection.channel(**options)

    async def connect(
        self,
        user: str = "guest",
        password: str = "guest",  # noqa: S107
        vhost: str = "/",
    ) -> Client:
        """An AMQP connection to the same broker."""
        options = partial(Client, self.broker.port, user=user, password=password, vhost=vhost)
        return await asyncio.to_thread(options)

    async def user(self, user: str, *tags: str, vhosts: tuple[str, ...] = ()) -> Api:
        """A new user, its password its name, with all rights in some vhosts."""
        await self.put(f"/users/{name(user)}", {"password": user, "tags": ",".join(tags)})
        for vhost in vhosts:
            rights = {"configure": ".*", "write": ".*", "read": ".*"}
            await self.put(f"/permissions/{name(vhost)}/{name(user)}", rights)
        return self.as_user(user, user)


async def ignore(_: AbstractIncomingMessage) -> None:
    """A consumer that does nothing, and acknowledges nothing."""


async def publish(
    channel: AbstractChannel, octets: bytes, key: str, exchange: str = "", **properties: Json
) -> None:
    """Publish a message and wait for its confirm."""
    to = channel.default_exchange
    if exchange:
        to = await channel.get_exchange(exchange)
    await to.publish(aio_pika.Message(octets, **properties), key, mandatory=False)


@contextlib.asynccontextmanager
async def short_of_disk(folder: Path) -> AsyncIterator[Api]:
    """The API of a broker for which no disk has enough room."""
    async with served(folder, resources__disk_free_bytes=1 << 60) as api:
        alarm = asyncio.Event()
        broker = api.broker.server.broker
        broker.watch_alarms(lambda _: alarm.set())
        if not broker.alarms.disk:
            await alarm.wait()
        yield api


@contextlib.asynccontextmanager
async def served(
    folder: Path,
    make_store: Callable[[Path, Settings, Post], Store] | None = None,
    **flags: config.Value,
) -> AsyncIterator[Api]:
    """A broker whose HTTP ports answer, and the API as guest sees it."""
    ports: dict[str, config.Value] = {"http__port": 0, "metrics__port": 0}
    async with (
        running(folder, make_store, **ports | flags) as broker,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as client,
    ):
        yield Api(broker, client, basic("guest", "guest"))
    # aiohttp closes its sockets in the turn after.
    await asyncio.sleep(0)
