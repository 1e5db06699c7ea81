"""Clients that work against a broker until it dies, and write down all they see."""

from __future__ import annotations

import threading
import time
import zlib
from typing import TYPE_CHECKING, Final

from pamqp.commands import Basic

from tests.client import Closed, Gone
from tests.faults.history import (
    Committed,
    Confirmed,
    Delivered,
    Event,
    Publish,
    Settled,
    Verb,
    line,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

    from pamqp.common import FieldValue

    from tests.client import Channel, Client, Delivery

#: Exchange and routing key -> the queues that `topology` binds to them.
ROUTES: Final[tuple[tuple[str, str, tuple[str, ...]], ...]] = (
    ("", "kill.direct", ("kill.direct",)),
    ("", "kill.direct", ("kill.direct",)),
    ("kill.fan", "", ("kill.fan.1", "kill.fan.2", "kill.fan.3")),
    ("kill.topic", "a.red", ("kill.all", "kill.red")),
    ("kill.topic", "a.blue", ("kill.all",)),
    ("", "kill.source", ("kill.source",)),
    ("", "kill.dying", ("kill.dying",)),
)
#: What is rejected in the first goes to the second.
DEAD_LETTERS: Final = ("kill.dying", "kill.dead")
TX_ROUTES: Final = (
    ("kill.tx", "", ("kill.tx.1", "kill.tx.2")),
    ("", "kill.direct", ("kill.direct",)),
)
QUEUES: Final = (
    *sorted({queue for route in (*ROUTES, *TX_ROUTES) for queue in route[2]}),
    DEAD_LETTERS[1],
)
EXCHANGES: Final = {"kill.fan": "fanout", "kill.topic": "topic", "kill.tx": "fanout"}
BINDINGS: Final = (
    ("kill.fan.1", "kill.fan", ""),
    ("kill.fan.2", "kill.fan", ""),
    ("kill.fan.3", "kill.fan", ""),
    ("kill.all", "kill.topic", "#"),
    ("kill.red", "kill.topic", "*.red"),
    ("kill.tx.1", "kill.tx", ""),
    ("kill.tx.2", "kill.tx", ""),
)
#: Publishes a client leaves unconfirmed.
WINDOW: Final = 64
CRC_BYTES: Final = 8


def topology(channel: Channel) -> None:
    """Declare everything durable that the workers use."""
    for name, kind in EXCHANGES.items():
        channel.declare_exchange(name, kind, durable=True)
    source, target = DEAD_LETTERS
    to_target: dict[str, FieldValue] = {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": target,
    }
    for queue in QUEUES:
        arguments = to_target if queue == source else None
        channel.declare_queue(queue, durable=True, arguments=arguments)
    for queue, exchange, key in BINDINGS:
        channel.bind(queue, exchange, key)


class Log:
    """The history, one line per event, from all threads."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._lock = threading.Lock()

    def add(self, make: Callable[[int], Event]) -> None:
        """Write down the event that `make` gives for the present moment."""
        with self._lock:
            self._file.write(line(make(time.monotonic_ns())) + "\n")

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


class Worker:
    """A thread with a connection; ends when told to, or when the broker does."""

    def __init__(self, name: str, client: Client, log: Log, chance: random.Random) -> None:
        self.name = name
        self.client = client
        self.log = log
        self.chance = chance
        self.channel = client.channel()
        self.stopping = threading.Event()
        #: What went wrong, other than that the broker was killed.
        self.problem: str | None = None
        self.thread = threading.Thread(target=self._run, name=name)

    def _run(self) -> None:
        try:
            while not self.stopping.is_set():
                self.step()
            self.finish()
        except Gone:
            return
        except Closed as error:
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

    def note_delivery(self, queue: str, delivery: Delivery, drain: int = 0) -> str:
        """Write down a delivery; the message's id."""
        name = name_of(delivery)
        intact = is_intact(delivery)
        self.log.add(
            lambda at: Delivered(at, name, queue, self.name, delivery.redelivered, intact, drain)
        )
        return name

    def note_settled(self, queue: str, name: str, verb: Verb, tx: str = "") -> None:
        """Write down an answer to a delivery."""
        self.log.add(lambda at: Settled(at, name, queue, verb, tx))

    def publish(self, route: tuple[str, str, tuple[str, ...]], durable: bool, tx: str = "") -> None:
        """Publish one message of random size, written down before."""
        exchange, key, queues = route
        seq = self.channel.published + 1
        name = f"{self.name}.{seq}"
        size = self.chance.choice((0, 20, 20, 300, 300, 2000, 20_000, 200_000))
        self.log.add(lambda at: Publish(at, name, self.name, seq, queues, durable, tx))
        properties = Basic.Properties(message_id=name, delivery_mode=2 if durable else 1)
        self.channel.publish(exchange, key, body_of(name, size), properties=properties)


class Publisher(Worker):
    """Publishes with confirms, a window at a time."""

    def __init__(self, name: str, client: Client, log: Log, chance: random.Random) -> None:
        super().__init__(name, client, log, chance)
        self.channel.select_confirms()

    def step(self) -> None:
        """Publish if the window has room; take in verdicts."""
        if len(self.channel.unconfirmed) < WINDOW:
            self.publish(self.chance.choice(ROUTES), durable=self.chance.random() < 0.9)
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
        self, name: str, client: Client, log: Log, chance: random.Random, queue: str
    ) -> None:
        super().__init__(name, client, log, chance)
        self.queue = queue
        self.unacked: list[tuple[int, str]] = []
        self.channel.consume(queue, prefetch=20)

    def step(self) -> None:
        """Take in deliveries, then answer one or some."""
        self.client.read(0.01)
        while self.channel.deliveries:
            delivery = self.channel.deliveries.popleft()
            self.unacked.append((delivery.tag, self.note_delivery(self.queue, delivery)))
        if self.unacked:
            self._answer()

    def _answer(self) -> None:
        way = self.chance.random()
        count = len(self.unacked) if way < 0.3 else 1
        index = self.chance.randrange(len(self.unacked)) if count == 1 else count - 1
        tag = self.unacked[index][0]
        answered = self.unacked[:count] if count > 1 else [self.unacked[index]]
        verb: Verb = "requeue" if way >= 0.9 else "reject" if way >= 0.85 else "ack"
        for each in answered:
            self.note_settled(self.queue, each[1], verb)
            self.unacked.remove(each)
        if verb == "ack":
            self.channel.ack(tag, multiple=count > 1)
        else:
            self.channel.nack(tag, requeue=verb == "requeue")


class Transactor(Worker):
    """Moves messages in transactions: gets some, publishes others, acks, commits."""

    SOURCE: Final = "kill.source"

    def __init__(self, name: str, client: Client, log: Log, chance: random.Random) -> None:
        super().__init__(name, client, log, chance)
        self.channel.select_tx()
        self.held: list[tuple[int, str]] = []
        self.count = 0

    def step(self) -> None:
        """One transaction."""
        self.count += 1
        tx = f"{self.name}.tx{self.count}"
        delivery = self.channel.get(self.SOURCE)
        if delivery is not None:
            self.held.append((delivery.tag, self.note_delivery(self.SOURCE, delivery)))
        for route in TX_ROUTES:
            self.publish(route, durable=True, tx=tx)
        for tag, name in self.held:
            self.note_settled(self.SOURCE, name, "ack", tx)
            self.channel.ack(tag)
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
