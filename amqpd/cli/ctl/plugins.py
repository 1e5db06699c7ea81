"""`amqpd ctl plugins …`: what `rabbitmq-plugins` is asked.

What RabbitMQ has as plugins is part of amqpd or not there at all, so that enabling something
means to look whether it is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from amqpd.cli.answer import EX_DATA, fail
from amqpd.cli.ctl.verb import argument, option, shared_options, verb_in

if TYPE_CHECKING:
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

plugins = click.Group(
    "plugins",
    params=shared_options(),
    help="What rabbitmq-plugins is asked; nothing has to be enabled.",
)


def _check(names: tuple[str, ...], what: str) -> None:
    for name in names:
        if name not in BUILT_IN:
            known = ", ".join(BUILT_IN)
            fail(f"{what}: amqpd has nothing like '{name}'; built in are {known}", EX_DATA)


@verb_in(
    plugins,
    "list",
    argument("pattern", required=False),
    option("-E", "--enabled", "explicit", is_flag=True, hidden=True),
    option("-e", "--implicitly-enabled", "enabled", is_flag=True, hidden=True),
    option("-m", "--minimal", is_flag=True, help="Only the names."),
    option("-v", "--verbose", is_flag=True, hidden=True),
)
def list_plugins(
    ctl: Ctl, pattern: str | None, explicit: bool, enabled: bool, minimal: bool, verbose: bool
) -> None:
    """The plugins of RabbitMQ whose work amqpd does; all are enabled."""
    found = [name for name in BUILT_IN if (pattern or "") in name]
    if ctl.format_name == "json":
        rows = [{"name": name, "enabled": "enabled", "running": True} for name in found]
        ctl.show(("name", "enabled", "running"), rows)
        return
    ctl.say("Listing plugins, all built in ...")
    for name in found:
        click.echo(name if minimal else f"[E*] {name:<36} {BUILT_IN[name]}")


@verb_in(plugins, "enable", MANY, option("--all", "everything", is_flag=True), *(
    option(name, is_flag=True, hidden=True) for name in ("--offline", "--online")
))  # fmt: skip
def enable(ctl: Ctl, names: tuple[str, ...], everything: bool, offline: bool, online: bool) -> None:
    """See whether they are there: nothing has to be enabled."""
    _check(names, "enable")
    ctl.say("Built in and enabled: " + (", ".join(names) or "everything"))


@verb_in(plugins, "disable", MANY, option("--all", "everything", is_flag=True), *(
    option(name, is_flag=True, hidden=True) for name in ("--offline", "--online")
))  # fmt: skip
def disable(
    ctl: Ctl, names: tuple[str, ...], everything: bool, offline: bool, online: bool
) -> None:
    """Refused for what is built in: settings switch ports off."""
    wanted = [name for name in names if name in BUILT_IN]
    if wanted or everything:
        shown = ", ".join(wanted) or "everything"
        fail(f"disable: {shown} is built in; http.port and metrics.port may be 'off'", EX_DATA)
    ctl.say("There is nothing to disable.")


@verb_in(plugins, "set", MANY)
def set_plugins(ctl: Ctl, names: tuple[str, ...]) -> None:
    """See whether they are there; the others stay enabled."""
    _check(names, "set")
    ctl.say("Built in and enabled: " + ", ".join(names))


@verb_in(plugins, "is_enabled", MANY)
def is_enabled(ctl: Ctl, names: tuple[str, ...]) -> None:
    """0 if all of them are there, 65 if not."""
    _check(names, "is_enabled")
    ctl.say(f"Enabled: {', '.join(names)}")


@verb_in(plugins, "directories")
def directories(ctl: Ctl) -> None:
    """Where plugins are: those of other packages come by pip."""
    ctl.say("Plugins of amqpd are Python packages with entry points; pip installs them.")
