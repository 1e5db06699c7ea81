"""Space: what the files will still take of the disk is told before they take it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from amqpd.broker.definitions import PutQueue, PutVhost
from amqpd.store import space
from amqpd.store.memory import MemoryStore
from amqpd.store.settings import MIB
from tests.store.batches import Driven, Writing, opened, settle

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def taken(directory: Path) -> int:
    """What the files have."""
    return sum(file.stat().st_size for file in directory.iterdir() if "db" in file.name)


def a_store(directory: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> Driven:
    monkeypatch.setattr(space, "PAUSE_S", 0.0)
    return opened(directory, sync=False, wal_limit_bytes=limit, vacuum_above_bytes=1 << 40)


def test_what_lies_in_the_wal_will_make_the_database_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, writing = a_store(tmp_path, monkeypatch, 8 * MIB), Writing()
    before = taken(tmp_path) + store.store.owed_bytes

    store.write(
        writing.batch(defines=[PutVhost("/"), PutQueue("/", "q", True, False, False, {}, (1,))])
    )
    store.write(writing.batch(writing.append([os.urandom(1000)] * 4000, 1)))
    store.write(writing.batch())

    grown = taken(tmp_path) + store.store.owed_bytes - before
    assert 4 * MIB < grown < 6 * MIB
    assert store.store.owed_bytes >= 4 * MIB
    store.close()


def test_pages_that_are_free_will_be_used_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, writing = a_store(tmp_path, monkeypatch, MIB), Writing()
    store.write(
        writing.batch(defines=[PutVhost("/"), PutQueue("/", "q", True, False, False, {}, (1,))])
    )
    entry = writing.append([os.urandom(1000)] * 8000, 1)
    store.write(writing.batch(entry))
    full = store.store.owed_bytes

    store.write(writing.batch(settle(entry)))
    store.write(writing.batch())

    assert store.store.owed_bytes < full - 6 * MIB
    store.close()


def test_what_is_only_in_memory_owes_nothing() -> None:
    assert MemoryStore(lambda _: None).owed_bytes == 0
