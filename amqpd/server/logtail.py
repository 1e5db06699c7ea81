"""The log as it is now: its last lines for the web page, and all of it for `amq.rabbitmq.log`.

    with following(find_events, loop, wake, form) as recent:
        recent.lines(level, text, count)

One handler keeps the last `KEPT` lines in memory, the other gives lines to the exchange while
somebody is bound to it. Neither waits for anything, whatever thread logs.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Final

from amqpd.management.records import LogLine
from amqpd.server.logs import FORMATTERS, traceback_of
from amqpd.text import one_line

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

    from amqpd.broker.events import Events
    from amqpd.server.logs import Format

#: Lines in memory; a line is cut to `LINE_LENGTH`.
KEPT: Final = 1000
LINE_LENGTH: Final = 2000
CONTENT_TYPES: Final = {"text": "text/plain", "json": "application/json"}


class Recent(logging.Handler):
    """The last lines of the log."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: deque[tuple[int, LogLine]] = deque(maxlen=KEPT)
        self._numbers = count(1)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        text = one_line(record.getMessage())
        if record.exc_info:
            text = f"{text}\n{traceback_of(record)}"
        line = LogLine(
            number=next(self._numbers),
            time=datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            level=record.levelname.lower(),
            category=record.name.removeprefix("amqpd."),
            text=text[:LINE_LENGTH],
        )
        self._lines.append((record.levelno, line))

    def lines(self, level: str, text: str, most: int) -> list[LogLine]:
        """The newest lines of at least this level with this text in them, the newest first."""
        least = logging.getLevelNamesMapping().get(level.upper(), logging.DEBUG)
        wanted = text.lower()
        found: list[LogLine] = []
        for number, line in reversed(tuple(self._lines)):
            if number >= least and (wanted in line.text.lower() or wanted in line.category):
                found.append(line)
                if len(found) == most:
                    break
        return found


class Exchange(logging.Handler):
    """Gives lines to the log's exchange, in the thread of the loop."""

    def __init__(
        self,
        find_events: Callable[[], Events],
        loop: asyncio.AbstractEventLoop,
        wake: Callable[[], None],
        form: Format,
    ) -> None:
        super().__init__()
        self._find_events = find_events
        self._loop = loop
        self._wake = wake
        self._thread = threading.get_ident()
        self._content_type = CONTENT_TYPES[form]
        self.setFormatter(FORMATTERS[form]())

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a line on, if somebody is bound."""
        if not self._find_events().logs:
            return
        line = self.format(record).encode(errors="backslashreplace")
        if threading.get_ident() == self._thread:
            self._tell(record, line)
        else:
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody listens
                self._loop.call_soon_threadsafe(self._tell, record, line)

    def _tell(self, record: logging.LogRecord, line: bytes) -> None:
        level = record.levelname.lower()
        self._find_events().log(level, self._content_type, int(record.created), line)
        self._wake()


@contextlib.contextmanager
def following(
    find_events: Callable[[], Events],
    loop: asyncio.AbstractEventLoop,
    wake: Callable[[], None],
    form: Format,
) -> Iterator[Recent]:
    """Follow the log for the time of the block; the events are those of the broker of the day."""
    recent, exchange = Recent(), Exchange(find_events, loop, wake, form)
    root = logging.getLogger()
    root.addHandler(recent)
    root.addHandler(exchange)
    try:
        yield recent
    finally:
        root.removeHandler(exchange)
        root.removeHandler(recent)
