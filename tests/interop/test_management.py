"""RabbitMQ's answers over HTTP, kept in a file, against those of a broker of this environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "interop" / "management"


def test_all_calls_are_answered_as_by_rabbitmq_but_for_what_is_listed(tmp_path: Path) -> None:
    command = [sys.executable, str(FOLDER / "run"), "--answers", str(tmp_path / "answers")]

    ended = subprocess.run(
        [*command, "--reference", str(FOLDER / "reference.json")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
