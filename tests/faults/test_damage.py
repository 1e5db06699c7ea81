"""Damage to the files of a stopped broker is found, or does no harm."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.faults.damage import cut, filled, flipped, judged

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.damage import Outcome

SHORT = 25
LONG_FLIPS = 2000
LONG_CUTS = 500


def damaged(
    folder: Path,
    seed: int,
    count: int,
    way: Callable[[random.Random], Callable[[Path], str]],
) -> Outcome:
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    contents = filled(folder / "data", chance)
    return judged(folder / "data", contents, count, way(chance))


@pytest.mark.timeout(600)
def test_a_bit_that_flipped_is_found_or_does_no_harm(tmp_path: Path) -> None:
    outcome = damaged(tmp_path, 1, SHORT, flipped)

    assert not outcome.hidden, outcome.hidden
    assert outcome.told + outcome.refused > 0


@pytest.mark.timeout(600)
def test_a_file_that_is_cut_is_found(tmp_path: Path) -> None:
    outcome = damaged(tmp_path, 2, SHORT, cut)

    assert not outcome.hidden, outcome.hidden
    assert outcome.refused > SHORT // 2


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("way", "count"), [(flipped, LONG_FLIPS), (cut, LONG_CUTS)])
def test_very_many_damages_are_found_or_do_no_harm(
    tmp_path: Path, way: Callable[[random.Random], Callable[[Path], str]], count: int
) -> None:
    outcome = damaged(tmp_path, 3, count, way)

    assert not outcome.hidden, outcome.hidden
