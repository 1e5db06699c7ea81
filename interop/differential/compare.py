"""Compares transcripts: what differs between the brokers, and which of it is wanted.

A difference is a hunk: lines that RabbitMQ's transcript has and ours has not, and the other
way round. The list of wanted ones names the scenario and the lines of both sides; a `*` in a
scenario's name or in a line stands for anything.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from brokers import Transcripts


class Hunk(NamedTuple):
    """Lines of one side where the other has others; `before` is the last line they share."""

    before: str
    rabbitmq: list[str]
    amqpd: list[str]


@dataclass
class Known:
    """A difference that is wanted, or understood, and why."""

    scenario: str
    reason: str
    rabbitmq: list[str] = field(default_factory=list)
    amqpd: list[str] = field(default_factory=list)
    seen: bool = False

    def covers(self, scenario: str, hunk: Hunk) -> bool:
        """Whether this is that difference."""
        return fnmatchcase(scenario, self.scenario) and all(
            len(lines) == len(patterns) and all(map(_like, lines, patterns))
            for lines, patterns in ((hunk.rabbitmq, self.rabbitmq), (hunk.amqpd, self.amqpd))
        )


@dataclass
class Verdict:
    """The outcome of a run."""

    passed: int = 0
    unexpected: dict[str, list[Hunk]] = field(default_factory=dict)
    wanted: list[tuple[str, Hunk, Known]] = field(default_factory=list)
    stale: list[Known] = field(default_factory=list)

    @property
    def failures(self) -> int:
        """Scenarios with a difference that is not listed, and listed ones that are gone."""
        return len(self.unexpected) + len(self.stale)

    def closing(self) -> str:
        """The last line."""
        return f"{self.passed} passed, {self.failures} failed"


def _like(line: str, pattern: str) -> bool:
    if "*" not in pattern:
        return line == pattern
    # Brackets are ordinary in transcripts; only the star is special.
    return fnmatchcase(line, pattern.replace("[", "[[]").replace("?", "[?]"))


def read(path: Path) -> list[Known]:
    """The list of known differences."""
    entries = tomllib.loads(path.read_text(encoding="utf-8")).get("difference", [])
    return [Known(**entry) for entry in entries]


def hunks(reference: list[str], tested: list[str]) -> list[Hunk]:
    """Where two transcripts differ."""
    matcher = SequenceMatcher(None, reference, tested, autojunk=False)
    return [
        Hunk(reference[a - 1] if a else "", reference[a:b], tested[c:d])
        for kind, a, b, c, d in matcher.get_opcodes()
        if kind != "equal"
    ]


def compare(reference: Transcripts, tested: Transcripts, known: list[Known]) -> Verdict:
    """Judge all scenarios that both brokers were asked."""
    verdict = Verdict()
    names = [name for name in tested if name in reference]
    for name in names:
        unexpected = []
        for hunk in hunks(reference[name], tested[name]):
            covering = next((entry for entry in known if entry.covers(name, hunk)), None)
            if covering is None:
                unexpected.append(hunk)
            else:
                covering.seen = True
                verdict.wanted.append((name, hunk, covering))
        if unexpected:
            verdict.unexpected[name] = unexpected
        else:
            verdict.passed += 1
    verdict.stale = [
        entry
        for entry in known
        if not entry.seen and any(fnmatchcase(name, entry.scenario) for name in names)
    ]
    return verdict


def report(verdict: Verdict, *, wanted_too: bool) -> str:
    """What a person wants to read."""
    out = []
    for name, differing in verdict.unexpected.items():
        out.append(f"-- {name}")
        for hunk in differing:
            out += _shown(hunk)
    for name, hunk, entry in verdict.wanted if wanted_too else ():
        out += [f"-- {name} (wanted: {entry.reason})", *_shown(hunk)]
    for entry in verdict.stale:
        out.append(f"-- {entry.scenario}: listed, but there no more: {entry.reason}")
        out += _shown(Hunk("", entry.rabbitmq, entry.amqpd))
    return "\n".join(out)


def _shown(hunk: Hunk) -> list[str]:
    return [
        *([f"       {hunk.before}"] if hunk.before else []),
        *(f"  rmq  {line}" for line in hunk.rabbitmq),
        *(f"  our  {line}" for line in hunk.amqpd),
    ]
