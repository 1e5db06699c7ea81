"""What is recorded of a process that is killed has no cut record, and all that was written."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.store.disk import DEADLY, Disk

if TYPE_CHECKING:
    from pathlib import Path

LIVES = 10
#: Writes big pieces until it is killed; tells of the first one.
WRITER = """
import os, sys
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
piece = bytes(range(256)) * 4096
while True:
    at = os.fstat(file).st_size
    os.pwrite(file, piece, at)
    print(at, flush=True)
    os.truncate(file, at + len(piece) if at < 16 * len(piece) else 0)
"""


def test_a_kill_is_between_two_records(recorder: Path, tmp_path: Path) -> None:
    directory, log = tmp_path / "data", tmp_path / "log"
    directory.mkdir()
    file = directory / "file"
    environment = {
        "LD_PRELOAD": str(recorder),
        "RECORD_DIRECTORY": str(directory),
        "RECORD_LOG": str(log),
    }

    for life in range(LIVES):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, file], env=environment, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            for _ in range(life + 1):
                assert process.stdout.readline()
            process.send_signal(DEADLY)
        assert process.returncode < 0

        disk = Disk(log.read_bytes(), directory)
        for _ in disk.play():
            pass
        seen = disk.files["file"]
        image = bytearray(seen.safe)
        for change in seen.pending:
            change.apply(image)
        assert image == file.read_bytes()
