"""Statistics of a vhost: what its clients did, in plain integers that only grow.

What happens in queues is counted in lanes (`counts`), what exchanges got in their routes
(`tally`); here is the rest, and what is left of queues and exchanges that are gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpd.broker.arguments import QueueType
from amqpd.broker.counts import Counts

if TYPE_CHECKING:
    from amqpd.broker.exchange import Exchange


class VhostStats:
    """What happened in a vhost since the broker started."""

    __slots__ = (
        "confirmed", "departed_copies", "departed_messages", "dropped", "queues_created",
        "queues_declared", "queues_deleted", "returned", "totals", "wanting_confirms",
    )  # fmt: skip

    def __init__(self) -> None:
        #: What passed through queues, by their type.
        self.totals = {kind: Counts() for kind in QueueType}
        self.confirmed = 0
        #: Messages that no queue got: sent back, or lost.
        self.returned = 0
        self.dropped = 0
        #: Messages on channels with publisher confirms.
        self.wanting_confirms = 0
        self.queues_declared = 0
        self.queues_created = 0
        self.queues_deleted = 0
        #: Of exchanges that are gone.
        self.departed_messages = 0
        self.departed_copies = 0

    def exchange_gone(self, exchange: Exchange) -> None:
        """Keep what an exchange has counted."""
        self.departed_messages += exchange.tallies.messages
        self.departed_copies += exchange.tallies.copies
