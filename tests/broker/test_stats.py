"""What is counted of a vhost, and what is left when it goes."""

from __future__ import annotations

import pytest

from amqpd.broker.arguments import QueueType
from amqpd.broker.definitions import DeleteVhost, PutVhost
from amqpd.broker.stats import SIZES, VhostStats, total
from tests.broker.model import Model


@pytest.mark.parametrize(("size", "place"), [(0, 0), (100, 0), (101, 1), (10**9, len(SIZES))])
def test_messages_are_counted_by_their_size(size: int, place: int) -> None:
    stats = VhostStats()

    stats.published(1, size)

    assert stats.sizes.index(1) == place
    assert stats.size_bytes == size


def test_messages_that_come_together_count_by_their_average() -> None:
    stats = VhostStats()

    stats.published(3, 90 + 90 + 1000)

    assert stats.sizes[:2] == [0, 3]


def test_numbers_of_two_vhosts_add_up() -> None:
    one, other = VhostStats(), VhostStats()
    for stats, count in ((one, 1), (other, 2)):
        stats.confirmed = count
        stats.published(count, 10)
        stats.totals[QueueType.CLASSIC].acked = count

    one.add(other)

    assert (one.confirmed, one.size_bytes, one.sizes[0]) == (3, 20, 3)
    assert one.totals[QueueType.CLASSIC].acked == 3
    assert other.confirmed == 2


def test_what_a_vhost_has_counted_stays_when_it_goes() -> None:
    broker = Model().broker
    broker.change(PutVhost("v"))
    vhost = broker.vhosts["v"]
    vhost.exchanges["amq.fanout"].tallies.of(("q",)).add(4, 1)
    vhost.unroutable("amq.fanout", 5, mandatory=True)
    vhost.unroutable("a deleted one", 6, mandatory=False)
    before = total(broker.departed, broker.vhosts.values())

    broker.change(DeleteVhost("v"))
    after = total(broker.departed, broker.vhosts.values())

    for found in (before, after):
        assert (found.departed_messages, found.returned, found.dropped) == (4, 5, 6)
