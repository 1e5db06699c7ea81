"""Plugins: parts found by name through entry points.

The seams are the groups `amqpd.exchange_types`, `.auth_backends`, `.stores`, `.protocols` and
`.commands`. Nothing here imports a part before somebody asks for it, and nothing takes a name
from the network.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Seam = Literal["exchange_types", "auth_backends", "stores", "protocols", "commands"]


class PluginError(Exception):
    """A part is not installed, is installed twice, or cannot be imported."""


def names(seam: Seam) -> list[str]:
    """The parts that are installed for a seam, sorted."""
    return sorted({found.name for found in _entry_points(seam)})


def load(seam: Seam, name: str) -> object:
    """The part of that name.

    Raises:
        PluginError: nothing of that name is installed, two packages provide it, or its
            import fails.
    """
    found = [one for one in _entry_points(seam) if one.name == name]
    if not found:
        near = get_close_matches(name, names(seam), n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise PluginError(f"plugin '{name}' of amqpd.{seam}: not installed{hint}")
    if len({one.value for one in found}) > 1:
        values = ", ".join(sorted({one.value for one in found}))
        raise PluginError(f"plugin '{name}' of amqpd.{seam}: provided more than once: {values}")
    try:
        part: object = found[0].load()
    except (ImportError, AttributeError) as error:
        raise PluginError(f"plugin '{name}' of amqpd.{seam}: {error}") from error
    return part


def _entry_points(seam: Seam) -> list[EntryPoint]:
    # Imported late: the standard library's metadata reader costs 20 ms at start-up.
    from importlib.metadata import entry_points

    return list(entry_points(group=f"amqpd.{seam}"))
