"""The recorder, compiled once; how batches are written in all these tests."""

from __future__ import annotations

import subprocess
from pathlib import Path
from shutil import which

import pytest

SOURCE = Path(__file__).with_name("recorder.c")


@pytest.fixture(scope="session")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled recorder."""
    compiler = which("cc") or which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler to record system calls")
    library = tmp_path_factory.mktemp("recorder") / "recorder.so"
    options = ["-shared", "-fPIC", "-O2", "-o", str(library), str(SOURCE), "-ldl", "-lpthread"]
    subprocess.run([compiler, *options], check=True)
    return library


@pytest.fixture(autouse=True)
def all_small_ones_deferred(monkeypatch: pytest.MonkeyPatch) -> None:
    """All small batches are deferred, not only those in a row: here others lie between them."""
    monkeypatch.setattr("amqpd.store.deferred.STEADY", 0)
