"""What a queue knows of a consumer: anything with credit and a place to put messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from amqpd.broker.delivery import Lane, Run
    from amqpd.fields import Table


class Consumer(Protocol):
    """The core's second opening; sessions of every protocol implement it."""

    tag: str
    no_ack: bool
    priority: int
    exclusive: bool
    arguments: Table
    owner: object

    def credit(self) -> int:
        """How many messages may be handed over now; 0 while its transport is full."""

    def deliver(
        self, lane: Lane, run: Run, base: int, low: int, high: int, redelivered: bool
    ) -> None:
        """Take contents[low:high] of the run, at positions base + index of the lane."""

    def cancelled(self) -> None:
        """The queue is gone, or the right to read it: nothing more will come."""
