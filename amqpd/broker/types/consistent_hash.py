"""x-consistent-hash: messages are spread over the destinations by a hash, in given shares.

The binding key is the destination's weight, 1 to 10000. What is hashed is the routing key,
or with `hash-header` a header, or with `hash-property` a property. The same value leads to
the same destination; when a destination comes or goes, only its own share of the values
moves, and nothing depends on the order of bindings or survives only in memory.

How: each destination draws a number from the hash of the value and its own name, weighted,
and the highest wins (weighted rendezvous hashing, Schindelhauer and Schomaker 2005). That
costs a few hundred nanoseconds per destination, has no ring to keep, and hits the shares
exactly where a ring with few points would be off by tens of per cent.
"""

from __future__ import annotations

from collections import OrderedDict
from math import log
from typing import TYPE_CHECKING, Final

from amqpd.broker.exchange import Exchange
from amqpd.broker.text import erlang, term
from amqpd.broker.types.hashing import hash_of
from amqpd.errors import PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from amqpd.broker.binding import Binding, Destination
    from amqpd.broker.definitions import PutExchange
    from amqpd.broker.limits import Limits
    from amqpd.broker.message import Message
    from amqpd.fields import FieldValue, Table

MAX_WEIGHT: Final = 10_000
#: Arguments of the exchange; the second is LavinMQ's name for the first.
HASH_HEADER: Final = "hash-header"
HASH_ON: Final = "x-hash-on"
HASH_PROPERTY: Final = "hash-property"
PROPERTIES: Final = ("correlation_id", "message_id", "timestamp")

_BITS: Final = (1 << 64) - 1
_SCALE: Final = 2.0**-53


class ConsistentHashExchange(Exchange):
    """One destination, by a hash and the weights."""

    kind = "x-consistent-hash"

    def __init__(self, definition: PutExchange) -> None:
        super().__init__(definition)
        self._header, self._property = _hashed(definition.arguments)
        self.uses_headers = self._header is not None or self._property is not None
        #: Seed and weight of each destination, by the first of its bindings that is left.
        self._shares: dict[Destination, tuple[int, int]] = {}
        self._bound: dict[Destination, OrderedDict[Binding, None]] = {}

    def validate(self, binding: Binding, limits: Limits) -> None:
        """Refuses a binding key that is no weight."""
        key = binding.routing_key
        digits = key[1:] if key[:1] in ("+", "-") else key
        if not (digits.isascii() and digits.isdigit()):
            raise PreconditionFailed(f"The binding key must be an integer: {erlang(key)}")
        if key[0] == "-" or not digits.strip("0"):
            raise PreconditionFailed("The binding key must be greater than 0")
        if len(digits.lstrip("0")) > len(str(MAX_WEIGHT)) or int(digits) > MAX_WEIGHT:
            raise PreconditionFailed(f"The binding key must not exceed {MAX_WEIGHT}")

    def added(self, binding: Binding) -> None:
        # One binding per destination counts: the weight of a queue is not changed by the way.
        to = binding.destination
        if to not in self._bound:
            self._bound[to] = OrderedDict()
            self._shares[to] = hash_of(*to), int(binding.routing_key)
        self._bound[to][binding] = None

    def removed(self, binding: Binding) -> None:
        to = binding.destination
        bound = self._bound[to]
        del bound[binding]
        if bound:
            self._shares[to] = self._shares[to][0], int(next(iter(bound)).routing_key)
        else:
            del self._bound[to], self._shares[to]

    def match(self, keys: Sequence[str], headers: Table | None) -> list[Destination]:
        return self._choose(keys[0])

    def match_message(self, message: Message) -> list[Destination]:
        if self._header is not None:
            found = message.headers.get(self._header)
            return self._choose("" if found is None else _text(found.value))
        if self._property is not None:
            value = getattr(message.properties, self._property)
            return self._choose("" if value is None else str(value))
        return self._choose(message.keys[0])

    def _choose(self, value: str) -> list[Destination]:
        shares = self._shares
        if len(shares) < 2:
            return list(shares)
        mixed = hash_of(value)
        return [min(shares, key=lambda each: _draw(mixed, *shares[each]))]


def _hashed(arguments: Table) -> tuple[str | None, str | None]:
    """The header and the property that are hashed instead of the routing key, if one is."""
    header = arguments.get(HASH_HEADER) or arguments.get(HASH_ON)
    prop = arguments.get(HASH_PROPERTY)
    if header is not None and prop is not None:
        raise PreconditionFailed("hash-header and hash-property are mutually exclusive")
    if prop is not None and prop.value not in PROPERTIES:
        raise PreconditionFailed(f"Unsupported property: {term(prop.value)}")
    return (
        None if header is None else _text(header.value),
        None if prop is None else _text(prop.value),
    )


def _text(value: FieldValue) -> str:
    """A value as a text to hash: a number hashes as its digits do."""
    return value if isinstance(value, str) else term(value)


def _draw(mixed: int, seed: int, weight: int) -> float:
    """The destination's draw for a value: exponential with its weight, so the least wins."""
    # The finalizer of splitmix64: two hashes become one as good as new.
    x = (mixed ^ seed) & _BITS
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _BITS
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _BITS
    x ^= x >> 31
    return -log(((x >> 11) + 1) * _SCALE) / weight
