"""An HTTP service that says who may do what, as RabbitMQ's HTTP backend asks it."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Service:
    """Answers by path and parameters; everything it was asked is kept."""

    def __init__(self) -> None:
        #: What it answers, by the last part of the path.
        self.answers = {"user": "allow management", "vhost": "allow", "resource": "allow"}
        self.answers["topic"] = "allow"
        self.status = 200
        #: (method, last part of the path, parameters)
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.denied: set[str] = set()
        self.port = 0
        #: An answer piece by piece, if there are any; and whether it is compressed.
        self.pieces: list[bytes] = []
        self.packed = False

    def path(self, name: str) -> str:
        """The URL of one of the four."""
        return f"http://127.0.0.1:{self.port}/auth/{name}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Whatever the test has set."""
        name = request.match_info["name"]
        given = request.query if request.method == "GET" else await request.post()
        parameters = {key: str(value) for key, value in given.items()}
        self.asked.append((request.method, name, parameters))
        text = "deny" if parameters.get("name") in self.denied else self.answers[name]
        if self.pieces:
            return await self._in_pieces(request)
        if self.packed:
            packed = gzip.compress(text.encode())
            return web.Response(body=packed, headers={"Content-Encoding": "gzip"})
        headers = {"Location": self.path("vhost")} if 300 <= self.status < 400 else {}
        return web.Response(text=text, status=self.status, headers=headers)

    async def _in_pieces(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):  # it has heard enough
            for piece in self.pieces:
                await response.write(piece)
                await asyncio.sleep(0)
            await response.write_eof()
        return response


@contextlib.asynccontextmanager
async def a_service() -> AsyncIterator[Service]:
    """The service, on a port of its own."""
    made = Service()
    app = web.Application()
    app.router.add_route("*", "/auth/{name}", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.port = runner.addresses[0][1]
    try:
        yield made
    finally:
        await runner.cleanup()
