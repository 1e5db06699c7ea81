"""Killed at any moment, the broker keeps what it promised of streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.streams import SHORT, STREAM, Campaign
from tests.faults.subject import Amqpd

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.streams import Truth

SHORT_ROUNDS = 4
LONG_ROUNDS = 60


def judged(folder: Path, seed: int, rounds: int) -> tuple[Truth, str]:
    """The verdict on so many ends of a broker, and what it logged."""
    subject = Amqpd(folder / "data")
    return Campaign(subject, seed).run(rounds), subject.program.log


def test_streams_survive_a_broker_that_is_killed(tmp_path: Path) -> None:
    truth, log = judged(tmp_path, 1, SHORT_ROUNDS)

    assert truth.violations == []
    assert len(truth.promised[STREAM]) > 50
    assert min(truth.seen[SHORT]) >= 0
    assert truth.settled
    assert "Traceback" not in log, log[-4000:]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", [2, 3])
def test_streams_survive_a_broker_that_is_killed_many_times(
    tmp_path: Path, seed: int, request: pytest.FixtureRequest
) -> None:
    rounds = request.config.getoption("--kill-rounds") or LONG_ROUNDS

    truth, log = judged(tmp_path, seed, rounds)

    assert truth.violations == []
    assert "Traceback" not in log, log[-4000:]
