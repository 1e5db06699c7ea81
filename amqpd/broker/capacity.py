"""Capacity: whether a vhost, or the whole broker, takes one more queue or exchange.

One for all vhosts of a broker. Where no limit is set nobody counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from amqpd.broker.limits import VhostLimits
from amqpd.broker.text import resource
from amqpd.errors import PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amqpd.broker.limits import Limits
    from amqpd.broker.presence import Presence
    from amqpd.broker.vhost import VHost


@dataclass(frozen=True, slots=True)
class Capacity:
    """What there is, and how much there may be."""

    limits: Limits
    presence: Presence
    vhosts: Mapping[str, VHost]

    def check_queue(self, vhost: VHost, name: str) -> None:
        """See whether the queue may be made.

        Raises:
            PreconditionFailed: the vhost or the broker has as many as it may have.
        """
        limit = self.presence.vhost_limits.get(vhost.name, VhostLimits()).max_queues
        if limit is not None and len(vhost.queues) >= limit:
            raise PreconditionFailed(
                f"cannot declare queue '{name}': "
                f"queue limit in vhost '{vhost.name}' ({limit}) is reached"
            )
        limit = self.limits.max_queues
        if limit is not None and sum(len(each.queues) for each in self.vhosts.values()) >= limit:
            raise PreconditionFailed(
                f"cannot declare queue '{name}': queue limit in cluster ({limit}) is reached"
            )

    def check_exchange(self, vhost: VHost, name: str) -> None:
        """See whether the exchange may be made.

        Raises:
            PreconditionFailed: the broker has as many as it may have.
        """
        limit = self.limits.max_exchanges
        if limit is not None and sum(len(each.exchanges) for each in self.vhosts.values()) >= limit:
            where = resource("exchange", name, vhost.name)
            raise PreconditionFailed(
                f"cannot declare {where}: exchange limit of {limit} is reached"
            )
