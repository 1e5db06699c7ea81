"""The broker as a whole at run time: its application, listeners, alarms' limits, log level."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from amqpd.cli.answer import EX_SOFTWARE, EX_UNAVAILABLE, EX_USAGE
from amqpd.cli.ctl.refusals import bad, end, invalid
from amqpd.cli.ctl.verb import argument, verb
from amqpd.cli.remote import RemoteError, segment

if TYPE_CHECKING:
    from amqpd.cli.ctl.verb import Ctl

GROUP: Final = "run time"
#: RabbitMQ's names of log levels, and ours.
LEVELS: Final = {
    "debug": "debug", "info": "info", "notice": "info", "warning": "warning", "error": "error",
    "critical": "error", "alert": "error", "emergency": "error", "none": "error",
}  # fmt: skip


def act(ctl: Ctl, action: str, **more: str) -> None:
    """Let the node do something."""
    node = ctl.remote.get("/overview")["node"]
    ctl.remote.post(f"/nodes/{segment(node)}/actions", {"action": action, **more})


def set_setting(ctl: Ctl, key: str, value: Any) -> None:
    """Change a setting until the next start; a value that it cannot have ends the verb."""
    try:
        ctl.remote.put(f"/config/effective/{segment(key)}", {"value": value})
    except RemoteError as error:
        if error.status != 400:
            raise
        bad(error.reason)


@verb("stop_app", GROUP)
def stop_app(ctl: Ctl) -> None:
    """Send clients away and close the store; the process and its API stay."""
    ctl.say(f"Stopping rabbit application on node {ctl.remote.get('/overview')['node']} ...")
    act(ctl, "stop_app")


@verb("start_app", GROUP)
def start_app(ctl: Ctl) -> None:
    """Go on after stop_app, with what is durable."""
    ctl.say(f"Starting node {ctl.remote.get('/overview')['node']} ...")
    act(ctl, "start_app")


@verb("suspend_listeners", GROUP)
def suspend_listeners(ctl: Ctl) -> None:
    """Let no more clients in; who is connected stays."""
    ctl.say(
        f"Will suspend client connection listeners on node {ctl.node}. "
        "The node will no longer accept client connections!"
    )
    act(ctl, "suspend_listeners")


@verb("resume_listeners", GROUP)
def resume_listeners(ctl: Ctl) -> None:
    """Let clients in again."""
    ctl.say(
        f"Will resume client connection listeners on node {ctl.node}. "
        "The node will now accept client connections"
    )
    act(ctl, "resume_listeners")


@verb("drain", GROUP)
def drain(ctl: Ctl) -> None:
    """Before maintenance: let nobody in and send clients away."""
    ctl.say(
        f"Will put node {ctl.node} into maintenance mode. "
        "The node will no longer serve any client traffic!"
    )
    act(ctl, "suspend_listeners")
    for one in ctl.remote.get("/connections"):
        path = f"/connections/{segment(one['name'])}"
        ctl.remote.delete(path, {"X-Reason": "Node was put into maintenance mode"})


@verb("revive", GROUP)
def revive(ctl: Ctl) -> None:
    """After maintenance: let clients in again."""
    ctl.say(
        f"Will put node {ctl.node} back into regular operating mode. "
        "The node will again serve client traffic and host primary queue replicas."
    )
    act(ctl, "resume_listeners")


@verb("set_vm_memory_high_watermark", GROUP, argument("limit"), argument("size", required=False))
def set_memory(ctl: Ctl, limit: str, size: str | None) -> None:
    """When publishers are held: a share of memory, or `absolute SIZE`; until the next start."""
    if limit in ("absolute", "relative") and size is None:
        invalid("not enough arguments.")
    if limit == "absolute":
        ctl.say(f"Setting memory threshold on {ctl.node} to {size} bytes ...")
        set_setting(ctl, "resources.memory_watermark_bytes", _nonzero(str(size)))
        return
    share = _number(size or limit)
    if not 0 <= share <= 1:
        bad("The threshold should be a fraction between 0.0 and 1.0")
    ctl.say(f"Setting memory threshold on {ctl.node} to {size or limit} ...")
    # Nothing at all is less than any share: it is what holds publishers at once.
    set_setting(ctl, "resources.memory_watermark", share or 1.0)
    set_setting(ctl, "resources.memory_watermark_bytes", 0 if share else 1)


@verb("set_disk_free_limit", GROUP, argument("limit"), argument("share", required=False))
def set_disk(ctl: Ctl, limit: str, share: str | None) -> None:
    """Free space that is kept: bytes, a size, or `mem_relative SHARE`; until the next start."""
    if limit == "mem_relative":
        if share is None:
            invalid("not enough arguments.")
        times = _number(share)
        ctl.say(f"Setting disk free limit on {ctl.node} to {share} times the total RAM ...")
        set_setting(ctl, "resources.disk_free_share", times)
        return
    ctl.say(f"Setting disk free limit on {ctl.node} to {limit} bytes ...")
    set_setting(ctl, "resources.disk_free_bytes", limit)
    set_setting(ctl, "resources.disk_free_share", 0)


@verb("set_log_level", GROUP, argument("level"))
def set_log_level(ctl: Ctl, level: str) -> None:
    """The least to be logged, until the next start."""
    if level not in LEVELS:
        end(f"level {level} is not supported. Try one of {', '.join(LEVELS)}", EX_UNAVAILABLE)
    ctl.say(f'Setting log level to "{level}" ...')
    set_setting(ctl, "log.level", LEVELS[level])


@verb("rotate_logs", GROUP)
def rotate_logs(ctl: Ctl) -> None:
    """The log goes to standard error; whoever takes it from there rotates it."""
    ctl.remote.get("/overview")
    ctl.say("The log goes to standard error: systemd, the container or the shell rotates it.")


@verb("reload", GROUP)
def reload(ctl: Ctl) -> None:
    """Read settings and certificates again, as SIGHUP does."""
    ctl.say("Reading the settings again ...")
    act(ctl, "reload")


@verb("set_cluster_name", GROUP, argument("name"))
def set_cluster_name(ctl: Ctl, name: str) -> None:
    """What the broker is called; clients are told."""
    ctl.say(f"Setting cluster name to {name} ...")
    ctl.remote.put("/cluster-name", {"name": name})


@verb("await_online_nodes", GROUP, argument("count"))
def await_online_nodes(ctl: Ctl, count: str) -> None:
    """Wait until there are so many nodes: there is one."""
    if not count.isdecimal() or not int(count):
        bad("Argument must be a positive integer")
    node, timeout_s = ctl.node, ctl.remote.place.timeout_s
    ctl.say(
        f"Will wait for at least {count} nodes to join the cluster of {node}. "
        f"Timeout: {timeout_s:g} seconds."
    )
    if int(count) > 1:
        end(f"Error: amqpd is one node. Not enough nodes joined {node}'s cluster.", EX_SOFTWARE)


@verb("clear_auth_backend_cache", GROUP)
def clear_cache(ctl: Ctl) -> None:
    """Answers of other auth backends count for a few seconds only: nothing to do."""
    ctl.remote.get("/overview")
    ctl.say("Answers of auth backends are asked for again within auth.cache_ttl_s.")


def refuse(name: str, text: str, group: str = "not here") -> None:
    """A verb of RabbitMQ that cannot be here, with the reason."""

    def refused(ctl: Ctl, rest: tuple[str, ...]) -> None:
        end(f"{name}: {text}", EX_USAGE)

    refused.__doc__ = f"Refused: {text}."
    verb(name, group, click.Argument(["rest"], nargs=-1))(refused)


for _name in ("join_cluster", "forget_cluster_node", "rename_cluster_node", "add_member"):
    refuse(_name, "amqpd is one node; there is no cluster to change")
for _name in ("reset", "force_reset"):
    refuse(_name, "to begin anew, stop the broker and move its data directory away")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        bad(f"'{text}' is no number")


def _nonzero(size: str) -> str | int:
    return 1 if size == "0" else size
