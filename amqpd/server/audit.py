"""Audit: who did what from where, and whether it was allowed.

    Audit(settings, directory)      as long as the broker runs
        .record(event, result, …)   from the event loop; never waits
        .login(…) .denied(…)        the same, and watched for attacks (`detection`)
        .connection(…)              who came and went
        .tick(now_s)                once a second or so
        .close()

As long as the disk takes no lines `refusal` says so, and nothing may be changed over HTTP: nobody
would know who did it. What comes often is told once a minute for the same user, source and thing,
and then counted: a flood of denials is a few lines. Lines are written by a thread, with one sync
for those that came together. Passwords, tokens and message bodies never come here.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from amqpd.server.auditlog import AuditLog, now
from amqpd.server.detection import Detection
from amqpd.server.process import Exit, StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from amqpd.config import Audit as AuditSettings
    from amqpd.server.auditlog import Entry
    from amqpd.server.detection import Alert

LOG = logging.getLogger("amqpd.audit")

FILE: Final = "audit.log"
#: The same thing is told once in this time, and then how often it came.
REPEAT_S: Final = 60.0
#: More often it is not looked at the time.
TICK_S: Final = 1.0
#: Different things within that time; beyond it they are counted as one.
MOST_DIFFERENT: Final = 1000
#: Connections that are told one by one within that time as they come, and as they go.
MOST_CONNECTIONS: Final = 200
#: Lines that wait for the disk; beyond it they are lost, and counted.
MOST_WAITING: Final = 10_000
#: Lines that the disk did not take; beyond it they are lost, and counted.
MOST_KEPT: Final = 10_000
#: How soon a disk that took nothing is tried again.
RETRY_S: Final = 1.0
#: Longer values are cut.
VALUE_LENGTH: Final = 512
#: Alerts that are remembered.
MOST_RAISED: Final = 100


@dataclass(slots=True)
class _Repeated:
    """Something that came before, and how often since it was told."""

    entry: Entry
    until_s: float
    count: int = 0


class Audit:
    """Keeps the audit log of one broker."""

    def __init__(self, settings: AuditSettings, directory: Path) -> None:
        """Go on with the log of before.

        Raises:
            OSError: it cannot be written.
        """
        self.alerts = 0
        #: Lines for which there was no room among those that wait.
        self._dropped = 0
        self._pen: Pen | None = None
        #: The newest alerts with the time, in ms since the epoch.
        self.raised: deque[tuple[int, Alert]] = deque(maxlen=MOST_RAISED)
        #: Somebody else who wants to know.
        self.on_alert: Callable[[Alert], None] = _nobody
        #: Where it is; None: nothing is written.
        self.path: Path | None = None
        self._detection = Detection()
        self._repeated: dict[tuple[str, ...], _Repeated] = {}
        #: How many connections were told one by one, by what happened to them, and until when.
        self._connections: Counter[str] = Counter()
        self._connections_until_s = 0.0
        self._now_s = 0.0
        self._records: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        if not settings.enabled:
            return
        self.path = path = directory / FILE
        log = AuditLog(path, settings.max_file_bytes, settings.files)
        self._pen = Pen(log)
        if log.torn_bytes:
            LOG.warning("audit: %d octets of a line that a crash cut off are gone", log.torn_bytes)
        # What anybody who has this line can hold against the file.
        LOG.info("audit: goes on behind number %d, hash %s", *log.head)
        self._thread = threading.Thread(target=self._write, args=(self._pen,), name="amqpd-audit")
        self._thread.start()

    # -- what is told ----------------------------------------------------------------------

    def record(self, event: str, result: str = "ok", **facts: str | int) -> None:
        """Write down what happened; values are cut to a sensible length."""
        if self._thread is None:
            return
        if self._records.qsize() >= MOST_WAITING:
            self._dropped += 1
            return
        entry: Entry = {"time": now(), "event": event, "result": result}
        entry |= {name: _cut(value) for name, value in facts.items() if value != ""}
        self._records.put(entry)

    def often(self, event: str, result: str, *, port: int = 0, **facts: str) -> None:
        """The same for what may come often: told once a minute, then counted.

        The `port` of its source is told the first time, and makes it nothing different.
        """
        key = (event, result, *(str(_cut(value)) for value in facts.values()))
        known = self._repeated.get(key)
        if known is None and len(self._repeated) >= MOST_DIFFERENT:
            key, facts = (event, result), {"note": "many different ones"}
            known = self._repeated.get(key)
        if known is not None and self._now_s < known.until_s:
            known.count += 1
            return
        if known is not None:
            self._tell(known)
        where = {"source": f"{facts['source']}:{port}"} if port and "source" in facts else {}
        self.record(event, result, **(facts | where))
        self._repeated[key] = _Repeated(
            {"event": event, "result": result, **facts}, self._now_s + REPEAT_S
        )

    def login(
        self,
        user: str,
        source: str,
        mechanism: str,
        reason: str = "",
        port: int = 0,
        listener: str = "",
    ) -> None:
        """Somebody got in, or did not (`reason`)."""
        facts = {"user": user, "source": source, "listener": listener, "mechanism": mechanism}
        if reason:
            self.often("login", "failed", port=port, **facts, reason=reason)
            self._raise(self._detection.login_failed(user, source, self._now_s))
        else:
            self.often("login", "ok", port=port, **facts)
            self._raise(self._detection.login_succeeded(user, source, self._now_s))

    def connection(
        self, result: str, source: str, port: int, who: Mapping[str, str], **facts: str | int
    ) -> None:
        """A connection was `opened` or `closed`.

        Each is told with its `facts`; of more than a few hundred in a minute it is only told `who`
        they were, and how many.
        """
        if self._connections[result] >= MOST_CONNECTIONS:
            self.often("connection", result, port=0, source=source, **who, note="one of many")
            return
        self._connections[result] += 1
        self.record("connection", result, source=f"{source}:{port}", **who, **facts)

    def denied(self, user: str, source: str, vhost: str, text: str) -> None:
        """Somebody was refused what it asked for."""
        self.often("denied", "refused", user=user, source=source, vhost=vhost, text=text)
        self._raise(self._detection.denied(user, self._now_s))

    def _raise(self, alerts: Sequence[Alert]) -> None:
        for alert in alerts:
            self.alerts += 1
            self.raised.append((int(self._now_s * 1000), alert))
            self.on_alert(alert)
            LOG.warning("audit: alert %s: '%s' %s", alert.rule, alert.name, alert.text)
            self.record("alert", "raised", rule=alert.rule, about=alert.name, text=alert.text)

    # -- time and the disk -----------------------------------------------------------------

    def tick(self, now_s: float) -> None:
        """Time has passed: tell how often things came that are over."""
        if now_s - self._now_s < TICK_S:
            return
        self._now_s = now_s
        if now_s >= self._connections_until_s:
            self._connections.clear()
            self._connections_until_s = now_s + REPEAT_S
        for key in [key for key, one in self._repeated.items() if now_s >= one.until_s]:
            self._tell(self._repeated.pop(key))

    def close(self, result: str = "") -> None:
        """Write what there is, with what result the broker stops, and end."""
        for one in self._repeated.values():
            self._tell(one)
        self._repeated.clear()
        if result:
            self.record("stop", result)
        if self._thread is not None:
            self._records.put(None)
            self._thread.join()

    def _tell(self, repeated: _Repeated) -> None:
        if repeated.count:
            facts = {name: str(value) for name, value in repeated.entry.items()}
            event, result = facts.pop("event"), facts.pop("result")
            self.record(event, result, **facts, repeated=repeated.count)

    @property
    def refusal(self) -> str:
        """Why nobody may change anything at the moment; empty: what is done is written down."""
        if self._pen is None or not self._pen.error:
            return ""
        return (
            f"the audit log {self.path} cannot be written ({self._pen.error}): nothing is changed "
            "over HTTP until it can; make room on its disk, it is tried again every second"
        )

    @property
    def lost(self) -> int:
        """Lines that will never be written."""
        return self._dropped + (self._pen.lost if self._pen is not None else 0)

    def _write(self, pen: Pen) -> None:
        """The thread: all that waits, one sync, and again."""
        dropped = 0
        is_last = False
        while not is_last:
            entries: list[Entry] = []
            with contextlib.suppress(queue.Empty):
                one = self._records.get(timeout=RETRY_S if pen.owes else None)
                while one is not None:
                    entries.append(one)
                    one = self._records.get_nowait()
                is_last = True
            pen.missing += self._dropped - dropped
            dropped = self._dropped
            pen.write(entries)
        pen.close()


class Pen:
    """Writes entries, and keeps what the disk does not take until it does.

    Beyond `MOST_KEPT` they are lost; how many is written down where they are missing.
    """

    def __init__(self, log: AuditLog) -> None:
        self._log = log
        self._kept: list[Entry] = []
        #: Why the disk has not taken the last ones; empty: it has.
        self.error = ""
        #: Entries that are missing behind those that are kept, and all that ever were.
        self.missing = 0
        self.lost = 0

    @property
    def owes(self) -> bool:
        """Something waits for room on the disk."""
        return bool(self._kept or self.missing)

    def write(self, entries: Sequence[Entry]) -> None:
        """Write these, and those of before; never fails."""
        gap: list[Entry] = []
        if self.missing:
            gap = [{"time": now(), "event": "audit", "result": "lost", "lines": self.missing}]
        wanted = [*self._kept, *gap, *entries]
        if not wanted:
            return
        try:
            self._log.append(wanted)
            self._kept, self.missing = [], 0
            if self.error:
                LOG.warning("audit: is written again, and so things may be changed over HTTP")
            self.error = ""
        except OSError as error:
            if not self.error:
                LOG.error(
                    "audit: cannot be written: %s; nothing is changed over HTTP until it can", error
                )
            self.error = error.strerror or str(error)
            self._keep(entries)

    def _keep(self, entries: Sequence[Entry]) -> None:
        room = 0 if self.missing else MOST_KEPT - len(self._kept)
        self._kept += entries[:room]
        self.missing += len(entries[room:])
        self.lost += len(entries[room:])

    def close(self) -> None:
        """No more of them."""
        if self.owes:
            self.lost += len(self._kept)
            LOG.error("audit: %d lines are lost", len(self._kept) + self.missing)
        LOG.info("audit: ends with number %d, hash %s", *self._log.head)
        self._log.close()


def _nobody(_alert: Alert) -> None:
    """There is nobody else."""


def open_audit(settings: AuditSettings, directory: Path, embedded: bool) -> Audit:
    """The audit log of a data directory; a broker within a test writes none.

    Raises:
        StartError: it cannot be opened.
    """
    if embedded:
        settings = msgspec.structs.replace(settings, enabled=False)
    try:
        return Audit(settings, directory)
    except OSError as error:
        raise StartError(f"audit log: {error.filename}: {error.strerror}", Exit.CONFIG) from error


def _cut(value: str | int) -> str | int:
    if isinstance(value, int):
        return value
    text = value.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= VALUE_LENGTH else f"{text[:VALUE_LENGTH]}…"
