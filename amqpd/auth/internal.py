"""The internal backend: the users of the broker itself.

    InternalBackend(find_user)            find_user(name) -> User | None
        .login(name, password) -> Login   password None: the name was proven otherwise

Blocks for the time of one hash and may run in any thread: it reads one immutable `User` and
touches nothing else of the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from amqpd.auth.chain import Accepted, Refused
from amqpd.auth.passwords import DEFAULT_ALGORITHM, UNUSABLE, verify

if TYPE_CHECKING:
    from collections.abc import Callable

    from amqpd.auth.chain import Login
    from amqpd.broker.permissions import User

#: Four octets of salt and a digest that no password has.
_NOBODY: Final = "A" * 48


class InternalBackend:
    """Checks passwords against the hashes in the model."""

    name = "internal"

    def __init__(self, find_user: Callable[[str], User | None]) -> None:
        self._find_user = find_user

    def login(self, name: str, password: str | None) -> Login:
        """Accept or refuse; refusals take as long for users that do not exist."""
        user = self._find_user(name)
        if password is None:
            return Refused("no such user") if user is None else Accepted(name, user.tags)
        if password == "":
            return Refused("blank passwords are not accepted")
        stored = _NOBODY if user is None else user.password_hash
        algorithm = DEFAULT_ALGORITHM if user is None else user.hashing_algorithm
        matches = verify(password, stored, algorithm)
        if user is None:
            return Refused("no such user")
        if user.password_hash == UNUSABLE:
            return Refused("the user has no password")
        return Accepted(name, user.tags) if matches else Refused("wrong password")
