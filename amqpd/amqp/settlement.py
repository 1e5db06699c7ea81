"""Settlement: what a client does with what it was delivered, few at once or very many.

Few are settled where they are heard of. A million at once would hold everybody up: those are
taken off the channel and worked off in the next turns, in their order (`broker.returning`).
"""

from __future__ import annotations

import enum
from functools import partial
from typing import TYPE_CHECKING, Final

from amqpd.broker.returning import AT_ONCE, AT_ONCE_EACH, Returning, queues_of

if TYPE_CHECKING:
    from amqpd.amqp.channel import Channel
    from amqpd.broker.delivery import Leaving

#: Tags count up from 1; the compiled model keeps them in signed 64 bits.
MAX_TAG: Final = (1 << 63) - 1


class Settlement(enum.Enum):
    """What becomes of a delivery."""

    ACK = enum.auto()
    REQUEUE = enum.auto()  # it comes again, and its attempts are not limited
    REQUEUE_FAILED = enum.auto()  # it comes again, unless it has failed too often
    DISCARD = enum.auto()


def is_much(channel: Channel, how: Settlement, last_tag: int) -> bool:
    """Whether settling all up to a tag (0 = all) may be too much for one turn."""
    ranges, messages = channel.unacked.reach(last_tag)
    if messages <= AT_ONCE_EACH:
        return False
    if how is Settlement.DISCARD or ranges > AT_ONCE:
        return True
    return how is not Settlement.ACK and any(
        queue.looks_at_returns for queue in queues_of(channel.unacked.lanes)
    )


def settle_much(channel: Channel, how: Settlement, last_tag: int) -> None:
    """Settle all up to a tag (0 = all) in the next turns.

    Raises:
        UnknownTag: it is not outstanding.
    """
    give_back(channel, how, channel.unacked.detach(last_tag))


def give_back(channel: Channel, how: Settlement, leaving: Leaving) -> None:
    """Settle what has left the channel already, in the next turns."""
    channel.broker.work_off(
        Returning(
            leaving,
            partial(channel.settle, how),
            channel.broker.around,
            each=how is Settlement.DISCARD,
            holds=how in (Settlement.REQUEUE, Settlement.REQUEUE_FAILED),
        )
    )


def requeue_all(channel: Channel, how: Settlement) -> None:
    """Put everything unacked back into its queues."""
    if is_much(channel, how, 0):
        settle_much(channel, how, 0)
    else:
        channel.settle(how, channel.unacked.take_all())
