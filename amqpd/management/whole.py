"""Metrics of the whole broker, which cost no look at single objects.

    exposition(figures, endpoint)   what the figures say
    identity(figures, endpoint)     who says so
    counted(stats, together)        what happened to messages since the start
    since_start(broker, stats)      the same in the columns of `families`, also of what is gone
    section(name, figures, stats)   the same in RabbitMQ's families of the whole node

What RabbitMQ has no name for begins with `amqpd_`. Counters never go back when a connection, a
queue or a vhost goes.
"""

from __future__ import annotations

import platform
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from amqpd.broker.arguments import QueueType
from amqpd.broker.stats import SIZES, Strategy
from amqpd.management.exposition import Metric, escape, labels, write
from amqpd.management.families import QUEUE_TYPES, columns
from amqpd.management.rates import TRAFFIC, added, traffic

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from amqpd.broker.broker import Broker
    from amqpd.broker.stats import VhostStats
    from amqpd.management.exposition import Kind, Row
    from amqpd.management.families import Together
    from amqpd.management.figures import Figures

PREFIX: Final = "rabbitmq_"
PROTOCOL: Final = "amqp091"
#: The name that Prometheus' own libraries give it.
STARTED: Final = Metric(
    "process_start_time_seconds", "gauge", "When the broker started, since the epoch"
)

#: Name, type, help, and the figure it shows.
SIMPLE: Final[tuple[tuple[str, Kind, str, str], ...]] = (
    ("rabbitmq_connections", "gauge", "Connections currently open", "connections"),
    ("rabbitmq_connections_opened_total", "counter", "Connections opened", "connections_opened"),
    ("rabbitmq_connections_closed_total", "counter", "Connections closed", "connections_closed"),
    ("amqpd_connections_refused_total", "counter", "Above a limit", "connections_refused"),
    ("amqpd_connections_unauthenticated", "gauge", "Not logged in yet", "connections_unknown"),
    ("amqpd_logins_refused_total", "counter", "Logins refused", "logins_refused"),
    ("amqpd_logins_throttled_total", "counter", "Guesses not looked at", "logins_throttled"),
    ("amqpd_audit_alerts_total", "counter", "What looked like an attack", "audit_alerts"),
    ("amqpd_audit_lost_total", "counter", "Audit lines that were not written", "audit_lost"),
    (
        "amqpd_tls_certificate_expires_timestamp_seconds",
        "gauge",
        "End of the first certificate; 0 without any",
        "certificate_ends_s",
    ),
    ("rabbitmq_channels", "gauge", "Channels currently open", "channels"),
    ("rabbitmq_channels_opened_total", "counter", "Channels opened", "channels_opened"),
    ("rabbitmq_queues", "gauge", "Queues available", "queues"),
    ("rabbitmq_consumers", "gauge", "Consumers currently connected", "consumers"),
    ("rabbitmq_process_open_fds", "gauge", "Open file descriptors", "open_files"),
    ("rabbitmq_process_max_fds", "gauge", "Open file descriptors limit", "open_files_limit"),
    ("rabbitmq_process_open_tcp_sockets", "gauge", "Open sockets", "connections"),
    ("rabbitmq_process_max_tcp_sockets", "gauge", "Open sockets limit", "open_files_limit"),
    ("rabbitmq_process_resident_memory_bytes", "gauge", "Memory used", "resident_bytes"),
    (
        "rabbitmq_resident_memory_limit_bytes",
        "gauge",
        "Memory high watermark",
        "resident_limit_bytes",
    ),
    ("rabbitmq_disk_space_available_bytes", "gauge", "Disk space available", "disk_free_bytes"),
    (
        "rabbitmq_disk_space_available_limit_bytes",
        "gauge",
        "Free disk space low watermark",
        "disk_limit_bytes",
    ),
    ("rabbitmq_alarms_memory_used_watermark", "gauge", "1 while memory is short", "memory_alarm"),
    ("rabbitmq_alarms_free_disk_space_watermark", "gauge", "1 while disk is short", "disk_alarm"),
    ("rabbitmq_erlang_uptime_seconds", "gauge", "Node uptime", "uptime_s"),
    ("rabbitmq_io_sync_ops_total", "counter", "Syncs of the store", "store_batches"),
    ("rabbitmq_msg_store_write_total", "counter", "Messages written to disk", "store_messages"),
    ("amqpd_queues_faulted", "gauge", "Queues that cannot be read from the disk", "queues_faulted"),
    (
        "amqpd_messages_quarantined_total",
        "counter",
        "Damaged messages that were set aside",
        "messages_quarantined",
    ),
    ("amqpd_store_commits_total", "counter", "Groups committed and synced", "store_batches"),
    ("amqpd_store_messages_total", "counter", "Messages written to disk", "store_messages"),
    ("amqpd_store_pending_bytes", "gauge", "Waiting to be written", "store_pending_bytes"),
    ("amqpd_store_wal_bytes", "gauge", "Size of the store's WAL", "store_wal_bytes"),
    (
        "amqpd_store_wal_held",
        "gauge",
        "1 while a program that reads the store makes its WAL grow",
        "is_wal_held",
    ),
)
#: What dashboards and alerts for RabbitMQ ask for, and is always 0 here: name and help.
NEVER: Final = (
    ("alarms_file_descriptor_limit", "1 while files are short"),
    ("unreachable_cluster_peers_count", "Peers that cannot be reached; there are none"),
)
#: Name, help, and the figure that has a number for each vhost and reason.
BY_REASON: Final = (
    (
        "amqpd_messages_dead_lettered_total",
        "Messages moved to a dead letter exchange",
        "dead_lettered",
    ),
    (
        "amqpd_messages_dropped_total",
        "Messages removed for good without an acknowledgement",
        "dropped",
    ),
)
#: What happened to messages, without regard to a queue: name, help, and the number.
BY_PROTOCOL: Final = (
    ("received", "Messages received from publishers", "departed_messages"),
    ("received_confirm", "Those that want a confirm", "wanting_confirms"),
    ("routed", "Messages routed to a queue", "routed"),
    ("unroutable_dropped", "Messages lost for want of a queue", "dropped"),
    ("unroutable_returned", "Messages sent back for want of a queue", "returned"),
    ("confirmed", "Messages confirmed to publishers", "confirmed"),
)
#: What happened to messages in queues: name, help, and what is added up.
BY_QUEUE_TYPE: Final = (
    ("delivered", "Delivered or got", ("delivered", "delivered_no_ack", "got", "got_no_ack")),
    ("delivered_consume_manual_ack", "Delivered, to be acknowledged", ("delivered",)),
    ("delivered_consume_auto_ack", "Delivered without", ("delivered_no_ack",)),
    ("delivered_get_manual_ack", "Got, to be acknowledged", ("got",)),
    ("delivered_get_auto_ack", "Got without", ("got_no_ack",)),
    ("get_empty", "Gets from an empty queue", ("got_nothing",)),
    ("redelivered", "Delivered or got again", ("redelivered",)),
    ("acknowledged", "Acknowledged", ("acked",)),
)
#: Reasons for which messages become dead letters, as RabbitMQ's metrics have them, and what
#: there is from the beginning: types of queues, and what becomes of their dead letters.
_CLASSIC: Final = tuple(
    (QueueType.CLASSIC, one) for one in (Strategy.AT_MOST_ONCE, Strategy.DISABLED)
)
_QUORUM: Final = tuple(
    (QueueType.QUORUM, one) for one in (Strategy.AT_MOST_ONCE, Strategy.DISABLED)
)
_SURE: Final = ((QueueType.QUORUM, Strategy.AT_LEAST_ONCE),)
DEAD: Final = {
    "expired": (*_CLASSIC, *_QUORUM, *_SURE),
    "maxlen": (*_CLASSIC, *_QUORUM),
    "rejected": (*_CLASSIC, *_QUORUM, *_SURE),
    "delivery_limit": (*_QUORUM, *_SURE),
}
#: RabbitMQ's families of the node: which of the above are in them.
SECTIONS: Final[Mapping[str, Sequence[str]]] = {
    "connection_churn_metrics": (
        "connections_opened_total",
        "connections_closed_total",
        "channels_opened_total",
    ),
    "node_coarse_metrics": (
        "process_open_fds",
        "process_open_tcp_sockets",
        "process_resident_memory_bytes",
        "disk_space_available_bytes",
    ),
    "node_metrics": (
        "process_max_fds",
        "process_max_tcp_sockets",
        "resident_memory_limit_bytes",
        "disk_space_available_limit_bytes",
        "erlang_uptime_seconds",
    ),
    "node_persister_metrics": ("io_sync_ops_total", "msg_store_write_total"),
}


# -- the whole broker --------------------------------------------------------------------


def exposition(figures: Figures, endpoint: str = "aggregated") -> Iterator[str]:
    """What is known of the whole broker, and costs nothing."""
    yield from identity(figures, endpoint)
    for name, kind, text, attribute in SIMPLE:
        yield f"# TYPE {name} {kind}\n# HELP {name} {text}\n"
        yield f"{name} {float(getattr(figures, attribute)):.15g}\n"
    closed = figures.channels_opened - figures.channels
    yield from write(
        PREFIX, (Metric("channels_closed_total", "counter", "Channels closed"),), [("", (closed,))]
    )
    for name, text in NEVER:
        yield from write(PREFIX, (Metric(name, "gauge", text),), [("", (0,))])
    for name, text, attribute in BY_REASON:
        yield f"# TYPE {name} counter\n# HELP {name} {text}\n"
        for (vhost, reason), count in sorted(getattr(figures, attribute).items()):
            yield f'{name}{{vhost="{escape(vhost)}",reason="{escape(reason)}"}} {count}\n'
    yield from write("", (STARTED,), [("", (figures.started_s,))])
    rows: list[Row] = [
        (labels(vhost=vhost, queue=queue), (count,))
        for (vhost, queue), count in sorted(figures.quarantined.items())
    ]
    aside = Metric(
        "queue_messages_quarantined", "gauge", "Messages set aside because they are damaged"
    )
    yield from write("amqpd_", (aside,), rows)


def identity(figures: Figures, endpoint: str) -> Iterator[str]:
    """Which node says it, and what it runs."""
    who = labels(
        rabbitmq_node=figures.node,
        rabbitmq_cluster=figures.cluster_name,
        rabbitmq_cluster_permanent_id=figures.cluster_name,
        rabbitmq_endpoint=endpoint,
    )
    build = labels(
        rabbitmq_version=figures.product_version,
        erlang_version="",
        prometheus_plugin_version=figures.product_version,
        prometheus_client_version="",
        product_name=figures.product,
        product_version=figures.product_version,
        amqpd_version=figures.version,
        python_version=platform.python_version(),
    )
    about = Metric("identity_info", "gauge", "Node and cluster identity")
    yield from write(PREFIX, (about,), [(who, (1,))])
    about = Metric("build_info", "gauge", "Broker and Python version")
    yield from write(PREFIX, (about,), [(build, (1,))])


def _dead(found: VhostStats) -> Iterator[str]:
    """Dead letters by reason, and what became of them in queues of which type."""
    for reason, known in DEAD.items():
        counts = dict.fromkeys(known, 0)
        counts |= {(*key[:2],): count for key, count in found.deaths.items() if key[2] == reason}
        metric = Metric(
            f"global_messages_dead_lettered_{reason}_total", "counter", f"Dead letters: {reason}"
        )
        yield from write(PREFIX, (metric,), [_of_dead(*key, counts[key]) for key in sorted(counts)])
    arrived: dict[QueueType, int] = {QueueType.QUORUM: 0}
    for (kind, strategy, _), count in found.deaths.items():
        if strategy is Strategy.AT_LEAST_ONCE:
            arrived[kind] = arrived.get(kind, 0) + count
    metric = Metric(
        "global_messages_dead_lettered_confirmed_total", "counter", "Dead letters that are kept"
    )
    rows = [_of_dead(kind, Strategy.AT_LEAST_ONCE, count) for kind, count in arrived.items()]
    yield from write(PREFIX, (metric,), rows)


def _of_dead(kind: QueueType, strategy: Strategy, count: int) -> Row:
    label = labels(queue_type=QUEUE_TYPES[kind], dead_letter_strategy=strategy)
    return label, (count,)


def counted(found: VhostStats, together: Together) -> Iterator[str]:
    """What happened to messages since the start, and who sends and takes them."""
    protocol = labels(protocol=PROTOCOL)
    for name, text, attribute in BY_PROTOCOL:
        metric = Metric(f"global_messages_{name}_total", "counter", text)
        yield from write(PREFIX, (metric,), [(protocol, (getattr(found, attribute),))])
    present = (("publishers", together.publishers), ("consumers", together.consumers))
    for name, count in present:
        metric = Metric(f"global_{name}", "gauge", f"{name.capitalize()} currently connected")
        yield from write(PREFIX, (metric,), [(protocol, (count,))])
    yield from _by_queue_type(found)
    yield from _dead(found)
    yield from _sizes(found)
    for metric, value in _churn(found):
        yield from write(PREFIX, (metric,), [("", (value,))])


def _churn(found: VhostStats) -> Iterator[tuple[Metric, int]]:
    for name in ("declared", "created", "deleted"):
        metric = Metric(f"queues_{name}_total", "counter", f"Queues {name}")
        yield metric, getattr(found, f"queues_{name}")


def _by_queue_type(found: VhostStats) -> Iterator[str]:
    for name, text, attributes in BY_QUEUE_TYPE:
        rows: list[Row] = [
            (
                labels(protocol=PROTOCOL, queue_type=QUEUE_TYPES[kind]),
                (sum(getattr(counts, one) for one in attributes),),
            )
            for kind, counts in found.totals.items()
        ]
        metric = Metric(f"global_messages_{name}_total", "counter", text)
        yield from write(PREFIX, (metric,), rows)


def _sizes(found: VhostStats) -> Iterator[str]:
    """How large messages are; those that came together count by their average."""
    name = f"{PREFIX}message_size_bytes"
    yield f"# TYPE {name} histogram\n# HELP {name} Size of messages received from publishers\n"
    bounds = [*map(_bound, SIZES), "+Inf"]
    for bound, count in zip(bounds, accumulate(found.sizes), strict=True):
        yield f"{name}_bucket{labels(protocol=PROTOCOL, le=bound)} {count}\n"
    yield f"{name}_sum{labels(protocol=PROTOCOL)} {found.size_bytes}\n"
    yield f"{name}_count{labels(protocol=PROTOCOL)} {sum(found.sizes)}\n"


def _bound(size: int) -> str:
    """As Prometheus itself writes it, and queries name it, since its version 3."""
    text = f"{size:g}"
    return text if "e" in text else f"{text}.0"


def since_start(broker: Broker, found: VhostStats) -> Mapping[str, Row]:
    """What families count, as one row for what is there and what is gone.

    For families that are not in it as a whole, what is gone, to be added.
    """
    moved = added([traffic(counts) for counts in found.totals.values()], len(TRAFFIC))
    delivered = columns(moved)
    received, gone = found.departed_messages, broker.presence.carried
    published = (received, found.confirmed, found.returned, found.dropped)
    return {
        "queue_delivery_metrics": ("", delivered),
        "channel_queue_metrics": ("", delivered[:-1]),
        "exchange_metrics": ("", (received, found.returned, found.dropped)),
        "channel_exchange_metrics": ("", published),
        "connection_coarse_metrics": ("", (gone.received_bytes, gone.sent_bytes)),
        "connection_metrics": ("", (gone.received_reads, gone.sent_writes, 0, 0)),
    }


def section(name: str, figures: Figures, found: VhostStats) -> Iterator[tuple[Metric, float]]:
    """The metrics of one of RabbitMQ's families that are of the node."""
    wanted = SECTIONS.get(name, ())
    for full_name, kind, text, attribute in SIMPLE:
        short = full_name.removeprefix(PREFIX)
        if short in wanted:
            yield Metric(short, kind, text), float(getattr(figures, attribute))
    if name == "connection_churn_metrics":
        closed = figures.channels_opened - figures.channels
        yield Metric("channels_closed_total", "counter", "Channels closed"), closed
        yield from _churn(found)
