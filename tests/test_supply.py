"""What the container image is built of: locked, hashed, and listed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
LOCKED = (ROOT / "conf" / "requirements.txt").read_text()
PACKAGES = dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+) \\$", LOCKED, re.MULTILINE))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_package_is_locked_with_its_hashes() -> None:
    blocks = re.split(r"\n(?=[a-z])", LOCKED)[1:]

    assert len(blocks) == len(PACKAGES) > 20
    for block in blocks:
        assert "--hash=sha256:" in block, block.splitlines()[0]


def test_what_the_project_asks_for_is_what_is_locked() -> None:
    project = PROJECT["project"]
    extras = project["optional-dependencies"]
    wanted = [
        *project["dependencies"],
        *(one for name in ("ldap", "oauth", "speed") for one in extras[name]),
        *PROJECT["build-system"]["requires"],
    ]
    for text in wanted:
        requirement = Requirement(text)
        version = PACKAGES.get(requirement.name.lower())
        assert version is not None, f"{text}: run conf/lock"
        assert requirement.specifier.contains(version), f"{text}: run conf/lock"


def test_the_bill_of_materials_lists_what_is_locked() -> None:
    bill = json.loads((ROOT / "conf" / "sbom.json").read_text())

    assert {one["name"]: one["version"] for one in bill["components"]} == {
        name.lower(): version for name, version in PACKAGES.items()
    }
    made = subprocess.check_output(
        [sys.executable, "conf/sbom.py", "conf/requirements.txt", "pyproject.toml"], cwd=ROOT
    )
    assert json.loads(made) == bill


def test_the_image_takes_nothing_else() -> None:
    container = (ROOT / "conf" / "Containerfile").read_text()

    assert "--require-hashes -r /source/conf/requirements.txt" in container
    assert "--no-deps --no-build-isolation /source" in container


CLEAN = '{"dependencies": [{"name": "a", "version": "1", "vulns": []}], "fixes": []}'
FOUND = (
    '{"dependencies": [{"name": "a", "version": "1", "vulns": '
    '[{"id": "CVE-2026-1", "fix_versions": ["2"]}]}], "fixes": []}'
)
SKIPPED = '{"dependencies": [{"name": "a", "skip_reason": "not on the index"}], "fixes": []}'


@pytest.mark.parametrize(
    ("answer", "complaint", "ends", "code", "says"),
    [
        (CLEAN, "No known vulnerabilities found", 0, 0, "1 packages were looked up"),
        (FOUND, "Found 1 known vulnerability", 1, 1, "a 1: CVE-2026-1, mended in 2"),
        (SKIPPED, "", 0, 2, "could not look for vulnerabilities: a: not on the index"),
        ("", "ConnectionError: no route to host", 1, 2, "could not look for vulnerabilities: Conn"),
        ('{"dependencies": []}', "", 0, 2, "it has looked at no package"),
        ("", "", 3, 2, "it ended with 3"),
    ],
)
def test_no_answer_is_not_taken_for_a_good_one(
    tmp_path: Path, answer: str, complaint: str, ends: int, code: int, says: str
) -> None:
    program = tmp_path / "pip-audit.py"
    program.write_text(
        f"import sys\nprint({answer!r})\nprint({complaint!r}, file=sys.stderr)\nsys.exit({ends})"
    )

    ended = subprocess.run(
        [sys.executable, "conf/audit.py", sys.executable, str(program)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == code
    assert says in ended.stdout + ended.stderr


def test_without_the_program_nothing_is_known() -> None:
    ended = subprocess.run(
        [sys.executable, "conf/audit.py", "no-such-program"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 2
    assert "no-such-program: No such file or directory" in ended.stderr


@pytest.mark.parametrize(
    ("ends", "required", "code"), [(0, "", 0), (1, "", 1), (2, "", 0), (2, "required", 2)]
)
def test_a_finding_ends_the_checks(tmp_path: Path, ends: int, required: str, code: int) -> None:
    text = (ROOT / ".ci" / "run").read_text()
    step = text[text.index("status=0") : text.index('if [ -n "${AMQPD_INTEROP')]
    (tmp_path / "conf").mkdir()
    lock = tmp_path / "conf" / "lock"
    lock.write_text(f'[ "$1" = --check ] || exit 9\nexit {ends}\n')
    lock.chmod(0o700)

    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"python=python3\n{step}"],
        cwd=tmp_path,
        env={**os.environ, "AMQPD_AUDIT": required},
        capture_output=True,
        check=False,
    )

    assert ended.returncode == code
