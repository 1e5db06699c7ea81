"""What both brokers know before the first scenario: definitions.json, its vhost `/` once more
for each worker, so that scenarios run side by side without seeing each other.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeAlias

Definitions: TypeAlias = dict[str, list[dict[str, object]]]

FILE = Path(__file__).resolve().parent / "definitions.json"
#: The vhost that is copied.
ORDINARY = "/"


def vhosts(workers: int) -> list[str]:
    """The vhost of each worker."""
    return [f"worker-{number}" for number in range(1, workers + 1)]


def definitions(workers: int) -> Definitions:
    """The file, with all that belongs to its ordinary vhost copied to those of the workers."""
    read: Definitions = json.loads(FILE.read_text(encoding="utf-8"))
    for kind, items in read.items():
        key = "name" if kind == "vhosts" else "vhost"
        ordinary = [item for item in items if item.get(key) == ORDINARY]
        items += [{**item, key: vhost} for vhost in vhosts(workers) for item in ordinary]
    return read
