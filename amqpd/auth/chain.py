"""The chain: backends asked in order, and the memory of recent successes.

    Backend                 Protocol: name, remember_s, login(name, password, host) -> Login
    Accepted(name, …)       Refused(reason)          the reason is for the log only
    Way(first, deciding)    who checks the password, and who decides on rights if not the same
    Chain(ways, key, tables)
        .recall(name, password, now_s) -> Accepted | None      from memory, at once
        await .login(name, password, host, now_s) -> Login
        await .login_by_name(name, host) -> Login   EXTERNAL, ANONYMOUS: proven otherwise
        await .renew(backend, name, secret, host) -> Login     by whoever has accepted before
        .forget()                                   users, permissions or backends changed

The first way that accepts decides. A backend that fails counts as one that refuses: a
directory that is down must not let anybody in, nor keep out those whom the next one knows.
As in RabbitMQ, one backend may check passwords while others decide on rights: they have to
know the user, are not given the password, and all of them have to allow an operation.

A success may be remembered so that reconnecting clients cost nothing. What is kept is an HMAC
of name and password under a key that lives as long as the process, never the password; it is
forgotten when its time or that of the credentials is over, or anything about users changes.
Those who come with the same password while it is being checked share the one check.

Used from one event loop. What blocks is done by the backends in threads.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hmac
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from amqpd.auth.combined import combine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from amqpd.broker.access import Authority

log = logging.getLogger(__name__)

REMEMBER_AT_MOST: Final = 10_000


@dataclass(frozen=True, slots=True)
class Accepted:
    """The login is good: who it is, its tags, and who decides what it may do."""

    name: str
    tags: frozenset[str] = frozenset()
    #: None: the broker's own tables.
    authority: Authority | None = None
    #: When the credentials end, in seconds since the epoch.
    expires_s: float | None = None
    #: The backend that has accepted; filled in by the chain.
    backend: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """The login is not good; the client is never told why."""

    reason: str


Login = Accepted | Refused


class Backend(Protocol):
    """One source of truth about users. Exceptions mean that it could not be asked."""

    name: str
    #: How long a success may be remembered.
    remember_s: float

    async def login(self, name: str, password: str | None, host: str) -> Login:
        """Check a password; None = the name itself was proven (by a certificate)."""

    async def close(self) -> None:
        """Nobody asks any more."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way in. Without any `deciding` the first one decides on rights, too."""

    first: Backend
    deciding: tuple[Backend, ...] = ()


@dataclass(frozen=True, slots=True)
class _Success:
    accepted: Accepted
    until_s: float


class Chain:
    """Asks backends in their order."""

    def __init__(
        self,
        ways: Sequence[Way],
        key: bytes,
        tables: Callable[[str], Authority],
        *,
        remember_at_most: int = REMEMBER_AT_MOST,
    ) -> None:
        """`key` is secret and random, made anew by every process."""
        self._ways = tuple(ways)
        self._key = key
        self._tables = tables
        self._remember_at_most = remember_at_most
        self._successes: dict[bytes, _Success] = {}
        self._under_way: dict[bytes, asyncio.Future[Login]] = {}
        self._forgotten = 0

    def recall(self, name: str, password: str, now_s: float) -> Accepted | None:
        """Who it is, if that was found out a short time ago."""
        success = self._successes.get(self._mark(name, password))
        return success.accepted if success is not None and now_s < success.until_s else None

    async def login(self, name: str, password: str, host: str, now_s: float) -> Login:
        """Check a name and a password; `now_s` is seconds since the epoch."""
        if not password:
            return Refused("blank passwords are not accepted")
        recalled = self.recall(name, password, now_s)
        if recalled is not None:
            return recalled
        mark = self._mark(name, password)
        under_way = self._under_way.get(mark)
        if under_way is not None:
            return await asyncio.shield(under_way)
        answer = self._under_way[mark] = asyncio.get_running_loop().create_future()
        login: Login = Refused("the check was broken off")
        try:
            forgotten = self._forgotten
            login, remember_s = await self._ask(name, password, host)
            if isinstance(login, Accepted) and forgotten == self._forgotten:
                self._remember(mark, login, now_s, remember_s)
        finally:
            self._under_way.pop(mark, None)
            answer.set_result(login)
        return login

    async def login_by_name(self, name: str, host: str) -> Login:
        """Accept a name that was proven without a password, if a backend knows it."""
        return (await self._ask(name, None, host))[0]

    async def renew(self, backend: str, name: str, secret: str, host: str) -> Login:
        """Accept a new secret of somebody who was let in by this backend.

        The passwords of backends that remember no end do not end either: there is nothing to
        renew, and the name will do.
        """
        for way in self._ways:
            if way.first.name == backend:
                return await self._try(way, name, secret, host)
        return Refused(f"no backend '{backend}' any more")

    def forget(self) -> None:
        """Remember no success from before this moment."""
        self._successes.clear()
        self._under_way.clear()
        self._forgotten += 1

    async def close(self) -> None:
        """Close all backends."""
        backends = {id(one): one for way in self._ways for one in (way.first, *way.deciding)}
        for backend in backends.values():
            await backend.close()

    async def _ask(self, name: str, password: str | None, host: str) -> tuple[Login, float]:
        """The answer, and how long it may be remembered."""
        reasons = []
        for way in self._ways:
            login = await self._try(way, name, password, host)
            if isinstance(login, Accepted):
                return login, min(one.remember_s for one in (way.first, *way.deciding))
            reasons.append(login.reason)
        return Refused("; ".join(reasons) or "no backend is configured"), 0.0

    async def _try(self, way: Way, name: str, password: str | None, host: str) -> Login:
        login = await _login(way.first, name, password, host)
        if isinstance(login, Refused):
            return login
        login = dataclasses.replace(login, backend=way.first.name)
        if not way.deciding:
            return login
        tags, authorities = login.tags, []
        for backend in way.deciding:
            known = await _login(backend, login.name, None, host)
            if isinstance(known, Refused):
                return known
            tags |= known.tags
            authorities.append(known.authority or self._tables(login.name))
        return dataclasses.replace(login, tags=tags, authority=combine(authorities))

    def _remember(self, mark: bytes, accepted: Accepted, now_s: float, remember_s: float) -> None:
        until_s = now_s + remember_s
        if accepted.expires_s is not None:
            until_s = min(until_s, accepted.expires_s)
        if until_s <= now_s:
            return
        if len(self._successes) >= self._remember_at_most:
            kept = {k: each for k, each in self._successes.items() if now_s < each.until_s}
            self._successes = kept if len(kept) < self._remember_at_most else {}
        self._successes[mark] = _Success(accepted, until_s)

    def _mark(self, name: str, password: str) -> bytes:
        # The length keeps ("ab", "c") and ("a", "bc") apart.
        octets = name.encode(errors="surrogateescape")
        octets = len(octets).to_bytes(4, "big") + octets
        octets += password.encode(errors="surrogateescape")
        return hmac.digest(self._key, octets, "sha256")


async def _login(backend: Backend, name: str, password: str | None, host: str) -> Login:
    try:
        login = await backend.login(name, password, host)
    except Exception as error:
        # Not the traceback: its frames may hold the password.
        log.error(
            "auth backend '%s': login of user '%s' failed: %s: %s",
            backend.name,
            name,
            type(error).__name__,
            error,
        )
        return Refused(f"{backend.name}: the backend failed")
    if isinstance(login, Refused):
        return Refused(f"{backend.name}: {login.reason}")
    return login
