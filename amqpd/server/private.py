"""The data directory is for nobody else: it has all messages and the hashes of passwords.

make_private(directory)     0700, if it is the broker's own
private_process()           files for nobody else, and no dump of memory
"""

from __future__ import annotations

import logging
import os
import resource
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

LOG = logging.getLogger("amqpd.server")

OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
#: What the names of the broker's own files begin with.
OWN: Final = ("amqpd.", "run.json", "audit")


def make_private(directory: Path) -> None:
    """Make the directory if need be, and take the rights of others away.

    A directory that is not the broker's alone, as `/tmp`, is left as it is.

    Raises:
        OSError: it cannot be made.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    inside = list(directory.iterdir())
    own = [path for path in inside if path.name.startswith(OWN) and not path.is_symlink()]
    if own or not inside:
        _close(directory)
        for path in own:
            _close(path)
    elif stat.S_IMODE(directory.stat().st_mode) & OTHERS:
        LOG.warning("data directory '%s' is open to others: chmod 700 it", directory)


def _close(path: Path) -> None:
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    if not mode & OTHERS:
        return
    if found.st_uid != os.geteuid() or mode & stat.S_ISVTX:
        LOG.warning("'%s' is open to others (%03o)", path, mode)
        return
    path.chmod(mode & ~OTHERS)
    LOG.info("'%s' was open to others (%03o); it is not any more", path, mode)


def private_process() -> None:
    """Write files for nobody else, and leave no memory behind when the system kills us."""
    os.umask(OTHERS)
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    # Not 0: a program that the kernel pipes dumps to (core_pattern) would get them all the same.
    # With 1 it is not called, and no file is so small (fs/coredump.c).
    resource.setrlimit(resource.RLIMIT_CORE, (min(1, hard) if hard >= 0 else 1, hard))
