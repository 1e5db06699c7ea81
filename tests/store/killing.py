"""Runs the subject in a process of its own and reads what it said before it ended."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tests.store.batches import opened
from tests.store.inspection import assert_sound
from tests.store.workload import Expected, found

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass
class Said:
    """What the subject said: the last batch handed in, the last one confirmed, its last word."""

    handed: int = 0
    confirmed: int = 0
    last: str = ""

    def hear(self, line: bytes) -> None:
        """One line of it."""
        self.last, number = line.decode().split()
        if self.last == "handed":
            self.handed = int(number)
        elif self.last == "confirmed":
            self.confirmed = int(number)


def subject(
    directory: Path,
    seed: int,
    first: int,
    last: int,
    driver: Literal["apsw", "sqlite3"],
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start it; its events are lines on its standard output."""
    arguments = [str(directory), "/dev/stdout", str(seed), str(first), str(last)]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.store.subject", *arguments, "--driver", driver],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        env=os.environ | dict(environment or {}),
    )


def heard(process: subprocess.Popen[bytes], kill_after: int | None = None) -> Said:
    """Listen to its end, or kill -9 it after so many batches were confirmed."""
    said = Said()
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            said.hear(line)
            if kill_after is not None and said.confirmed >= kill_after:
                process.kill()
    process.wait()
    return said


def recovered(directory: Path, driver: Literal["apsw", "sqlite3"], seed: int, said: Said) -> int:
    """Check the store that was left behind; the number of the batch whose state it holds."""
    store = opened(directory, driver, sync=False)
    try:
        assert not store.snapshot.clean or said.last in ("closed", "")
        state = found(store, store.snapshot)
    finally:
        store.close()
    assert said.confirmed <= state.number <= said.handed
    if state.number:
        assert state == Expected(seed)[state.number]
    assert_sound(directory)
    return state.number
