"""kill -9 and failing calls: what was confirmed is there, the rest as a whole or not at all."""

from __future__ import annotations

import errno
import random
import signal
from typing import TYPE_CHECKING, Literal

import pytest

from amqpd.store.schema import migrate
from tests.store.killing import Said, heard, recovered, subject

if TYPE_CHECKING:
    from pathlib import Path

DRIVERS: tuple[Literal["apsw", "sqlite3"], ...] = ("apsw", "sqlite3")


def kill_again_and_again(
    directory: Path, driver: Literal["apsw", "sqlite3"], seed: int, rounds: int
) -> None:
    """Each round goes on where the last one was killed."""
    chance = random.Random(seed)  # noqa: S311 - chooses moments
    before = Said()
    for _ in range(rounds):
        process = subject(directory, seed, before.confirmed + 1, 1 << 30, driver)
        wanted = before.confirmed + chance.randint(1, 120)
        said = heard(process, kill_after=wanted)
        assert process.returncode == -signal.SIGKILL
        assert said.confirmed >= wanted
        before.confirmed = recovered(directory, driver, seed, said)


@pytest.mark.parametrize("driver", DRIVERS)
def test_confirmed_batches_survive_kill_9(
    tmp_path: Path, driver: Literal["apsw", "sqlite3"]
) -> None:
    kill_again_and_again(tmp_path, driver, 3, 4)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("driver", DRIVERS)
def test_confirmed_batches_survive_kill_9_at_length(
    tmp_path: Path, driver: Literal["apsw", "sqlite3"]
) -> None:
    # New histories rather than a long one: each process makes its history from the begin.
    for seed in range(100, 125):
        kill_again_and_again(tmp_path / str(seed), driver, seed, 4)


def with_fault(recorder: Path, directory: Path, fault: str) -> dict[str, str]:
    """The environment that makes a call fail."""
    return {"LD_PRELOAD": str(recorder), "RECORD_DIRECTORY": str(directory), "FAULT": fault}


def killed_at(recorder: Path, directory: Path, call: str, count: int) -> None:
    """Kill the subject instead of its n-th call, wherever that is, and check what is left."""
    environment = with_fault(recorder, directory, f"{call}:-9:{count}")
    process = subject(directory, 5, 1, 40, "apsw", environment)
    said = heard(process)
    assert process.returncode in (-signal.SIGKILL, 0)
    recovered(directory, "apsw", 5, said)


@pytest.mark.parametrize(
    ("call", "count"),
    [("fdatasync", 2), ("fdatasync", 12), ("pwrite64", 9), ("pwrite64", 130), ("pwrite64", 517)],
)
def test_a_kill_between_any_two_system_calls_leaves_a_whole_batch(
    recorder: Path, tmp_path: Path, call: str, count: int
) -> None:
    killed_at(recorder, tmp_path, call, count)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_kill_between_any_two_system_calls_at_length(recorder: Path, tmp_path: Path) -> None:
    for count in range(1, 60):
        killed_at(recorder, tmp_path / f"sync{count}", "fdatasync", count)
    for count in range(1, 1200, 13):
        killed_at(recorder, tmp_path / f"write{count}", "pwrite64", count)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("count", [4, 5, 20])
def test_a_failed_sync_is_final_and_confirms_nothing(
    recorder: Path, tmp_path: Path, driver: Literal["apsw", "sqlite3"], count: int
) -> None:
    heard(subject(tmp_path, 6, 1, 5, driver))
    environment = with_fault(recorder, tmp_path, f"fdatasync:{errno.EIO}:{count}")

    process = subject(tmp_path, 6, 6, 100, driver, environment)
    said = heard(process)

    assert process.returncode == 3
    assert said.last == "StoreFailed"
    recovered(tmp_path, driver, 6, said)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_disk_that_is_full_for_a_moment_is_not_noticed(
    recorder: Path, tmp_path: Path, driver: Literal["apsw", "sqlite3"]
) -> None:
    migrate(tmp_path / "amqpd.db")
    environment = with_fault(recorder, tmp_path, f"pwrite64:{errno.ENOSPC}:60")

    process = subject(tmp_path, 6, 1, 100, driver, environment)
    said = heard(process)

    assert process.returncode == 0
    assert recovered(tmp_path, driver, 6, said) == 100


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_full_disk_writes_nothing_and_the_batch_may_come_again(
    recorder: Path, tmp_path: Path, driver: Literal["apsw", "sqlite3"]
) -> None:
    migrate(tmp_path / "amqpd.db")
    environment = with_fault(recorder, tmp_path, f"pwrite64:{errno.ENOSPC}:60-62")

    process = subject(tmp_path, 6, 1, 100, driver, environment)
    said = heard(process)

    assert process.returncode == 4, "the second attempt is written"
    assert said.last == "StoreFull"
    assert recovered(tmp_path, driver, 6, said) == said.handed


def test_a_disk_that_stays_full_keeps_what_was_confirmed(recorder: Path, tmp_path: Path) -> None:
    migrate(tmp_path / "amqpd.db")
    environment = with_fault(recorder, tmp_path, f"pwrite64:{errno.ENOSPC}:60+")

    process = subject(tmp_path, 6, 1, 100, "apsw", environment)
    said = heard(process)

    assert process.returncode == 3
    assert recovered(tmp_path, "apsw", 6, said) == said.confirmed
