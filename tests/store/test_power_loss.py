"""Whatever the disk had not synced when the power went: nothing confirmed is lost.

A process writes a workload under a recorder of its system calls. At random moments the disk is
rebuilt as it may look after a loss of power, opened with the store's own recovery and compared
with the state that must be there. The same without syncs must show losses, or the test is
blind.
"""

# ruff: noqa: S311 - chance is for choosing moments

from __future__ import annotations

import errno
import logging
import os
import random
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Literal

import pytest

from amqpd.store import StoreError
from tests.store.batches import opened
from tests.store.disk import Disk, Policy
from tests.store.inspection import assert_sound
from tests.store.workload import Expected, found

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass
class Recording:
    """A finished run under the recorder."""

    directory: Path
    octets: bytes
    seed: int

    def moments(self, count: int, chance: random.Random) -> Iterator[Disk]:
        """The disk at so many random moments after the store was open."""
        records = sum(1 for _ in Disk(self.octets, self.directory).play())
        disk = Disk(self.octets, self.directory)
        wanted = sorted(chance.sample(range(records), count))
        for record in disk.play():
            while wanted and wanted[0] <= record and disk.ready:
                wanted.pop(0)
                yield disk


def record(
    recorder: Path,
    at: Path,
    seed: int,
    batches: int,
    *options: str,
) -> Recording:
    """Run the workload to its end."""
    directory, log = at / "data", at / "log"
    environment = os.environ | {
        "LD_PRELOAD": str(recorder),
        "RECORD_DIRECTORY": str(directory),
        "RECORD_LOG": str(log),
    }
    directory.mkdir(mode=0o700)
    arguments = [str(directory), str(directory / "events"), str(seed), "1", str(batches)]
    command = [sys.executable, "-m", "tests.store.subject", *arguments, *options]
    subprocess.run(command, check=True, cwd=ROOT, env=environment)
    return Recording(directory, log.read_bytes(), seed)


def survives(image: Path, expected: Expected, disk: Disk) -> None:
    """The store opens, and holds exactly the state after one of the batches that may be last."""
    store = opened(image, sync=False)
    try:
        state = found(store, store.snapshot)
    finally:
        store.close()
    assert disk.confirmed <= state.number <= disk.handed
    if state.number:
        assert state == expected[state.number]
    assert_sound(image)


def losses(
    recording: Recording, moments: int, scratch: Path, *, repeat: bool = True
) -> tuple[int, int]:
    """How many images there were, and how many of them had lost something."""
    chance = random.Random(recording.seed)
    expected = Expected(recording.seed)
    images = lost = 0
    for disk in recording.moments(moments, chance):
        for policy in Policy:
            image = scratch / f"image{images}"
            disk.lose_power(policy, chance, image)
            images += 1
            try:
                survives(image, expected, disk)
                if repeat and images % 10 == 0:
                    survives(image, expected, disk)
            # A queue without its lanes is a loss, too.
            except (AssertionError, KeyError, StoreError, sqlite3.Error) as error:
                lost += 1
                log.warning("image %d, %s: %.300s", images, policy, repr(error))
            rmtree(image)
    return images, lost


@pytest.mark.parametrize("driver", ["apsw", "sqlite3"])
def test_nothing_confirmed_is_lost_with_the_power(
    recorder: Path, tmp_path: Path, driver: Literal["apsw", "sqlite3"]
) -> None:
    recording = record(recorder, tmp_path, 1, 150, "--driver", driver)

    images, lost = losses(recording, 25, tmp_path)

    assert images == 100
    assert lost == 0


def test_what_a_failed_sync_left_unwritten_is_not_relied_on(recorder: Path, tmp_path: Path) -> None:
    directory, log = tmp_path / "data", tmp_path / "log"
    directory.mkdir(mode=0o700)
    environment = {
        "LD_PRELOAD": str(recorder),
        "RECORD_DIRECTORY": str(directory),
        "RECORD_LOG": str(log),
    }
    fault = {"FAULT": f"fdatasync:{errno.EIO}:30"}
    assert subject(directory, 3, 1, 100, environment | fault) == 3
    octets = log.read_bytes()
    failed = Disk(octets, directory)
    for _ in failed.play():
        pass

    # All of it is there as far as the system shows; only the disk knows better.
    assert subject(directory, 3, failed.handed + 1, failed.handed + 40, environment) == 0

    images, lost = losses(Recording(directory, log.read_bytes(), 3), 25, tmp_path)
    assert images == 100
    assert lost == 0


def subject(directory: Path, seed: int, first: int, last: int, environment: dict[str, str]) -> int:
    """Write batches under the recorder; the exit code."""
    arguments = [str(directory), str(directory / "events"), str(seed), str(first), str(last)]
    command = [sys.executable, "-m", "tests.store.subject", *arguments]
    return subprocess.run(
        command, check=False, cwd=ROOT, env=os.environ | environment, stderr=subprocess.DEVNULL
    ).returncode


def test_without_syncs_the_same_test_finds_losses(recorder: Path, tmp_path: Path) -> None:
    recording = record(recorder, tmp_path, 2, 100, "--no-sync")

    images, lost = losses(recording, 10, tmp_path, repeat=False)

    assert images == 40
    assert lost > 5


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(10, 16))
@pytest.mark.parametrize("driver", ["apsw", "sqlite3"])
def test_nothing_confirmed_is_lost_with_the_power_at_length(
    recorder: Path, tmp_path: Path, driver: Literal["apsw", "sqlite3"], seed: int
) -> None:
    recording = record(recorder, tmp_path, seed, 400, "--driver", driver)

    images, lost = losses(recording, 150, tmp_path)

    assert images == 600
    assert lost == 0
