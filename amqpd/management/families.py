"""Families of metrics: what RabbitMQ calls the groups in which per-object metrics come.

A family has metrics and rows: one row per queue, channel, connection or exchange. Rows are made
one by one, so that whoever writes them may pause.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final, TypeAlias

from amqpd.broker.arguments import QueueType
from amqpd.broker.content import header_payload
from amqpd.broker.stream import Stream
from amqpd.broker.sums import sums_of, traffic_of
from amqpd.management.exposition import Metric, escape, labels
from amqpd.management.rates import TRAFFIC, added, lengths_of, traffic
from amqpd.properties import decode_header

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from amqpd.broker.broker import Broker
    from amqpd.broker.pattern import Pattern
    from amqpd.broker.presence import Guest
    from amqpd.broker.queue import Queue
    from amqpd.broker.session import ChannelFacts, ConnectionFacts
    from amqpd.broker.sums import Sums
    from amqpd.broker.vhost import VHost
    from amqpd.management.exposition import Row

#: Where in `rates.TRAFFIC` the columns of `queue_delivery_metrics` are.
_DELIVERY: Final = tuple(
    map(
        TRAFFIC.index,
        (
            "get",
            "get_no_ack",
            "deliver",
            "deliver_no_ack",
            "redeliver",
            "ack",
            "get_empty",
            "publish",
        ),
    )
)

QUEUE_TYPES: Final[Mapping[QueueType, str]] = {
    QueueType.CLASSIC: "rabbit_classic_queue",
    QueueType.QUORUM: "rabbit_quorum_queue",
    QueueType.STREAM: "rabbit_stream_queue",
}


@dataclass(frozen=True, slots=True)
class Filter:
    """Which vhosts and queues are asked for; None: all."""

    vhosts: frozenset[str] | None = None
    queues: Pattern | None = None

    def takes(self, vhost: str) -> bool:
        """Whether a vhost is."""
        return self.vhosts is None or vhost in self.vhosts

    def takes_queue(self, name: str) -> bool:
        """Whether a queue is, by its name."""
        return self.queues is None or self.queues.matches(name)


Rows: TypeAlias = Callable[["Broker", Filter], Iterator["Row"]]


@dataclass(frozen=True, slots=True)
class Family:
    """Metrics that come from one look at things of a kind."""

    metrics: tuple[Metric, ...]
    rows: Rows
    #: Their names begin with `rabbitmq_cluster_`, and they are shown on demand only.
    of_cluster: bool = False


# -- queues ------------------------------------------------------------------------------


def queues_of(broker: Broker, wanted: Filter) -> Iterator[Queue]:
    """The queues that are asked for."""
    for vhost in list(broker.vhosts.values()):
        if wanted.takes(vhost.name):
            for queue in list(vhost.queues.values()):
                if wanted.takes_queue(queue.name) and not queue.deleted:
                    yield queue


def _label(queue: Queue) -> str:
    return f'{{vhost="{escape(queue.vhost)}",queue="{escape(queue.name)}"}}'


def _coarse(broker: Broker, wanted: Filter) -> Iterator[Row]:
    for queue in queues_of(broker, wanted):
        ready, unacked = queue.ready, queue.unacked
        yield _label(queue), (ready, unacked, queue.messages)


def _consumers(broker: Broker, wanted: Filter) -> Iterator[Row]:
    for queue in queues_of(broker, wanted):
        yield _label(queue), (len(queue.ring),)


def _in_full(broker: Broker, wanted: Filter) -> Iterator[Row]:
    for queue in queues_of(broker, wanted):
        yield _label(queue), (*_sizes(queue), head_timestamp(queue))


def _sizes(queue: Queue) -> tuple[int | float, ...]:
    return _columns_of(sums_of([queue.lanes]), len(queue.ring), _taking(queue))


def _taking(queue: Queue) -> float:
    """The share of consumers that take messages."""
    ring = queue.ring
    return sum(1 for one in ring if not one.stalled) / len(ring) if ring else 0


def _columns_of(sums: Sums, consumers: int, taking: float) -> tuple[int | float, ...]:
    in_memory = sums.loaded_bytes + sums.unacked_bytes
    return (
        consumers,
        taking,
        taking,
        in_memory,
        sums.loaded + sums.unacked,
        in_memory,
        sums.loaded,
        sums.unacked,
        sums.stored,
        sums.persistent_bytes,
        sums.ready_bytes + sums.unacked_bytes,
        sums.ready_bytes,
        sums.unacked_bytes,
        sums.paged_out,
        sums.paged_out_bytes,
    )


def queues_together(broker: Broker) -> Mapping[str, Row]:
    """The sums of the families of queues over all queues; costs a glance at each.

    For `queue_metrics` of `SIZES_OF_QUEUES`, without what makes no sum.
    """
    queues = [queue for vhost in broker.vhosts.values() for queue in vhost.queues.values()]
    sums = sums_of([queue.lanes for queue in queues])
    morgues = chain.from_iterable(vhost.publishing.morgues for vhost in broker.vhosts.values())
    messages, ready, unacked = lengths_of(sums, morgues)
    consumers = broker.around.consumers
    taking = sum(map(_taking, broker.around.consuming))
    return {
        "queue_coarse_metrics": ("", (ready, unacked, messages)),
        "queue_metrics": ("", _columns_of(sums, consumers, taking)),
    }


def head_timestamp(queue: Queue) -> int | None:
    """The timestamp of the first message, if it is in memory and has one."""
    for lane in reversed(queue.lanes):
        head = lane.head()
        if head is not None:
            content = head.run.contents[head.lo]
            return decode_header(header_payload(content))[2].timestamp
    return None


def _streams(broker: Broker, wanted: Filter) -> Iterator[Row]:
    for queue in queues_of(broker, wanted):
        if isinstance(queue, Stream):
            yield _label(queue), (queue.max_lag,)


def _moved(queue: Queue) -> tuple[int, ...]:
    return traffic_of(queue.lanes)


def columns(moved: Sequence[int]) -> tuple[int, ...]:
    """Counters of `rates.TRAFFIC` in the order of `queue_delivery_metrics`."""
    return tuple(moved[place] for place in _DELIVERY)


def _deliveries(broker: Broker, wanted: Filter) -> Iterator[Row]:
    for queue in queues_of(broker, wanted):
        yield _label(queue), columns(_moved(queue))


def _queue_exchange(broker: Broker, wanted: Filter) -> Iterator[Row]:
    for vhost in _vhosts(broker, wanted):
        for exchange in list(vhost.exchanges.values()):
            for name, messages in list(exchange.tallies.by_queue()):
                if wanted.takes_queue(name):
                    label = labels(
                        queue_vhost=vhost.name,
                        queue=name,
                        exchange_vhost=vhost.name,
                        exchange=exchange.name,
                    )
                    yield label, (messages,)


# -- exchanges and vhosts ----------------------------------------------------------------


def _vhosts(broker: Broker, wanted: Filter) -> list[VHost]:
    return [vhost for vhost in broker.vhosts.values() if wanted.takes(vhost.name)]


def _exchanges(broker: Broker, wanted: Filter) -> Iterator[Row]:
    for vhost in _vhosts(broker, wanted):
        for exchange in list(vhost.exchanges.values()):
            label = labels(vhost=vhost.name, exchange=exchange.name)
            tallies = exchange.tallies
            yield label, (tallies.messages, tallies.returned, tallies.dropped)


def _vhost_status(broker: Broker, wanted: Filter) -> Iterator[Row]:
    for vhost in _vhosts(broker, wanted):
        yield labels(vhost=vhost.name), (1,)


def _exchange_bindings(broker: Broker, wanted: Filter) -> Iterator[Row]:
    for vhost in _vhosts(broker, wanted):
        for one in list(vhost.exchanges.values()):
            label = labels(vhost=vhost.name, exchange=one.name, type=one.kind)
            yield label, (len(one.bindings),)


def _exchange_names(broker: Broker, wanted: Filter) -> Iterator[Row]:
    for vhost in _vhosts(broker, wanted):
        for one in list(vhost.exchanges.values()):
            yield labels(vhost=vhost.name, exchange=one.name, type=one.kind), (1,)


# -- connections and channels ------------------------------------------------------------


def _connections_coarse(broker: Broker, wanted: Filter) -> Iterator[Row]:
    for guest in broker.presence.guests():
        told = guest.facts()
        yield labels(connection=told.name), _octets(told)


def _octets(told: ConnectionFacts) -> tuple[int, ...]:
    return told.received_bytes, told.sent_bytes


def _connections(broker: Broker, wanted: Filter) -> Iterator[Row]:
    for guest in broker.presence.guests():
        told = guest.facts()
        yield labels(connection=told.name), _packets(told)


def _packets(told: ConnectionFacts) -> tuple[int, ...]:
    return told.received_reads, told.sent_writes, told.pending_bytes, told.channels


def _channels(broker: Broker, wanted: Filter) -> Iterator[Row]:
    for guest in broker.presence.guests():
        for one in guest.channel_facts():
            yield labels(channel=f"{guest.name} ({one.number})"), _holding(one)


def _holding(one: ChannelFacts) -> tuple[int, ...]:
    return (
        one.consumers,
        one.unacked,
        one.unconfirmed,
        one.uncommitted,
        one.uncommitted_acks,
        one.prefetch,
        one.prefetch_shared,
    )


class Together:
    """The sums over connections and channels, which are added one connection at a time."""

    def __init__(self) -> None:
        #: Channels that have published.
        self.publishers = 0
        self.consumers = 0
        self._octets: Sequence[int] = (0,) * 2
        self._packets: Sequence[int] = (0,) * 4
        self._holding: Sequence[int] = (0,) * 7

    def add(self, guest: Guest) -> None:
        """A connection with its channels."""
        told, channels = guest.facts(), guest.channel_facts()
        self._octets = added([self._octets, _octets(told)], 2)
        self._packets = added([self._packets, _packets(told)], 4)
        self._holding = added([self._holding, *map(_holding, channels)], 7)
        self.publishers += sum(1 for one in channels if one.published)
        self.consumers += sum(one.consumers for one in channels)

    def rows(self) -> Mapping[str, Row]:
        """The sums, by family."""
        return {
            "connection_coarse_metrics": ("", self._octets),
            "connection_metrics": ("", self._packets),
            "channel_metrics": ("", self._holding),
        }


def _channel_publishes(broker: Broker, wanted: Filter) -> Iterator[Row]:
    for guest in broker.presence.guests():
        for one in guest.channel_facts():
            yield (
                labels(channel=f"{guest.name} ({one.number})"),
                (sum(one.published.values()), one.confirmed, one.returned, one.dropped),
            )


def _channel_deliveries(broker: Broker, wanted: Filter) -> Iterator[Row]:
    for guest in broker.presence.guests():
        for one in guest.channel_facts():
            label = labels(channel=f"{guest.name} ({one.number})")
            yield label, columns(traffic(one.counts))[:-1]


# -- logins ------------------------------------------------------------------------------


def _logins(broker: Broker, wanted: Filter) -> Iterator[Row]:
    for protocol, tried in list(broker.logins.by_protocol()):
        yield labels(protocol=protocol), (tried.total, tried.succeeded, tried.failed)


def _logins_by_source(broker: Broker, wanted: Filter) -> Iterator[Row]:
    for (host, user, protocol), tried in list(broker.logins.by_source()):
        label = labels(remote_address=host, username=user, protocol=protocol)
        yield label, (tried.total, tried.succeeded, tried.failed)


# -- the table ---------------------------------------------------------------------------


def _gauge(name: str, text: str) -> Metric:
    return Metric(name, "gauge", text)


def _counter(name: str, text: str) -> Metric:
    return Metric(name, "counter", text)


#: The metrics of the family `queue_metrics`, without what makes no sum.
SIZES_OF_QUEUES: Final = (
    _gauge("queue_consumers", "Consumers"),
    _gauge("queue_consumer_capacity", "Share of consumers that take messages"),
    _gauge("queue_consumer_utilisation", "The same"),
    _gauge("queue_process_memory_bytes", "Memory used by messages"),
    _gauge("queue_messages_ram", "Messages in memory"),
    _gauge("queue_messages_ram_bytes", "Bytes of messages in memory"),
    _gauge("queue_messages_ready_ram", "Ready messages in memory"),
    _gauge("queue_messages_unacked_ram", "Unacknowledged messages in memory"),
    _gauge("queue_messages_persistent", "Messages on disk"),
    _gauge("queue_messages_persistent_bytes", "Bytes of messages on disk"),
    _gauge("queue_messages_bytes", "Bytes of messages"),
    _gauge("queue_messages_ready_bytes", "Bytes of ready messages"),
    _gauge("queue_messages_unacked_bytes", "Bytes of unacknowledged messages"),
    _gauge("queue_messages_paged_out", "Ready messages that are on disk only"),
    _gauge("queue_messages_paged_out_bytes", "Bytes of ready messages that are on disk only"),
)
FAMILIES: Final[Mapping[str, Family]] = {
    "queue_coarse_metrics": Family(
        (
            _gauge("queue_messages_ready", "Messages ready to be delivered"),
            _gauge("queue_messages_unacked", "Messages not acknowledged yet"),
            _gauge("queue_messages", "Messages ready and not acknowledged"),
        ),
        _coarse,
    ),
    "queue_consumer_count": Family((_gauge("queue_consumers", "Consumers"),), _consumers),
    "queue_metrics": Family(
        (
            *SIZES_OF_QUEUES,
            _gauge("queue_head_message_timestamp", "Timestamp of the first message"),
        ),
        _in_full,
    ),
    "queue_delivery_metrics": Family(
        (
            _counter("queue_get_ack_total", "Got, to be acknowledged"),
            _counter("queue_get_total", "Got without acknowledgement"),
            _counter("queue_messages_delivered_ack_total", "Delivered, to be acknowledged"),
            _counter("queue_messages_delivered_total", "Delivered without acknowledgement"),
            _counter("queue_messages_redelivered_total", "Delivered or got again"),
            _counter("queue_messages_acked_total", "Acknowledged"),
            _counter("queue_get_empty_total", "Gets from an empty queue"),
            _counter("queue_messages_published_total", "Arrived in the queue"),
        ),
        _deliveries,
    ),
    "stream_consumer_metrics": Family(
        (_gauge("stream_consumer_max_offset_lag", "How far the last consumer is behind"),),
        _streams,
    ),
    "queue_exchange_metrics": Family(
        (_counter("queue_exchange_messages_published_total", "From an exchange into a queue"),),
        _queue_exchange,
    ),
    "exchange_metrics": Family(
        (
            _counter("exchange_messages_published_total", "Published to the exchange"),
            _counter("exchange_messages_unroutable_returned_total", "Sent back"),
            _counter("exchange_messages_unroutable_dropped_total", "Lost for want of a queue"),
        ),
        _exchanges,
    ),
    "connection_coarse_metrics": Family(
        (
            _counter("connection_incoming_bytes_total", "Bytes received"),
            _counter("connection_outgoing_bytes_total", "Bytes sent"),
        ),
        _connections_coarse,
    ),
    "connection_metrics": Family(
        (
            _counter("connection_incoming_packets_total", "Reads from the socket"),
            _counter("connection_outgoing_packets_total", "Writes to the socket"),
            _gauge("connection_pending_packets", "Bytes that wait to be sent"),
            _gauge("connection_channels", "Channels"),
        ),
        _connections,
    ),
    "channel_metrics": Family(
        (
            _gauge("channel_consumers", "Consumers"),
            _gauge("channel_messages_unacked", "Messages not acknowledged yet"),
            _gauge("channel_messages_unconfirmed", "Publishes not confirmed yet"),
            _gauge("channel_messages_uncommitted", "Messages in a transaction"),
            _gauge("channel_acks_uncommitted", "Acknowledgements in a transaction"),
            _gauge("consumer_prefetch", "Limit for each consumer"),
            _gauge("channel_prefetch", "Limit for all consumers"),
        ),
        _channels,
    ),
    "channel_exchange_metrics": Family(
        (
            _counter("channel_messages_published_total", "Published"),
            _counter("channel_messages_confirmed_total", "Confirmed"),
            _counter("channel_messages_unroutable_returned_total", "Sent back"),
            _counter("channel_messages_unroutable_dropped_total", "Lost for want of a queue"),
        ),
        _channel_publishes,
    ),
    "channel_queue_metrics": Family(
        (
            _counter("channel_get_ack_total", "Got, to be acknowledged"),
            _counter("channel_get_total", "Got without acknowledgement"),
            _counter("channel_messages_delivered_ack_total", "Delivered, to be acknowledged"),
            _counter("channel_messages_delivered_total", "Delivered without acknowledgement"),
            _counter("channel_messages_redelivered_total", "Delivered or got again"),
            _counter("channel_messages_acked_total", "Acknowledged"),
            _counter("channel_get_empty_total", "Gets from an empty queue"),
        ),
        _channel_deliveries,
    ),
    "auth_attempt_metrics": Family(
        (
            _counter("auth_attempts_total", "Attempts to log in"),
            _counter("auth_attempts_succeeded_total", "Those that succeeded"),
            _counter("auth_attempts_failed_total", "Those that failed"),
        ),
        _logins,
    ),
    "auth_attempt_detailed_metrics": Family(
        (
            _counter("auth_attempts_detailed_total", "Attempts to log in, by source"),
            _counter("auth_attempts_detailed_succeeded_total", "Those that succeeded"),
            _counter("auth_attempts_detailed_failed_total", "Those that failed"),
        ),
        _logins_by_source,
    ),
    "vhost_status": Family((_gauge("vhost_status", "The vhost is up"),), _vhost_status, True),
    "exchange_bindings": Family(
        (_gauge("exchange_bindings", "Bindings of the exchange"),), _exchange_bindings, True
    ),
    "exchange_names": Family((_gauge("exchange_name", "The exchange"),), _exchange_names, True),
}
