"""Which versions of SQLite are what.

    has_wal_reset_bug(version) -> bool

From 3.7.0 to 3.51.2 two connections that write or checkpoint at the same moment can lose
committed pages ("WAL-reset bug"; mended in 3.51.3, 3.50.7 and 3.44.6). The store is safe with
all of them: exactly one connection of this process ever writes and checkpoints, readers cannot,
and the lock keeps other brokers away. Only programs that write to the file of a running broker
are not, so it is said at the start.
"""

from __future__ import annotations

from typing import Final

FIRST: Final = (3, 7, 0)
MENDED: Final = (3, 51, 3)
#: Older lines into which the mending was put back: from which version on.
ALSO_MENDED: Final = {(3, 50): 7, (3, 44): 6}


def has_wal_reset_bug(version: str) -> bool:
    """Whether this version of SQLite has it."""
    numbers = tuple(int(part) for part in version.split(".")[:3] if part.isdigit())
    if not FIRST <= numbers < MENDED:
        return False
    mended = next((third for line, third in ALSO_MENDED.items() if numbers[:2] == line), None)
    return mended is None or len(numbers) < 3 or numbers[2] < mended
