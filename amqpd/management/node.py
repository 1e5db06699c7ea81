"""`/api/nodes`: this node, its memory, disk and files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from amqpd.management.access import Needs
from amqpd.management.errors import not_found
from amqpd.management.listing import PARAMETERS, listing, one
from amqpd.management.overview import context_facts, exchange_type_facts
from amqpd.management.rates import CHURN, QUERY
from amqpd.management.request import Answer, json
from amqpd.management.routing import Operation, Route
from amqpd.management.survey import (
    CHURNING,
    NODE,
    NODE_COLUMNS,
    churn_values,
    node_values,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amqpd.management.call import Call
    from amqpd.management.figures import Figures
    from amqpd.management.listing import Facts
    from amqpd.management.rates import Shown


#: Where the log goes, as RabbitMQ names it: whoever starts the broker keeps what it writes there.
LOG: Final = "<stderr>"
#: What the mechanisms of SASL are, for people.
MECHANISMS: Final = {
    "PLAIN": "user and password (RFC 4616)",
    "AMQPLAIN": "user and password, in a table",
    "ANONYMOUS": "no password (RFC 4505)",
    "EXTERNAL": "the certificate of the client (RFC 4422)",
}
#: What RabbitMQ divides memory into.
MEMORY_KINDS: Final = (
    "connection_readers", "connection_writers", "connection_channels", "connection_other",
    "queue_procs", "quorum_queue_procs", "quorum_queue_dlx_procs", "stream_queue_procs",
    "stream_queue_replica_reader_procs", "stream_queue_coordinator_procs", "plugins",
    "metadata_store", "other_proc", "metrics", "mgmt_db", "mnesia", "quorum_ets",
    "metadata_store_ets", "other_ets", "binary", "msg_index", "code", "atom", "other_system",
    "allocated_unused", "reserved_unallocated",
)  # fmt: skip


#: What RabbitMQ counted of files before version 4, which says 0 of all of them.
_NOTHING: Final = {
    **dict.fromkeys(
        ("io_read_count", "io_write_count", "io_seek_count", "io_reopen_count",
         "mnesia_ram_tx_count", "mnesia_disk_tx_count", "msg_store_read_count",
         "msg_store_write_count", "queue_index_read_count"), 0,
    ),
    **dict.fromkeys(
        ("io_read_avg_time", "io_write_avg_time", "io_sync_avg_time", "io_seek_avg_time"), 0.0
    ),
}  # fmt: skip
NOTHING: Final[Mapping[str, object]] = {
    **_NOTHING,
    **{f"{key}_details": {"rate": 0.0} for key in _NOTHING},
}


def facts(call: Call, now: Figures, shown: Shown) -> Facts:
    """What is shown of the node."""
    vhosts = list(call.broker.vhosts.values())
    return {
        "name": now.node,
        "type": "disc",
        "running": not call.host.controls.is_stopped,
        "being_drained": False,
        "os_pid": str(now.process_id),
        "uptime": int(now.uptime_s * 1000),
        "processors": now.processors,
        "rates_mode": "basic",
        "mem_calculation_strategy": "rss",
        "mem_limit": now.resident_limit_bytes,
        "mem_alarm": now.memory_alarm,
        "disk_free_limit": now.disk_limit_bytes,
        "disk_free_alarm": now.disk_alarm,
        "fd_total": now.open_files_limit,
        "sockets_total": now.open_files_limit,
        "proc_used": 1,
        "proc_total": 1,
        "run_queue": 0,
        "partitions": [],
        "applications": [
            {"name": "amqpd", "description": "amqpd", "version": now.version},
            {"name": "rabbit", "description": "RabbitMQ", "version": now.product_version},
        ],
        "enabled_plugins": ["rabbitmq_management", "rabbitmq_prometheus"],
        "auth_mechanisms": _mechanisms(call),
        "exchange_types": exchange_type_facts(call),
        "contexts": context_facts(now),
        **shown.facts(NODE, NODE_COLUMNS, node_values(now), shown.node),
        **NOTHING,
        **shown.facts(CHURNING, CHURN, churn_values(now, vhosts), shown.node),
        "cluster_links": [],
        "store_wal_bytes": now.store_wal_bytes,
        "store_held_by": list(now.store_held_by),
        "messages_quarantined": sum(now.quarantined.values()),
        "log_files": [LOG],
        "config_files": list(now.config_files),
        "db_dir": str(call.host.settings().get("store.path", "")),
        "net_ticktime": 60,
    }


def _mechanisms(call: Call) -> list[Facts]:
    """How clients may log in."""
    enabled = call.host.settings().get("amqp.mechanisms", ())
    assert isinstance(enabled, list | tuple)
    return [
        {"name": name, "description": MECHANISMS.get(name, name), "enabled": True}
        for name in enabled
    ]


def this_node(call: Call) -> Figures:
    """The figures of the node in the path.

    Raises:
        HttpError: it is another one.
    """
    now = call.host.figures()
    if call.names["node"] != now.node:
        raise not_found()
    return now


async def list_nodes(call: Call) -> Answer:
    """The nodes: one."""
    keys = {"name": lambda now: now.node}
    shown = call.shown()
    return await listing(
        call,
        [call.host.figures()],
        lambda now: facts(call, now, shown),
        keys,
        default_sort=("name",),
    )


async def show(call: Call) -> Answer:
    """This node."""
    return one(call, facts(call, this_node(call), call.shown()))


def _memory(call: Call) -> dict[str, int]:
    """Bytes by RabbitMQ's kinds: clients want all of them, most are Erlang's and nothing here."""
    this_node(call)
    return {**dict.fromkeys(MEMORY_KINDS, 0), **call.host.memory()}


async def memory(call: Call) -> Answer:
    """What memory is used for."""
    parts = _memory(call)
    # RabbitMQ measures in three ways, of which clients want each to be more than nothing.
    total = dict.fromkeys(("rss", "allocated", "erlang"), sum(parts.values()))
    return json({"memory": {**parts, "strategy": "rss", "total": total}})


async def memory_relative(call: Call) -> Answer:
    """The same in percent."""
    parts = _memory(call)
    whole = max(1, sum(parts.values()))
    shares = {kind: round(100 * octets / whole) for kind, octets in parts.items()}
    return json({"memory": {**shares, "total": 100}})


async def no_ets(call: Call) -> Answer:
    """Tables of Erlang's virtual machine: there are none here."""
    this_node(call)
    raise not_found("this broker has no Erlang tables", "not_found")


async def no_collector(call: Call) -> Answer:
    """Nothing: memory is collected by itself, when it costs nobody time."""
    raise not_found("memory is collected by itself; see /api/nodes for what is used", "not_found")


MONITOR: Final = Needs.MONITOR
ROUTES: Final = (
    Route(
        "/nodes",
        GET=Operation(list_nodes, MONITOR, query=(*PARAMETERS, *QUERY), while_stopped=True),
    ),
    Route(
        "/nodes/{node}",
        GET=Operation(show, MONITOR, query=(*QUERY, "columns"), while_stopped=True),
    ),
    Route("/nodes/gc_stats", GET=Operation(no_collector, MONITOR)),
    Route("/nodes/gc_collect", POST=Operation(no_collector, Needs.ADMINISTRATOR)),
    Route("/nodes/{node}/memory", GET=Operation(memory, MONITOR)),
    Route("/nodes/{node}/memory/relative", GET=Operation(memory_relative, MONITOR)),
    Route("/nodes/{node}/memory/ets", GET=Operation(no_ets, MONITOR)),
    Route("/nodes/{node}/memory/ets/relative", GET=Operation(no_ets, MONITOR)),
    Route("/nodes/{node}/memory/ets/{filter}", GET=Operation(no_ets, MONITOR)),
    Route("/nodes/{node}/memory/ets/{filter}/relative", GET=Operation(no_ets, MONITOR)),
)
