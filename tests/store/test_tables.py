"""The tables: what a batch changes, on every SQLite library, compared with the memory store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest

from tests.store.batches import opened
from tests.store.inspection import assert_sound
from tests.store.workload import Expected, Workload, found

if TYPE_CHECKING:
    from pathlib import Path

DRIVERS: tuple[Literal["apsw", "sqlite3"], ...] = ("apsw", "sqlite3")
BATCHES = 150


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("seed", range(3))
def test_after_a_history_the_store_holds_what_the_memory_store_holds(
    tmp_path: Path, driver: Literal["apsw", "sqlite3"], seed: int
) -> None:
    store, batches = opened(tmp_path, driver, sync=False, sweep_rows=7), Workload(seed).batches()

    for _ in range(BATCHES):
        batch = next(batches)
        assert store.write(batch) == batch.number
    store.close()

    again = opened(tmp_path, driver, sync=False)
    assert again.snapshot.clean
    assert found(again, again.snapshot) == Expected(seed)[BATCHES]
    again.close()
    assert_sound(tmp_path)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_store_written_by_one_library_is_read_by_the_other(
    tmp_path: Path, driver: Literal["apsw", "sqlite3"]
) -> None:
    other = DRIVERS[1 - DRIVERS.index(driver)]
    store, batches = opened(tmp_path, driver, sync=False), Workload(7).batches()
    for _ in range(20):
        store.write(next(batches))
    store.close()

    again = opened(tmp_path, other, sync=False)

    assert found(again, again.snapshot) == Expected(7)[20]
    for _ in range(20):
        again.write(next(batches))
    again.close()
    back = opened(tmp_path, driver, sync=False)
    assert found(back, back.snapshot) == Expected(7)[40]
    back.close()
    assert_sound(tmp_path)
