"""Ports and accepting."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from typing import TYPE_CHECKING

import pytest

from amqpd.server.listener import Listener, bind
from amqpd.server.process import Exit, StartError
from amqpd.server.room import Place, Room
from tests.server.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Protocol(asyncio.Protocol):
    """Leaves its place at its end."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say that it was accepted."""
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"+")

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave the room."""
        self.place.leave()


@contextlib.asynccontextmanager
async def listening(room: Room) -> AsyncIterator[int]:
    """A listener on a free port."""
    sockets = bind("127.0.0.1", 0, 128, "--port")
    listener = Listener(sockets, Protocol, room)
    async with asyncio.TaskGroup() as tasks:
        listener.start(tasks)
        yield listener.listening[0].port
        listener.close()


async def greeting(port: int) -> tuple[bytes, asyncio.StreamWriter]:
    """Connect: `+` when accepted, nothing when refused."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(ConnectionError):
        return await reader.read(1), writer
    return b"", writer


async def leave(room: Room, *writers: asyncio.StreamWriter) -> None:
    """Close, and wait until the other end has seen it."""
    for writer in writers:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    await until(lambda: not room.connections)


def test_a_taken_port_names_the_option_to_choose_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(
            StartError, match=f"port {port} on 127.0.0.1 is taken.*--port"
        ) as caught:
            bind("127.0.0.1", port, 1, "--port")

    assert caught.value.code == Exit.UNAVAILABLE


@pytest.mark.parametrize(
    ("host", "text"),
    [("192.0.2.1", "not one of this machine"), ("no.such.host.invalid", "no.such.host.invalid")],
)
def test_an_address_of_another_machine_is_an_error(host: str, text: str) -> None:
    with pytest.raises(StartError, match=text):
        bind(host, 0, 1, "--port")


def test_all_addresses_of_a_name_get_the_same_port() -> None:
    sockets = bind("localhost", 0, 1, "--port")
    try:
        assert len({one.getsockname()[1] for one in sockets}) == 1
    finally:
        for one in sockets:
            one.close()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
def test_two_colons_mean_all_addresses_the_old_ones_too() -> None:
    (one,) = bind("::", 0, 1, "--port")
    with one, socket.create_connection(("127.0.0.1", one.getsockname()[1])) as client:
        assert client.getpeername()[0] == "127.0.0.1"


async def test_connections_are_let_in() -> None:
    room = Room(10, 10)
    async with listening(room) as port:
        got, writer = await greeting(port)

        assert got == b"+"
        assert room.connections == 1
        await leave(room, writer)


async def test_above_the_limit_the_newest_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    room = Room(2, 10)
    async with listening(room) as port:
        results = [await greeting(port) for _ in range(5)]

        assert [got for got, _ in results] == [b"+", b"+", b"", b"", b""]
        assert room.refused == 3
        # One line a second, however many are refused.
        assert caplog.text.count("connection refused: limit of 2 reached") == 1
        await leave(room, *(writer for _, writer in results))

        got, writer = await greeting(port)
        assert got == b"+"
        await leave(room, writer)


async def test_without_file_descriptors_it_waits_and_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    room = Room(1000, 10)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with listening(room) as port:
        client = socket.socket()
        client.setblocking(False)
        # The lowest free number: nothing may be opened from there on.
        with socket.socket() as probe:
            lowest = probe.fileno()
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
        try:
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, ("127.0.0.1", port))
            await until(lambda: "accept:" in caplog.text)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

        assert await loop.sock_recv(client, 1) == b"+"
        client.close()
        await leave(room)
    assert caplog.text.count("accept:") == 1


async def test_a_closed_listener_lets_nobody_in() -> None:
    room = Room(10, 10)
    async with listening(room) as port:
        pass

    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
