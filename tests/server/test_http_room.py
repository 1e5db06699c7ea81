"""How many HTTP connections there may be, with real sockets beside a client that does no harm."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from amqpd import config
from amqpd.server import reload, room
from tests.server.running import running
from tests.server.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import pytest

    from tests.server.running import Running

REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
CROWD, SENTINEL = "127.0.0.1", "127.0.0.2"
Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Crowd:
    """Connections that are opened and stay."""

    def __init__(self, broker: Running) -> None:
        self.broker = broker
        self.port = broker.started.result().http[0].port
        self.open: list[asyncio.StreamWriter] = []

    async def come(self, source: str = CROWD) -> Ends:
        """One more."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, local_addr=(source, 0)
        )
        self.open.append(writer)
        return reader, writer

    async def is_answered(self, ends: Ends) -> bool:
        """Whether a request is; otherwise the connection has been cut."""
        reader, writer = ends
        try:
            writer.write(REQUEST)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(len(b'{"status": "ok"}'))
        except (ConnectionError, asyncio.IncompleteReadError):
            return False
        return b" 200 OK" in head


@contextlib.asynccontextmanager
async def crowd(folder: Path, **flags: config.Value) -> AsyncIterator[Crowd]:
    """A broker, and nobody there yet."""
    async with running(folder, None, http__port=0, **flags) as broker:
        it = Crowd(broker)
        try:
            # HTTP comes a moment later than AMQP.
            assert await it.is_answered(await it.come())
            it.open.pop().close()
            await until(lambda: broker.server.http_room.connections == 0)
            yield it
        finally:
            for writer in it.open:
                writer.close()


async def test_above_the_limit_the_newest_are_cut_off_and_the_others_served(tmp_path: Path) -> None:
    async with crowd(tmp_path, http__max_connections=5) as it:
        sentinel = await it.come(SENTINEL)
        first = [await it.come() for _ in range(4)]
        for _ in range(20):
            assert not await it.is_answered(await it.come())
            assert await it.is_answered(sentinel)
        for ends in first:
            assert await it.is_answered(ends)

        first[0][1].close()
        await until(lambda: it.broker.server.http_room.connections == 4)

        assert await it.is_answered(await it.come())


async def test_one_address_cannot_take_all_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # This machine itself counts over all only: here its addresses are others'.
    monkeypatch.setattr(room, "source_of", str)
    async with crowd(tmp_path, http__max_connections_per_source=3) as it:
        for _ in range(3):
            assert await it.is_answered(await it.come())
        for _ in range(20):
            assert not await it.is_answered(await it.come())

        assert await it.is_answered(await it.come(SENTINEL))


async def test_limits_change_with_a_reload_and_nobody_is_sent_away(tmp_path: Path) -> None:
    async with crowd(tmp_path, http__max_connections=3) as it:
        here = [await it.come() for _ in range(3)]
        server = it.broker.server

        reload.apply(server, config.changed(server.settings, "http.max_connections", 1))

        for ends in here:
            assert await it.is_answered(ends)
        assert not await it.is_answered(await it.come())
        reload.apply(server, config.changed(server.settings, "http.max_connections", 4))
        assert await it.is_answered(await it.come())
        assert not await it.is_answered(await it.come())
