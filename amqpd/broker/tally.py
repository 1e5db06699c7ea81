"""Tallies: how many messages an exchange got, and to how many queues they went.

A route keeps the tally of its exchange and its queues, so that a run costs two additions
however many exchanges, keys and queues there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Sets of queues that one exchange counts apart; messages to others are counted together.
MOST: Final = 1000


class Tally:
    """Messages from one exchange to one set of queues: how many, and how many copies."""

    __slots__ = ("copies", "messages", "queues")

    def __init__(self, queues: tuple[str, ...] = ()) -> None:
        self.queues = queues
        self.messages = 0
        self.copies = 0

    def add(self, messages: int, queues: int) -> None:
        """Messages went to so many queues."""
        self.messages += messages
        self.copies += messages * queues


class Tallies:
    """All tallies of an exchange."""

    __slots__ = ("_by_queues", "_others", "dropped", "returned")

    def __init__(self) -> None:
        #: Messages that no queue got: sent back, or lost.
        self.returned = 0
        self.dropped = 0
        self._by_queues: dict[tuple[str, ...], Tally] = {}
        self._others = Tally()

    def of(self, queues: tuple[str, ...]) -> Tally:
        """The tally of a route to these queues."""
        found = self._by_queues.get(queues)
        if found is None:
            if len(self._by_queues) >= MOST:
                return self._others
            found = self._by_queues[queues] = Tally(queues)
        return found

    @property
    def messages(self) -> int:
        """Messages that were published to the exchange."""
        return self._others.messages + sum(one.messages for one in self._by_queues.values())

    @property
    def copies(self) -> int:
        """What went into queues of them, counted in each."""
        return self._others.copies + sum(one.copies for one in self._by_queues.values())

    def by_queue(self) -> Iterator[tuple[str, int]]:
        """Queues and the messages they got; a queue may come up more than once."""
        for tally in self._by_queues.values():
            if tally.messages:
                for name in tally.queues:
                    yield name, tally.messages
