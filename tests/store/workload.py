"""A history of batches made from a seed, and what must be on disk after each of them.

Used with restarts, kills and lost power: whatever happens, what is found afterwards must be
the state after exactly one batch, none before the last one that was confirmed and none after
the last one that was handed in.
"""

# ruff: noqa: S311 - a seed must make the same history again

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from amqpd.broker.attempts import Attempts, Counted
from amqpd.broker.definitions import (
    Command,
    DeleteQueue,
    PutBinding,
    PutExchange,
    PutParameter,
    PutQueue,
    PutVhost,
)
from amqpd.broker.journal import Batch, Drop, Mark, Purge, Track
from amqpd.broker.run import Append, Requeue, Settle
from amqpd.fields import table
from amqpd.store.memory import MemoryStore
from tests.store.batches import Driven, Writing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amqpd.broker.archive import StreamState
    from amqpd.broker.chunk import StoredChunk
    from amqpd.store import LaneState, Row, Snapshot

QUEUES = 4
SIZES = (0, 1, 40, 40, 200, 1024, 1024, 5000, 20_000)
SMALL_SIZES = (0, 1, 40, 200, 1024)
LARGE = 600_000


@dataclass(frozen=True)
class State:
    """What must be there after a batch: persistent messages only, they are what survives."""

    number: int
    commands: list[Command]
    lanes: dict[int, LaneState]
    rows: dict[int, list[Row]]
    attempts: dict[int, dict[int, Attempts]]
    streams: dict[int, StreamState]
    chunks: dict[int, list[StoredChunk]]


@dataclass
class Held:
    """A message in a lane, as the workload remembers it."""

    message_id: int
    shared: bool
    transient: bool
    size: int


@dataclass
class Workload:
    """An endless sequence of batches; the same seed makes the same one."""

    seed: int
    large: bool = True
    writing: Writing = field(default_factory=Writing)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._lanes: dict[str, int] = {}
        self._held: dict[int, dict[int, Held]] = {}
        #: Of the stream that there is at the moment: where its segments begin, at which size.
        self._stream = 0
        self._segments: list[tuple[int, int]] = []
        #: Of a queue in which no message ever is: as far as it was delivered, so many batches.
        self._numbers = 1
        self._next_lane = 2

    def batches(self) -> Iterator[Batch]:
        """Batch 1, 2, …; the first one declares everything."""
        exchange = PutExchange("/", "ex", "direct", True, False, False)
        numbers = PutQueue("/", "numbers", True, False, False, {}, (self._numbers,))
        yield self._stamped([PutVhost("/"), exchange, numbers, self._declare_stream()])
        while True:
            if self._random.random() < 0.5:
                yield self._small()
                continue
            if self._stream and self._random.random() < 0.4:
                yield self.writing.batch(self._append_to_stream(), *self._tracks())
                continue
            defines = self._defines()
            if not self._stream:
                defines.append(self._declare_stream())
            appends = [self._append() for _ in range(self._random.randint(0, 3))]
            settles = [
                settle for _ in range(self._random.randint(0, 6)) for settle in self._settle()
            ]
            requeues = [self._requeue() for _ in range(self._random.choice((0, 0, 1, 8)))]
            purges = [self._purge()] if self._random.random() < 0.05 else []
            lane = self._random.choice(list(self._lanes.values()))
            marks = [Mark(lane, self._random.randint(0, 500), self.writing.lane(lane))]
            entries = [*appends, *requeues, *settles, *purges, *self._cut(), *marks]
            yield self._stamped(defines, *entries, *self._tracks())

    def _small(self) -> Batch:
        """A few messages come and go, and nothing else happens."""
        chance = self._random
        appends = [self._append(small=True) for _ in range(chance.randint(0, 3))]
        settles = [settle for _ in range(chance.randint(0, 3)) for settle in self._settle()]
        mark = Mark(self._numbers, self.writing.number + 1, self.writing.lane(self._numbers))
        return self.writing.batch(*appends, *settles, mark)

    def _stamped(
        self,
        defines: list[Command],
        *entries: Append | Requeue | Settle | Purge | Drop | Mark | Track,
    ) -> Batch:
        for queue in range(QUEUES):
            if f"q{queue}" not in self._lanes:
                defines.append(self._declare(f"q{queue}"))
                defines.append(PutBinding("/", "ex", f"q{queue}", "queue", "key"))
        number = self.writing.number + 1
        return self.writing.batch(
            *entries, defines=[*defines, PutParameter("test", "/", "number", str(number))]
        )

    def _declare(self, name: str) -> PutQueue:
        lane = self._next_lane
        self._next_lane += 1
        self._lanes[name] = lane
        self._held[lane] = {}
        return PutQueue("/", name, True, False, False, {}, (lane,))

    def _declare_stream(self) -> PutQueue:
        self._stream = self._next_lane
        self._next_lane += 1
        self._segments = [(0, 0)]
        arguments = table({"x-queue-type": "stream"})
        return PutQueue("/", "s", True, False, False, arguments, (self._stream,))

    def _defines(self) -> list[Command]:
        if self._random.random() > 0.04:
            return []
        name = self._random.choice(list(self._lanes))
        del self._held[self._lanes.pop(name)]
        return [DeleteQueue("/", name)]

    def _append(self, *, small: bool = False) -> Append:
        chance = self._random
        count = chance.choice((1, 1, 2, 5) if small else (1, 1, 2, 5, 30))
        sizes = SMALL_SIZES if small else SIZES
        bodies = [chance.randbytes(chance.choice(sizes)) for _ in range(count)]
        if self.large and not small and chance.random() < 0.02:
            bodies[0] = chance.randbytes(LARGE)
        fan_out = chance.choice((1, 1, 2) if small else (0, 1, 1, 1, 2, QUEUES))
        lanes = chance.sample(list(self._lanes.values()), min(fan_out, len(self._lanes)))
        entry = self.writing.append(
            bodies,
            *lanes,
            persistent=chance.random() < 0.9,
            names_each=[b"\x02ex" + bytes([2]) + b"k%d" % (n % 3) for n in range(count)]
            if chance.random() < 0.3
            else None,
            deadlines=[chance.choice((0, 5, 7)) for _ in range(count)]
            if not small and chance.random() < 0.2
            else None,
            streams=self._extended() if not lanes or (not small and chance.random() < 0.3) else (),
        )
        for target in entry.targets:
            if chance.random() < 0.2:
                at = chance.randrange(count)
                target.cut(at, chance.randint(at, count))
        for target in entry.targets:
            held = self._held[target.lane]
            for index in range(target.lo, target.hi):
                if target.dead is None or not target.dead[index]:
                    held[target.base + index] = Held(
                        entry.run.first_id + index,
                        entry.run.shared,
                        target.transient,
                        len(bodies[index]),
                    )
        return entry

    def _append_to_stream(self) -> Append:
        """Much, or little, for the stream alone."""
        chance = self._random
        size = chance.choice((100, 1000, 8000))
        bodies = [chance.randbytes(size) for _ in range(chance.choice((1, 5, 20)))]
        # The number of this batch, which is the next.
        lane, segment, number = self._extended()[0]
        return self.writing.append(bodies, streams=[(lane, segment, number + 1)])

    def _requeue(self) -> Requeue:
        """Some messages, there or not, came back."""
        chance = self._random
        lane = chance.choice(list(self._lanes.values()))
        low = chance.randint(0, self.writing.positions.get(lane, 0))
        due_ms = chance.choice((0, 0, chance.randint(1, 1000)))
        acquired = chance.randint(1, 5)
        high = low + chance.choice((1, 3, 100))
        return Requeue(lane, low, high, acquired, acquired // 2, due_ms)

    def _extended(self) -> list[tuple[int, int, int]]:
        """The stream, perhaps with a segment that begins now."""
        at = self.writing.positions.get(self._stream, 0)
        if at > self._segments[-1][0] and self._random.random() < 0.2:
            self._segments.append((at, self.writing.sizes[self._stream]))
        return [(self._stream, self._segments[-1][0], self.writing.number)]

    def _cut(self) -> Iterator[Purge | Drop]:
        """Some segments of the stream go, or all of it."""
        chance = self._random.random()
        if chance < 0.02:
            yield Drop((self._stream,))
            self._stream = 0
        elif chance < 0.1 and len(self._segments) > 2:
            at = self._random.randint(1, len(self._segments) - 1)
            (first, before), (offset, size) = self._segments[0], self._segments[at]
            del self._segments[:at]
            yield Purge(self._stream, first, offset, offset - first, size - before)

    def _tracks(self) -> list[Track]:
        """Consumers of the stream move on, or are forgotten."""
        names = self._random.sample(("a", "b", "c"), self._random.choice((0, 0, 1, 3)))
        upto = self.writing.positions.get(self._stream, 0)
        return [Track(self._stream, name, self._random.randint(-1, upto)) for name in names]

    def _settle(self) -> Iterator[Settle]:
        """A stretch of a lane, from its head or from the middle, if there is one."""
        lane = self._random.choice(list(self._lanes.values()))
        held = self._held[lane]
        if not held:
            return
        positions = sorted(held)
        at = 0 if self._random.random() < 0.7 else self._random.randrange(len(positions))
        low = positions[at]
        first = held[low]
        high, size = low, 0
        wanted = low + self._random.choice((1, 1, 3, 10, 50))
        while high < wanted and high in held:
            one = held[high]
            if one.message_id != first.message_id + high - low:
                break
            if (one.shared, one.transient) != (first.shared, first.transient):
                break
            size += one.size
            del held[high]
            high += 1
        known = self._random.random() < 0.8
        yield Settle(
            lane,
            low,
            high,
            first.message_id if known else -1,
            first.shared,
            size,
            first.transient,
            True,
        )

    def _purge(self) -> Purge:
        lane = self._random.choice(list(self._lanes.values()))
        held = self._held[lane]
        high = self.writing.positions.get(lane, 0)
        low = self._random.randint(0, high)
        gone = [held.pop(at) for at in sorted(held) if low <= at < high]
        counted = [one.size for one in gone if not one.transient]
        return Purge(lane, low, high, len(counted), sum(counted))


class Expected:
    """The states after each batch of a workload, made on demand with the store in memory."""

    def __init__(self, seed: int, *, large: bool = True) -> None:
        self._batches = Workload(seed, large).batches()
        self._memory = Driven(MemoryStore)
        self._states: list[State] = []

    def __getitem__(self, number: int) -> State:
        """The state after that batch."""
        while len(self._states) < number:
            batch = next(self._batches)
            assert self._memory.write(batch) == batch.number
            self._states.append(found(self._memory, self._memory.store.open()))
        return self._states[number - 1]


def found(store: Driven, snapshot: Snapshot) -> State:
    """What a store holds; batch number 0 if it does not know."""
    numbers = [
        int(command.value) for command in snapshot.commands if isinstance(command, PutParameter)
    ]
    rows = {
        lane: [row._replace(shared=False) for row in store.read(lane) if not row.transient]
        for lane in snapshot.lanes
    }
    # A store may think that something came back which is gone by now.
    lanes = {lane: replace(state, counted=False) for lane, state in snapshot.lanes.items()}
    attempts = {lane: attempts_of(store, lane, rows[lane]) for lane in lanes}
    chunks = {
        lane: store.read_stream(lane, state.next_position - state.messages)[0]
        for lane, state in lanes.items()
    }
    commands = sorted(snapshot.commands, key=repr)
    # What comes to the stream alone has its number as its time, a small one as a mark.
    times = [state.stored_ms for state in snapshot.streams.values()]
    marks = [snapshot.lanes[lane].delivered_upto for lane in _numbered(snapshot)]
    number = max([*numbers, *times, *marks], default=0)
    return State(number, commands, lanes, rows, attempts, snapshot.streams, chunks)


def _numbered(snapshot: Snapshot) -> tuple[int, ...]:
    """The lane whose mark is the number of a batch."""
    for command in snapshot.commands:
        if isinstance(command, PutQueue) and command.name == "numbers":
            return command.lanes
    return ()


def attempts_of(store: Driven, lane: int, rows: list[Row]) -> dict[int, Attempts]:
    """What is known of the messages of a lane that came back, those that wait included."""
    ever = 1 << 50
    known = store.returned(Counted(lane, 0, 1 << 39, ever, 100_000, 1 << 40)).attempts
    there = {row.position for row in rows}
    return {position: one for position, one in known.items() if position in there}
