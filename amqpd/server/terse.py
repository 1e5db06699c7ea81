"""Requests that cannot be read are told in a line, and not with what is in them.

aiohttp logs an error with a traceback for each, and in it what it stumbled over: a client that
is not logged in could fill the disk that way, and a broken header may hold a password.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from aiohttp.http_exceptions import HttpProcessingError

#: Between two lines about them.
TELL_S: Final = 1.0


class Terse(logging.Filter):
    """For the logger that aiohttp is given."""

    def __init__(self) -> None:
        super().__init__()
        self._told_s = float("-inf")
        self._count = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell what is the client's fault by its kind; faults of ours are told in full."""
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, HttpProcessingError | ConnectionError):
            return True
        self._count += 1
        now_s = time.monotonic()
        if now_s - self._told_s < TELL_S:
            return False
        self._told_s = now_s
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        # The exception is not handed on: its text is the client's.
        record.exc_info, record.exc_text = None, None
        record.msg = f"HTTP request of %s cannot be read: {type(error).__name__} (%d in all)"
        record.args = (*(record.args if isinstance(record.args, tuple) else ("?",)), self._count)
        return True


def logger() -> logging.Logger:
    """The logger for aiohttp."""
    made = logging.getLogger("amqpd.http.requests")
    if not any(isinstance(one, Terse) for one in made.filters):
        made.addFilter(Terse())
    return made
