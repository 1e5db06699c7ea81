"""A broker in memory for the tests of the model: fake consumers, a store that is a list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpd.broker.broker import Broker
from amqpd.broker.content import body, header_payload
from amqpd.broker.definitions import PutPermission, PutUser, PutVhost
from amqpd.broker.delivery import Unacked
from amqpd.broker.expiry import Due
from amqpd.broker.limits import Limits
from amqpd.broker.message import a_run
from amqpd.broker.names import join
from amqpd.broker.run import Run, Target
from amqpd.broker.session import ConsumerFacts
from amqpd.fields import Table, wrap
from amqpd.properties import Properties

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from amqpd.broker.delivery import Taken
    from amqpd.broker.lane import Lane
    from amqpd.broker.levels import Handful
    from amqpd.broker.permissions import Access
    from amqpd.broker.publishing import Published
    from amqpd.broker.queue import Queue
    from amqpd.broker.ring import Subscription
    from amqpd.broker.rows import Row
    from amqpd.broker.stretch import Stretch
    from amqpd.broker.vhost import VHost


class FakeConsumer:
    """Takes as many messages as it has credit and remembers them."""

    def __init__(self, credit: int = 1_000, *, no_ack: bool = False, priority: int = 0) -> None:
        self.tag = "fake"
        self.no_ack = no_ack
        self.priority = priority
        self.exclusive = False
        self.timeout_ms = 0
        self.restarts_timeout = False
        self.arguments: Table = {}
        self.owner: object = self
        self.queue: Subscription | None = None
        self.prefetch = credit
        self.prefetch_shared = 0
        self.unacked = Unacked()
        self.bodies: list[bytes] = []
        self.redelivered: list[bool] = []
        self.gone = False
        self.is_slow = False
        #: When what is delivered now is overdue; 0: never.
        self.due_ms = 0
        self._tag = 1

    def credit(self) -> int:
        return 1_000_000 if self.no_ack else self.prefetch - len(self.unacked)

    def deliver(self, lane: Lane, piece: Stretch) -> None:
        contents = piece.run.contents[piece.lo : piece.hi]
        self.bodies += [body(content) for content in contents]
        self.redelivered += [piece.redelivered] * len(contents)
        if not self.no_ack:
            self.unacked.add(self._tag, lane, piece, self, self.due_ms)
            self._tag += len(contents)

    def deliver_all(self, handful: Handful) -> None:
        for lane, piece in zip(handful.lanes, handful.pieces, strict=True):
            self.deliver(lane, piece)

    def facts(self) -> ConsumerFacts:
        unacked = len(self.unacked)
        return ConsumerFacts(self.tag, "fake", "", 0, "guest", 1, self.prefetch, unacked, 0, 0)

    def cancelled(self) -> None:
        self.gone = True

    def take(self, upto: int = 0) -> list[Taken]:
        """Settle everything up to a tag; wake the queue as a session would."""
        taken = self.unacked.take(0, upto, True)
        if self.queue is not None:
            self.queue.wake()
        return taken


class Store:
    """Keeps what the journal hands over, and gives it back as rows.

    While `is_slow` it answers nothing before `answer()`.
    """

    def __init__(self) -> None:
        self.rows: dict[int, dict[int, Row]] = {}
        #: Those that expire before something ahead of them.
        self.early: set[tuple[int, int]] = set()
        self.asked = 0
        self.is_slow = False
        self._answers: list[Callable[[], None]] = []

    def answer(self) -> None:
        """Answer what was asked."""
        answers, self._answers = self._answers, []
        for answer in answers:
            answer()

    def append(self, target: Target, run: Run) -> None:
        """Keep what an append brings to one lane."""
        rows = self.rows.setdefault(int(target.lane), {})
        for index in range(target.lo, target.hi):
            if target.dead is None or not target.dead[index]:
                rows[target.base + index] = _row(target, run, index)
                if target.early and _deadline(target, run, index):
                    self.early.add((int(target.lane), target.base + index))

    def read(
        self,
        lane: int,
        from_position: int,
        upto_position: int,
        max_messages: int,
        max_bytes: int,
        done: Callable[[list[Row], int], None],
    ) -> None:
        self.asked += 1
        found = [
            row
            for position, row in sorted(self.rows.get(lane, {}).items())
            if from_position <= position < upto_position
        ]
        upto = found[max_messages][0] if len(found) > max_messages else upto_position
        self._answer(lambda: done(found[:max_messages], upto))

    def read_some(
        self, lane: int, positions: Sequence[int], done: Callable[[list[Row]], None]
    ) -> None:
        held = self.rows.get(lane, {})
        found = [held[position] for position in positions if position in held]
        self._answer(lambda: done(found))

    def expired(
        self,
        lane: int,
        from_position: int,
        upto_position: int,
        after: tuple[int, int],
        now_ms: int,
        most: int,
        done: Callable[[Sequence[Due], int], None],
    ) -> None:
        self.asked += 1
        rows = sorted(
            (
                Due(row[2], position, row[1], row[3], row[4], len(row[7]))
                for position, row in self.rows.get(lane, {}).items()
                if (lane, position) in self.early and from_position <= position < upto_position
            ),
        )
        due = [row for row in rows if row[:2] > after and row[0] <= now_ms][:most]
        later = [row[0] for row in rows if row[0] > now_ms]
        next_ms = later[0] if later and len(due) < most else 0
        self._answer(lambda: done(due, next_ms))

    def _answer(self, answer: Callable[[], None]) -> None:
        if self.is_slow:
            self._answers.append(answer)
        else:
            answer()


class Model:
    """A broker with one vhost and one user who may do everything."""

    def __init__(self, *, limits: Limits | None = None) -> None:
        self.store = Store()
        self._tokens = 0
        self.broker = Broker(
            limits=limits or Limits(),
            refill=self.store.read,
            new_token=self._token,
            now_ms=1_000_000,
        )
        self.broker.around.expired = self.store.expired
        self.broker.around.read_some = self.store.read_some
        self.broker.change(PutVhost("/"))
        self.broker.change(PutUser("u", "", "rabbit_password_hashing_sha256"))
        self.broker.change(PutPermission("u", "/", ".*", ".*", ".*"))
        self.vhost: VHost
        self.access: Access
        self.vhost, self.access = self.broker.open_vhost("/", "u")

    def _token(self) -> str:
        self._tokens += 1
        return f"token{self._tokens}"

    def queue(
        self,
        name: str = "q",
        *,
        durable: bool = True,
        auto_delete: bool = False,
        arguments: Mapping[str, object] | None = None,
    ) -> Queue:
        self.vhost.declare_queue(
            self.access,
            name,
            passive=False,
            durable=durable,
            exclusive=False,
            auto_delete=auto_delete,
            arguments=a_table(arguments or {}),
            owner=self,
        )
        return self.vhost.queues[name]

    def publish(
        self,
        *bodies: bytes,
        exchange: str = "",
        key: str = "q",
        mode: int = 2,
        **more: object,
    ) -> Published:
        """Publish messages one by one; the outcome of the last."""
        properties = Properties(delivery_mode=mode, **more)  # type: ignore[arg-type]
        priority = -1 if properties.priority is None else properties.priority
        expiration = -1 if properties.expiration is None else int(properties.expiration)
        for one in bodies:
            path = self.vhost.route(self.access, exchange, [key], properties)
            result = self.vhost.publish(
                path,
                a_run(join(exchange, key), properties, one),
                expiration_ms=expiration,
                priority=priority,
            )
        return result

    def a_run(self, one: bytes, *, key: str = "q", mode: int = 2) -> Run:
        """A run of one message that nobody has routed."""
        return a_run(join("", key), Properties(delivery_mode=mode), one)

    def publish_run(
        self, *bodies: bytes, key: str = "q", mode: int = 2, ttls: Sequence[int] = ()
    ) -> Published:
        """Publish messages as one run, which expire at different times (-1: never)."""
        runs = [a_run(join("", key), Properties(delivery_mode=mode), one) for one in bodies]
        contents = [run.contents[0] for run in runs]
        run = Run(contents, join("", key), None, mode == 2, 1, sum(map(len, contents)))
        path = self.vhost.resolve(self.access, "", key)
        assert not ttls or self.vhost.publishing.date(path, run, list(ttls))
        return self.vhost.publish(path, run)

    def consume(self, consumer: FakeConsumer, name: str = "q", *, exclusive: bool = False) -> None:
        self.vhost.consume(self.access, name, consumer, exclusive=exclusive, owner=consumer)

    def commit(self) -> None:
        """Hand the journal to the store and commit it, until nothing is left."""
        while (batch := self.broker.journal.take()) is not None:
            for append in batch.appends:
                for target in append.targets:
                    self.store.append(target, append.run)
            for settle in batch.settles:
                for position in range(settle.lo, settle.hi):
                    del self.store.rows[int(settle.lane)][position]
            for purge in batch.purges:
                for position in range(purge.low, purge.high):
                    self.store.rows.get(purge.lane, {}).pop(position, None)
            for drop in batch.drops:
                for lane in drop.lanes:
                    self.store.rows.pop(int(lane), None)
            self.broker.journal.committed(batch)
            self.broker.dispatch()

    def turn(self, passed_ms: int = 0) -> None:
        """One turn of the event loop, some time later."""
        self.broker.tick(self.broker.around.now_ms + passed_ms)
        self.broker.dispatch()


def _deadline(target: Target, run: Run, index: int) -> int:
    return target.deadline_ms if run.deadlines is None else run.deadlines[index]


def _row(target: Target, run: Run, index: int) -> Row:
    content = run.contents[index]
    return (
        target.base + index,
        run.first_id + index,
        _deadline(target, run, index),
        run.shared,
        target.transient,
        run.names_of(index),
        header_payload(content),
        body(content),
    )


def a_table(values: Mapping[str, object]) -> Table:
    """A field table from plain values."""
    return {name: wrap(value) for name, value in values.items()}  # type: ignore[arg-type]
