"""Alarms: memory and disk are looked at, and publishers hear what comes of it.

    Alarming(server)
        .watch()                looks again and again, until cancelled
        .look_once()            now, for whoever has changed a limit
        .look_soon()            the same, without waiting for it
        .force(alarms)          on until they are not wanted any more, whatever is measured
        .disk_is_full(yes)      the store says so

Certificates that end soon are told in the same round.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Final

from amqpd import config
from amqpd.broker.broker import Alarms
from amqpd.server import tls

if TYPE_CHECKING:
    from amqpd.server.app import BrokerServer
    from amqpd.server.resources import Look

LOG = logging.getLogger("amqpd.server")

#: Between two looks when an alarm may come any moment.
CLOSE_S: Final = 0.1


class Alarming:
    """What one server knows of its resources."""

    def __init__(self, server: BrokerServer) -> None:
        #: What was found last.
        self.look: Look | None = None
        #: Alarms that somebody wants.
        self.forced = Alarms()
        self._server = server
        self._is_full = False
        self._look_now = asyncio.Event()

    async def watch(self) -> None:
        """Look at everything, for as long as the server lives."""
        warned = ""
        while True:
            await self.look_once()
            warned = self._certificates(warned)
            pause_s = self._server.settings.resources.check_interval_s
            if self.look is not None and self.look.is_close:
                pause_s = min(pause_s, CLOSE_S)
            self._look_now.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._look_now.wait()

    async def look_once(self) -> None:
        """Measure memory and disk, and let alarms follow."""
        try:
            self.look = await asyncio.to_thread(self._server.watch.look)
            self._decide()
        except OSError:
            LOG.exception("resources: cannot be measured")

    def look_soon(self) -> None:
        """Something has changed: do not wait for the next round."""
        self._look_now.set()

    def force(self, alarms: Alarms) -> None:
        """These alarms are on until they are not wanted any more."""
        self.forced = alarms
        self._decide()

    def disk_is_full(self, yes: bool) -> None:
        """The store has no room, or has it again."""
        self._is_full = yes
        self._decide()

    def begin_anew(self) -> None:
        """Another store was opened: it has said nothing yet."""
        self._is_full = False
        self.look_soon()

    def _decide(self) -> None:
        server, forced = self._server, self.forced
        found = self.look.alarms if self.look else Alarms()
        alarms = Alarms(
            memory=found.memory or forced.memory,
            disk=found.disk or self._is_full or forced.disk,
        )
        if alarms == server.broker.alarms:
            return
        self._say(server.broker.alarms, alarms)
        server.audit.record("alarm", "on" if alarms.reason else "off", text=alarms.reason)
        server.broker.resources(alarms)
        server.connections.look()
        server.turn.wake()

    def _say(self, before: Alarms, after: Alarms) -> None:
        """What has changed, in the words that people look for in RabbitMQ's log."""
        look, watch = self.look, self._server.watch
        node = config.node_name(self._server.settings)
        if look is not None and before.memory != after.memory:
            happened = "set" if after.memory else "clear"
            LOG.info(
                "vm_memory_high_watermark %s. Memory used:%d allowed:%d",
                happened,
                look.memory_bytes,
                watch.memory_limit_bytes,
            )
        if look is not None and before.disk != after.disk:
            LOG.info(
                "Free disk space is %s. Free bytes: %d. Limit: %d",
                "insufficient" if after.disk else "sufficient",
                look.disk_free_bytes,
                watch.disk_limit_bytes,
            )
        for source in ("memory", "disk"):
            was, is_on = getattr(before, source), getattr(after, source)
            if is_on and not was:
                LOG.warning(
                    "%s resource limit alarm set on node %s. "
                    "*** Publishers will be blocked until this alarm clears ***",
                    source,
                    node,
                )
            elif was and not is_on:
                LOG.warning("%s resource limit alarm cleared on node %s", source, node)

    def _certificates(self, warned: str) -> str:
        """Say that one ends soon, once for each text; the text."""
        text = tls.ends_soon(self._server.ports.certificate_ends_s, time.time())
        if text and text != warned:
            LOG.warning("%s", text)
            self._server.audit.record("certificate", "ends", text=text)
        return text
