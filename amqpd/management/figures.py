"""The figures of a running broker at one moment, for metrics, API and start screen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amqpd.broker.broker import Broker


@dataclass(frozen=True, slots=True)
class Port:
    """One port that is listened on."""

    protocol: str
    host: str
    port: int
    #: What its paths begin with.
    path: str = ""


@dataclass(frozen=True, slots=True)
class Totals:
    """What the model holds, over all vhosts."""

    exchanges: int
    queues: int
    consumers: int
    #: Messages that went to a dead letter exchange since the start, and those that went for
    #: good without having been acknowledged: by vhost and reason.
    dead_lettered: Mapping[tuple[str, str], int]
    dropped: Mapping[tuple[str, str], int]
    #: Queues of which something cannot be read at the moment.
    faulted: int
    #: Those that were set aside because they are damaged: by vhost and queue.
    quarantined: Mapping[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class Figures:
    """All of it; units are in the names."""

    product: str
    product_version: str
    version: str
    node: str
    cluster_name: str
    node_tags: Mapping[str, str]
    cluster_tags: Mapping[str, str]
    #: Those that settings were read from.
    config_files: tuple[str, ...]
    sync: bool
    listeners: tuple[Port, ...]
    uptime_s: float
    #: When the broker started, in seconds since the epoch.
    started_s: float
    process_id: int
    processors: int
    connections: int
    connections_opened: int
    connections_closed: int
    connections_refused: int
    connections_limit: int
    connections_unknown: int
    logins_refused: int
    logins_throttled: int
    audit_alerts: int
    audit_lost: int
    certificate_ends_s: float
    channels: int
    channels_opened: int
    exchanges: int
    queues: int
    consumers: int
    dead_lettered: Mapping[tuple[str, str], int]
    dropped: Mapping[tuple[str, str], int]
    queues_faulted: int
    messages_quarantined: int
    store_batches: int
    store_messages: int
    store_pending_bytes: int
    store_wal_bytes: int
    #: Who keeps the WAL from being begun anew, so that it grows.
    store_held_by: tuple[str, ...]
    #: Messages that were set aside because they are damaged: by vhost and queue.
    quarantined: Mapping[tuple[str, str], int]
    open_files: int
    #: Of garbage; what the process has done since it began.
    collections: int
    context_switches: int
    #: Over the disk.
    read_bytes: int
    written_bytes: int
    open_files_limit: int
    resident_bytes: int
    resident_limit_bytes: int
    disk_free_bytes: int
    disk_limit_bytes: int
    memory_alarm: bool
    disk_alarm: bool

    @property
    def is_wal_held(self) -> bool:
        """Somebody keeps the WAL from being begun anew."""
        return bool(self.store_held_by)


def totals(broker: Broker) -> Totals:
    """Count what is in all vhosts; costs no look at single queues."""
    exchanges = queues = 0
    dead_lettered: dict[tuple[str, str], int] = {}
    dropped: dict[tuple[str, str], int] = {}
    for vhost in broker.vhosts.values():
        exchanges += len(vhost.exchanges)
        publishing = vhost.publishing
        dead_lettered |= {(vhost.name, why): count for why, count in publishing.buried.items()}
        dropped |= {(vhost.name, why): count for why, count in publishing.dropped.items()}
        queues += len(vhost.queues)
    faulted, quarantined = _damaged(broker)
    consumers = broker.around.consumers
    return Totals(exchanges, queues, consumers, dead_lettered, dropped, faulted, quarantined)


def _damaged(broker: Broker) -> tuple[int, dict[tuple[str, str], int]]:
    """How many queues cannot be read, and what was set aside of each; mostly nothing."""
    faulted, quarantined = 0, dict[tuple[str, str], int]()
    around = broker.around
    aside = around.quarantined
    if not aside and not around.unreadable:
        return faulted, quarantined
    for vhost in broker.vhosts.values():
        for queue in vhost.queues.values():
            faulted += queue.is_faulted
            for lane in queue.lanes:
                if lane.id in aside:
                    key = vhost.name, queue.name
                    quarantined[key] = quarantined.get(key, 0) + aside[lane.id]
    return faulted, quarantined
