"""Settings: what can be set, and where the values come from.

Sources in order, later ones win: defaults, RabbitMQ's environment variables, the file
(`--config`; a name that ends with `.conf` is a rabbitmq.conf), `conf.d/*.toml` beside it in the
order of their names, environment variables `AMQPD_<SECTION>_<KEY>`, the command line. A key
that does not exist is an error that names the nearest one that does. Every value remembers its
source. This is the only module that reads files or the environment for settings.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import socket
import tomllib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, NamedTuple, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from amqpd import rabbitmq_conf
from amqpd.auth.settings import HttpAuth, Ldap, OAuth2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Port = Annotated[int, Meta(ge=0, le=65_535)]
# Union[...] and not `|`: Annotated aliases and Literal are evaluated when settings are read.
PortOrOff = Union[Port, Literal["off"]]  # noqa: UP007
Seconds = Annotated[float, Meta(gt=0)]
Value = str | int | float | bool | list[str] | tuple[str, ...] | dict[str, str]


class ConfigError(Exception):
    """A setting is wrong; the text is one line that names it, its source and what to do."""


class Node(Struct, frozen=True):
    """Who this broker is."""

    name: Annotated[str, Meta(description="node name; empty: rabbit@ and the host's name")] = ""
    cluster_name: Annotated[str, Meta(description="told to clients; empty: the node name")] = ""
    uvloop: Annotated[
        Literal["auto", "on", "off"],
        Meta(description="event loop of the extra 'speed'; auto: if it is installed"),
    ] = "off"


class Amqp(Struct, frozen=True):
    """AMQP 0-9-1 listeners and what is agreed with clients."""

    host: Annotated[str, Meta(description="address to listen on; 0.0.0.0 or :: for all")] = (
        "127.0.0.1"
    )
    port: Annotated[PortOrOff, Meta(description="TCP port; 0: any free one; or 'off'")] = 5672
    tls_port: Annotated[PortOrOff, Meta(description="TLS port, usually 5671")] = "off"
    backlog: Annotated[int, Meta(ge=1, description="connections waiting to be accepted")] = 1024
    max_connections: Annotated[
        int, Meta(ge=0, description="0: as many as the limit on open files allows")
    ] = 0
    max_unauthenticated: Annotated[
        int, Meta(ge=0, description="connections that have not logged in; 0: no limit")
    ] = 1000
    max_unauthenticated_per_source: Annotated[
        int, Meta(ge=0, description="the same for each address but this machine's")
    ] = 100
    handshake_timeout_s: Annotated[Seconds, Meta(description="from accept to connection.open")] = 10
    heartbeat_s: Annotated[int, Meta(ge=0, le=65_535, description="proposed to clients")] = 60
    frame_max_bytes: Annotated[int, Meta(ge=4096, description="proposed to clients")] = 131_072
    channel_max: Annotated[int, Meta(ge=1, le=65_535, description="channels a connection")] = 2047
    max_message_size_bytes: Annotated[
        int, Meta(ge=0, le=536_870_912, description="larger messages are refused at their header")
    ] = 16_777_216
    max_transaction_bytes: Annotated[
        int, Meta(ge=0, description="memory of one transaction (tx); 0: no limit")
    ] = 268_435_456
    product: Annotated[str, Meta(description="told to clients, which choose behaviour by it")] = (
        "RabbitMQ"
    )
    version: Annotated[str, Meta(description="told to clients, likewise")] = "4.2.0"
    mechanisms: Annotated[
        tuple[Literal["PLAIN", "AMQPLAIN", "ANONYMOUS", "EXTERNAL", "RABBIT-CR-DEMO"], ...],
        Meta(description="SASL; EXTERNAL needs a client's certificate"),
    ] = ("PLAIN", "AMQPLAIN", "ANONYMOUS", "EXTERNAL")
    passwords_over_tls_only: Annotated[bool, Meta(description="no PLAIN, AMQPLAIN on TCP")] = False
    proxies: Annotated[
        tuple[str, ...],
        Meta(
            description="addresses and networks of load balancers that announce clients "
            "(PROXY protocol 1 and 2)"
        ),
    ] = ()
    anonymous_user: Annotated[str, Meta(description="who ANONYMOUS is; empty: nobody")] = "guest"


class Tls(Struct, frozen=True):
    """Certificates of the TLS listeners."""

    certificate: Annotated[str, Meta(description="PEM file: certificate and its chain")] = ""
    key: Annotated[str, Meta(description="PEM file: private key")] = ""
    sni: Annotated[
        dict[str, str],
        Meta(description="other host names ('*.example.com', too): PEM files, key included"),
    ] = {}
    ca: Annotated[str, Meta(description="PEM file: who may sign client certificates")] = ""
    verify: Annotated[
        Literal["none", "optional", "required"],
        Meta(description="client certificates; needs 'ca' unless none"),
    ] = "optional"
    login_from: Annotated[
        Literal["distinguished_name", "common_name", "subject_alternative_name"],
        Meta(description="the part of a client's certificate that EXTERNAL takes for the user"),
    ] = "distinguished_name"
    minimum_version: Annotated[Literal["1.2", "1.3"], Meta(description="oldest TLS")] = "1.2"
    handshake_timeout_s: Annotated[Seconds, Meta(description="a slower peer is cut off")] = 5
    max_handshakes: Annotated[
        int, Meta(ge=1, description="unfinished handshakes; each costs 300 KiB")
    ] = 200


class Http(Struct, frozen=True):
    """The HTTP API."""

    host: Annotated[str, Meta(description="address; empty: the one of [amqp]")] = ""
    port: Annotated[PortOrOff, Meta(description="TCP port; 0: any free one; or 'off'")] = 15672
    tls_port: Annotated[
        PortOrOff, Meta(description="TLS port, usually 15671; the certificate is that of [tls]")
    ] = "off"
    hsts_s: Annotated[
        int,
        Meta(
            ge=0,
            description="how long browsers are to use TLS only (Strict-Transport-Security), "
            "on the TLS port; 0: they are not told",
        ),
    ] = 31_536_000
    local_socket: Annotated[
        bool,
        Meta(
            description="amqpd.sock in the data directory: the command line of this user and of "
            "root needs no password and no port"
        ),
    ] = True


class Metrics(Struct, frozen=True):
    """Metrics for Prometheus."""

    host: Annotated[str, Meta(description="address; empty: the one of [amqp]")] = ""
    port: Annotated[PortOrOff, Meta(description="TCP port; 0: any free one; or 'off'")] = 15692
    tls_port: Annotated[
        PortOrOff, Meta(description="TLS port, usually 15691; the certificate is that of [tls]")
    ] = "off"


class Store(Struct, frozen=True):
    """Where messages and definitions are kept."""

    path: Annotated[str, Meta(description="the data directory")] = "./amqpd-data"
    sync: Annotated[
        bool, Meta(description="false: a power cut loses confirmed messages; for tests only")
    ] = True
    reserve_bytes: Annotated[
        int,
        Meta(
            ge=0,
            description="disk space kept back, so that consuming goes on when the disk is full",
        ),
    ] = 67_108_864
    accept_older: Annotated[
        bool,
        Meta(
            description="true, for one start by hand: take a store that lacks what was in it before"
        ),
    ] = False
    rescue: Annotated[
        bool,
        Meta(description="true: start without what cannot be read of a damaged store; it is kept"),
    ] = False


class Definitions(Struct, frozen=True):
    """Definitions that are added to those that there are, at every start."""

    path: Annotated[
        str, Meta(description="RabbitMQ's definitions.json, or a folder of such files; empty: none")
    ] = ""
    skip_if_unchanged: Annotated[
        bool, Meta(description="not again what was read at the last start")
    ] = False


class Log(Struct, frozen=True):
    """Log lines on standard error."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="the least to be logged")
    ] = "info"
    format: Annotated[Literal["text", "json"], Meta(description="one line per event")] = "text"


class Auth(Struct, frozen=True):
    """Users and logins. The default_ settings apply only to an empty data directory."""

    default_user: Annotated[str, Meta(description="made administrator")] = "guest"
    default_password: Annotated[str, Meta(description="its password")] = "guest"  # noqa: S105
    default_vhost: Annotated[str, Meta(description="made with full permissions for it")] = "/"
    loopback_users: Annotated[
        tuple[str, ...], Meta(description="may log in from this machine only")
    ] = ("guest",)
    backends: Annotated[
        tuple[str, ...],
        Meta(
            description="asked in this order: internal, oauth2, http, ldap; 'ldap/internal': "
            "passwords by the first, rights by the second, or by several: 'ldap/internal+http'"
        ),
    ] = ("internal",)
    cache_ttl_s: Annotated[
        float, Meta(ge=0, description="how long answers of other backends than internal count")
    ] = 15
    failure_delay_s: Annotated[
        float, Meta(ge=0, description="first answer to a wrong password; doubles up to 30 s")
    ] = 1


class Queues(Struct, frozen=True):
    """Queues, where neither their arguments nor a policy say otherwise."""

    delivery_count_header: Annotated[
        Literal["auto", "always"],
        Meta(
            description="x-acquired-count and x-delivery-count of messages that came back; auto: "
            "on quorum queues and where returns are limited or delayed"
        ),
    ] = "auto"
    consumer_timeout_ms: Annotated[
        int,
        Meta(
            ge=-1,
            description="how long a client may keep a message without acknowledging it; "
            "0: for ever, -1: 30 minutes on quorum queues and for ever on others",
        ),
    ] = -1
    default_type: Annotated[
        Literal["classic", "quorum", "stream"],
        Meta(
            description="of queues declared without a type, where their vhost has no default and "
            "they may be of this one (RabbitMQ: default_queue_type)"
        ),
    ] = "classic"
    transient_nonexclusive: Annotated[
        bool,
        Meta(
            description="queues that are neither durable nor exclusive; false: refused with 541 "
            "(deprecated_features.permit.transient_nonexcl_queues)"
        ),
    ] = True
    max_queues: Annotated[
        int, Meta(ge=0, description="in all vhosts together; 0: no limit (cluster_queue_limit)")
    ] = 0
    max_exchanges: Annotated[
        int, Meta(ge=0, description="in all vhosts together; 0: no limit (cluster_exchange_limit)")
    ] = 0
    max_topic_wildcards: Annotated[
        int,
        Meta(
            ge=-1,
            description="words `#` in one binding key of a topic exchange; -1: no limit "
            "(RabbitMQ 4.3 allows 2)",
        ),
    ] = -1
    consumer_timeout_mode: Annotated[
        Literal["cancel", "close_channel"],
        Meta(
            description="what it loses then: its consumer, or its channel; always the channel "
            "where it has no consumer to lose or does not understand it"
        ),
    ] = "cancel"


class DeadLetter(Struct, frozen=True):
    """Dead letters."""

    trust_client_x_death: Annotated[
        bool,
        Meta(
            description="an x-death header of a message that a client publishes is counted on, "
            "as by RabbitMQ before 4; false: it is overwritten when the message dies, as by "
            "RabbitMQ 4, and so is that of a dead letter from before this setting"
        ),
    ] = True


class Audit(Struct, frozen=True):
    """The audit log, `audit.log` in the data directory."""

    enabled: Annotated[bool, Meta(description="who did what from where")] = True
    max_file_bytes: Annotated[
        int, Meta(ge=0, description="a larger file is put aside; 0: never")
    ] = 100_000_000
    files: Annotated[int, Meta(ge=2, le=1000, description="that are kept")] = 10


class Events(Struct, frozen=True):
    """What the broker tells of itself, as messages."""

    vhost: Annotated[
        str,
        Meta(
            description="where amq.rabbitmq.event and amq.rabbitmq.log are; empty: nowhere "
            "(event_exchange.vhost)"
        ),
    ] = "/"


class Resources(Struct, frozen=True):
    """When publishers are held back."""

    memory_watermark: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="share of the memory this process may use "
            "(RabbitMQ: vm_memory_high_watermark.relative)",
        ),
    ] = 0.6
    memory_watermark_bytes: Annotated[
        int,
        Meta(
            ge=0,
            description="the same in bytes, instead of the share; 0: the share counts "
            "(vm_memory_high_watermark.absolute)",
        ),
    ] = 0
    memory_bytes: Annotated[
        int,
        Meta(
            ge=0,
            description="memory this process may use; 0: what the control group or the machine "
            "has (total_memory_available_override_value)",
        ),
    ] = 0
    disk_free_bytes: Annotated[
        int,
        Meta(
            ge=0,
            description="free space that is kept on the data directory's disk "
            "(disk_free_limit.absolute)",
        ),
    ] = 50_000_000
    disk_free_share: Annotated[
        float,
        Meta(
            ge=0,
            description="the same as a multiple of the memory, instead of bytes; 0: bytes count "
            "(disk_free_limit.relative)",
        ),
    ] = 0
    check_interval_s: Annotated[Seconds, Meta(description="time between two looks")] = 1


class Settings(Struct, frozen=True):
    """Everything that can be set, one field per section."""

    node: Node = Node()
    amqp: Amqp = Amqp()
    tls: Tls = Tls()
    http: Http = Http()
    metrics: Metrics = Metrics()
    store: Store = Store()
    definitions: Definitions = Definitions()
    log: Log = Log()
    auth: Auth = Auth()
    auth_oauth2: OAuth2 = OAuth2()
    auth_http: HttpAuth = HttpAuth()
    auth_ldap: Ldap = Ldap()
    queues: Queues = Queues()
    dead_letter: DeadLetter = DeadLetter()
    audit: Audit = Audit()
    events: Events = Events()
    resources: Resources = Resources()


class Origin(NamedTuple):
    """A value as it was written, and where."""

    value: object
    source: str


class Config(NamedTuple):
    """The settings in force; `origins` has those that are not defaults, by dotted key.

    `again` reads them anew from the same sources.
    """

    settings: Settings
    origins: Mapping[str, Origin]
    warnings: tuple[str, ...] = ()
    again: Callable[[], Config] | None = None


SECTIONS: Final[Mapping[str, type[Struct]]] = {
    field.name: type(getattr(Settings(), field.name)) for field in msgspec.structs.fields(Settings)
}

#: RabbitMQ's variables, as its container image has them, and the settings they mean.
RABBITMQ_VARIABLES: Final = {
    "RABBITMQ_DEFAULT_USER": "auth.default_user",
    "RABBITMQ_DEFAULT_PASS": "auth.default_password",
    "RABBITMQ_DEFAULT_VHOST": "auth.default_vhost",
    "RABBITMQ_NODENAME": "node.name",
    "RABBITMQ_NODE_PORT": "amqp.port",
    "RABBITMQ_NODE_IP_ADDRESS": "amqp.host",
}

#: Variables that are no settings: the file's, and those that tell the command line which broker.
_OTHERS: Final = "CONFIG_FILE URL AMQP_URL USERNAME PASSWORD CONTEXT CONTEXTS"
ELSEWHERE: Final = frozenset(f"AMQPD_{one}" for one in _OTHERS.split())
SECRETS: Final = frozenset(
    {
        "auth.default_password",
        "auth_ldap.dn_lookup_bind_password",
        "auth_ldap.other_bind_password",
    }
)


def load(
    file: Path | None,
    environment: Mapping[str, str],
    flags: Mapping[str, Value],
) -> Config:
    """The settings of all sources; `flags` has dotted keys.

    Raises:
        ConfigError: a file cannot be read, a key does not exist, a value does not fit.
    """
    entries: dict[str, Origin] = {}
    warnings: list[str] = []
    state = environment.get("STATE_DIRECTORY", "").split(":")[0]
    if state:
        entries["store.path"] = Origin(state, "STATE_DIRECTORY")
    entries.update(_from_rabbitmq(environment))
    for path in _files(file, environment):
        entries.update(_from_file(path, warnings))
    entries.update(_from_environment(environment, warnings))
    entries.update(_from_flags(flags))
    settings = _compose(entries)
    _check(settings)
    again = partial(load, file, environment, flags)
    return Config(settings, entries, tuple(warnings), again)


def changed(settings: Settings, key: str, value: object) -> Settings:
    """The settings with one of them, by its dotted key, as somebody asks for it.

    Raises:
        ConfigError: it does not exist, or cannot have this value.
    """
    source = "request"
    section, _, name = key.partition(".")
    if section not in SECTIONS:
        raise ConfigError(_unknown("section", section, list(SECTIONS), source))
    _known(section, name, source)
    found = _value(key, Origin(value, source))
    parts = {section: msgspec.structs.replace(getattr(settings, section), **{name: found})}
    made = msgspec.structs.replace(settings, **parts)
    _check(made)
    return made


def node_name(settings: Settings) -> str:
    """The node's name as clients and operators see it: by default as RabbitMQ's is, which
    dashboards and scripts look for."""
    return settings.node.name or f"rabbit@{socket.gethostname().split('.')[0]}"


# -- sources --------------------------------------------------------------------------------


def _files(file: Path | None, environment: Mapping[str, str]) -> list[Path]:
    if file is None:
        named = environment.get("AMQPD_CONFIG_FILE")
        file = Path(named) if named else _rabbitmq_file(environment)
    if file is None and (directory := environment.get("CONFIGURATION_DIRECTORY")):
        file = Path(directory.split(":")[0]) / "amqpd.toml"
        if not file.exists():
            return []
    if file is None:
        return []
    return [file, *sorted((file.parent / "conf.d").glob(f"*{file.suffix}"))]


def _rabbitmq_file(environment: Mapping[str, str]) -> Path | None:
    """RabbitMQ's variable names its file with or without the end of its name."""
    named = environment.get("RABBITMQ_CONFIG_FILE")
    if not named:
        return None
    return Path(named if named.endswith(".conf") else f"{named}.conf")


def _from_file(path: Path, warnings: list[str]) -> Iterator[tuple[str, Origin]]:
    try:
        text = path.read_text()
        if path.suffix == ".conf":
            yield from _from_conf(text, path, warnings)
            return
        tree = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigError(f"configuration file '{path}': {reason}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"configuration file '{path}': {error}") from error
    for section, content in tree.items():
        if section not in SECTIONS:
            raise ConfigError(_unknown("section", section, list(SECTIONS), str(path)))
        if not isinstance(content, dict):
            raise ConfigError(f"'{section}' in {path}: must be a section, written [{section}]")
        for key, value in content.items():
            _known(section, key, str(path))
            yield f"{section}.{key}", Origin(value, str(path))


def _from_conf(text: str, path: Path, warnings: list[str]) -> Iterator[tuple[str, Origin]]:
    """A rabbitmq.conf."""
    try:
        found, remarks = rabbitmq_conf.entries(text)
    except ValueError as error:
        raise ConfigError(f"configuration file '{path}': {error}") from error
    warnings += [f"{path}: {remark}" for remark in remarks]
    for dotted, value in found.items():
        yield dotted, Origin(value, str(path))


def _from_environment(
    environment: Mapping[str, str], warnings: list[str]
) -> Iterator[tuple[str, Origin]]:
    for variable in sorted(environment):
        if not variable.startswith("AMQPD_") or variable in ELSEWHERE:
            continue
        section, key = _parted(variable.removeprefix("AMQPD_").lower())
        if section not in SECTIONS:
            # An error here would break every container next to a Kubernetes service of the
            # name amqpd, which sets AMQPD_PORT, AMQPD_SERVICE_HOST and more.
            if section not in ("codec", "pure", "port", "service"):
                warnings.append(_unknown("section", section, list(SECTIONS), variable))
            continue
        keys = _keys(section)
        if key not in keys and key.endswith("_file") and key.removesuffix("_file") in keys:
            text = _secret(environment[variable], variable)
            yield f"{section}.{key.removesuffix('_file')}", Origin(text, variable)
            continue
        _known(section, key.lstrip("_"), variable)
        yield f"{section}.{key.lstrip('_')}", Origin(environment[variable], variable)


def _from_flags(flags: Mapping[str, Value]) -> Iterator[tuple[str, Origin]]:
    for dotted, value in flags.items():
        section, _, key = dotted.partition(".")
        if section not in SECTIONS:
            raise ConfigError(_unknown("section", section, list(SECTIONS), "command line"))
        _known(section, key, "command line")
        yield dotted, Origin(value, "command line")


def _parted(name: str) -> tuple[str, str]:
    """Section and key; `auth_http_user_path` is of the section `auth_http`, not of `auth`."""
    for section in sorted(SECTIONS, key=len, reverse=True):
        if name.startswith(f"{section}_"):
            return section, name.removeprefix(f"{section}_")
    section, _, key = name.partition("_")
    return section, key


def _from_rabbitmq(environment: Mapping[str, str]) -> Iterator[tuple[str, Origin]]:
    for variable, key in RABBITMQ_VARIABLES.items():
        if file := environment.get(f"{variable}_FILE"):
            yield key, Origin(_secret(file, f"{variable}_FILE"), f"{variable}_FILE")
        elif value := environment.get(variable):
            yield key, Origin(value, variable)


def _secret(file: str, variable: str) -> str:
    try:
        return Path(file).read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"file '{file}' (from {variable}): {error}") from error


def _known(section: str, key: str, source: str) -> None:
    if key not in _keys(section):
        keys = [f"{section}.{one}" for one in _keys(section)]
        raise ConfigError(_unknown("setting", f"{section}.{key}", keys, source))


def _keys(section: str) -> list[str]:
    return [field.name for field in msgspec.structs.fields(SECTIONS[section])]


def _unknown(what: str, name: str, names: list[str], source: str) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(names)}"
    return f"{what} '{name}' (from {source}): does not exist; {hint}"


# -- values ---------------------------------------------------------------------------------


def _compose(entries: Mapping[str, Origin]) -> Settings:
    values: dict[str, dict[str, object]] = {section: {} for section in SECTIONS}
    for dotted, origin in entries.items():
        section, _, key = dotted.partition(".")
        values[section][key] = _value(dotted, origin)
    return msgspec.convert(values, Settings)


def _value(dotted: str, origin: Origin) -> object:
    section, _, key = dotted.partition(".")
    field = next(one for one in msgspec.structs.fields(SECTIONS[section]) if one.name == key)
    value = origin.value
    if isinstance(value, str) and isinstance(field.default, tuple):
        value = [part.strip() for part in value.split(",") if part.strip()]
    elif isinstance(value, str) and key.endswith("_bytes"):
        value = _size(value)
    elif isinstance(value, str) and value.isdigit() and not isinstance(field.default, str):
        value = int(value)
    # A string can only come from where everything is one, or from a key that wants one.
    try:
        return msgspec.convert(value, field.type, strict=not isinstance(value, str))
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"setting '{dotted}' (from {origin.source}): {origin.value!r} is not valid; "
            # A number is only out of bounds, which the validator knows.
            f"{_wanted(field.type, key if isinstance(value, str) else '') or _reason(error)}"
        ) from error


def _size(text: str) -> int | str:
    """A size in bytes, `2GB` or `512MiB`; what is none is left for the validator to refuse."""
    try:
        return rabbitmq_conf.size(text.strip())
    except rabbitmq_conf.Wrong:
        return text


def _reason(error: msgspec.ValidationError) -> str:
    text = str(error).replace("`", "'")
    return text[:1].lower() + text[1:]


#: What a number of this ending is: a unit is in the name.
UNITS: Final = {
    "_bytes": "a size: bytes, or with a unit, like '512MiB' or '2GB'",
    "_ms": "milliseconds: a number without a unit",
    "_s": "seconds: a number without a unit",
}


def _wanted(info: object, key: str) -> str:
    """What a value may be; empty for what the validator explains better itself."""
    while hasattr(info, "__metadata__"):
        info = getattr(info, "__origin__", None)
    if info == PortOrOff:
        return "a port is 0 to 65535 or 'off'"
    if get_origin(info) is Literal:
        return f"it is one of {', '.join(map(repr, get_args(info)))}"
    if info is bool:
        return "it is true or false"
    if info in (int, float):
        return next((text for ending, text in UNITS.items() if key.endswith(ending)), "")
    return ""


def _check(settings: Settings) -> None:
    """What one key alone cannot tell."""
    for one in settings.amqp.proxies:
        try:
            ipaddress.ip_network(one, strict=False)
        except ValueError as error:
            raise ConfigError(f"setting 'amqp.proxies': {error}") from error
    tls = settings.tls
    ports = {
        "amqp": settings.amqp.tls_port,
        "http": settings.http.tls_port,
        "metrics": settings.metrics.tls_port,
    }
    secure = [name for name, port in ports.items() if port != "off"]
    if secure and not (tls.certificate and tls.key):
        raise ConfigError(
            f"setting '{secure[0]}.tls_port': needs 'tls.certificate' and 'tls.key' "
            "(--tls-cert, --tls-key)"
        )
    if tls.verify == "required" and not tls.ca:
        raise ConfigError("setting 'tls.verify': 'required' needs 'tls.ca' (--tls-ca)")
    files = {key: getattr(tls, key) for key in ("certificate", "key", "ca")}
    files |= {f"sni.{name}": file for name, file in tls.sni.items()}
    for key, path in files.items():
        if path and secure and not os.access(path, os.R_OK):
            raise ConfigError(f"setting 'tls.{key}': file '{path}' cannot be read")
