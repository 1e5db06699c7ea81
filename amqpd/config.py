"""Where settings come from; what can be set is in `settings`.

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
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, get_args, get_origin

import msgspec

from amqpd import rabbitmq_conf
from amqpd.settings import (
    Amqp,
    Audit,
    Auth,
    DeadLetter,
    Definitions,
    Events,
    Http,
    Log,
    Metrics,
    Node,
    Port,
    PortOrOff,
    Queues,
    Resources,
    Seconds,
    Settings,
    Store,
    Tls,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from msgspec import Struct

__all__ = [
    "ELSEWHERE",
    "RABBITMQ_VARIABLES",
    "SECRETS",
    "SECTIONS",
    "UNITS",
    "Amqp",
    "Audit",
    "Auth",
    "Config",
    "ConfigError",
    "DeadLetter",
    "Definitions",
    "Events",
    "Http",
    "Log",
    "Metrics",
    "Node",
    "Origin",
    "Port",
    "PortOrOff",
    "Queues",
    "Resources",
    "Seconds",
    "Settings",
    "Store",
    "Tls",
    "Value",
    "changed",
    "load",
    "node_name",
]

Value = str | int | float | bool | list[str] | tuple[str, ...] | dict[str, str]


class ConfigError(Exception):
    """A setting is wrong; the text is one line that names it, its source and what to do."""


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
