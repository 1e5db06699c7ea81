"""Errands: steps that somebody wants to have made, a few at once, many in the next turns.

errand = Errand(steps, around)      `steps`: an iterator that makes a step whenever it is asked
errand.begin()                      now what can be done now
errand.when_done(call)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from amqpd.broker.surroundings import Surroundings

#: Steps that are made at once.
AT_ONCE: Final = 256
#: What is left to others of a turn, in units of `Surroundings.spare`.
RESERVE: Final = 2_000


class Awaited:
    """Something that takes several turns, and who waits for its end."""

    def __init__(self) -> None:
        self.is_done = False
        self._waiting: list[Callable[[], None]] = []

    def when_done(self, call: Callable[[], None]) -> None:
        """Call back when all of it is done; at once if it is."""
        if self.is_done:
            call()
        else:
            self._waiting.append(call)

    def _end(self) -> None:
        self.is_done = True
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            call()


class Errand(Awaited):
    """One errand; a step costs `cost`, in units of `Surroundings.spare`.

    `own`: what it may take of each turn whatever others leave: everybody waits for its end.
    """

    def __init__(
        self, steps: Iterator[object], around: Surroundings, cost: int, own: int = 0
    ) -> None:
        super().__init__()
        self._steps = steps
        self._around = around
        self._cost = cost
        self._own = own

    def begin(self, at_once: int = AT_ONCE) -> None:
        """Make the first steps; the rest are made in the next turns.

        Raises:
            Exception: what a step has raised; no more of them are made.
        """
        try:
            for _ in range(at_once):
                if next(self._steps, self) is self:
                    self._end()
                    return
        except BaseException:
            self._end()
            raise
        self._around.work_off(self)

    def run(self) -> bool:
        """Make the steps that this turn allows; True: that was all."""
        around, own = self._around, self._own
        try:
            while own > 0 or around.spare > RESERVE:
                if next(self._steps, self) is self:
                    self._end()
                    return True
                if own > 0:
                    own -= self._cost
                else:
                    around.spare -= self._cost
        except BaseException:
            self._end()
            raise
        return False
