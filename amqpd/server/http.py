"""HTTP: health, metrics, and the first resources of the API, in the broker's own loop.

aiohttp takes longer to import than the rest of the broker to start. So this module is
imported, in a thread, after AMQP connections are accepted; its ports are bound before, and
what comes in meanwhile waits in their backlog.
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec
from aiohttp import web

from amqpd.server.metrics import exposition

if TYPE_CHECKING:
    import socket

    from amqpd.server.figures import Figures

LOG = logging.getLogger("amqpd.http")

#: Largest request head; nothing here takes a body.
HEADER_BYTES: Final = 16_384
EXPOSITION_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

#: Who it is, with its tags; None for wrong credentials.
CheckPassword: TypeAlias = Callable[[str, bytes, str], Awaitable[frozenset[str] | None]]
Answer: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HttpServer:
    """Serves the API on some sockets and the metrics on others, until `close`."""

    def __init__(
        self,
        figures: Callable[[], Figures],
        is_ready: Callable[[], bool],
        check_password: CheckPassword,
    ) -> None:
        self._figures = figures
        self._is_ready = is_ready
        self._check_password = check_password
        self._runners: list[web.AppRunner] = []

    async def start(self, api: list[socket.socket], metrics: list[socket.socket]) -> None:
        """Serve on sockets that listen already."""
        health = [web.get("/healthz", self._healthz), web.get("/readyz", self._readyz)]
        if api:
            routes = [
                *health,
                web.get("/api/overview", self._overview),
                web.get("/api/whoami", self._whoami),
            ]
            await self._serve(api, routes)
        if metrics:
            await self._serve(metrics, [*health, web.get("/metrics", self._metrics)])

    async def close(self) -> None:
        """Finish what is being answered and close the ports."""
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()

    async def _serve(self, sockets: list[socket.socket], routes: list[web.RouteDef]) -> None:
        app = web.Application(client_max_size=HEADER_BYTES)
        app.add_routes(routes)
        runner = web.AppRunner(
            app,
            handle_signals=False,
            access_log=None,
            max_line_size=HEADER_BYTES,
            max_field_size=HEADER_BYTES,
            shutdown_timeout=1.0,
        )
        await runner.setup()
        self._runners.append(runner)
        for one in sockets:
            await web.SockSite(runner, one).start()
            host, port = one.getsockname()[:2]
            LOG.info("started HTTP listener on %s:%d", host, port)

    # -- resources -----------------------------------------------------------------------

    async def _healthz(self, request: web.Request) -> web.Response:
        """The process is alive."""
        return web.json_response({"status": "ok"})

    async def _readyz(self, request: web.Request) -> web.Response:
        """Clients are served."""
        if self._is_ready():
            return web.json_response({"status": "ok"})
        return web.json_response({"status": "failed", "reason": "not serving"}, status=503)

    async def _metrics(self, request: web.Request) -> web.Response:
        text = exposition(self._figures())
        return web.Response(body=text.encode(), headers={"Content-Type": EXPOSITION_TYPE})

    async def _whoami(self, request: web.Request) -> web.Response:
        user, tags = await self._login(request)
        return _json({"name": user, "tags": sorted(tags), "is_internal_user": True})

    async def _overview(self, request: web.Request) -> web.Response:
        _, tags = await self._login(request)
        if not tags & {"administrator", "monitoring", "policymaker", "management"}:
            raise _refusal("Not management user", "not_authorized")
        now = self._figures()
        return _json(
            {
                "product_name": now.product,
                "product_version": now.product_version,
                "rabbitmq_version": now.product_version,
                "management_version": now.product_version,
                "amqpd_version": now.version,
                "node": now.node,
                "cluster_name": now.cluster_name,
                "sync": now.sync,
                "object_totals": {
                    "connections": now.connections,
                    "channels": now.channels,
                    "exchanges": now.exchanges,
                    "queues": now.queues,
                    "consumers": now.consumers,
                },
                "queue_totals": {
                    "messages": now.ready + now.unacked,
                    "messages_ready": now.ready,
                    "messages_unacknowledged": now.unacked,
                },
                "listeners": [
                    {
                        "node": now.node,
                        "protocol": one.protocol,
                        "ip_address": one.host,
                        "port": one.port,
                    }
                    for one in now.listeners
                ],
            }
        )

    async def _login(self, request: web.Request) -> tuple[str, frozenset[str]]:
        """Who asks.

        Raises:
            web.HTTPUnauthorized: nobody, or nobody we know.
        """
        user, password = _basic(request.headers.get("Authorization", ""))
        if user:
            tags = await self._check_password(user, password, request.remote or "")
            if tags is not None:
                return user, tags
        raise _refusal("Login failed", "not_authorized")


def _basic(header: str) -> tuple[str, bytes]:
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return "", b""
    try:
        user, _, password = base64.b64decode(value.strip(), validate=True).partition(b":")
        return user.decode(), password
    except (binascii.Error, UnicodeDecodeError):
        return "", b""


def _json(content: dict[str, object]) -> web.Response:
    return web.Response(body=msgspec.json.encode(content), content_type="application/json")


def _refusal(reason: str, error: str) -> web.HTTPUnauthorized:
    return web.HTTPUnauthorized(
        text=msgspec.json.encode({"error": error, "reason": reason}).decode(),
        content_type="application/json",
        headers={"WWW-Authenticate": 'Basic realm="amqpd"'},
    )
