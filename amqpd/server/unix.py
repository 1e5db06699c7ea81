"""Where the local socket is, for both of its ends; imports nothing that takes long."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: The socket's name in the data directory.
NAME: Final = "amqpd.sock"
#: The longest path that the kernel takes for a socket (sun_path), its last NUL included.
PATH_BYTES: Final = 108


@contextlib.contextmanager
def short_path(path: Path) -> Iterator[str]:
    """The path of a socket as the kernel takes it, however long it is."""
    if len(os.fsencode(path)) < PATH_BYTES:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
