"""The reserve: disk space kept back for the moment when there is no other.

A broker whose disk is full must still write that messages were consumed, or nothing ever gets
better. So a file of some size lies in the data directory that holds nothing; it is given up
when a batch meets a full disk, and laid down again once there is plenty of room.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

FILE: Final = "reserve"
#: It is laid down where so many times its size is free.
PLENTY: Final = 4


class Reserve:
    """The file `reserve` of a data directory; 0 bytes: there is none."""

    def __init__(self, directory: Path, size_bytes: int) -> None:
        self._path = directory / FILE
        self._size_bytes = size_bytes

    def keep(self) -> None:
        """Lay it down, unless it is there or there is not plenty of room."""
        if not self._size_bytes or self._path.exists():
            return
        found = os.statvfs(self._path.parent)
        if found.f_bavail * found.f_frsize < PLENTY * self._size_bytes:
            return
        descriptor = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, self._size_bytes)
        except OSError as error:
            # Somebody else was faster, or the file system keeps no promises.
            log.warning("reserve %s: not kept: %s", self._path, error.strerror)
            self._path.unlink()
        finally:
            os.close(descriptor)

    def give_up(self) -> bool:
        """Make room; False if there was nothing to give up."""
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        log.warning("reserve %s: given up, the disk is full", self._path)
        return True
