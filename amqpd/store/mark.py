"""The mark that a write or sync has failed, for the next start.

    Mark(database).leave(damage=…)      by the writer, when it stops for good
    .is_there, .is_damage, .is_rescued  what the next start has to do
    .clear()                            done

The file need not be on the disk itself: after a restart of the machine nothing is shown that is
not. Only where a rescue has made a new file, it is synced before the files change places.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

FILE: Final = "failed"
_DAMAGE: Final = b"damage\n"
_RESCUED: Final = b"rescued\n"


class Mark:
    """The file `failed` beside a database."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(FILE)

    def leave(self, *, damage: bool) -> None:
        """Say that what the system shows may not be on the disk, or that it cannot be read."""
        with suppress(OSError):
            self._write(_DAMAGE if damage else b"")

    @property
    def is_there(self) -> bool:
        """A write or sync has failed since the file was opened the last time."""
        return self._path.exists()

    @property
    def is_damage(self) -> bool:
        """It was a page that could not be read, or was not what it should be."""
        return self._read() == _DAMAGE

    @property
    def is_rescued(self) -> bool:
        """A new file is ready to take the place of the damaged one."""
        return self._read() == _RESCUED

    def set_rescued(self) -> None:
        """Say so; on disk when this returns.

        Raises:
            OSError: it cannot be said.
        """
        self._write(_RESCUED)

    def clear(self) -> None:
        """What had to be done is done."""
        self._path.unlink(missing_ok=True)

    def _read(self) -> bytes | None:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return None

    def _write(self, text: bytes) -> None:
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(file, text)
            if text == _RESCUED:
                os.fsync(file)
        finally:
            os.close(file)
