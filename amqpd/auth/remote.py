"""Rights that are asked for over the network, one question at a time.

    Decides                                 Protocol: a backend that can be asked
    Answers(decides, spawn)                 what it has said, for all users and vhosts
        .authority(who) -> Authority        for one user
        .forget() -> bool                   ask anew from now on; whether there was anything

Each question is asked once, however many connections want to know. An answer counts until
`forget`, which the server calls at intervals: that is how long a right that was taken away
may live on. A backend that cannot be asked refuses for a moment, and is asked again.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeAlias

from amqpd.broker.access import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from amqpd.broker.access import Question, Rights

log = logging.getLogger(__name__)

#: Starts a task in the background.
Spawn: TypeAlias = "Callable[[Coroutine[object, object, None]], object]"

#: Answers that are remembered; routing keys may be made up without end.
REMEMBER_AT_MOST: Final = 100_000
#: How long a backend that could not be asked is left in peace.
FAILED_S: Final = 1.0
#: Questions that are asked at the same time; the others wait.
ASKED_AT_ONCE: Final = 32


@dataclass(frozen=True, slots=True)
class Who:
    """A user of a remote backend, and where it came from."""

    name: str
    tags: frozenset[str] = frozenset()
    host: str = ""


class Decides(Protocol):
    """A backend that decides on rights. Exceptions mean that it could not be asked."""

    name: str

    async def allows(self, who: Who, vhost: str, question: Question) -> bool:
        """Whether the user may do it."""


class _Key(NamedTuple):
    who: Who
    vhost: str
    question: Question


class Answers:
    """What one backend has said."""

    def __init__(self, decides: Decides, spawn: Spawn) -> None:
        #: Moves when all answers are forgotten.
        self.revision = 0
        self._decides = decides
        self._spawn = spawn
        self._verdicts: dict[_Key, Verdict] = {}
        self._waiting: dict[_Key, list[Callable[[], None]]] = {}
        self._room = asyncio.Semaphore(ASKED_AT_ONCE)

    def authority(self, who: Who) -> RemoteAuthority:
        """Who decides for this user."""
        return RemoteAuthority(self, who)

    def forget(self) -> bool:
        """Ask everything anew."""
        if not self._verdicts:
            return False
        self._verdicts.clear()
        self.revision += 1
        return True

    def verdict(self, key: _Key) -> Verdict:
        """What was said, if anything."""
        return self._verdicts.get(key, Verdict.UNKNOWN)

    def find_out(self, key: _Key, done: Callable[[], None]) -> None:
        """Ask, unless that is under way."""
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting.append(done)
            return
        self._waiting[key] = [done]
        self._spawn(self._ask(key))

    async def _ask(self, key: _Key) -> None:
        verdict = Verdict.FAILED
        try:
            async with self._room:
                allowed = await self._decides.allows(*key)
            verdict = Verdict.YES if allowed else Verdict.NO
        except Exception as error:
            log.error(
                "auth backend '%s': %s access of user '%s' to %s '%s' in vhost '%s' "
                "cannot be asked for: %s: %s",
                self._decides.name,
                key.question.right,
                key.who.name,
                key.question.kind,
                key.question.name,
                key.vhost,
                type(error).__name__,
                error,
            )
        finally:
            self._learn(key, verdict)

    def _learn(self, key: _Key, verdict: Verdict) -> None:
        if len(self._verdicts) >= REMEMBER_AT_MOST:
            self.forget()
        self._verdicts[key] = verdict
        if verdict is Verdict.FAILED:
            asyncio.get_running_loop().call_later(FAILED_S, self._retry, key)
        for done in self._waiting.pop(key, ()):
            done()

    def _retry(self, key: _Key) -> None:
        if self._verdicts.get(key) is Verdict.FAILED:
            del self._verdicts[key]


class RemoteAuthority:
    """One user of a remote backend."""

    def __init__(self, answers: Answers, who: Who) -> None:
        self._answers = answers
        self._who = who

    def rights(self, vhost: str) -> Rights:
        """What the user may do there."""
        return RemoteRights(self._answers, self._who, vhost)


class RemoteRights:
    """One user of a remote backend in one vhost."""

    def __init__(self, answers: Answers, who: Who, vhost: str) -> None:
        self._answers = answers
        self._who = who
        self._vhost = vhost

    @property
    def revision(self) -> int:
        """Moves when answers are asked for anew."""
        return self._answers.revision

    def verdict(self, question: Question) -> Verdict:
        """As the backend has said, if it has."""
        return self._answers.verdict(_Key(self._who, self._vhost, question))

    def find_out(self, question: Question, done: Callable[[], None]) -> None:
        """Ask the backend."""
        self._answers.find_out(_Key(self._who, self._vhost, question), done)
