"""Exchanges: where messages come in, and the types direct, fanout, topic and headers.

    Exchange(definition: PutExchange)            one class per type
        .kind  .uses_headers  .has_topics  .keeps        of the type
        .vhost  .name  .durable  .auto_delete  .internal  .arguments  .definition
        .bindings  .alternate_exchange  .exchange_destinations
        .validate(binding, limits)  .bind(binding)  .unbind(binding)  .match(keys, headers)
        .use_policy(alternate_exchange)
        .made(definition, types)  .attach(host)  .match_message(message)
        .keep(message, run)  .bound(binding)  .take_over(shelf)        for types with more in mind
    standard_types() -> dict[str, type[Exchange]]     the registry
    create(types, definition) -> Exchange
    predeclared(types, vhost) -> list[Exchange]       what every vhost begins with

An exchange owns the bindings of which it is the source and knows how to match them; names are
resolved by the vhost. A type of one's own is a subclass that sets `kind` and implements
`match`, with `added` and `removed` if it keeps an index; it is put into the registry under
its name. Matching is called on a miss of the route cache only, so types may be plain.

A type that looks at more than the routing keys sets `uses_headers`: messages then come one by
one, to `match_message`, with all their properties, the time and a source of chance. A type
that remembers messages sets `keeps`: it is told what was published, in the same journal entry,
and asks its `Host`, the vhost, for shelves to put messages on (types/ has examples of both).
Types never read a clock and never draw lots: what they decide can be decided again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Final, Protocol

from amqpd.broker.arguments import alternate_of
from amqpd.broker.binding import Comparable, Destination, comparable
from amqpd.broker.definitions import PutExchange
from amqpd.broker.tally import Tallies
from amqpd.broker.text import erlang, term
from amqpd.broker.topic import TopicTrie, hash_wildcards
from amqpd.errors import PreconditionFailed
from amqpd.fields import type_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from amqpd.broker.arguments import QueueType
    from amqpd.broker.binding import Binding
    from amqpd.broker.limits import Limits
    from amqpd.broker.message import Message
    from amqpd.broker.run import Append, Run
    from amqpd.broker.shelf import Kept, Shelf
    from amqpd.fields import Table

DEFAULT_EXCHANGE: Final = ""


class Host(Protocol):
    """What a vhost does for an exchange that needs more than its bindings."""

    @property
    def now_ms(self) -> int:
        """The broker's time."""

    def queue_type(self, name: str) -> QueueType | None:
        """The type of a queue; None if there is none of that name."""

    def at(self, when_ms: int, call: Callable[[int], None]) -> None:
        """`call(now_ms)` once at that time; not cancelled when the exchange is deleted."""

    def shelf(self, exchange: Exchange, label: str) -> Shelf:
        """A new place for messages, durable if the exchange is; labels differ."""

    def clear_away(self, shelf: Shelf) -> None:
        """A shelf is not needed any more; what is on it is gone."""

    def hand_over(self, destination: Destination, kept: Kept) -> None:
        """A copy of a kept message goes to a queue, or on from another exchange."""

    def release(
        self, exchange: Exchange, shelf: Shelf, kept: Kept, run: Run, keys: Sequence[str]
    ) -> None:
        """Publish `run` from `exchange` on, and take `kept` off the shelf: in one."""


class Exchange(ABC):
    """An exchange of some type, with its bindings."""

    #: The type's name on the wire.
    kind: ClassVar[str]
    #: Whether more than the routing keys decides: otherwise nobody decodes the properties.
    uses_headers: bool = False
    #: Whether topic permissions apply to its routing and binding keys.
    has_topics: bool = False
    #: Messages go to the same places whatever their routing keys.
    ignores_keys: bool = False
    #: Whether it wants to hear of each message (`keep`) and of new bindings (`bound`).
    keeps: ClassVar[bool] = False

    @classmethod
    def made(cls, definition: PutExchange, types: Mapping[str, type[Exchange]]) -> Exchange:
        """A new exchange of this type; `types` are all that there are.

        Raises:
            PreconditionFailed: the type does not accept the arguments.
        """
        return cls(definition)

    def __init__(self, definition: PutExchange) -> None:
        self.definition = definition
        self.vhost = definition.vhost
        self.name = definition.name
        self.durable = definition.durable
        self.auto_delete = definition.auto_delete
        self.internal = definition.internal
        self.arguments = definition.arguments
        self.bindings: dict[Binding, Binding] = {}
        #: The exchanges bound to this one, with the number of their bindings.
        self.exchange_destinations: dict[str, int] = {}
        #: Where a message goes that nothing here matches; None = nowhere.
        self.alternate_exchange: str | None = None
        #: What was published to it, and where it went.
        self.tallies = Tallies()
        self.use_policy(None)

    def use_policy(self, alternate_exchange: str | None) -> None:
        """Take over what a policy says; an argument of the exchange itself wins."""
        argument = alternate_of(self.arguments)
        if argument is not None and isinstance(argument.value, str):
            alternate_exchange = argument.value
        self.alternate_exchange = alternate_exchange

    def validate(  # noqa: B027 - a type may accept everything
        self, binding: Binding, limits: Limits
    ) -> None:
        """Check a binding before it is made.

        Raises:
            PreconditionFailed: this type of exchange has no use for it.
        """

    def bind(self, binding: Binding) -> bool:
        """Take a binding that `validate` has passed; False if it exists already."""
        if binding in self.bindings:
            return False
        self.bindings[binding] = binding
        kind, name = binding.destination
        if kind == "exchange":
            self.exchange_destinations[name] = self.exchange_destinations.get(name, 0) + 1
        self.added(binding)
        return True

    def unbind(self, binding: Binding) -> bool:
        """Remove a binding; False if there is no such binding."""
        # The binding that was made, not the equal one that names it: its wire types decided
        # how it was indexed.
        made = self.bindings.pop(binding, None)
        if made is None:
            return False
        kind, name = made.destination
        if kind == "exchange":
            self.exchange_destinations[name] -= 1
            if not self.exchange_destinations[name]:
                del self.exchange_destinations[name]
        self.removed(made)
        return True

    def added(self, binding: Binding) -> None:  # noqa: B027 - a type may need no index
        """A new binding: the place for a type to keep its index."""

    def removed(self, binding: Binding) -> None:  # noqa: B027 - a type may need no index
        """A binding that was added is gone."""

    @abstractmethod
    def match(self, keys: Sequence[str], headers: Table | None) -> list[Destination]:
        """Where a message goes; a destination may be named more than once.

        `keys` is the routing key and what CC and BCC add to it. The order is the same
        whenever the same bindings were made in the same order.
        """

    # -- types that look at more, or remember --------------------------------------------

    def attach(self, host: Host) -> None:  # noqa: B027 - most types need no host
        """The exchange is part of a vhost from now on."""

    def match_message(self, message: Message) -> list[Destination] | None:
        """As `match`, for a message with all that is known of it (if `uses_headers`).

        None: the exchange has seen to the message itself. It counts as routed, and no
        alternate exchange is asked. Nothing may change here: the message may never be
        published, in a transaction that is rolled back.
        """
        return self.match(message.keys, message.headers)

    def keep(self, message: Message, run: Run) -> Append | None:
        """The message (a run of one) was published and came by here (if `keeps`).

        What is returned must be on disk before the publisher has its confirm. What is put on
        a shelf is written in one with the message itself.
        """
        return None

    def bound(self, binding: Binding) -> None:  # noqa: B027 - most types have nothing to tell
        """A client has made this binding: one that was not there before (if `keeps`)."""

    def take_over(self, shelf: Shelf) -> None:  # noqa: B027 - most types have no shelf
        """After a start: a shelf from before it."""


class DefaultExchange(Exchange):
    """The exchange without a name: every queue is bound to it by its own name."""

    kind = "direct"

    def match(self, keys: Sequence[str], headers: Table | None) -> list[Destination]:
        """The queues of these names, whether they exist or not."""
        return [Destination("queue", key) for key in keys]


class DirectExchange(Exchange):
    """A message goes where the binding key is one of its routing keys."""

    kind = "direct"

    def __init__(self, definition: PutExchange) -> None:
        super().__init__(definition)
        self._by_key: dict[str, dict[Binding, None]] = {}

    def added(self, binding: Binding) -> None:
        self._by_key.setdefault(binding.routing_key, {})[binding] = None

    def removed(self, binding: Binding) -> None:
        bindings = self._by_key[binding.routing_key]
        del bindings[binding]
        if not bindings:
            del self._by_key[binding.routing_key]

    def match(self, keys: Sequence[str], headers: Table | None) -> list[Destination]:
        return [each.destination for key in keys for each in self._by_key.get(key, ())]


class FanoutExchange(Exchange):
    """A message goes everywhere."""

    kind = "fanout"
    ignores_keys = True

    def match(self, keys: Sequence[str], headers: Table | None) -> list[Destination]:
        return [each.destination for each in self.bindings]


class TopicExchange(Exchange):
    """A message goes where the binding key, a pattern of words, matches a routing key."""

    kind = "topic"
    has_topics = True

    def __init__(self, definition: PutExchange) -> None:
        super().__init__(definition)
        self._trie = TopicTrie()

    def validate(self, binding: Binding, limits: Limits) -> None:
        """Refuses more `#` words than the limit allows; there is none by default."""
        allowed = limits.max_topic_hash_wildcards
        if allowed is None:
            return
        count = hash_wildcards(binding.routing_key)
        if count > allowed:
            raise PreconditionFailed(
                f"Topic binding key '{binding.routing_key}' uses {count} '#' wildcards, "
                f"at most {allowed} are allowed"
            )

    def added(self, binding: Binding) -> None:
        self._trie.add(binding.routing_key, binding.destination)

    def removed(self, binding: Binding) -> None:
        self._trie.remove(binding.routing_key, binding.destination)

    def match(self, keys: Sequence[str], headers: Table | None) -> list[Destination]:
        if len(keys) == 1:
            return self._trie.match(keys[0])
        return [each for key in keys for each in self._trie.match(key)]


#: The x-match modes: must all pairs match, and do names that begin with `x-` count.
_MODES: Final[Mapping[str, tuple[bool, bool]]] = {
    "all": (True, False),
    "any": (False, False),
    "all-with-x": (True, True),
    "any-with-x": (False, True),
}
X_MATCH: Final = "x-match"

#: One condition: a header's name and its value, or None where presence is enough.
_Condition = tuple[str, Comparable | None]


def _conditions(binding: Binding) -> tuple[bool, list[_Condition]]:
    """Whether all of them must be met, and the conditions."""
    mode = binding.arguments.get(X_MATCH)
    name = mode.value if mode is not None and isinstance(mode.value, str) else "all"
    needs_all, with_x = _MODES.get(name, _MODES["all"])
    conditions: list[_Condition] = [
        (name, None if value.kind == "V" else comparable(value))
        for name, value in binding.arguments.items()
        if name != X_MATCH and (with_x or not name.startswith("x-"))
    ]
    return needs_all, conditions


class HeadersExchange(Exchange):
    """A message goes where the binding's arguments match its headers.

    Bindings are found by one condition that must be met (by each of them, if any will do), so
    that a message costs its own headers and the bindings that share one with it.
    """

    kind = "headers"
    uses_headers = True

    def __init__(self, definition: PutExchange) -> None:
        super().__init__(definition)
        #: Bindings without a condition, of which all are met.
        self._always: dict[Binding, None] = {}
        #: By condition: the bindings, with the other conditions they have.
        self._by_condition: dict[_Condition, dict[Binding, list[_Condition]]] = {}

    def validate(self, binding: Binding, limits: Limits) -> None:
        """Refuses an `x-match` that is not one of the four modes."""
        mode = binding.arguments.get(X_MATCH)
        if mode is None:
            return
        if mode.kind != "S":
            raise PreconditionFailed(
                f"Invalid x-match field type {type_name(mode)} (value {term(mode.value)}); "
                "expected longstr"
            )
        if mode.value not in _MODES:
            raise PreconditionFailed(
                f"Invalid x-match field value {erlang(mode.value)}; "
                "expected all, any, all-with-x, or any-with-x"
            )

    def added(self, binding: Binding) -> None:
        needs_all, conditions = _conditions(binding)
        if needs_all and not conditions:
            self._always[binding] = None
        elif needs_all:
            # The rarest so far: many bindings may share `type=order`, few an id.
            first = min(conditions, key=self._commonness)
            others = [each for each in conditions if each is not first]
            self._by_condition.setdefault(first, {})[binding] = others
        else:
            for condition in conditions:
                self._by_condition.setdefault(condition, {})[binding] = []

    def removed(self, binding: Binding) -> None:
        self._always.pop(binding, None)
        for condition in _conditions(binding)[1]:
            bindings = self._by_condition.get(condition)
            if bindings is None:
                continue
            bindings.pop(binding, None)
            if not bindings:
                del self._by_condition[condition]

    def match(self, keys: Sequence[str], headers: Table | None) -> list[Destination]:
        found = [each.destination for each in self._always]
        if not headers:
            return found
        met: set[_Condition] = set()
        order: list[_Condition] = []
        for name, value in headers.items():
            order += (name, comparable(value)), (name, None)
        met.update(order)
        for condition in order:
            for binding, others in self._by_condition.get(condition, {}).items():
                if met.issuperset(others):
                    found.append(binding.destination)
        return found

    def _commonness(self, condition: _Condition) -> int:
        return len(self._by_condition.get(condition, ()))


def standard_types() -> dict[str, type[Exchange]]:
    """The types that are always there, by name; user types are added to this dict."""
    types: list[type[Exchange]] = [
        DirectExchange,
        FanoutExchange,
        HeadersExchange,
        TopicExchange,
    ]
    return {each.kind: each for each in types}


def create(types: Mapping[str, type[Exchange]], definition: PutExchange) -> Exchange:
    """A new exchange of the type that the definition names.

    Raises:
        PreconditionFailed: no such type, or the type does not accept the arguments.
    """
    return type_of(types, definition.kind).made(definition, types)


def type_of(types: Mapping[str, type[Exchange]], kind: str) -> type[Exchange]:
    """The type of that name.

    Raises:
        PreconditionFailed: there is none.
    """
    found = types.get(kind)
    if found is None:
        raise PreconditionFailed(f"unknown exchange type '{kind}'")
    return found


#: What RabbitMQ's vhosts begin with: name, type, internal.
_PREDECLARED: Final = (
    ("amq.direct", "direct", False),
    ("amq.fanout", "fanout", False),
    ("amq.headers", "headers", False),
    ("amq.match", "headers", False),
    ("amq.rabbitmq.trace", "topic", True),
    ("amq.topic", "topic", False),
)
#: What RabbitMQ's plugins and its log have in one vhost: what the broker says of itself.
EVENTS: Final = "amq.rabbitmq.event"
LOG: Final = "amq.rabbitmq.log"
ANNOUNCING: Final = (EVENTS, LOG)
#: Who has made those, in RabbitMQ's words.
BROKER: Final = "rmq-internal"


def predeclared(
    types: Mapping[str, type[Exchange]], vhost: str, *, announcing: bool = False
) -> list[Exchange]:
    """The exchanges of a new vhost, the default exchange first."""

    def definition(name: str, kind: str, internal: bool) -> PutExchange:
        return PutExchange(vhost, name, kind, True, False, internal, declared_by=BROKER)

    return [
        DefaultExchange(definition(DEFAULT_EXCHANGE, "direct", False)),
        *(create(types, definition(*each)) for each in _PREDECLARED),
        *(create(types, definition(name, "topic", True)) for name in ANNOUNCING if announcing),
    ]
