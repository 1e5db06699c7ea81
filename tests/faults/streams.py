"""Kills a broker while clients write and read streams, and judges what is left after each end.

python -m tests.faults.streams --rounds 100 --seed 7

    S1   a confirmed message is in its stream, exactly once
    S2   offsets are dense, and each means one message for ever
    S3   the messages of one publisher are in the order in which it sent them
    S4   only the oldest messages of a stream with a limit are gone
    S5   a publish or a transaction is in all of its streams and queues, or in none
    S6   who resumes under its name is given everything that it had not settled
    S7   a reader sees what is there, in the order of offsets, and nothing twice
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from pamqp.commands import Basic

from tests.client import Client, Closed, Gone
from tests.faults.subject import Amqpd
from tests.faults.worker import SILENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pamqp.common import FieldValue

    from tests.client import Channel, Delivery
    from tests.faults.subject import Subject

STREAM: Final = "kill.stream"
SHORT: Final = "kill.short"
QUEUE: Final = "kill.queue"
BOTH: Final = "kill.both"
ARGUMENTS: Final[Mapping[str, Mapping[str, FieldValue]]] = {
    STREAM: {},
    SHORT: {"x-max-length-bytes": 300_000, "x-stream-max-segment-size-bytes": 50_000},
}
#: Exchange, key and where that leads.
Route: TypeAlias = "tuple[str, str, tuple[str, ...]]"
ROUTES: Final[tuple[Route, ...]] = (
    ("", STREAM, (STREAM,)),
    ("", SHORT, (SHORT,)),
    (BOTH, "", (STREAM, QUEUE)),
)
WINDOW: Final = 64
TRACKED: Final[Mapping[str, FieldValue]] = {
    "x-stream-offset": "first",
    "x-stream-automatic-offset-tracking": True,
}
#: How much is seen and promised in a life.
LIFE_WORK: Final = (100, 3000)
JOIN_S: Final = 60.0
FORCED: Final = 320


@dataclass(slots=True)
class Truth:
    """All that clients know, over all lives of the broker."""

    #: By stream and offset; by stream, what was promised to be in it.
    seen: dict[str, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))
    promised: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    #: What was published to more than one place, and what in one transaction.
    together: dict[str, tuple[str, ...]] = field(default_factory=dict)
    transactions: list[list[str]] = field(default_factory=list)
    #: Offsets that the reader with a name has acknowledged.
    settled: set[int] = field(default_factory=set)
    violations: list[str] = field(default_factory=list)
    deliveries: int = 0
    promises: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    grown: threading.Condition = field(init=False)

    def __post_init__(self) -> None:
        self.grown = threading.Condition(self.lock)

    @property
    def work(self) -> int:
        """How much has been seen and promised."""
        return self.deliveries + self.promises

    def wait_for(self, more: int, going_on: Callable[[], bool]) -> None:
        """Wait until so much more has been done, or nobody works any more."""
        with self.lock:
            wanted = self.work + more
            while self.work < wanted and going_on():
                before = self.work
                self.grown.wait(SILENCE_S)
                assert self.work > before or not going_on(), "the broker does nothing any more"

    def broken(self, what: str) -> None:
        """Note a broken promise."""
        with self.lock:
            self.violations.append(what)

    def see(self, stream: str, offset: int, name: str) -> None:
        """A message was seen."""
        with self.lock:
            self.deliveries += 1
            self.grown.notify()
            known = self.seen[stream].setdefault(offset, name)
        if known != name:
            self.broken(f"S2: offset {offset} of {stream} was {known} and is {name}")

    def promise(self, name: str, places: tuple[str, ...]) -> None:
        """A message was confirmed."""
        with self.lock:
            self.promises += 1
            self.grown.notify()
            for place in places:
                self.promised[place].add(name)


def declare(channel: Channel) -> None:
    """Everything durable that there is."""
    for name, arguments in ARGUMENTS.items():
        table = {"x-queue-type": "stream", **arguments}
        channel.declare_queue(name, durable=True, arguments=table)
    channel.declare_queue(QUEUE, durable=True)
    channel.declare_exchange(BOTH, "fanout", durable=True)
    for name in (STREAM, QUEUE):
        channel.bind(name, BOTH)


def offset_of(delivery: Delivery) -> int:
    """The offset in its headers."""
    offset = (delivery.properties.headers or {})["x-stream-offset"]
    assert isinstance(offset, int)
    return offset


def name_of(delivery: Delivery) -> str:
    """Which message it is."""
    return delivery.body.decode().rstrip()


def place_of(name: str) -> tuple[str, int]:
    """Publisher, and which of its messages."""
    publisher, _, number = name.rpartition("#")
    return publisher, int(number)


class Worker:
    """A thread with a connection; ends when told to, or when the broker does."""

    def __init__(self, name: str, port: int, truth: Truth, chance: random.Random) -> None:
        self.name = name
        self.truth = truth
        self.chance = chance
        self.client = Client(port)
        self.channel = self.client.channel()
        self.stopping = threading.Event()
        self.problem = ""
        self.thread = threading.Thread(target=self._run, name=name)

    def _run(self) -> None:
        try:
            while not self.stopping.is_set():
                self.step()
            self.finish()
        except Gone:
            return
        except Closed as error:
            if error.code != FORCED:
                self.problem = f"refused: {error}"
        except TimeoutError:
            self.problem = "no answer"
        except Exception as error:
            self.problem = f"failed: {error!r}"
            raise
        finally:
            self.client.abort()

    def step(self) -> None:
        """Do one thing."""
        raise NotImplementedError

    def finish(self) -> None:
        """Come to an end while the broker still runs."""


class Writer(Worker):
    """Publishes with confirms."""

    def __init__(self, name: str, port: int, truth: Truth, chance: random.Random) -> None:
        super().__init__(name, port, truth, chance)
        self.channel.select_confirms()
        self.waiting: dict[int, tuple[str, tuple[str, ...]]] = {}

    def step(self) -> None:
        """Publish some, take in verdicts."""
        for _ in range(self.chance.choice((1, 1, 5, 30))):
            if len(self.waiting) < WINDOW:
                self._publish(self.chance.choice(ROUTES))
        self.client.read(0.0 if len(self.waiting) < WINDOW else 0.05)
        self._take_verdicts()

    def _publish(self, route: Route) -> None:
        exchange, key, places = route
        name = f"{self.name}#{self.channel.published + 1}"
        if len(places) > 1:
            self.truth.together[name] = places
        size = self.chance.choice((0, 10, 10, 1000, 30_000))
        mode = 2 if len(places) > 1 else self.chance.choice((1, 2))
        properties = Basic.Properties(delivery_mode=mode)
        octets = name.encode() + b" " * size
        number = self.channel.publish(exchange, key, octets, properties=properties)
        self.waiting[number] = name, places

    def _take_verdicts(self) -> None:
        for verdict in self.channel.verdicts:
            numbers = [verdict.tag]
            if verdict.multiple:
                numbers = [number for number in self.waiting if number <= verdict.tag]
            for number in numbers:
                self.truth.promise(*self.waiting.pop(number))
        self.channel.verdicts.clear()

    def finish(self) -> None:
        """Wait for the last verdicts."""
        self.channel.wait_confirms()


class Transactor(Worker):
    """Publishes in transactions, to all that there is."""

    count = 0

    def step(self) -> None:
        """One transaction."""
        if not self.count:
            self.channel.select_tx()
        names = []
        for exchange, key, places in (ROUTES[0], ROUTES[2]):
            self.count += 1
            name = f"{self.name}#{self.count}"
            names.append(name)
            if len(places) > 1:
                self.truth.together[name] = places
            properties = Basic.Properties(delivery_mode=2)
            self.channel.publish(exchange, key, name.encode(), properties=properties)
        self.truth.transactions.append(names)
        self.channel.commit()
        for name, (_, _, places) in zip(names, (ROUTES[0], ROUTES[2]), strict=True):
            self.truth.promise(name, places)


class Reader(Worker):
    """Reads a stream from somewhere, and acknowledges somehow."""

    def __init__(
        self,
        name: str,
        port: int,
        truth: Truth,
        chance: random.Random,
        stream: str,
        start: FieldValue,
    ) -> None:
        super().__init__(name, port, truth, chance)
        self.stream = stream
        self.last = -1
        self.channel.consume(stream, prefetch=50, arguments={"x-stream-offset": start})

    def step(self) -> None:
        """Take in what comes."""
        self.client.read(0.02)
        while self.channel.deliveries:
            delivery = self.channel.deliveries.popleft()
            offset = offset_of(delivery)
            self.truth.see(self.stream, offset, name_of(delivery))
            # Of a stream with a limit something may go while it is read.
            if offset <= self.last or (0 <= self.last < offset - 1 and self.stream != SHORT):
                self.truth.broken(
                    f"S7: {self.name} saw {offset} of {self.stream} after {self.last}"
                )
            self.last = offset
            if self.chance.random() < 0.2:
                self.channel.ack(delivery.tag, multiple=True)


class Resuming(Worker):
    """The reader with a name: acknowledges in any order."""

    def __init__(self, name: str, port: int, truth: Truth, chance: random.Random) -> None:
        super().__init__(name, port, truth, chance)
        self.held: list[tuple[int, int]] = []
        self.first = -1
        self.channel.consume(STREAM, prefetch=20, tag="kill.resuming", arguments=TRACKED)

    def step(self) -> None:
        """Take in what comes, settle some of it."""
        self.client.read(0.02)
        while self.channel.deliveries:
            delivery = self.channel.deliveries.popleft()
            offset = offset_of(delivery)
            self.truth.see(STREAM, offset, name_of(delivery))
            if self.first < 0:
                self.first = offset
                left = [n for n in range(offset) if n not in self.truth.settled]
                if left:
                    self.truth.broken(f"S6: resumed with {offset}, but {left} were not settled")
            self.held.append((offset, delivery.tag))
        for _ in range(min(len(self.held), self.chance.choice((0, 1, 5)))):
            # Mostly the oldest: what is left out holds the position up.
            at = 0 if self.chance.random() < 0.9 else self.chance.randrange(len(self.held))
            offset, tag = self.held.pop(at)
            self.truth.settled.add(offset)
            self.channel.ack(tag)


@dataclass(slots=True)
class Campaign:
    """So many lives of one broker over one data directory."""

    subject: Subject
    seed: int
    truth: Truth = field(default_factory=Truth)
    contents: dict[str, dict[int, str]] = field(default_factory=dict)

    def run(self, rounds: int) -> Truth:
        """End it `rounds` times; judge after each, and all of it in the end."""
        chance = random.Random(self.seed)  # noqa: S311 - repeatable, not secret
        with Client(self.subject.start()) as client:
            declare(client.channel())
            client.close()
        self.subject.stop()
        for life in range(rounds):
            self._live(life, chance)
        self._look()
        self._judge_together()
        return self.truth

    def _live(self, life: int, chance: random.Random) -> None:
        port = self.subject.start()
        try:
            self._judge(port)
            workers = self._workers(port, life, chance)
            for worker in workers:
                worker.thread.start()
            self.truth.wait_for(
                chance.randint(*LIFE_WORK), lambda: all(one.thread.is_alive() for one in workers)
            )
            if chance.random() < 0.2:
                assert self.subject.stop() == 0
        finally:
            self.subject.kill()
        for worker in workers:
            worker.stopping.set()
            worker.thread.join(JOIN_S)
            assert not worker.thread.is_alive(), f"{worker.name} hangs"
            assert not worker.problem, f"{worker.name}: {worker.problem}"

    def _workers(self, port: int, life: int, chance: random.Random) -> list[Worker]:
        def own() -> random.Random:
            return random.Random(chance.random())  # noqa: S311 - repeatable, not secret

        starts: list[tuple[str, FieldValue]] = [
            (STREAM, "first"),
            (STREAM, "next"),
            (STREAM, chance.choice(("last", "1h", 5, -10))),
            (SHORT, "first"),
        ]
        truth = self.truth
        return [
            Writer(f"w1.{life}", port, truth, own()),
            Writer(f"w2.{life}", port, truth, own()),
            Transactor(f"t.{life}", port, truth, own()),
            Resuming(f"n.{life}", port, truth, own()),
            *(
                Reader(f"r{number}.{life}", port, truth, own(), stream, start)
                for number, (stream, start) in enumerate(starts)
            ),
        ]

    # -- judging -------------------------------------------------------------------------

    def _look(self) -> None:
        port = self.subject.start()
        try:
            self._judge(port)
            with Client(port, timeout_s=30.0) as client:
                self.contents[QUEUE] = dict(enumerate(_drained(client.channel())))
        finally:
            self.subject.kill()

    def _judge(self, port: int) -> None:
        """Read both streams from the first to the last message."""
        for stream in ARGUMENTS:
            with Client(port, timeout_s=30.0) as client:
                found = _read(client.channel(), stream)
            for offset, name in found.items():
                self.truth.see(stream, offset, name)
            self.contents[stream] = found
            self._judge_stream(stream, found)

    def _judge_stream(self, stream: str, found: dict[int, str]) -> None:
        offsets, names = list(found), list(found.values())
        first = offsets[0] if offsets else 0
        if offsets != list(range(first, first + len(offsets))):
            self.truth.broken(f"S2: {stream} has holes: {offsets}")
        if stream == STREAM and first:
            self.truth.broken(f"S4: {stream} begins with {first}")
        if len(set(names)) != len(names):
            self.truth.broken(f"S1: something is in {stream} twice")
        by_publisher: dict[str, list[int]] = defaultdict(list)
        for name in names:
            publisher, number = place_of(name)
            by_publisher[publisher].append(number)
        for publisher, numbers in by_publisher.items():
            if numbers != sorted(numbers):
                self.truth.broken(f"S3: {publisher} in {stream}: {numbers}")
        lost = self.truth.promised[stream] - set(names)
        if stream == STREAM and lost:
            self.truth.broken(f"S1: confirmed, and not in {stream}: {sorted(lost)[:20]}")
        for name in lost:
            publisher, number = place_of(name)
            if number > min(by_publisher[publisher], default=number):
                self.truth.broken(f"S4: {name} is gone from {stream}, and older ones are there")

    def _judge_together(self) -> None:
        there = {place: set(found.values()) for place, found in self.contents.items()}
        for name, places in self.truth.together.items():
            if len({name in there[place] for place in places}) > 1:
                self.truth.broken(f"S5: {name} is not in all of {places}")
        for names in self.truth.transactions:
            if len({name in there[STREAM] for name in names}) > 1:
                self.truth.broken(f"S5: of a transaction only some are there: {names}")


def _read(channel: Channel, stream: str) -> dict[int, str]:
    """Everything that is in a stream, by offset."""
    count = channel.declare_queue(stream, passive=True).message_count or 0
    channel.consume(stream, prefetch=200, arguments={"x-stream-offset": "first"})
    found: dict[int, str] = {}
    while len(found) < count:
        delivery = channel.next_delivery()
        assert delivery is not None, f"{stream}: {count} messages, but only {len(found)} came"
        found[offset_of(delivery)] = name_of(delivery)
        if delivery.tag % 100 == 0:
            channel.ack(delivery.tag, multiple=True)
    return found


def _drained(channel: Channel) -> list[str]:
    """Everything that is in the queue."""
    found = []
    while delivery := channel.get(QUEUE, no_ack=True):
        found.append(name_of(delivery))
    return found


def main() -> int:
    """Run a campaign from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="amqpd-streams-"))
    truth = Campaign(Amqpd(folder / "data"), options.seed).run(options.rounds)
    confirmed = sum(map(len, truth.promised.values()))
    report = [
        f"{options.rounds} ends, {confirmed} confirmed, {truth.deliveries} seen, "
        f"{len(truth.seen[STREAM])} and {len(truth.seen[SHORT])} offsets, "
        f"{len(truth.settled)} settled by name, {len(truth.violations)} violations",
        *truth.violations[:50],
        f"data in {folder}",
    ]
    sys.stdout.write("\n".join(report) + "\n")
    return 1 if truth.violations else 0


if __name__ == "__main__":
    sys.exit(main())
