"""What the server remembers of what happened, for the HTTP API (`management.records`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpd.management.records import Raised, Resource
from amqpd.server.auditlog import newest
from amqpd.server.resources import HYSTERESIS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from amqpd.management.records import LogLine
    from amqpd.server.app import BrokerServer


class Remembered:
    """The log, the audit log and the state of resources."""

    def __init__(self, server: BrokerServer) -> None:
        self._server = server

    def log_lines(self, level: str, text: str, most: int) -> list[LogLine]:
        """The newest lines of the log, the newest first."""
        recent = self._server.recent
        return recent.lines(level, text, most) if recent is not None else []

    def audit_lines(self, event: str, text: str, below: int, most: int) -> list[object]:
        """The newest lines of the audit log, the newest first; it reads a file."""
        path = self._server.audit.path
        return [] if path is None else newest(path, event, text, below, most)

    def alerts(self) -> Sequence[Raised]:
        """What looked like an attack, the newest first."""
        return [
            Raised(at_ms, alert.rule, alert.name, alert.text)
            for at_ms, alert in reversed(self._server.audit.raised)
        ]

    def resources(self) -> Sequence[Resource]:
        """Memory and disk."""
        server = self._server
        look, watch, alarms = server.alarming.look, server.watch, server.broker.alarms
        settings = server.settings.resources
        memory, disk = watch.memory_limit_bytes, watch.disk_limit_bytes
        return [
            Resource(
                "memory",
                alarms.memory,
                look.memory_bytes if look else 0,
                memory,
                int(memory * (1 - HYSTERESIS)),
                {
                    "resources.memory_watermark": settings.memory_watermark,
                    "resources.memory_watermark_bytes": settings.memory_watermark_bytes,
                    "resources.memory_bytes": settings.memory_bytes,
                },
            ),
            Resource(
                "disk",
                alarms.disk,
                look.disk_free_bytes if look else 0,
                disk,
                int(disk * (1 + HYSTERESIS)),
                {
                    "resources.disk_free_bytes": settings.disk_free_bytes,
                    "resources.disk_free_share": settings.disk_free_share,
                },
            ),
        ]

    def audit_state(self) -> Mapping[str, object]:
        """Whether there is an audit log, how many alerts there were and lines that were lost."""
        audit = self._server.audit
        return {
            "enabled": audit.path is not None,
            "alerts_total": audit.alerts,
            "lost_total": audit.lost,
        }
