"""Surroundings: what a queue needs of its broker, and what may be done in one turn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from amqpd.broker.archive import Archive, NoArchive
from amqpd.broker.attempts import ReadReturned, none_returned
from amqpd.broker.cursor import ReadAhead
from amqpd.broker.expiry import Expired, ReadSome, never, nothing

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Mapping, Sequence

    from amqpd.broker.events import Events
    from amqpd.broker.journal import Journal
    from amqpd.broker.lane import Lane
    from amqpd.broker.queue import Queue
    from amqpd.broker.refill import Refill
    from amqpd.broker.stretch import Stretch
    from amqpd.broker.timers import Timers

#: What may be done in one turn, so that nobody waits long for the next one: in microseconds,
#: more or less, beside handing out; and handing out, in bytes.
EFFORT = 5_000
HAND_OUT_BYTES = 2 << 20
#: What a look at a queue costs, in microseconds.
LOOK_COST = 5


def first_of(_below: int) -> int:
    """Chance where nothing is left to it: always the first."""
    return 0


def at_leisure() -> None:
    """Where nothing is under way."""


class Labour(Protocol):
    """What is too much for one turn."""

    def run(self) -> bool:
        """Do what this turn allows (`Surroundings.spare`); True: that was all."""


@dataclass(slots=True)
class Surroundings:
    """What a queue needs of its broker; one for all queues."""

    journal: Journal
    timers: Timers
    awake: deque[Queue]
    refill: Refill
    new_lane_id: Callable[[], int]
    bury: Callable[[Queue, Sequence[tuple[Lane, Stretch]], str], None]
    unused: Callable[[Queue], None]
    #: Do in the next turns what is too much for this one.
    work_off: Callable[[Labour], None]
    lane_gone: Callable[[int], None]
    #: Count messages that go without dead lettering, by reason.
    drop: Callable[[Queue, str, int], None]
    #: A queue that is paused goes: it is not paused any more.
    resume: Callable[[Queue], None]
    events: Events
    now_ms: int = 0
    #: What is left of `EFFORT` and `HAND_OUT_BYTES` in this turn, and who waits for the next.
    spare: int = EFFORT
    spare_bytes: int = HAND_OUT_BYTES
    tired: list[Queue] = field(default_factory=list)
    #: Which turn it is.
    turn: int = 0
    #: Consumers of all queues.
    consumers: int = 0
    #: The queues that have any.
    consuming: dict[Queue, None] = field(default_factory=dict)
    expired: Expired = never
    read_some: ReadSome = nothing
    read_returned: ReadReturned = none_returned
    #: Draws one of the numbers below the given one.
    chance: Callable[[int], int] = first_of
    #: Does now what it can of the returns that are under way.
    hurry: Callable[[], None] = at_leisure
    #: Queues of all kinds tell in the headers how often a message came back.
    always_counted: bool = False
    #: Deaths that the headers of what clients publish tell of count.
    trusts_deaths: bool = True
    #: How long a message may be unacked where nobody says; None: the type of the queue decides.
    consumer_timeout_ms: int | None = None
    #: Of streams: where they are read, and what is read at a time.
    archive: Archive = field(default_factory=NoArchive)
    #: Lanes that the store cannot read at present, and why.
    unreadable: Mapping[int, str] = field(default_factory=dict)
    #: Lanes of which damaged messages were set aside, and how many.
    quarantined: Mapping[int, int] = field(default_factory=dict)
    read_ahead: ReadAhead = field(default_factory=ReadAhead)
