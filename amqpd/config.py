"""Where settings come from; what can be set is in `settings`.

Sources in order, later ones win: defaults, RabbitMQ's environment variables, the file
(`--config`; a name that ends with `.conf` is a rabbitmq.conf), `conf.d/*.toml` beside it in the
order of their names, environment variables `AMQPD_<SECTION>_<KEY>`, the command line. A key
that does not exist is an error that names the nearest one that does. Every value remembers its
source, and all that is wrong is told at once. This is the only module that reads files or the
environment for settings.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import socket
import tomllib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias, get_args, get_origin

import msgspec

from amqpd import rabbitmq_conf
from amqpd.broker.pattern import compile_pattern
from amqpd.config_lines import line_of
from amqpd.errors import PreconditionFailed
from amqpd.management.settings import Http, Metrics, Port, PortOrOff
from amqpd.settings import (
    Amqp,
    Audit,
    Auth,
    DeadLetter,
    Definitions,
    Events,
    Log,
    Node,
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
    """Settings are wrong: each of `problems` is one line that names a setting, its source and
    what to do. As a text it is the first, and says that there are more."""

    def __init__(self, *problems: str) -> None:
        more = len(problems) - 1
        hint = f" (and {more} more: see `amqpd config check`)" if more else ""
        super().__init__(f"{problems[0]}{hint}")
        self.problems = problems


class Origin(NamedTuple):
    """A value as it was written, and where."""

    value: object
    source: str


#: A setting by its dotted key, or what is wrong.
_Found: TypeAlias = "tuple[str, Origin] | str"


class Config(NamedTuple):
    """The settings in force; `origins` has those that are not defaults, by dotted key.

    `again` reads them anew from the same sources; `files` are those that were read.
    """

    settings: Settings
    origins: Mapping[str, Origin]
    warnings: tuple[str, ...] = ()
    again: Callable[[], Config] | None = None
    files: tuple[Path, ...] = ()


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

#: What else the server and its image obey, by how the names begin: what is done here.
RABBITMQ_OTHERWISE: Final = {
    "RABBITMQ_LOGS": "the log goes to standard error",
    "RABBITMQ_PID_FILE": "run.json in the data directory has the process id",
    "RABBITMQ_MNESIA_": "messages are where store.path says",
    "RABBITMQ_ADVANCED_CONFIG_FILE": "it is in Erlang",
    "RABBITMQ_ENABLED_PLUGINS": "what there is of plugins is part of amqpd",
    "RABBITMQ_SSL_": "certificates are named in [tls]",
    "RABBITMQ_MANAGEMENT_SSL_": "certificates are named in [tls]",
    "RABBITMQ_VM_MEMORY_HIGH_WATERMARK": "resources.memory_watermark is the share",
    "RABBITMQ_DISK_FREE_": "resources.disk_free_bytes says how much",
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
    reading = _Reading()
    state = environment.get("STATE_DIRECTORY", "").split(":")[0]
    if state:
        reading.entries["store.path"] = Origin(state, "STATE_DIRECTORY")
    reading.take(_from_rabbitmq(environment))
    reading.warnings += _without_effect(environment)
    files = _files(file, environment)
    for path in files:
        reading.take(_from_file(path, reading.warnings))
    reading.take(_from_environment(environment, reading.warnings))
    reading.take(_from_flags(flags))
    settings = reading.settings()
    again = partial(load, file, environment, flags)
    return Config(settings, reading.entries, tuple(reading.warnings), again, tuple(files))


class _Reading:
    """What was found so far, and what is wrong with it."""

    def __init__(self) -> None:
        self.entries: dict[str, Origin] = {}
        self.warnings: list[str] = []
        self._problems: list[str] = []

    def take(self, found: Iterator[_Found]) -> None:
        """Settings of one source, each stronger than those before, or what is wrong there."""
        for one in found:
            if isinstance(one, str):
                self._problems.append(one)
            else:
                self.entries[one[0]] = one[1]

    def settings(self) -> Settings:
        """All of them together.

        Raises:
            ConfigError: something is wrong.
        """
        values: dict[str, dict[str, object]] = {section: {} for section in SECTIONS}
        wrong = set()
        for dotted, origin in self.entries.items():
            section, _, key = dotted.partition(".")
            try:
                values[section][key] = _value(dotted, origin)
            except ConfigError as error:
                wrong.add(dotted)
                self._problems += error.problems
        settings = msgspec.convert(values, Settings)
        # What one of these says of a setting that is wrong itself helps nobody.
        self._problems += [text for keys, text in _conflicts(settings) if not wrong & keys]
        if self._problems:
            raise ConfigError(*self._problems)
        return settings


def changed(settings: Settings, key: str, value: object) -> Settings:
    """The settings with one of them, by its dotted key, as somebody asks for it.

    Raises:
        ConfigError: it does not exist, or cannot have this value.
    """
    source = "request"
    section, _, name = key.partition(".")
    if problem := _missing(section, name, source):
        raise ConfigError(problem)
    found = _value(key, Origin(value, source))
    parts = {section: msgspec.structs.replace(getattr(settings, section), **{name: found})}
    made = msgspec.structs.replace(settings, **parts)
    if problems := [text for _, text in _conflicts(made)]:
        raise ConfigError(*problems)
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
            file = None
    more = _rabbitmq_folder(environment)
    if file is None:
        return more
    return [file, *sorted((file.parent / "conf.d").glob(f"*{file.suffix}")), *more]


def _rabbitmq_file(environment: Mapping[str, str]) -> Path | None:
    """RabbitMQ's variable names its file with or without the end of its name."""
    named = environment.get("RABBITMQ_CONFIG_FILE")
    if not named:
        return None
    return Path(named if named.endswith(".conf") else f"{named}.conf")


def _rabbitmq_folder(environment: Mapping[str, str]) -> list[Path]:
    """The files of a folder, or the one file, that another variable of RabbitMQ names."""
    named = environment.get("RABBITMQ_CONFIG_FILES")
    if not named:
        return []
    return sorted(Path(named).glob("*.conf")) if Path(named).is_dir() else [Path(named)]


def _without_effect(environment: Mapping[str, str]) -> Iterator[str]:
    """What is asked for in RabbitMQ's variables, and not done."""
    for variable in sorted(environment):
        for begin, instead in RABBITMQ_OTHERWISE.items():
            if variable.startswith(begin) and environment[variable] not in ("", "-"):
                yield f"{variable} has no effect: {instead}"


def _from_file(path: Path, warnings: list[str]) -> Iterator[_Found]:
    try:
        text = path.read_text()
        tree = tomllib.loads(text) if path.suffix != ".conf" else None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        yield f"configuration file '{path}': {reason}"
    except tomllib.TOMLDecodeError as error:
        yield f"configuration file '{path}': {error}"
    else:
        if tree is None:
            yield from _from_conf(text, path, warnings)
        else:
            yield from _from_tree(tree, partial(_where, path, text))


def _where(path: Path, text: str, section: str, key: str = "") -> str:
    """A file, and the line if it is known."""
    line = line_of(text, section, key)
    return f"{path}, line {line}" if line else str(path)


def _from_tree(tree: Mapping[str, object], where: Callable[..., str]) -> Iterator[_Found]:
    for section, content in tree.items():
        if section not in SECTIONS:
            yield _unknown("section", section, list(SECTIONS), where(section))
        elif not isinstance(content, dict):
            yield f"'{section}' in {where(section)}: must be a section, written [{section}]"
        else:
            for key, value in content.items():
                yield _entry(section, key, value, where(section, key))


def _from_conf(text: str, path: Path, warnings: list[str]) -> Iterator[_Found]:
    """A rabbitmq.conf."""
    try:
        found, remarks = rabbitmq_conf.entries(text)
    except ValueError as error:
        yield from (f"configuration file '{path}': {line}" for line in str(error).splitlines())
        return
    warnings += [f"{path}: {remark}" for remark in remarks]
    for dotted, value in found.items():
        yield dotted, Origin(value, str(path))


def _from_environment(environment: Mapping[str, str], warnings: list[str]) -> Iterator[_Found]:
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
            dotted = f"{section}.{key.removesuffix('_file')}"
            yield _from_secret(dotted, environment[variable], variable)
            continue
        yield _entry(section, key.lstrip("_"), environment[variable], variable)


def _from_flags(flags: Mapping[str, Value]) -> Iterator[_Found]:
    for dotted, value in flags.items():
        section, _, key = dotted.partition(".")
        yield _entry(section, key, value, "command line")


def _parted(name: str) -> tuple[str, str]:
    """Section and key; `auth_http_user_path` is of the section `auth_http`, not of `auth`."""
    for section in sorted(SECTIONS, key=len, reverse=True):
        if name.startswith(f"{section}_"):
            return section, name.removeprefix(f"{section}_")
    section, _, key = name.partition("_")
    return section, key


def _from_rabbitmq(environment: Mapping[str, str]) -> Iterator[_Found]:
    for variable, key in RABBITMQ_VARIABLES.items():
        if file := environment.get(f"{variable}_FILE"):
            yield _from_secret(key, file, f"{variable}_FILE")
        elif value := environment.get(variable):
            yield key, Origin(value, variable)


def _from_secret(dotted: str, file: str, variable: str) -> _Found:
    try:
        return dotted, Origin(Path(file).read_text().rstrip("\r\n"), variable)
    except (OSError, UnicodeDecodeError) as error:
        return f"file '{file}' (from {variable}): {error}"


def _entry(section: str, key: str, value: object, source: str) -> _Found:
    return _missing(section, key, source) or (f"{section}.{key}", Origin(value, source))


def _missing(section: str, key: str, source: str) -> str:
    """That there is no such setting; empty if there is."""
    if section not in SECTIONS:
        return _unknown("section", section, list(SECTIONS), source)
    if key in _keys(section):
        return ""
    keys = [f"{section}.{one}" for one in _keys(section)]
    return _unknown("setting", f"{section}.{key}", keys, source)


def _keys(section: str) -> list[str]:
    return [field.name for field in msgspec.structs.fields(SECTIONS[section])]


def _unknown(what: str, name: str, names: list[str], source: str) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(names)}"
    return f"{what} '{name}' (from {source}): does not exist; {hint}"


# -- values ---------------------------------------------------------------------------------


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


def _conflicts(settings: Settings) -> Iterator[tuple[set[str], str]]:
    """What one key alone cannot tell, with the keys that it is about."""
    try:
        compile_pattern(settings.auth.password_pattern)
    except PreconditionFailed as error:
        yield {"auth.password_pattern"}, f"setting 'auth.password_pattern': {error.explanation}"
    for one in settings.amqp.proxies:
        try:
            ipaddress.ip_network(one, strict=False)
        except ValueError as error:
            yield {"amqp.proxies"}, f"setting 'amqp.proxies': {error}"
    tls = settings.tls
    ports = {
        "amqp.tls_port": settings.amqp.tls_port,
        "http.tls_port": settings.http.tls_port,
        "metrics.tls_port": settings.metrics.tls_port,
    }
    secure = [key for key, port in ports.items() if port != "off"]
    if secure and not (tls.certificate and tls.key):
        needs = "needs 'tls.certificate' and 'tls.key' (--tls-cert, --tls-key)"
        yield {secure[0], "tls.certificate", "tls.key"}, f"setting '{secure[0]}': {needs}"
    if tls.verify == "required" and not tls.ca:
        yield (
            {"tls.verify", "tls.ca"},
            "setting 'tls.verify': 'required' needs 'tls.ca' (--tls-ca)",
        )
    if tls.crl and not tls.ca:
        yield {"tls.crl", "tls.ca"}, "setting 'tls.crl': needs 'tls.ca' (--tls-ca)"
    files = {key: getattr(tls, key) for key in ("certificate", "key", "ca", "crl")}
    files |= {f"sni.{name}": file for name, file in tls.sni.items()}
    for key, path in files.items():
        if path and secure and not os.access(path, os.R_OK):
            yield {f"tls.{key}"}, f"setting 'tls.{key}': file '{path}' cannot be read"
