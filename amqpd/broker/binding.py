"""Bindings: which messages go from an exchange to a queue or to another exchange, and when
two bindings are the same.

    Destination(kind, name)                         kind is "queue" or "exchange"
    Binding(source, destination, routing_key, arguments)
    comparable(field) -> hashable                   equal when two values mean the same
    DestinationIndex: add(binding) remove(binding) of(destination) take(destination)

A binding is its source, destination, routing key and arguments; binding the same again
changes nothing. Arguments are compared by meaning, not by wire type: a client library is
free to send 5 as any of the integer types, and the same binding comes back from the HTTP API
or a definitions file with another one.

An exchange owns the bindings of which it is the source (exchange.py). The index here finds
them from the other end, so that deleting a queue costs what it has bindings.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amqpd.broker.definitions import DestinationKind
    from amqpd.fields import Field, Table

#: A value that is equal to another one exactly when two fields mean the same.
Comparable = tuple[str, Hashable]

_NUMBERS = frozenset("bBsuIilTfd")
_STRINGS = frozenset("Sx")


def comparable(value: Field) -> Comparable:
    """What remains of a field when its wire type is forgotten.

    All integers, timestamps and floats are numbers, `S` and `x` are strings; a boolean is
    not a number (in Python it would be).
    """
    kind, content = value
    if isinstance(content, dict):
        return ("table", comparable_table(content))
    if isinstance(content, list):
        return ("array", tuple([comparable(each) for each in content]))
    if kind in _NUMBERS:
        # NaN is not equal to itself, but a binding with one must be found again.
        return ("number", "nan" if content != content else content)
    if kind in _STRINGS:
        return ("string", content.encode() if isinstance(content, str) else content)
    return (kind, content)


def comparable_table(table: Table) -> tuple[tuple[str, Comparable], ...]:
    """The same for a table, whatever the order of its keys."""
    return tuple([(name, comparable(table[name])) for name in sorted(table)])


class Destination(NamedTuple):
    """Where a binding leads: a queue or an exchange, by name."""

    kind: DestinationKind
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Binding:
    """One binding; equal to another one when it is the same binding to a client."""

    source: str
    destination: Destination
    routing_key: str = ""
    arguments: Table = field(default_factory=dict)
    identity: tuple[Hashable, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        arguments = comparable_table(self.arguments) if self.arguments else ()
        identity = (self.source, self.destination, self.routing_key, arguments)
        object.__setattr__(self, "identity", identity)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Binding) and self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)


class DestinationIndex:
    """The bindings of one vhost by destination."""

    __slots__ = ("_bindings",)

    def __init__(self) -> None:
        # Dicts, not sets: their order is that of insertion, the same in every process.
        self._bindings: dict[Destination, dict[Binding, None]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._bindings.values()))

    def __iter__(self) -> Iterator[Binding]:
        for bindings in self._bindings.values():
            yield from bindings

    def add(self, binding: Binding) -> None:
        """Remember a binding; a second time changes nothing."""
        self._bindings.setdefault(binding.destination, {})[binding] = None

    def remove(self, binding: Binding) -> None:
        """Forget a binding, if it is there."""
        bindings = self._bindings.get(binding.destination)
        if bindings is None:
            return
        bindings.pop(binding, None)
        if not bindings:
            del self._bindings[binding.destination]

    def of(self, destination: Destination) -> list[Binding]:
        """The bindings that lead there, oldest first."""
        return list(self._bindings.get(destination, ()))

    def take(self, destination: Destination) -> list[Binding]:
        """The same, and forget them: the destination is being deleted."""
        return list(self._bindings.pop(destination, ()))
