"""Runs the tests of RabbitMQ's .NET client, compiled and in the current folder, with NUnit's
console on Mono; speaks TAP.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Final

ASSEMBLY: Final = "Unit.dll"
PREFIX: Final = "RabbitMQ.Client.Unit."


def run(report: Path) -> None:
    """All tests of the assembly; what became of them goes to the report."""
    options = ["-nologo", "-noshadow", "-nothread", f"-xml={report}"]
    subprocess.run(["nunit-console", *options, ASSEMBLY], stdout=subprocess.DEVNULL, check=False)


def cases(report: Path) -> list[tuple[str, bool, str]]:
    """Every test with whether it holds and what it says where it does not."""
    found = []
    root = ElementTree.parse(report).getroot()  # noqa: S314  (what NUnit has just written)
    for case in root.iter("test-case"):
        name = case.get("name", "").removeprefix(PREFIX)
        said = case.findtext(".//message") or ""
        found.append((name, case.get("result") == "Success", " ".join(said.split())))
    return found


def main() -> int:
    """Print the tests as TAP."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        run(report)
        found = cases(report)
    print(f"1..{len(found)}")
    for number, (name, holds, said) in enumerate(found, 1):
        print(f"{'' if holds else 'not '}ok {number} - {name}")
        if said:
            print(f"# {said}")
    return 0 if all(holds for _, holds, _ in found) else 1


if __name__ == "__main__":
    sys.exit(main())
