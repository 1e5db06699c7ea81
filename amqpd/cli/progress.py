"""Progress of long work: a line on a terminal, nothing anywhere else.

    with growing(path, most, "copying"):        how far a file has grown towards so many bytes
        ...
    with counting(total, "publishing") as count:    count(n) after each step
        ...
    with working("checking"):                   how long it takes, where no more is known
        ...

It goes to standard error, so that what a command prints stays what it is.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

#: Between two looks, and what is too short for anybody to care.
LOOK_S: Final = 0.2
BAR: Final = 30
#: Back to the beginning of the line, and nothing behind it.
LINE: Final = "\r\x1b[K"


def is_watched() -> bool:
    """Whether somebody looks at standard error."""
    return sys.stderr.isatty()


def bar(done: float, most: float, what: str) -> str:
    """How far it is, in one line."""
    share = 1.0 if most <= 0 else min(1.0, done / most)
    full = int(share * BAR)
    return f"{what} [{'#' * full}{'.' * (BAR - full)}] {share * 100:3.0f} %"


def _show(text: str) -> None:
    sys.stderr.write(f"{LINE}{text}")
    sys.stderr.flush()


@contextlib.contextmanager
def _watching(look: Callable[[], str]) -> Iterator[None]:
    """Show what `look` says, again and again, while the block runs."""
    if not is_watched():
        yield
        return
    over = threading.Event()

    def watch() -> None:
        while not over.wait(LOOK_S):
            _show(look())

    thread = threading.Thread(target=watch, name="amqpd-progress")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        _show("")


def growing(path: Path, most: int, what: str) -> contextlib.AbstractContextManager[None]:
    """Show how a file grows towards so many bytes while the block runs."""

    def look() -> str:
        try:
            return bar(path.stat().st_size, most, what)
        except OSError:  # not there yet, or already in its place
            return bar(0, most, what)

    return _watching(look)


def working(what: str) -> contextlib.AbstractContextManager[None]:
    """Show for how long the block has been running."""
    began_s = time.monotonic()
    return _watching(lambda: f"{what} … {time.monotonic() - began_s:.0f} s")


@contextlib.contextmanager
def counting(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """Show how many of so many are done; the block says how many more."""
    if not is_watched() or total <= 0:
        yield lambda _more: None
        return
    done = shown = 0

    def count(more: int) -> None:
        nonlocal done, shown
        done += more
        if done * BAR // total != shown:
            shown = done * BAR // total
            _show(bar(done, total, what))

    _show(bar(0, total, what))
    try:
        yield count
    finally:
        _show("")
