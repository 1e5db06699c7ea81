"""What a program's lines say, and the table of all of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from plan import Client

SIGNS = {"passed": "✓", "failed": "✗", "without": "-"}


@dataclass(slots=True)
class Outcome:
    """One program's scenarios by what became of them."""

    client: Client
    shows: dict[str, str]
    verdicts: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    not_runnable: str = ""
    took_s: float = 0.0

    def read(self, text: str) -> None:
        """Judge the program's output; a scenario without a line has failed."""
        for line in text.splitlines():
            name, _, why = line.removeprefix("not ").removeprefix("ok ").partition(" - ")
            if line.startswith(("ok ", "not ok ")):
                self.verdicts[name] = "passed" if line.startswith("ok ") else "failed"
                self.reasons[name] = why[:300]
        for name in self.shows:
            if name in self.verdicts:
                continue
            if name in self.client.without:
                self.verdicts[name] = "without"
                self.reasons[name] = self.client.without[name]
            else:
                self.verdicts[name] = "failed"
                self.reasons[name] = "the program said nothing about it"

    def count(self, verdict: str) -> int:
        """How many scenarios ended so."""
        return list(self.verdicts.values()).count(verdict)

    @property
    def failures(self) -> int:
        """What counts against the broker."""
        return self.count("failed") + len(self.notes)

    @property
    def line(self) -> str:
        """One line for a person who watches."""
        client = self.client
        if self.not_runnable:
            return f"{client.name}: not run: {self.not_runnable}"
        without = f", {self.count('without')} not supported" if self.count("without") else ""
        passed, failed = self.count("passed"), self.failures
        took = f"{self.took_s:.0f} s"
        return f"{client.name} {client.version}: {passed} passed, {failed} failed{without}, {took}"


def details(outcomes: Sequence[Outcome]) -> list[str]:
    """A line for all that is not simply passed."""
    lines = []
    for outcome in outcomes:
        name = outcome.client.name
        if outcome.not_runnable:
            lines.append(f"{name}: not run: {outcome.not_runnable}")
        for verdict, text in (("failed", "FAILED"), ("without", "not supported:")):
            lines += [
                f"{name}: {text} {scenario}: {outcome.reasons[scenario]}"
                for scenario, one in outcome.verdicts.items()
                if one == verdict
            ]
        lines += [f"{name}: {note}" for note in outcome.notes]
    return lines


def closing(outcomes: Sequence[Outcome]) -> str:
    """The last line; a program that could not run counts as failed."""
    passed = sum(outcome.count("passed") for outcome in outcomes)
    failed = sum(outcome.failures + bool(outcome.not_runnable) for outcome in outcomes)
    return f"{passed} passed, {failed} failed"


def markdown(outcomes: Sequence[Outcome], shows: dict[str, str], broker: str) -> str:
    """The matrix of the clients, then a table for each program with a list of its own."""
    ran = [outcome for outcome in outcomes if not outcome.not_runnable]
    columns = [each for each in ran if not each.client.shows and not each.client.only]
    further = [each for each in ran if each.client.only]
    lines = [f"# Clients against {broker}", ""]
    if columns:
        heads = [f"{each.client.library} {each.client.version}" for each in columns]
        lines += [f"| scenario | {' | '.join(heads)} |", "|---|" + ":-:|" * len(heads)]
        for name, what in shows.items():
            signs = [SIGNS[outcome.verdicts[name]] for outcome in columns]
            lines.append(f"| {name}: {what} | {' | '.join(signs)} |")
        lines.append("")
    if further:
        lines += [*_short(further, shows), ""]
    for outcome in ran:
        if outcome.client.shows:
            client = outcome.client
            lines += [f"| {client.library} {client.version} | |", "|---|:-:|"]
            for name, what in outcome.shows.items():
                lines.append(f"| {name}: {what} | {SIGNS[outcome.verdicts[name]]} |")
            lines.append("")
    lines += [f"- {line}" for line in details(outcomes)]
    return "\n".join([*lines, "", closing(outcomes), ""])


def _short(outcomes: Sequence[Outcome], shows: dict[str, str]) -> list[str]:
    """The table of programs about a part of the scenarios, a row for each."""
    names = [name for name in shows if any(name in each.verdicts for each in outcomes)]
    lines = [f"| client | {' | '.join(names)} |", "|---|" + ":-:|" * len(names)]
    for outcome in outcomes:
        signs = [SIGNS.get(outcome.verdicts.get(name, ""), "") for name in names]
        lines.append(f"| {outcome.client.library} {outcome.client.version} | {' | '.join(signs)} |")
    return lines


def write(folder: Path, outcomes: Sequence[Outcome], shows: dict[str, str], broker: str) -> None:
    """`matrix.md` and `matrix.json` in the folder."""
    (folder / "matrix.md").write_text(markdown(outcomes, shows, broker), encoding="utf-8")
    report = {
        outcome.client.name: {
            "language": outcome.client.language,
            "library": outcome.client.library,
            "version": outcome.client.version,
            "verdicts": outcome.verdicts,
            "reasons": {name: why for name, why in outcome.reasons.items() if why},
            "notes": outcome.notes,
            "not_runnable": outcome.not_runnable,
            "seconds": outcome.took_s,
        }
        for outcome in outcomes
    }
    text = json.dumps({"broker": broker, "programs": report}, indent=1, ensure_ascii=False)
    (folder / "matrix.json").write_text(text + "\n", encoding="utf-8")
