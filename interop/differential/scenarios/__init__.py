"""The scenarios, one file for each subject. `load` gives all of them by name."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

import script

if TYPE_CHECKING:
    from script import Scenario


def load() -> dict[str, Scenario]:
    """Import every file in this folder; scenarios register themselves."""
    for module in sorted(info.name for info in pkgutil.iter_modules(__path__)):
        importlib.import_module(f"{__name__}.{module}")
    return script.SCENARIOS
