"""Reload: settings are read again, and all that can change at once does, or nothing at all.

    reload(server)                  reads the sources again and applies what they say
    change(server, key, value)      one setting, until the next reload or start
    plan(old, new) -> Plan          what is in force afterwards, and what changes when

What is bound when the broker starts (addresses, the store, the event loop) waits for the next
start and is named in the log. What only a new data directory asks for has no effect any more.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from amqpd.config import ConfigError, changed
from amqpd.server import tls

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amqpd.config import Settings
    from amqpd.server.app import BrokerServer

LOG = logging.getLogger("amqpd.server")

#: Settings that change at once, by section; `*` is all of one.
LIVE: Final[Mapping[str, frozenset[str]]] = {
    "amqp": frozenset(
        {
            "anonymous_user",
            "channel_max",
            "frame_max_bytes",
            "handshake_timeout_s",
            "heartbeat_s",
            "max_connections",
            "max_message_size_bytes",
            "max_transaction_bytes",
            "max_unauthenticated",
            "max_unauthenticated_per_source",
            "mechanisms",
            "passwords_over_tls_only",
            "product",
            "version",
        }
    ),
    "node": frozenset({"tags", "cluster_tags"}),
    "http": frozenset(
        {
            "allow_header",
            "basic_auth",
            "cors_max_age_s",
            "cors_origins",
            "definitions_json_only",
            "headers",
            "hsts_s",
            "login_session_s",
            "max_connections",
            "max_connections_per_source",
            "max_body_bytes",
            "operator_policy_changes",
            "quorum_replica_changes",
            "reference_needs_login",
        }
    ),
    "tls": frozenset("*"),
    "log": frozenset({"level"}),
    "auth": frozenset(
        {"failure_delay_s", "loopback_users", "password_min_bytes", "password_pattern"}
    ),
    "queues": frozenset({"consumer_timeout_ms"}),
    "resources": frozenset("*"),
}
#: Settings that only an empty data directory asks for.
_FIRST: Final = "user password tags vhost configure write read"
FIRST_START: Final = frozenset(f"auth.default_{one}" for one in _FIRST.split())


class Plan(NamedTuple):
    """What a reload does."""

    #: In force afterwards.
    settings: Settings
    #: Dotted keys that change now, and those that change with the next start.
    now: tuple[str, ...]
    later: tuple[str, ...]


def reload(server: BrokerServer) -> None:
    """Read everything again and apply it; what was set at run time is as it was written.

    Raises:
        ConfigError: a setting is wrong; nothing has changed.
        StartError: a certificate is; likewise.
    """
    read = server.read_again() if server.read_again else None
    found = apply(server, read.settings if read else server.settings)
    if read:
        server.config_files = read.files
    for key in found.later:
        LOG.warning("reload: setting '%s' changes with the next start", key)
    LOG.info("reloaded: %s", ", ".join(found.now) or "no setting has changed")


def change(server: BrokerServer, key: str, value: object) -> None:
    """Set one setting until the next reload or start.

    Raises:
        ConfigError: it does not exist, or cannot have this value, or not while the broker runs.
        StartError: a certificate cannot be used.
    """
    settings = changed(server.settings, key, value)
    if plan(server.settings, settings).later:
        raise ConfigError(f"setting '{key}': changes with the next start: write it in the file")
    apply(server, settings)
    LOG.info("setting '%s' was changed until the next start", key)


def apply(server: BrokerServer, settings: Settings) -> Plan:
    """Put these in force, as far as that can be done at once; raises as `reload`."""
    found = plan(server.settings, settings)
    settings = found.settings
    # What may fail comes first.
    secure = [one for one in server.ports.listeners if one.tls is not None]
    contexts = [tls.context(settings.tls) for _ in secure]
    for_browsers = server.secure_http
    contexts += [tls.for_browsers(settings.tls) for _ in for_browsers]
    secure += for_browsers
    if secure:
        server.ports.certificate_ends_s = tls.ends_s(settings.tls)
    for listener, context in zip(secure, contexts, strict=True):
        listener.tls = context
        listener.tls_handshake_s = settings.tls.handshake_timeout_s
    if "log.level" in found.now:
        logging.getLogger().setLevel(settings.log.level.upper())
    server.use(settings)
    return found


def plan(old: Settings, new: Settings) -> Plan:
    """What becomes of the settings that differ."""
    now: list[str] = []
    later: list[str] = []
    sections: dict[str, object] = {}
    for section in msgspec.structs.fields(old):
        name = section.name
        before, after = getattr(old, name), getattr(new, name)
        live = LIVE.get(name, frozenset())
        kept: dict[str, object] = {}
        for field in msgspec.structs.fields(before):
            key = f"{name}.{field.name}"
            if getattr(before, field.name) == getattr(after, field.name):
                continue
            if field.name in live or "*" in live:
                now.append(key)
                continue
            kept[field.name] = getattr(before, field.name)
            if key not in FIRST_START:
                later.append(key)
        sections[name] = msgspec.structs.replace(after, **kept)
    return Plan(msgspec.structs.replace(new, **sections), tuple(now), tuple(later))
