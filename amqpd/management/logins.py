"""Logins of the web page: a cookie in place of a password with each request.

A session is a random token that stands for one user until it expires, the user logs out, or
the user's password or tags change. Requests that carry nothing but the cookie and change
something must come from the page itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from amqpd.broker.permissions import User
    from amqpd.management.access import Caller

COOKIE: Final = "amqpd"
#: Sessions that are remembered, in all and of one user; beyond it the oldest end.
MOST: Final = 10_000
MOST_OF_USER: Final = 100


@dataclass(frozen=True, slots=True)
class _Session:
    caller: Caller
    user: User | None
    until_ms: int


class WebSessions:
    """Who is logged in with a cookie."""

    def __init__(
        self, find_user: Callable[[str], User | None], new_token: Callable[[], str]
    ) -> None:
        self._find_user = find_user
        self._new_token = new_token
        self._sessions: dict[str, _Session] = {}

    def open(self, caller: Caller, now_ms: int, life_s: int) -> str:
        """A token that stands for the caller so long, and no longer than its credentials."""
        token = self._new_token()
        user = self._find_user(caller.name)
        until_ms = now_ms + life_s * 1000
        if caller.expires_at_ms is not None:
            until_ms = min(until_ms, caller.expires_at_ms)
        own = [key for key, one in self._sessions.items() if one.caller.name == caller.name]
        if len(own) >= MOST_OF_USER:
            # Nobody logs others out by logging in.
            del self._sessions[own[0]]
        self._sessions[token] = _Session(caller, user, until_ms)
        if len(self._sessions) > MOST:
            del self._sessions[next(iter(self._sessions))]
        return token

    def close(self, token: str) -> None:
        """Log out."""
        self._sessions.pop(token, None)

    def caller(self, token: str, now_ms: int) -> Caller | None:
        """Whom a token stands for; None for nobody any more."""
        session = self._sessions.get(token)
        if session is None:
            return None
        if now_ms >= session.until_ms or self._find_user(session.caller.name) != session.user:
            del self._sessions[token]
            return None
        return session.caller


def token_of(headers: Mapping[str, str]) -> str:
    """The token in a request's cookies; empty if there is none."""
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel is not None else ""


def is_from_own_page(headers: Mapping[str, str]) -> bool:
    """Whether the browser says that the page which sends this came from here."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host")


def cookie(token: str, *, secure: bool, life_s: int, path: str = "") -> str:
    """The header that sets the cookie below a path; a life of 0 removes it."""
    rest = "; Secure" if secure else ""
    return (
        f"{COOKIE}={token}; Path={path or '/'}; HttpOnly; SameSite=Strict; Max-Age={life_s}{rest}"
    )
