"""What exchanges that remember messages have in common: a shelf, and its return after a start."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Final

from amqpd.broker.exchange import Exchange

if TYPE_CHECKING:
    from collections.abc import Iterable

    from amqpd.broker.binding import Binding
    from amqpd.broker.definitions import PutExchange
    from amqpd.broker.exchange import Host
    from amqpd.broker.message import Message
    from amqpd.broker.run import Append, Run
    from amqpd.broker.shelf import Kept, Shelf

#: So many messages come back from the store with one read.
READ_MESSAGES: Final = 1024


class KeepingExchange(Exchange):
    """An exchange that hears of each message."""

    uses_headers = True
    keeps = True

    host: Host

    def attach(self, host: Host) -> None:
        self.host = host

    def expiry(self, message: Message) -> int:
        """When a message that is published now expires, by its own property; 0 = never."""
        expiration = message.properties.expiration
        # A time to live of 0 is over at once; 0 itself would mean that there is none.
        return 0 if expiration is None else max(1, self.host.now_ms + int(expiration))


class RememberingExchange(KeepingExchange):
    """Keeps messages in memory, and on a shelf for after a start.

    What is durable comes back after a start when the store has read it; new bindings get
    theirs then.
    """

    def __init__(self, definition: PutExchange) -> None:
        super().__init__(definition)
        self.is_loading = False
        self._shelf: Shelf | None = None
        self._loaded: list[Kept] = []
        self._bound_meanwhile: list[Binding] = []

    # -- what a type adds ----------------------------------------------------------------

    @abstractmethod
    def recall(self, kept: list[Kept]) -> None:
        """What was kept before the start, oldest first; newer ones may be known already."""

    @abstractmethod
    def for_binding(self, binding: Binding) -> Iterable[Kept]:
        """What a new binding gets, in order; what has expired is left out by the caller."""

    # -- what a type uses ----------------------------------------------------------------

    def remember(self, run: Run, deadline_ms: int = 0) -> tuple[Kept, Append | None]:
        """Keep a run of one that is in no queue."""
        shelf = self._shelf
        if shelf is None:
            shelf = self._shelf = self.host.shelf(self, "kept")
        return shelf.put(run, shelf.next_position, deadline_ms)

    def forget(self, kept: Kept) -> None:
        """Keep a message no longer."""
        assert self._shelf is not None
        self._shelf.remove(kept)

    # -- what the vhost says -------------------------------------------------------------

    def bound(self, binding: Binding) -> None:
        if self.is_loading:
            self._bound_meanwhile.append(binding)
            return
        now_ms = self.host.now_ms
        for kept in self.for_binding(binding):
            if not 0 < kept.deadline_ms <= now_ms:
                self.host.hand_over(binding.destination, kept)

    def take_over(self, shelf: Shelf) -> None:
        self._shelf = shelf
        if shelf.stored:
            self.is_loading = True
            self._load(0, shelf.next_position)

    def _load(self, low: int, high: int) -> None:
        def arrived(kept: list[Kept], upto: int) -> None:
            self._loaded += kept
            if upto < high:
                self._load(upto, high)
            else:
                self._recall()

        assert self._shelf is not None
        self._shelf.read(low, high, READ_MESSAGES, arrived)

    def _recall(self) -> None:
        loaded, self._loaded = self._loaded, []
        bound, self._bound_meanwhile = self._bound_meanwhile, []
        self.is_loading = False
        self.recall(loaded)
        for binding in bound:
            if binding in self.bindings:
                self.bound(binding)
