"""Fan-outs: a run that goes into very many queues, some of them at each step.

It is one entry of the journal all the same, part of a transaction that lasts until its end, so
a crash leaves it in all of its queues or in none. Meanwhile the queues that have it already go
about their business; nobody is told of the whole before its end.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from amqpd.broker.publishing import TRANSIENT, UNROUTED, Published, in_two, together

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from amqpd.broker.journal import Group
    from amqpd.broker.publishing import Path, Publishing
    from amqpd.broker.queue import Queue
    from amqpd.broker.run import Append, Run

#: Queues of a path from which on not all get a run in the same turn.
WIDE: Final = 1024
#: Queues of one step, what that costs in units of `Surroundings.spare`, and how much of a turn
#: a fan-out may take: while it lasts nobody's messages are confirmed.
PART: Final = 16
PART_COST: Final = 100
SHARE: Final = 10_000
#: Steps that are made at once.
AT_ONCE: Final = WIDE // PART


def is_wide(path: Path) -> bool:
    """Whether a run is too much for one turn; where an exchange keeps it, it goes at once."""
    return len(path.queues) > WIDE and path.keeping is None


def fan_out(
    publishing: Publishing,
    path: Path,
    run: Run,
    transaction: Group,
    *,
    expiration_ms: int = -1,
    priority: int = -1,
) -> Generator[None, None, Published]:
    """Put a run into all queues of a path step by step; what became of it, as of `publish`."""
    run.entered_ms = publishing.around.now_ms
    if path.tally is not None:
        publishing.counted(path, path.tally, run)
    ways = [(path, run)]
    if path.persists and not run.persistent:
        ways = in_two(path, run)
    outcomes = []
    for there, part in ways:
        one = _FanOut(publishing, there, part, transaction)
        yield from one.put(expiration_ms, priority)
        yield from one.heed()
        outcomes.append(one.outcome)
    return together(outcomes)


class _FanOut:
    """A run that all queues of a path store, or none."""

    def __init__(self, publishing: Publishing, path: Path, run: Run, transaction: Group) -> None:
        self._publishing = publishing
        self._path = path
        self._run = run
        self._transaction = transaction
        self._journal = publishing.around.journal
        #: For those that do not store it.
        self._loose: Run | None = None
        self._entry: Append | None = None
        self._refusing: list[Queue] = []
        self.outcome = UNROUTED

    def put(self, expiration_ms: int, priority: int) -> Iterator[None]:
        """Into each queue that is there and has room."""
        journal = self._journal
        for some in _parts(self._path.queues):
            with journal.inside(self._transaction):
                for queue in self._having_room(some):
                    if not queue.deleted:
                        self._put(queue, expiration_ms, priority)
            yield
        if self._entry is not None:
            journal.close_append(self._entry)

    def _having_room(self, queues: Sequence[Queue]) -> Sequence[Queue]:
        if not self._path.refuses:
            return queues
        refusing = dict.fromkeys(self._publishing.refusing(queues, self._run))
        self._refusing += refusing
        return [queue for queue in queues if queue not in refusing]

    def _put(self, queue: Queue, expiration_ms: int, priority: int) -> None:
        run, lane = self._run, queue.level(priority)
        deadline_ms = queue.first_deadline(run, expiration_ms)
        if not queue.stores(run, lane):
            if self._loose is None:
                self._loose = run.copy()
            queue.put(self._loose, lane, deadline_ms)
            if self.outcome is UNROUTED:
                self.outcome = TRANSIENT
            return
        entry = self._entry
        if entry is None:
            entry = self._entry = self._journal.open_append(run)
        lane.enter(entry, queue.put(run, lane, deadline_ms), deadline_ms)
        if self.outcome.entry is None:
            self.outcome = Published(entry, entry.number) if queue.keeps(run) else TRANSIENT

    def heed(self) -> Iterator[None]:
        """What queues do that have no room, or too little by now."""
        publishing, refused = self._publishing, bool(self._refusing)
        for some in _parts(self._refusing):
            with self._journal.inside(self._transaction):
                for queue in some:
                    publishing.refuse(queue, self._run)
            yield
        outcomes = [replace(self.outcome, refused=refused, routed=refused or self.outcome.routed)]
        heeding = [
            queue
            for queue in self._path.queues
            if queue.length.is_limited or queue.pressure.is_crowded
        ]
        for some in _parts(heeding):
            with self._journal.inside(self._transaction):
                outcomes.append(publishing.heeding(some, UNROUTED, False))
            yield
        self.outcome = together(outcomes)


def _parts(queues: Sequence[Queue]) -> Iterator[Sequence[Queue]]:
    return (queues[at : at + PART] for at in range(0, len(queues), PART))
