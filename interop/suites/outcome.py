"""What a suite's report says, and whether that is what it should say."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from catalogue import Suite

TAP_LINE = re.compile(r"^(not )?ok\s+\d+\s*-?\s*([^#]*)(#\s*(skip|todo)\b.*)?", re.IGNORECASE)
#: `--- PASS: TestName (0.01s)`, subtests indented.
GO_LINE = re.compile(r"^\s*--- (PASS|FAIL|SKIP): (\S+)")
#: `test module::name ... ok`, with other output in between when tests print.
CARGO_LINE = re.compile(r"^test (\S+) \.\.\. .*?(ok|FAILED|ignored)", re.MULTILINE)
TAP_FILE = re.compile(r"^(\S+\.t) \.+")


@dataclass(slots=True)
class Outcome:
    """Every test of a suite by what became of it."""

    suite: Suite
    passed: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    known: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    not_runnable: str = ""
    took_s: float = 0.0

    @property
    def shortfall(self) -> int:
        """Tests of the reference count that neither passed nor are accounted for."""
        accounted = len(self.passed) + len(self.failed) + len(self.known)
        return 0 if self.not_runnable else max(0, self.suite.passed - accounted)

    @property
    def failures(self) -> int:
        """What counts against the broker."""
        return len(self.failed) + self.shortfall + len(self.notes)

    def judge(self, broker: str) -> None:
        """Move the failures that are understood out of the failed ones."""
        for test in list(self.failed):
            reason = self.suite.reason(test, broker)
            if reason is not None:
                del self.failed[test]
                self.known[test] = reason


def read_junit(path: Path, outcome: Outcome) -> None:
    """Add the test cases of a JUnit XML file, or of all those in a folder."""
    seen: Counter[str] = Counter()
    for file in sorted(path.glob("*.xml")) if path.is_dir() else [path]:
        if not file.stat().st_size:
            continue  # of a suite that did not come to its end
        # It was written by the suite that just ran, on this machine.
        _read_cases(ElementTree.parse(file).getroot(), seen, outcome)  # noqa: S314


def _read_cases(root: ElementTree.Element, seen: Counter[str], outcome: Outcome) -> None:
    for case in root.iter("testcase"):
        name = f"{case.get('classname', '')}::{case.get('name', '')}"
        seen[name] += 1
        if seen[name] > 1:
            name += f" ({seen[name]})"
        bad = next((e for e in case if e.tag in ("failure", "error")), None)
        if bad is not None:
            outcome.failed[name] = _first_line(bad.get("message") or bad.text or "")
            if name in outcome.passed:
                outcome.passed.remove(name)
        elif any(element.tag == "skipped" for element in case):
            outcome.skipped.append(name)
        else:
            outcome.passed.append(name)


def read_tap(path: Path, outcome: Outcome) -> None:
    """Add the assertions of a Test Anything Protocol stream."""
    file = ""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if heading := TAP_FILE.match(line):
            file = heading[1]
        elif found := TAP_LINE.match(line):
            name = f"{file}::{found[2].strip()}"
            if found[4]:
                outcome.skipped.append(name)
            elif found[1]:
                outcome.failed[name] = "not ok"
            else:
                outcome.passed.append(name)


def read_go(path: Path, outcome: Outcome) -> None:
    """Add the tests of `go test -v`."""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if found := GO_LINE.match(line):
            _add(outcome, found[2], {"PASS": "ok", "SKIP": "ignored"}.get(found[1], "FAILED"))


def read_cargo(path: Path, outcome: Outcome) -> None:
    """Add the tests of `cargo test`."""
    text = path.read_text(encoding="utf-8", errors="replace")
    for found in CARGO_LINE.finditer(text):
        _add(outcome, found[1], found[2])


def _add(outcome: Outcome, name: str, verdict: str) -> None:
    if verdict == "ok":
        outcome.passed.append(name)
    elif verdict == "ignored":
        outcome.skipped.append(name)
    else:
        outcome.failed[name] = "failed; its output is in suite.log"


def _first_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0][:200] if lines else ""
