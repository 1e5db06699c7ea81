"""RabbitMQ's `rabbitmq.conf`, read as settings of ours.

    entries(text) -> (settings by dotted key, warnings)

The format is RabbitMQ's: `key = value` a line, `#` begins a comment, a value may be in single
quotes. Keys that mean something here are in `KEYS` and `_several`; any other one is named in a
warning, never passed over in silence.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeAlias

from amqpd import rabbitmq_conf_auth as auth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Value: TypeAlias = "str | int | float | bool | list[str] | dict[str, str | list[str]]"

_UNITS: Final = {
    "": 1, "k": 1024, "kb": 1000, "kib": 1024, "m": 1024**2, "mb": 1000**2, "mib": 1024**2,
    "g": 1024**3, "gb": 1000**3, "gib": 1024**3, "t": 1024**4, "tb": 1000**4, "tib": 1024**4,
}  # fmt: skip
#: RabbitMQ's levels and ours.
_LEVELS: Final = {
    "debug": "debug", "info": "info", "notice": "info", "warning": "warning", "error": "error",
    "critical": "error", "alert": "error", "emergency": "error", "none": "error",
}  # fmt: skip
#: What is right as it is here, or has no meaning outside Erlang: told in other words.
_NEEDLESS: Final = (
    "num_acceptors", "tcp_listen_options.", "collect_statistics", "mirroring", "cluster_formation",
    "cluster_partition_handling", "cluster_keepalive_interval", "queue_index", "background_gc",
    "msg_store", "raft", "classic_queue", "distribution", "net_ticktime", "credentials_obfuscation",
    "vm_memory_calculation_strategy", "vm_memory_high_watermark_paging_ratio", "memory_monitor",
    "max_number_of_connections", "reverse_dns_lookups", "management.rates_mode",
    "management.sample_retention_policies", "management.db_cache_multiplier",
    "management.delegate_count",
)  # fmt: skip
#: What is not done as there, by how keys begin: what is done here.
_OTHERWISE: Final[Mapping[str, str]] = {
    "log.": "the log goes to standard error, from log.level on",
    "default_users.": "definitions make users, policies and limits (load_definitions)",
    "default_policies.": "definitions make users, policies and limits (load_definitions)",
    "default_limits.": "definitions make users, policies and limits (load_definitions)",
}

_QUOTES: Final = "'''"


class Wrong(ValueError):
    """A value is not what its key takes."""


def size(text: str) -> int:
    """A number of bytes, with RabbitMQ's units."""
    found = re.fullmatch(r"(\d+)\s*([a-zA-Z]*)", text)
    if found is None or found[2].lower() not in _UNITS:
        raise Wrong("a size is a number, with MB, GiB or the like")
    return int(found[1]) * _UNITS[found[2].lower()]


def number(text: str) -> int:
    """A whole number."""
    if not re.fullmatch(r"-?\d+", text):
        raise Wrong("must be a number")
    return int(text)


def fraction(text: str) -> float:
    """A part of one."""
    try:
        return float(text)
    except ValueError as error:
        raise Wrong("must be a number like 0.6") from error


def truth(text: str) -> bool:
    """true or false."""
    if text not in ("true", "false", "on", "off", "yes", "no"):
        raise Wrong("must be true or false")
    return text in ("true", "on", "yes")


def _from_ms(text: str) -> float:
    return number(text) / 1000


def _not(text: str) -> bool:
    """The same for a key that says what is not to be."""
    return not truth(text)


def _most(text: str) -> int:
    """A number of things; `infinity` is more than there can be."""
    return (1 << 31) - 1 if text == "infinity" else number(text)


def _minutes(text: str) -> int:
    return 60 * number(text)


def _prefix(text: str) -> str:
    path = text.strip("/")
    return f"/{path}" if path else ""


def _stamp(text: str) -> str:
    return "overwrite" if truth(text) else "keep"


def _level(text: str) -> str:
    if text not in _LEVELS:
        raise Wrong(f"must be one of {', '.join(_LEVELS)}")
    return _LEVELS[text]


#: Where definitions come from.
_FROM_FILES: Final = ("local_filesystem", "local", "rabbit_definitions_import_local_filesystem")
#: Keys with one meaning: our setting, and how the value is read.
KEYS: Final[Mapping[str, tuple[str, Callable[[str], Value]]]] = {
    "heartbeat": ("amqp.heartbeat_s", number),
    "frame_max": ("amqp.frame_max_bytes", number),
    "channel_max": ("amqp.channel_max", number),
    "max_message_size": ("amqp.max_message_size_bytes", size),
    "consumer_timeout": ("queues.consumer_timeout_ms", number),
    "default_queue_type": ("queues.default_type", str),
    "quorum_queue.property_equivalence.relaxed_checks_on_redeclaration": (
        "queues.relaxed_redeclaration",
        truth,
    ),
    "message_interceptors.incoming.set_header_timestamp.overwrite": ("amqp.stamp_time", _stamp),
    "message_interceptors.incoming.set_header_routing_node.overwrite": (
        "amqp.stamp_node",
        _stamp,
    ),
    "cluster_queue_limit": ("queues.max_queues", number),
    "cluster_exchange_limit": ("queues.max_exchanges", number),
    "deprecated_features.permit.transient_nonexcl_queues": (
        "queues.transient_nonexclusive",
        truth,
    ),
    "connection_max": ("amqp.max_connections", number),
    "anonymous_login_user": ("amqp.anonymous_user", str),
    "cluster_name": ("node.cluster_name", str),
    "load_definitions": ("definitions.path", str),
    "management.load_definitions": ("definitions.path", str),
    "definitions.local.path": ("definitions.path", str),
    "definitions.skip_if_unchanged": ("definitions.skip_if_unchanged", truth),
    "default_user": ("auth.default_user", str),
    "default_pass": ("auth.default_password", str),
    "default_vhost": ("auth.default_vhost", str),
    "default_permissions.configure": ("auth.default_configure", str),
    "default_permissions.write": ("auth.default_write", str),
    "default_permissions.read": ("auth.default_read", str),
    "handshake_timeout": ("amqp.handshake_timeout_s", _from_ms),
    "ssl_handshake_timeout": ("tls.handshake_timeout_s", _from_ms),
    "tcp_listen_options.backlog": ("amqp.backlog", number),
    "ssl_options.cacertfile": ("tls.ca", str),
    "ssl_options.certfile": ("tls.certificate", str),
    "ssl_options.keyfile": ("tls.key", str),
    "ssl_cert_login_from": ("tls.login_from", str),
    "vm_memory_high_watermark.relative": ("resources.memory_watermark", fraction),
    "vm_memory_high_watermark.absolute": ("resources.memory_watermark_bytes", size),
    "total_memory_available_override_value": ("resources.memory_bytes", size),
    "disk_free_limit.absolute": ("resources.disk_free_bytes", size),
    "disk_free_limit.relative": ("resources.disk_free_share", fraction),
    "log.console.level": ("log.level", _level),
    "log.level": ("log.level", _level),
    "log.console.formatter": ("log.format", str),
    "management.path_prefix": ("http.path_prefix", _prefix),
    "management.login_session_timeout": ("http.login_session_s", _minutes),
    "management.http.max_body_size": ("http.max_body_bytes", number),
    "management.http.hide_allow_header": ("http.allow_header", _not),
    "management.disable_basic_auth": ("http.basic_auth", _not),
    "management.cors.max_age": ("http.cors_max_age_s", number),
    "management.definitions.require_json_extension": ("http.definitions_json_only", truth),
    "management.require_auth_for_api_reference": ("http.reference_needs_login", truth),
    "management.restrictions.operator_policy_changes.disabled": (
        "http.operator_policy_changes",
        _not,
    ),
    "management.restrictions.quorum_queue_replica_operations.disabled": (
        "http.quorum_replica_changes",
        _not,
    ),
    "management.tcp.port": ("http.port", number),
    "management.tcp.max_connections": ("http.max_connections", _most),
    "management.ssl.max_connections": ("http.max_connections", _most),
    "management.ssl.port": ("http.tls_port", number),
    "prometheus.ssl.port": ("metrics.tls_port", number),
    "event_exchange.vhost": ("events.vhost", str),
    "management.tcp.ip": ("http.host", str),
    "management.listener.port": ("http.port", number),
    "management.listener.ip": ("http.host", str),
    "prometheus.tcp.port": ("metrics.port", number),
    "prometheus.tcp.ip": ("metrics.host", str),
    "prometheus.return_per_object_metrics": ("metrics.per_object", truth),
    **auth.KEYS,
}


def entries(text: str) -> tuple[dict[str, Value], list[str]]:
    """The settings of a file, by dotted key, and what is worth a warning.

    Raises:
        ValueError: lines are not `key = value`, or values not what their keys take; the text
            has a line for each, which names it.
    """
    found: dict[str, Value] = {}
    warnings: list[str] = []
    problems: list[str] = []
    several, backends = _Several(), auth.Several()
    for at, key, value in _lines(text):
        try:
            if not key:
                problems.append(f"line {at}: {value}")
            elif key in KEYS:
                setting, read = KEYS[key]
                found[setting] = read(value)
            elif key == "proxy_protocol":
                if truth(value):
                    found["amqp.proxies"] = ["0.0.0.0/0", "::/0"]
                    warnings += _unused(at, key, value)
            elif not (several.take(key, value) or backends.take(key, value)):
                warnings += _unused(at, key, value)
        except ValueError as error:
            problems.append(f"line {at}: {key} = {value}: {error}")
    try:
        found.update(several.settings(warnings))
        found.update(backends.settings())
    except ValueError as error:
        problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))
    return found, warnings


def _lines(text: str) -> Iterator[tuple[int, str, str]]:
    """Line by line; a value in three quotes may go over several. Without a key: what is wrong."""
    lines = iter(enumerate(text.splitlines(), 1))
    for at, raw in lines:
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals or not key.strip():
            yield at, "", f"must be key = value: {line}"
            continue
        value = value.strip()
        if value.startswith(_QUOTES):
            value = value.removeprefix(_QUOTES)
            while not value.rstrip().endswith(_QUOTES):
                _, more = next(lines, (0, None))
                if more is None:
                    yield at, "", f"{key.strip()}: a value without its end"
                    return
                value += f"\n{more}"
            yield at, key.strip(), value.rstrip().removesuffix(_QUOTES).strip()
        else:
            yield at, key.strip(), _unquoted(value)


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] == "'":
        return value[1:-1]
    return value.partition(" #")[0].rstrip()


def _unused(at: int, key: str, value: str) -> Iterator[str]:
    """What is worth a warning; what is meant is so already where a log is as it is here."""
    if (key, value) in (("log.console", "true"), ("log.file", "false")):
        return
    other = next((told for begin, told in _OTHERWISE.items() if key.startswith(begin)), "")
    if other:
        yield f"line {at}: {key} has no effect: {other}"
    elif key.startswith(_NEEDLESS):
        yield f"line {at}: {key} has no effect: there is nothing of that kind to set here"
    elif key == "proxy_protocol":
        yield (
            f"line {at}: {key}: every address is taken for a load balancer, as by RabbitMQ; "
            "amqp.proxies names those that are"
        )
    else:
        yield f"line {at}: {key} is not known and has no effect"


def _from_file(backend: str) -> None:
    if backend not in _FROM_FILES:
        # A start without its users and queues would not be noticed in time.
        raise Wrong("definitions are read from files (local_filesystem), not fetched")


class _Several:
    """Keys that are given one by one and make one setting together."""

    def __init__(self) -> None:
        self._lists: dict[str, dict[str, str]] = {}
        self._verify = ""
        self._must_show = False

    def take(self, key: str, value: str) -> bool:
        """Whether the key is one of these."""
        for prefix in (
            "listeners.tcp", "listeners.ssl", "loopback_users", "auth_mechanisms",
            "ssl_options.versions", "default_user_tags", "management.cors.allow_origins",
            "management.headers", "management.csp", "management.hsts", "node_tags", "cluster_tags",
            "credential_validator",
        ):  # fmt: skip
            if key == prefix or key.startswith(f"{prefix}."):
                self._lists.setdefault(prefix, {})[key[len(prefix) + 1 :]] = value
                return True
        if key == "definitions.import_backend":
            _from_file(value)
        elif key == "ssl_options.verify":
            self._verify = value
        elif key == "ssl_options.fail_if_no_peer_cert":
            self._must_show = truth(value)
        else:
            return False
        return True

    def settings(self, warnings: list[str]) -> Iterator[tuple[str, Value]]:
        """What they mean."""
        lists = self._lists
        yield from _listener(lists.get("listeners.tcp"), "amqp.port", warnings)
        yield from _listener(lists.get("listeners.ssl"), "amqp.tls_port", warnings)
        if "loopback_users" in lists:
            users = lists["loopback_users"]
            yield "auth.loopback_users", [name for name, on in users.items() if name and truth(on)]
        if "default_user_tags" in lists:
            tags = lists["default_user_tags"]
            yield "auth.default_tags", [name for name, on in tags.items() if name and truth(on)]
        if "auth_mechanisms" in lists:
            yield "amqp.mechanisms", list(lists["auth_mechanisms"].values())
        yield from _of_pages(lists)
        for key, setting in (("node_tags", "node.tags"), ("cluster_tags", "node.cluster_tags")):
            if key in lists:
                yield setting, {**lists[key]}
        yield from _validator(lists.get("credential_validator"))
        if "ssl_options.versions" in lists:
            versions = lists["ssl_options.versions"].values()
            oldest = min((one.removeprefix("tlsv") for one in versions), default="1.2")
            yield "tls.minimum_version", max(oldest, "1.2")
        if self._verify == "verify_none":
            yield "tls.verify", "none"
        elif self._verify or self._must_show:
            yield "tls.verify", "required" if self._must_show else "optional"


#: Response headers that have a key each.
_HEADERS: Final = {
    "management.headers": {
        "content_type_options": "X-Content-Type-Options",
        "xss_protection": "X-XSS-Protection",
        "frame_options": "X-Frame-Options",
        "referrer_policy": "Referrer-Policy",
    },
    "management.csp": {"policy": "Content-Security-Policy"},
    "management.hsts": {"policy": "Strict-Transport-Security"},
}
#: What `credential_validator.validation_backend` names, and what it asks of a password.
_VALIDATORS: Final = {
    "rabbit_credential_validator_accept_everything": (),
    "rabbit_credential_validator_min_password_length": ("min_length",),
    "rabbit_credential_validator_password_regexp": ("regexp",),
}
#: RabbitMQ's, where only the backend is named.
_LEAST_BYTES: Final = "5"


def _of_pages(lists: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, Value]]:
    """Who may use the API from a browser, and what browsers are told."""
    if "management.cors.allow_origins" in lists:
        origins = lists["management.cors.allow_origins"]
        yield "http.cors_origins", [one for name, one in origins.items() if name]
    headers: dict[str, str | list[str]] = {}
    for prefix, names in _HEADERS.items():
        for key, value in lists.get(prefix, {}).items():
            if key not in names:
                raise Wrong(f"{prefix}.{key}: is not one of {', '.join(names)}")
            headers[names[key]] = value
    if headers:
        yield "http.headers", headers


def _validator(given: Mapping[str, str] | None) -> Iterator[tuple[str, Value]]:
    """What new passwords must be like."""
    if given is None:
        return
    backend = given.get("validation_backend", "rabbit_credential_validator_accept_everything")
    if backend not in _VALIDATORS:
        known = ", ".join(_VALIDATORS)
        raise Wrong(f"credential_validator.validation_backend: {backend} is not one of {known}")
    if "min_length" in _VALIDATORS[backend]:
        yield "auth.password_min_bytes", number(given.get("min_length", _LEAST_BYTES))
    if "regexp" in _VALIDATORS[backend]:
        if not given.get("regexp"):
            raise Wrong("credential_validator.regexp: must say what passwords have to match")
        yield "auth.password_pattern", given["regexp"]


def _listener(
    given: Mapping[str, str] | None, setting: str, warnings: list[str]
) -> Iterator[tuple[str, Value]]:
    if given is None:
        return
    addresses = [one for name, one in given.items() if name]
    if not addresses:
        yield setting, "off"
        return
    warnings += [
        f"listener {more}: one address for each protocol is served, not this one"
        for more in addresses[1:]
    ]
    host, _, port = addresses[0].rpartition(":")
    yield setting, number(port)
    if host and setting == "amqp.port":
        yield "amqp.host", host.strip("[]")
    elif not host and setting == "amqp.port":
        # RabbitMQ listens on all addresses where only a port is given.
        yield "amqp.host", "::"
