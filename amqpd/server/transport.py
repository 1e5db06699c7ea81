"""A socket and a session: bytes in, bytes out.

Reads come in pieces of at most `READ_BYTES`, so that one flooding connection delays the others
by one piece; where many flood the pieces are smaller. What the session has to send is written
once per turn. When the peer does not read, the session is told to hold back; nothing here grows
beyond the high-water mark plus what the session gave in one turn.

An exception out of a session is our bug: it is logged with its traceback, the client gets
541, and the other connections go on.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, Protocol, cast

from amqpd.server.turn import READ_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Sized

    from amqpd.broker.queue import Queue
    from amqpd.server.room import Place
    from amqpd.server.turn import Turn

LOG = logging.getLogger("amqpd.connection")

HIGH_WATER_BYTES: Final = 262_144
LOW_WATER_BYTES: Final = 65_536
#: How long a peer that asked us to close has for closing its side first.
GRACE_S: Final = 0.1
#: How long a peer may take to read our last words, and to close its side after them.
LINGER_S: Final = 2.0
#: The same when there is more to send than the socket takes at once.
DRAIN_S: Final = 10.0

#: Where reads land before they become bytes. One for all: it is used up before the next read.
_BUFFER: Final = memoryview(bytearray(READ_BYTES))


class Session(Protocol):
    """One client's protocol; knows nothing of sockets."""

    #: Nothing more will be sent or understood: write what there is, then close the socket.
    closing: bool
    #: The peer asked for it, so it closes first; not all bear that the end of the connection
    #: comes with the answer.
    peer_closes: bool
    #: Somebody has logged in.
    logged_in: bool
    #: We do not read for reasons of our own: silence is not the peer's fault.
    reading_paused: bool
    #: A queue that grows faster than its consumers can be written to, because of this client.
    crowding: Queue | None

    @property
    def is_behind(self) -> bool:
        """What was received is not done yet: `catch_up` in the next turn."""

    def catch_up(self) -> None:
        """Go on with what was received."""

    @property
    def channels(self) -> Sized:
        """Those that are open."""

    @property
    def wants_reading(self) -> bool:
        """False: what the peer sends now shall wait."""

    def receive_data(self, data: bytes, /) -> None:
        """Bytes came from the peer."""

    def data_to_send(self) -> bytes:
        """Everything there is to send, once."""

    def writable(self, yes: bool, /) -> None:
        """Whether the transport takes more."""

    def tick(self, now_ms: int) -> None:
        """Time passes."""

    def access_changed(self) -> None:
        """Users or permissions have changed."""

    def fail(self) -> None:
        """Our own code has failed, or the store has: close the connection with 541."""

    def shut_down(self) -> None:
        """The broker stops: close the connection with 320."""

    def connection_lost(self, reason: str) -> None:
        """The socket is gone."""


class Transport(asyncio.BufferedProtocol):
    """Joins one socket and one session, from accept to close.

    `make_session(transport)` is called when the connection stands; `gone(transport)` when it
    is over; `was_read(transport)` after each read, to hold publishers back.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        turn: Turn,
        place: Place,
        *,
        make_session: Callable[[Transport], Session],
        gone: Callable[[Transport], None],
        was_read: Callable[[Transport], None],
    ) -> None:
        self._loop = loop
        self._turn = turn
        self.place = place
        self._is_known = False
        self._make_session = make_session
        self._gone = gone
        self._was_read = was_read
        self._is_touched = False
        self._is_ending = False
        self._is_paused = False
        self._is_catching_up = False
        self._deadline: asyncio.TimerHandle | None = None
        self.socket: asyncio.Transport
        self.session: Session

    # -- asyncio -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open, TLS included."""
        # uvloop's has all the methods and is not a subclass.
        self.socket = cast("asyncio.Transport", transport)
        self._peer = self.socket.get_extra_info("peername") or ("?", 0)
        self.socket.set_write_buffer_limits(HIGH_WATER_BYTES, LOW_WATER_BYTES)
        self.session = self._make_session(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next read goes."""
        return _BUFFER[: self._turn.read_bytes]

    def buffer_updated(self, nbytes: int) -> None:  # hot: S1b, S2
        """So many bytes were read."""
        if self._is_ending:
            return
        self._turn.read()
        if nbytes >= self._turn.read_bytes:
            self._turn.full_reads += 1
        try:
            self.session.receive_data(bytes(_BUFFER[:nbytes]))
        except Exception:
            self._fail()
        self._turn.wake()
        self._was_read(self)
        if self.session.closing:
            self.touch()
        elif not self.session.wants_reading:
            self.look()

    def _catch_up(self) -> None:
        """What was read took too long for one turn: go on, after what others have sent."""
        self._is_catching_up = False
        if self._is_ending:
            return
        self._turn.read()
        try:
            self.session.catch_up()
        except Exception:
            self._fail()
        self._turn.wake()
        self._was_read(self)
        if self.session.closing:
            self.touch()
        else:
            self.look()

    def eof_received(self) -> bool:
        """The peer has closed its side; returning False closes ours."""
        return False

    def pause_writing(self) -> None:
        """The peer reads slower than we write."""
        self.session.writable(False)

    def resume_writing(self) -> None:
        """The peer has caught up."""
        self.session.writable(True)
        self._turn.wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._is_ending = True
        self._gone(self)
        try:
            self.session.connection_lost("" if exc is None else str(exc))
        except Exception:
            LOG.exception("connection %s: end of the session failed", self)
        self._turn.wake()
        # A session is in cycles, so the collector has it later. What TLS needs, 150 KiB, goes now:
        # whoever only shakes hands would fill the memory faster than cycles are looked for.
        del self.socket

    # -- the session's side --------------------------------------------------------------

    def touch(self) -> None:
        """The session has something to send, or is at its end."""
        if not self._is_touched:
            self._is_touched = True
            self._turn.touch(self)

    def hold(self, yes: bool) -> None:
        """Stop or go on reading: what a peer sends meanwhile waits in its own buffers."""
        self.session.reading_paused = yes
        self.look()

    def look(self) -> None:
        """Read, or do not, as the session and its surroundings want it by now."""
        if self._is_ending or self.socket.is_closing():
            return
        reading = self.session.wants_reading and not self.session.reading_paused
        if reading and self._is_paused:
            self._is_paused = False
            self.socket.resume_reading()
        elif not reading and not self._is_paused:
            self._is_paused = True
            self.socket.pause_reading()

    def flush(self) -> None:  # hot: S1b, S2
        """Write what the session has to send; called by the turn."""
        self._is_touched = False
        if self._is_ending:
            return
        data = self.session.data_to_send()
        if data:
            self.socket.write(data)
        if not self._is_known and self.session.logged_in:
            self._is_known = True
            self.place.known()
        if self.session.closing:
            self._end()
        elif self._is_paused:
            self.look()
        if self.session.is_behind and not self._is_catching_up:
            self._is_catching_up = True
            self._turn.behind += 1
            self._loop.call_soon(self._catch_up)

    def tick(self, now_ms: int) -> None:
        """Let the session look at the time."""
        if self._is_ending:
            return
        try:
            self.session.tick(now_ms)
        except Exception:
            self._fail()
        if self.session.closing:
            self.touch()

    def fail(self) -> None:
        """The store has failed."""
        if not self._is_ending:
            self.session.fail()
            self.touch()

    def shut_down(self) -> None:
        """The broker stops."""
        if not self._is_ending:
            # A publisher that is held has to be heard once more: it may have gone long ago.
            self.session.reading_paused = False
            self.session.shut_down()
            self.touch()

    def abort(self) -> None:
        """Cut the connection off at once."""
        if hasattr(self, "socket"):
            self.socket.abort()

    # -- the end -------------------------------------------------------------------------

    def _fail(self) -> None:
        LOG.exception("connection %s: closed because of an error in the broker", self)
        try:
            self.session.fail()
        except Exception:
            LOG.exception("connection %s: cannot even be closed", self)
            self.abort()
            return
        self.touch()

    def _end(self) -> None:
        """Close so that the peer can read our last words.

        A socket that is closed while something unread has arrived is reset, and the peer
        loses what it had not read yet. So we close our direction only, throw away what still
        comes, and are done when the peer closes too, or after `LINGER_S`.
        """
        self._is_ending = True
        if self.socket.is_closing():
            return
        if self._is_paused:
            self.socket.resume_reading()
        if self.session.peer_closes:
            # RabbitMQ's Go client takes an end that overtakes its own for an error, and may
            # wait for ever for somebody to hear of it (found with Watermill).
            self._deadline = self._loop.call_later(GRACE_S, self._close_our_side)
        else:
            self._close_our_side()

    def _close_our_side(self) -> None:
        if self.socket.can_write_eof():
            try:
                self.socket.write_eof()
            except OSError:
                # The peer has reset the connection; asyncio has yet to find out.
                self.socket.abort()
                return
            wait_s = DRAIN_S if self.socket.get_write_buffer_size() else LINGER_S
        else:
            self.socket.close()
            wait_s = DRAIN_S
        self._deadline = self._loop.call_later(wait_s, self.socket.abort)

    def __str__(self) -> str:
        return f"{self._peer[0]}:{self._peer[1]}"
