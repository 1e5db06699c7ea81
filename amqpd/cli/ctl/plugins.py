"""`amqpd ctl plugins …`: what `rabbitmq-plugins` is asked.

What RabbitMQ has as plugins is part of amqpd or not there at all, so that enabling something
means to look whether it is there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import click

from amqpd.cli.answer import EX_DATA, EX_SOFTWARE, EX_UNAVAILABLE
from amqpd.cli.ctl.refusals import bad, end, invalid
from amqpd.cli.ctl.verb import argument, option, shared_options, verb_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from amqpd.cli.ctl.verb import Ctl

#: RabbitMQ's plugins whose work amqpd does.
BUILT_IN: Final = {
    "rabbitmq_auth_backend_http": "logins by HTTP",
    "rabbitmq_auth_backend_ldap": "logins by LDAP",
    "rabbitmq_auth_backend_oauth2": "logins by OAuth 2 tokens",
    "rabbitmq_auth_mechanism_ssl": "logins by certificates",
    "rabbitmq_consistent_hash_exchange": "exchange type x-consistent-hash",
    "rabbitmq_delayed_message_exchange": "exchange type x-delayed-message",
    "rabbitmq_jms_topic_exchange": "exchange type x-jms-topic",
    "rabbitmq_management": "API and web page",
    "rabbitmq_management_agent": "figures for them",
    "rabbitmq_message_deduplication": "exchange type x-message-deduplication",
    "rabbitmq_prometheus": "metrics",
    "rabbitmq_random_exchange": "exchange type x-random",
    "rabbitmq_recent_history_exchange": "exchange type x-recent-history",
    "rabbitmq_sharding": "exchange type x-modulus-hash",
}
MANY: Final = argument("names", required=False, many=True)
ALL: Final = option("--all", "everything", is_flag=True)
MODES: Final = tuple(option(name, is_flag=True, hidden=True) for name in ("--offline", "--online"))

plugins = click.Group(
    "plugins",
    params=shared_options(),
    help="What rabbitmq-plugins is asked; nothing has to be enabled.",
)


def _unknown(names: Iterable[str]) -> list[str]:
    return [name for name in names if name not in BUILT_IN]


def _must_be_there(names: Sequence[str]) -> None:
    """What nobody has heard of, or is not here, ends the verb."""
    if unknown := _unknown(names):
        known = "\n  ".join(BUILT_IN)
        end(
            f"The following plugins are not there: {', '.join(unknown)}. "
            f"Built in, and always enabled, are\n  {known}",
            EX_SOFTWARE,
        )


def _configured(ctl: Ctl, node: str) -> None:
    """What there is is what there was."""
    lines = "\n  ".join(BUILT_IN)
    ctl.say(f"The following plugins have been configured:\n  {lines}")
    ctl.say(f"Applying plugin configuration to {node}...")
    enabled = {"enabled": list(BUILT_IN), "set": list(BUILT_IN)}
    ctl.result("Plugin configuration unchanged.", {"mode": "online", **enabled})


@verb_in(
    plugins,
    "list",
    argument("pattern", required=False),
    option("-E", "--enabled", "explicit", is_flag=True, hidden=True),
    option("-e", "--implicitly-enabled", "enabled", is_flag=True, hidden=True),
    option("-m", "--minimal", is_flag=True, help="Only the names."),
    option("-v", "--verbose", is_flag=True, help="What they are, too."),
)
def list_plugins(
    ctl: Ctl, pattern: str | None, explicit: bool, enabled: bool, minimal: bool, verbose: bool
) -> None:
    """The plugins of RabbitMQ whose work amqpd does; all are enabled."""
    overview = ctl.remote.get("/overview")
    version = overview["rabbitmq_version"]
    found = _matching(pattern or ".*")
    if ctl.for_programs:
        _list_for_programs(ctl, found, version)
        return
    ctl.say(f'Listing plugins with pattern "{pattern or ".*"}" ...')
    if not minimal:
        ctl.say(
            " Configured: E = explicitly enabled; e = implicitly enabled\n"
            f" | Status: * = running on {overview['node']}\n |/"
        )
    width = max(map(len, found), default=0)
    for name in found:
        for line in _lines(name, version, width, minimal=minimal, verbose=verbose):
            ctl.write(line)


def _list_for_programs(ctl: Ctl, found: Sequence[str], version: str) -> None:
    columns = ("enabled", "name", "running", "running_version", "version")
    rows = [
        dict(zip(columns, ("enabled", one, True, version, version), strict=True)) for one in found
    ]
    if ctl.format_name == "csv":
        ctl.show(columns, rows)
    else:
        ctl.result("", {"format": "normal", "plugins": rows, "status": "running"})


def _matching(pattern: str) -> list[str]:
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        bad(f"pattern '{pattern}': {error}")
    return [name for name in BUILT_IN if wanted.search(name)]


def _lines(name: str, version: str, width: int, *, minimal: bool, verbose: bool) -> list[str]:
    if minimal:
        return [name]
    if not verbose:
        return [f"[E*] {name:<{width}} {version}"]
    about = [("Version:", version), ("Dependencies:", "[]"), ("Description:", BUILT_IN[name])]
    return [f"[E*] {name}", *(f"     {title:<13}\t{value}" for title, value in about)]


def _start(ctl: Ctl, doing: str, names: Sequence[str], everything: bool) -> str:
    """The node, once it is clear that something is asked for."""
    if not names and not everything:
        invalid("not enough arguments.")
    node = ctl.node
    which = "ALL plugins" if everything else "plugins"
    ctl.say("\n".join([f"{doing} {which} on node {node}:", *names]))
    return node


@verb_in(plugins, "enable", MANY, ALL, *MODES)
def enable(ctl: Ctl, names: tuple[str, ...], everything: bool, offline: bool, online: bool) -> None:
    """See whether they are there: nothing has to be enabled."""
    node = _start(ctl, "Enabling", names, everything)
    _must_be_there(names)
    _configured(ctl, node)


@verb_in(plugins, "disable", MANY, ALL, *MODES)
def disable(
    ctl: Ctl, names: tuple[str, ...], everything: bool, offline: bool, online: bool
) -> None:
    """Refused for what is built in: settings switch ports off."""
    node = _start(ctl, "Disabling", names, everything)
    wanted = [name for name in names if name in BUILT_IN]
    if wanted or everything:
        shown = ", ".join(wanted) or "everything"
        end(f"{shown}: built in; http.port and metrics.port may be 'off'", EX_DATA)
    _configured(ctl, node)


@verb_in(plugins, "set", MANY, *MODES)
def set_plugins(ctl: Ctl, names: tuple[str, ...], offline: bool, online: bool) -> None:
    """See whether they are there; the others stay enabled."""
    node = ctl.node
    ctl.say("\n".join([f"Enabling plugins on node {node}:", *names]))
    _must_be_there(names)
    _configured(ctl, node)


@verb_in(plugins, "is_enabled", MANY, *MODES)
def is_enabled(ctl: Ctl, names: tuple[str, ...], offline: bool, online: bool) -> None:
    """0 if all of them are there, 69 if not."""
    if not names:
        invalid("not enough arguments.")
    node = ctl.node
    ctl.say(f"Asking node {node} if {_are(names)} enabled...")
    if unknown := _unknown(names):
        end(
            f"{_are(unknown, capital=True)} not enabled on node {node}. "
            f"Enabled plugins and dependencies: {', '.join(BUILT_IN)}",
            EX_UNAVAILABLE,
        )
    ctl.result(f"{_are(names, capital=True)} enabled on node {node}")


def _are(names: Sequence[str], *, capital: bool = False) -> str:
    word = "Plugin" if capital else "plugin"
    return f"{word}s {', '.join(names)} are" if len(names) > 1 else f"{word} {names[0]} is"


@verb_in(plugins, "directories")
def directories(ctl: Ctl) -> None:
    """Where plugins are: those of other packages come by pip."""
    ctl.say(f"Listing plugin directories used by node {ctl.node}")
    ctl.result("Plugins of amqpd are Python packages with entry points; pip installs them.")
