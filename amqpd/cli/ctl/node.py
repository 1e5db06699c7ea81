"""The node: whether it runs, how it is, how to stop it."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any, Final

import click

from amqpd import __version__
from amqpd.cli.answer import EX_UNAVAILABLE, fail
from amqpd.cli.ctl.verb import argument, option, verb
from amqpd.cli.remote import RemoteError, run_file, segment
from amqpd.text import printable

if TYPE_CHECKING:
    from amqpd.cli.ctl.verb import Ctl

GROUP: Final = "node"
HEALTH: Final = "health"
#: Between two looks whether a broker has started or ended.
LOOK_S: Final = 0.1


@verb("ping", GROUP)
def ping(ctl: Ctl) -> None:
    """See whether the broker answers; 69 if not."""
    overview = ctl.remote.get("/overview")
    ctl.say(f"Will ping {overview['node']}. This only checks if the broker answers.")
    ctl.say("Ping succeeded")


@verb("version", GROUP)
def version(ctl: Ctl) -> None:
    """The version of this command."""
    click.echo(__version__)


@verb("server_version", GROUP)
def server_version(ctl: Ctl) -> None:
    """The RabbitMQ version that the broker presents itself as."""
    click.echo(ctl.remote.get("/overview")["rabbitmq_version"])


@verb("status", GROUP)
def status(ctl: Ctl) -> None:
    """What the broker is and how it is."""
    overview = ctl.remote.get("/overview")
    nodes = ctl.remote.get("/nodes")
    if ctl.format_name == "json":
        ctl.show(("overview", "nodes"), [{"overview": overview, "nodes": nodes}])
        return
    node: dict[str, Any] = nodes[0] if nodes else {}
    click.echo(f"Status of node {overview['node']} ...")
    for title, rows in _sections(overview, node):
        click.echo(f"\n{title}\n")
        for name, value in rows:
            click.echo(printable(f"{name}: {value}"))


def _sections(
    overview: dict[str, Any], node: dict[str, Any]
) -> list[tuple[str, list[tuple[str, Any]]]]:
    totals = overview.get("object_totals", {})
    alarms = [name for name in ("mem_alarm", "disk_free_alarm") if node.get(name)]
    return [
        (
            "Runtime",
            [
                ("OS PID", node.get("os_pid", "")),
                ("Application", "running" if node.get("running", True) else "stopped by stop_app"),
                ("Uptime (seconds)", node.get("uptime", 0) // 1000),
                ("Is under maintenance?", "false"),
                ("RabbitMQ version", overview.get("rabbitmq_version", "")),
                ("Product", f"{overview.get('product_name')} {overview.get('product_version')}"),
                ("Node name", overview.get("node", "")),
            ],
        ),
        (
            "Memory",
            [
                ("Total memory used (bytes)", node.get("mem_used", "")),
                ("Memory high watermark (bytes)", node.get("mem_limit", "")),
            ],
        ),
        (
            "Free Disk Space",
            [
                ("Low free disk space watermark (bytes)", node.get("disk_free_limit", "")),
                ("Free disk space (bytes)", node.get("disk_free", "")),
            ],
        ),
        ("Alarms", [("Alarms", ", ".join(alarms) or "(none)")]),
        (
            "Totals",
            [
                ("Connection count", totals.get("connections", "")),
                ("Queue count", totals.get("queues", "")),
                ("Exchange count", totals.get("exchanges", "")),
            ],
        ),
        (
            "Listeners",
            [
                ("Interface", f"{one['ip_address']}, port: {one['port']}, {one['protocol']}")
                for one in overview.get("listeners", [])
            ],
        ),
    ]


@verb("cluster_status", GROUP)
def cluster_status(ctl: Ctl) -> None:
    """The nodes there are: one."""
    overview = ctl.remote.get("/overview")
    if ctl.format_name == "json":
        names = [one["name"] for one in ctl.remote.get("/nodes")]
        row = {"cluster_name": overview["cluster_name"], "running_nodes": names}
        ctl.show(("cluster_name", "running_nodes"), [row])
        return
    click.echo(f"Cluster status of node {overview['node']} ...\nBasics\n")
    click.echo(printable(f"Cluster name: {overview['cluster_name']}\n\nRunning Nodes\n"))
    for one in ctl.remote.get("/nodes"):
        click.echo(printable(one["name"]))


@verb("listeners", GROUP)
def listeners(ctl: Ctl) -> None:
    """The ports that are open."""
    overview = ctl.remote.get("/overview")
    ctl.say(f"Asking node {overview['node']} to report its protocol listeners ...")
    if ctl.format_name == "json":
        ctl.show(("ip_address", "port", "protocol"), overview["listeners"])
        return
    for one in overview["listeners"]:
        click.echo(
            f"Interface: {one['ip_address']}, port: {one['port']}, protocol: {one['protocol']}"
        )


@verb("await_startup", GROUP)
def await_startup(ctl: Ctl) -> None:
    """Wait until the broker serves clients; 69 when the timeout is over."""
    until_s = time.monotonic() + ctl.remote.place.timeout_s
    while True:
        try:
            ctl.remote.get("/health/checks/is-in-service")
        except RemoteError as error:
            if error.code != EX_UNAVAILABLE or time.monotonic() >= until_s:
                raise
            time.sleep(LOOK_S)
        else:
            return


@verb(
    "wait",
    GROUP,
    argument("pid_file", required=False),
    option("-P", "--pid", type=int, help="Of the broker."),
)
def wait(ctl: Ctl, pid_file: str | None, pid: int | None) -> None:
    """The same: wait until the broker serves clients."""
    ctl.say(f"Waiting for pid file '{pid_file}' to appear" if pid_file else f"pid is {pid}")
    await_startup(ctl)


def _stop(ctl: Ctl) -> None:
    """End the broker that runs on this machine and wait until it has."""
    pid = run_file().get("pid")
    served = ctl.remote.get("/overview")["node"]
    nodes = ctl.remote.get("/nodes")
    if not isinstance(pid, int) or str(pid) not in {str(one.get("os_pid")) for one in nodes}:
        fail(
            f"{served} was not started from this directory: stop it where it runs "
            "(systemctl stop amqpd, or SIGTERM)",
            EX_UNAVAILABLE,
        )
    ctl.say(f"Stopping and halting node {served} ...")
    os.kill(pid, signal.SIGTERM)
    until_s = time.monotonic() + ctl.remote.place.timeout_s
    while run_file().get("pid") == pid and time.monotonic() < until_s:
        time.sleep(LOOK_S)


@verb("stop", GROUP, argument("pid_file", required=False))
def stop(ctl: Ctl, pid_file: str | None) -> None:
    """End the broker that was started from this directory."""
    _stop(ctl)


@verb("shutdown", GROUP)
def shutdown(ctl: Ctl) -> None:
    """The same as stop."""
    _stop(ctl)


@verb("list_feature_flags", GROUP, argument("columns", required=False, many=True))
def list_feature_flags(ctl: Ctl, columns: tuple[str, ...]) -> None:
    """All feature flags; each is enabled."""
    ctl.say("Listing feature flags ...")
    ctl.show(columns or ("name", "state"), ctl.remote.get("/feature-flags"))


@verb("enable_feature_flag", GROUP, argument("name"))
def enable_feature_flag(ctl: Ctl, name: str) -> None:
    """There is nothing to enable: all features are."""
    ctl.remote.get("/overview")
    ctl.say(f"Enabling feature flag `{name}` ...")


# -- health ------------------------------------------------------------------------------


def _check(ctl: Ctl, what: str, path: str) -> None:
    """A health check of the broker; 69 with its reason when it fails."""
    try:
        ctl.remote.get(f"/health/checks/{path}")
    except RemoteError as error:
        if error.status in (0, 401, 404):
            raise
        fail(f"{what}: {error.reason}", EX_UNAVAILABLE)
    ctl.say(f"{what}: passed")


@verb("check_running", HEALTH)
def check_running(ctl: Ctl) -> None:
    """The broker runs and serves clients."""
    _check(ctl, "check_running", "is-in-service")


@verb("is_running", HEALTH)
def is_running(ctl: Ctl) -> None:
    """The same."""
    _check(ctl, "is_running", "is-in-service")


@verb("check_alarms", HEALTH)
def check_alarms(ctl: Ctl) -> None:
    """No alarm is on."""
    _check(ctl, "check_alarms", "alarms")


@verb("check_local_alarms", HEALTH)
def check_local_alarms(ctl: Ctl) -> None:
    """No alarm of this node is on."""
    _check(ctl, "check_local_alarms", "local-alarms")


@verb("check_virtual_hosts", HEALTH)
def check_virtual_hosts(ctl: Ctl) -> None:
    """All vhosts are served."""
    _check(ctl, "check_virtual_hosts", "virtual-hosts")


@verb("check_port_listener", HEALTH, argument("port"))
def check_port_listener(ctl: Ctl, port: str) -> None:
    """Somebody listens on this port."""
    _check(ctl, "check_port_listener", f"port-listener/{segment(port)}")


@verb("check_protocol_listener", HEALTH, argument("protocol"))
def check_protocol_listener(ctl: Ctl, protocol: str) -> None:
    """This protocol is served."""
    _check(ctl, "check_protocol_listener", f"protocol-listener/{segment(protocol)}")


@verb("alarms", HEALTH)
def alarms(ctl: Ctl) -> None:
    """The alarms that are on."""
    nodes = ctl.remote.get("/nodes")
    found = [
        {"node": one["name"], "alarm": name}
        for one in nodes
        for key, name in (("mem_alarm", "memory"), ("disk_free_alarm", "disk"))
        if one.get(key)
    ]
    if not found and ctl.format_name != "json":
        ctl.say("no alarms")
        return
    ctl.show(("node", "alarm"), found)


@verb("environment", GROUP)
def environment(ctl: Ctl) -> None:
    """The settings in force."""
    settings = ctl.remote.get("/config/effective")
    if ctl.format_name == "json":
        click.echo(json.dumps(settings))
        return
    for name, value in settings.items():
        click.echo(printable(f"{name} = {json.dumps(value)}"))


@verb("list_deprecated_features", GROUP, argument("columns", required=False, many=True))
def list_deprecated_features(ctl: Ctl, columns: tuple[str, ...]) -> None:
    """What RabbitMQ gives up and this broker keeps."""
    ctl.say("Listing deprecated features ...")
    ctl.show(columns or ("name", "state"), ctl.remote.get("/deprecated-features"))
