"""The chain: backends asked in order, and the memory of recent successes.

    Backend                 Protocol: name, login(name, password) -> Login
    Accepted(name, tags)    Refused(reason)          the reason is for the log only
    Chain(backends, key, remember_s=…, remember_at_most=…)
        .login(name, password, now_s) -> Login       may block: call it in a thread
        .login_by_name(name) -> Login                EXTERNAL, ANONYMOUS: proven otherwise
        .forget()                                    users, permissions or backends changed

The first backend that accepts decides. A backend that fails counts as one that refuses: a
directory that is down must not let anybody in, nor keep out those whom the next one knows.

A success may be remembered so that reconnecting clients cost nothing. What is kept is an HMAC
of name and password under a key that lives as long as the process, never the password; it is
forgotten when its time is over or anything about users changes.
"""

from __future__ import annotations

import hmac
import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger(__name__)

REMEMBER_S: Final = 300.0
REMEMBER_AT_MOST: Final = 10_000


@dataclass(frozen=True, slots=True)
class Accepted:
    """The login is good: who it is, and the tags the backend gives."""

    name: str
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Refused:
    """The login is not good; the client is never told why."""

    reason: str


Login = Accepted | Refused


class Backend(Protocol):
    """One source of truth about users."""

    name: str

    def login(self, name: str, password: str | None) -> Login:
        """Check a password; None = the name itself was proven (by a certificate)."""


@dataclass(frozen=True, slots=True)
class _Success:
    accepted: Accepted
    until_s: float


class Chain:
    """Asks backends in their order. Safe to use from several threads."""

    def __init__(
        self,
        backends: Sequence[Backend],
        key: bytes,
        *,
        remember_s: float = REMEMBER_S,
        remember_at_most: int = REMEMBER_AT_MOST,
    ) -> None:
        """`key` is secret and random, made anew by every process."""
        self._backends = tuple(backends)
        self._key = key
        self._remember_s = remember_s
        self._remember_at_most = remember_at_most
        self._successes: dict[bytes, _Success] = {}
        self._forgotten = 0
        self._lock = threading.Lock()

    def login(self, name: str, password: str, now_s: float) -> Login:
        """Check a name and a password, as of `now_s` on any clock that does not go back."""
        if not password:
            return Refused("blank passwords are not accepted")
        mark = self._mark(name, password)
        with self._lock:
            success = self._successes.get(mark)
            forgotten = self._forgotten
        if success is not None and now_s < success.until_s:
            return success.accepted
        login = self._ask(name, password)
        if isinstance(login, Accepted):
            self._remember(mark, _Success(login, now_s + self._remember_s), forgotten, now_s)
        return login

    def login_by_name(self, name: str) -> Login:
        """Accept a name that was proven without a password, if a backend knows it."""
        return self._ask(name, None)

    def forget(self) -> None:
        """Remember no success from before this moment."""
        with self._lock:
            self._successes.clear()
            self._forgotten += 1

    def _ask(self, name: str, password: str | None) -> Login:
        reasons = []
        for backend in self._backends:
            try:
                login = backend.login(name, password)
            except Exception:
                log.exception("auth backend '%s': login of user '%s' failed", backend.name, name)
                login = Refused("the backend failed")
            if isinstance(login, Accepted):
                return login
            reasons.append(f"{backend.name}: {login.reason}")
        return Refused("; ".join(reasons) or "no backend is configured")

    def _remember(self, mark: bytes, success: _Success, forgotten: int, now_s: float) -> None:
        with self._lock:
            # A user changed while the backend was being asked: the answer may be of before.
            if forgotten != self._forgotten or self._remember_s <= 0:
                return
            if len(self._successes) >= self._remember_at_most:
                kept = {k: each for k, each in self._successes.items() if now_s < each.until_s}
                self._successes = kept if len(kept) < self._remember_at_most else {}
            self._successes[mark] = success

    def _mark(self, name: str, password: str) -> bytes:
        # The length keeps ("ab", "c") and ("a", "bc") apart.
        octets = name.encode(errors="surrogateescape")
        octets = len(octets).to_bytes(4, "big") + octets
        octets += password.encode(errors="surrogateescape")
        return hmac.digest(self._key, octets, "sha256")
