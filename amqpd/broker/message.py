"""A message on its way through exchanges, for the types that look at more than its keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from amqpd.fields import Table
    from amqpd.properties import Properties


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
