"""Ports: everything that is listened on, and `run.json`, which says so.

    Ports(directory)
        .open(settings, protocol, room)     binds all of it, before anything is announced
        .let_in(tasks, version, node)       AMQP connections are accepted from now on
        .close_amqp() .open_amqp(...)       only AMQP; its ports keep their numbers
        .close()                            all of it

A port that was opened as "any free one" is the same one when AMQP is opened again.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from amqpd.server import tls
from amqpd.server.listener import HttpPorts, Listener, bind
from amqpd.server.local import LocalSocket
from amqpd.server.process import Listening, RunFile
from amqpd.server.proxied import Proxies

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable
    from pathlib import Path

    from amqpd.config import PortOrOff, Settings
    from amqpd.server.room import Place, Room

LOG = logging.getLogger("amqpd.server")


class Ports:
    """The open ports of one broker."""

    def __init__(self, directory: Path) -> None:
        self.listeners: list[Listener] = []
        #: HTTP's.
        self.web = HttpPorts([], [], [], [])
        self.local: LocalSocket | None = None
        #: When the first certificate ends.
        self.certificate_ends_s = float("inf")
        #: Where the API is, and where metrics are; also while these are being closed.
        self.http: list[Listening] = []
        self.scraped: list[Listening] = []
        #: What is open for AMQP; empty while nobody is let in.
        self.amqp: list[Listening] = []
        #: The numbers that ports of 0 have got, by their option.
        self._numbers: dict[str, int] = {}
        self._directory = directory
        self._run_file = RunFile(directory)

    @property
    def all_http(self) -> list[Listening]:
        """Both, as RabbitMQ calls them."""
        scraped = [one._replace(protocol=f"{one.protocol}/prometheus") for one in self.scraped]
        return [*scraped, *self.http]

    def open(
        self,
        settings: Settings,
        protocol: Callable[[Place], asyncio.BaseProtocol],
        room: Room,
    ) -> None:
        """Bind everything.

        Raises:
            StartError: a port is taken, or an address is not this machine's.
        """
        amqp, http, metrics = settings.amqp, settings.http, settings.metrics
        self.open_amqp(settings, protocol, room)
        host, scraped = http.host or amqp.host, metrics.host or amqp.host
        # One after the other: what is bound is closed when the next cannot be.
        for found, address, port, option in (
            (self.web.api, host, http.port, "--http-port"),
            (self.web.metrics, scraped, metrics.port, "--metrics-port"),
            (self.web.api_tls, host, http.tls_port, "AMQPD_HTTP_TLS_PORT"),
            (self.web.metrics_tls, scraped, metrics.tls_port, "AMQPD_METRICS_TLS_PORT"),
        ):
            found += self._bind(address, port, amqp.backlog, option)
        web = self.web
        prefix = http.path_prefix
        self.http = [*_at("http", web.api, prefix), *_at("https", web.api_tls, prefix)]
        self.scraped = [*_at("http", web.metrics), *_at("https", web.metrics_tls)]
        if web.api_tls or web.metrics_tls:
            tls.for_browsers(settings.tls)  # a wrong file is told before anybody is let in
            self.certificate_ends_s = tls.ends_s(settings.tls)
        if http.local_socket:
            self.local = LocalSocket.bound_in(self._directory)

    def open_amqp(
        self,
        settings: Settings,
        protocol: Callable[[Place], asyncio.BaseProtocol],
        room: Room,
    ) -> None:
        """Bind what clients come in by, all of it or nothing; raises as `open`."""
        try:
            self._open_amqp(settings, protocol, room)
        except BaseException:
            self.close_amqp()
            raise

    def _open_amqp(
        self,
        settings: Settings,
        protocol: Callable[[Place], asyncio.BaseProtocol],
        room: Room,
    ) -> None:
        amqp = settings.amqp
        for port, option, secure in (
            (amqp.port, "--port", False),
            (amqp.tls_port, "--tls-port", True),
        ):
            if port == "off":
                continue
            context = tls.context(settings.tls) if secure else None
            if secure:
                self.certificate_ends_s = tls.ends_s(settings.tls)
            sockets = self._bind(amqp.host, port, amqp.backlog, option)
            handshake_s = settings.tls.handshake_timeout_s
            self.listeners.append(
                Listener(
                    sockets, protocol, room, context, handshake_s, proxies=Proxies(amqp.proxies)
                )
            )

    def let_in(self, tasks: asyncio.TaskGroup, version: str, node: str) -> None:
        """Accept AMQP connections, each set up by a task of the group."""
        for listener in self.listeners:
            listener.start(tasks)
        self.amqp = [one for listener in self.listeners for one in listener.listening]
        self.tell(version, node)

    def tell(self, version: str, node: str) -> None:
        """Write down where the broker is."""
        try:
            self._run_file.write(version, node, [*self.amqp, *self.all_http])
        except OSError as error:
            # A full disk: consumers must be able to come all the same.
            LOG.warning("run.json cannot be written: %s", error.strerror)

    def close_amqp(self) -> None:
        """Let nobody in any more."""
        for listener in self.listeners:
            listener.close()
        self.listeners.clear()
        self.amqp = []

    def forget(self) -> None:
        """There is nobody here: `run.json` goes."""
        self._run_file.remove()

    def close(self) -> None:
        """Close whatever is open."""
        self.close_amqp()
        for sockets in self.web:
            for one in sockets:
                one.close()
            sockets.clear()
        if self.local is not None:
            self.local.close()
            self.local = None

    def _bind(self, host: str, port: PortOrOff, backlog: int, option: str) -> list[socket.socket]:
        if port == "off":
            return []
        sockets = bind(host, self._numbers.get(option, port), backlog, option)
        self._numbers[option] = sockets[0].getsockname()[1]
        return sockets


def _at(scheme: str, sockets: list[socket.socket], path: str = "") -> list[Listening]:
    found = [one.getsockname()[:2] for one in sockets]
    return [Listening(scheme, host, port, path) for host, port in found]
