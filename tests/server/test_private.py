"""What the broker writes is for nobody else."""

from __future__ import annotations

import resource
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from amqpd.server.private import make_private
from tests.server.running import Program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_new_directory_is_private(tmp_path: Path) -> None:
    make_private(tmp_path / "a" / "data")

    assert mode(tmp_path / "a" / "data") == 0o700


def test_a_directory_of_a_broker_becomes_private_with_its_files(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    for name in ("amqpd.db", "run.json", "notes"):
        (data / name).touch(mode=0o644)

    make_private(data)

    assert mode(data) == 0o700
    assert [mode(data / name) for name in ("amqpd.db", "run.json", "notes")] == [
        0o600, 0o600, 0o644,
    ]  # fmt: skip


def test_a_link_in_the_directory_leads_nobody_to_rights_elsewhere(tmp_path: Path) -> None:
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    data.mkdir(mode=0o755)
    elsewhere.touch(mode=0o644)
    (data / "amqpd.log").symlink_to(elsewhere)
    (data / "amqpd.db").touch(mode=0o644)

    make_private(data)

    assert [mode(one) for one in (data, data / "amqpd.db", elsewhere)] == [0o700, 0o600, 0o644]


def test_what_belongs_to_somebody_else_is_told_and_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "data").mkdir(mode=0o755)
    monkeypatch.setattr("os.geteuid", lambda: 4711)

    make_private(tmp_path / "data")

    assert mode(tmp_path / "data") == 0o755
    assert "is open to others (755)" in caplog.text


def test_a_directory_that_others_use_too_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = tmp_path / "shared"
    data.mkdir()
    data.chmod(0o755)
    (data / "of somebody else").touch()

    make_private(data)

    assert mode(data) == 0o755
    assert "is open to others: chmod 700 it" in caplog.text


@pytest.fixture
def dumps() -> Iterator[None]:
    """A shell in which programs that end badly leave their memory behind, where that may be."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, before)


@pytest.mark.usefixtures("dumps")
def test_nothing_that_a_broker_writes_is_open_to_others(tmp_path: Path) -> None:
    with Program(tmp_path / "data").wait_ready() as broker:
        files = list(broker.data.iterdir())
        limits = subprocess.check_output(["cat", f"/proc/{broker.process.pid}/limits"], text=True)

    assert len(files) >= 3
    assert {mode(path) & 0o077 for path in (broker.data, *files)} == {0}
    core = next(line for line in limits.splitlines() if "core file" in line)
    # With 0 it would still be piped to a program, where one is set (core(5)).
    assert core.split()[4] == "1"


def test_a_process_that_uses_the_broker_keeps_its_own_ways() -> None:
    program = "import os, amqpd.server.app; print(os.umask(0o22))"
    printed = subprocess.check_output([sys.executable, "-c", program], umask=0o27, text=True)

    assert int(printed) == 0o27
