"""Metrics as Prometheus reads them, under RabbitMQ's names so that its dashboards light up.

What RabbitMQ has no name for begins with `amqpd_`.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amqpd.management.figures import Figures

#: Name, type, help, and the figure it shows.
SIMPLE: Final = (
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
    ("rabbitmq_queues", "gauge", "Queues available", "queues"),
    ("rabbitmq_consumers", "gauge", "Consumers currently connected", "consumers"),
    ("rabbitmq_queue_messages_ready", "gauge", "Messages ready to be delivered", "ready"),
    ("rabbitmq_queue_messages_unacked", "gauge", "Messages not acknowledged yet", "unacked"),
    ("rabbitmq_process_open_fds", "gauge", "Open file descriptors", "open_files"),
    ("rabbitmq_process_max_fds", "gauge", "Open file descriptors limit", "open_files_limit"),
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
    ("amqpd_store_commits_total", "counter", "Groups committed and synced", "store_batches"),
    ("amqpd_store_messages_total", "counter", "Messages written to disk", "store_messages"),
    ("amqpd_store_pending_bytes", "gauge", "Waiting to be written", "store_pending_bytes"),
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


def exposition(figures: Figures) -> str:
    """The text of `/metrics`."""
    return "".join(f"{line}\n" for line in _lines(figures))


def _lines(figures: Figures) -> Iterator[str]:
    identity = {
        "rabbitmq_node": figures.node,
        "rabbitmq_cluster": figures.cluster_name,
        "rabbitmq_cluster_permanent_id": figures.cluster_name,
        "rabbitmq_endpoint": "aggregated",
    }
    build = {
        "rabbitmq_version": figures.product_version,
        "erlang_version": "",
        "prometheus_plugin_version": figures.product_version,
        "prometheus_client_version": "",
        "amqpd_version": figures.version,
        "python_version": platform.python_version(),
    }
    yield from _labelled("rabbitmq_identity_info", "Node and cluster identity", identity)
    yield from _labelled("rabbitmq_build_info", "Broker and Python version", build)
    for name, kind, text, attribute in SIMPLE:
        yield f"# TYPE {name} {kind}"
        yield f"# HELP {name} {text}"
        yield f"{name} {float(getattr(figures, attribute)):.15g}"
    for name, text, attribute in BY_REASON:
        yield f"# TYPE {name} counter"
        yield f"# HELP {name} {text}"
        for (vhost, reason), count in sorted(getattr(figures, attribute).items()):
            yield f'{name}{{vhost="{_escape(vhost)}",reason="{_escape(reason)}"}} {count}'


def _labelled(name: str, text: str, labels: dict[str, str]) -> Iterator[str]:
    inside = ",".join(f'{key}="{_escape(value)}"' for key, value in labels.items())
    yield f"# TYPE {name} gauge"
    yield f"# HELP {name} {text}"
    yield f"{name}{{{inside}}} 1"


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
