"""A broker that breaks one promise is found out, whichever promise it is.

Together with the missing sync (`test_power_loss.py`) these are the faults that brokers have
had; a harness that misses one of them proves nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import pytest

from tests.faults.kill import Campaign
from tests.faults.mutants import MUTANTS
from tests.faults.subject import Amqpd
from tests.faults.workloads import MIXED, RETURNS, WORKLOADS, Workload

if TYPE_CHECKING:
    from pathlib import Path

#: Each campaign is given so many chances to find the fault, and takes as many as it needs. The
#: worst mutant is found out in two of three lives, also on a machine with other work.
CHANCES: Final = 20


class Hunt(NamedTuple):
    """Where a fault shows, and as the breach of which promise."""

    promises: set[str]
    workload: Workload = MIXED
    rounds: int = 2
    stops: float = 0.0


HUNTS: Final = {
    "confirm_before_commit": Hunt({"I1"}, rounds=2),
    "drop_on_requeue": Hunt({"I1"}, rounds=0),
    "requeue_at_tail": Hunt({"I7"}, RETURNS, rounds=0),
    "forget_a_target": Hunt({"I1", "I6"}, rounds=0),
    "lose_the_last_batch": Hunt({"I4"}, stops=1.0),
    "fresh_after_crash": Hunt({"I3"}, rounds=1),
    "confirm_twice": Hunt({"I9"}, rounds=0),
    "uncounted": Hunt({"I10"}, WORKLOADS["expiry"], rounds=0),
    "copy_dead_letters": Hunt({"D1", "I4"}, WORKLOADS["dead letters"], rounds=1),
    "delete_in_memory": Hunt({"I12"}, rounds=2),
    "policies_in_memory": Hunt({"I12"}, WORKLOADS["policies"], rounds=2),
    "swap_in_batch": Hunt({"I7"}, rounds=0),
    "commit_in_halves": Hunt({"T1", "I1", "D1"}, WORKLOADS["dead letters"], rounds=3),
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("mutant", MUTANTS)
def test_every_mutant_is_caught(tmp_path: Path, mutant: str) -> None:
    hunt = HUNTS[mutant]
    found: set[str] = set()
    for chance in range(CHANCES):
        folder = tmp_path / str(chance)
        folder.mkdir()
        subject = Amqpd(folder / "data", "--http-port", "0", mutant=mutant)
        history = folder / "history.jsonl"
        campaign = Campaign(subject, history, chance, hunt.workload, stops=hunt.stops)
        found |= campaign.run(hunt.rounds).violations.keys()
        if found & hunt.promises:
            return
    pytest.fail(f"not caught: only {found}")
