"""Live views: what a path shows, whenever it changes."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from amqpd.management import live
from amqpd.management.errors import HttpError
from amqpd.management.request import Answer
from amqpd.server import http
from tests.management.served import served

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from tests.management.served import Api


async def event(answer: aiohttp.ClientResponse) -> tuple[str, Any]:
    """The next event: its name and what it carries."""
    async with asyncio.timeout(10):
        name = (await answer.content.readline()).decode().removeprefix("event: ").strip()
        data = (await answer.content.readline()).decode().removeprefix("data: ")
        assert await answer.content.readline() == b"\n"
    return name, json.loads(data)


async def test_a_view_is_sent_at_once_and_again_when_it_changes(api: Api) -> None:
    query = {"path": "/vhosts?columns=name", "interval": "0.5"}
    async with api.client.get(f"{api.uri}/api/live", params=query, headers=api.headers) as answer:
        assert answer.content_type == "text/event-stream"
        assert await event(answer) == ("data", [{"name": "/"}])

        await api.put("/vhosts/v")

        assert await event(answer) == ("data", [{"name": "/"}, {"name": "v"}])


async def test_several_views_come_by_one_stream(api: Api) -> None:
    paths = [["/vhosts?columns=name", 0.5], ["/vhosts/nope", 0.5], ["/users?columns=name", 60]]
    query = {"paths": json.dumps(paths)}
    async with api.client.get(f"{api.uri}/api/live", params=query, headers=api.headers) as answer:
        first = dict([await event(answer) for _ in paths])
        assert first["data-0"] == [{"name": "/"}]
        assert first["failed-1"]["error"]
        assert first["data-2"] == [{"name": "guest"}]

        await api.put("/vhosts/v")

        assert await event(answer) == ("data-0", [{"name": "/"}, {"name": "v"}])


async def test_what_is_refused_is_said_in_the_view(api: Api) -> None:
    query = {"path": "/vhosts/nope"}
    async with api.client.get(f"{api.uri}/api/live", params=query, headers=api.headers) as answer:
        name, said = await event(answer)

    assert name == "failed"
    assert said["error"]


async def test_a_view_shows_what_its_caller_may_see(api: Api) -> None:
    bob = await api.user("bob", "management")
    query = {"path": "/users"}
    async with api.client.get(f"{api.uri}/api/live", params=query, headers=bob.headers) as answer:
        assert (await event(answer))[0] == "failed"
    async with api.client.get(f"{api.uri}/api/live", params=query) as answer:
        assert answer.status == 401


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"path": "vhosts"},
        {"path": "/live?path=/x"},
        {"path": "/x", "interval": "soon"},
        {"paths": "x"},
        {"paths": "[]"},
        {"paths": '[["x", 1]]'},
        {"paths": '[["/x", "soon"]]'},
        {"paths": json.dumps([["/x", 1]] * 21)},
    ],
)
async def test_what_is_no_path_is_refused(api: Api, query: dict[str, str]) -> None:
    async with api.client.get(f"{api.uri}/api/live", params=query, headers=api.headers) as answer:
        assert answer.status == 400
        assert (await answer.json())["reason"]


def test_a_stream_that_is_over_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST_STREAMS", 2)
    streams = live.Streams()

    async def pieces() -> AsyncGenerator[bytes, None]:
        yield b""

    open_ones = [Answer(body=pieces()) for _ in range(3)]
    streams.enter("one", open_ones[0])
    streams.enter("one", open_ones[1])
    with pytest.raises(HttpError):
        streams.enter("one", open_ones[2])

    streams.enter("other", open_ones[2])
    del open_ones[0]
    streams.enter("one", Answer(body=pieces()))


async def test_a_broker_that_stops_does_not_wait_for_views(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "FINISH_S", 600.0)
    async with aiohttp.ClientSession() as client:
        async with asyncio.timeout(60), served(tmp_path) as api:
            query = {"path": "/whoami"}
            answer = await client.get(f"{api.uri}/api/live", params=query, headers=api.headers)
            assert (await event(answer))[0] == "data"

        with pytest.raises(aiohttp.ClientError):
            await answer.read()
