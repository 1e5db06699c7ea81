"""All open connections: time for them, and an end when the broker stops."""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amqpd.broker.queue import Queue
    from amqpd.server.commits import Commits
    from amqpd.server.transport import Transport

#: Each connection looks at the time once in so many ticks.
TICK_SHARES: Final = 5
#: So many of them at a time; then it is everybody else's turn.
TICK_SLICE: Final = 32


class Connections:
    """The transports that are open, in the order in which they came."""

    def __init__(self, commits: Commits) -> None:
        self.opened = 0
        self.closed = 0
        self._commits = commits
        self._open: dict[Transport, int] = {}
        self._shares: list[dict[Transport, None]] = [{} for _ in range(TICK_SHARES)]
        self._held: set[Transport] = set()
        self._crowding: set[Transport] = set()
        self._empty: asyncio.Future[None] | None = None
        self._share = 0

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Transport]:
        return iter(self._open)

    @property
    def channels(self) -> int:
        """Channels that are open, over all connections."""
        return sum(len(transport.session.channels) for transport in self._open)

    def add(self, transport: Transport) -> None:
        """A connection was established."""
        self.opened += 1
        share = self._open[transport] = self.opened % TICK_SHARES
        self._shares[share][transport] = None

    def remove(self, transport: Transport) -> None:
        """A connection is over."""
        share = self._open.pop(transport, None)
        if share is None:
            return
        del self._shares[share][transport]
        self.closed += 1
        transport.place.leave()
        self._held.discard(transport)
        self._crowding.discard(transport)
        if not self._open and self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    def tick(self, now_ms: int) -> Iterator[None]:
        """Let a share of the sessions look at the time; yields where others should have a turn.

        A thousand at once would hold everybody up for 20 ms.
        """
        self._share = (self._share + 1) % TICK_SHARES
        due = iter(list(self._shares[self._share]))
        while slice_ := list(islice(due, TICK_SLICE)):
            for transport in slice_:
                transport.tick(now_ms)
            yield

    # -- back pressure -------------------------------------------------------------------

    def hold(self, transport: Transport) -> None:
        """The connection published while too much waits for the disk: read it later."""
        if transport not in self._held:
            self._held.add(transport)
            transport.hold(True)

    def relieve(self) -> None:
        """Read publishers again once the disk has caught up."""
        if self._held and self._commits.relieved:
            held, self._held = self._held, set()
            for transport in held - self._crowding:
                transport.hold(False)

    def hold_for(self, transport: Transport, queue: Queue) -> None:
        """The connection has filled a queue whose consumers are slower: read it later."""
        if transport not in self._crowding:
            self._crowding.add(transport)
            transport.hold(True)
            queue.pressure.hold(partial(self._let_go, transport))

    def _let_go(self, transport: Transport) -> None:
        self._crowding.discard(transport)
        if transport in self._open and transport not in self._held:
            transport.hold(False)

    def look(self) -> None:
        """Alarms have changed: some connections may be read again."""
        for transport in self._open:
            transport.look()

    def access_changed(self) -> None:
        """Users or permissions have changed."""
        for transport in list(self._open):
            transport.session.access_changed()

    # -- the end -------------------------------------------------------------------------

    async def shut_down(self, patience_s: float) -> None:
        """Ask all clients to go, and cut off those that have not gone in time."""
        for transport in list(self._open):
            transport.shut_down()
        await self._wait(patience_s)
        for transport in list(self._open):
            transport.abort()
        await self._wait(1.0)

    def fail(self) -> None:
        """Close all connections with 541."""
        for transport in list(self._open):
            transport.fail()

    async def _wait(self, patience_s: float) -> None:
        if not self._open:
            return
        self._empty = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait_for(self._empty, patience_s)
        except TimeoutError:
            # Whoever is left is cut off by the caller.
            return
        finally:
            self._empty = None
