"""Checks what clients saw against what a broker promises.

Workers append one JSON line per event (`events.py`) while a broker is killed and started
again; afterwards every queue is drained twice and the whole history is judged:

    I1   a confirmed durable message is acked by a consumer, or in the drain, or removed by a
         rule that allows it, in every one of its queues
    I2   nothing is delivered that was not published to that queue, or was rolled back
    I3   no queue delivers a message twice with redelivered false, nor twice in one drain
    I4   an acked message does not come back, unless a crash followed within the window
    I6   what is seen after a crash in one queue of a publish is in all of them
    I7   per publisher channel and queue: first deliveries to one consumer and the drain are
         in publish order, and what survives a crash has no hole
    I8   bodies are intact
    I9   every publish has at most one verdict, and no verdict is for nothing
    I10  what rules removed in a life without an end is what the broker has counted
    I11  every queue drains to empty
    I12  durable definitions are there after every start
    D1   what dies in a queue with a dead letter queue is in one of the two and not in both,
         and its x-death header says why and how often
    E1   nothing is delivered long after its time to live
    E2   nothing expires before its time
    L1   no queue is longer than its limit
    N1   what comes back is counted, each time and no more than that
    N2   what has to wait before it comes again does
    P1   higher priorities drain first
    R1   what a full queue refused is not in it
    T1   a transaction's publishes and acks took effect together or not at all

`python -m tests.faults.history FILE` prints the report and exits 1 on a violation.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.faults.events import read
from tests.faults.facts import Facts
from tests.faults.promises import judge
from tests.faults.rules import judge_rules

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.faults.events import Event

#: How many violations of one kind are spelled out.
SPELLED_OUT: Final = 20


@dataclass(slots=True)
class Report:
    """What was found; `violations` maps an invariant to its cases."""

    attempts: int = 0
    acknowledged: int = 0
    delivered: int = 0
    redelivered: int = 0
    recovered: int = 0
    dead: int = 0
    crashes: int = 0
    stops: int = 0
    violations: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    @property
    def clean(self) -> bool:
        """Whether every promise was kept."""
        return not self.violations

    def text(self) -> str:
        """The report for people."""
        lines = [
            f"attempts {self.attempts}, acknowledged {self.acknowledged}, "
            f"delivered {self.delivered}, redelivered {self.redelivered}, dead {self.dead}, "
            f"recovered {self.recovered}, crashes {self.crashes}, stops {self.stops}"
        ]
        for name, cases in sorted(self.violations.items()):
            lines.append(f"{name}: {len(cases)} violations")
            lines += [f"    {case}" for case in cases[:SPELLED_OUT]]
        return "\n".join(lines)


def check(events: Iterable[Event]) -> Report:
    """Judge a history."""
    facts = Facts(events)
    unknown = facts.publishes.keys() - facts.confirmed - facts.refused
    report = Report(
        attempts=len(facts.publishes),
        acknowledged=len(facts.confirmed),
        delivered=len(facts.in_order),
        redelivered=sum(each.redelivered for each in facts.in_order),
        recovered=len({each.id for each in facts.in_order} & unknown),
        dead=sum(each.deaths > 0 for each in facts.in_order),
        crashes=sum(facts.crashed),
        stops=len(facts.crashed) - sum(facts.crashed),
    )
    for checks in (judge, judge_rules):
        for invariant, case in checks(facts):
            report.violations[invariant].append(case)
    return report


def main(path: str) -> int:
    """Print the report on a file; 1 when a promise was broken."""
    report = check(read(Path(path)))
    sys.stdout.write(report.text() + "\n")
    return 0 if report.clean else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
