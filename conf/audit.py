"""Asks pip-audit whether what is locked has known vulnerabilities.

    python conf/audit.py [PROGRAM …]

Ends with 0 where every package was looked up and none has any, with 1 where one has, and with 2
where it could not look: no answer is not taken for a good one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

CLEAN, FOUND, UNKNOWN = 0, 1, 2
LOCKED = Path(__file__).with_name("requirements.txt")
OPTIONS = ("--format", "json", "--require-hashes", "--disable-pip", "-r", str(LOCKED))


def main(program: list[str]) -> int:
    """Run it, and say what came of it."""
    try:
        ended = subprocess.run(  # noqa: S603 - the program that was named
            [*program, *OPTIONS], capture_output=True, text=True, check=False
        )
    except OSError as error:
        return _unknown(f"{program[0]}: {error.strerror}")
    try:
        packages = json.loads(ended.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        lines = ended.stderr.strip().splitlines()
        return _unknown(lines[-1] if lines else f"it ended with {ended.returncode}, saying nothing")
    if not packages:
        return _unknown("it has looked at no package")
    found = [
        f"{one['name']} {one['version']}: {flaw['id']}, mended in "
        f"{', '.join(flaw['fix_versions']) or 'no version yet'}"
        for one in packages
        for flaw in one.get("vulns", ())
    ]
    if found:
        _say(*found, f"{len(found)} known vulnerabilities: run conf/lock, or replace the package")
        return FOUND
    skipped = [f"{one['name']}: {one['skip_reason']}" for one in packages if "skip_reason" in one]
    if skipped:
        return _unknown("; ".join(skipped))
    _say(f"{len(packages)} packages were looked up, none has a known vulnerability")
    return CLEAN


def _unknown(why: str) -> int:
    sys.stderr.write(f"could not look for vulnerabilities: {why}\n")
    return UNKNOWN


def _say(*lines: str) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["pip-audit"]))
