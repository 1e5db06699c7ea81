"""The process that is killed: writes a workload's batches and notes what was confirmed.

    python -m tests.store.subject DIRECTORY EVENTS SEED FIRST LAST [DRIVER] [--no-sync] ...

EVENTS gets a line for each batch handed in and confirmed, by one write each.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from amqpd.store import StoreFailed, StoreFull, deferred
from tests.store.batches import opened
from tests.store.workload import Workload


def main() -> int:
    """Write the batches; 0 when all were confirmed, 3 when the store failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("events", type=Path)
    parser.add_argument("seed", type=int)
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int)
    parser.add_argument("--driver", choices=("apsw", "sqlite3"), default="apsw")
    parser.add_argument("--no-sync", action="store_true")
    parser.add_argument("--wal-limit-bytes", type=int, default=1 << 20)
    options = parser.parse_args()
    # All that are small, not only those in a row: here others lie between them.
    deferred.STEADY = 0  # type: ignore[misc]
    events = os.open(options.events, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    store = opened(
        options.directory,
        options.driver,
        sync=not options.no_sync,
        wal_limit_bytes=options.wal_limit_bytes,
        sweep_rows=20,
        vacuum_above_bytes=1 << 20,
        stream_file_bytes=128 << 10,
    )
    os.write(events, b"ready 0\n")
    for batch in Workload(options.seed).batches():
        if batch.number < options.first:
            continue
        if batch.number > options.last:
            break
        os.write(events, f"handed {batch.number}\n".encode())
        outcome = store.write(batch)
        if isinstance(outcome, StoreFull | StoreFailed):
            os.write(events, f"{type(outcome).__name__} {batch.number}\n".encode())
            return 3 if not isinstance(store.write(batch), int) else 4
        os.write(events, f"confirmed {batch.number}\n".encode())
    store.close()
    os.write(events, b"closed 0\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
