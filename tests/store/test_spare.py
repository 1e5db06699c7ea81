"""The spare: laid down in full, given up at once, no more than a help."""

from __future__ import annotations

import resource
import signal
from typing import TYPE_CHECKING

import pytest

from amqpd.store.spare import Spare

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def joined(spare: Spare) -> None:
    """Wait until it is laid down."""
    assert spare._thread is not None
    spare._thread.join()


def test_a_file_is_laid_down_once_and_taken(tmp_path: Path) -> None:
    spare, path = Spare(), tmp_path / "next"

    spare.prepare(path, 3 << 20)
    spare.prepare(tmp_path / "another", 1 << 20)
    joined(spare)
    spare.take(path)

    assert path.read_bytes() == bytes(3 << 20)
    assert path.stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "another").exists()
    assert not spare.give_up()
    assert path.exists()


def test_it_is_taken_as_far_as_it_is(tmp_path: Path) -> None:
    spare, path = Spare(), tmp_path / "next"

    spare.prepare(path, 1 << 40)
    spare.take(path)

    assert not any(path.read_bytes() if path.exists() else b"")


def test_it_is_given_up_for_another_one_or_for_its_space(tmp_path: Path) -> None:
    spare, path = Spare(), tmp_path / "next"

    spare.prepare(path, 1 << 20)
    joined(spare)
    spare.take(tmp_path / "another")
    assert not path.exists()
    spare.prepare(path, 1 << 20)
    assert spare.give_up()

    assert not path.exists()
    assert not spare.give_up()


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may be larger than 1.5 MiB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 19, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("small_files")
def test_what_cannot_be_laid_down_takes_no_space(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spare, path = Spare(), tmp_path / "next"

    spare.prepare(path, 8 << 20)
    joined(spare)

    assert path.stat().st_size == 0
    assert "cannot be laid down: File too large" in caplog.text
