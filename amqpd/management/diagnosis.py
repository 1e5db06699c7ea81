"""Why is this queue not moving? The one reason that an operator can do something about."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from amqpd.broker.arguments import QueueType

if TYPE_CHECKING:
    from amqpd.broker.pause import Pause
    from amqpd.broker.queue import Queue
    from amqpd.broker.ring import Subscription
    from amqpd.broker.session import ConsumerFacts


def reason(queue: Queue) -> str:
    """In a sentence why messages wait; empty: none waits, or they are on their way out."""
    if queue.paused is not None:
        return _paused(queue.name, queue.paused)
    if queue.arguments.queue_type is QueueType.STREAM:
        return ""  # what is in it is there to stay
    if not queue.ready:
        return _in_hands(queue)
    if not queue.ring:
        return f"Nobody consumes: `amqpd consume {queue.name}` would."
    taking = [one for one in queue.ring if queue.ring.is_active(one)]
    slow = [one for one in taking if one.consumer.is_slow]
    full = [one for one in taking if _is_full(one.consumer.facts())]
    if len(full) == len(taking):
        return _at_limit(queue, full)
    if len(slow) + len(full) == len(taking):
        names = ", ".join(one.consumer.facts().connection_name for one in slow[:3])
        return (
            f"{_consumers(len(slow))} not read what was sent: "
            f"the clients or their networks are slow ({names})."
        )
    return ""


def _paused(name: str, pause: Pause) -> str:
    by = f" by '{pause.user}'" if pause.user else ""
    since = ""
    if pause.since_ms:
        moment = datetime.fromtimestamp(pause.since_ms / 1000, UTC)
        since = f" since {moment.isoformat(' ', 'seconds')}"
    return f"Paused{by}{since}: consumers get nothing until `amqpd queue resume {name}`."


def _is_full(facts: ConsumerFacts) -> bool:
    return 0 < facts.prefetch <= facts.unacked


def _in_hands(queue: Queue) -> str:
    if not queue.unacked:
        return ""
    return f"All {queue.unacked} messages are with consumers that have not acknowledged them."


def _at_limit(queue: Queue, full: list[Subscription]) -> str:
    unacked = sum(one.consumer.facts().unacked for one in full)
    return (
        f"{_consumers(len(full))} not acknowledge: they hold {unacked} messages, which is what "
        "their prefetch allows. Do they hang, or forget to acknowledge?"
    )


def _consumers(count: int) -> str:
    return "The only consumer does" if count == 1 else f"All {count} consumers do"
