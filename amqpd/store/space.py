"""Space: what the files will still take of the disk without storing anything new.

What has been committed lies in the WAL first and is moved into the database later, which then
grows by it; the WAL itself grows to its limit. On the other hand pages that are free inside the
database are used before it grows. So the free space of the disk alone says little: a broker
that waits until that is used up cannot even write that messages were consumed.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    from amqpd.store.driver import Connection

#: Between two looks, at least.
PAUSE_S: Final = 0.05


class Space:
    """Measured by the writer's thread; `owed_bytes` may be read by any."""

    def __init__(self, database: Path, connection: Connection, wal_limit_bytes: int) -> None:
        #: What will be taken; below 0: what can be stored without taking any.
        self.owed_bytes = 0
        self._database = database
        self._wal = database.with_name(database.name + "-wal")
        self._connection = connection
        self._wal_limit_bytes = wal_limit_bytes
        self._page_bytes = self._ask("page_size")
        self._measured_s = 0.0

    def measure(self) -> None:
        """Look, unless it was done just now."""
        now_s = time.monotonic()
        if now_s < self._measured_s + PAUSE_S:
            return
        self._measured_s = now_s
        pages, free = self._ask("page_count"), self._ask("freelist_count")
        growth = max(0, pages * self._page_bytes - _size(self._database))
        wal_growth = max(0, self._wal_limit_bytes - _size(self._wal))
        self.owed_bytes = growth + wal_growth - free * self._page_bytes

    def _ask(self, pragma: str) -> int:
        found = self._connection.run(f"PRAGMA {pragma}")[0][0]
        assert isinstance(found, int)
        return found


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
