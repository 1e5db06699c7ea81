"""Ports: binding them, and letting connections in.

Connections are accepted here and not by asyncio, which on Python 3.11 takes a whole backlog
at once and, out of file descriptors, starts one timer per waiting client. A connection above
the cap is accepted and closed, so that its client learns it at once; the cap leaves enough
descriptors for the store, HTTP and the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from amqpd.server.process import Exit, Listening, StartError
from amqpd.server.proxied import Proxies, ProxyError, client_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from amqpd.server.room import Place, Room

LOG = logging.getLogger("amqpd.connection")

#: File descriptors that connections never take.
RESERVED_FILES: Final = 64
#: Connections taken at once before the others get their turn.
ACCEPTS_PER_TURN: Final = 64
#: Errors of accept() that mean: out of something, try again later.
EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
RETRY_S: Final = 0.5
#: Between two log lines about refused connections.
REFUSAL_LOG_S: Final = 1.0
#: For a proxy to say whom its connection is from, and how many may be about to.
ANNOUNCEMENT_S: Final = 5.0
MOST_ANNOUNCING: Final = 500
NO_PROXIES: Final = Proxies(())
#: How long the peer of a TLS connection may take to say goodbye.
TLS_SHUTDOWN_S: Final = 5.0


class HttpPorts(NamedTuple):
    """HTTP's sockets that listen: for the API and for metrics, without and with TLS."""

    api: list[socket.socket]
    metrics: list[socket.socket]
    api_tls: list[socket.socket]
    metrics_tls: list[socket.socket]


def bind(host: str, port: int, backlog: int, option: str) -> list[socket.socket]:
    """Listening sockets on all addresses of `host`, all on the same port.

    Raises:
        StartError: the name has no address here, or the port is taken; the text names
            `option`, the way to choose another.
    """
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )
    except OSError as error:
        raise StartError(f"address '{host}': {error.strerror}", Exit.UNAVAILABLE) from error
    opened: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            if opened and port == 0:
                port = opened[0].getsockname()[1]
            opened.append(_listen(family, kind, protocol, (address[0], port), backlog))
    except OSError as error:
        for one in opened:
            one.close()
        raise StartError(_bind_failed(error, host, port, option), Exit.UNAVAILABLE) from error
    return opened


def _listen(
    family: int, kind: int, protocol: int, address: tuple[str | int, int], backlog: int
) -> socket.socket:
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # `::` means all addresses, the old ones too.
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != "::")
        made.bind(address)
        made.listen(backlog)
        made.setblocking(False)
    except OSError:
        made.close()
        raise
    return made


def _bind_failed(error: OSError, host: str, port: int, option: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {host} is taken: stop the program that uses it "
            f"or choose another port with {option} (0 takes any free one)"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"address '{host}' is not one of this machine: choose another with --host"
    if error.errno == errno.EACCES:
        return f"port {port} on {host}: not permitted; ports below 1024 need a privilege"
    return f"port {port} on {host}: {error.strerror}"


class Listener:
    """One port: takes connections in and gives each a protocol.

    `protocol(place)` is called for each; whoever made the protocol calls `place.leave()` when
    it is over.
    """

    def __init__(
        self,
        sockets: list[socket.socket],
        protocol: Callable[[Place], asyncio.BaseProtocol],
        room: Room,
        tls: ssl.SSLContext | None = None,
        tls_handshake_s: float = 5.0,
        schemes: tuple[str, str] = ("amqp", "amqps"),
        proxies: Proxies = NO_PROXIES,
    ) -> None:
        self.sockets = sockets
        #: Both replaced on reload; connections that are open keep theirs.
        self.tls = tls
        self.tls_handshake_s = tls_handshake_s
        self._schemes = schemes
        self._proxies = proxies
        self._announcing: set[asyncio.Task[None] | None] = set()
        self._protocol = protocol
        self._room = room
        self._loop = asyncio.get_running_loop()
        self._tasks: asyncio.TaskGroup | None = None
        self._last_refusal_s = -REFUSAL_LOG_S

    @property
    def listening(self) -> list[Listening]:
        """Where it listens."""
        scheme = self._schemes[self.tls is not None]
        return [Listening(scheme, *one.getsockname()[:2]) for one in self.sockets]

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Let connections in; each is set up by a task of the group."""
        self._tasks = tasks
        for one in self.sockets:
            self._loop.add_reader(one, self._accept, one)
            host, port = one.getsockname()[:2]
            LOG.info("started %s listener on %s:%d", "TLS" if self.tls else "TCP", host, port)

    def close(self) -> None:
        """Let nobody in any more."""
        for one in self.sockets:
            self._loop.remove_reader(one)
            one.close()
        for task in self._announcing:
            if task is not None:
                task.cancel()

    def _accept(self, listening: socket.socket) -> None:
        assert self._tasks is not None
        for _ in range(ACCEPTS_PER_TURN):
            try:
                accepted, address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    LOG.exception("accept on %s failed", listening.getsockname())
                self._pause(listening, error)
                return
            accepted.setblocking(False)
            if self._proxies.include(address[0]):
                self._wait_for_announcement(accepted, address[0])
                continue
            place = self._room.enter(address[0], tls=self.tls is not None)
            if isinstance(place, str):
                self._refuse(accepted, place)
                continue
            self._tasks.create_task(self._set_up(accepted, place))

    def _wait_for_announcement(self, accepted: socket.socket, proxy: str) -> None:
        assert self._tasks is not None
        if len(self._announcing) >= MOST_ANNOUNCING:
            self._refuse(accepted, f"{MOST_ANNOUNCING} connections of proxies are not announced")
            return
        task = self._tasks.create_task(self._set_up_announced(accepted, proxy))
        self._announcing.add(task)
        task.add_done_callback(self._announcing.discard)

    async def _set_up_announced(self, accepted: socket.socket, proxy: str) -> None:
        try:
            async with asyncio.timeout(ANNOUNCEMENT_S):
                client = await client_of(self._loop, accepted)
        except (ProxyError, OSError) as error:
            reason = str(error) or "nothing was announced in time"
            self._refuse(accepted, f"proxy {proxy}: {reason}")
            return
        except asyncio.CancelledError:
            accepted.close()
            raise
        # From here on it is a connection like any other.
        self._announcing.discard(asyncio.current_task())
        place = self._room.enter(client.host if client else proxy, tls=self.tls is not None)
        if isinstance(place, str):
            self._refuse(accepted, place)
            return
        place.client = client
        await self._set_up(accepted, place)

    async def _set_up(self, accepted: socket.socket, place: Place) -> None:
        make, tls = partial(self._protocol, place), self.tls
        try:
            if tls is None:
                await self._loop.connect_accepted_socket(make, accepted)
            else:
                await self._loop.connect_accepted_socket(
                    make,
                    accepted,
                    ssl=tls,
                    ssl_handshake_timeout=self.tls_handshake_s,
                    ssl_shutdown_timeout=TLS_SHUTDOWN_S,
                )
        except OSError as error:
            # Only before the protocol got its connection: it has nothing to clean up.
            place.leave()
            LOG.warning("connection was not established: %s", error)
            accepted.close()
        finally:
            place.shook_hands()

    def _refuse(self, accepted: socket.socket, reason: str) -> None:
        accepted.close()
        now_s = self._loop.time()
        if now_s - self._last_refusal_s >= REFUSAL_LOG_S:
            self._last_refusal_s = now_s
            LOG.warning("connection refused: %s (%d in all)", reason, self._room.refused)

    def _pause(self, listening: socket.socket, error: OSError) -> None:
        LOG.warning("accept: %s; again in %.1f s", error.strerror, RETRY_S)
        self._loop.remove_reader(listening)
        self._loop.call_later(RETRY_S, self._resume, listening)

    def _resume(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            # A listener that was closed meanwhile has no descriptor any more.
            if listening.fileno() >= 0:
                self._loop.add_reader(listening, self._accept, listening)
