"""What `rabbitmq-diagnostics` and `rabbitmq-queues` are asked beyond the verbs of `rabbitmqctl`."""

from __future__ import annotations

import json
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any, Final

import click

from amqpd.cli.answer import EX_DATA, EX_UNAVAILABLE, fail
from amqpd.cli.ctl.verb import argument, option, verb
from amqpd.cli.remote import RemoteError, segment
from amqpd.text import printable

if TYPE_CHECKING:
    from amqpd.cli.ctl.verb import Ctl

GROUP: Final = "diagnostics"
QUORUM: Final = "quorum queues"
LOOK_S: Final = 5.0


def _node(ctl: Ctl) -> str:
    return str(ctl.remote.get("/overview")["node"])


@verb("is_booting", GROUP)
def is_booting(ctl: Ctl) -> None:
    """Whether the broker is still starting; one that answers is not."""
    ctl.say(f"Node {_node(ctl)} is fully booted")


@verb("memory_breakdown", GROUP, option("--unit", default="bytes", hidden=True))
def memory_breakdown(ctl: Ctl, unit: str) -> None:
    """What memory is used for."""
    node = _node(ctl)
    ctl.say(f"Reporting memory breakdown on node {node} ...")
    found = ctl.remote.get(f"/nodes/{segment(node)}/memory")["memory"]
    rows = [
        {"what": name, "bytes": value} for name, value in found.items() if isinstance(value, int)
    ]
    ctl.show(("what", "bytes"), rows)


@verb("list_node_auth_attempt_stats", GROUP, option("--by-source", is_flag=True))
def list_attempts(ctl: Ctl, by_source: bool) -> None:
    """Attempts to log in, by protocol, or by address and user too."""
    path = f"/auth/attempts/{segment(_node(ctl))}"
    columns = ["protocol", "auth_attempts", "auth_attempts_failed", "auth_attempts_succeeded"]
    if by_source:
        path, columns = f"{path}/source", ["remote_address", "username", *columns]
    ctl.show(columns, ctl.remote.get(path))


@verb("check_certificate_expiration", GROUP, option("--unit", default="weeks"),
      option("--within", type=int, default=4))  # fmt: skip
def check_certificates(ctl: Ctl, unit: str, within: int) -> None:
    """No certificate ends within so many weeks; 69 if one does."""
    _checked(ctl, f"certificate-expiration/{within}/{segment(unit)}", "certificate expiration")


@verb("check_if_node_is_quorum_critical", GROUP)
def check_quorum(ctl: Ctl) -> None:
    """Whether a queue loses its majority without this node: it is alone, so none is asked for."""
    _checked(ctl, "node-is-quorum-critical", "quorum")


@verb("check_port_connectivity", GROUP, option("--address", default=""))
def check_ports(ctl: Ctl, address: str) -> None:
    """Each port that is open takes a connection from here; 69 if one does not."""
    for one in ctl.remote.get("/overview")["listeners"]:
        host = address or one["ip_address"].replace("0.0.0.0", "127.0.0.1")  # noqa: S104
        try:
            socket.create_connection((host, one["port"]), timeout=10).close()
        except OSError as error:
            fail(f"port {one['port']} on {host}: {error}", EX_UNAVAILABLE)
        ctl.say(f"Successfully connected to port {one['port']} on {host}")


def _checked(ctl: Ctl, path: str, what: str) -> None:
    try:
        ctl.remote.get(f"/health/checks/{path}")
    except RemoteError as error:
        if error.status != 503:
            raise
        fail(f"{what}: {error.reason}", EX_UNAVAILABLE)
    ctl.say(f"{what}: passed")


@verb("list_unresponsive_queues", GROUP, argument("columns", required=False, many=True),
      option("--local", is_flag=True, hidden=True),
      option("--queue-timeout", type=int, hidden=True))  # fmt: skip
def list_unresponsive(
    ctl: Ctl, columns: tuple[str, ...], local: bool, queue_timeout: int | None
) -> None:
    """Queues that do not answer: all live in one loop, so there are none while it answers."""
    ctl.remote.get("/overview")
    ctl.show(columns or ("name",), [])


@verb("tls_versions", GROUP)
def tls_versions(ctl: Ctl) -> None:
    """The versions of TLS that are served."""
    oldest = ctl.remote.get("/config/effective")["tls.minimum_version"]
    rows = [{"version": f"tlsv{one}"} for one in ("1.3", "1.2") if one >= oldest]
    ctl.show(("version",), rows)


def _ciphers(ctl: Ctl) -> None:
    names = [one["name"] for one in ssl.create_default_context().get_ciphers()]
    ctl.show(("cipher",), [{"cipher": name} for name in names])


@verb("cipher_suites", GROUP, option("--format", "names", hidden=True),
      option("--all", "everything", is_flag=True, hidden=True))  # fmt: skip
def cipher_suites(ctl: Ctl, names: str | None, everything: bool) -> None:
    """The cipher suites of this machine's OpenSSL."""
    _ciphers(ctl)


@verb("list_ciphers", GROUP)
def list_ciphers(ctl: Ctl) -> None:
    """The same."""
    _ciphers(ctl)


@verb("list_hashes", GROUP)
def list_hashes(ctl: Ctl) -> None:
    """How passwords may be hashed."""
    names = ("sha256", "sha512", "md5")
    ctl.show(("algorithm",), [{"algorithm": f"rabbit_password_hashing_{one}"} for one in names])


@verb("resolve_hostname", GROUP, argument("name"), option("--address-family", default=""))
def resolve_hostname(ctl: Ctl, name: str, address_family: str) -> None:
    """The addresses of a name, as this machine sees them."""
    families = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}
    family = families.get(address_family.lower(), socket.AF_UNSPEC)
    try:
        found = socket.getaddrinfo(name, None, family, socket.SOCK_STREAM)
    except OSError as error:
        fail(f"'{name}': {error.strerror}", EX_DATA)
    ctl.show(("address",), [{"address": str(one[4][0])} for one in found])


@verb("log_location", GROUP)
def log_location(ctl: Ctl) -> None:
    """Where the log goes: standard error."""
    ctl.remote.get("/overview")
    click.echo("<stderr>")


@verb("report", GROUP)
def report(ctl: Ctl) -> None:
    """All that helps somebody who looks at a problem from afar, without secrets."""
    for title, path in (
        ("overview", "/overview"),
        ("nodes", "/nodes"),
        ("settings", "/config/effective"),
        ("vhosts", "/vhosts"),
        ("connections", "/connections"),
        ("channels", "/channels"),
        ("queues", "/queues"),
        ("exchanges", "/exchanges"),
        ("consumers", "/consumers"),
        ("policies", "/policies"),
        ("permissions", "/permissions"),
    ):
        click.echo(click.style(title, bold=True))
        click.echo(printable(json.dumps(ctl.remote.get(path), indent=2)))


@verb("quorum_status", QUORUM, argument("name"))
def quorum_status(ctl: Ctl, name: str) -> None:
    """The members of a quorum queue: this node."""
    columns = ("Node Name", "Raft State", "Last Log Index", "Commit Index", "Term")
    ctl.show(columns, ctl.remote.get(f"/queues/quorum/{ctl.vhost_path}/{segment(name)}/status"))


@verb("rebalance", QUORUM, argument("kind", required=False),
      option("--vhost-pattern", hidden=True), option("--queue-pattern", hidden=True))  # fmt: skip
def rebalance(
    ctl: Ctl, kind: str | None, vhost_pattern: str | None, queue_pattern: str | None
) -> None:
    """Spread queues over the nodes: there is one."""
    ctl.remote.post("/rebalance/queues")
    ctl.say("There is one node: all queues are on it.")


@verb("await_online_quorum_plus_one", QUORUM)
def await_quorum(ctl: Ctl) -> None:
    """Wait until no queue needs this node for its majority: it is alone."""
    _checked(ctl, "node-is-quorum-critical", "quorum")


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
                        click.echo(json.dumps(line))
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            return
        time.sleep(min(LOOK_S, left_s))


def _named(one: dict[str, Any]) -> str:
    return f"{one.get('vhost', '')}:{one['name']}"
