"""Live views: what a GET shows, again and again, as server-sent events.

`GET /api/live?path=/queues?page=1&interval=2` sends `event: data` with the JSON of that path
at once and whenever it has changed since, and `event: failed` with error and reason where it
is refused. A browser connects again by itself; a proxy sees an ordinary long answer.
(HTML Living Standard, server-sent events.)

Browsers open six connections to a host and no more. So a page asks for all that it shows by one:
`GET /api/live?paths=[["/overview",5],["/queues?page=1",2]]` has `data-0`, `data-1`, … instead.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl
from weakref import WeakSet

import msgspec

from amqpd.management.errors import HttpError, bad_request
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
#: Views of one stream.
MOST_VIEWS: Final = 20
#: Streams of one user.
MOST_STREAMS: Final = 100


class Streams:
    """How many answers without end somebody has open."""

    def __init__(self) -> None:
        self._open: dict[str, WeakSet[AsyncGenerator[bytes, None]]] = {}

    def enter(self, user: str, answer: Answer) -> None:
        """One more, which is gone when its pieces are.

        Raises:
            HttpError: there are `MOST_STREAMS` of this user already.
        """
        self._open = {name: streams for name, streams in self._open.items() if streams}
        streams = self._open.setdefault(user, WeakSet())
        if len(streams) >= MOST_STREAMS:
            reason = f"user '{user}' has {MOST_STREAMS} live views open"
            raise HttpError(429, "too_many_requests", reason)
        assert not isinstance(answer.body, bytes)
        streams.add(answer.body)


@dataclass(slots=True)
class _View:
    """What one path shows, and when it is looked at next."""

    asked: Request
    wait_s: float
    #: What follows the names of its events.
    suffix: bytes = b""
    before: bytes = b""
    due_s: float = 0.0


def live(request: Request, answer: Callable[[Request], Awaitable[Answer]]) -> Answer:
    """An endless answer with what `answer` says to the paths that are asked for.

    Raises:
        HttpError: there is no path, or an interval is no number.
    """
    query = request.query
    if "paths" in query:
        views = _views(request, query["paths"])
    else:
        try:
            interval_s = float(query.get("interval", DEFAULT_S))
        except ValueError as error:
            raise bad_request(f"interval: not a number of seconds: {error}") from error
        views = [_view(request, query.get("path", ""), interval_s)]
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return Answer(200, _events(views, answer), STREAM, headers)


def _views(request: Request, text: str) -> list[_View]:
    try:
        asked = msgspec.json.decode(text, type=list[tuple[str, float]])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise bad_request(f"paths: {error}") from error
    if not 0 < len(asked) <= MOST_VIEWS:
        raise bad_request(f"paths: from 1 to {MOST_VIEWS}")
    found = [_view(request, path, interval_s) for path, interval_s in asked]
    for place, view in enumerate(found):
        view.suffix = f"-{place}".encode()
    return found


def _view(request: Request, text: str, interval_s: float) -> _View:
    path, _, query = text.partition("?")
    if not path.startswith("/") or path.startswith("/live"):
        raise bad_request("path: must be one of the API, like /overview")
    asked = replace(request, method="GET", path=path, query=dict(parse_qsl(query)))
    return _View(asked, min(max(interval_s, LEAST_S), MOST_S))


async def _events(
    views: list[_View], answer: Callable[[Request], Awaitable[Answer]]
) -> AsyncGenerator[bytes, None]:
    time_s = asyncio.get_running_loop().time
    said_s = time_s()
    while True:
        view = min(views, key=lambda one: one.due_s)
        wait_s = view.due_s - time_s()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        event = await _event(view, answer)
        view.due_s = time_s() + view.wait_s
        if event != view.before:
            view.before, said_s = event, time_s()
            yield event
        elif time_s() - said_s >= SIGN_OF_LIFE_S:
            said_s = time_s()
            yield b": still here\n\n"


async def _event(view: _View, answer: Callable[[Request], Awaitable[Answer]]) -> bytes:
    found = await answer(view.asked)
    body = found.body
    octets = body if isinstance(body, bytes) else b"".join([piece async for piece in body])
    name = b"data" if found.status == 200 else b"failed"
    return b"event: " + name + view.suffix + b"\ndata: " + octets + b"\n\n"
