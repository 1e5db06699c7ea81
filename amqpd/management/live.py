"""Live views: what a GET shows, again and again, as server-sent events.

`GET /api/live?path=/queues?page=1&interval=2` sends `event: data` with the JSON of that path
at once and whenever it has changed since, and `event: failed` with error and reason where it
is refused. A browser connects again by itself; a proxy sees an ordinary long answer.
(HTML Living Standard, server-sent events.)
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from amqpd.management.errors import bad_request
from amqpd.management.request import Answer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from amqpd.management.request import Request

STREAM: Final = "text/event-stream"
DEFAULT_S: Final = 1.0
LEAST_S: Final = 0.5
MOST_S: Final = 60.0
#: A silent stream says something this often, so that nobody takes it for dead.
SIGN_OF_LIFE_S: Final = 15.0


def live(request: Request, answer: Callable[[Request], Awaitable[Answer]]) -> Answer:
    """An endless answer with what `answer` says to the path that is asked for.

    Raises:
        HttpError: there is no path, or the interval is no number.
    """
    path, _, query = request.query.get("path", "").partition("?")
    if not path.startswith("/") or path.startswith("/live"):
        raise bad_request("path: must be one of the API, like /overview")
    try:
        interval_s = float(request.query.get("interval", DEFAULT_S))
    except ValueError as error:
        raise bad_request(f"interval: not a number of seconds: {error}") from error
    asked = replace(request, method="GET", path=path, query=dict(parse_qsl(query)))
    wait_s = min(max(interval_s, LEAST_S), MOST_S)
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return Answer(200, _events(asked, answer, wait_s), STREAM, headers)


async def _events(
    asked: Request, answer: Callable[[Request], Awaitable[Answer]], wait_s: float
) -> AsyncGenerator[bytes, None]:
    before = b""
    silent_s = 0.0
    while True:
        found = await answer(asked)
        body = found.body
        octets = body if isinstance(body, bytes) else b"".join([piece async for piece in body])
        name = b"data" if found.status == 200 else b"failed"
        event = b"event: " + name + b"\ndata: " + octets + b"\n\n"
        if event != before:
            before, silent_s = event, 0.0
            yield event
        elif silent_s >= SIGN_OF_LIFE_S:
            silent_s = 0.0
            yield b": still here\n\n"
        await asyncio.sleep(wait_s)
        silent_s += wait_s
