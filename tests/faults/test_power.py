"""Whenever the power goes, under load and whatever the disk had done: every promise is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.power import judged, recorded

if TYPE_CHECKING:
    from pathlib import Path

SHORT_MOMENTS = 8
LONG_MOMENTS = 250


@pytest.mark.timeout(600)
def test_nothing_promised_is_lost_with_the_power(recorder: Path, tmp_path: Path) -> None:
    recording = recorded(recorder, tmp_path, 1, 1)

    verdict = judged(recording, SHORT_MOMENTS, tmp_path, 1)

    assert verdict.images == 4 * SHORT_MOMENTS
    assert verdict.confirmed > 0
    assert not verdict.lost, "\n".join(verdict.cases[:3])


@pytest.mark.timeout(600)
def test_without_syncs_losses_are_found(recorder: Path, tmp_path: Path) -> None:
    recording = recorded(recorder, tmp_path, 2, 0, "--no-sync")

    verdict = judged(recording, SHORT_MOMENTS, tmp_path, 2)

    assert verdict.lost > 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(3, 9))
def test_nothing_promised_is_lost_with_the_power_at_length(
    recorder: Path, tmp_path: Path, seed: int
) -> None:
    recording = recorded(recorder, tmp_path, seed, 3)

    verdict = judged(recording, LONG_MOMENTS, tmp_path, seed)

    assert not verdict.lost, "\n".join(verdict.cases[:3])
