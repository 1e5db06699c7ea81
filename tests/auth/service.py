"""An HTTP service that says who may do what, as RabbitMQ's HTTP backend asks it."""

from __future__ import annotations

import contextlib
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

    def path(self, name: str) -> str:
        """The URL of one of the four."""
        return f"http://127.0.0.1:{self.port}/auth/{name}"

    async def answer(self, request: web.Request) -> web.Response:
        """Whatever the test has set."""
        name = request.match_info["name"]
        given = request.query if request.method == "GET" else await request.post()
        parameters = {key: str(value) for key, value in given.items()}
        self.asked.append((request.method, name, parameters))
        text = "deny" if parameters.get("name") in self.denied else self.answers[name]
        return web.Response(text=text, status=self.status)


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
