"""Detection: what in the audit log looks like an attack.

    Detection()
        .login_failed(user, source, now_s) -> list[Alert]
        .login_succeeded(user, source, now_s) -> list[Alert]
        .denied(user, now_s) -> list[Alert]

Rules, each over a sliding minute and told once in ten for the same name:

- `login-burst`: one source fails `BURST` times, whatever the users;
- `login-spread`: one user fails `BURST` times from at least three sources;
- `guessed`: a user gets in after `GUESSES` failures from the same source;
- `denials`: one user is denied `DENIALS` times.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

BURST: Final = 20
SPREAD: Final = 3
GUESSES: Final = 8
DENIALS: Final = 50
WINDOW_S: Final = 60.0
#: Not told again for the same name.
SILENCE_S: Final = 600.0
#: Names that are watched; beyond it the oldest are forgotten.
MOST_WATCHED: Final = 10_000


class Alert(NamedTuple):
    """A rule, whom it is about, and what was seen."""

    rule: str
    name: str
    text: str


class _Window:
    """Events by name, those of the last minute."""

    def __init__(self) -> None:
        self._events: dict[str, deque[tuple[float, str]]] = {}

    def add(self, name: str, what: str, now_s: float) -> list[str]:
        """Add one; all of the last minute."""
        events = self._events.pop(name, None) or deque(maxlen=4 * DENIALS)
        events.append((now_s, what))
        self._events[name] = events
        if len(self._events) > MOST_WATCHED:
            del self._events[next(iter(self._events))]
        return self.of(name, now_s)

    def of(self, name: str, now_s: float) -> list[str]:
        """What happened in the last minute."""
        events = self._events.get(name)
        if events is None:
            return []
        while events and events[0][0] < now_s - WINDOW_S:
            events.popleft()
        return [what for _, what in events]

    def forget(self, name: str) -> None:
        """It is over."""
        self._events.pop(name, None)


class Detection:
    """Watches what the audit log is told."""

    def __init__(self) -> None:
        self._by_source = _Window()
        self._by_user = _Window()
        self._by_both = _Window()
        self._denials = _Window()
        self._told: dict[tuple[str, str], float] = {}

    def login_failed(self, user: str, source: str, now_s: float) -> list[Alert]:
        """Somebody did not get in."""
        alerts = []
        self._by_both.add(f"{user}\0{source}", source, now_s)
        of_source = self._by_source.add(source, user, now_s)
        if len(of_source) >= BURST:
            users = len(set(of_source))
            text = f"{len(of_source)} logins failed within a minute, for {users} users"
            alerts.append(Alert("login-burst", source, text))
        of_user = self._by_user.add(user, source, now_s)
        sources = len(set(of_user))
        if len(of_user) >= BURST and sources >= SPREAD:
            text = f"{len(of_user)} logins failed within a minute, from {sources} sources"
            alerts.append(Alert("login-spread", user, text))
        return self._new(alerts, now_s)

    def login_succeeded(self, user: str, source: str, now_s: float) -> list[Alert]:
        """Somebody got in."""
        failures = len(self._by_both.of(f"{user}\0{source}", now_s))
        self._by_both.forget(f"{user}\0{source}")
        if failures < GUESSES:
            return []
        text = f"logged in from {source} after {failures} failures within a minute"
        return self._new([Alert("guessed", user, text)], now_s)

    def denied(self, user: str, now_s: float) -> list[Alert]:
        """Somebody may not do what it wanted."""
        count = len(self._denials.add(user, "", now_s))
        if count < DENIALS:
            return []
        return self._new([Alert("denials", user, f"{count} denials within a minute")], now_s)

    def _new(self, alerts: list[Alert], now_s: float) -> list[Alert]:
        fresh = []
        for alert in alerts:
            key = (alert.rule, alert.name)
            told_s = self._told.pop(key, float("-inf"))
            is_new = now_s - told_s >= SILENCE_S
            self._told[key] = now_s if is_new else told_s
            if is_new:
                fresh.append(alert)
        while len(self._told) > MOST_WATCHED:
            del self._told[next(iter(self._told))]
        return fresh
