"""The internal backend: the users of the broker itself.

    InternalBackend(find_user, thread)    find_user(name) -> User | None
        await .login(name, password, host)    password None: the name was proven otherwise

A hash takes time on purpose: it is computed in the thread, from one immutable `User`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from amqpd.auth.chain import Accepted, Refused
from amqpd.auth.passwords import DEFAULT_ALGORITHM, UNUSABLE, verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from amqpd.auth.around import Around
    from amqpd.auth.chain import Login
    from amqpd.broker.permissions import User

#: Four octets of salt and a digest that no password has.
_NOBODY: Final = "A" * 48


#: A success counts until users change, but not for ever.
REMEMBER_S: Final = 300.0


class InternalBackend:
    """Checks passwords against the hashes in the model."""

    name = "internal"

    def __init__(
        self,
        find_user: Callable[[str], User | None],
        thread: Executor,
        *,
        remember_s: float = REMEMBER_S,
    ) -> None:
        self.remember_s = remember_s
        self._find_user = find_user
        self._thread = thread

    async def login(self, name: str, password: str | None, host: str) -> Login:
        """Accept or refuse; refusals take as long for users that do not exist."""
        user = self._find_user(name)
        if password is None:
            return Refused("no such user") if user is None else Accepted(name, user.tags)
        if password == "":
            return Refused("blank passwords are not accepted")
        loop = asyncio.get_running_loop()
        matches = await loop.run_in_executor(self._thread, _verify, user, password)
        if user is None:
            return Refused("no such user")
        if user.password_hash == UNUSABLE:
            return Refused("the user has no password")
        return Accepted(name, user.tags) if matches else Refused("wrong password")

    async def close(self) -> None:
        """The thread is somebody else's."""


def _verify(user: User | None, password: str) -> bool:
    if user is None:
        return verify(password, _NOBODY, DEFAULT_ALGORITHM)
    return verify(password, user.password_hash, user.hashing_algorithm)


def make(around: Around) -> InternalBackend:
    """The backend of this broker's users."""
    return InternalBackend(around.find_user, around.thread)
