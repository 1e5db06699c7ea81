"""Rates: `message_stats` and `*_details` from what was sampled, as RabbitMQ shows them.

    Shown(sampler, query).facts(key, columns, values, range)
                            {"publish": 5, "publish_details": {"rate": …}, …}
    LENGTHS, TRAFFIC, …     what is counted of a kind of thing, in this order

A query asks for samples with `msg_rates_age` and `msg_rates_incr` (seconds), likewise
`lengths_…`, `data_rates_…` and `node_stats_…`.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from amqpd.broker.sums import sums_of
from amqpd.management.errors import bad_request
from amqpd.management.sampling import Sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from amqpd.broker.counts import Counts
    from amqpd.broker.morgue import Morgue
    from amqpd.broker.sums import Sums
    from amqpd.broker.vhost import VHost
    from amqpd.management.listing import Facts
    from amqpd.management.sampling import Sampler, Series

#: Gauges of queues, and what else has them.
LENGTHS: Final = ("messages", "messages_ready", "messages_unacknowledged")
#: What happened to messages in queues and on channels.
TRAFFIC: Final = (
    "publish",
    "deliver",
    "deliver_no_ack",
    "deliver_get",
    "get",
    "get_no_ack",
    "get_empty",
    "redeliver",
    "ack",
)
#: What vhosts, channels and the broker count beside it.
PUBLISHING: Final = ("confirm", "return_unroutable", "drop_unroutable")
EXCHANGE: Final = ("publish_in", "publish_out")
DATA: Final = ("recv_oct", "send_oct")
CHURN: Final = (
    "connection_created",
    "connection_closed",
    "channel_created",
    "channel_closed",
    "queue_declared",
    "queue_created",
    "queue_deleted",
)
MAX_SAMPLES: Final = 500


class Range(NamedTuple):
    """Which samples are asked for."""

    age_s: int
    step_s: int


def asked(query: Mapping[str, str], prefix: str) -> Range | None:
    """The samples of one sort that a query asks for.

    Raises:
        HttpError: they are none.
    """
    if f"{prefix}_age" not in query or f"{prefix}_incr" not in query:
        return None
    try:
        found = Range(int(query[f"{prefix}_age"]), int(query[f"{prefix}_incr"]))
    except ValueError as error:
        raise bad_request(f"invalid range parameters: {prefix}") from error
    if found.age_s < 0 or found.step_s <= 0 or found.age_s // found.step_s > MAX_SAMPLES:
        raise bad_request(f"invalid range parameters: {prefix}")
    return found


def traffic(counts: Counts) -> tuple[int, ...]:
    """The counters of `TRAFFIC`."""
    return (
        counts.published,
        counts.delivered,
        counts.delivered_no_ack,
        counts.delivered + counts.delivered_no_ack + counts.got + counts.got_no_ack,
        counts.got,
        counts.got_no_ack,
        counts.got_nothing,
        counts.redelivered,
        counts.acked,
    )


def added(rows: Sequence[Sequence[int]], width: int) -> tuple[int, ...]:
    """The sum of some rows of counters."""
    if len(rows) == 1:
        return tuple(rows[0])
    return tuple(map(sum, zip(*rows, strict=True))) if rows else (0,) * width


def vhost_sums(vhost: VHost) -> Sums:
    """What the lanes of a vhost hold; costs a glance at each queue."""
    return sums_of([queue.lanes for queue in vhost.queues.values()])


def lengths_of(sums: Sums, morgues: Iterable[Morgue]) -> tuple[int, int, int]:
    """`LENGTHS` of queues, with the dead letters of theirs that wait."""
    kept = sum(one.messages for one in morgues)
    return sums.messages + kept, sums.ready, sums.unacked


def vhost_lengths(vhost: VHost) -> tuple[int, int, int]:
    """`LENGTHS` of a vhost; costs a glance at each queue."""
    return lengths_of(vhost_sums(vhost), vhost.publishing.morgues)


def vhost_traffic(vhost: VHost) -> tuple[int, ...]:
    """`TRAFFIC` and `PUBLISHING` of a vhost, with queues and exchanges that are gone."""
    stats = vhost.stats
    moved = added([traffic(counts) for counts in stats.totals.values()], len(TRAFFIC))
    published = stats.departed_messages + sum(
        one.tallies.messages for one in vhost.exchanges.values()
    )
    # What clients have published, and not what arrived in queues.
    return (published, *moved[1:], stats.confirmed, stats.returned, stats.dropped)


def details(
    columns: Sequence[str],
    values: Sequence[int],
    series: Series | None,
    first: int,
    samples: Sequence[Sample] | None,
) -> Facts:
    """Counters as they are now, each with its rate; `first` is their place in the series."""
    facts: Facts = {}
    rates = series.rates(first, len(values)) if series is not None else (0.0,) * len(values)
    for place, (name, value, rate) in enumerate(zip(columns, values, rates, strict=True), first):
        shown: Facts = {"rate": rate}
        if samples:
            shown["samples"] = [
                {"sample": one.values[place], "timestamp": one.at_ms} for one in samples
            ]
            shown.update(_averages(samples, place))
        facts[name] = value
        facts[_detailed(name)] = shown
    return facts


@cache
def _detailed(name: str) -> str:
    return f"{name}_details"


def _averages(samples: Sequence[Sample], place: int) -> Facts:
    newest, oldest = samples[0], samples[-1]
    passed_ms = newest.at_ms - oldest.at_ms
    grown = newest.values[place] - oldest.values[place]
    return {
        "avg": sum(one.values[place] for one in samples) / len(samples),
        "avg_rate": grown * 1000 / passed_ms if passed_ms else 0.0,
    }


class Shown:
    """How one request wants counters to be shown."""

    def __init__(self, sampler: Sampler, query: Mapping[str, str], now_ms: int) -> None:
        self._sampler = sampler
        self._now_ms = now_ms
        self.lengths = asked(query, "lengths")
        self.rates = asked(query, "msg_rates")
        self.data = asked(query, "data_rates")
        self.node = asked(query, "node_stats")
        #: `disable_stats`: nothing that was measured.
        self.stats = query.get("disable_stats", "").lower() not in ("true", "1")

    def of(self, found: Facts, measured: frozenset[str]) -> Facts:
        """The facts of a thing, without those that were measured if they are not wanted."""
        if self.stats:
            return found
        return {
            key: value
            for key, value in found.items()
            if key.removesuffix("_details") not in measured
        }

    @property
    def has_samples(self) -> bool:
        """Whether samples are asked for."""
        return any((self.lengths, self.rates, self.data, self.node))

    def rate(self, place: int, key: object) -> float:
        """How fast a counter of a thing grows; `place` is that in its series."""
        series = self._sampler.get(key)
        return 0.0 if series is None else series.rate(place)

    def facts(
        self,
        key: object,
        columns: Sequence[str],
        values: Sequence[int],
        samples: Range | None,
        first: int = 0,
    ) -> Facts:
        """Counters of a thing with their rates, and the samples that were asked for."""
        if samples is not None:
            self._sampler.want(key)
        series = self._sampler.get(key)
        chosen = series.sampled(*samples) if series is not None and samples is not None else None
        if samples is not None and not chosen:
            # Too new to have been looked at: clients that ask for samples take one for granted.
            chosen = [Sample(self._now_ms, (*(0,) * first, *values))]
        return details(columns, values, series, first, chosen)


#: For the documentation of the API: samples, and of lists whether anything measured is shown.
QUERY: Final = tuple(
    f"{prefix}_{what}"
    for prefix in ("lengths", "msg_rates", "data_rates", "node_stats")
    for what in ("age", "incr")
)
MEASURED: Final = (*QUERY, "disable_stats")
