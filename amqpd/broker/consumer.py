"""What a queue knows of a consumer: anything with credit and a place to put messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from amqpd.broker.lane import Lane
    from amqpd.broker.levels import Handful
    from amqpd.broker.ring import Subscription
    from amqpd.broker.session import ConsumerFacts
    from amqpd.broker.stretch import Stretch
    from amqpd.fields import Table


class Consumer(Protocol):
    """The core's second opening; sessions of every protocol implement it."""

    tag: str
    no_ack: bool
    priority: int
    exclusive: bool
    arguments: Table
    owner: object
    #: How long it may keep a message, 0: for ever; set when it begins.
    timeout_ms: int
    #: Whenever it acknowledges one, it may keep the others for as long again.
    restarts_timeout: bool
    #: Its place in the queue's ring while it consumes.
    queue: Subscription | None

    @property
    def prefetch(self) -> int:
        """How many it may have unacked; 0: no limit of its own."""

    @property
    def prefetch_shared(self) -> int:
        """How many all consumers of its channel may have unacked together; 0: no such limit."""

    @property
    def is_slow(self) -> bool:
        """It wants more, and cannot be written to at the moment."""

    def credit(self) -> int:
        """How many messages may be handed over now; 0 while its transport is full."""

    def deliver(self, lane: Lane, piece: Stretch) -> None:
        """Take a stretch of the lane; without `no_ack` it stays unacked until it is settled."""

    def deliver_all(self, handful: Handful) -> None:
        """The same with what several lanes have."""

    def facts(self) -> ConsumerFacts:
        """What it tells of itself."""

    def cancelled(self) -> None:
        """The queue is gone, or the right to read it: nothing more will come."""
