"""The broker with a WAL of one MiB and small files of streams, so that things happen to them.

python -m tests.faults.small_wal start --data-dir DIR …
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from amqpd.cli import main, start
from amqpd.store.settings import StoreSettings
from amqpd.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from pathlib import Path

    from amqpd.config import Settings
    from amqpd.store import Post, Store

SMALL = StoreSettings(wal_limit_bytes=1 << 20, stream_file_bytes=1 << 20)


def make_store(directory: Path, settings: Settings, post: Post) -> Store:
    """The store of these settings, with this one changed."""
    return SqliteStore(directory, post, replace(SMALL, sync=settings.store.sync))


if __name__ == "__main__":
    start.make_store = make_store
    main()
