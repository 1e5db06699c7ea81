"""x-message-deduplication: a fanout that lets each value of a header pass once.

The value of the header `x-deduplication-header` is the key; a message without it always
passes. A key that is known is not routed again: its message is confirmed and gone. The
exchange knows the last `x-cache-size` keys, each for `x-cache-ttl` milliseconds (a header of
that name in the message wins; without either, until it is pushed out). A message that a queue
refuses leaves no key behind, so that the publisher can try again.

Keys of a durable exchange are on disk with the message they came with, unless
`x-cache-persistence` is `memory`. After a start they are known when the store has read them,
which takes milliseconds for some thousand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from amqpd.broker.binding import comparable
from amqpd.broker.content import build
from amqpd.broker.run import Run
from amqpd.broker.types.keeping import RememberingExchange
from amqpd.errors import PreconditionFailed
from amqpd.properties import Properties, encode_header

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from amqpd.broker.binding import Binding, Comparable, Destination
    from amqpd.broker.definitions import PutExchange
    from amqpd.broker.message import Message
    from amqpd.broker.run import Append
    from amqpd.broker.shelf import Kept
    from amqpd.fields import Field, Table

KEY: Final = "x-deduplication-header"
SIZE: Final = "x-cache-size"
TTL: Final = "x-cache-ttl"
PERSISTENCE: Final = "x-cache-persistence"

_PERSISTENT: Final = 2
_NO_NAMES: Final = b"\0\0"


class DeduplicationExchange(RememberingExchange):
    """Fanout that knows what it has seen."""

    kind = "x-message-deduplication"

    def __init__(self, definition: PutExchange) -> None:
        super().__init__(definition)
        arguments = definition.arguments
        size = _positive(arguments.get(SIZE))
        if size is None:
            raise PreconditionFailed(
                f"Missing or invalid argument, '{SIZE}' must be an integer greater than 0"
            )
        self.cache_size = size
        self.cache_ttl_ms = _positive(arguments.get(TTL))
        if self.cache_ttl_ms is None and TTL in arguments:
            raise PreconditionFailed(f"Invalid argument, '{TTL}' must be an integer greater than 0")
        self.on_disk = definition.durable and _is_on_disk(arguments.get(PERSISTENCE))
        #: Messages that were not routed because their key was known.
        self.duplicates = 0
        self._seen: dict[Comparable, Kept] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def match(self, keys: Sequence[str], headers: Table | None) -> list[Destination]:
        return [each.destination for each in self.bindings]

    def match_message(self, message: Message) -> list[Destination] | None:
        key = message.headers.get(KEY)
        if key is not None and self._knows(comparable(key), message.now_ms):
            return None
        return self.match(message.keys, None)

    def keep(self, message: Message, run: Run) -> Append | None:
        key = message.headers.get(KEY)
        if key is None:
            return None
        now_ms = self.host.now_ms
        if self._knows(comparable(key), now_ms):
            self.duplicates += 1
            return None
        ttl_ms = _positive(message.headers.get(TTL)) or self.cache_ttl_ms
        deadline_ms = 0 if ttl_ms is None else now_ms + ttl_ms
        kept, _ = self.remember(_reminder(key, self.on_disk), deadline_ms)
        self._put(comparable(key), kept)
        self._trim()
        return None  # on disk with the message itself, or for nobody's sake

    def recall(self, kept: list[Kept]) -> None:
        newer, self._seen = self._seen, {}
        for one in kept:
            headers = one.properties.headers or {}
            self._put(comparable(headers[KEY]), one)
        for key, one in newer.items():
            self._put(key, one)
        self._trim()

    def for_binding(self, binding: Binding) -> Iterable[Kept]:
        return ()

    def _knows(self, key: Comparable, now_ms: int) -> bool:
        kept = self._seen.get(key)
        return kept is not None and not 0 < kept.deadline_ms <= now_ms

    def _put(self, key: Comparable, kept: Kept) -> None:
        old = self._seen.pop(key, None)
        if old is not None:
            self.forget(old)
        self._seen[key] = kept

    def _trim(self) -> None:
        """Oldest first: those beyond the size, and those at that end that are over anyway."""
        now_ms = self.host.now_ms
        while self._seen:
            key, kept = next(iter(self._seen.items()))
            if len(self._seen) <= self.cache_size and not 0 < kept.deadline_ms <= now_ms:
                return
            del self._seen[key]
            self.forget(kept)


def _reminder(key: Field, persistent: bool) -> Run:
    """A message that stands for a key on the shelf."""
    properties = Properties(headers={KEY: key}, delivery_mode=_PERSISTENT if persistent else 1)
    content = build(1, encode_header(properties, 0), b"")
    return Run([content], _NO_NAMES, None, persistent, 1, len(content))


def _positive(field: Field | None) -> int | None:
    """A positive integer, as a number or as a text; None if it is not there or something else."""
    value = None if field is None else field.value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        return None
    return value


def _is_on_disk(field: Field | None) -> bool:
    if field is not None and field.value not in ("disk", "memory"):
        raise PreconditionFailed(
            f"Invalid argument, '{PERSISTENCE}' must be either 'disk' or 'memory'"
        )
    return field is None or field.value == "disk"
