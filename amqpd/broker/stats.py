"""Statistics of a vhost: what its clients did, in plain integers that only grow.

What happens in queues is counted in lanes (`counts`), what exchanges got in their routes
(`tally`); here is the rest, and what is left of queues, exchanges and vhosts that are gone.
"""

from __future__ import annotations

from bisect import bisect_left
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from amqpd.broker.arguments import QueueType
from amqpd.broker.counts import Counts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from amqpd.broker.exchange import Exchange
    from amqpd.broker.vhost import VHost

#: Up to how many bytes a message is in which class of sizes (RabbitMQ's).
SIZES: Final = (100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 50_000_000, 100_000_000)
#: The counters of `Counts`.
COUNTERS: Final = (
    "published", "delivered", "delivered_no_ack", "got", "got_no_ack", "got_nothing",
    "redelivered", "acked",
)  # fmt: skip
_NUMBERS: Final = (
    "confirmed", "departed_copies", "departed_messages", "dropped", "queues_created",
    "queues_declared", "queues_deleted", "returned", "routed", "size_bytes", "wanting_confirms",
)  # fmt: skip


class Strategy(StrEnum):
    """What becomes of dead letters, as RabbitMQ's metrics call it."""

    AT_MOST_ONCE = "at_most_once"
    AT_LEAST_ONCE = "at_least_once"
    #: They have no exchange to go to.
    DISABLED = "disabled"


class VhostStats:
    """What happened in a vhost since the broker started."""

    __slots__ = (*_NUMBERS, "deaths", "sizes", "totals")

    def __init__(self) -> None:
        #: What passed through queues, by their type.
        self.totals = {kind: Counts() for kind in QueueType}
        self.confirmed = 0
        #: Messages that no queue got: sent back, or lost; and those that some queue got.
        self.returned = 0
        self.dropped = 0
        self.routed = 0
        #: Messages on channels with publisher confirms.
        self.wanting_confirms = 0
        self.queues_declared = 0
        self.queues_created = 0
        self.queues_deleted = 0
        #: Of exchanges that are gone.
        self.departed_messages = 0
        self.departed_copies = 0
        #: Published messages by class of sizes, the last above all; and their bytes.
        self.sizes = [0] * (len(SIZES) + 1)
        self.size_bytes = 0
        #: Dead letters, by the type of the queue, what became of them and the reason.
        self.deaths: dict[tuple[QueueType, Strategy, str], int] = {}

    def died(self, kind: QueueType, strategy: Strategy, reason: str, messages: int) -> None:
        """Messages of a queue are dead."""
        key = kind, strategy, reason
        self.deaths[key] = self.deaths.get(key, 0) + messages

    def published(self, messages: int, body_bytes: int) -> None:  # hot: S2
        """Clients have published messages; their class is that of their average."""
        self.size_bytes += body_bytes
        self.sizes[bisect_left(SIZES, body_bytes / messages)] += messages

    def exchange_gone(self, exchange: Exchange) -> None:
        """Keep what an exchange has counted."""
        self.departed_messages += exchange.tallies.messages
        self.departed_copies += exchange.tallies.copies

    def add(self, other: VhostStats) -> None:
        """Add what others have counted."""
        for name in _NUMBERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.sizes = [one + more for one, more in zip(self.sizes, other.sizes, strict=True)]
        for death, messages in other.deaths.items():
            self.died(*death, messages)
        for kind, counts in other.totals.items():
            mine = self.totals[kind]
            for name in COUNTERS:
                setattr(mine, name, getattr(mine, name) + getattr(counts, name))

    def vhost_gone(self, vhost: VHost) -> None:
        """Keep what a vhost has counted."""
        for exchange in vhost.exchanges.values():
            vhost.stats.exchange_gone(exchange)
        self.add(vhost.stats)


def total(departed: VhostStats, vhosts: Iterable[VHost]) -> VhostStats:
    """What all vhosts have counted, with those that are gone."""
    found = VhostStats()
    found.add(departed)
    for vhost in vhosts:
        found.add(vhost.stats)
        for exchange in vhost.exchanges.values():
            found.exchange_gone(exchange)
    return found
