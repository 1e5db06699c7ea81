"""Metrics as Prometheus reads them, under RabbitMQ's names so that its dashboards light up.

    aggregated(host)            `/metrics`: sums over all queues, channels and connections
    per_object(host)            `/metrics/per-object`: one sample for each of them
    detailed(host, query)       `/metrics/detailed?family=…&vhost=…&queue=…`: what is asked for

What RabbitMQ has no name for begins with `amqpd_`. All of it is written in slices. Counters of
the whole broker never go back when a connection, a queue or a vhost goes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from amqpd.broker.pattern import compile_pattern
from amqpd.broker.stats import total
from amqpd.errors import PreconditionFailed
from amqpd.management.errors import bad_request
from amqpd.management.exposition import Metric, labels, summed, write
from amqpd.management.families import (
    FAMILIES,
    QUEUE_TYPES,
    SIZES_OF_QUEUES,
    Family,
    Filter,
    Together,
    queues_of,
    queues_together,
)
from amqpd.management.listing import Slices
from amqpd.management.whole import PREFIX, counted, exposition, identity, section, since_start

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence

    from amqpd.broker.broker import Broker
    from amqpd.broker.pattern import Pattern
    from amqpd.management.exposition import Row
    from amqpd.management.host import Host

DETAILED: Final = "rabbitmq_detailed_"
CLUSTER: Final = "rabbitmq_cluster_"
#: What is written at a time, at least.
PIECE_BYTES: Final = 65_536

#: Families of which the sums are shown where nobody asks for single objects.
SUMMED: Final = (
    "queue_coarse_metrics",
    "queue_metrics",
    "queue_delivery_metrics",
    "exchange_metrics",
    "connection_coarse_metrics",
    "connection_metrics",
    "channel_metrics",
    "channel_exchange_metrics",
    "channel_queue_metrics",
    "auth_attempt_metrics",
)
#: Those with a row for each protocol, as in RabbitMQ.
BY_PROTOCOL: Final = frozenset({"auth_attempt_metrics"})


# -- the endpoints -----------------------------------------------------------------------


async def aggregated(host: Host) -> AsyncGenerator[bytes, None]:
    """The text of `/metrics`."""
    slices, broker = Slices(), host.broker
    found = total(broker.departed, broker.vhosts.values())
    together = await _together(broker, slices)
    yield _encoded([*exposition(host.figures(), "aggregated"), *counted(found, together)])
    known = {**since_start(broker, found), **queues_together(broker)}
    present = together.rows()
    for name in SUMMED:
        family = FAMILIES[name]
        metrics = SIZES_OF_QUEUES if name == "queue_metrics" else family.metrics
        rows = [one[name] for one in (known, present) if name in one]
        if name in BY_PROTOCOL:
            rows = await _rows(broker, family, Filter(), slices)
        else:
            rows = [summed(rows, len(metrics))]
        yield _encoded(write(PREFIX, metrics, rows))


async def per_object(host: Host) -> AsyncGenerator[bytes, None]:
    """The text of `/metrics/per-object`."""
    slices, broker = Slices(), host.broker
    found = total(broker.departed, broker.vhosts.values())
    together = await _together(broker, slices)
    yield _encoded([*exposition(host.figures(), "per-object"), *counted(found, together)])
    for name, family in FAMILIES.items():
        # The smaller family is part of the larger.
        if not family.of_cluster and name != "queue_consumer_count":
            rows = await _rows(broker, family, Filter(), slices)
            async for piece in _pieces(write(PREFIX, family.metrics, rows), slices):
                yield piece
    rows = await _rows(broker, _INFO, Filter(), slices)
    async for piece in _pieces(write(PREFIX, _INFO.metrics, rows), slices):
        yield piece
    async for piece in _pieces(_faulted(broker, Filter()), slices):
        yield piece


async def detailed(
    host: Host, families: Sequence[str], vhosts: Sequence[str], queue: str
) -> AsyncGenerator[bytes, None]:
    """The text of `/metrics/detailed`, which has what is asked for and no more."""
    broker, slices = host.broker, Slices()
    wanted = Filter(frozenset(vhosts) if vhosts else None, _pattern(queue))
    figures, found = host.figures(), total(broker.departed, broker.vhosts.values())
    yield _encoded(identity(figures, "detailed"))
    for name in dict.fromkeys(families):
        for metric, value in section(name, figures, found):
            yield _encoded(write(DETAILED, (metric,), [("", (value,))]))
        family = FAMILIES.get(name)
        if family is None or (name == "queue_consumer_count" and "queue_metrics" in families):
            continue
        rows = await _rows(broker, family, wanted, slices)
        prefix = CLUSTER if family.of_cluster else DETAILED
        async for piece in _pieces(write(prefix, family.metrics, rows), slices):
            yield piece
    if any(name.startswith("queue_") for name in families):
        rows = await _rows(broker, _INFO, wanted, slices)
        async for piece in _pieces(write(DETAILED, _INFO.metrics, rows), slices):
            yield piece
        async for piece in _pieces(_faulted(broker, wanted), slices):
            yield piece


def check_detailed(queue: str) -> None:
    """See whether the filter of `/metrics/detailed` is one.

    Raises:
        HttpError: it is not.
    """
    try:
        _pattern(queue)
    except PreconditionFailed as error:
        raise bad_request(f"Invalid 'queue' regex: {error.explanation}") from error


def _pattern(queue: str) -> Pattern | None:
    return compile_pattern(queue) if queue else None


#: Parts of memory: the metric, what it is, and the part.
MEMORY: Final = (
    (
        "memory_code_module_bytes",
        "Pages of files: interpreter and libraries",
        "code",
    ),
    (
        "memory_client_connection_writer_bytes",
        "What waits for clients that read slowly",
        "connection_writers",
    ),
    ("memory_modern_metadata_store_bytes", "What SQLite has taken", "metadata_store"),
    ("memory_binary_heap_bytes", "Contents of messages", "binary"),
    ("memory_other_system_bytes", "Everything else", "other_system"),
)


async def memory_breakdown(host: Host) -> AsyncGenerator[bytes, None]:
    """The text of `/metrics/memory-breakdown`."""
    now = host.figures()
    parts = host.memory()
    metrics = [Metric(name, "gauge", about) for name, about, _ in MEMORY]
    row: Row = ("", tuple(parts[kind] for _, _, kind in MEMORY))
    yield _encoded([*identity(now, "memory-breakdown"), *write(PREFIX, metrics, [row])])


# -- pieces ------------------------------------------------------------------------------


def _encoded(lines: Iterable[str]) -> bytes:
    return "".join(lines).encode(errors="replace")


async def _together(broker: Broker, slices: Slices) -> Together:
    found = Together()
    for guest in broker.presence.guests():
        found.add(guest)
        await slices.pause()
    return found


async def _rows(broker: Broker, family: Family, wanted: Filter, slices: Slices) -> list[Row]:
    rows = []
    for place, row in enumerate(family.rows(broker, wanted)):
        rows.append(row)
        if place % 32 == 0:
            await slices.pause()
    return rows


async def _pieces(texts: Iterator[str], slices: Slices) -> AsyncGenerator[bytes, None]:
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= PIECE_BYTES:
            yield _encoded(batch)
            batch, size = [], 0
        await slices.pause()
    yield _encoded(batch)


def _faulted(broker: Broker, wanted: Filter) -> Iterator[str]:
    """The queues that cannot be read at the moment, if there are any."""
    rows = [
        (labels(vhost=queue.vhost, queue=queue.name), (1,))
        for queue in (queues_of(broker, wanted) if broker.around.unreadable else ())
        if queue.is_faulted
    ]
    yield from write("amqpd_", (Metric("queue_faulted", "gauge", "It cannot be read"),), rows)


def _queue_info(broker: Broker, wanted: Filter) -> Iterator[Row]:
    for queue in queues_of(broker, wanted):
        label = labels(
            vhost=queue.vhost,
            queue=queue.name,
            queue_type=QUEUE_TYPES[queue.own.queue_type],
            membership="leader",
        )
        yield label, (1,)


#: What is told of queues beside the families.
_INFO: Final = Family((Metric("queue_info", "gauge", "What kind of queue it is"),), _queue_info)
