"""The authentication backends that the settings name, in their order.

    ways(names, around) -> list[Way]       'internal', 'oauth2', 'ldap/internal+http'

Ours come first; others are found by entry points. RabbitMQ's names for them work, too.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final, cast

from amqpd import plugins
from amqpd.auth.chain import Way
from amqpd.server.process import Exit, StartError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from amqpd.auth.around import Around, Make
    from amqpd.auth.chain import Backend

#: Where ours are made, and the extra that brings what they need.
OURS: Final = {
    "internal": ("amqpd.auth.internal", ""),
    "http": ("amqpd.auth.http", ""),
    "ldap": ("amqpd.auth.ldap", "ldap"),
    "oauth2": ("amqpd.auth.oauth2", "oauth"),
}
ALIASES: Final = {
    "oauth": "oauth2",
    **{f"rabbit_auth_backend_{name}": name for name in OURS},
}


def ways(names: Sequence[str], around: Around) -> list[Way]:
    """The ways in, each backend made once.

    Raises:
        StartError: there is no such backend, its extra is not installed, or its settings are
            wrong.
    """
    made: dict[str, Backend] = {}

    def backend(name: str) -> Backend:
        name = ALIASES.get(name.strip(), name.strip())
        if name not in made:
            made[name] = _make(name, around)
        return made[name]

    found = []
    for entry in names:
        first, _, rest = entry.partition("/")
        deciding = tuple(backend(one) for one in rest.split("+")) if rest else ()
        found.append(Way(backend(first), deciding))
    return found


def _make(name: str, around: Around) -> Backend:
    make = _ours(name) if name in OURS else _theirs(name)
    try:
        return make(around)
    except Exception as error:
        raise StartError(f"auth backend '{name}': {error}", Exit.CONFIG) from error


def _ours(name: str) -> Make:
    module, extra = OURS[name]
    try:
        return cast("Make", importlib.import_module(module).make)
    except ModuleNotFoundError as error:
        raise StartError(
            f"auth backend '{name}': needs {error.name}; pip install 'amqpd[{extra}]'", Exit.CONFIG
        ) from error


def _theirs(name: str) -> Make:
    try:
        # The entry point's group says that it is one.
        return cast("Make", plugins.load("auth_backends", name))
    except plugins.PluginError as error:
        raise StartError(f"setting 'auth.backends': {error}", Exit.CONFIG) from error
