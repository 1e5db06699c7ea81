"""x-random and x-local-random: each message goes along one binding, by chance.

The chance comes from outside with each message (`Message.chance`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpd.broker.arguments import QueueType
from amqpd.broker.exchange import Exchange
from amqpd.errors import PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from amqpd.broker.binding import Binding, Destination
    from amqpd.broker.definitions import PutExchange
    from amqpd.broker.exchange import Host
    from amqpd.broker.limits import Limits
    from amqpd.broker.message import Message
    from amqpd.fields import Table


class RandomExchange(Exchange):
    """One of the bindings; their keys mean nothing."""

    kind = "x-random"
    uses_headers = True

    def match(self, keys: Sequence[str], headers: Table | None) -> list[Destination]:
        """All that a message may go to."""
        return [each.destination for each in self.bindings]

    def match_message(self, message: Message) -> list[Destination]:
        found = self.match(message.keys, None)
        return [found[message.chance(len(found))]] if len(found) > 1 else found


class LocalRandomExchange(RandomExchange):
    """The same for classic queues whose home is this node, as it is for all of ours."""

    kind = "x-local-random"

    def __init__(self, definition: PutExchange) -> None:
        super().__init__(definition)
        self._host: Host | None = None

    def attach(self, host: Host) -> None:
        self._host = host

    def validate(self, binding: Binding, limits: Limits) -> None:
        """Refuses a binding key, and anything but a classic queue."""
        if binding.routing_key:
            raise PreconditionFailed(f"Non empty binding '{binding.routing_key}' key not permitted")
        kind, name = binding.destination
        found = None
        if kind == "queue" and self._host is not None:
            found = self._host.queue_type(name)
        if found is None:
            raise PreconditionFailed("Destination not found")
        if found is not QueueType.CLASSIC:
            raise PreconditionFailed(
                f"Queue type rabbit_{found.value}_queue not valid for this exchange type"
            )
