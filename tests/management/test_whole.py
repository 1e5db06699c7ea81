"""Metrics of the whole broker."""

from __future__ import annotations

import re

from amqpd.management.figures import Figures
from amqpd.management.whole import SIMPLE, exposition

FIGURES = Figures(
    product="RabbitMQ",
    product_version="4.2.0",
    version="0.1.0",
    node='amqpd@"here"\\',
    collections=0,
    context_switches=0,
    read_bytes=0,
    written_bytes=0,
    node_tags={},
    cluster_tags={},
    cluster_name="line\nbreak",
    config_files=(),
    sync=True,
    listeners=(),
    uptime_s=1.5,
    started_s=1_700_000_000.25,
    process_id=1,
    processors=2,
    connections=1,
    connections_opened=2,
    connections_closed=3,
    connections_unknown=1,
    logins_refused=2,
    logins_throttled=1,
    audit_alerts=0,
    audit_lost=0,
    certificate_ends_s=0,
    connections_refused=4,
    connections_limit=99,
    channels=5,
    channels_opened=5,
    exchanges=6,
    queues=7,
    consumers=8,
    dead_lettered={("/", "expired"): 21},
    dropped={("/", "maxlen"): 22, ('"v"', "purged"): 23},
    queues_faulted=1,
    messages_quarantined=2,
    store_batches=11,
    store_messages=12,
    store_pending_bytes=13,
    store_wal_bytes=24,
    store_held_by=("process 7 (sqlite3)",),
    quarantined={("/", 'q"'): 25},
    open_files=14,
    open_files_limit=15,
    resident_bytes=16,
    resident_limit_bytes=17,
    disk_free_bytes=123_456_789_012_345,
    disk_limit_bytes=18,
    memory_alarm=True,
    disk_alarm=False,
)
SAMPLE = re.compile(r'([a-z_]+)(\{([a-z_]+="([^"\\]|\\["\\n])*",?)*\})? ([0-9.]+)')


def text() -> str:
    """All of it."""
    return "".join(exposition(FIGURES, "aggregated"))


def samples() -> dict[str, str]:
    """Name to value, each line checked for its form."""
    found = {}
    for line in text().splitlines():
        if not line.startswith("#"):
            match = SAMPLE.fullmatch(line)
            assert match, line
            found[match[1]] = match[5]
    return found


def test_every_sample_is_well_formed_and_has_type_and_help() -> None:
    for name in samples():
        assert f"# TYPE {name} " in text()
        assert f"# HELP {name} " in text()
    assert text().endswith("\n")


def test_the_dashboards_of_rabbitmq_find_their_names() -> None:
    found = samples()

    # Without these two every panel is empty.
    assert found["rabbitmq_identity_info"] == "1"
    assert found["rabbitmq_build_info"] == "1"
    assert found["rabbitmq_erlang_uptime_seconds"] == "1.5"


def test_removals_are_counted_by_vhost_and_reason() -> None:
    lines = text().splitlines()

    assert 'amqpd_messages_dead_lettered_total{vhost="/",reason="expired"} 21' in lines
    assert 'amqpd_messages_dropped_total{vhost="/",reason="maxlen"} 22' in lines
    assert 'amqpd_messages_dropped_total{vhost="\\"v\\"",reason="purged"} 23' in lines


def test_large_numbers_are_written_out() -> None:
    assert samples()["rabbitmq_disk_space_available_bytes"] == "123456789012345"


def test_counters_are_called_total() -> None:
    assert all(name.endswith("_total") == (kind == "counter") for name, kind, _, _ in SIMPLE)
