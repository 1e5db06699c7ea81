"""The local socket: the API for whoever may read the broker's files anyway, without a password.

    LocalSocket.bound_in(directory)     `amqpd.sock` there, for nobody else (0600)
        .knocked()                      waits for the first connection
        .close()
    user_of(connection)                 who is at the other end, if it may be there

The kernel tells who connects. Only root and the user of the broker itself get an answer; the
mode of the file and of its directory keep others out before that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pwd
import socket
import struct
from typing import TYPE_CHECKING, Final, Self

from amqpd.server.unix import NAME, short_path

if TYPE_CHECKING:
    from pathlib import Path

LOG = logging.getLogger("amqpd.http")

BACKLOG: Final = 64
#: pid, uid and gid of the peer (SO_PEERCRED).
_CREDENTIALS: Final = struct.Struct("3i")
ROOT: Final = 0


class LocalSocket:
    """A listening socket in the data directory; the caller holds the directory's lock."""

    def __init__(self, path: Path, listening: socket.socket) -> None:
        self.path = path
        self.socket = listening

    @classmethod
    def bound_in(cls, directory: Path) -> Self | None:
        """The socket of this data directory; None where there can be none, and the log says why."""
        path = directory / NAME
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            path.unlink(missing_ok=True)
            with short_path(path) as name:
                made.bind(name)
            path.chmod(0o600)
            made.listen(BACKLOG)
        except OSError as error:
            made.close()
            # Messages are worth more than a way to look at them.
            LOG.warning("local socket %s: %s; the command line needs HTTP", path, error.strerror)
            return None
        made.setblocking(False)
        return cls(path, made)

    async def knocked(self) -> None:
        """Wait until somebody connects; nothing is accepted yet."""
        loop = asyncio.get_running_loop()
        somebody = asyncio.Event()
        loop.add_reader(self.socket, somebody.set)
        try:
            await somebody.wait()
        finally:
            loop.remove_reader(self.socket)

    def close(self) -> None:
        """Nobody comes in any more, and nobody finds the way."""
        self.socket.close()
        with contextlib.suppress(OSError):  # somebody has tidied up
            self.path.unlink()


def user_of(connection: socket.socket | None) -> str | None:
    """The name of the user at the other end; None if it may not be here."""
    if connection is None:
        return None
    size = _CREDENTIALS.size
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    _, uid, _ = _CREDENTIALS.unpack(found)
    if uid not in (ROOT, os.geteuid()):
        LOG.warning("local socket: user id %d was refused", uid)
        return None
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
