"""What the HTTP API is given by the server: figures, logins, settings (`management.host`)."""

from __future__ import annotations

import os
import time
from math import inf
from typing import TYPE_CHECKING, Final

import msgspec

from amqpd import __version__, config
from amqpd.auth.passwords import hash_password, refusal_of
from amqpd.config import SECRETS
from amqpd.management.access import Caller
from amqpd.management.figures import Figures, Port, totals
from amqpd.server import memory, tls
from amqpd.server.controls import Controls
from amqpd.server.records import Remembered
from amqpd.server.resources import open_files, own_work
from amqpd.server.tracing import Traces
from amqpd.text import masked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amqpd.broker.broker import Broker
    from amqpd.management.records import Records
    from amqpd.management.settings import Http
    from amqpd.management.trace import Traces as TracesOfHost
    from amqpd.server.app import BrokerServer
    from amqpd.server.process import Listening


#: What RabbitMQ calls the protocols of ports, where a URI has another word.
PROTOCOLS: Final = {"amqps": "amqp/ssl"}


def _port(one: Listening) -> Port:
    return Port(PROTOCOLS.get(one.protocol, one.protocol), one.host, one.port, one.path)


class Hosting:
    """The server as the management room sees it."""

    def __init__(self, server: BrokerServer) -> None:
        self.node = config.node_name(server.settings)
        self.records: Records = Remembered(server)
        self.controls = Controls(server)
        self.traces: TracesOfHost = Traces(
            lambda: server.broker.vhosts,
            lambda: server.broker.alarms.disk,
            lambda: server.broker.around.now_ms,
            server.directory,
        )
        self._server = server

    @property
    def broker(self) -> Broker:
        """The model; another one after `start_app`."""
        return self._server.broker

    @property
    def http(self) -> Http:
        """What is set about the API at the moment."""
        return self._server.settings.http

    async def log_in(self, user: str, password: bytes, host: str, named: str) -> Caller | None:
        """Who this is; None for whoever does not get in."""
        login = await self._server.logins.log_in(user, password, host, named)
        return (
            None
            if login is None
            else Caller(login.user, login.tags, login.authority, login.expires_at_ms)
        )

    def hash_password(self, password: str, algorithm: str) -> str:
        """The hash to keep of a password."""
        return hash_password(password, algorithm=algorithm)

    def refusal_of(self, password: str) -> str:
        """Why nobody may have this password from now on, in RabbitMQ's words."""
        auth = self._server.settings.auth
        return refusal_of(password, auth.password_min_bytes, auth.password_pattern)

    def changed(self) -> None:
        """Let the next turn of the loop see to what was decided."""
        self._server.turn.wake()

    def memory(self) -> Mapping[str, int]:
        """What memory is used for, as far as that is known."""
        return memory.parts(self._server)

    def is_ready(self) -> bool:
        """Whether clients are let in."""
        return self._server.ready

    def certificate_ends_s(self) -> float:
        """When the first certificate ends, in seconds since the epoch."""
        return tls.ends_s(self._server.settings.tls)

    @property
    def unwritten(self) -> str:
        """Why the audit log takes nothing."""
        return self._server.audit.refusal

    def witnessed(
        self, user: str, peer: str, operation: str, about: str, status: int, text: str
    ) -> None:
        """Write it down."""
        audit = self._server.audit
        if status < 400:
            audit.record(operation, user=user, source=peer, object=about, text=text)
        elif user:
            audit.denied(user, peer, "", f"{operation} {about}: {status}")

    def settings(self) -> Mapping[str, object]:
        """The settings in force by dotted key, without secrets."""
        sections = msgspec.to_builtins(self._server.settings)
        return {
            f"{section}.{key}": "***" if f"{section}.{key}" in SECRETS else masked(value)
            for section, keys in sections.items()
            for key, value in keys.items()
        }

    def figures(self) -> Figures:
        """Everything that metrics and API show."""
        server = self._server
        counted = totals(server.broker)
        settings, look = server.settings, server.alarming.look
        ends_s = server.ports.certificate_ends_s
        wal, work = server.wal, own_work()
        return Figures(
            product=settings.amqp.product,
            product_version=settings.amqp.version,
            version=__version__,
            node=self.node,
            cluster_name=server.broker.cluster_name,
            node_tags=settings.node.tags,
            cluster_tags=settings.node.cluster_tags,
            config_files=tuple(str(one) for one in server.config_files),
            sync=settings.store.sync,
            listeners=tuple(_port(one) for one in (*server.ports.amqp, *server.ports.all_http)),
            uptime_s=time.monotonic() - server.started_s,
            started_s=server.started_at_s,
            process_id=os.getpid(),
            processors=len(os.sched_getaffinity(0)),
            connections=len(server.connections),
            connections_opened=server.connections.opened,
            connections_closed=server.connections.closed,
            connections_refused=server.room.refused,
            connections_limit=server.room.most,
            connections_unknown=server.room.unknown,
            logins_refused=server.logins.refused,
            logins_throttled=server.logins.throttled,
            audit_alerts=server.audit.alerts,
            audit_lost=server.audit.lost,
            certificate_ends_s=ends_s if ends_s < inf else 0,
            channels=server.connections.channels,
            channels_opened=server.broker.presence.channels_opened,
            exchanges=counted.exchanges,
            queues=counted.queues,
            consumers=counted.consumers,
            dead_lettered=counted.dead_lettered,
            dropped=counted.dropped,
            queues_faulted=counted.faulted,
            messages_quarantined=server.commits.quarantined,
            store_batches=server.commits.batches,
            store_messages=server.commits.messages,
            store_pending_bytes=server.broker.journal.pending_bytes,
            store_wal_bytes=wal.size_bytes,
            store_held_by=wal.held_by,
            quarantined=counted.quarantined,
            open_files=open_files(),
            collections=work.collections,
            context_switches=work.context_switches,
            read_bytes=work.read_bytes,
            written_bytes=work.written_bytes,
            open_files_limit=server.file_limit,
            resident_bytes=look.memory_bytes if look else 0,
            resident_limit_bytes=server.watch.memory_limit_bytes,
            disk_free_bytes=look.disk_free_bytes if look else 0,
            disk_limit_bytes=server.watch.disk_limit_bytes,
            memory_alarm=server.broker.alarms.memory,
            disk_alarm=server.broker.alarms.disk,
        )
