"""What clients write down while a broker is killed and started again: one JSON line per event.

Times are of the monotonic clock, in nanoseconds. An operation whose answer never came is
unknown for ever: it may have happened or not.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Verb = Literal["ack", "reject", "requeue"]


@dataclass(frozen=True, slots=True)
class Kind:
    """What sort of queue this is, where it is not a plain one.

    `limit` is its greatest length; if it `refuses`, what is over it is not taken in, else its
    oldest messages go. `levels` counts priorities, 0 included. From one that is `loose`
    messages may go for good at any time. One that `counts` tells how often a message came back,
    and what was given back to it waits `delay_ms`.
    """

    at: int
    queue: str
    levels: int = 1
    limit: int = 0
    refuses: bool = False
    loose: bool = False
    counts: bool = False
    delay_ms: int = 0


@dataclass(frozen=True, slots=True)
class Linked:
    """What dies in `source` for one of these reasons goes to `target`."""

    at: int
    source: str
    target: str
    reasons: tuple[str, ...] = ("rejected",)


@dataclass(frozen=True, slots=True)
class Publish:
    """About to publish; `seq` counts per channel from 1.

    `ttls_ms` has a time to live for each queue, 0 for none; empty if there is none at all.
    """

    at: int
    id: str
    channel: str
    seq: int
    queues: tuple[str, ...]
    durable: bool = True
    tx: str = ""
    ttls_ms: tuple[int, ...] = ()
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A verdict arrived on a confirm channel."""

    at: int
    channel: str
    seq: int
    multiple: bool
    acked: bool = True


@dataclass(frozen=True, slots=True)
class Delivered:
    """A message arrived; `drain` is 0, or the round of the final drain.

    `deaths` is how often it was dead lettered before, `death` the last time: reason@queue.
    """

    at: int
    id: str
    queue: str
    consumer: str
    redelivered: bool
    intact: bool = True
    drain: int = 0
    deaths: int = 0
    death: str = ""
    #: As its headers say: how often it was handed out before, and how often that failed.
    acquired: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Settled:
    """A delivery was answered; requeued ones stay in the queue."""

    at: int
    id: str
    queue: str
    verb: Verb
    tx: str = ""
    deaths: int = 0
    by: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """The broker has taken in all that this worker had settled before."""

    at: int
    by: str


@dataclass(frozen=True, slots=True)
class Committed:
    """A transaction ended; without this event its end is unknown."""

    at: int
    tx: str
    outcome: Literal["ok", "rolled back"]


@dataclass(frozen=True, slots=True)
class Crashed:
    """The broker was killed."""

    at: int


@dataclass(frozen=True, slots=True)
class Stopped:
    """The broker was asked to end; it did, in good order."""

    at: int


@dataclass(frozen=True, slots=True)
class Drained:
    """A queue gave its last message in this round of the final drain."""

    at: int
    queue: str
    round: int
    count: int


@dataclass(frozen=True, slots=True)
class Removed:
    """The broker says how many messages it has removed by a rule since it started."""

    at: int
    rule: str
    count: int


@dataclass(frozen=True, slots=True)
class Missing:
    """A durable definition was not there after a start."""

    at: int
    what: str


Event = (
    Kind
    | Linked
    | Publish
    | Confirmed
    | Delivered
    | Settled
    | Known
    | Committed
    | Crashed
    | Stopped
    | Drained
    | Removed
    | Missing
)
KINDS: Final[dict[str, type[Event]]] = {kind.__name__: kind for kind in Event.__args__}


def line(event: Event) -> str:
    """The event as one line of JSON."""
    return json.dumps({"kind": type(event).__name__, **asdict(event)})


def read(path: Path) -> Iterator[Event]:
    """The events of a file, in its order."""
    with path.open(encoding="utf-8") as lines:
        for text in lines:
            yield parse(text)


def parse(text: str | bytes) -> Event:
    """The event of a line."""
    fields = json.loads(text)
    kind = KINDS[fields.pop("kind")]
    return kind(**{name: _tuple(value) for name, value in fields.items()})


def _tuple(value: Any) -> Any:
    # What JSON gives back is what a dataclass of ours put in.
    return tuple(value) if isinstance(value, list) else value
