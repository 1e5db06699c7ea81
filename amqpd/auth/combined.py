"""Several authorities as one: an operation is allowed if all of them allow it.

combine(authorities) -> Authority
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpd.broker.access import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from amqpd.broker.access import Authority, Question, Rights


def combine(authorities: Sequence[Authority]) -> Authority:
    """One authority that asks them all."""
    return authorities[0] if len(authorities) == 1 else AllOf(authorities)


class AllOf:
    """Allows what every one of several authorities allows."""

    def __init__(self, authorities: Sequence[Authority]) -> None:
        self._authorities = tuple(authorities)

    def rights(self, vhost: str) -> Rights:
        """What the user may do there."""
        return AllRights([one.rights(vhost) for one in self._authorities])


class AllRights:
    """Rights in one vhost that everybody has to give."""

    def __init__(self, rights: Sequence[Rights]) -> None:
        self._rights = tuple(rights)

    @property
    def revision(self) -> int:
        """Moves with each of them: revisions only grow."""
        return sum(one.revision for one in self._rights)

    def verdict(self, question: Question) -> Verdict:
        """A no of one is a no, whatever the others say."""
        verdicts = {one.verdict(question) for one in self._rights}
        for verdict in (Verdict.NO, Verdict.FAILED, Verdict.UNKNOWN):
            if verdict in verdicts:
                return verdict
        return Verdict.YES

    def find_out(self, question: Question, done: Callable[[], None]) -> None:
        """Ask the first that does not know; the others have their turn when it has said yes."""
        for one in self._rights:
            if one.verdict(question) is Verdict.UNKNOWN:
                one.find_out(question, done)
                return
        done()
