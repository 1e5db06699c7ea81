"""Checks what clients saw against what a broker promises.

Workers append one JSON line per event while a broker is killed and started again; afterwards
every queue is drained twice and the whole history is judged:

    I1   a confirmed durable message is acked by a consumer, or in the drain, or counted
         as removed, in every one of its queues
    I2   nothing is delivered that was not published to that queue, or was rolled back
    I3   no queue delivers a message twice with redelivered false, nor twice in one drain
    I4   an acked message does not come back, unless a crash followed within the window
    I6   what is seen after a crash in one queue of a publish is in all of them
    I7   per publisher channel and queue: first deliveries to one consumer and the drain are
         in publish order, and what survives a crash has no hole
    I8   bodies are intact
    I9   every publish has at most one verdict, and no verdict is for nothing
    I11  every queue drains to empty
    I12  durable definitions are there after every start
    D1   a rejected message of a queue with a dead letter queue is in one of the two, not both
    T1   a transaction's publishes and acks took effect together or not at all

An operation whose answer never came is unknown for ever: it may have happened or not. The
module is one file and needs nothing: `python history.py FILE` prints the report and exits 1
on a violation.
"""

from __future__ import annotations

import bisect
import json
import sys
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: An ack is durable with the next group; a crash within this may undo it.
ACK_WINDOW_NS: Final = 1_000_000_000
Verb = Literal["ack", "reject", "requeue"]
#: How many violations of one kind are spelled out.
SPELLED_OUT: Final = 20


@dataclass(frozen=True, slots=True)
class Publish:
    """About to publish; `seq` counts per channel from 1."""

    at: int
    id: str
    channel: str
    seq: int
    queues: tuple[str, ...]
    durable: bool = True
    tx: str = ""


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
    """A message arrived; `drain` is 0, or the round of the final drain."""

    at: int
    id: str
    queue: str
    consumer: str
    redelivered: bool
    intact: bool = True
    drain: int = 0


@dataclass(frozen=True, slots=True)
class Settled:
    """A delivery was answered; requeued ones stay in the queue."""

    at: int
    id: str
    queue: str
    verb: Verb
    tx: str = ""


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
class Drained:
    """A queue gave its last message in this round of the final drain."""

    at: int
    queue: str
    round: int
    count: int


@dataclass(frozen=True, slots=True)
class Removed:
    """The broker says it removed messages by a named rule."""

    at: int
    queue: str
    rule: str
    count: int


@dataclass(frozen=True, slots=True)
class Linked:
    """What is rejected in `source` goes to `target`."""

    at: int
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Missing:
    """A durable definition was not there after a start."""

    at: int
    what: str


Event = (
    Publish
    | Confirmed
    | Delivered
    | Settled
    | Committed
    | Crashed
    | Drained
    | Removed
    | Linked
    | Missing
)
KINDS: Final[dict[str, type[Event]]] = {
    kind.__name__: kind
    for kind in (
        Publish,
        Confirmed,
        Delivered,
        Settled,
        Committed,
        Crashed,
        Drained,
        Removed,
        Linked,
        Missing,
    )
}


def line(event: Event) -> str:
    """The event as one line of JSON."""
    return json.dumps({"kind": type(event).__name__, **asdict(event)})


def read(path: Path) -> Iterator[Event]:
    """The events of a file, in its order."""
    with path.open(encoding="utf-8") as lines:
        for text in lines:
            fields = json.loads(text)
            kind = KINDS[fields.pop("kind")]
            if kind is Publish:
                fields["queues"] = tuple(fields["queues"])
            yield kind(**fields)


@dataclass(slots=True)
class Report:
    """What was found; `violations` maps an invariant to its cases."""

    attempts: int = 0
    acknowledged: int = 0
    delivered: int = 0
    redelivered: int = 0
    recovered: int = 0
    crashes: int = 0
    violations: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    @property
    def clean(self) -> bool:
        """Whether every promise was kept."""
        return not self.violations

    def text(self) -> str:
        """The report for people."""
        lines = [
            f"attempts {self.attempts}, acknowledged {self.acknowledged}, "
            f"delivered {self.delivered}, redelivered {self.redelivered}, "
            f"recovered {self.recovered}, crashes {self.crashes}"
        ]
        for name, cases in sorted(self.violations.items()):
            lines.append(f"{name}: {len(cases)} violations")
            lines += [f"    {case}" for case in cases[:SPELLED_OUT]]
        return "\n".join(lines)


Place = tuple[str, str]  # queue, message id


class History:
    """All events, indexed for the checks."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.report = Report()
        self.publishes: dict[str, Publish] = {}
        self.deliveries: dict[Place, list[Delivered]] = defaultdict(list)
        self.settles: dict[Place, list[Settled]] = defaultdict(list)
        self.verdicts: dict[str, list[Publish | Confirmed]] = defaultdict(list)
        self.outcomes: dict[str, str] = {}
        self.crashes: list[int] = []
        self.confirms: list[int] = []
        self.drained: dict[Place, int] = {}
        self.removed: Counter[str] = Counter()
        #: Queue -> where its rejected messages go; and the other way round.
        self.dead_letters: dict[str, str] = {}
        self.living: dict[str, str] = {}
        self.by_channel: dict[Place, list[Publish]] = defaultdict(list)
        self.in_order: list[Delivered] = []
        self.confirmed: set[str] = set()
        self.refused: set[str] = set()
        for event in sorted(events, key=lambda each: each.at):
            self._add(event)

    def _add(self, event: Event) -> None:
        match event:
            case Publish():
                self.publishes[event.id] = event
                self.verdicts[event.channel].append(event)
                for queue in event.queues:
                    self.by_channel[event.channel, queue].append(event)
            case Confirmed():
                self.verdicts[event.channel].append(event)
                self.confirms.append(event.at)
            case Delivered():
                self.deliveries[event.queue, event.id].append(event)
                self.in_order.append(event)
            case Settled():
                self.settles[event.queue, event.id].append(event)
            case Committed():
                self.outcomes[event.tx] = event.outcome
            case Crashed():
                self.crashes.append(event.at)
            case Drained():
                self.drained[event.queue, str(event.round)] = event.count
            case Removed():
                self.removed[event.queue] += event.count
            case Linked():
                self.dead_letters[event.source] = event.target
                self.living[event.target] = event.source
            case Missing():
                self._violated("I12", f"{event.what} is missing")

    def judge(self) -> Report:
        """Run every check."""
        self._check_verdicts()
        for each in self.publishes.values():
            if self.outcomes.get(each.tx) == "ok":
                self.confirmed.add(each.id)
        self._check_lost()
        self._check_unexpected()
        self._check_dead_letters()
        self._check_copies()
        self._check_acked()
        self._check_together()
        self._check_order()
        self._check_survivors()
        self._check_transactions()
        self._check_drained()
        self._count()
        return self.report

    def _violated(self, invariant: str, case: str) -> None:
        self.report.violations[invariant].append(case)

    # -- what is known of a message

    def _life(self, at: int) -> int:
        """How many crashes came before."""
        return bisect.bisect(self.crashes, at)

    def _seen(self, queue: str, name: str) -> bool:
        return bool(self.deliveries.get((queue, name)))

    def _seen_after_crash(self, queue: str, each: Publish) -> bool:
        """Whether the message came out of the queue in a later life than it went in."""
        born = self._life(each.at)
        found = self.deliveries.get((queue, each.id), ())
        return any(self._life(delivery.at) > born for delivery in found)

    def _effective(self, settle: Settled) -> bool:
        """Whether this certainly took the message out of the queue."""
        committed = not settle.tx or self.outcomes.get(settle.tx) == "ok"
        return settle.verb != "requeue" and committed

    def _may_be_gone(self, settle: Settled) -> bool:
        return settle.verb != "requeue" and self.outcomes.get(settle.tx) != "rolled back"

    # -- the checks

    def _check_verdicts(self) -> None:
        for channel, events in self.verdicts.items():
            still_open: dict[int, str] = {}
            for event in events:
                if isinstance(event, Publish):
                    still_open[event.seq] = event.id
                    continue
                if event.multiple:
                    closed = [seq for seq in still_open if seq <= event.seq]
                else:
                    closed = [event.seq] if event.seq in still_open else []
                if not closed:
                    self._violated("I9", f"{channel}: verdict {event.seq} is for no open publish")
                target = self.confirmed if event.acked else self.refused
                target.update(still_open.pop(seq) for seq in closed)

    def _check_lost(self) -> None:
        lost: Counter[str] = Counter()
        cases: list[tuple[str, str]] = []
        for name in self.confirmed:
            each = self.publishes[name]
            for queue in each.queues if each.durable else ():
                place = (queue, name)
                gone = any(self._may_be_gone(settle) for settle in self.settles.get(place, ()))
                left = any(found.drain == 1 for found in self.deliveries.get(place, ()))
                if not gone and not left:
                    lost[queue] += 1
                    cases.append((queue, f"{name} confirmed, lost from {queue}"))
        for queue, case in cases:
            if lost[queue] > self.removed[queue]:
                self._violated("I1", case)

    def _check_unexpected(self) -> None:
        for queue, name in self.deliveries:
            each = self.publishes.get(name)
            source = self.living.get(queue, queue)
            if each is None or source not in each.queues:
                self._violated("I2", f"{name} was never published to {queue}")
            elif self.outcomes.get(each.tx) == "rolled back":
                self._violated("I2", f"{name} was rolled back, yet is in {queue}")

    def _check_dead_letters(self) -> None:
        for source, target in self.dead_letters.items():
            for name, each in self.publishes.items():
                if source in each.queues:
                    self._check_dead_letter(source, target, name)

    def _check_dead_letter(self, source: str, target: str, name: str) -> None:
        rejects = [
            settle
            for settle in self.settles.get((source, name), ())
            if settle.verb == "reject" and not settle.tx
        ]
        dead = self.deliveries.get((target, name), [])
        if dead and not rejects:
            self._violated("D1", f"{name} is in {target} without having been rejected")
        if rejects and not dead and self._must_last(name) and not self._again(rejects[-1]):
            self._violated("D1", f"{name} was rejected in {source}, never came to {target}")
        drained = [found.queue for found in self._all(source, target, name) if found.drain]
        if len(drained) > 1:
            self._violated("D1", f"{name} was left in {source} and in {target}")

    def _all(self, source: str, target: str, name: str) -> list[Delivered]:
        """The message's deliveries from both queues."""
        places = ((source, name), (target, name))
        return [found for place in places for found in self.deliveries.get(place, ())]

    def _check_copies(self) -> None:
        for (queue, name), found in self.deliveries.items():
            if sum(not delivery.redelivered for delivery in found) > 1:
                self._violated("I3", f"{name} came twice from {queue} with redelivered false")
            rounds = Counter(delivery.drain for delivery in found if delivery.drain)
            if any(count > 1 for count in rounds.values()) or len(rounds) > 1:
                self._violated("I3", f"{name} is more than once in the drain of {queue}")
            if not all(delivery.intact for delivery in found):
                self._violated("I8", f"{name} from {queue} is damaged")

    def _check_acked(self) -> None:
        for place, settles in self.settles.items():
            gone = [settle.at for settle in settles if self._effective(settle)]
            if not gone:
                continue
            for delivery in self.deliveries.get(place, ()):
                if delivery.at > gone[0] and not self._undone(gone[0], delivery.at):
                    self._violated("I4", f"{place[1]} was acked and came again from {place[0]}")

    def _undone(self, acked: int, again: int) -> bool:
        """Whether a crash soon after the ack excuses that the message came again."""
        index = bisect.bisect_left(self.crashes, acked)
        if index == len(self.crashes):
            return False
        crash = self.crashes[index]
        if crash > again:
            return False
        return crash <= acked + ACK_WINDOW_NS or not self._was_on_disk(acked, crash)

    def _was_on_disk(self, acked: int, crash: int) -> bool:
        """Whether something was confirmed meanwhile: a disk that hangs keeps acks waiting too."""
        index = bisect.bisect_left(self.confirms, acked + ACK_WINDOW_NS // 10)
        return index < len(self.confirms) and self.confirms[index] < crash

    def _check_together(self) -> None:
        for each in self.publishes.values():
            if not each.durable or len(each.queues) < 2:
                continue
            if any(self._seen_after_crash(queue, each) for queue in each.queues):
                absent = [queue for queue in each.queues if not self._seen(queue, each.id)]
                if absent and not any(self.removed[queue] for queue in absent):
                    self._violated("I6", f"{each.id} survived, but not in {', '.join(absent)}")

    def _check_order(self) -> None:
        last_first: dict[tuple[str, ...], int] = {}
        last_drained: dict[tuple[str, ...], int] = {}
        for delivery in self.in_order:
            each = self.publishes.get(delivery.id)
            if each is None or delivery.queue in self.living:
                continue  # Dead letters are in the order of their deaths.
            key = (delivery.queue, each.channel, delivery.consumer)
            if not delivery.redelivered:
                if each.seq < last_first.get(key, 0):
                    self._violated("I7", f"{delivery.id} came out of order from {delivery.queue}")
                last_first[key] = each.seq
            if delivery.drain:
                if each.seq < last_drained.get(key, 0):
                    self._violated("I7", f"{delivery.id} is out of place in {delivery.queue}")
                last_drained[key] = each.seq

    def _check_survivors(self) -> None:
        for (channel, queue), publishes in self.by_channel.items():
            hole = ""
            for each in publishes:
                rolled_back = self.outcomes.get(each.tx) == "rolled back"
                if not each.durable or rolled_back or each.id in self.refused:
                    continue
                if not self._seen(queue, each.id):
                    hole = hole or each.id
                elif hole and self._seen_after_crash(queue, each) and not self.removed[queue]:
                    self._violated(
                        "I7", f"{queue}: {hole} of {channel} is missing before {each.id}"
                    )
                    break

    def _check_transactions(self) -> None:
        publishes: dict[str, list[Publish]] = defaultdict(list)
        settles: dict[str, list[Settled]] = defaultdict(list)
        for each in self.publishes.values():
            if each.tx:
                publishes[each.tx].append(each)
        for place in self.settles.values():
            for settle in place:
                if settle.tx and settle.verb != "requeue" and self._must_last(settle.id):
                    settles[settle.tx].append(settle)
        for tx in publishes.keys() | settles.keys():
            self._check_transaction(tx, publishes[tx], settles[tx])

    def _must_last(self, name: str) -> bool:
        """Whether only an ack can make the message go: else a crash may have taken it."""
        each = self.publishes.get(name)
        return each is not None and each.durable and name in self.confirmed

    def _check_transaction(self, tx: str, publishes: list[Publish], settles: list[Settled]) -> None:
        there = [
            self._seen(queue, each.id)
            for each in publishes
            if each.durable
            for queue in each.queues
        ]
        after = any(
            self._seen_after_crash(queue, each) for each in publishes for queue in each.queues
        )
        if after and not all(there):
            self._violated("T1", f"{tx}: some of its publishes survived, others not")
        undone = [settle for settle in settles if self._again(settle)]
        if undone and (after or len(undone) < len(settles)):
            self._violated("T1", f"{tx}: took effect, yet {undone[0].id} came again")
        if self.outcomes.get(tx) is None and there and not any(there):
            self._check_kept(tx, settles)

    def _check_kept(self, tx: str, settles: list[Settled]) -> None:
        """The publishes of a transaction did not happen: its acks must not have either."""
        for settle in settles:
            if not self._again(settle):
                self._violated("T1", f"{tx}: left nothing, yet {settle.id} is acked")

    def _again(self, settle: Settled) -> bool:
        """Whether the message came again after it was settled."""
        found = self.deliveries.get((settle.queue, settle.id), ())
        return any(delivery.at > settle.at for delivery in found)

    def _check_drained(self) -> None:
        queues = {queue for each in self.publishes.values() for queue in each.queues}
        queues.update(self.living)
        for queue in sorted(queues):
            if self.drained.get((queue, "2")) != 0:
                self._violated("I11", f"{queue} did not drain to empty")

    def _count(self) -> None:
        report = self.report
        report.attempts = len(self.publishes)
        report.acknowledged = len(self.confirmed)
        report.delivered = len(self.in_order)
        report.redelivered = sum(delivery.redelivered for delivery in self.in_order)
        report.crashes = len(self.crashes)
        unknown = self.publishes.keys() - self.confirmed - self.refused
        report.recovered = len({name for _, name in self.deliveries} & unknown)


def check(events: Iterable[Event]) -> Report:
    """Judge a history."""
    return History(events).judge()


def main(path: str) -> int:
    """Print the report on a file; 1 when a promise was broken."""
    report = check(read(Path(path)))
    sys.stdout.write(report.text() + "\n")
    return 0 if report.clean else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
