"""The survey: looks at everything in the broker every few seconds, in slices."""

from __future__ import annotations

import asyncio
import logging
from operator import attrgetter
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from amqpd.broker.queue import Queue
from amqpd.broker.sums import Sums, moved, traffic_of
from amqpd.management.kept import Shelf
from amqpd.management.listing import Slices
from amqpd.management.rates import DATA, added, lengths_of, traffic, vhost_traffic
from amqpd.management.sampling import INTERVAL_S, Sampler

if TYPE_CHECKING:
    from collections.abc import Sequence

    from amqpd.broker.presence import Guest
    from amqpd.broker.session import ChannelFacts, ConnectionFacts
    from amqpd.broker.vhost import VHost
    from amqpd.management.figures import Figures
    from amqpd.management.host import Host

LOG = logging.getLogger("amqpd.http")

#: What the totals of the broker are kept under, and those of the node.
BROKER: Final = "broker"
NODE: Final = "node"
CHURNING: Final = "churn"
#: Queues that are looked at between two looks at the clock; and glanced at, which costs less.
BATCH: Final = 64
GLANCE: Final = 4096


def queue_values(queue: Queue) -> tuple[int, ...]:
    """`LENGTHS` and `TRAFFIC` of a queue."""
    return (queue.messages, queue.ready, queue.unacked, *traffic_of(queue.lanes))


def channel_values(facts: ChannelFacts) -> tuple[int, ...]:
    """`TRAFFIC` and `PUBLISHING` of a channel."""
    moved = traffic(facts.counts)
    published = sum(facts.published.values())
    return (published, *moved[1:], facts.confirmed, facts.returned, facts.dropped)


def connection_values(facts: ConnectionFacts) -> tuple[int, ...]:
    """`DATA` of a connection."""
    return (facts.received_bytes, facts.sent_bytes)


def churn_values(figures: Figures, vhosts: Sequence[VHost]) -> tuple[int, ...]:
    """`CHURN` of the broker."""
    return (
        figures.connections_opened,
        figures.connections_closed,
        figures.channels_opened,
        figures.channels_opened - figures.channels,
        sum(one.stats.queues_declared for one in vhosts),
        sum(one.stats.queues_created for one in vhosts),
        sum(one.stats.queues_deleted for one in vhosts),
    )


def node_values(figures: Figures) -> tuple[int, ...]:
    """`NODE_COLUMNS`."""
    return (
        figures.resident_bytes,
        figures.disk_free_bytes,
        figures.open_files,
        figures.connections,
        figures.store_batches,
        figures.store_messages,
        figures.collections,
        figures.context_switches,
        figures.read_bytes,
        figures.written_bytes,
    )


#: Gauges and counters of the node.
NODE_COLUMNS: Final = (
    "mem_used",
    "disk_free",
    "fd_used",
    "sockets_used",
    "io_sync_count",
    "queue_index_write_count",
    "gc_num",
    "context_switches",
    "io_read_bytes",
    "io_write_bytes",
)


class Survey:
    """Samples everything until it is cancelled."""

    def __init__(self, host: Host) -> None:
        # What there is at the first look was restored, and has not grown from nothing.
        self.sampler = Sampler(begins_anew=True)
        #: What lists have shown of queues.
        self.shelf = Shelf()
        self._host = host
        #: Octets from and to the clients of each vhost, and what each had moved when last seen.
        self._octets: WeakKeyDictionary[VHost, tuple[int, ...]] = WeakKeyDictionary()
        self._moved: WeakKeyDictionary[Guest, tuple[int, ...]] = WeakKeyDictionary()

    async def run(self) -> None:
        """Look every `INTERVAL_S`, for as long as the server lives."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            try:
                await self.sweep(self._host.broker.around.now_ms)
            except Exception:
                LOG.exception("statistics: a look at everything failed")

    def octets_of(self, vhost: VHost) -> tuple[int, ...]:
        """`DATA` of a vhost: what its clients have moved, up to the last look at each."""
        return self._octets.get(vhost, (0,) * len(DATA))

    async def sweep(self, at_ms: int) -> None:
        """Look at everything once; what comes or goes meanwhile is seen or not.

        Of queues only at those in which something happened since, or did before that.
        """
        sampler, slices, alive = self.sampler, Slices(), list[object]()
        sampler.begin(at_ms)
        totals = []
        for vhost in list(self._host.broker.vhosts.values()):
            lengths = await self._vhost(vhost, at_ms, slices, alive)
            values = (*lengths, *vhost_traffic(vhost))
            sampler.look(vhost, at_ms, values, always=True)
            totals.append(values)
        await self._restless(at_ms, slices)
        figures = self._host.figures()
        if totals:
            sampler.look(BROKER, at_ms, added(totals, 0), always=True)
        vhosts = list(self._host.broker.vhosts.values())
        sampler.look(CHURNING, at_ms, churn_values(figures, vhosts), always=True)
        sampler.look(NODE, at_ms, node_values(figures), always=True, is_new=False)
        await self._connections(at_ms, slices, alive)
        for vhost in vhosts:
            sampler.look((vhost, DATA), at_ms, self.octets_of(vhost), always=True)
            alive += vhost, (vhost, DATA)
        sampler.end([*alive, BROKER, CHURNING, NODE])
        self.shelf.tidy(attrgetter("deleted"))

    async def _vhost(
        self, vhost: VHost, at_ms: int, slices: Slices, alive: list[object]
    ) -> tuple[int, ...]:
        """The queues and exchanges of a vhost; the sum of the queues' lengths."""
        queues, sums, is_blank = list(vhost.queues.values()), Sums(), self.sampler.was_blank
        for start in range(0, len(queues), GLANCE):
            part = queues[start : start + GLANCE]
            lanes = [queue.lanes for queue in part]
            places = moved(lanes)
            sums.add_all(lanes)
            await self._look(part if is_blank else [part[one] for one in places], at_ms, slices)
        # What waits behind a queue is not in its lanes.
        behind = [vhost.queues.get(one.source) for one in vhost.publishing.morgues]
        await self._look([one for one in behind if one is not None], at_ms, slices)
        alive += queues
        for exchange in list(vhost.exchanges.values()):
            tallies = exchange.tallies
            self.sampler.look(exchange, at_ms, (tallies.messages, tallies.copies))
            alive.append(exchange)
            await slices.pause()
        return lengths_of(sums, vhost.publishing.morgues)

    async def _restless(self, at_ms: int, slices: Slices) -> None:
        """The queues that are still to be looked at though nothing happened in them."""
        keys = self.sampler.restless()
        await self._look([one for one in keys if isinstance(one, Queue)], at_ms, slices)

    async def _look(self, queues: Sequence[Queue], at_ms: int, slices: Slices) -> None:
        for place, queue in enumerate(queues):
            self.sampler.look(queue, at_ms, queue_values(queue))
            if place % BATCH == 0:
                await slices.pause()

    async def _connections(self, at_ms: int, slices: Slices, alive: list[object]) -> None:
        for guest in self._host.broker.presence.guests():
            alive.append(guest)
            facts = guest.facts()
            values = connection_values(facts)
            self._count(guest, facts.vhost, values)
            self.sampler.look(guest, at_ms, values)
            for channel in guest.channel_facts():
                key = guest, channel.number
                self.sampler.look(key, at_ms, channel_values(channel))
                alive.append(key)
            await slices.pause()

    def _count(self, guest: Guest, name: str, values: tuple[int, ...]) -> None:
        """What a client has moved since the last look is its vhost's."""
        vhost = self._host.broker.vhosts.get(name)
        if vhost is None:
            return
        before = self._moved.get(guest, (0,) * len(DATA))
        self._moved[guest] = values
        so_far = self.octets_of(vhost)
        self._octets[vhost] = tuple(
            total + now - then for total, now, then in zip(so_far, values, before, strict=True)
        )
