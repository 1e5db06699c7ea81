"""Routing: from an exchange, over bindings to other exchanges, to queues.

    routing_keys(routing_key, headers) -> list[str]                     with CC and BCC
    route(exchange, keys, headers, find_exchange) -> list[str]          names of queues
    walk(exchange, message, find_exchange) -> Walk                      the same, one message
    reaches(exchange, find_exchange) -> list[Exchange]                  all that a message may visit

The walk is breadth first. Each exchange is visited once, each queue is named once, so cycles
of bindings end. The alternate exchange of an exchange takes over when that exchange itself
matched nothing at all. Names are not resolved here beyond exchanges: the default exchange
names a queue for each key, whether it exists or not, and an exchange that is gone is skipped.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from amqpd.errors import PreconditionFailed
from amqpd.fields import type_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from amqpd.broker.binding import Destination
    from amqpd.broker.exchange import Exchange
    from amqpd.broker.message import Message
    from amqpd.fields import Field, Table

    FindExchange = Callable[[str], Exchange | None]

#: Headers with more routing keys; the second one is taken out before the message is stored.
CC: Final = "CC"
BCC: Final = "BCC"


def routing_keys(routing_key: str, headers: Table | None) -> list[str]:
    """The routing key, then those of the CC and BCC headers, each once.

    Entries that are not text are ignored, as RabbitMQ does.

    Raises:
        PreconditionFailed: one of the headers is not an array.
    """
    keys = {routing_key: None}
    for name in (CC, BCC):
        more = headers.get(name) if headers else None
        if more is None:
            continue
        if not isinstance(more.value, list):
            raise PreconditionFailed(
                f'invalid message: {{unacceptable_type_in_header,"{name}",{type_name(more)}}}'
            )
        for each in more.value:
            key = text(each)
            if key is not None:
                keys[key] = None
    return list(keys)


def text(field: Field) -> str | None:
    """A long string as a routing key, with surrogate escapes where it is not UTF-8."""
    if field.kind == "S" and isinstance(field.value, bytes):
        return field.value.decode(errors="surrogateescape")
    return field.value if isinstance(field.value, str) else None


@dataclass(slots=True)
class Walk:
    """Where a message goes: queues by name, in the order of the walk, each once.

    `keepers` are the exchanges on the way that want to hear of it; with `taken` one of them
    has seen to it, so that it counts as routed even without a queue.
    """

    queues: dict[str, None] = field(default_factory=dict)
    keepers: list[Exchange] = field(default_factory=list)
    taken: bool = False


def route(
    exchange: Exchange,
    keys: Sequence[str],
    headers: Table | None,
    find_exchange: FindExchange,
) -> list[str]:
    """The names of the queues that get the message, each once, in the order of the walk."""
    return list(_walk(exchange, lambda at: at.match(keys, headers), find_exchange).queues)


def walk(exchange: Exchange, message: Message, find_exchange: FindExchange) -> Walk:
    """Where one message goes, all that is known of it considered."""
    return _walk(exchange, lambda at: at.match_message(message), find_exchange)


def _walk(
    exchange: Exchange,
    match: Callable[[Exchange], list[Destination] | None],
    find_exchange: FindExchange,
) -> Walk:
    result = Walk()
    visited = {exchange.name}
    waiting = deque([exchange])
    while waiting:
        at = waiting.popleft()
        if at.keeps:
            result.keepers.append(at)
        found = match(at)
        if found is None:
            result.taken = True
            continue
        further = [name for kind, name in found if kind == "exchange"]
        if not found and at.alternate_exchange is not None:
            further.append(at.alternate_exchange)
        result.queues.update((name, None) for kind, name in found if kind == "queue")
        _enter(further, visited, waiting, find_exchange)
    return result


def reaches(exchange: Exchange, find_exchange: FindExchange) -> list[Exchange]:
    """Every exchange that a message published here may visit, this one first.

    What a route depends on: if none of them `uses_headers`, the routing keys alone decide.
    """
    visited = {exchange.name}
    waiting = deque([exchange])
    reached = []
    while waiting:
        at = waiting.popleft()
        reached.append(at)
        further = list(at.exchange_destinations)
        if at.alternate_exchange is not None:
            further.append(at.alternate_exchange)
        _enter(further, visited, waiting, find_exchange)
    return reached


def _enter(
    names: list[str],
    visited: set[str],
    waiting: deque[Exchange],
    find_exchange: FindExchange,
) -> None:
    """Queue up the exchanges of these names that exist and were not visited yet."""
    for name in names:
        if name in visited:
            continue
        visited.add(name)
        found = find_exchange(name)
        if found is not None:
            waiting.append(found)
