"""x-jms-topic: a topic exchange whose bindings may have a selector.

A message goes where the binding key, a pattern of words as for `topic`, matches a routing key
and the selector is true for its headers and properties. A binding without a key is for every
routing key. The selector is one of two arguments of the binding: `rjms_erlang_selector`, as
RabbitMQ's JMS client sends it, or `x-filter-jms-selector`, the text of SQL-92.

A name in a selector is that of a header; `JMSPriority` and its like, and `properties.…`, are
the properties of the message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from amqpd.broker.binding import Destination
from amqpd.broker.exchange import Exchange
from amqpd.broker.message import Message
from amqpd.broker.text import resource, term
from amqpd.broker.topic import TopicTrie
from amqpd.broker.types import erlang, sql
from amqpd.broker.types.selector import SelectorError
from amqpd.errors import PreconditionFailed
from amqpd.properties import Properties

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from amqpd.broker.binding import Binding
    from amqpd.broker.definitions import PutExchange
    from amqpd.broker.limits import Limits
    from amqpd.broker.types.selector import Expression, Lookup, Value
    from amqpd.fields import Table

ERLANG: Final = "rjms_erlang_selector"
SQL: Final = "x-filter-jms-selector"

#: JMS has its own names for some properties, and its own units.
_JMS: Final[Mapping[str, Callable[[Properties], Value]]] = {
    "JMSMessageID": lambda each: each.message_id,
    "JMSCorrelationID": lambda each: each.correlation_id,
    "JMSType": lambda each: each.type,
    "JMSReplyTo": lambda each: each.reply_to,
    "JMSPriority": lambda each: each.priority,
    "JMSTimestamp": lambda each: None if each.timestamp is None else each.timestamp * 1000,
    "JMSDeliveryMode": lambda each: "PERSISTENT" if each.delivery_mode == 2 else "NON_PERSISTENT",
}
_PROPERTIES: Final = frozenset(Properties.__dataclass_fields__) - {"headers"}


class JmsTopicExchange(Exchange):
    """Topic with selectors."""

    kind = "x-jms-topic"
    uses_headers = True
    has_topics = True

    def __init__(self, definition: PutExchange) -> None:
        super().__init__(definition)
        #: The binding keys, each as the name of a destination: which of them match a key.
        self._keys = TopicTrie()
        self._by_key: dict[str, dict[Binding, Expression | None]] = {}

    def validate(self, binding: Binding, limits: Limits) -> None:
        """Refuses a selector that cannot be understood."""
        try:
            selector_of(binding)
        except SelectorError as error:
            raise PreconditionFailed(self._refusal(binding, error)) from None

    def _refusal(self, binding: Binding, error: SelectorError) -> str:
        kind, name = binding.destination
        found = binding.arguments.get(ERLANG)
        if found is None:
            return f"invalid arg '{SQL}' for {resource(kind, name, self.vhost)}: {error}"
        return (
            f"cannot parse selector '\"{term(found.value)}\"' binding destination '{name}' "
            f"to exchange '{self.name}'"
        )

    def added(self, binding: Binding) -> None:
        bindings = self._by_key.get(binding.routing_key)
        if bindings is None:
            bindings = self._by_key[binding.routing_key] = {}
            self._keys.add(binding.routing_key, Destination("queue", binding.routing_key))
        bindings[binding] = selector_of(binding)

    def removed(self, binding: Binding) -> None:
        bindings = self._by_key[binding.routing_key]
        del bindings[binding]
        if not bindings:
            del self._by_key[binding.routing_key]
            self._keys.remove(binding.routing_key, Destination("queue", binding.routing_key))

    def match(self, keys: Sequence[str], headers: Table | None) -> list[Destination]:
        return self.match_message(Message(keys, Properties(headers=headers), 0, int))

    def match_message(self, message: Message) -> list[Destination]:
        matching = {"": None} | {
            each.name: None for key in message.keys for each in self._keys.match(key)
        }
        lookup = lookup_in(message)
        return [
            binding.destination
            for key in matching
            for binding, selector in self._by_key.get(key, {}).items()
            if selector is None or selector(lookup) is True
        ]


def selector_of(binding: Binding) -> Expression | None:
    """The selector of a binding, if it has one.

    Raises:
        SelectorError: it cannot be understood.
    """
    for name, parse in ((ERLANG, erlang.parse), (SQL, sql.parse)):
        found = binding.arguments.get(name)
        if found is not None:
            if not isinstance(found.value, str):
                raise SelectorError("not a text")
            return parse(found.value)
    return None


def lookup_in(message: Message) -> Lookup:
    """What the names in a selector mean for a message."""
    headers, properties = message.headers, message.properties

    def lookup(name: str) -> Value:
        prefix, _, rest = name.partition(".")
        field = headers.get(name)
        if field is None and prefix in ("header", "headers"):
            field = headers.get(rest)
        if field is not None:
            value = bool(field.value) if field.kind == "t" else field.value
            return value if isinstance(value, str | int | float) else None
        if name in _JMS:
            return _JMS[name](properties)
        if prefix == "properties" and rest.replace("-", "_") in _PROPERTIES:
            found: Value = getattr(properties, rest.replace("-", "_"))
            return found
        return message.keys[0] if name == "routing-key" else None

    return lookup
