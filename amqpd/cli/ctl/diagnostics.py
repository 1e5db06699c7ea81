"""What `rabbitmq-diagnostics` and `rabbitmq-queues` are asked beyond the verbs of `rabbitmqctl`."""

from __future__ import annotations

import json
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any, Final

from amqpd.cli.answer import EX_DATA, EX_UNAVAILABLE
from amqpd.cli.ctl.node import passes
from amqpd.cli.ctl.refusals import end, invalid
from amqpd.cli.ctl.status import UNIT, in_unit, known_unit, listeners_of, memory_of
from amqpd.cli.ctl.verb import argument, option, verb
from amqpd.cli.remote import segment

if TYPE_CHECKING:
    from amqpd.cli.ctl.verb import Ctl

GROUP: Final = "diagnostics"
QUORUM: Final = "quorum queues"
LOOK_S: Final = 5.0


@verb("is_booting", GROUP)
def is_booting(ctl: Ctl) -> None:
    """Whether the broker is still starting; one that answers is not."""
    node = ctl.node
    ctl.say(f"Asking node {node} for its boot status ...")
    text = (
        f"RabbitMQ on node {node} is fully booted (check with is_running), "
        "stopped or has not started booting yet"
    )
    ctl.result(text, {"message": text, "result": False})


@verb("memory_breakdown", GROUP, UNIT)
def memory_breakdown(ctl: Ctl, unit: str) -> None:
    """What memory is used for."""
    known_unit(unit)
    node = ctl.node
    ctl.say(f"Reporting memory breakdown on node {node}...")
    parts = memory_of(ctl, node)
    facts = {name: {"bytes": size, "percentage": share} for name, size, share in parts}
    if ctl.format_name == "csv":
        ctl.show(("what", "bytes", "percentage"), [{"what": one, **facts[one]} for one in facts])
        return
    # RabbitMQ has more of them: what Python does not tell apart is in other_system.
    lines = (f"{name}: {in_unit(size, unit)} ({share}%)" for name, size, share in parts if size)
    ctl.result("\n".join(lines), facts)


@verb("list_node_auth_attempt_stats", GROUP, option("--by-source", is_flag=True))
def list_attempts(ctl: Ctl, by_source: bool) -> None:
    """Attempts to log in, by protocol, or by address and user too."""
    node = ctl.node
    path = f"/auth/attempts/{segment(node)}"
    columns = ["protocol", "auth_attempts", "auth_attempts_failed", "auth_attempts_succeeded"]
    if by_source:
        path, columns = f"{path}/source", ["remote_address", "username", *columns]
    ctl.say(f'Listing authentication\n attempts for node "{node}" ...')
    rows = ctl.remote.get(path)
    if ctl.format_name == "json":
        ctl.result("", {"attempts": rows, "node": node, "result": "ok"})
    elif rows:
        ctl.show(columns, rows)
    else:
        ctl.result(f"Node {node} reported no authentication attempt stats")


@verb("check_certificate_expiration", GROUP, option("--unit", default="weeks"),
      option("--within", type=int, default=4))  # fmt: skip
def check_certificates(ctl: Ctl, unit: str, within: int) -> None:
    """No certificate ends within so many weeks; 69 if one does."""
    if unit not in ("days", "weeks", "months", "years"):
        invalid(f"unit '{unit}' is not supported. Please use one of: days, weeks, months, years")
    ctl.say(f"Checking certificate expiration on node {ctl.node} ...")
    fine, reason = passes(ctl, f"certificate-expiration/{within}/{unit}")
    if not fine:
        end(reason, EX_UNAVAILABLE)
    ctl.result(f"No certificates are expiring within {within} {unit}.", {"result": "ok"})


@verb("check_if_node_is_quorum_critical", GROUP)
def check_quorum(ctl: Ctl) -> None:
    """Whether a queue loses its majority without this node: it is alone, so none is asked for."""
    node = ctl.node
    ctl.say(f"Checking if node {node} is critical for quorum of any quorum queues ...")
    alone = "seems to be the only one in a single node cluster, the check does not apply"
    facts = {"message": f"Target node {alone}", "result": "ok"}
    ctl.result(f"Node {node} {alone}", facts)


@verb("check_port_connectivity", GROUP, option("--address", default=""))
def check_ports(ctl: Ctl, address: str) -> None:
    """Each port that is open takes a connection from here; 69 if one does not."""
    overview = ctl.remote.get("/overview")
    node, found = overview["node"], overview["listeners"]
    ctl.say(f"Testing TCP connections to all active listeners on node {node} ...")
    for one in found:
        host = address or one["ip_address"].replace("0.0.0.0", "127.0.0.1")  # noqa: S104
        try:
            socket.create_connection((host, one["port"]), timeout=10).close()
        except OSError as error:
            end(
                f"Connection to port {one['port']} of node {node} on {host} failed: {error}",
                EX_UNAVAILABLE,
            )
    ports = ", ".join(str(port) for port in sorted(one["port"] for one in found))
    ctl.result(
        f"Successfully connected to ports {ports} on node {node}.",
        {"listeners": listeners_of(overview), "node": node, "result": "ok"},
    )


@verb("list_unresponsive_queues", GROUP, argument("columns", required=False, many=True),
      option("--local", is_flag=True, hidden=True),
      option("--queue-timeout", type=int, hidden=True))  # fmt: skip
def list_unresponsive(
    ctl: Ctl, columns: tuple[str, ...], local: bool, queue_timeout: int | None
) -> None:
    """Queues that do not answer: all live in one loop, so there are none while it answers."""
    ctl.remote.get("/overview")
    ctl.say(f"Listing unresponsive queues for vhost {ctl.vhost} ...")
    ctl.show(columns or ("name",), [])


@verb("tls_versions", GROUP)
def tls_versions(ctl: Ctl) -> None:
    """The versions of TLS that are served."""
    oldest = ctl.remote.get("/config/effective")["tls.minimum_version"]
    ctl.say("Listing all TLS versions that are served...")
    found = [f"tlsv{one}" for one in ("1.3", "1.2") if one >= oldest]
    ctl.result("\n".join(found), {"versions": found})


def _ciphers(ctl: Ctl) -> None:
    names = [one["name"] for one in ssl.create_default_context().get_ciphers()]
    ctl.result("\n".join(names), {"node": ctl.node, "result": "ok", "value": names})


@verb("cipher_suites", GROUP, option("--format", "names", hidden=True),
      option("--all", "everything", is_flag=True, hidden=True))  # fmt: skip
def cipher_suites(ctl: Ctl, names: str | None, everything: bool) -> None:
    """The cipher suites of this machine's OpenSSL."""
    ctl.say("Listing available cipher suites in OpenSSL format")
    _ciphers(ctl)


@verb("list_ciphers", GROUP)
def list_ciphers(ctl: Ctl) -> None:
    """The same."""
    ctl.say("Listing supported ciphers ...")
    _ciphers(ctl)


@verb("list_hashes", GROUP)
def list_hashes(ctl: Ctl) -> None:
    """How passwords may be hashed."""
    names = ["sha512", "sha256", "md5"]
    ctl.say("Listing supported hash algorithms ...")
    ctl.result(f"[{','.join(names)}]", {"node": ctl.node, "result": "ok", "value": names})


@verb(
    "resolve_hostname",
    GROUP,
    argument("name"),
    option("--address-family", default="IPv4", help="IPv4 or IPv6.  [IPv4]"),
)
def resolve_hostname(ctl: Ctl, name: str, address_family: str) -> None:
    """The addresses of a name, as this machine sees them."""
    families = {"ipv4": ("IPv4", socket.AF_INET), "ipv6": ("IPv6", socket.AF_INET6)}
    if address_family.lower() not in families:
        invalid(f"address family '{address_family}' is none of IPv4, IPv6")
    shown, family = families[address_family.lower()]
    ctl.say(f"Asking this machine to resolve hostname {name} to {shown} addresses...")
    try:
        found = socket.getaddrinfo(name, None, family, socket.SOCK_STREAM)
    except OSError as error:
        end(f"Hostname does not resolve (resolution failed with {error.strerror})", EX_DATA)
    addresses = [str(one[4][0]) for one in found]
    facts = {"address_family": shown, "addresses": addresses, "hostname": name, "result": "ok"}
    ctl.result("\n".join(addresses), facts)


@verb("log_location", GROUP, option("-a", "--all", "everything", is_flag=True, hidden=True))
def log_location(ctl: Ctl, everything: bool) -> None:
    """Where the log goes: standard error."""
    node = ctl.node
    ctl.say(f"Log file location(s) on node {node} ...")
    ctl.result("<stderr>", {"node_name": node, "paths": ["<stderr>"], "result": "ok"})


@verb(
    "grow",
    QUORUM,
    argument("member"),
    argument("strategy"),
    option("--vhost-pattern", hidden=True),
    option("--queue-pattern", hidden=True),
    option("--membership", hidden=True),
    option("--errors-only", is_flag=True, hidden=True),
)
def grow(ctl: Ctl, member: str, strategy: str, **_: object) -> None:
    """Give a node copies of all quorum queues; this one has them."""
    ctl.say(f"Growing {strategy} quorum queues on {member}...")
    ctl.remote.post(f"/queues/quorum/replicas/on/{segment(member)}/grow", {"strategy": strategy})


@verb("quorum_status", QUORUM, argument("name"))
def quorum_status(ctl: Ctl, name: str) -> None:
    """The members of a quorum queue: this node."""
    ctl.say(f"Status of quorum queue {name} on node {ctl.node} ...")
    found = ctl.remote.get(f"/queues/{ctl.vhost_path}/{segment(name)}", columns="type")
    if found["type"] != "quorum":
        end(f"Cannot get quorum status of a {found['type']} queue", EX_UNAVAILABLE)
    rows = ctl.remote.get(f"/queues/quorum/{ctl.vhost_path}/{segment(name)}/status")
    ctl.frame(list(rows[0]), rows)


@verb("rebalance", QUORUM, argument("kind", required=False),
      option("--vhost-pattern", hidden=True), option("--queue-pattern", hidden=True))  # fmt: skip
def rebalance(
    ctl: Ctl, kind: str | None, vhost_pattern: str | None, queue_pattern: str | None
) -> None:
    """Spread queues over the nodes: there is one."""
    if kind not in (None, "all", "classic", "quorum"):
        end(f"type {kind} is not supported. Try one of all, classic, quorum.", EX_UNAVAILABLE)
    which = "all" if kind in (None, "all") else f"{kind}"
    ctl.say(f"Re-balancing leaders of {which} queues...")
    ctl.remote.post("/rebalance/queues")
    queues = [one for one in ctl.remote.get("/queues", columns="type") if one["type"] == "quorum"]
    row = {
        "Node name": ctl.node,
        "Number of quorum queues": len(queues),
        "Number of replicated classic queues": 0,
    }
    ctl.frame(list(row), [row])


@verb("await_online_quorum_plus_one", QUORUM)
def await_quorum(ctl: Ctl) -> None:
    """Wait until no queue needs this node for its majority: it is alone."""
    ctl.say(
        "Will wait for a quorum + 1 of nodes to be online for all quorum queues "
        f"for {ctl.remote.place.timeout_s:g} seconds..."
    )
    ctl.remote.get("/overview")
    ctl.result(
        "Target node seems to be the only one in a single node cluster, the command does not apply"
    )


@verb("consume_event_stream", GROUP, option("-d", "--duration", type=float, default=0.0),
      option("--pattern", default=""))  # fmt: skip
def consume_events(ctl: Ctl, duration: float, pattern: str) -> None:
    """What comes and goes: connections, channels, queues; one JSON object a line."""
    until_s = time.monotonic() + (duration or float("inf"))
    kinds = {"connection": "/connections", "channel": "/channels", "queue": "/queues"}
    before: dict[str, set[str]] = {}
    while True:
        for kind, path in kinds.items():
            now = {_named(one) for one in ctl.remote.get(path, columns="vhost,name")}
            old = before.get(kind, now)
            before[kind] = now
            for event, names in (("created", now - old), ("closed", old - now)):
                for name in sorted(names):
                    line = {"event": f"{kind}.{event}", "name": name}
                    if pattern in line["event"]:
                        ctl.write(json.dumps(line))
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            return
        time.sleep(min(LOOK_S, left_s))


def _named(one: dict[str, Any]) -> str:
    return f"{one.get('vhost', '')}:{one['name']}"
