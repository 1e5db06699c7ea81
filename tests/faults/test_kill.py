"""Killed at any moment, the broker keeps every promise it made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.kill import Campaign
from tests.faults.subject import Amqpd

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.history import Report

SHORT_ROUNDS = 5
LONG_ROUNDS = 60


def judged(folder: Path, seed: int, rounds: int) -> tuple[Report, str]:
    """The verdict on so many kills, and what the broker logged."""
    subject = Amqpd(folder / "data")
    report = Campaign(subject, folder / "history.jsonl", seed).run(rounds)
    return report, subject.program.log


def test_a_broker_killed_at_random_keeps_its_promises(tmp_path: Path) -> None:
    report, log = judged(tmp_path, 1, SHORT_ROUNDS)

    assert report.clean, report.text()
    assert report.crashes == SHORT_ROUNDS
    assert report.acknowledged > 100
    assert "Traceback" not in log, log[-4000:]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", [2, 3])
def test_a_broker_killed_many_times_keeps_its_promises(
    tmp_path: Path, seed: int, request: pytest.FixtureRequest
) -> None:
    rounds = request.config.getoption("--kill-rounds") or LONG_ROUNDS

    report, log = judged(tmp_path, seed, rounds)

    assert report.clean, report.text()
    assert "Traceback" not in log, log[-4000:]
