"""`report` and `environment`: everything at once, for somebody who looks at a problem from afar.

A report is what RabbitMQ's is: the results of other verbs one after the other, each under its own
heading, lists with all their columns, and those of vhosts once for each. Secrets are in none.

The environment is printed as Erlang prints it. The settings have their own names there; under
`rabbit`, `rabbitmq_management` and `rabbitmq_prometheus` are those that RabbitMQ has, too, with its
names and units: that is where scripts look for `disk_free_limit` or `tcp_listeners`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from amqpd.cli.ctl.objects import (
    BINDING_COLUMNS,
    CHANNEL_COLUMNS,
    CONNECTION_COLUMNS,
    EXCHANGE_COLUMNS,
    QUEUE_COLUMNS,
    list_bindings,
    list_channels,
    list_connections,
    list_exchanges,
    list_queues,
)
from amqpd.cli.ctl.others import command_line_arguments, os_env
from amqpd.cli.ctl.parameters import list_global_parameters, list_parameters
from amqpd.cli.ctl.permissions import list_permissions
from amqpd.cli.ctl.policies import list_policies
from amqpd.cli.ctl.status import cluster_status, status
from amqpd.cli.ctl.verb import verb
from amqpd.cli.terms import term

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amqpd.cli.ctl.verb import Ctl

GROUP: Final = "node"
OFF: Final = "off"
MS: Final = 1000
#: What RabbitMQ calls a backend.
BACKENDS: Final[Mapping[str, str]] = {
    "internal": "rabbit_auth_backend_internal",
    "ldap": "rabbit_auth_backend_ldap",
    "http": "rabbit_auth_backend_http",
    "oauth2": "rabbit_auth_backend_oauth2",
}


class Atom(str):
    """A text that Erlang writes without quotes."""

    __slots__ = ()


INFINITY: Final = Atom("infinity")


# -- report ----------------------------------------------------------------------------------


@verb("report", GROUP)
def report(ctl: Ctl) -> None:
    """All that helps somebody who looks at a problem from afar, without secrets."""
    ctl = replace(ctl, format_name="table", headers=True)
    ctl.say(f"Reporting server status of node {ctl.node} ...\n")
    status(ctl, "gb")
    cluster_status(ctl)
    environment(ctl)
    ctl.write("")
    list_connections(ctl, CONNECTION_COLUMNS)
    ctl.write("")
    list_channels(ctl, CHANNEL_COLUMNS)
    ctl.write("")
    command_line_arguments(ctl)
    ctl.write("")
    os_env(ctl)
    for row in ctl.remote.get("/vhosts", columns="name"):
        _vhost(replace(ctl, vhost=row["name"], vhost_given=True))
    ctl.write("")
    list_global_parameters(ctl)


def _vhost(ctl: Ctl) -> None:
    ctl.write("")
    list_queues(ctl, QUEUE_COLUMNS, online=False, offline=False, local=False)
    ctl.write("")
    list_exchanges(ctl, EXCHANGE_COLUMNS)
    ctl.write("")
    list_bindings(ctl, BINDING_COLUMNS)
    for show in (list_permissions, list_policies, list_parameters):
        ctl.write("")
        show(ctl)


# -- environment -----------------------------------------------------------------------------


@verb("environment", GROUP)
def environment(ctl: Ctl) -> None:
    """The settings in force: ours by section, and RabbitMQ's of the same meaning."""
    settings = ctl.remote.get("/config/effective")
    applications = {**_sections(settings), **_as_rabbitmq(settings)}
    ctl.say(f"Application environment of node {ctl.node} ...")
    ctl.result(_printed(applications), applications)


def _sections(settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, value in settings.items():
        section, _, key = name.partition(".")
        found.setdefault(section, {})[key] = value
    return dict(sorted(found.items()))


def _as_rabbitmq(settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    amqp, auth = "amqp.", "auth."
    timeout_ms, most = settings["queues.consumer_timeout_ms"], settings["amqp.max_connections"]
    absolute = settings["resources.memory_watermark_bytes"]
    watermark = {"absolute": absolute} if absolute else settings["resources.memory_watermark"]
    rights = [settings[f"{auth}default_{right}"] for right in ("configure", "write", "read")]
    rabbit = {
        "auth_backends": [Atom(BACKENDS.get(one, one)) for one in settings["auth.backends"]],
        "auth_mechanisms": settings["amqp.mechanisms"],
        "channel_max": settings[f"{amqp}channel_max"],
        "connection_max": most or INFINITY,
        "consumer_timeout": timeout_ms if timeout_ms >= 0 else INFINITY,
        "default_permissions": rights,
        "default_queue_type": settings["queues.default_type"],
        "default_user": settings[f"{auth}default_user"],
        "default_user_tags": [Atom(one) for one in settings["auth.default_tags"]],
        "default_vhost": settings[f"{auth}default_vhost"],
        "disk_free_limit": settings["resources.disk_free_bytes"],
        "frame_max": settings[f"{amqp}frame_max_bytes"],
        "handshake_timeout": int(settings[f"{amqp}handshake_timeout_s"] * MS),
        "heartbeat": settings[f"{amqp}heartbeat_s"],
        "loopback_users": settings[f"{auth}loopback_users"],
        "max_message_size": settings[f"{amqp}max_message_size_bytes"],
        "ssl_listeners": _listeners(settings, "amqp.tls_port"),
        "tcp_listeners": _listeners(settings, "amqp.port"),
        "vm_memory_high_watermark": watermark,
    }
    return {
        "rabbit": rabbit,
        "rabbitmq_management": {"tcp_config": {"port": settings["http.port"]}},
        "rabbitmq_prometheus": {"tcp_config": {"port": settings["metrics.port"]}},
    }


def _listeners(settings: Mapping[str, Any], key: str) -> list[tuple[str, int]]:
    port = settings[key]
    return [] if port == OFF else [(settings["amqp.host"], port)]


def _printed(applications: Mapping[str, Mapping[str, Any]]) -> str:
    """As Erlang's shell: one setting a line, with its application's name above."""
    parts = []
    for name, settings in applications.items():
        pairs = [f"{{{key},{_value(value)}}}" for key, value in settings.items()]
        parts.append(f"{{{name},\n     [{(',' + chr(10) + ' ' * 6).join(pairs)}]}}")
    return f"[{(',' + chr(10) + ' ').join(parts)}]"


def _value(value: Any) -> str:
    match value:
        case Atom():
            return str(value)
        case tuple():
            return f"{{{','.join(map(_value, value))}}}"
        case list():
            return f"[{','.join(map(_value, value))}]"
        case dict() if len(value) == 1 and "absolute" in value:
            return f"{{absolute,{value['absolute']}}}"
        case dict():
            return f"[{','.join(f'{{{_key(name)},{_value(one)}}}' for name, one in value.items())}]"
        case _:
            return term(value)


def _key(name: str) -> str:
    """A name as an atom, where it is one without quotes."""
    plain = name.isidentifier() and name[:1].islower()
    return name if plain else term(name)
