"""A broker behind real sockets whose time stands still, and what must be in its queues.

Hypothesis publishes, gets, settles, commits and rolls back, purges, lets time pass and restarts,
in good order or by a crash: then the next broker finds the files as they were at that moment.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pamqp.commands import Basic

from amqpd import config
from amqpd.server.app import BrokerServer
from amqpd.testing import EmbeddedBroker
from tests.client import Client

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from pamqp.common import FieldValue

    from amqpd.server.app import Started
    from tests.client import Channel, Delivery

#: Deadlines are odd and steps are not: no message is due at the very moment it is looked at.
TTL_MS: Final = 1001
EXPIRATION_MS: Final = 501
LIMIT: Final = 4
DEAD: Final[Mapping[str, FieldValue]] = {
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": "plain",
}
QUEUES: Final[Mapping[str, Mapping[str, FieldValue]]] = {
    "plain": {},
    "brief": {"x-message-ttl": TTL_MS},
    "dying": DEAD,
    "short": {"x-max-length": LIMIT},
}
FAN: Final = "fan"
FANNED: Final = ("plain", "dying")
names = st.sampled_from(sorted(QUEUES))


class StillClock:
    """Time passes when the test says so."""

    def __init__(self) -> None:
        self.ms = 1_000_000_000_000

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return self.ms


class Broker(EmbeddedBroker):
    """The broker with that clock."""

    def __init__(self, directory: Path, clock: StillClock) -> None:
        super().__init__(directory)
        self._clock = clock

    async def _begin(self) -> None:
        import asyncio

        started: asyncio.Future[Started] = asyncio.get_running_loop().create_future()
        loaded = config.load(None, {}, {**self.settings, "store.path": str(self._directory)})
        self._server = BrokerServer(
            loaded,
            make_store=self._store,
            announce=started.set_result,
            clock=self._clock,
            embedded=True,
        )
        self._life = asyncio.create_task(self._server.run())
        await asyncio.wait((started, self._life), return_when=asyncio.FIRST_COMPLETED)
        if self._life.done():
            self._life.result()
        self._started = started.result()

    def look_at_the_clock(self) -> None:
        """Have the broker see what time it is."""
        self._call(self._look())

    async def _look(self) -> None:
        self.server.broker.tick(self._clock.now_ms())
        self.server.turn.wake()


@dataclass(eq=False)
class Message:
    """One message in one queue."""

    body: bytes
    position: int
    stays: bool
    deadline_ms: int
    seen: bool = False
    #: After a crash it may count as handed out although it was not.
    doubtful: bool = False


def there(
    bodies: list[bytes], must: list[Message], may: list[Message], queue: str
) -> list[Message]:
    """Which messages these are, in their order: all that must be there, and some that may.

    A body can be there twice: one message came of itself, the other was a dead letter.
    """
    left = list(must)
    taken = list(must)
    for body in bodies:
        mine = next((each for each in left if each.body == body), None)
        if mine is not None:
            left.remove(mine)
            continue
        more = next((each for each in may if each.body == body and each not in taken), None)
        assert more is not None, f"{body!r} came back to {queue}"
        taken.append(more)
    assert not left, f"{[each.body for each in left]} are lost from {queue}"
    taken.sort(key=lambda each: each.position)
    assert [each.body for each in taken] == bodies, f"{queue} is not in its order"
    return taken


class SocketWorld(RuleBasedStateMachine):
    """One broker after the other over one data directory, and the model of its queues."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="amqpd-world-"))
        self.lives = 0
        self.clock = StillClock()
        self.broker = Broker(self.folder / "0", self.clock)
        self.ready: dict[str, list[Message]] = {queue: [] for queue in QUEUES}
        self.held: dict[int, tuple[str, Message]] = {}
        #: Acknowledged or dropped, and perhaps that is not on disk yet.
        self.settled: list[tuple[str, Message]] = []
        self.count = self.marks = 0
        self._start()
        for queue, arguments in QUEUES.items():
            self.channel.declare_queue(queue, durable=True, arguments=dict(arguments))
        self.channel.declare_exchange(FAN, "fanout", durable=True)
        for queue in FANNED:
            self.channel.bind(queue, FAN)

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.client.abort()
            self.broker.stop()
            shutil.rmtree(self.folder)

    def _start(self) -> None:
        self.broker.start()
        self._connect()

    def _connect(self) -> None:
        self.client = Client(self.broker.port, timeout_s=60.0)
        self.channel = self._channel()

    def _channel(self) -> Channel:
        channel = self.client.channel()
        channel.select_confirms()
        return channel

    # -- the model

    def _enqueue(self, queue: str, body: bytes, *, stays: bool, ttl_ms: int) -> None:
        ttls = [ttl for ttl in (ttl_ms, TTL_MS if queue == "brief" else 0) if ttl]
        deadline_ms = self.clock.ms + min(ttls) if ttls else 0
        self.count += 1
        self.ready[queue].append(Message(body, self.count, stays, deadline_ms))
        if queue == "short":
            self.settled += [(queue, each) for each in self.ready[queue][:-LIMIT]]
            del self.ready[queue][:-LIMIT]

    def _give_back(self, queue: str, message: Message) -> None:
        message.seen = True
        waiting = self.ready[queue]
        waiting.append(message)
        waiting.sort(key=lambda each: each.position)
        self._expire()

    def _expire(self) -> None:
        for queue, waiting in self.ready.items():
            due = [each for each in waiting if 0 < each.deadline_ms <= self.clock.ms]
            self.ready[queue] = [each for each in waiting if each not in due]
            for each in due if queue == "dying" else ():
                self._enqueue("plain", each.body, stays=each.stays, ttl_ms=0)

    def _drop_held(self) -> None:
        for queue, message in self.held.values():
            self._give_back(queue, message)
        self.held.clear()

    # -- what clients do

    @rule(
        queue=names,
        count=st.integers(1, 6),
        stays=st.booleans(),
        ttl_ms=st.sampled_from([0, 0, EXPIRATION_MS]),
    )
    def publish(self, queue: str, count: int, stays: bool, ttl_ms: int) -> None:
        for _ in range(count):
            self._say("", queue, stays, ttl_ms)
            self._enqueue(queue, self.body, stays=stays, ttl_ms=ttl_ms)
        assert all(verdict.acked for verdict in self.channel.wait_confirms())

    def _say(self, exchange: str, key: str, stays: bool, ttl_ms: int = 0) -> None:
        self.body = b"%d" % (self.count + 1)
        properties = Basic.Properties(
            delivery_mode=2 if stays else 1, expiration=str(ttl_ms) if ttl_ms else None
        )
        self.channel.publish(exchange, key, self.body, properties=properties)

    @rule(stays=st.booleans())
    def publish_to_all(self, stays: bool) -> None:
        self._say(FAN, "", stays)
        body = self.body
        for queue in FANNED:
            self._enqueue(queue, body, stays=stays, ttl_ms=0)
        assert self.channel.wait_confirms()[-1].acked

    @rule(queue=names, count=st.integers(1, 4))
    def get(self, queue: str, count: int) -> None:
        for _ in range(count):
            self._get(queue)

    def _get(self, queue: str) -> None:
        delivery = self.channel.get(queue, no_ack=queue == "short")
        if not self.ready[queue]:
            assert delivery is None
            return
        message = self.ready[queue].pop(0)
        assert delivery is not None, f"{queue} is empty"
        assert delivery.body == message.body
        assert message.doubtful or delivery.redelivered is message.seen
        if queue == "short":
            self.settled.append((queue, message))
        else:
            self.held[delivery.tag] = queue, message

    @precondition(lambda self: self.held)
    @rule(data=st.data(), way=st.sampled_from(["ack", "ack all", "requeue", "reject"]))
    def settle(self, data: st.DataObject, way: str) -> None:
        tag = data.draw(st.sampled_from(sorted(self.held)))
        if way == "ack all":
            self.channel.ack(tag, multiple=True)
            for each in [each for each in self.held if each <= tag]:
                self.settled.append(self.held.pop(each))
        else:
            queue, message = self.held.pop(tag)
            if way == "ack":
                self.channel.ack(tag)
            else:
                self.channel.nack(tag, requeue=way == "requeue")
            if way == "requeue":
                self._give_back(queue, message)
            else:
                self.settled.append((queue, message))
            if way == "reject" and queue == "dying":
                self._enqueue("plain", message.body, stays=message.stays, ttl_ms=0)
                self._be_safe()
        self._be_heard()

    def _be_safe(self) -> None:
        """Until all that was decided is on disk: where a crash would leave it is not known."""
        self.marks += 1
        self.channel.declare_queue(f"mark.{self.marks}", durable=True)

    def _be_heard(self) -> None:
        """Until the broker has read all that was said."""
        self.channel.call(Basic.Qos(), Basic.QosOk)

    @rule(commits=st.booleans(), queues=st.lists(names, min_size=1, max_size=3))
    def transaction(self, commits: bool, queues: list[str]) -> None:
        channel = self.client.channel()
        channel.select_tx()
        bodies = []
        for number, queue in enumerate(queues):
            body = b"t%d.%d" % (self.count, number)
            bodies.append((queue, body))
            channel.publish("", queue, body, persistent=True)
        if commits:
            channel.commit()
            for queue, body in bodies:
                self._enqueue(queue, body, stays=True, ttl_ms=0)
            # What was settled before it and outside of it may still come later to the disk.
        else:
            channel.rollback()
        channel.close()

    @rule()
    def channel_closes(self) -> None:
        self.channel.close()
        self._drop_held()
        self.channel = self._channel()

    @rule()
    def connection_is_lost(self) -> None:
        self.client.close()
        self._drop_held()
        self._connect()

    # -- time and ends

    @rule(step_ms=st.sampled_from([300, 700, 2000]))
    def time_passes(self, step_ms: int) -> None:
        self.clock.ms += step_ms
        self.broker.look_at_the_clock()
        self._expire()

    @rule()
    def restart(self) -> None:
        self.client.abort()
        self.broker.stop()
        self._drop_held()
        self.settled.clear()
        self._come_back(in_doubt=False)

    @rule()
    def crash(self) -> None:
        """The next broker finds what the files hold at this moment."""
        folder = self.folder / str(self.lives)
        self.lives += 1
        next_folder = self.folder / str(self.lives)
        next_folder.mkdir(mode=0o700)
        # In this order, as if it had been at one moment: what is written goes to the WAL.
        for name in ("amqpd.db", "amqpd.db-wal"):
            shutil.copy(folder / name, next_folder)
        self.client.abort()
        self.broker.stop()
        self.broker = Broker(next_folder, self.clock)
        self._drop_held()
        self._come_back(in_doubt=True)

    def _come_back(self, *, in_doubt: bool) -> None:
        for queue, waiting in self.ready.items():
            self.ready[queue] = [each for each in waiting if each.stays]
        self._start()
        for queue in QUEUES:
            self._see_what_is_there(queue, in_doubt)
        self.settled.clear()
        # Everything goes back into its place.
        self.connection_is_lost()

    def _see_what_is_there(self, queue: str, in_doubt: bool) -> None:
        must = self.ready[queue]
        may = [each for name, each in self.settled if in_doubt and name == queue and each.stays]
        deliveries: list[Delivery] = []
        while delivery := self.channel.get(queue):
            deliveries.append(delivery)
        found = there([each.body for each in deliveries], must, may, queue)
        for delivery, message in zip(deliveries, found, strict=True):
            assert delivery.redelivered or not message.seen
            assert in_doubt or delivery.redelivered is message.seen
            message.seen, message.doubtful = True, False
        # What a crash has brought back is dropped once more.
        self.ready[queue] = found[-LIMIT:] if queue == "short" else found

    # -- always

    @invariant()
    def lengths_are_as_they_should_be(self) -> None:
        for queue, waiting in self.ready.items():
            count = self.channel.declare_queue(queue, passive=True).message_count
            assert count == len(waiting), f"{queue} has {count}, not {len(waiting)}"
