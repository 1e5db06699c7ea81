"""x-recent-history: a fanout whose last messages each new binding gets again.

The last `x-recent-history-length` messages (20 unless set) are kept, durable ones of a durable
exchange beyond a restart. A binding that was not there before gets them, oldest first, before
anything that is published after it. The header `x-recent-history-no-store` with the value
true keeps a message out; one that has expired meanwhile is left out.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from amqpd.broker.text import erlang, term
from amqpd.broker.types.keeping import RememberingExchange
from amqpd.errors import PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from amqpd.broker.binding import Binding, Destination
    from amqpd.broker.definitions import PutExchange
    from amqpd.broker.message import Message
    from amqpd.broker.run import Append, Run
    from amqpd.broker.shelf import Kept
    from amqpd.fields import Table

LENGTH: Final = "x-recent-history-length"
NO_STORE: Final = "x-recent-history-no-store"
DEFAULT_LENGTH: Final = 20
_INTEGERS: Final = frozenset("bBsuIil")


class RecentHistoryExchange(RememberingExchange):
    """Fanout with a memory."""

    kind = "x-recent-history"

    def __init__(self, definition: PutExchange) -> None:
        super().__init__(definition)
        self.length = _length(definition.arguments)
        self._history: deque[Kept] = deque()

    def match(self, keys: Sequence[str], headers: Table | None) -> list[Destination]:
        return [each.destination for each in self.bindings]

    def keep(self, message: Message, run: Run) -> Append | None:
        no_store = message.headers.get(NO_STORE)
        if no_store is not None and no_store.kind == "t" and no_store.value:
            return None
        kept, entry = self.remember(run.copy(), self.expiry(message))
        self._history.append(kept)
        self._trim()
        return entry

    def recall(self, kept: list[Kept]) -> None:
        self._history.extendleft(reversed(kept))
        self._trim()

    def for_binding(self, binding: Binding) -> Iterable[Kept]:
        return list(self._history)

    def _trim(self) -> None:
        while len(self._history) > self.length and not self.is_loading:
            self.forget(self._history.popleft())


def _length(arguments: Table) -> int:
    """How many messages are kept.

    Raises:
        PreconditionFailed: the argument is not a positive integer.
    """
    length = arguments.get(LENGTH)
    if length is None:
        return DEFAULT_LENGTH
    value = length.value
    if length.kind not in _INTEGERS or not isinstance(value, int) or value < 1:
        shown = erlang(value) if isinstance(value, str) else term(value)
        raise PreconditionFailed(f"Invalid argument {shown}, '{LENGTH}' must be a positive integer")
    return value
