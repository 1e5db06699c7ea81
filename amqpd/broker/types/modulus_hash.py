"""x-modulus-hash: messages are spread over the destinations by their routing key.

The destinations in the order of their names, and of these the one at hash modulo count; the
binding key means nothing. As long as nothing is bound or unbound, the same routing key leads
to the same destination, after a restart as well. When the count changes, most keys move:
consistent_hash.py does that better.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING

from amqpd.broker.exchange import Exchange
from amqpd.broker.types.hashing import hash_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from amqpd.broker.binding import Binding, Destination
    from amqpd.broker.definitions import PutExchange
    from amqpd.fields import Table


class ModulusHashExchange(Exchange):
    """One destination, by the hash of the routing keys."""

    kind = "x-modulus-hash"

    def __init__(self, definition: PutExchange) -> None:
        super().__init__(definition)
        #: Sorted, each once; and how many bindings each has.
        self._destinations: list[Destination] = []
        self._bound: dict[Destination, int] = {}

    def added(self, binding: Binding) -> None:
        to = binding.destination
        count = self._bound.get(to, 0)
        if not count:
            insort(self._destinations, to)
        self._bound[to] = count + 1

    def removed(self, binding: Binding) -> None:
        to = binding.destination
        self._bound[to] -= 1
        if not self._bound[to]:
            del self._bound[to], self._destinations[bisect_left(self._destinations, to)]

    def match(self, keys: Sequence[str], headers: Table | None) -> list[Destination]:
        if not self._destinations:
            return []
        return [self._destinations[hash_of(*keys) % len(self._destinations)]]
