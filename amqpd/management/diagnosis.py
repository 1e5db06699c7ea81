"""Why is this queue not moving? The one reason that an operator can do something about."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from amqpd.broker.arguments import QueueType

if TYPE_CHECKING:
    from amqpd.broker.broker import Alarms
    from amqpd.broker.pause import Pause
    from amqpd.broker.queue import Queue
    from amqpd.broker.ring import Subscription
    from amqpd.broker.session import ConsumerFacts


#: So long a consumer may have a message before anybody wonders.
AT_WORK_MS: Final = 5000
#: Clients that are named; the list of consumers has all of them.
NAMED: Final = 3


def why(queue: Queue, alarms: Alarms, now_ms: int) -> str:
    """All that a page or a person is told: why nothing comes in, then why what is there waits.

    What consumers have had for a moment only is on its way, and nothing to speak of.
    """
    waits = "" if _is_moving(queue, now_ms) else reason(queue)
    return " ".join(filter(None, (_blocked(alarms), waits)))


def _is_moving(queue: Queue, now_ms: int) -> bool:
    """All that there is is with consumers, and none of it for long."""
    if queue.ready or queue.paused is not None or not queue.unacked:
        return False
    held = [one.consumer.facts().oldest_unacked_ms for one in queue.ring]
    return any(held) and now_ms - min(filter(None, held)) < AT_WORK_MS


def _blocked(alarms: Alarms) -> str:
    short = [one for one in ("memory", "disk") if getattr(alarms, one)]
    if not short:
        return ""
    return (
        f"Nothing new comes in: the broker is low {' and '.join(f'on {one}' for one in short)}, "
        "and takes no messages from publishers."
    )


def reason(queue: Queue) -> str:
    """In a sentence why messages wait; empty: none waits, or they are on their way out."""
    if queue.paused is not None:
        return _paused(_words(queue), queue.paused)
    if queue.arguments.queue_type is QueueType.STREAM:
        return ""  # what is in it is there to stay
    return " ".join(filter(None, (_full(queue), _waiting(queue))))


def _full(queue: Queue) -> str:
    """That nothing more gets in, which publishers notice before anybody else does."""
    length = queue.length
    if not length.is_full or not (length.refuses or length.blocks):
        return ""
    held = f"{queue.waiting} messages of {queue.waiting_bytes} bytes"
    end = "what is published is refused" if length.refuses else "publishers wait"
    return f"Full with {held}: {end} until consumers make room."


def _waiting(queue: Queue) -> str:
    if not queue.ready:
        return _in_hands(queue) or _in_retry(queue)
    if not queue.ring:
        return f"Nobody consumes: `amqpd consume {_words(queue)}` would."
    taking = [one for one in queue.ring if queue.ring.is_active(one)]
    slow = [one for one in taking if one.consumer.is_slow]
    full = [one for one in taking if _is_full(one.consumer.facts())]
    if len(full) == len(taking):
        return _at_limit(queue, full)
    if len(slow) + len(full) == len(taking):
        names = _names(slow)
        return (
            f"{_consumers(len(slow))} not read what was sent: "
            f"the clients or their networks are slow ({names})."
        )
    return ""


def _words(queue: Queue) -> str:
    """What names a queue on the command line; a shell takes no part of it for its own."""
    words = shlex.quote(queue.name)
    return words if queue.vhost == "/" else f"{words} -p {shlex.quote(queue.vhost)}"


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
    if queue.unacked == 1:
        return "Its only message is with a consumer that has not acknowledged it."
    return f"All {queue.unacked} messages are with consumers that have not acknowledged them."


def _in_retry(queue: Queue) -> str:
    if not queue.delayed:
        return ""
    they = "Its only message waits" if queue.delayed == 1 else f"All {queue.delayed} messages wait"
    return f"{they} for the next attempt: consumers gave back what they could not process."


def _at_limit(queue: Queue, full: list[Subscription]) -> str:
    unacked = sum(one.consumer.facts().unacked for one in full)
    they = "it holds" if len(full) == 1 else "they hold"
    which = "its prefetch allows" if len(full) == 1 else "their prefetch allows"
    hang = "Does it hang, or forget" if len(full) == 1 else "Do they hang, or forget"
    return (
        f"{_consumers(len(full))} not acknowledge: {they} {unacked} messages, which is what "
        f"{which} ({_names(full)}). {hang} to acknowledge?"
    )


def _names(several: list[Subscription]) -> str:
    """Of whom they are, three at most."""
    told = [one.consumer.facts() for one in several]
    names = list(
        dict.fromkeys(
            f"'{one.given_name}', {one.connection_name}" if one.given_name else one.connection_name
            for one in told
        )
    )
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{'; '.join(names[:NAMED])}{more}"


def _consumers(count: int) -> str:
    return "The only consumer does" if count == 1 else f"All {count} consumers do"
