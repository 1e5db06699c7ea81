"""`python -m tests.faults`: everything that is done to a broker and its store, in one go.

Faults of the disk, the power, the network, the machine and the clock, damage, kills, hostile
input on all layers, and load. `--long` runs the long form of each, which takes hours. What follows
is handed on to pytest, as in `python -m tests.faults --long -k power --fuzz-inputs 5000000`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACES = (
    "tests/faults",
    "tests/fuzz",
    "tests/load",
    "tests/store/test_kill.py",
    "tests/store/test_power_loss.py",
    "tests/properties",
)


def main() -> int:
    """Run them; pytest's exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--long", action="store_true", help="the long forms, too")
    options, rest = parser.parse_known_args()
    which = "not browser" if options.long else "not slow and not browser"
    command = [sys.executable, "-m", "pytest", "-q", "-m", which, "--durations=20", *rest]
    return subprocess.run([*command, *PLACES], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
