"""A bad network: a TCP proxy that delays, slices, cuts, stalls and swallows.

Each direction of all its connections is one `Way`, whose settings take effect with the next
octets; `cut` and `half_close` are for connections as a whole. The proxy lives in a thread of
its own with an event loop of its own, so that whoever talks through it may block.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Coroutine

READ_BYTES: Final = 65_536
#: Reset instead of a proper end of stream.
RESET: Final = struct.pack("ii", 1, 0)


@dataclass
class Way:
    """What is done to octets that go one way."""

    delay_s: float = 0.0
    #: Octets per second; 0 is as fast as can be.
    rate: int = 0
    #: Octets per segment; 0 is as they come.
    slice_bytes: int = 0
    #: After so many octets of a connection both its sockets are reset; -1 is never.
    cut_after: int = -1
    #: Octets are taken and lost.
    black_hole: bool = False
    #: Cleared: nothing is read, so that the sender's buffers fill.
    flowing: asyncio.Event = field(default_factory=asyncio.Event)


class Proxy:
    """Passes on connections to a port on this machine; a context manager."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.to_broker = Way()
        self.to_client = Way()
        for way in (self.to_broker, self.to_client):
            way.flowing.set()
        #: How many octets went each way, over all connections.
        self.passed = {"to_broker": 0, "to_client": 0}
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="proxy")

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    # -- what the test does

    def stall(self, way: Way, yes: bool) -> None:
        """Stop reading what goes this way, or go on."""
        self._loop.call_soon_threadsafe(way.flowing.clear if yes else way.flowing.set)

    def cut(self, *, reset: bool = True) -> None:
        """End all connections, on both sides."""
        self._call(self._cut(reset))

    def half_close(self) -> None:
        """End the clients' direction of all connections, as a client does that only listens."""
        self._call(self._half_close())

    def _call(self, what: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    async def _cut(self, reset: bool) -> None:
        for writer in list(self._writers):
            _end(writer, reset=reset)

    async def _half_close(self) -> None:
        for writer in list(self._writers):
            if writer.get_extra_info("peername")[1] == self.target:
                writer.write_eof()

    # -- the thread

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._connected, "127.0.0.1", 0, limit=READ_BYTES)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._finish(server))
        self._loop.close()

    async def _finish(self, server: asyncio.Server) -> None:
        server.close()
        await self._cut(reset=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            await self._join(reader, writer)
        except (OSError, asyncio.CancelledError):
            _end(writer, reset=True)
        finally:
            self._writers.discard(writer)
            self._tasks.discard(task)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.target, limit=READ_BYTES)
        self._writers.add(back)
        try:
            await asyncio.gather(
                self._pump(reader, back, self.to_broker, "to_broker"),
                self._pump(there, writer, self.to_client, "to_client"),
            )
        finally:
            self._writers.discard(back)
            for one in (writer, back):
                _end(one, reset=False)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way, name: str
    ) -> None:
        passed = 0
        while True:
            await way.flowing.wait()
            octets = await reader.read(READ_BYTES)
            if not octets:
                with contextlib.suppress(OSError):
                    writer.write_eof()
                return
            if way.delay_s:
                await asyncio.sleep(way.delay_s)
            if way.black_hole:
                continue
            if 0 <= way.cut_after <= passed + len(octets):
                await self._pass(writer, octets[: way.cut_after - passed], way, name)
                raise ConnectionResetError
            passed += len(octets)
            await self._pass(writer, octets, way, name)

    async def _pass(self, writer: asyncio.StreamWriter, octets: bytes, way: Way, name: str) -> None:
        step = way.slice_bytes or len(octets) or 1
        for at in range(0, len(octets), step):
            piece = octets[at : at + step]
            writer.write(piece)
            await writer.drain()
            self.passed[name] += len(piece)
            if way.rate:
                await asyncio.sleep(len(piece) / way.rate)
            elif way.slice_bytes:
                await asyncio.sleep(0)


def _end(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    """Close a socket; a reset is seen at once and loses what is on its way."""
    connected: socket.socket | None = writer.get_extra_info("socket")
    if reset and connected is not None and not writer.transport.is_closing():
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        writer.transport.abort()
    else:
        writer.close()
