"""Clients by the thousand: sockets that say as little as possible, and wait for the answers."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Self

from pamqp import frame
from pamqp.commands import Channel, Connection, Exchange, Queue

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Iterable

    from pamqp.base import Frame as Command

HEADER = b"AMQP\x00\x00\x09\x01"
#: Methods by the first octets of their payload.
OPEN_OK, CLOSE_OK = b"\x00\x0a\x00\x29", b"\x00\x0a\x00\x33"
CHANNEL_OPEN_OK = b"\x00\x14\x00\x0b"
CHANNEL_CLOSE_OK = b"\x00\x14\x00\x29"
#: Connections that are opened at the same time.
AT_ONCE = 50


def method(command: Command, channel: int = 0) -> bytes:
    return frame.marshal(command, channel)


def greeting(heartbeat_s: int) -> bytes:
    """Everything up to connection.open in one go."""
    start = Connection.StartOk({}, "PLAIN", "\0guest\0guest", "en_US")
    tune = Connection.TuneOk(2047, 131_072, heartbeat_s)
    return HEADER + method(start) + method(tune) + method(Connection.Open("/"))


class Member:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def join(
        cls, port: int, heartbeat_s: int = 60, tls: ssl.SSLContext | None = None
    ) -> Self:
        """Connect and open the vhost."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
        member = cls(reader, writer)
        try:
            await member.say(greeting(heartbeat_s))
            await member.hear(OPEN_OK)
        except BaseException:
            await member.drop()
            raise
        return member

    async def say(self, octets: bytes) -> None:
        """Send octets."""
        self._writer.write(octets)
        await self._writer.drain()

    async def hear(self, wanted: bytes, count: int = 1) -> None:
        """Read until a method came so often.

        Raises:
            ConnectionError: the broker has closed channel or connection.
        """
        while count:
            head = await self._reader.readexactly(7)
            payload = await self._reader.readexactly(int.from_bytes(head[3:7]) + 1)
            if payload.startswith(wanted):
                count -= 1
            elif payload[:4] in (b"\x00\x0a\x00\x32", b"\x00\x14\x00\x28"):
                raise ConnectionError(payload[6:80])

    async def open_channels(self, count: int) -> None:
        """Open the channels 1 to `count`."""
        await self.say(b"".join(method(Channel.Open(), n) for n in range(1, count + 1)))
        await self.hear(CHANNEL_OPEN_OK, count)

    async def close_channels(self, count: int) -> None:
        """Close them."""
        close = Channel.Close(200, "", 0, 0)
        await self.say(b"".join(method(close, n) for n in range(1, count + 1)))
        await self.hear(CHANNEL_CLOSE_OK, count)

    async def all_of(self, commands: Iterable[Command], answer: bytes) -> None:
        """Say methods on channel 1, some hundreds ahead of the answers."""
        waiting = []
        for command in commands:
            waiting.append(method(command, 1))
            if len(waiting) == 200:
                await self.say(b"".join(waiting))
                await self.hear(answer, len(waiting))
                waiting.clear()
        if waiting:
            await self.say(b"".join(waiting))
            await self.hear(answer, len(waiting))

    async def leave(self) -> None:
        """Close in the orderly way."""
        await self.say(method(Connection.Close(200, "", 0, 0)))
        await self.hear(CLOSE_OK)
        await self.drop()

    async def drop(self) -> None:
        """Be gone."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


async def crowd(
    port: int, count: int, heartbeat_s: int = 60, tls: ssl.SSLContext | None = None
) -> list[Member]:
    """So many connections."""
    members: list[Member] = []
    while len(members) < count:
        joining = min(AT_ONCE, count - len(members))
        members += await asyncio.gather(
            *(Member.join(port, heartbeat_s, tls) for _ in range(joining))
        )
    return members


async def leave(members: list[Member]) -> None:
    """All of them go."""
    while members:
        some = [members.pop() for _ in range(min(AT_ONCE, len(members)))]
        await asyncio.gather(*(member.leave() for member in some))


async def churn(port: int, seconds: float, at_once: int = 8) -> int:
    """Connect, open a channel, declare an exclusive queue, and go, again and again."""
    loop = asyncio.get_running_loop()
    until, count = loop.time() + seconds, 0

    async def one() -> None:
        nonlocal count
        while loop.time() < until:
            count += 1
            await visit(port, count)

    await asyncio.gather(*(one() for _ in range(at_once)))
    return count


async def visits(port: int, count: int, at_once: int = 8) -> None:
    """The same so many times, however long that takes."""
    numbers = iter(range(count))

    async def one() -> None:
        for number in numbers:
            await visit(port, number)

    await asyncio.gather(*(one() for _ in range(at_once)))


async def visit(port: int, number: int) -> None:
    """Once."""
    member = await Member.join(port)
    await member.open_channels(1)
    queue = Queue.Declare(queue=f"churn-{number}", exclusive=True)
    await member.say(method(queue, 1))
    await member.hear(b"\x00\x32\x00\x0b")
    # Every other one just vanishes.
    await (member.leave() if number % 2 else member.drop())


@contextlib.asynccontextmanager
async def a_member(port: int) -> AsyncIterator[Member]:
    """One connection with a channel 1, for the time of the block."""
    member = await Member.join(port)
    await member.open_channels(1)
    yield member
    await member.leave()


def queues(count: int, *, durable: bool, exclusive: bool = False) -> Iterable[Command]:
    """Declarations of queues."""
    kind = "exclusive" if exclusive else "durable"
    return (
        Queue.Declare(queue=f"{kind}-{n}", durable=durable, exclusive=exclusive)
        for n in range(count)
    )


def bindings(exchange: str, queue_count: int, per_queue: int) -> Iterable[Command]:
    """Bindings of durable queues to a topic exchange."""
    return (
        Queue.Bind(queue=f"durable-{n}", exchange=exchange, routing_key=f"k{k}.*.n{n}")
        for n in range(queue_count)
        for k in range(per_queue)
    )


def deletions(count: int) -> Iterable[Command]:
    """The durable queues go."""
    return (Queue.Delete(queue=f"durable-{n}") for n in range(count))


DECLARE_OK, BIND_OK, DELETE_OK = b"\x00\x32\x00\x0b", b"\x00\x32\x00\x15", b"\x00\x32\x00\x29"
EXCHANGE_OK = b"\x00\x28\x00\x0b"
TOPIC = Exchange.Declare(exchange="load", exchange_type="topic", durable=True)
