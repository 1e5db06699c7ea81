"""Replies that wait for the disk, in the order of the methods they answer.

One `Replies` belongs to a channel number, also beyond the life of a channel: what a client
pipelines after a close must not overtake the close-ok.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from amqpd.broker.journal import Journal

#: The number of a reply whose content is not known yet: beyond every journal's.
_UNKNOWN: Final = 1 << 63


class Reply:
    """One reply in the queue: goes out once `number` is on disk."""

    __slots__ = ("emit", "number")

    def __init__(self, number: int, emit: Callable[[], None]) -> None:
        self.number = number
        self.emit = emit


def _nothing() -> None:
    """What a reply emits that turned out to need no answer."""


class Replies:
    """The replies of one channel number; `changed` hears when they begin and end to be held."""

    __slots__ = ("_changed", "_journal", "_waiting")

    def __init__(self, journal: Journal, changed: Callable[[bool], None]) -> None:
        self._journal = journal
        self._changed = changed
        self._waiting: deque[Reply] = deque()

    def __len__(self) -> int:
        """How many replies wait."""
        return len(self._waiting)

    @property
    def held(self) -> bool:
        """A reply waits: nothing else may be sent on this channel."""
        return bool(self._waiting)

    def send(self, emit: Callable[[], None], number: int = 0) -> None:
        """Emit a reply when `number` is safe and all replies before it are out."""
        if not self._waiting and number <= self._journal.safe:
            emit()
            return
        self._append(Reply(number, emit))
        self._expect(number)

    def reserve(self) -> Reply:
        """Keep a place for a reply that is not known yet; `fill` it later."""
        reply = Reply(_UNKNOWN, _nothing)
        self._append(reply)
        return reply

    def _append(self, reply: Reply) -> None:
        self._waiting.append(reply)
        if len(self._waiting) == 1:
            self._changed(True)

    def fill(self, reply: Reply, emit: Callable[[], None], number: int) -> None:
        """Say what goes into a reserved place."""
        reply.emit = emit
        reply.number = number
        if number <= self._journal.safe:
            self.flush()
        else:
            self._expect(number)

    def give_up(self, reply: Reply) -> None:
        """Nothing comes into a reserved place."""
        self.fill(reply, _nothing, 0)

    def _expect(self, number: int) -> None:
        if number > self._journal.safe:
            self._journal.when_safe(number, self.flush)

    def flush(self) -> None:
        """Emit what does not have to wait any longer."""
        waiting = self._waiting
        if not waiting:
            return
        while waiting and waiting[0].number <= self._journal.safe:
            waiting.popleft().emit()
        if not waiting:
            self._changed(False)

    def drop(self) -> None:
        """The connection is gone: nobody wants to know."""
        self._waiting.clear()
