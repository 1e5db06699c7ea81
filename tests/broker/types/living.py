"""A model whose store survives: restarts, clean or not, with the same disk."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from amqpd.broker.attempts import Returned
from amqpd.broker.broker import Broker
from amqpd.broker.definitions import PutPermission, PutUser, PutVhost
from amqpd.broker.limits import Limits
from amqpd.broker.types import all_types
from amqpd.store.memory import MemoryStore
from tests.archive import StoreArchive
from tests.broker.model import FakeConsumer, Model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from amqpd.broker.attempts import Counted, Delayed
    from amqpd.broker.exchange import Exchange
    from amqpd.broker.expiry import Due
    from amqpd.broker.journal import Batch
    from amqpd.broker.rows import Row as DeliveryRow
    from amqpd.store import Row, StoreFailed, StoreFull


class Living(Model):
    """One vhost and one user who may do everything, over restarts."""

    def __init__(self, limits: Limits | None = None, **types: type[Exchange]) -> None:
        self._tokens = 0
        self._limits = limits or Limits()
        self._types = all_types() | {each.kind: each for each in types.values()}
        self._posted: list[Callable[[], None]] = []
        self.disk = MemoryStore(self._posted.append)
        self.reads = 0
        self.start(1_000_000)
        self.broker.change(PutVhost("/"))
        self.broker.change(PutUser("u", "", "rabbit_password_hashing_sha256"))
        self.broker.change(PutPermission("u", "/", ".*", ".*", ".*"))
        self.vhost, self.access = self.broker.open_vhost("/", "u")

    def start(self, now_ms: int) -> None:
        """A broker with what is on disk."""
        snapshot = self.disk.open()
        self.broker = Broker(
            limits=self._limits,
            refill=self._refill,
            new_token=self._token,
            types=self._types,
            now_ms=now_ms,
        )
        self.broker.around.read_returned = self._read_returned
        self.broker.around.expired = self._expired
        self.broker.around.read_some = self._read_some
        self.broker.journal.next_message_id = snapshot.next_message_id
        self.archive = self.broker.around.archive = StoreArchive(self.disk)
        self.broker.recover(snapshot.commands, snapshot.lanes, snapshot.streams)
        self.broker.reserve_lanes(snapshot.next_lane_id)

    def restart(self, passed_ms: int = 0) -> None:
        """Everything that is not on disk is lost; some time passes."""
        self.disk.crash()
        self._posted.clear()
        self.start(self.broker.around.now_ms + passed_ms)
        self.vhost, self.access = self.broker.open_vhost("/", "u")
        self.turn()

    def commit(self) -> None:
        """Let the disk do all there is to do."""
        while True:
            self.broker.dispatch()
            batch = self.broker.journal.take()
            if batch is not None:
                self.disk.write(batch, partial(self._written, batch))
            if not self._posted:
                return
            posted = self._posted.copy()
            self._posted.clear()
            for call in posted:
                call()

    def turn(self, passed_ms: int = 0) -> None:
        """One turn of the loop some time later, and what the disk does."""
        super().turn(passed_ms)
        self.commit()

    def wait(self, passed_ms: int, step_ms: int = 10) -> None:
        """Let time pass in ticks."""
        for _ in range(0, passed_ms, step_ms):
            self.turn(step_ms)

    def bodies(self, name: str = "q") -> list[bytes]:
        """Take all messages out of a queue."""
        consumer = FakeConsumer(no_ack=True)
        self.consume(consumer, name)
        self.turn()
        self.vhost.cancel(consumer)
        return consumer.bodies

    def _written(self, batch: Batch, outcome: int | StoreFull | StoreFailed) -> None:
        assert outcome == batch.number
        self.broker.journal.committed(batch)

    def _refill(
        self,
        lane: int,
        from_position: int,
        upto_position: int,
        max_messages: int,
        max_bytes: int,
        done: Callable[[list[DeliveryRow], int], None],
    ) -> None:
        def arrived(rows: list[Row] | StoreFailed) -> None:
            assert isinstance(rows, list)
            done([*rows], rows[-1].position + 1 if rows else upto_position)

        self.reads += 1
        self.disk.read(lane, from_position, upto_position, max_messages, max_bytes, arrived)

    def _read_returned(self, question: Counted | Delayed, done: Callable[[Returned], None]) -> None:
        def arrived(outcome: Returned | StoreFailed) -> None:
            assert isinstance(outcome, Returned)
            done(outcome)

        self.reads += 1
        self.disk.read_returned(question, arrived)

    def _expired(
        self,
        lane: int,
        from_position: int,
        upto_position: int,
        after: tuple[int, int],
        now_ms: int,
        most: int,
        done: Callable[[Sequence[Due], int], None],
    ) -> None:
        def arrived(outcome: tuple[list[Due], int] | StoreFailed) -> None:
            assert isinstance(outcome, tuple)
            done(*outcome)

        self.disk.expired(lane, from_position, upto_position, after, now_ms, most, arrived)

    def _read_some(
        self, lane: int, positions: Sequence[int], done: Callable[[list[DeliveryRow]], None]
    ) -> None:
        def arrived(rows: list[Row] | StoreFailed) -> None:
            assert isinstance(rows, list)
            done([*rows])

        self.disk.read_some(lane, positions, arrived)
