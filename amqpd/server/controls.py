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
                    await server.suspend_listeners()
                case "resume_listeners":
                    await server.resume_listeners()
                case "reload":
                    reload.reload(server)
                case _:
                    server.stop("shutdown over HTTP")
        except (StartError, ConfigError) as error:
            LOG.error("%s: %s", action, error)
            raise HttpError(503, "failed", str(error)) from error

    def ticket(self, user: str) -> str:
        """A password for a minute, for a user who came by the local socket."""
        return self._server.logins.tickets.issue(user)

    def set_alarm(self, resource: str, on: bool) -> None:
        """Raise an alarm for `memory` or `disk`, or take back that one."""
        server = self._server
        forced = dataclasses.replace(server.forced, **{resource: on})
        LOG.warning("alarm for %s: %s by an operator", resource, "on" if on else "off")
        server.force(forced)

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
        await self._server.look_once()
