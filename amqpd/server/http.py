"""HTTP: the API, health and metrics, in the broker's own loop.

aiohttp takes longer to import than the rest of the broker to start. So this module is
imported, in a thread, after AMQP connections are accepted; its ports are bound before, and
what comes in meanwhile waits in their backlog.

What is answered is in `management`; here requests come in and answers go out. The path is
taken as it was sent: only a quoted path tells a slash from a name with one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from aiohttp import web

from amqpd.management import metrics as exposition
from amqpd.management import signpost
from amqpd.management.api import Api
from amqpd.management.errors import HttpError, bad_request
from amqpd.management.exposition import (
    CONTENT_TYPE,
    OPEN_CONTENT_TYPE,
    open_metrics,
    wants_open_metrics,
)
from amqpd.management.live import STREAM as LIVE
from amqpd.management.page import Page
from amqpd.management.request import Answer, Request
from amqpd.server import terse
from amqpd.server.guard import Guarded
from amqpd.server.listener import Listener
from amqpd.server.local import user_of
from amqpd.server.room import Room

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import AsyncGenerator, Callable, Iterator

    from aiohttp.web_request import BaseRequest

    from amqpd.management.host import Host
    from amqpd.server.listener import HttpPorts
    from amqpd.server.local import LocalSocket

LOG = logging.getLogger("amqpd.http")

#: Makes the protocol of a connection.
_Make: TypeAlias = "Callable[[], asyncio.Protocol]"

#: Largest request head.
HEADER_BYTES: Final = 16_384
#: How long a body may take to come.
BODY_S: Final = 30.0
#: How long a connection may be silent, or take for the head of a request.
SILENCE_S: Final = 30.0
#: What is being answered when the ports close may take so long.
FINISH_S: Final = 1.0
#: What every answer says: nothing here may be framed, guessed at, or run as a script.
PROTECTION: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
SERVER: Final = "amqpd"
HSTS: Final = "Strict-Transport-Security"
API: Final = "/api"
#: Of one machine's users, at a time.
LOCAL_CONNECTIONS: Final = 100
#: Whether an application answers on the local socket.
IS_LOCAL: Final = web.AppKey("IS_LOCAL", bool)


class HttpServer:
    """Serves the API on some sockets and the metrics on others, until `close`.

    `listeners` are those with TLS; their contexts are replaced when certificates are. What was
    set (`management.settings.Http`) is looked up with each request, but for the prefix.
    """

    def __init__(self, host: Host, room: Room, *, per_object: bool = False) -> None:
        self.listeners: list[Listener] = []
        self._prefix = host.http.path_prefix
        self._room = room
        self._per_object = per_object
        self._host = host
        self._api = Api(host)
        self._pages = Page()
        self._runners: list[web.AppRunner] = []
        self._servers: list[asyncio.Server] = []
        #: Those that send a live view.
        self._viewing: set[asyncio.Task[object]] = set()

    async def start(
        self,
        ports: HttpPorts,
        tasks: asyncio.TaskGroup,
        context: Callable[[], ssl.SSLContext],
        local: LocalSocket | None = None,
    ) -> None:
        """Serve on sockets that listen already."""
        common = [
            web.get("/healthz", self._healthz),
            web.get("/readyz", self._readyz),
            web.get("/metrics", self._metrics),
        ]
        answers = web.route("*", f"{API}/{{tail:(?s:.*)}}", self._answer)
        if ports.api or ports.api_tls:
            server = await self._serve(ports.api, [*common, *self._pages_and_api()])
            self._secure(server, ports.api_tls, tasks, context)
        if ports.metrics or ports.metrics_tls:
            more = [
                web.get("/metrics/per-object", self._metrics_per_object),
                web.get("/metrics/detailed", self._metrics_detailed),
                web.get("/metrics/memory-breakdown", self._metrics_memory),
            ]
            server = await self._serve(ports.metrics, [*common, *more])
            self._secure(server, ports.metrics_tls, tasks, context)
        if local is not None:
            server = await self._server([*common, answers], is_local=True)
            make = Guarded.around(server, Room(LOCAL_CONNECTIONS))
            loop = asyncio.get_running_loop()
            self._servers.append(await loop.create_unix_server(make, sock=local.socket))

    def _pages_and_api(self) -> Iterator[web.RouteDef]:
        """What is below the prefix; probes know no prefix, but are there, too."""
        prefix = self._prefix
        if prefix:
            yield web.get("/", self._home)
            yield web.get(prefix, self._home)
            yield web.get(f"{prefix}/healthz", self._healthz)
            yield web.get(f"{prefix}/readyz", self._readyz)
            yield web.get(f"{prefix}/metrics", self._metrics)
        yield web.get(f"{prefix}/", self._page)
        # Its files are named relative to the page.
        yield web.get(f"{prefix}/ui/", self._home)
        yield web.get(f"{prefix}/ui/index.html", self._home)
        yield web.get(f"{prefix}/ui/{{tail:.+}}", self._page)
        yield web.get(f"{prefix}{signpost.PATHS}", self._paths_page)
        yield web.get(f"{prefix}{signpost.PROGRAMS}", self._programs_page)
        for path in signpost.ELSEWHERE:
            yield web.get(f"{prefix}{path}", self._elsewhere)
        yield web.route("*", f"{prefix}{API}/{{tail:(?s:.*)}}", self._answer)

    async def sample(self) -> None:
        """Count what happens, for rates and charts, until cancelled."""
        await self._api.survey.run()

    async def close(self) -> None:
        """Finish what is being answered and close the ports."""
        for server in self._servers:
            server.close()
        for listener in self.listeners:
            listener.close()
        await self._end_views()
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()
        self._servers.clear()
        self._host.traces.close()

    async def _end_views(self) -> None:
        """End what has no end of its own, for which a stop would wait in vain.

        A view whose client leaves in the turn in which that wait is over failed in aiohttp 3.14
        (`InvalidStateError` from `web_protocol`).
        """
        viewing = set(self._viewing)
        for one in viewing:
            one.cancel()
        if viewing:
            await asyncio.wait(viewing)

    async def _serve(self, sockets: list[socket.socket], routes: list[web.RouteDef]) -> _Make:
        server, loop = await self._server(routes), asyncio.get_running_loop()
        for one in sockets:
            self._servers.append(
                await loop.create_server(Guarded.around(server, self._room), sock=one)
            )
            host, port = one.getsockname()[:2]
            LOG.info("started HTTP listener on %s:%d", host, port)
        return server

    async def _server(self, routes: list[web.RouteDef], *, is_local: bool = False) -> _Make:
        loop = asyncio.get_running_loop()
        app = web.Application()
        app[IS_LOCAL] = is_local
        app.add_routes(routes)
        app.on_response_prepare.append(self._protect)
        runner = web.AppRunner(
            app,
            handle_signals=False,
            access_log=None,
            logger=terse.logger(),
            max_line_size=HEADER_BYTES,
            max_field_size=HEADER_BYTES,
            keepalive_timeout=SILENCE_S,
            # For what of a body is still under way when its answer is out.
            lingering_time=1.0,
            # A few octets can stand for gigabytes.
            auto_decompress=False,
            shutdown_timeout=FINISH_S,
        )
        await runner.setup()
        self._runners.append(runner)
        assert runner.server is not None
        return partial(_Handler, runner.server, loop=loop, **runner.server._kwargs)

    def _secure(
        self,
        server: _Make,
        sockets: list[socket.socket],
        tasks: asyncio.TaskGroup,
        context: Callable[[], ssl.SSLContext],
    ) -> None:
        if sockets:
            seated = Guarded.seated(server)
            listener = Listener(sockets, seated, self._room, context(), schemes=("http", "https"))
            self.listeners.append(listener)
            listener.start(tasks)

    # -- resources -----------------------------------------------------------------------

    async def _healthz(self, request: web.Request) -> web.Response:
        """The process is alive."""
        return web.json_response({"status": "ok"})

    async def _readyz(self, request: web.Request) -> web.Response:
        """Clients are served."""
        if self._host.is_ready():
            return web.json_response({"status": "ok"})
        return web.json_response({"status": "failed", "reason": "not serving"}, status=503)

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        if self._per_object:
            return await self._metrics_per_object(request)
        return await _text(request, exposition.aggregated(self._host))

    async def _metrics_per_object(self, request: web.Request) -> web.StreamResponse:
        return await _text(request, exposition.per_object(self._host))

    async def _metrics_detailed(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        families, vhosts = query.getall("family", []), query.getall("vhost", [])
        queue = query.get("queue", "")
        try:
            exposition.check_detailed(queue)
        except HttpError as error:
            raise web.HTTPBadRequest(text=error.reason) from error
        return await _text(request, exposition.detailed(self._host, families, vhosts, queue))

    async def _metrics_memory(self, request: web.Request) -> web.StreamResponse:
        return await _text(request, exposition.memory_breakdown(self._host))

    async def _page(self, request: web.Request) -> web.Response:
        """The web page."""
        known = request.headers.get("If-None-Match", "")
        answer = self._pages.answer(request.match_info.get("tail", ""), known)
        if answer is None:
            raise web.HTTPNotFound
        assert isinstance(answer.body, bytes)
        headers = {"Content-Type": answer.content_type, **answer.headers}
        return web.Response(status=answer.status, body=answer.body, headers=headers)

    async def _elsewhere(self, request: web.Request) -> web.Response:
        """Where the page is that RabbitMQ has here."""
        path = signpost.ELSEWHERE[request.path.removeprefix(self._prefix)]
        raise web.HTTPMovedPermanently(f"{self._prefix}{path}")

    async def _home(self, request: web.Request) -> web.Response:
        """Where the web page is."""
        raise web.HTTPMovedPermanently(f"{self._prefix}/")

    async def _paths_page(self, request: web.Request) -> web.Response:
        if self._host.http.reference_needs_login:
            try:
                await self._api.caller(self._request(request))
            except HttpError as error:
                raise web.HTTPUnauthorized(text=error.reason, headers=error.headers) from error
        return _html(signpost.paths_page(self._api.router.routes))

    async def _programs_page(self, request: web.Request) -> web.Response:
        return _html(signpost.programs_page())

    async def _protect(self, request: web.Request, response: web.StreamResponse) -> None:
        settings, headers = self._host.http, response.headers
        for name, value in PROTECTION.items():
            headers.setdefault(name, value)
        if settings.hsts_s and request.secure:
            headers[HSTS] = f"max-age={settings.hsts_s}"
        # What we are is told to those who may know it.
        headers["Server"] = SERVER
        for name, value in settings.headers.items():
            headers.pop(name, None)
            if value and (request.secure or name.lower() != HSTS.lower()):
                headers[name] = value

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise web.HTTPUnsupportedMediaType(text="compressed requests are not taken")
        asked = self._request(request)
        answer = await self._api.answer(asked)
        headers = {"Content-Type": answer.content_type, **answer.headers}
        if isinstance(answer.body, bytes):
            if not answer.body:
                del headers["Content-Type"]
            return web.Response(status=answer.status, body=answer.body, headers=headers)
        if answer.content_type != LIVE:
            return await _stream(request, answer, headers)
        with self._view():
            return await _stream(request, answer, headers)

    def _request(self, request: web.Request) -> Request:
        """What the API is asked; the path is what comes after its own."""
        is_local = request.app[IS_LOCAL]
        root = API if is_local else f"{self._prefix}{API}"
        path = request.raw_path.partition("?")[0].partition(root)[2]
        return Request(
            method=request.method,
            path=path,
            query=request.query,
            headers={name.lower(): value for name, value in request.headers.items()},
            peer=request.remote or "",
            secure=request.secure,
            read=_Body(request, self._host.http.max_body_bytes).read,
            local_user=_local_user(request),
        )

    @contextlib.contextmanager
    def _view(self) -> Iterator[None]:
        """For as long as this task sends a live view."""
        task = asyncio.current_task()
        assert task is not None
        self._viewing.add(task)
        try:
            yield
        finally:
            self._viewing.discard(task)


def _html(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/html")


class _Handler(web.RequestHandler):
    """aiohttp's protocol of a connection; what cannot be read is answered as all else is."""

    __slots__ = ()

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """An answer that has nothing of the request in it, and does not say what we are made of."""
        told = message if status >= 500 else "the request cannot be read"
        answer = super().handle_error(request, status, exc, told)
        answer.headers.update(PROTECTION)
        answer.headers["Server"] = SERVER
        return answer


class _Body:
    """The body of a request: it comes once, and whoever has to begin anew has it again."""

    __slots__ = ("_limit_bytes", "_octets", "_request")

    def __init__(self, request: web.Request, limit_bytes: int) -> None:
        self._request = request
        self._limit_bytes = limit_bytes
        self._octets: bytes | None = None

    async def read(self, most_bytes: int | None = None) -> bytes:
        """All of it.

        Raises:
            HttpError: it is too long, or does not come.
        """
        if self._octets is None:
            self._octets = await _read(self._request, self._limit_bytes, most_bytes)
        elif most_bytes is not None and len(self._octets) > most_bytes:
            raise _too_long()
        return self._octets


async def _read(request: web.Request, limit_bytes: int, most_bytes: int | None = None) -> bytes:
    """A body, which must not be longer than any may be, nor than this one."""
    most = limit_bytes if most_bytes is None else min(limit_bytes, most_bytes)
    if request.content_length is not None and request.content_length > most:
        raise _too_long()
    try:
        async with asyncio.timeout(BODY_S):
            return await request.clone(client_max_size=most).read()
    except web.HTTPRequestEntityTooLarge:
        refusal = _too_long
    except ConnectionError:
        # Nobody hears the answer.
        refusal = _broken_off
    except TimeoutError:
        refusal = _too_slow
    # Here and not above: what comes from there has the body in the frames of its traceback.
    raise refusal()


def _too_long() -> HttpError:
    return bad_request("Exceeded HTTP request body size limit")


def _broken_off() -> HttpError:
    return HttpError(400, "bad_request", "the body ended too early")


def _too_slow() -> HttpError:
    return HttpError(408, "request_timeout", "the body did not come in time")


def _local_user(request: web.Request) -> str:
    """Who asks over the local socket; empty for everybody else.

    Raises:
        HTTPForbidden: it is not for this user.
    """
    if not request.app[IS_LOCAL]:
        return ""
    transport = request.transport
    user = None if transport is None else user_of(transport.get_extra_info("socket"))
    if user is None:
        raise web.HTTPForbidden(text="this socket is for the broker's own user and root")
    return user


async def _text(request: web.Request, pieces: AsyncGenerator[bytes, None]) -> web.StreamResponse:
    kind = CONTENT_TYPE
    if wants_open_metrics(request.headers.get("Accept", "")):
        kind, pieces = OPEN_CONTENT_TYPE, open_metrics(pieces)
    return await _stream(request, Answer(body=pieces, content_type=kind), {"Content-Type": kind})


async def _stream(
    request: web.Request, answer: Answer, headers: dict[str, str]
) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=headers)
    assert not isinstance(answer.body, bytes)
    async with contextlib.aclosing(answer.body) as pieces:
        try:
            await response.prepare(request)
            if request.method == "HEAD":
                return response
            async for piece in pieces:
                await response.write(piece)
            await response.write_eof()
        except ConnectionError:
            # Whoever asked has gone; a live view ends in no other way.
            LOG.debug("HTTP %s: the client has gone", request.method)
    return response
