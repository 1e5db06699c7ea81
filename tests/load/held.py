"""`python -m tests.load.held`: amqpd, and for how long each turn of its loop held everybody up.

What counts is the CPU time of the loop's thread, so that what else the machine does means
nothing. Turns of more than `NOTED_S` are written to the file that AMQPD_TEST_HELD names, a line
for each: when, and how long, in seconds. The loop is Python's own: uvloop has no turns to see.
"""

from __future__ import annotations

import asyncio.base_events
import os
import time
from pathlib import Path
from typing import Any, Final

from amqpd.cli import main

VARIABLE: Final = "AMQPD_TEST_HELD"
NOTED_S: Final = 0.002


def longest_s(file: Path, since_s: float, upto_s: float) -> float:
    """The longest turn that was noted between two times."""
    lines = file.read_text().splitlines() if file.exists() else []
    turns = [(float(at), float(held)) for at, held in map(str.split, lines)]
    return max((held for at, held in turns if since_s <= at <= upto_s), default=0.0)


def watch(file: Path) -> None:
    """Note the turns of each loop of this process."""
    loop: Any = asyncio.base_events.BaseEventLoop
    run_once = loop._run_once
    out = file.open("a", buffering=1)

    def timed(self: object) -> None:
        before_s = time.thread_time()
        run_once(self)
        held_s = time.thread_time() - before_s
        if held_s > NOTED_S:
            out.write(f"{time.time():.3f} {held_s:.6f}\n")

    loop._run_once = timed


if __name__ == "__main__":
    watch(Path(os.environ[VARIABLE]))
    os.environ["AMQPD_NODE_UVLOOP"] = "off"
    main()
