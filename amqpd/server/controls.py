"""What operators may do to the broker as a whole while it runs (`management.host`)."""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING

from amqpd.config import ConfigError
from amqpd.management.errors import HttpError, bad_request
from amqpd.server import reload
from amqpd.server.process import StartError

if TYPE_CHECKING:
    from amqpd.server.app import BrokerServer

LOG = logging.getLogger("amqpd.server")


class Controls:
    """The levers of one server."""

    def __init__(self, server: BrokerServer) -> None:
        self._server = server

    @property
    def is_stopped(self) -> bool:
        """By `stop_app`: there is nothing but the API."""
        return self._server.is_stopped

    async def act(self, action: str) -> None:
        """Do one of `amqpd.management.control.ACTIONS`.

        Raises:
            HttpError: it failed; everything is as it was.
        """
        server = self._server
        try:
            match action:
                case "stop_app":
                    await server.stop_app()
                case "start_app":
                    await server.start_app()
                case "suspend_listeners":
                    await self._suspend()
                case "resume_listeners":
                    await self._resume()
                case "reload":
                    reload.reload(server)
                case _:
                    server.stop("shutdown over HTTP")
        except (StartError, ConfigError) as error:
            LOG.error("%s: %s", action, error)
            raise HttpError(503, "failed", str(error)) from error

    async def _suspend(self) -> None:
        """Let nobody in any more; who is here stays."""
        server = self._server
        async with server.changing:
            server.ports.close_amqp()
            server.tell()

    async def _resume(self) -> None:
        """Let clients in again."""
        server = self._server
        async with server.changing:
            if not (server.is_stopped or server.ports.listeners):
                server.open_ports()
                server.open_doors()

    def ticket(self, user: str) -> str:
        """A password for a minute, for a user who came by the local socket."""
        return self._server.logins.tickets.issue(user)

    def set_alarm(self, resource: str, on: bool) -> None:
        """Raise an alarm for `memory` or `disk`, or take back that one."""
        alarming = self._server.alarming
        forced = dataclasses.replace(alarming.forced, **{resource: on})
        LOG.warning("alarm for %s: %s by an operator", resource, "on" if on else "off")
        alarming.force(forced)

    async def set_setting(self, key: str, value: object) -> None:
        """Another value for a setting, until the next start.

        Raises:
            HttpError: there is no such setting, or it cannot have this value now.
        """
        try:
            reload.change(self._server, key, value)
        except (StartError, ConfigError) as error:
            raise bad_request(str(error)) from error
        # Whoever has set a limit wants to see what comes of it.
        await self._server.alarming.look_once()
