"""Pause: an operator holds the consumers of a queue back.

    Pause(user, since_ms)           as the queue knows it
    pausing(vhost, queue, pause)    the command that pauses it
    resuming(queue)                 the command that lets it go on

A paused queue takes what is published and answers basic.get; its consumers stay and get nothing.
It is a runtime parameter under the queue's name, so it survives a restart; the parameter goes
with the queue.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from amqpd.broker.definitions import DeleteParameter, PutParameter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amqpd.broker.queue import Queue

#: The component of the parameters.
PAUSED: Final = "paused-queue"


@dataclass(frozen=True, slots=True)
class Pause:
    """Who paused a queue, and when on the broker's clock."""

    user: str = ""
    since_ms: int = 0

    @classmethod
    def parse(cls, value: Mapping[str, object]) -> Pause:
        """What a parameter says; what it leaves open is not known."""
        user, since_ms = value.get("user"), value.get("since_ms")
        return cls(
            user if isinstance(user, str) else "",
            since_ms if isinstance(since_ms, int) and since_ms >= 0 else 0,
        )


def pausing(vhost: str, queue: str, pause: Pause) -> PutParameter:
    """The command that pauses a queue, or one that is to come under that name."""
    return PutParameter(PAUSED, vhost, queue, json.dumps(asdict(pause)))


def resuming(queue: Queue) -> DeleteParameter:
    """The command that lets it go on."""
    return DeleteParameter(PAUSED, queue.vhost, queue.name)
