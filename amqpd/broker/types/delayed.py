"""x-delayed-message: messages with a header `x-delay` are routed so many milliseconds later.

The argument `x-delayed-type` names the type that decides where they go, at the time they are
due; bindings are those of that type. A delay that is missing, not above 0 or above 2^32 - 1
means at once. A message that waits counts as routed: it is never returned. Persistent ones on
a durable exchange are confirmed when they are on disk, and wait on over a restart. When they
go on, the header has the opposite sign.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from amqpd.broker.content import body, build
from amqpd.broker.deadletter import carbon_copies
from amqpd.broker.exchange import Exchange, create
from amqpd.broker.names import are_ours, join_keys, ours, split
from amqpd.broker.routing import BCC, routing_keys
from amqpd.broker.run import Run
from amqpd.broker.types.agenda import LABEL, Agenda
from amqpd.broker.types.keeping import KeepingExchange
from amqpd.errors import PreconditionFailed
from amqpd.fields import Field
from amqpd.properties import encode_header

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from amqpd.broker.binding import Binding, Destination
    from amqpd.broker.definitions import PutExchange
    from amqpd.broker.exchange import Host
    from amqpd.broker.limits import Limits
    from amqpd.broker.message import Message
    from amqpd.broker.run import Append
    from amqpd.broker.shelf import Kept, Shelf
    from amqpd.fields import FieldValue, Table
    from amqpd.properties import Properties

DELAYED_TYPE: Final = "x-delayed-type"
DELAY: Final = "x-delay"
#: RabbitMQ's limit: the longest timer of Erlang.
MAX_DELAY_MS: Final = 2**32 - 1


class DelayedExchange(KeepingExchange):
    """Routes as another type does, later."""

    kind = "x-delayed-message"

    def __init__(self, definition: PutExchange, inner: Exchange) -> None:
        super().__init__(definition)
        self._inner = inner
        self.has_topics = inner.has_topics
        self._agenda: Agenda | None = None

    @classmethod
    def made(cls, definition: PutExchange, types: Mapping[str, type[Exchange]]) -> Exchange:
        found = definition.arguments.get(DELAYED_TYPE)
        kind = None if found is None else found.value
        if kind == cls.kind:
            raise PreconditionFailed(
                f"Invalid argument, '{cls.kind}' can't be used for '{DELAYED_TYPE}'"
            )
        if not isinstance(kind, str) or kind not in types:
            raise PreconditionFailed(
                f"Invalid argument, '{DELAYED_TYPE}' must be an existing exchange type"
            )
        return cls(definition, create(types, replace(definition, kind=kind)))

    @property
    def messages_delayed(self) -> int:
        """How many messages wait."""
        return 0 if self._agenda is None else self._agenda.count

    # -- as the other type ---------------------------------------------------------------

    def attach(self, host: Host) -> None:
        super().attach(host)
        self._inner.attach(host)
        self._agenda = Agenda(self, host, self._due)

    def validate(self, binding: Binding, limits: Limits) -> None:
        self._inner.validate(binding, limits)

    def added(self, binding: Binding) -> None:
        self._inner.bind(binding)

    def removed(self, binding: Binding) -> None:
        self._inner.unbind(binding)

    def bound(self, binding: Binding) -> None:
        self._inner.bound(binding)

    def match(self, keys: Sequence[str], headers: Table | None) -> list[Destination]:
        """Where a message goes that is not delayed."""
        return self._inner.match(keys, headers)

    # -- later ---------------------------------------------------------------------------

    def match_message(self, message: Message) -> list[Destination] | None:
        if delay_of(message.headers):
            return None
        return self._inner.match_message(message)

    def keep(self, message: Message, run: Run) -> Append | None:
        delay_ms = delay_of(message.headers)
        if not delay_ms:
            return self._inner.keep(message, run) if self._inner.keeps else None
        assert self._agenda is not None
        return self._agenda.add(_as_it_was(message, run), self.host.now_ms + delay_ms)

    def take_over(self, shelf: Shelf) -> None:
        if shelf.label.startswith(LABEL) and self._agenda is not None:
            self._agenda.take_over(shelf)
        else:
            self._inner.take_over(shelf)

    def _due(self, shelf: Shelf, kept: Kept) -> None:
        properties = kept.properties
        headers = dict(properties.headers or {})
        keys = routing_keys(split(kept.run.names)[1], headers)
        blind = join_keys(carbon_copies(headers, BCC))
        headers.pop(BCC, None)
        delay_ms = delay_of(headers)
        headers[DELAY] = Field("I" if delay_ms < 2**31 else "l", -delay_ms)
        run = _with_properties(kept.run, replace(properties, headers=headers))
        run.blind = ours(blind) if are_ours(kept.run.blind) else blind
        self.host.release(self, shelf, kept, run, keys)


def delay_of(headers: Table) -> int:
    """How many milliseconds a message is to wait; 0 = it is not."""
    field = headers.get(DELAY)
    delay = 0 if field is None else _whole(field.value)
    return delay if 0 < delay <= MAX_DELAY_MS else 0


def _whole(value: FieldValue) -> int:
    """A number as one or as a text, cut to an integer; 0 for anything else."""
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        with suppress(ValueError, OverflowError):  # no number, or not a finite one
            return int(float(value))
    return 0


def _as_it_was(message: Message, run: Run) -> Run:
    """The message with all of its routing keys: those of BCC were taken out already."""
    headers = message.headers
    seen = set(routing_keys(split(run.names)[1], headers))
    hidden = [Field("S", key) for key in message.keys if key not in seen]
    if not hidden:
        return run.copy()
    more = dict(headers) | {BCC: Field("A", hidden)}
    return _with_properties(run, replace(message.properties, headers=more))


def _with_properties(run: Run, properties: Properties) -> Run:
    payload = body(run.contents[0])
    content = build(run.channel, encode_header(properties, len(payload)), payload)
    return Run([content], run.names, None, run.persistent, run.channel, len(content))
