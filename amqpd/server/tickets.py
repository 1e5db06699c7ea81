"""Tickets: passwords for a minute, for whoever has shown over the local socket who it is.

    issue(user) -> password         the user's name is `local user …`
    find(name, password)            who that is, or nobody

With them the command line publishes and consumes without anybody's password. They are secrets of
18 random bytes, kept in memory only.
"""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING, Final

from amqpd.auth.chain import Accepted
from amqpd.management.access import local

if TYPE_CHECKING:
    from collections.abc import Callable

LIFE_S: Final = 60.0
#: That are good at a time; beyond it the oldest end.
MOST: Final = 100


class Tickets:
    """The tickets that are good; `now_s` is a clock that only goes forward."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        #: The password, whose it is, and until when.
        self._good: dict[str, tuple[str, float]] = {}

    def issue(self, user: str) -> str:
        """A password for a user of this machine."""
        now_s = self._now_s()
        self._good = {key: one for key, one in self._good.items() if one[1] > now_s}
        if len(self._good) >= MOST:
            del self._good[next(iter(self._good))]
        password = secrets.token_urlsafe(18)
        self._good[password] = local(user).name, now_s + LIFE_S
        return password

    def find(self, name: str, password: str) -> Accepted | None:
        """Who comes with this ticket; None: it is none, or not any more."""
        now_s = self._now_s()
        said = password.encode(errors="replace")
        for good, (owner, until_s) in self._good.items():
            if until_s > now_s and owner == name and hmac.compare_digest(good.encode(), said):
                caller = local(name.removeprefix(local("").name))
                return Accepted(caller.name, caller.tags, caller.authority)
        return None
