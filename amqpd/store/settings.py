"""The store's settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from amqpd.store.driver import DriverName

MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """How the store writes. The defaults are measured; few have a reason to change them."""

    #: False: commits are not synced, a confirm survives a crash of the process only.
    sync: bool = True
    #: The SQLite library; `auto` takes apsw where it is installed.
    driver: DriverName = "auto"
    #: Of a new file. 4096 writes less where nearly all commits are tiny.
    page_size_bytes: int = 16384
    #: The WAL is moved into the database once it is larger than this.
    wal_limit_bytes: int = 64 * MIB
    #: SQLite's page cache of the writing connection.
    cache_bytes: int = 64 * MIB
    #: Files of streams grow to this size, the first one after a start to a 16th of it.
    stream_file_bytes: int = 64 * MIB
    #: Rows deleted at a time behind a purge or a dropped queue.
    sweep_rows: int = 2000
    #: Free space is given back to the file system above this much and half of the file.
    vacuum_above_bytes: int = 16 * MIB
    #: Kept back for the moment when the disk is full; 0 for none.
    reserve_bytes: int = 0
    #: Commits after which the second file learns how far the store has come.
    commits_per_note: int = 1000
    #: Whatever is there is the store, once; see `identity`.
    accept_older: bool = False
    #: What can be read of a damaged file goes into a new one at the start; see `rescue`.
    rescue: bool = False
