"""x-lvc: a direct exchange that gives each new binding the last message of its key.

One message per routing key is kept, that with the newest value; durable ones of a durable
exchange beyond a restart. A binding that was not there before gets the one of its key, unless
it has expired. What has expired is forgotten when as many keys came in again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from amqpd.broker.names import join, split
from amqpd.broker.types.keeping import RememberingExchange

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from amqpd.broker.binding import Binding, Destination
    from amqpd.broker.definitions import PutExchange
    from amqpd.broker.message import Message
    from amqpd.broker.run import Append, Run
    from amqpd.broker.shelf import Kept
    from amqpd.fields import Table

#: Below so many keys nobody looks for expired ones.
FEW: Final = 1000


class LastValueExchange(RememberingExchange):
    """Direct, with the last value of each key."""

    kind = "x-lvc"

    def __init__(self, definition: PutExchange) -> None:
        super().__init__(definition)
        self._values: dict[str, Kept] = {}
        self._by_key: dict[str, dict[Binding, None]] = {}
        self._sweep_at = FEW

    def __len__(self) -> int:
        return len(self._values)

    def added(self, binding: Binding) -> None:
        self._by_key.setdefault(binding.routing_key, {})[binding] = None

    def removed(self, binding: Binding) -> None:
        bindings = self._by_key[binding.routing_key]
        del bindings[binding]
        if not bindings:
            del self._by_key[binding.routing_key]

    def match(self, keys: Sequence[str], headers: Table | None) -> list[Destination]:
        return [each.destination for key in keys for each in self._by_key.get(key, ())]

    def keep(self, message: Message, run: Run) -> Append | None:
        entry: Append | None = None
        exchange, routing_key = split(run.names)
        for key in message.keys:
            own = run.copy()
            if key != routing_key:
                own.names = join(exchange, key)
            kept, written = self.remember(own, self.expiry(message))
            entry = written or entry
            self._put(key, kept)
        if len(self._values) >= self._sweep_at:
            self._sweep()
        return entry

    def recall(self, kept: list[Kept]) -> None:
        newer, self._values = self._values, {}
        for one in kept:
            self._put(split(one.run.names)[1], one)
        for key, one in newer.items():
            self._put(key, one)

    def for_binding(self, binding: Binding) -> Iterable[Kept]:
        kept = self._values.get(binding.routing_key)
        return () if kept is None else (kept,)

    def _put(self, key: str, kept: Kept) -> None:
        old = self._values.get(key)
        if old is not None:
            self.forget(old)
        self._values[key] = kept

    def _sweep(self) -> None:
        now_ms = self.host.now_ms
        for key, kept in list(self._values.items()):
            if 0 < kept.deadline_ms <= now_ms:
                self.forget(kept)
                del self._values[key]
        self._sweep_at = max(FEW, 2 * len(self._values))
