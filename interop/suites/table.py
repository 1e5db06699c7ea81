"""The report: one table for people, Markdown and JSON for keeping."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from outcome import Outcome

HEADINGS = ("suite", "version", "reference", "passed", "failed", "known", "skipped", "seconds")


def row(outcome: Outcome) -> tuple[str, ...]:
    """One line of the table."""
    suite = outcome.suite
    if outcome.not_runnable:
        counts: tuple[str, ...] = ("not run", "", "", "", "")
    else:
        numbers = (outcome.passed, outcome.failed, outcome.known, outcome.skipped)
        counts = (*(str(len(each)) for each in numbers), f"{outcome.took_s:.0f}")
    return (suite.name, suite.version, str(suite.passed), *counts)


def plain(outcomes: Sequence[Outcome]) -> str:
    """The table with its columns lined up."""
    rows = [HEADINGS, *map(row, outcomes)]
    widths = [max(len(line[column]) for line in rows) for column in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in rows
    )


def details(outcomes: Sequence[Outcome]) -> list[str]:
    """A line for all that is not simply a passed test."""
    lines: list[str] = []
    for outcome in outcomes:
        name = outcome.suite.name
        if outcome.not_runnable:
            lines.append(f"{name}: not run: {outcome.not_runnable}")
        lines += [f"{name}: FAILED {test}: {why}" for test, why in outcome.failed.items()]
        if outcome.shortfall:
            lines.append(f"{name}: {outcome.shortfall} fewer tests ran than with the reference")
        lines += [f"{name}: {note}" for note in outcome.notes]
        lines += [f"{name}: known {test}: {why}" for test, why in outcome.known.items()]
    return lines


def closing(outcomes: Sequence[Outcome]) -> str:
    """The last line: what passed and what counts against the broker."""
    passed = sum(len(outcome.passed) for outcome in outcomes)
    failed = sum(outcome.failures for outcome in outcomes)
    skipped = sum(len(outcome.skipped) + len(outcome.known) for outcome in outcomes)
    return f"{passed} passed, {failed} failed, {skipped} skipped"


def write(folder: Path, outcomes: Sequence[Outcome], broker: str) -> None:
    """`suites.md` and `suites.json` in the folder."""
    lines = [f"# Clients' suites against {broker}", "", f"| {' | '.join(HEADINGS)} |"]
    lines.append("|" + " --- |" * len(HEADINGS))
    lines += [f"| {' | '.join(row(outcome))} |" for outcome in outcomes]
    lines += ["", *(f"- {line}" for line in details(outcomes)), "", closing(outcomes), ""]
    (folder / "suites.md").write_text("\n".join(lines), encoding="utf-8")
    report = {
        outcome.suite.name: {
            "version": outcome.suite.version,
            "reference": outcome.suite.passed,
            "passed": outcome.passed,
            "failed": outcome.failed,
            "known": outcome.known,
            "skipped": outcome.skipped,
            "notes": outcome.notes,
            "not_runnable": outcome.not_runnable,
            "seconds": outcome.took_s,
        }
        for outcome in outcomes
    }
    text = json.dumps({"broker": broker, "suites": report}, indent=1)
    (folder / "suites.json").write_text(text, encoding="utf-8")
