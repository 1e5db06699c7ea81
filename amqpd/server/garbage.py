"""Garbage: cycles are collected when nothing else is going on, and never for long.

    Garbage(freezes)
        .collect(made, gone)    now; what was made and has gone since the start
    Calm()
        .is_calm(busy_turns)    whether nothing else is going on

A full collection looks at everything there is: with 10,000 queues that takes 0.2 s, in which the
event loop stands still. So what survives one is frozen: the next looks only at what came after
it. What is frozen and goes is freed like anything else, unless it is in a cycle; these are
looked for once `MANY_GONE` things have gone. What comes in masses is there to stay, and is frozen
without a look.
"""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: Queues and connections that have gone, after which everything is looked at again; about 20 KiB
#: each if they are in cycles.
MANY_GONE: Final = 2000
#: And those that have come since the last look.
MANY_MADE: Final = 1000
#: The loop has this much to do between two questions when it has next to nothing to do.
CALM_S: Final = 0.01


class Garbage:
    """Collects for one process."""

    def __init__(self, *, freezes: bool = True) -> None:
        """`freezes`: what is in this process is our own."""
        self._freezes = freezes
        self._made = 0
        self._gone = 0

    def collect(self, made: int, gone: int) -> None:
        """Look for cycles; `made` and `gone` are queues and connections since the start."""
        came, self._made = made - self._made, made
        if not self._freezes:
            gc.collect()
            return
        if gone - self._gone >= MANY_GONE:
            self._gone = gone
            gc.unfreeze()
        elif came >= MANY_MADE:
            gc.freeze()
        gc.collect()
        gc.freeze()


class Calm:
    """Tells a quiet moment: no answer to a client, and no long work of HTTP either."""

    def __init__(self, cpu_s: Callable[[], float] = time.thread_time) -> None:
        """`cpu_s`: the processor time that this thread has used."""
        self._cpu_s = cpu_s
        self._used_s = 0.0
        self._turns = -1

    def is_calm(self, busy_turns: int) -> bool:
        """Whether little was done since the last question; `busy_turns` counts answers."""
        before_s, self._used_s = self._used_s, self._cpu_s()
        before, self._turns = self._turns, busy_turns
        return busy_turns == before and self._used_s - before_s < CALM_S
