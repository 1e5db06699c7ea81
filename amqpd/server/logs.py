"""Log lines: RabbitMQ's shape, or JSON, written to standard error by a thread of their own.

The event loop only puts a record into a queue; a standard error that nobody reads therefore
stops nothing. When more than `BACKLOG` records wait, further ones are dropped and counted.
"""

from __future__ import annotations

import json
import logging
import queue
import sys
import threading
import traceback
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Final, Literal

from amqpd.text import in_json, one_line, printable

if TYPE_CHECKING:
    from types import TracebackType

#: Records that may wait for a slow standard error.
BACKLOG: Final = 10_000

#: Who writes about connections and channels.
CHANNELS: Final = "amqpd.channel"
CONNECTIONS: Final = ("amqpd.connection", "amqpd.amqp.")

Format = Literal["text", "json"]


class TextFormatter(logging.Formatter):
    """`2026-11-22 22:11:33.123456+00:00 [info] text`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, or more when there is a traceback."""
        # A client must not be able to forge a line.
        line = f"{_time(record)} [{_level(record)}] {one_line(record.getMessage())}"
        if record.exc_info:
            line = f"{line}\n{traceback_of(record)}"
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, msg, domain (RabbitMQ's), category, and a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, always."""
        line = {
            "time": _time(record),
            "level": _level(record),
            "msg": record.getMessage(),
            "domain": _domain(record.name),
            "category": record.name.removeprefix("amqpd."),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return in_json(json.dumps(line, separators=(",", ":"), ensure_ascii=False))


#: How pieces of a traceback begin that are not an error's text.
_OF_OURS: Final = ("Traceback", "  ", "\n")
#: By the setting `log.format`.
FORMATTERS: Final[dict[Format, type[logging.Formatter]]] = {
    "text": TextFormatter,
    "json": JsonFormatter,
}


class QueueHandler(logging.Handler):
    """Passes records to the writing thread and never waits for it."""

    def __init__(self, records: queue.SimpleQueue[logging.LogRecord | None]) -> None:
        super().__init__()
        self.dropped = 0
        self._records = records

    def emit(self, record: logging.LogRecord) -> None:
        """Put the record into the queue, its text already made."""
        if self._records.qsize() >= BACKLOG:
            self.dropped += 1
            return
        # The arguments may change after this call; the text must not.
        record.msg, record.args = record.getMessage(), None
        self._records.put(record)


class Logs:
    """Logging as long as the process runs; a context manager that flushes at its end."""

    def __init__(self, level: str, form: Format, stream: IO[str] | None = None) -> None:
        self._records: queue.SimpleQueue[logging.LogRecord | None] = queue.SimpleQueue()
        self._handler = QueueHandler(self._records)
        self._level = level.upper()
        self._formatter = FORMATTERS[form]()
        self._stream = sys.stderr if stream is None else stream
        self._thread = threading.Thread(target=self._write, name="amqpd-log", daemon=True)

    def __enter__(self) -> Logs:
        root = logging.getLogger()
        root.addHandler(self._handler)
        root.setLevel(self._level)
        logging.captureWarnings(True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        logging.getLogger().removeHandler(self._handler)
        logging.captureWarnings(False)
        self._records.put(None)
        # A standard error that nobody reads must not keep the process from ending.
        self._thread.join(timeout=2)

    def set_level(self, level: str) -> None:
        """Change the least level that is logged."""
        logging.getLogger().setLevel(level.upper())

    def _write(self) -> None:
        while True:
            record = self._records.get()
            if record is None:
                return
            try:
                self._stream.write(self._formatter.format(record) + "\n")
                if dropped := self._handler.dropped:
                    self._handler.dropped = 0
                    self._stream.write(f"{_time(record)} [warning] log: {dropped} lines dropped\n")
                if self._records.empty():
                    self._stream.flush()
            except (OSError, ValueError):
                # Standard error is gone; there is nowhere left to say so.
                return


def traceback_of(record: logging.LogRecord) -> str:
    """The traceback of a record; errors' own texts, which may be a client's, begin no line."""
    assert record.exc_info
    pieces = traceback.format_exception(*record.exc_info)
    return "\n".join(
        (printable if piece.startswith(_OF_OURS) else one_line)(piece.rstrip("\n"))
        for piece in pieces
    )


def _domain(name: str) -> str:
    """What RabbitMQ's JSON calls the part of the broker."""
    if name == CHANNELS:
        return "rabbitmq.channel"
    return "rabbitmq.connection" if name.startswith(CONNECTIONS) else "rabbitmq"


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(" ", "microseconds")


def _level(record: logging.LogRecord) -> str:
    return record.levelname.lower()
