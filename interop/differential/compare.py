"""Compares transcripts: what differs between the brokers, and which of it is wanted.

A difference is a hunk: lines that RabbitMQ's transcript has and ours has not, and the other
way round. differences.toml names the wanted ones, each with its reason:

    [[difference]]   a scenario and the lines of both sides
    [[wording]]      a text that one side writes otherwise wherever it occurs

A `*` in a scenario's name or in a line stands for anything.
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple, TypeAlias

Transcripts: TypeAlias = dict[str, list[str]]

HERE = Path(__file__).resolve().parent
KNOWN = HERE / "differences.toml"
#: RabbitMQ's transcripts, so that comparing them needs no RabbitMQ.
REFERENCE = HERE / "reference.json"


class Hunk(NamedTuple):
    """Lines of one side where the other has others; `before` is the last line they share."""

    before: str
    rabbitmq: list[str]
    amqpd: list[str]


@dataclass
class Difference:
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
class Wording:
    """What a text of one side has to be replaced with to read as the other's."""

    side: str
    pattern: str
    replacement: str
    reason: str
    seen: bool = False

    def apply(self, lines: list[str]) -> list[str]:
        """The lines in the other side's words."""
        out = [re.sub(self.pattern, self.replacement, line) for line in lines]
        self.seen = self.seen or out != lines
        return out


@dataclass
class Known:
    """The wanted differences."""

    differences: list[Difference] = field(default_factory=list)
    wordings: list[Wording] = field(default_factory=list)

    def worded(self, side: str, lines: list[str]) -> list[str]:
        """A transcript of one side, with the wordings that it has to take over."""
        for wording in self.wordings:
            if wording.side == side:
                lines = wording.apply(lines)
        return lines


@dataclass
class Verdict:
    """The outcome of a run."""

    passed: int = 0
    unexpected: dict[str, list[Hunk]] = field(default_factory=dict)
    wanted: list[tuple[str, Hunk, Difference]] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def failures(self) -> int:
        """Scenarios with a difference that is not listed, or never asked; listed ones gone."""
        return len(self.unexpected) + len(self.stale) + len(self.missing)

    def closing(self) -> str:
        """The last line."""
        return f"{self.passed} passed, {self.failures} failed"


def _like(line: str, pattern: str) -> bool:
    if "*" not in pattern:
        return line == pattern
    # Brackets are ordinary in transcripts; only the star is special.
    return fnmatchcase(line, pattern.replace("[", "[[]").replace("?", "[?]"))


def read_known(path: Path = KNOWN) -> Known:
    """The list of known differences."""
    entries = tomllib.loads(path.read_text(encoding="utf-8"))
    return Known(
        [Difference(**entry) for entry in entries.get("difference", [])],
        [Wording(**entry) for entry in entries.get("wording", [])],
    )


def read_transcripts(path: Path) -> Transcripts:
    """Transcripts written earlier."""
    transcripts: Transcripts = json.loads(path.read_text(encoding="utf-8"))
    return transcripts


def write_transcripts(path: Path, transcripts: Transcripts) -> None:
    """Keep transcripts, a line each, so that changes can be read."""
    written = json.dumps(transcripts, indent=0, ensure_ascii=False)
    path.write_text(f"{written}\n", encoding="utf-8")


def hunks(reference: list[str], tested: list[str]) -> list[Hunk]:
    """Where two transcripts differ."""
    matcher = SequenceMatcher(None, reference, tested, autojunk=False)
    return [
        Hunk(reference[a - 1] if a else "", reference[a:b], tested[c:d])
        for kind, a, b, c, d in matcher.get_opcodes()
        if kind != "equal"
    ]


def compare(
    reference: Transcripts, tested: Transcripts, known: Known, *, whole: bool = True
) -> Verdict:
    """Judge the scenarios that amqpd was asked; `whole`: these are all there are."""
    verdict = Verdict(missing=[name for name in tested if name not in reference])
    names = [name for name in tested if name in reference]
    for name in names:
        unexpected = []
        theirs, ours = (
            known.worded("rabbitmq", reference[name]),
            known.worded("amqpd", tested[name]),
        )
        for hunk in hunks(theirs, ours):
            covering = next((each for each in known.differences if each.covers(name, hunk)), None)
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
        f"{entry.scenario}: {entry.reason}"
        for entry in known.differences
        if not entry.seen and any(fnmatchcase(name, entry.scenario) for name in names)
    ]
    if whole:
        verdict.stale += [
            f"{entry.pattern}: {entry.reason}" for entry in known.wordings if not entry.seen
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
    out += [f"-- listed, but there no more: {entry}" for entry in verdict.stale]
    out += [f"-- {name}: RabbitMQ was not asked" for name in verdict.missing]
    return "\n".join(out)


def _shown(hunk: Hunk) -> list[str]:
    return [
        *([f"       {hunk.before}"] if hunk.before else []),
        *(f"  rmq  {line}" for line in hunk.rabbitmq),
        *(f"  our  {line}" for line in hunk.amqpd),
    ]
