"""Returning: deliveries that come back, so many that one turn is not enough for them.

Whoever lets go of a few is served at once. Of a million it is done in slices, a bounded number
in each turn, so that nobody else has to wait. Until all of them are back their queues hand
nothing out: what comes later must not overtake what was there before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from amqpd.broker.queue import Queue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from amqpd.broker.delivery import Leaving, Taken
    from amqpd.broker.lane import Lane
    from amqpd.broker.surroundings import Surroundings

#: What is done at once, in ranges of deliveries; also the size of a slice.
AT_ONCE: Final = 1024
#: The same in messages, where each of them may have to be dead lettered, or to wait; and where
#: each is looked at.
AT_ONCE_EACH: Final = 256
AT_ONCE_LOOKED_AT: Final = 2048
#: What a range costs, in units of `Surroundings.spare`, and what is left to others of a turn.
RANGE_COST: Final = 3
#: What a message costs on top, where each is looked at, may have to wait, may be dead lettered.
LOOK_COST: Final = 0.1
WAIT_COST: Final = 2
DISCARD_COST: Final = 30
RESERVE: Final = 2_000


def queues_of(lanes: Iterable[Lane]) -> set[Queue]:
    """The queues that lanes belong to."""
    return {lane.owner for lane in lanes if isinstance(lane.owner, Queue)}


class Returning:
    """One such return; `settle` does with a slice what is to be done with all.

    `each`: it costs as much as there are messages, not ranges; so it does where the queues
    look at each. `holds`: the messages go back into their queues.
    """

    def __init__(
        self,
        leaving: Leaving,
        settle: Callable[[list[Taken]], None],
        around: Surroundings,
        *,
        each: bool,
        holds: bool,
    ) -> None:
        self._leaving = leaving
        self._settle = settle
        self._around = around
        self._queues = queues_of(leaving.lanes) if holds else set()
        self._cost: float = 0
        self._messages = 1 << 40
        if each:
            self._cost, self._messages = DISCARD_COST, AT_ONCE_EACH
        elif any(queue.delays_returns for queue in self._queues):
            self._cost, self._messages = WAIT_COST, AT_ONCE_EACH
        elif any(queue.looks_at_returns for queue in self._queues):
            self._cost, self._messages = LOOK_COST, AT_ONCE_LOOKED_AT
            if any(queue.arguments.dead_letter_exchange is not None for queue in self._queues):
                self._messages = AT_ONCE_EACH  # all of them may be poison
        for queue in self._queues:
            queue.returning += 1

    def run(self) -> bool:
        """Do what this turn allows; True: that was all."""
        around = self._around
        try:
            while around.spare > RESERVE:
                taken = self._leaving.take_some(AT_ONCE, self._messages)
                if not taken:
                    self._end()
                    return True
                around.spare -= RANGE_COST * len(taken)
                if self._cost:
                    around.spare -= int(self._cost * sum(int(one.hi - one.lo) for one in taken))
                self._settle(taken)
        except BaseException:
            self._end()
            raise
        return False

    def _end(self) -> None:
        for queue in self._queues:
            queue.returning -= 1
            queue.wake()
        self._queues.clear()
