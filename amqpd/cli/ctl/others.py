"""The rest of RabbitMQ's verbs: small ones, and those that need Erlang or a cluster.

Whatever is refused says why, so that nobody looks for it; what would do nothing does nothing.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final

import click

from amqpd.cli.answer import EX_UNAVAILABLE, EX_USAGE
from amqpd.cli.ctl.control import refuse
from amqpd.cli.ctl.interfaces import interfaces
from amqpd.cli.ctl.refusals import end, invalid
from amqpd.cli.ctl.verb import VERBS, Ctl, argument, option, verb
from amqpd.cli.remote import RemoteError, segment
from amqpd.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

GROUP: Final = "others"
LOGS: Final = "logs"
#: How often the log is looked at, and the lines of one look.
LOOK_S: Final = 0.5
MOST_LINES: Final = 1000
#: What is not there, by the reason.
REFUSED: Final = (
    ("there is no Erlang here", (
        "eval_file", "exec", "remote_shell", "observer", "erlang_version", "erlang_cookie_hash",
        "erlang_cookie_sources", "hipe_compile", "maybe_stuck", "runtime_thread_stats",
        "resolver_info",
    )),
    ("there is no Mnesia here; 'amqpd check store' looks through what is kept", (
        "schema_info", "metadata_store_status",
    )),
    ("how much a stream keeps is said by a policy: "
     "'amqpd ctl set_policy NAME ^QUEUE$ {\"max-age\":\"7D\"} --apply-to streams'", (
        "set_stream_retention_policy",
    )),
    ("secrets are encrypted by whoever keeps them: settings take files (AMQPD_…_FILE)", (
        "encode", "decode",
    )),
    ("amqpd is one node; there is no cluster to change", (
        "change_cluster_node_type", "update_cluster_nodes", "force_boot", "shrink",
        "delete_member", "add_replica", "delete_replica", "discover_peers",
        "transfer_leadership", "restart_stream", "coordinator_status",
    )),
    ("streams are read over AMQP: 'amqpd ctl list_consumers' has who does", (
        "list_stream_connections", "list_stream_consumers", "list_stream_consumer_groups",
        "list_stream_group_consumers", "list_stream_publishers", "list_stream_tracking",
        "activate_stream_consumer", "reset_offset",
    )),
    ("there are no shovels and no federation here", (
        "shovel_status", "delete_shovel", "restart_shovel", "federation_status",
        "restart_federation_link",
    )),
    ("clients speak AMQP here: 'amqpd ctl list_connections' has them", (
        "list_mqtt_connections", "list_stomp_connections",
    )),
    ("sizes are in the metrics, under rabbitmq_message_size_bytes", ("message_size_stats",)),
)  # fmt: skip
#: What has nothing to do, and why that is right.
IDLE: Final = {
    "sync_queue": "Queues have no mirrors: nothing to bring in line.",
    "cancel_sync_queue": "Queues have no mirrors: nothing is under way.",
    "check_if_node_is_mirror_sync_critical": "Queues have no mirrors: nothing depends on one.",
    "await_online_synchronized_mirror": "Queues have no mirrors: nothing to wait for.",
    "post_upgrade": "Nothing is left to be done after an upgrade.",
    "force_gc": "Memory is collected when nothing else is going on.",
    "reclaim_quorum_memory": "Quorum queues keep nothing that could be given back.",
    "disable_auth_attempt_source_tracking": "Where logins come from is always counted.",
    "enable_auth_attempt_source_tracking": "Where logins come from is always counted.",
}

for _reason, _names in REFUSED:
    for _name in _names:
        refuse(_name, _reason, "not here")


def _idle(name: str, text: str) -> None:
    def nothing(ctl: Ctl, rest: tuple[str, ...]) -> None:
        ctl.remote.get("/overview")
        ctl.say(text)

    nothing.__doc__ = text
    verb(name, GROUP, click.Argument(["rest"], nargs=-1))(nothing)


for _name, _text in IDLE.items():
    _idle(_name, _text)


@verb("help", GROUP, argument("name", required=False))
def show_help(ctl: Ctl, name: str | None) -> None:
    """What there is, or how one verb is used."""
    above = click.get_current_context().parent
    if name is None:
        ctl.write("" if above is None else above.get_help())
    elif name in VERBS:
        ctl.write(VERBS[name].get_help(click.Context(VERBS[name], above, name)))
    else:
        end(f"Command '{name}' not found.", EX_USAGE)


@verb("node_health_check", GROUP)
def node_health_check(ctl: Ctl) -> None:
    """No alarm is on; 69 if one is."""
    ctl.say(f"Checking health of node {ctl.node} ...")
    found = ctl.remote.get("/healthchecks/node")
    if found["status"] != "ok":
        end(found["reason"], EX_UNAVAILABLE)
    ctl.result("Health check passed")


@verb("reset_node_auth_attempt_metrics", GROUP)
def reset_attempts(ctl: Ctl) -> None:
    """Begin to count logins anew."""
    node = ctl.node
    ctl.say(f"Reset auth attempt metrics on node {node} ...")
    ctl.remote.delete(f"/auth/attempts/{segment(node)}")


@verb("certificates", GROUP)
def certificates(ctl: Ctl) -> None:
    """The certificates that are served, by the settings that name them."""
    settings = ctl.remote.get("/config/effective")
    ctl.say(f"Certificates of node {ctl.node} ...")
    keys = ("tls.certificate", "tls.ca")
    rows = [{"setting": key, "file": settings[key]} for key in keys if settings[key]]
    ctl.show(("setting", "file"), rows)


@verb("os_env", GROUP)
def os_env(ctl: Ctl) -> None:
    """The variables that amqpd reads, as this command has them; secrets only by name."""
    names = sorted(name for name in os.environ if name.startswith(("AMQPD_", "RABBITMQ_")))
    ctl.say("Listing RabbitMQ-specific environment variables defined for this command...")
    found = {name: "***" if "PASS" in name else os.environ[name] for name in names}
    lines = (f"{name}={value}" for name, value in found.items())
    ctl.result("\n".join(lines), {"result": "ok", "variables": found})


@verb("command_line_arguments", GROUP)
def command_line_arguments(ctl: Ctl) -> None:
    """The settings in force, wherever they come from."""
    found = ctl.remote.get("/config/effective")
    ctl.say(f"Command line arguments of node {ctl.node} ...")
    ctl.show(("name", "value"), [{"name": key, "value": found[key]} for key in sorted(found)])


@verb("list_network_interfaces", GROUP)
def list_network_interfaces(ctl: Ctl) -> None:
    """The network interfaces of this machine with their addresses."""
    ctl.say("Asking this machine for its network interfaces ...")
    ctl.show(("interface", "hwaddr", "addresses"), list(interfaces()))


@verb("autocomplete", GROUP, argument("prefix", required=False))
def autocomplete(ctl: Ctl, prefix: str | None) -> None:
    """The verbs that begin so."""
    for name in sorted(VERBS):
        if name.startswith(prefix or ""):
            ctl.write(name)


@verb("peek", GROUP, argument("queue"), argument("position"))
def peek(ctl: Ctl, queue: str, position: str) -> None:
    """The message at a place of a queue, 1 being the first; it stays as it is."""
    if not position.isdecimal() or not 0 < int(position) <= 1000:
        invalid("position value must be a positive integer, 1000 at most")
    ctl.say(f"Peeking at queue {queue} at position {position} on node {ctl.node} ...")
    path = f"/queues/{ctl.vhost_path}/{segment(queue)}/peek"
    found = ctl.remote.post(path, {"count": int(position)})["messages"]
    if len(found) < int(position):
        end("Target queue does not have a message at that position", EX_UNAVAILABLE)
    one = found[-1]
    facts = ("exchange", "routing_key", "redelivered", "payload_bytes", "payload")
    ctl.show(("keys", "values"), [{"keys": key, "values": one[key]} for key in facts])


@verb("stream_status", GROUP, argument("name"), option("--tracking", is_flag=True, hidden=True))
def stream_status(ctl: Ctl, name: str, tracking: bool) -> None:
    """What is known of a stream."""
    ctl.say(f"Status of stream {name} on node {ctl.node} ...")
    found = ctl.remote.get(f"/queues/{ctl.vhost_path}/{segment(name)}")
    if found["type"] != "stream":
        end(f"Cannot get stream status of a {found['type']} queue", EX_UNAVAILABLE)
    row = {"role": "writer", "node": found["node"], "messages": found["messages"]}
    ctl.frame(list(row), [row])


# -- the log -------------------------------------------------------------------------------


def _lines(ctl: Ctl, **query: str | int) -> Iterable[str]:
    found: list[dict[str, Any]] = ctl.remote.get("/logs", **query)
    for one in reversed(found):
        yield _line(one)


def _line(one: dict[str, Any]) -> str:
    return printable(f"{one['time']} [{one['level']}] {one['text']}")


@verb("log_tail", LOGS, option("-N", "--number", type=int, default=50, help="Lines.  [50]"))
def log_tail(ctl: Ctl, number: int) -> None:
    """The last lines of the log."""
    ctl.say(f"Last {number} log lines on node {ctl.node} ...")
    for line in _lines(ctl, count=number):
        ctl.write(line)


@verb("log_tail_stream", LOGS, option("-d", "--duration", type=float, default=0.0,
                                         help="Seconds.  [for ever]"))  # fmt: skip
def log_tail_stream(ctl: Ctl, duration: float) -> None:
    """The lines of the log as they are written."""
    how_long = f"for {duration:g} seconds" if duration else "until it is ended"
    ctl.say(f"Streaming logs from node {ctl.node} {how_long} ...")
    until_s = time.monotonic() + (duration or float("inf"))
    newest: list[dict[str, Any]] = ctl.remote.get("/logs", count=1)
    seen = newest[0]["number"] if newest else 0
    while (left_s := until_s - time.monotonic()) > 0:
        time.sleep(min(LOOK_S, left_s))
        found: list[dict[str, Any]] = ctl.remote.get("/logs", count=MOST_LINES)
        for one in reversed([line for line in found if line["number"] > seen]):
            seen = one["number"]
            ctl.write(_line(one))


@verb("check_log", LOGS, option("--level", default="error"))
def check_log(ctl: Ctl, level: str) -> None:
    """Nothing of this level is in the log's last lines; 69 with the newest of them if not."""
    try:
        found = list(_lines(ctl, level=level, count=1))
    except RemoteError as error:
        end(f"check_log: {error.reason}", error.code)
    if found:
        end(f"check_log: {found[-1]}", EX_UNAVAILABLE)
    ctl.say("check_log: passed")
