"""`/api/logs`, `/api/audit`, `/api/alarms`: what happened, and what is wrong now."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

from amqpd.management.access import Needs
from amqpd.management.errors import bad_request
from amqpd.management.live import SIGN_OF_LIFE_S, STREAM
from amqpd.management.request import Answer, encode, json
from amqpd.management.routing import Operation, Route

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from amqpd.management.call import Call

#: Lines of an answer, if nobody says, and at most.
LINES: Final = 200
MOST_LINES: Final = 1000
#: How often somebody who follows the log is told of new lines.
LOOK_S: Final = 0.5
LEVELS: Final = ("debug", "info", "warning", "error", "critical")


class LogLine(Struct, frozen=True):
    """A line of the log; numbers begin with 1 at every start."""

    number: int
    time: str
    level: str
    category: str
    text: str


class Raised(Struct, frozen=True):
    """An alert of the audit: a rule, whom it is about, what was seen."""

    at_ms: int
    rule: str
    about: str
    text: str


class Resource(Struct, frozen=True):
    """A resource that publishers are held back for when it runs short.

    The alarm comes at `limit` and goes at `clears_at`; `settings` say what the limit is.
    """

    source: str
    alarm: bool
    now: int
    limit: int
    clears_at: int
    settings: Mapping[str, object]


class Records(Protocol):
    """What the server remembers of what happened."""

    def log_lines(self, level: str, text: str, most: int) -> list[LogLine]:
        """The newest lines of the log, the newest first."""

    def audit_lines(self, event: str, text: str, below: int, most: int) -> list[object]:
        """The newest lines of the audit log, the newest first; it reads a file."""

    def alerts(self) -> Sequence[Raised]:
        """What looked like an attack in the last hours, the newest first."""

    def resources(self) -> Sequence[Resource]:
        """Memory and disk."""

    def audit_state(self) -> Mapping[str, object]:
        """Whether there is an audit log, how many alerts there were and lines that were lost."""


async def logs(call: Call) -> Answer:
    """The newest lines of the log of at least a level, with some text in them."""
    query = call.request.query
    level = query.get("level", "debug")
    if level not in LEVELS:
        raise bad_request(f"level: one of {', '.join(LEVELS)}")
    return json(call.host.records.log_lines(level, query.get("text", ""), _count(query)))


async def audit(call: Call) -> Answer:
    """The newest lines of the audit log: of an event, with some text in them, below a number."""
    query, records = call.request.query, call.host.records
    try:
        below = int(query.get("below") or 0)
    except ValueError as error:
        raise bad_request("below: not a number") from error
    lines = await asyncio.to_thread(
        records.audit_lines, query.get("event", ""), query.get("text", ""), below, _count(query)
    )
    return json({**records.audit_state(), "alerts": records.alerts(), "items": lines})


async def alarms(call: Call) -> Answer:
    """Memory and disk with the limits at which alarms come and go, and the newest alerts."""
    records = call.host.records
    ends_s = call.host.figures().certificate_ends_s
    return json(
        {
            "resources": records.resources(),
            "alerts": records.alerts(),
            "certificate_ends_ms": int(ends_s * 1000) if ends_s else None,
            "connections_blocked": bool(call.broker.alarms.reason),
        }
    )


async def livelog(call: Call) -> Answer:
    """The lines of the log from now on, as server-sent events named by their levels."""
    level, text = call.request.query.get("level", "debug"), call.request.query.get("text", "")
    if level not in LEVELS:
        raise bad_request(f"level: one of {', '.join(LEVELS)}")
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return Answer(200, _lines(call.host.records, level, text), STREAM, headers)


async def _lines(records: Records, level: str, text: str) -> AsyncGenerator[bytes, None]:
    newest = records.log_lines("debug", "", 1)
    seen = newest[0].number if newest else 0
    # At once, so that whoever listens knows that from now on nothing is missed.
    yield b": from here\n\n"
    silent_s = 0.0
    while True:
        found = [one for one in records.log_lines(level, text, MOST_LINES) if one.number > seen]
        for line in reversed(found):
            seen, silent_s = line.number, 0.0
            said = (b"id: %d\nevent: " % seen, line.level.encode(), b"\ndata: ", encode(line))
            yield b"".join((*said, b"\n\n"))
        await asyncio.sleep(LOOK_S)
        silent_s += LOOK_S
        if silent_s >= SIGN_OF_LIFE_S:
            silent_s = 0.0
            yield b": still here\n\n"


def _count(query: Mapping[str, str]) -> int:
    try:
        count = int(query.get("count") or LINES)
    except ValueError as error:
        raise bad_request("count: not a number") from error
    if not 0 < count <= MOST_LINES:
        raise bad_request(f"count: from 1 to {MOST_LINES}")
    return count


ADMIN: Final = Needs.ADMINISTRATOR
ROUTES: Final = (
    Route("/logs", GET=Operation(logs, ADMIN, query=("level", "text", "count"))),
    Route("/livelog", GET=Operation(livelog, ADMIN, query=("level", "text"), gives=STREAM)),
    Route("/audit", GET=Operation(audit, ADMIN, query=("event", "text", "below", "count"))),
    Route("/alarms", GET=Operation(alarms, Needs.MONITOR)),
)
