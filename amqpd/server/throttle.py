"""Throttle: makes guessing of passwords slow, and locks nobody out from elsewhere.

    Throttle(first_s)
        .locked_s(user, host, now_s) -> float   not to be checked for so long; 0: go on
        .failed(user, host, now_s) -> float     how long this refusal is to take
        .succeeded(user, host)

After a failure the same user is locked for the same source, 1 s, then 2, 4 … 30 s: attempts
meanwhile are refused without a look at the password, so that guesses on many connections at
once are no faster than one by one. A source that fails for many users, more than
`FAILURES_PER_MINUTE`, is locked for users that have never logged in from there.

Locks belong to a source (`room.source_of`), so nobody can lock a user out from another place;
and whoever shares an address with an attacker and has logged in from it before is locked only
by failures in its own name. This machine itself is never locked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from amqpd.server.room import source_of

if TYPE_CHECKING:
    from collections.abc import Hashable

#: The longest delay and lock.
LONGEST_S: Final = 30.0
#: A failure is forgotten after so long without another one.
FORGET_S: Final = 600.0
FAILURES_PER_MINUTE: Final = 10
#: Users and sources that are remembered; beyond it the oldest are forgotten.
MOST_REMEMBERED: Final = 10_000
#: Of longer names only the beginning counts: whoever is not logged in must not fill memory.
NAME_LENGTH: Final = 255

K = TypeVar("K", bound="Hashable")
V = TypeVar("V")


@dataclass(slots=True)
class _Failures:
    """Of one user from one source."""

    next_s: float
    locked_until_s: float
    last_s: float


@dataclass(slots=True)
class _Bucket:
    """Failures that a source has left, and when that was counted."""

    left: float
    counted_s: float


class Throttle:
    """How long attempts take; `now_s` is any clock that does not go back."""

    def __init__(self, first_s: float) -> None:
        """`first_s` 0: nobody is ever delayed."""
        self.first_s = first_s
        self._failures: dict[tuple[str, str], _Failures] = {}
        self._buckets: dict[str, _Bucket] = {}
        self._at_home: dict[tuple[str, str], None] = {}

    def locked_s(self, user: str, host: str, now_s: float) -> float:
        """For how long this user is not to be checked from there."""
        user, source = user[:NAME_LENGTH], source_of(host)
        if not source:
            return 0.0
        failures = self._failures.get((user, source))
        locked_s = 0.0 if failures is None else failures.locked_until_s - now_s
        bucket = self._buckets.get(source)
        if bucket is not None and (user, source) not in self._at_home:
            missing = 1.0 - self._left(bucket, now_s)
            locked_s = max(locked_s, missing * 60.0 / FAILURES_PER_MINUTE)
        return max(0.0, min(locked_s, LONGEST_S))

    def failed(self, user: str, host: str, now_s: float) -> float:
        """How long this refusal is to take; the next one takes twice as long."""
        user, source = user[:NAME_LENGTH], source_of(host)
        if self.first_s <= 0 or not source:
            return 0.0
        before = self._failures.pop((user, source), None)
        delay_s = self.first_s
        if before is not None and now_s - before.last_s < FORGET_S:
            delay_s = before.next_s
        _put(
            self._failures,
            (user, source),
            _Failures(min(2 * delay_s, LONGEST_S), now_s + delay_s, now_s),
        )
        bucket = self._buckets.pop(source, None) or _Bucket(float(FAILURES_PER_MINUTE), now_s)
        left = max(0.0, self._left(bucket, now_s) - 1.0)
        _put(self._buckets, source, _Bucket(left, now_s))
        return delay_s

    def succeeded(self, user: str, host: str) -> None:
        """Whoever knows the password is not guessing."""
        user, source = user[:NAME_LENGTH], source_of(host)
        if source:
            self._failures.pop((user, source), None)
            self._at_home.pop((user, source), None)
            _put(self._at_home, (user, source), None)

    def _left(self, bucket: _Bucket, now_s: float) -> float:
        filled = (now_s - bucket.counted_s) * FAILURES_PER_MINUTE / 60.0
        return min(float(FAILURES_PER_MINUTE), bucket.left + filled)


def _put(remembered: dict[K, V], key: K, value: V) -> None:
    remembered[key] = value
    if len(remembered) > MOST_REMEMBERED:
        del remembered[next(iter(remembered))]
