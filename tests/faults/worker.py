"""Clients that work against a broker until it dies, and write down all they see."""

from __future__ import annotations

import threading
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pamqp.commands import Basic

from tests.client import Closed, Gone
from tests.faults.events import (
    Committed,
    Confirmed,
    Delivered,
    Event,
    Known,
    Publish,
    Settled,
    Verb,
    line,
)
from tests.faults.facts import ANY_TTL

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

    from tests.client import Client, Delivery
    from tests.faults.workloads import Answers, Route, Workload

#: Workers that hear and say nothing for so long have no broker.
SILENCE_S: Final = 60.0
#: Publishes a client leaves unconfirmed.
WINDOW: Final = 64
PREFETCH: Final = 20
#: The reply code of a broker that ends in good order.
CONNECTION_FORCED: Final = 320
CRC_BYTES: Final = 8


class Log:
    """The history, one line per event, from all threads."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._lock = threading.Lock()
        self._grown = threading.Condition(self._lock)
        #: How many events there are.
        self.count = 0

    def add(self, make: Callable[[int], Event]) -> None:
        """Write down the event that `make` gives for the present moment."""
        with self._lock:
            self.write(line(make(time.monotonic_ns())) + "\n")
            self.count += 1
            self._grown.notify()

    def write(self, text: str) -> None:
        """Write a line; nobody else does meanwhile."""
        self._file.write(text)

    def wait_for(self, more: int, going_on: Callable[[], bool]) -> None:
        """Wait until so many more events have come, or nobody works any more.

        What a life is worth is measured in work: a busy machine gets no less of it done.
        """
        with self._lock:
            wanted = self.count + more
            while self.count < wanted and going_on():
                before = self.count
                self._grown.wait(SILENCE_S)
                assert self.count > before or not going_on(), "the broker does nothing any more"

    def close(self) -> None:
        """Write it out."""
        self._file.close()


def body_of(name: str, size: int) -> bytes:
    """A body that says which message it is, and whether it is whole."""
    filling = name.encode() + b" " * size
    return b"%08x" % zlib.crc32(filling) + filling


def is_intact(delivery: Delivery) -> bool:
    """Whether body and properties are those of one and the same publish."""
    filling = delivery.body[CRC_BYTES:]
    named = delivery.properties.message_id == name_of(delivery)
    return named and delivery.body[:CRC_BYTES] == b"%08x" % zlib.crc32(filling)


def name_of(delivery: Delivery) -> str:
    """The message's id."""
    return delivery.body[CRC_BYTES:].decode(errors="replace").rstrip(" ")


def death_of(delivery: Delivery) -> tuple[int, str]:
    """How often the message was dead lettered, and reason@queue of the last time."""
    deaths = (delivery.properties.headers or {}).get("x-death")
    if not isinstance(deaths, list) or not deaths:
        return 0, ""
    entries = [one for one in deaths if isinstance(one, dict)]
    count = sum(int(str(one.get("count", 0))) for one in entries)
    return count, f"{entries[0].get('reason')!s}@{entries[0].get('queue')!s}"


def attempts_of(delivery: Delivery) -> tuple[int, int]:
    """How often the message was handed out before, and how often that failed."""
    headers = delivery.properties.headers or {}
    acquired, failed = headers.get("x-acquired-count", 0), headers.get("x-delivery-count", 0)
    assert isinstance(acquired, int)
    assert isinstance(failed, int)
    return acquired, failed


@dataclass(frozen=True, slots=True)
class Held:
    """A delivery that was not answered yet."""

    tag: int
    id: str
    deaths: int


class Worker:
    """A thread with a connection; ends when told to, or when the broker does."""

    def __init__(self, name: str, client: Client, log: Log, chance: random.Random) -> None:
        self.name = name
        self.client = client
        self.log = log
        self.chance = chance
        self.channel = client.channel()
        self.stopping = threading.Event()
        #: Reply codes that the broker may close the connection with.
        self.endings: frozenset[int] = frozenset((CONNECTION_FORCED,))
        #: What went wrong, other than that the broker ended.
        self.problem: str | None = None
        self.thread = threading.Thread(target=self._run, name=name)

    def _run(self) -> None:
        try:
            while not self.stopping.is_set():
                self.step()
            self.finish()
            # What is not answered is back in its queue once this is answered.
            self.client.close()
        except Gone:
            return
        except Closed as error:
            if error.code not in self.endings:
                self.problem = f"refused: {error}"
        except TimeoutError:
            self.problem = "no answer"
        finally:
            self.client.abort()

    def step(self) -> None:
        """Do one thing."""
        raise NotImplementedError

    def finish(self) -> None:
        """Come to a good end while the broker still runs."""

    def note_delivery(self, queue: str, delivery: Delivery, drain: int = 0) -> Held:
        """Write down a delivery."""
        name, intact = name_of(delivery), is_intact(delivery)
        seen = (*death_of(delivery), *attempts_of(delivery))
        self.log.add(
            lambda at: Delivered(
                at, name, queue, self.name, delivery.redelivered, intact, drain, *seen
            )
        )
        deaths = seen[0]
        return Held(delivery.tag, name, deaths)

    def note_settled(self, queue: str, held: Held, verb: Verb, tx: str = "") -> None:
        """Write down an answer to a delivery."""
        self.log.add(lambda at: Settled(at, held.id, queue, verb, tx, held.deaths, self.name))

    def publish(self, workload: Workload, route: Route, tx: str = "") -> None:
        """Publish one message of random size, written down before."""
        chance = self.chance
        seq = self.channel.published + 1
        name = f"{self.name}.{seq}"
        size = chance.choice(workload.sizes)
        durable = chance.random() < route.durable
        ttl_ms, priority = chance.choice(route.ttls_ms), chance.choice(route.priorities)
        ttls = tuple(_shorter(ttl_ms, workload.ttl_ms(queue)) for queue in route.queues)
        self.log.add(
            lambda at: Publish(at, name, self.name, seq, route.queues, durable, tx, ttls, priority)
        )
        properties = Basic.Properties(
            message_id=name,
            delivery_mode=2 if durable else 1,
            expiration=str(ttl_ms) if ttl_ms else None,
            priority=priority if priority >= 0 else None,
        )
        body = body_of(name, size)
        self.channel.publish(route.exchange, route.key, body, properties=properties)


def _shorter(one_ms: int, other_ms: int) -> int:
    """The shorter of two times to live; 0 is none."""
    if ANY_TTL in (one_ms, other_ms):
        return ANY_TTL
    return min(one_ms, other_ms) if one_ms and other_ms else one_ms or other_ms


class Publisher(Worker):
    """Publishes with confirms, a window at a time."""

    def __init__(
        self, name: str, client: Client, log: Log, chance: random.Random, workload: Workload
    ) -> None:
        super().__init__(name, client, log, chance)
        self.workload = workload
        self.channel.select_confirms()

    def step(self) -> None:
        """Publish if the window has room; take in verdicts."""
        if len(self.channel.unconfirmed) < WINDOW:
            self.publish(self.workload, self.chance.choice(self.workload.routes))
            self.client.read()
        else:
            self.client.read(0.05)
        self._note_verdicts()

    def _note_verdicts(self) -> None:
        while self.channel.verdicts:
            verdict = self.channel.verdicts.popleft()
            self.log.add(
                lambda at, verdict=verdict: Confirmed(  # type: ignore[misc]
                    at, self.name, verdict.tag, verdict.multiple, verdict.acked
                )
            )

    def finish(self) -> None:
        """Wait for the last verdicts."""
        deadline = time.monotonic() + self.client.timeout_s
        while self.channel.unconfirmed and time.monotonic() < deadline:
            self.client.read(0.1)
        self._note_verdicts()
        if self.channel.unconfirmed:
            self.problem = f"{len(self.channel.unconfirmed)} publishes without a verdict"


class Consumer(Worker):
    """Takes messages from one queue and answers them in every way there is."""

    def __init__(
        self,
        name: str,
        client: Client,
        log: Log,
        chance: random.Random,
        queue: str,
        answers: Answers,
    ) -> None:
        super().__init__(name, client, log, chance)
        self.queue = queue
        self.answers = answers
        self.unacked: list[Held] = []
        self.channel.consume(queue, prefetch=PREFETCH)

    def step(self) -> None:
        """Take in deliveries, then answer one or some."""
        self.client.read(0.01)
        while self.channel.deliveries:
            delivery = self.channel.deliveries.popleft()
            self.unacked.append(self.note_delivery(self.queue, delivery))
        if self.unacked:
            self._answer()
        if self.chance.random() < 0.1:
            self._make_sure()

    def _answer(self) -> None:
        way = self.chance.random()
        verb: Verb = "ack"
        if way < self.answers.reject:
            verb = "reject"
        elif way < self.answers.reject + self.answers.requeue:
            verb = "requeue"
        count = len(self.unacked) if verb == "ack" and self.chance.random() < 0.3 else 1
        index = self.chance.randrange(len(self.unacked)) if count == 1 else count - 1
        tag = self.unacked[index].tag
        answered = self.unacked[:count] if count > 1 else [self.unacked[index]]
        for each in answered:
            self.note_settled(self.queue, each, verb)
            self.unacked.remove(each)
        if verb == "ack":
            self.channel.ack(tag, multiple=count > 1)
        else:
            self.channel.nack(tag, requeue=verb == "requeue")

    def _make_sure(self) -> None:
        """Wait until the broker has read all our answers."""
        self.channel.call(Basic.Qos(0, PREFETCH), Basic.QosOk)
        self.log.add(lambda at: Known(at, self.name))


class Transactor(Worker):
    """Moves messages in transactions: gets some, publishes others, settles, commits."""

    def __init__(
        self, name: str, client: Client, log: Log, chance: random.Random, workload: Workload
    ) -> None:
        super().__init__(name, client, log, chance)
        self.workload = workload
        self.source = workload.tx_source
        self.channel.select_tx()
        self.held: list[Held] = []
        self.count = 0

    def step(self) -> None:
        """One transaction."""
        self.count += 1
        tx = f"{self.name}.tx{self.count}"
        delivery = self.channel.get(self.source)
        if delivery is not None:
            self.held.append(self.note_delivery(self.source, delivery))
        for route in self.workload.tx_routes:
            self.publish(self.workload, route, tx)
        for held in self.held:
            rejected = self.chance.random() < self.workload.tx_rejects
            self.note_settled(self.source, held, "reject" if rejected else "ack", tx)
            if rejected:
                self.channel.nack(held.tag, requeue=False)
            else:
                self.channel.ack(held.tag)
        if self.chance.random() < 0.2:
            self.channel.rollback()
            self.log.add(lambda at: Committed(at, tx, "rolled back"))
        else:
            self.channel.commit()
            self.held.clear()
            self.log.add(lambda at: Committed(at, tx, "ok"))


class Definer(Worker):
    """Declares and deletes durable queues; knows which must and must not exist."""

    def __init__(
        self,
        name: str,
        client: Client,
        log: Log,
        chance: random.Random,
        known: dict[str, bool | None],
    ) -> None:
        super().__init__(name, client, log, chance)
        #: Queue -> must exist, must not exist, or None: asked for, never answered.
        self.known = known

    def step(self) -> None:
        """Declare a new queue, or delete one."""
        present = [queue for queue, exists in self.known.items() if exists]
        if present and self.chance.random() < 0.4:
            queue = self.chance.choice(present)
            self.known[queue] = None
            self.channel.delete_queue(queue)
            self.known[queue] = False
        else:
            queue = f"{self.name}.{len(self.known)}"
            self.known[queue] = None
            self.channel.declare_queue(queue, durable=True)
            self.known[queue] = True
        self.stopping.wait(0.01)
