"""The options that are settings, and what every command does about a wrong one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import click

from amqpd import config
from amqpd.cli.answer import EX_CONFIG, fail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Option, the setting it means, and its help; `--no-sync` is the only one without a value.
SETTINGS: Final = (
    ("--data-dir", "store.path", "DIR", "Where messages are kept.  [./amqpd-data]"),
    ("--host", "amqp.host", "ADDR", "Address to listen on; 0.0.0.0 or :: opens it.  [127.0.0.1]"),
    ("--port", "amqp.port", "N", "AMQP; 0 takes any free port.  [5672]"),
    ("--tls-port", "amqp.tls_port", "N", "AMQP over TLS.  [off]"),
    ("--tls-cert", "tls.certificate", "FILE", "PEM: certificate and chain."),
    ("--tls-key", "tls.key", "FILE", "PEM: private key."),
    ("--tls-ca", "tls.ca", "FILE", "PEM: who signs clients' certificates."),
    ("--http-port", "http.port", "N", "HTTP API; 'off' for none.  [15672]"),
    ("--metrics-port", "metrics.port", "N", "Metrics; 'off' for none.  [15692]"),
    ("--definitions", "definitions.path", "FILE", "definitions.json to add at start."),
    ("--log-level", "log.level", "LEVEL", "debug, info, warning or error.  [info]"),
)

_Command = TypeVar("_Command", bound="Callable[..., None]")


def settings_options(command: _Command) -> _Command:
    """Add `--config` and the options that are settings."""
    no_sync = click.option(
        "--no-sync", is_flag=True, help="Do not wait for the disk: a power cut loses messages."
    )
    command = no_sync(command)
    for option, _, metavar, text in reversed(SETTINGS):
        command = click.option(option, metavar=metavar, help=text)(command)
    file = click.Path(path_type=Path)
    return click.option("--config", "file", type=file, metavar="FILE", help="Settings (TOML).")(
        command
    )


def load(
    file: Path | None,
    options: Mapping[str, object],
    defaults: Mapping[str, config.Value] | None = None,
) -> config.Config:
    """The settings in force; a wrong one ends the process with one line and code 78.

    `defaults` are a command's own: stronger than file and environment, weaker than an option.
    """
    try:
        return read(file, options, defaults)
    except config.ConfigError as error:
        fail(str(error), EX_CONFIG)


def read(
    file: Path | None,
    options: Mapping[str, object],
    defaults: Mapping[str, config.Value] | None = None,
) -> config.Config:
    """The same for whoever wants to know all that is wrong.

    Raises:
        ConfigError: some of them are.
    """
    flags: dict[str, config.Value] = dict(defaults or {})
    for option, key, _, _ in SETTINGS:
        value = options.get(option.removeprefix("--").replace("-", "_"))
        if isinstance(value, str):
            flags[key] = value
    if options.get("no_sync"):
        flags["store.sync"] = False
    return config.load(file, os.environ, flags)
