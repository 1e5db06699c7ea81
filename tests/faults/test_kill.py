"""Killed at any moment, the broker keeps every promise it made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.kill import Campaign
from tests.faults.subject import Amqpd
from tests.faults.workloads import WORKLOADS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.history import Report

SHORT_ROUNDS = 4
LONG_ROUNDS = 100


def judged(folder: Path, workload: str, seed: int, rounds: int) -> tuple[Report, str]:
    """The verdict on so many ends of a broker, and what it logged."""
    subject = Amqpd(folder / "data", "--http-port", "0")
    campaign = Campaign(subject, folder / "history.jsonl", seed, WORKLOADS[workload])
    report = campaign.run(rounds)
    return report, subject.program.log


@pytest.mark.parametrize("workload", WORKLOADS)
def test_a_broker_killed_at_random_keeps_its_promises(tmp_path: Path, workload: str) -> None:
    report, log = judged(tmp_path, workload, 1, SHORT_ROUNDS)

    assert report.clean, report.text()
    assert report.crashes + report.stops == SHORT_ROUNDS
    assert report.acknowledged > 100
    assert report.dead > 0
    assert "Traceback" not in log, log[-4000:]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("workload", WORKLOADS)
@pytest.mark.parametrize("seed", [2, 3])
def test_a_broker_killed_many_times_keeps_its_promises(
    tmp_path: Path, workload: str, seed: int, request: pytest.FixtureRequest
) -> None:
    rounds = request.config.getoption("--kill-rounds") or LONG_ROUNDS

    report, log = judged(tmp_path, workload, seed, rounds)

    assert report.clean, report.text()
    assert "Traceback" not in log, log[-4000:]
