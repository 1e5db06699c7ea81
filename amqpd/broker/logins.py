"""Attempts to log in: how many, by protocol, and by who tried from where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Pairs of address and user that are counted apart; beyond it the oldest are forgotten.
MOST: Final = 10_000


@dataclass(slots=True)
class Tried:
    """How often it was tried, and how it ended."""

    succeeded: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        """All attempts."""
        return self.succeeded + self.failed


class LoginAttempts:
    """All attempts since the start, or since `reset`."""

    def __init__(self) -> None:
        self._by_protocol: dict[str, Tried] = {}
        self._by_source: dict[tuple[str, str, str], Tried] = {}

    def add(self, protocol: str, host: str, user: str, *, succeeded: bool) -> None:
        """Somebody has tried."""
        source = (host, user, protocol)
        by_source = self._by_source.get(source)
        if by_source is None:
            if len(self._by_source) >= MOST:
                del self._by_source[next(iter(self._by_source))]
            by_source = self._by_source[source] = Tried()
        for tried in (self._by_protocol.setdefault(protocol, Tried()), by_source):
            if succeeded:
                tried.succeeded += 1
            else:
                tried.failed += 1

    def by_protocol(self) -> Iterator[tuple[str, Tried]]:
        """Protocols and what was tried over them."""
        return iter(sorted(self._by_protocol.items()))

    def by_source(self) -> Iterator[tuple[tuple[str, str, str], Tried]]:
        """Address, user and protocol, and what was tried from there."""
        return iter(sorted(self._by_source.items()))

    def reset(self) -> None:
        """Begin to count anew."""
        self._by_protocol.clear()
        self._by_source.clear()
