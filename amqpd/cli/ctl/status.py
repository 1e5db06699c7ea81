"""`status`, `cluster_status` and what they are made of: listeners, alarms, memory, in sections."""

from __future__ import annotations

import platform
import ssl
from typing import TYPE_CHECKING, Any, Final

import click

from amqpd.cli.ctl.refusals import invalid
from amqpd.cli.ctl.verb import option, verb
from amqpd.cli.remote import segment
from amqpd.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from amqpd.cli.ctl.verb import Ctl

GROUP: Final = "node"
Facts = dict[str, Any]
#: What a port is for, by its protocol.
PURPOSES: Final[Mapping[str, str]] = {
    "amqp": "AMQP 0-9-1",
    "amqp/ssl": "AMQP 0-9-1 over TLS",
    "http": "HTTP API",
    "https": "HTTP API over TLS (HTTPS)",
    "http/prometheus": "Prometheus exporter API over HTTP",
    "https/prometheus": "Prometheus exporter API over TLS (HTTPS)",
}
#: How much a unit is.
UNITS: Final[Mapping[str, int]] = {"bytes": 1, "mb": 10**6, "gb": 10**9}
UNIT: Final = option("--unit", default="gb", metavar="UNIT", help="bytes, mb or gb.  [gb]")


def known_unit(name: str) -> int:
    """How many bytes a unit is; one that is none ends the verb."""
    if name not in UNITS:
        invalid(f"unit '{name}' is not supported. Please use one of: {', '.join(UNITS)}")
    return UNITS[name]


def in_unit(size_bytes: float, name: str) -> str:
    """A size, to four digits behind the point."""
    return f"{round(size_bytes / UNITS[name], 4) if name != 'bytes' else size_bytes} {name}"


def section(title: str, lines: Iterable[str]) -> None:
    """A part of a report; without lines it has none to tell of."""
    click.echo(f"{click.style(title, bold=True)}\n")
    shown = [printable(line) for line in lines]
    click.echo("\n".join([*(shown or ["(none)"]), ""]))


# -- what is in them -------------------------------------------------------------------------


def listeners_of(overview: Facts) -> list[Facts]:
    """The ports that are open, as rabbitmqctl names what is known of them."""
    return [
        {
            "interface": _interface(one["ip_address"]),
            "node": one["node"],
            "port": one["port"],
            "protocol": one["protocol"],
            "purpose": PURPOSES.get(one["protocol"], one["protocol"]),
        }
        for one in overview["listeners"]
    ]


def _interface(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def listener_line(one: Facts, first: str = "Interface") -> str:
    """A port in one line."""
    return (
        f"{first}: {one['interface']}, port: {one['port']}, protocol: {one['protocol']}, "
        f"purpose: {one['purpose']}"
    )


def alarms_of(nodes: Iterable[Facts]) -> list[Facts]:
    """The alarms that are on."""
    return [
        {"node": one["name"], "resource": name, "type": "resource_limit"}
        for one in nodes
        for key, name in (("mem_alarm", "memory"), ("disk_free_alarm", "disk"))
        if one.get(key)
    ]


def alarm_line(one: Facts) -> str:
    """An alarm in one line."""
    what = "Memory" if one["resource"] == "memory" else "Free disk space"
    return f"{what} alarm on node {one['node']}"


def memory_of(ctl: Ctl, node: str) -> list[tuple[str, int, float]]:
    """What memory is used for: a part's name, bytes and percentage, the largest first."""
    found = ctl.remote.get(f"/nodes/{segment(node)}/memory")["memory"]
    parts = {name: size for name, size in found.items() if isinstance(size, int)}
    total = found["total"][found["strategy"]] or 1
    ordered = sorted(parts.items(), key=lambda part: -part[1])
    return [(name, size, round(100 * size / total, 2)) for name, size in ordered]


# -- status ----------------------------------------------------------------------------------


@verb("status", GROUP, UNIT)
def status(ctl: Ctl, unit: str) -> None:
    """What the broker is and how it is."""
    known_unit(unit)
    overview, nodes = ctl.remote.get("/overview"), ctl.remote.get("/nodes")
    runs = nodes[0].get("running", True)
    facts = _runtime_facts(overview, nodes[0])
    if runs:
        facts |= _facts(ctl, overview, nodes[0])
    if ctl.wants_json:
        ctl.result("", facts)
        return
    ctl.say(f"Status of node {overview['node']} ...")
    section("Runtime", _runtime(facts, overview["node"]))
    for title, lines in _sections(ctl, facts, unit) if runs else ():
        section(title, lines)


def _runtime_facts(overview: Facts, node: Facts) -> Facts:
    """What is known of the process, even after stop_app."""
    return {
        "app_running": node.get("running", True),
        "crypto_lib_version": ssl.OPENSSL_VERSION,
        "is_under_maintenance": node.get("being_drained", False),
        "os": platform.system(),
        "pid": int(node["os_pid"]),
        "product_name": overview["product_name"],
        "product_version": overview["product_version"],
        "rabbitmq_version": overview["rabbitmq_version"],
        "release_series_support_status": overview.get("release_series_support_status", ""),
        "uptime": node.get("uptime", 0) // 1000,
    }


def _facts(ctl: Ctl, overview: Facts, node: Facts) -> Facts:
    settings = ctl.remote.get("/config/effective")
    vhosts = ctl.remote.get("/vhosts", columns="name")
    memory = ctl.remote.get(f"/nodes/{segment(node['name'])}/memory")["memory"]
    totals = overview.get("object_totals", {})
    setting = {"relative": settings["resources.memory_watermark"]}
    if absolute := settings["resources.memory_watermark_bytes"]:
        setting = {"absolute": absolute}
    return {
        "active_plugins": node["enabled_plugins"],
        "alarms": alarms_of([node]),
        "config_files": node["config_files"],
        "data_directory": node["db_dir"],
        "disk_free": node.get("disk_free"),
        "disk_free_limit": node["disk_free_limit"],
        "erlang_version": "",
        "file_descriptors": {
            "sockets_limit": node["sockets_total"],
            "sockets_used": node.get("sockets_used"),
            "total_limit": node["fd_total"],
            "total_used": node.get("fd_used"),
        },
        "listeners": listeners_of(overview),
        "log_files": node["log_files"],
        "memory": memory,
        "net_ticktime": settings["amqp.heartbeat_s"],
        "processes": {"limit": node["proc_total"], "used": node["proc_used"]},
        "run_queue": node["run_queue"],
        "totals": {
            "virtual_host_count": len(vhosts),
            "connection_count": totals.get("connections", 0),
            "queue_count": totals.get("queues", 0),
        },
        "vm_memory_calculation_strategy": memory["strategy"],
        "vm_memory_high_watermark_limit": node["mem_limit"],
        "vm_memory_high_watermark_setting": setting,
    }


def _sections(ctl: Ctl, facts: Facts, unit: str) -> list[tuple[str, list[str]]]:
    node, files, totals = ctl.node, facts["file_descriptors"], facts["totals"]
    plugins = [f" * {name}" for name in facts["active_plugins"]]
    return [
        ("Plugins", ["Enabled plugins:\n", *plugins]),
        ("Data directory", [f"Node data directory: {facts['data_directory']}"]),
        ("Config files", [f" * {name}" for name in facts["config_files"]]),
        ("Log file(s)", [f" * {name}" for name in facts["log_files"]]),
        ("Alarms", [alarm_line(one) for one in facts["alarms"]]),
        ("Memory", _memory(ctl, facts, node, unit)),
        ("File Descriptors", [
            f"Total: {files['total_used']}, limit: {files['total_limit']}",
            f"Sockets: {files['sockets_used']}, limit: {files['sockets_limit']}",
        ]),
        ("Free Disk Space", [
            f"Low free disk space watermark: {in_unit(facts['disk_free_limit'], unit)}",
            f"Free disk space: {in_unit(facts['disk_free'] or 0, unit)}",
        ]),
        ("Totals", [
            f"Connection count: {totals['connection_count']}",
            f"Queue count: {totals['queue_count']}",
            f"Virtual host count: {totals['virtual_host_count']}",
        ]),
        ("Listeners", [listener_line(one) for one in facts["listeners"]]),
    ]  # fmt: skip


def _runtime(facts: Facts, node: str) -> list[str]:
    return [
        f"OS PID: {facts['pid']}",
        f"OS: {facts['os']}",
        f"Uptime (seconds): {facts['uptime']}",
        f"Is under maintenance?: {str(facts['is_under_maintenance']).lower()}",
        f"RabbitMQ version: {facts['rabbitmq_version']}",
        f"RabbitMQ release series support status: {facts['release_series_support_status']}",
        f"Node name: {node}",
        f"Application: {'running' if facts['app_running'] else 'stopped by stop_app'}",
        f"Crypto library: {facts['crypto_lib_version']}",
    ]


def _memory(ctl: Ctl, facts: Facts, node: str, unit: str) -> list[str]:
    total = facts["memory"]["total"][facts["memory"]["strategy"]]
    limit = in_unit(facts["vm_memory_high_watermark_limit"], unit)
    setting = facts["vm_memory_high_watermark_setting"]
    how = (
        f"{setting['relative']} of available memory, computed to: {limit}"
        if "relative" in setting
        else limit
    )
    parts = memory_of(ctl, node)
    return [
        f"Total memory used: {in_unit(total, unit)}",
        f"Calculation strategy: {facts['vm_memory_calculation_strategy']}",
        f"Memory high watermark setting: {how}\n",
        *(f"{name}: {in_unit(size, unit)} ({share} %)" for name, size, share in parts if size),
    ]


# -- cluster_status --------------------------------------------------------------------------


@verb("cluster_status", GROUP)
def cluster_status(ctl: Ctl) -> None:
    """The nodes there are: one."""
    overview, nodes = ctl.remote.get("/overview"), ctl.remote.get("/nodes")
    name, version = overview["node"], overview["rabbitmq_version"]
    flags = ctl.remote.get("/feature-flags")
    state = "under maintenance" if nodes[0]["being_drained"] else "not under maintenance"
    listeners, alarms = listeners_of(overview), alarms_of(nodes)
    if ctl.wants_json:
        product = {"rabbitmq_name": overview["product_name"], "rabbitmq_version": version}
        ctl.result("", {
            "alarms": alarms,
            "cluster_name": overview["cluster_name"],
            "disk_nodes": [name],
            "feature_flags": flags,
            "listeners": {name: listeners},
            "maintenance_status": {name: state},
            "partitions": {},
            "ram_nodes": [],
            "running_nodes": [name],
            "versions": {name: product},
        })  # fmt: skip
        return
    ctl.say(f"Cluster status of node {name} ...")
    section("Basics", [f"Cluster name: {overview['cluster_name']}"])
    section("Disk Nodes", [name])
    section("Running Nodes", [name])
    section("Versions", [f"{name}: {overview['product_name']} {version}"])
    section("Maintenance status", [f"Node: {name}, status: {state}"])
    section("Alarms", [alarm_line(one) for one in alarms])
    section("Network Partitions", [])
    section("Listeners", [f"Node: {name}, {listener_line(one, 'interface')}" for one in listeners])
    section("Feature flags", [f"Flag: {one['name']}, state: {one['state']}" for one in flags])
