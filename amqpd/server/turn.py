"""One turn of the event loop: what happens once, after all reads of it.

asyncio calls what `call_soon` was given after everything that was readable has been read and
before it looks for more. So whatever the reads of a turn brought is dispatched together, and
each connection that has something to say is written once; those to which the reads or the disk
gave something to say before the others, so that they send more while these are served.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

LOG = logging.getLogger("amqpd.server")

#: What is read from a connection in one turn, and what from all together, more or less. The
#: smallest messages take a quarter of a millisecond in 64 KiB, handing over included.
READ_BYTES: Final = 65_536
TURN_BYTES: Final = 8 * READ_BYTES
LEAST_BYTES: Final = 8192
#: What one connection may do with a read, and what all may do that are behind with theirs.
READ_S: Final = 0.005
TURN_S: Final = 0.010
LEAST_S: Final = 0.0005


class Writer(Protocol):
    """A connection with something to write."""

    def flush(self) -> None:
        """Write what the session has to send."""

    def abort(self) -> None:
        """Cut the connection off at once."""


class Turn:
    """Gathers what a turn touched and works it off at its end.

    `clock` tells the broker the time, once for all reads of a turn. `dispatch` hands messages
    to consumers and may touch connections; it returns something true if it has more to do in
    the next turn. `journal` gives the store what is new.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        dispatch: Callable[[], object],
        journal: Callable[[], None],
        clock: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._clock = clock
        #: Something was read whose time must stand until it is dispatched.
        self.is_dated = False
        self._dispatch = dispatch
        self._journal = journal
        self._touched: list[Writer] = []
        self._is_scheduled = False
        #: Turns in which something was written: whoever wants a quiet moment looks at it.
        self.busy_turns = 0
        #: The size of a read in this turn, and how many reads were that large.
        self.read_bytes = READ_BYTES
        self.full_reads = 0
        #: Connections that were not through with what they have read, and the time for each.
        self.behind = 0
        self._read_s = READ_S
        self._late_s = 0.0

    def read(self) -> None:  # hot: S1b, S2, S7
        """Something was read: it came now, not at the last tick."""
        if not self.is_dated:
            self.is_dated = True
            self._clock()
        self._late_s = self._loop.time() + self._read_s

    def is_late(self) -> bool:  # hot: S1b, S2
        """Whether the last read has had its time."""
        return self._loop.time() > self._late_s

    def touch(self, writer: Writer) -> None:
        """The connection has something to write; it calls this once until it is written."""
        self._touched.append(writer)
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._run)

    def wake(self) -> None:
        """Something happened that may let messages move on."""
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._run)

    def _run(self) -> None:  # hot: S1b, S2
        if self.full_reads * self.read_bytes > TURN_BYTES or self.read_bytes < READ_BYTES:
            self._share()
        self.full_reads = 0
        self._read_s = max(LEAST_S, min(READ_S, TURN_S / max(1, self.behind)))
        self.behind = 0
        self.is_dated = False
        more: object = False
        # Confirms and replies: those who wait for them go on while messages are handed out.
        self.flush()
        try:
            more = self._dispatch()
        except Exception:
            LOG.exception("dispatch failed; the broker goes on")
        try:
            # The disk first: it is slower than the sockets.
            self._journal()
        finally:
            self.flush()
            # Only now: what the writing itself touched belongs to the next turn.
            self._is_scheduled = False
            if self._touched or more:
                self.wake()

    def flush(self) -> None:
        """Write what connections have; what they are touched by meanwhile is for the next time."""
        touched, self._touched = self._touched, []
        if touched:
            self.busy_turns += 1
        for writer in touched:
            try:
                writer.flush()
            except Exception:
                LOG.exception("connection %s: cannot be written; cut off", writer)
                writer.abort()

    def _share(self) -> None:
        """Give each of those who have more than a read's worth a fair part of a turn."""
        fair = TURN_BYTES // max(1, self.full_reads)
        self.read_bytes = min(READ_BYTES, max(LEAST_BYTES, fair))
