"""`python -m tests`: everything that must hold before a change is taken.

ruff format, ruff, mypy, the import contracts, then pytest. Every step runs even if an earlier
one failed; the exit code is 0 only when all of them passed. The last line is pytest's.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: Folders whose tests start processes, use the disk or search for counterexamples.
PATIENT = ("cli", "faults", "fuzz", "interop", "properties", "server", "store")


def main() -> int:
    """Run the steps; 0 when all passed."""
    parser = argparse.ArgumentParser(prog="python -m tests", description=__doc__)
    parser.add_argument("--fast", action="store_true", help="only tests of milliseconds")
    parser.add_argument("--slow", action="store_true", help="the slow tests as well")
    parser.add_argument("--browser", action="store_true", help="those in a browser, too (chromium)")
    options, rest = parser.parse_known_args()
    failed = [name for name, command in _checks().items() if not _run(name, command)]
    if failed:
        print(f"failed: {', '.join(failed)}", flush=True)
    tests = _run("pytest", [sys.executable, "-m", "pytest", "-q", *_selection(options), *rest])
    return 0 if tests and not failed else 1


def _checks() -> dict[str, list[str]]:
    python = [sys.executable, "-m"]
    return {
        "ruff format": [*python, "ruff", "format", "--check", "."],
        "ruff": [*python, "ruff", "check", "."],
        "mypy": [*python, "mypy"],
        "import contracts": [str(Path(sys.executable).with_name("lint-imports")), "--no-logo"],
    }


def _selection(options: argparse.Namespace) -> list[str]:
    if options.slow:
        return ["-m", "" if options.browser else "not browser"]
    if options.browser:
        return ["-m", "not slow"]
    return [f"--ignore=tests/{name}" for name in PATIENT] if options.fast else []


def _run(name: str, command: list[str]) -> bool:
    print(f"-- {name}", flush=True)
    started = time.monotonic()
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    if name != "pytest":
        verdict = "ok" if done.returncode == 0 else "FAILED"
        print(f"   {verdict}, {time.monotonic() - started:.1f} s", flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
