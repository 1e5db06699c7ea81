"""A broker of a few lines with clients around it, writing histories for the checker.

It keeps its promises unless told which one to break: then the checker must find out. Queues
are lists; what is decided waits in a journal until it is synced; a crash forgets the journal.
"""

from __future__ import annotations

import copy
import enum
import itertools
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.faults.events import (
    Committed,
    Confirmed,
    Crashed,
    Delivered,
    Drained,
    Event,
    Linked,
    Missing,
    Publish,
    Settled,
    Verb,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

STEP_NS: Final = 100_000_000
#: An honest broker does not leave an ack in memory for long.
GROUP_STEPS: Final = 5
ROUTES: Final = (("direct",), ("fan.1", "fan.2", "fan.3"), ("topic", "direct"), ("dying",))
QUEUES: Final = ("direct", "fan.1", "fan.2", "fan.3", "topic", "dying", "dead")


class Fault(enum.Enum):
    """Ways to break a promise."""

    NONE = enum.auto()
    CONFIRM_BEFORE_SYNC = enum.auto()
    DROP_ON_REQUEUE = enum.auto()
    REQUEUE_AT_TAIL = enum.auto()
    FORGET_A_TARGET = enum.auto()
    FRESH_AFTER_CRASH = enum.auto()
    CONFIRM_TWICE = enum.auto()
    ACKED_COMES_BACK = enum.auto()
    SWAP_IN_BATCH = enum.auto()
    HALF_A_TRANSACTION = enum.auto()
    ROLLED_BACK_IS_KEPT = enum.auto()
    DAMAGED_BODY = enum.auto()
    HOLE_AFTER_CRASH = enum.auto()
    DELIVER_TWICE = enum.auto()
    LOST_DEFINITION = enum.auto()
    DEAD_LETTER_COPIED = enum.auto()
    DEAD_LETTER_LOST = enum.auto()


@dataclass(slots=True)
class Stored:
    """A message in a queue."""

    id: str
    position: int
    delivered: bool = False
    deaths: int = 0


@dataclass(slots=True)
class Disk:
    """What survives."""

    queues: dict[str, list[Stored]] = field(default_factory=lambda: {q: [] for q in QUEUES})


Change = tuple[str, str, Stored]  # "append" or "settle", queue, message


class Simulation:
    """One run: `events` is the history."""

    def __init__(self, chance: random.Random, fault: Fault) -> None:
        self.chance = chance
        self.fault = fault
        self.events: list[Event] = [Linked(0, "dying", "dead")]
        self.now = 1
        self.disk = Disk()
        self.memory = Disk()
        self.unacked: deque[tuple[str, Stored]] = deque()
        self.journal: list[Change] = []
        self.awaiting: list[tuple[str, int]] = []
        self.life = 0
        self.positions = itertools.count(1)
        self.numbers = itertools.count(1)
        self.sequences: dict[str, int] = {}
        self.acked: list[tuple[str, Stored]] = []

    def _at(self) -> int:
        self.now += 1
        return self.now

    def run(self, steps: int) -> list[Event]:
        """Random work with crashes in between, then the drain."""
        work: tuple[Callable[[], None], ...] = (
            self.publish,
            self.publish,
            self.deliver,
            self.deliver,
            self.settle,
            self.transaction,
            self.sync,
        )
        for step in range(steps):
            self.now += STEP_NS
            self.chance.choice(work)()
            if step % GROUP_STEPS == 0:
                self.sync()
            if self.chance.random() < 0.02:
                self.crash()
        self.sync()
        if self.chance.random() < 0.5:
            self.crash()
        for queue, stored in self.unacked:
            self._requeue(queue, stored)
        self.sync()
        self.drain()
        return self.events

    def _broken(self, fault: Fault) -> bool:
        """Whether to break this promise this time."""
        return self.fault is fault and self.chance.random() < 0.3

    def _next(self, kind: str) -> tuple[str, int]:
        channel = f"{kind}{self.life}"
        self.sequences[channel] = self.sequences.get(channel, 0) + 1
        return channel, self.sequences[channel]

    def publish(self) -> None:
        """One confirmed publish."""
        channel, seq = self._next("p")
        targets = self.chance.choice(ROUTES)
        name = f"m{next(self.numbers)}"
        self.events.append(Publish(self._at(), name, channel, seq, targets))
        self._append(name, targets)
        self.awaiting.append((channel, seq))
        if self._broken(Fault.CONFIRM_BEFORE_SYNC):
            self._confirm()

    def _append(self, name: str, targets: tuple[str, ...]) -> None:
        if len(targets) > 1 and self._broken(Fault.FORGET_A_TARGET):
            targets = targets[:-1]
        for queue in targets:
            stored = Stored(name, next(self.positions))
            self.memory.queues[queue].append(stored)
            self.journal.append(("append", queue, stored))

    def sync(self) -> None:
        """Commit the journal, then confirm."""
        batch = self.journal
        if len(batch) > 1 and self._broken(Fault.SWAP_IN_BATCH):
            first, last = batch[0][2], batch[-1][2]
            first.position, last.position = last.position, first.position
        for change in batch:
            self._apply(change)
        self.journal = []
        self._confirm()

    def _apply(self, change: Change) -> None:
        kind, queue, stored = change
        if kind == "append":
            self.disk.queues[queue].append(copy.copy(stored))
        else:
            kept = [each for each in self.disk.queues[queue] if each.id != stored.id]
            self.disk.queues[queue] = kept

    def _confirm(self) -> None:
        last: dict[str, int] = dict(self.awaiting)
        for channel, seq in last.items():
            self.events.append(Confirmed(self._at(), channel, seq, multiple=True))
            if self._broken(Fault.CONFIRM_TWICE):
                self.events.append(Confirmed(self._at(), channel, seq, multiple=False))
        self.awaiting = []

    def deliver(self) -> None:
        """Hand the head of some queue to its consumer."""
        queue = self.chance.choice(QUEUES)
        if not self.memory.queues[queue]:
            return
        twice = self._broken(Fault.DELIVER_TWICE)
        stored = self.memory.queues[queue].pop(0)
        intact = not self._broken(Fault.DAMAGED_BODY)
        for _ in range(2 if twice else 1):
            consumer = f"{queue}/{self.life}"
            self._note_delivery(queue, stored, consumer, stored.delivered, intact)
        stored.delivered = True
        for each in self.disk.queues[queue]:
            each.delivered |= each.id == stored.id
        self.unacked.append((queue, stored))

    def _note_delivery(
        self,
        queue: str,
        stored: Stored,
        consumer: str,
        redelivered: bool,
        intact: bool = True,
        drain: int = 0,
    ) -> None:
        deaths = stored.deaths
        death = "rejected@dying" if deaths else ""
        at = self._at()
        event = Delivered(at, stored.id, queue, consumer, redelivered, intact, drain, deaths, death)
        self.events.append(event)

    def _note_settled(self, queue: str, stored: Stored, verb: Verb, tx: str = "") -> None:
        self.events.append(Settled(self._at(), stored.id, queue, verb, tx, stored.deaths))

    def settle(self) -> None:
        """Ack, reject or requeue the oldest unacked message."""
        if not self.unacked:
            return
        queue, stored = self.unacked.popleft()
        verb = self.chance.choice(("ack", "ack", "reject", "requeue"))
        if verb == "requeue":
            self._note_settled(queue, stored, "requeue")
            self._requeue(queue, stored)
        else:
            self._note_settled(queue, stored, "ack" if verb == "ack" else "reject")
            self._remove(queue, stored)
            if verb == "reject" and queue == "dying":
                self._dead_letter(stored)

    def _dead_letter(self, stored: Stored) -> None:
        """Goes on as a new message, with the removal that was just decided."""
        if self._broken(Fault.DEAD_LETTER_COPIED):
            self.journal.pop()
        dead = Stored(stored.id, next(self.positions), deaths=1)
        self.memory.queues["dead"].append(dead)
        if not self._broken(Fault.DEAD_LETTER_LOST):
            self.journal.append(("append", "dead", dead))

    def _requeue(self, queue: str, stored: Stored) -> None:
        if self._broken(Fault.DROP_ON_REQUEUE):
            self._remove(queue, stored)
            return
        waiting = self.memory.queues[queue]
        waiting.append(stored)
        if self.fault is not Fault.REQUEUE_AT_TAIL:
            waiting.sort(key=lambda each: each.position)

    def _remove(self, queue: str, stored: Stored) -> None:
        self.acked.append((queue, stored))
        self.journal.append(("settle", queue, stored))

    def transaction(self) -> None:
        """Publish twice and ack once, together; commit, roll back, or crash in the middle."""
        tx = f"tx{next(self.numbers)}"
        names = []
        for _ in range(2):
            channel, seq = self._next("t")
            names.append(f"m{next(self.numbers)}")
            publish = Publish(self._at(), names[-1], channel, seq, ROUTES[1], tx=tx)
            self.events.append(publish)
        taken = self.unacked.popleft() if self.unacked else None
        if taken:
            self._note_settled(*taken, "ack", tx)
        if self.chance.random() < 0.2:
            self._roll_back(tx, names, taken)
            return
        before = len(self.journal)
        for name in names:
            self._append(name, ROUTES[1])
        if taken:
            self.journal.append(("settle", *taken))
        if self.chance.random() < 0.3:
            self._crash_in_commit(before)
            return
        self.sync()
        self.events.append(Committed(self._at(), tx, "ok"))

    def _roll_back(self, tx: str, names: list[str], taken: tuple[str, Stored] | None) -> None:
        if self._broken(Fault.ROLLED_BACK_IS_KEPT):
            self._append(names[0], ROUTES[1])
        if taken:
            self.unacked.appendleft(taken)
        self.events.append(Committed(self._at(), tx, "rolled back"))

    def _crash_in_commit(self, before: int) -> None:
        """The crash comes before the sync, or after it and before the answer."""
        cut = self.chance.choice((before, len(self.journal)))
        if self._broken(Fault.HALF_A_TRANSACTION):
            cut = before + 1
        for change in self.journal[:cut]:
            self._apply(change)
        self.crash()

    def crash(self) -> None:
        """Forget everything that is not on disk."""
        self.events.append(Crashed(self._at()))
        self.life += 1
        self.now += STEP_NS
        self.journal = []
        self.awaiting = []
        self.unacked.clear()
        if self.fault is Fault.LOST_DEFINITION and self.chance.random() < 0.5:
            self.events.append(Missing(self._at(), "queue 'direct'"))
        for queue, stored in self.disk.queues.items():
            if len(stored) > 2 and self._broken(Fault.HOLE_AFTER_CRASH):
                del stored[-2]
            if self.fault is Fault.FRESH_AFTER_CRASH:
                for each in stored:
                    each.delivered = False
            stored.sort(key=lambda each: each.position)
            self.memory.queues[queue] = [copy.copy(each) for each in stored]
        if self.acked and self._broken(Fault.ACKED_COMES_BACK):
            queue, gone = self.acked[0]
            back = Stored(gone.id, gone.position, delivered=True, deaths=gone.deaths)
            self.memory.queues[queue].insert(0, back)

    def drain(self) -> None:
        """Empty every queue, twice."""
        for turn in (1, 2):
            for queue in QUEUES:
                waiting = self.memory.queues[queue] if turn == 1 else []
                for each in waiting:
                    self._note_delivery(queue, each, "drain", each.delivered, drain=turn)
                self.events.append(Drained(self._at(), queue, turn, len(waiting)))
