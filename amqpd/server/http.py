"""HTTP: the API, health and metrics, in the broker's own loop.

aiohttp takes longer to import than the rest of the broker to start. So this module is
imported, in a thread, after AMQP connections are accepted; its ports are bound before, and
what comes in meanwhile waits in their backlog.

What is answered is in `management`; here requests come in and answers go out. The path is
taken as it was sent: only a quoted path tells a slash from a name with one.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Final

from aiohttp import web

from amqpd.management.api import Api
from amqpd.management.errors import bad_request
from amqpd.management.metrics import exposition
from amqpd.management.page import Page
from amqpd.management.request import Request

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from amqpd.management.host import Host
    from amqpd.management.request import Answer

LOG = logging.getLogger("amqpd.http")

#: Largest request head.
HEADER_BYTES: Final = 16_384
#: Largest body (RabbitMQ's limit).
BODY_BYTES: Final = 10_000_000
EXPOSITION_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
API: Final = "/api"


class HttpServer:
    """Serves the API on some sockets and the metrics on others, until `close`."""

    def __init__(self, host: Host, is_ready: Callable[[], bool]) -> None:
        self._host = host
        self._api = Api(host)
        self._pages = Page()
        self._is_ready = is_ready
        self._runners: list[web.AppRunner] = []

    async def start(self, api: list[socket.socket], metrics: list[socket.socket]) -> None:
        """Serve on sockets that listen already."""
        common = [
            web.get("/healthz", self._healthz),
            web.get("/readyz", self._readyz),
            web.get("/metrics", self._metrics),
        ]
        if api:
            pages = [web.get("/", self._page), web.get("/ui/{tail:.*}", self._page)]
            await self._serve(
                api, [*common, *pages, web.route("*", f"{API}/{{tail:.*}}", self._answer)]
            )
        if metrics:
            await self._serve(metrics, common)

    async def sample(self) -> None:
        """Count what happens, for rates and charts, until cancelled."""
        await self._api.survey.run()

    async def close(self) -> None:
        """Finish what is being answered and close the ports."""
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()

    async def _serve(self, sockets: list[socket.socket], routes: list[web.RouteDef]) -> None:
        app = web.Application(client_max_size=BODY_BYTES)
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
        text = exposition(self._host.figures())
        return web.Response(body=text.encode(), headers={"Content-Type": EXPOSITION_TYPE})

    async def _page(self, request: web.Request) -> web.Response:
        """The web page."""
        known = request.headers.get("If-None-Match", "")
        answer = self._pages.answer(request.match_info.get("tail", ""), known)
        if answer is None:
            raise web.HTTPNotFound
        assert isinstance(answer.body, bytes)
        headers = {"Content-Type": answer.content_type, **answer.headers}
        return web.Response(status=answer.status, body=answer.body, headers=headers)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        asked = _request(request)
        answer = await self._api.answer(asked)
        headers = {"Content-Type": answer.content_type, **answer.headers}
        if isinstance(answer.body, bytes):
            if not answer.body:
                del headers["Content-Type"]
            return web.Response(status=answer.status, body=answer.body, headers=headers)
        return await _stream(request, answer, headers)


def _request(request: web.Request) -> Request:
    path = request.raw_path.partition("?")[0]

    async def read() -> bytes:
        try:
            return await request.read()
        except web.HTTPRequestEntityTooLarge as error:
            raise bad_request("Exceeded HTTP request body size limit") from error

    return Request(
        method=request.method,
        path=path.partition(API)[2],
        query=request.query,
        headers={name.lower(): value for name, value in request.headers.items()},
        peer=request.remote or "",
        secure=request.secure,
        read=read,
    )


async def _stream(
    request: web.Request, answer: Answer, headers: dict[str, str]
) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=headers)
    await response.prepare(request)
    assert not isinstance(answer.body, bytes)
    if request.method == "HEAD":
        return response
    async with contextlib.aclosing(answer.body) as pieces:
        try:
            async for piece in pieces:
                await response.write(piece)
            await response.write_eof()
        except ConnectionError:
            # Whoever asked has gone; a live view ends in no other way.
            LOG.debug("HTTP %s: the client has gone", request.path)
    return response
