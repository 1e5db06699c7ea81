"""Messages: as exchanges see them that look at more than keys, and as the broker makes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from amqpd.broker.content import build
from amqpd.broker.run import Run
from amqpd.properties import encode_header

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from amqpd.fields import Table
    from amqpd.properties import Properties


#: The channel number inside contents that the broker itself makes.
OWN_CHANNEL: Final = 1
PERSISTENT: Final = 2


@dataclass(frozen=True, slots=True)
class Message:
    """What is known of a message when it is routed.

    `keys` is the routing key and what CC and BCC add to it. `chance(n)` draws one of the
    numbers below `n`.
    """

    keys: Sequence[str]
    properties: Properties
    now_ms: int
    chance: Callable[[int], int]

    @property
    def headers(self) -> Table:
        """The headers; empty if there are none."""
        return self.properties.headers or {}


def a_run(names: bytes, properties: Properties, payload: bytes) -> Run:
    """A run of one message that the broker itself makes."""
    content = build(OWN_CHANNEL, encode_header(properties, len(payload)), payload)
    persistent = properties.delivery_mode == PERSISTENT
    return Run([content], names, None, persistent, OWN_CHANNEL, len(content))
