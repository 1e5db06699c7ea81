"""The node: whether it runs, how it is, how to stop it."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Final

from amqpd import __version__
from amqpd.cli.answer import EX_UNAVAILABLE, EX_USAGE
from amqpd.cli.ctl.refusals import bad, end, end_with
from amqpd.cli.ctl.status import alarm_line, alarms_of, listener_line, listeners_of
from amqpd.cli.ctl.verb import argument, known_columns, option, verb
from amqpd.cli.remote import RemoteError, run_file

if TYPE_CHECKING:
    from amqpd.cli.ctl.verb import Ctl

GROUP: Final = "node"
HEALTH: Final = "health"
#: Between two looks whether a broker has started or ended.
LOOK_S: Final = 0.1


@verb("ping", GROUP)
def ping(ctl: Ctl) -> None:
    """See whether the broker answers; 69 if not."""
    timeout_ms = int(1000 * ctl.remote.place.timeout_s)
    ctl.say(
        f"Will ping {ctl.node}. This only checks if the broker answers. Timeout: {timeout_ms} ms."
    )
    ctl.result("Ping succeeded")


@verb("version", GROUP)
def version(ctl: Ctl) -> None:
    """The version of this command."""
    ctl.result(__version__, {"version": __version__})


@verb("server_version", GROUP)
def server_version(ctl: Ctl) -> None:
    """The RabbitMQ version that the broker presents itself as."""
    overview = ctl.remote.get("/overview")
    ctl.say(f"Asking node {overview['node']} for its RabbitMQ version...")
    found = overview["rabbitmq_version"]
    ctl.result(found, {"result": "ok", "value": found})


@verb("listeners", GROUP)
def listeners(ctl: Ctl) -> None:
    """The ports that are open."""
    overview = ctl.remote.get("/overview")
    ctl.say(f"Asking node {overview['node']} to report its protocol listeners ...")
    rows = listeners_of(overview)
    if ctl.format_name == "csv":
        ctl.show(("node", "protocol", "interface", "port", "purpose"), rows)
        return
    ctl.result(
        "\n".join(listener_line(one) for one in rows),
        {"listeners": rows, "node": overview["node"], "result": "ok"},
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
                end(error.text, error.code)
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
        end(
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


FLAG: Final = ("name", "state", "stability", "provided_by", "desc", "doc_url")


@verb("list_feature_flags", GROUP, argument("columns", required=False, many=True))
def list_feature_flags(ctl: Ctl, columns: tuple[str, ...]) -> None:
    """All feature flags; each is enabled."""
    chosen = known_columns(columns, FLAG) or ["name", "state"]
    ctl.say("Listing feature flags ...")
    ctl.show(chosen, ctl.remote.get("/feature-flags"))


@verb("enable_feature_flag", GROUP, argument("name"))
def enable_feature_flag(ctl: Ctl, name: str) -> None:
    """There is nothing to enable: all features are."""
    known = {one["name"] for one in ctl.remote.get("/feature-flags")}
    ctl.say(
        "Enabling all feature flags ..." if name == "all" else f'Enabling feature flag "{name}" ...'
    )
    if name not in {"all", *known}:
        end(f"This feature flag is not supported by node {ctl.node}", EX_USAGE)


# -- health ------------------------------------------------------------------------------


def passes(ctl: Ctl, path: str) -> tuple[bool, str]:
    """Whether a health check of the broker passes, and what it says if not."""
    try:
        ctl.remote.get(f"/health/checks/{path}")
    except RemoteError as error:
        if error.status in (0, 401, 404):
            raise
        return False, error.reason
    return True, ""


def _running(ctl: Ctl, node: str) -> tuple[bool, str]:
    runs, _ = passes(ctl, "is-in-service")
    state = (
        "is fully booted and running"
        if runs
        else "is not running or has not fully booted yet (check with is_booting)"
    )
    return runs, f"RabbitMQ on node {node} {state}"


@verb("check_running", HEALTH)
def check_running(ctl: Ctl) -> None:
    """The broker runs and serves clients; 69 if not."""
    node = ctl.node
    ctl.say(f"Checking if RabbitMQ is running on node {node} ...")
    runs, text = _running(ctl, node)
    if not runs:
        end(text, EX_UNAVAILABLE)
    ctl.result(text)


@verb("is_running", HEALTH)
def is_running(ctl: Ctl) -> None:
    """Whether it does; 0 whatever the answer is."""
    node = ctl.node
    ctl.say(f"Asking node {node} for its status ...")
    runs, text = _running(ctl, node)
    ctl.result(text, {"message": text, "result": runs})


def _no_alarm(ctl: Ctl, none: str, text: str) -> None:
    nodes = ctl.remote.get("/nodes")
    node = nodes[0]["name"]
    ctl.say(f"Asking node {node} to report any local resource alarms ...")
    found = [alarm_line(one) for one in alarms_of(nodes)]
    if found:
        facts = {"global": [], "local": found, "message": f"Node {node} reported {text}"}
        end_with(facts, "\n".join(found), EX_UNAVAILABLE)
    ctl.result(f"Node {node} reported {none}", {"result": "ok"})


@verb("check_alarms", HEALTH)
def check_alarms(ctl: Ctl) -> None:
    """No alarm is on."""
    _no_alarm(ctl, "no alarms, local or clusterwide", "alarms")


@verb("check_local_alarms", HEALTH)
def check_local_alarms(ctl: Ctl) -> None:
    """No alarm of this node is on."""
    _no_alarm(ctl, "no local alarms", "local alarms")


@verb("check_virtual_hosts", HEALTH)
def check_virtual_hosts(ctl: Ctl) -> None:
    """All vhosts are served."""
    node = ctl.node
    ctl.say(f"Checking if all vhosts are running on node {node} ...")
    fine, reason = passes(ctl, "virtual-hosts")
    if not fine:
        end(f"Some virtual hosts on node {node} are down: {reason}", EX_UNAVAILABLE)
    ctl.result(f"Node {node} reported all vhosts as running", {"result": "ok"})


@verb("check_port_listener", HEALTH, argument("port"))
def check_port_listener(ctl: Ctl, port: str) -> None:
    """Somebody listens on this port."""
    if not port.isdecimal() or not int(port):
        bad("Argument must be a positive integer")
    overview = ctl.remote.get("/overview")
    node, found = overview["node"], listeners_of(overview)
    ctl.say(f"Asking node {node} if there's an active listener on port {port} ...")
    facts = {"node": node, "port": port}
    if int(port) not in {one["port"] for one in found}:
        ports = ", ".join(map(str, sorted(one["port"] for one in found)))
        end_with(
            facts | {"listeners": found},
            f"No listener for port {port} is active on node {node}. "
            f"Found listeners that use the following ports: {ports}",
            EX_UNAVAILABLE,
        )
    ctl.result(f"A listener for port {port} is running on node {node}.", facts | {"result": "ok"})


#: Other names of protocols.
PROTOCOLS: Final = {
    "amqp091": "amqp", "amqp0.9.1": "amqp", "amqp0-9-1": "amqp", "amqps": "amqp/ssl",
    "amqp/tls": "amqp/ssl", "prometheus": "http/prometheus",
}  # fmt: skip


@verb("check_protocol_listener", HEALTH, argument("protocol"))
def check_protocol_listener(ctl: Ctl, protocol: str) -> None:
    """This protocol is served."""
    overview = ctl.remote.get("/overview")
    node, found = overview["node"], listeners_of(overview)
    ctl.say(f"Asking node {node} if there's an active listener for protocol {protocol} ...")
    facts = {"node": node, "protocol": protocol}
    wanted = protocol.lower()
    served = {one["protocol"] for one in found}
    if PROTOCOLS.get(wanted, wanted) not in served:
        end_with(
            facts | {"listeners": found},
            f"No listener for protocol {protocol} is active on node {node}. "
            f"Found listeners for the following protocols: {', '.join(sorted(served))}",
            EX_UNAVAILABLE,
        )
    ctl.result(
        f"A listener for protocol {protocol} is running on node {node}.", facts | {"result": "ok"}
    )


@verb("alarms", HEALTH)
def alarms(ctl: Ctl) -> None:
    """The alarms that are on."""
    nodes = ctl.remote.get("/nodes")
    node, found = nodes[0]["name"], [alarm_line(one) for one in alarms_of(nodes)]
    ctl.say(f"Asking node {node} to report any known resource alarms ...")
    text = f"Node {node} reported no alarms, local or clusterwide"
    facts: dict[str, object] = {"alarms": [], "node": node, "result": "ok"}
    if found:
        text = "\n".join(found)
        message = f"Node {node} reported alarms"
        facts = {"global": [], "local": found, "message": message, "result": "ok"}
    ctl.result(text, facts)


@verb("list_deprecated_features", GROUP, argument("columns", required=False, many=True))
def list_deprecated_features(ctl: Ctl, columns: tuple[str, ...]) -> None:
    """What RabbitMQ gives up and this broker keeps."""
    ctl.say("Listing deprecated features ...")
    ctl.show(columns or ("name", "state"), ctl.remote.get("/deprecated-features"))
