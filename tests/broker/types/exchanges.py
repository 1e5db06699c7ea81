"""Exchanges, bindings and messages in one line each, for the tests of the types."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpd.broker.binding import Binding, Destination
from amqpd.broker.definitions import PutExchange
from amqpd.broker.exchange import Exchange, create
from amqpd.broker.limits import Limits
from amqpd.broker.message import Message
from amqpd.broker.types import all_types
from amqpd.properties import Properties
from tests.broker.model import Model, a_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amqpd.broker.definitions import DestinationKind

TYPES = all_types()


def an_exchange(kind: str, arguments: Mapping[str, object] | None = None) -> Exchange:
    return create(
        TYPES,
        PutExchange(
            "/",
            "x",
            kind,
            durable=True,
            auto_delete=False,
            internal=False,
            arguments=a_table(arguments or {}),
        ),
    )


def to(
    name: str,
    key: str = "",
    arguments: Mapping[str, object] | None = None,
    kind: DestinationKind = "queue",
) -> Binding:
    return Binding("x", Destination(kind, name), key, a_table(arguments or {}))


def bind(exchange: Exchange, *bindings: Binding) -> Exchange:
    for each in bindings:
        exchange.validate(each, Limits())
        exchange.bind(each)
    return exchange


def a_message(
    *keys: str, headers: Mapping[str, object] | None = None, draw: int = 0, **more: object
) -> Message:
    """A message, and a chance that draws `draw`, or the last one there is."""
    properties = Properties(headers=a_table(headers or {}) or None, **more)  # type: ignore[arg-type]  # by name
    return Message(keys or ("",), properties, 1_000, lambda below: min(draw, below - 1))


def names(exchange: Exchange, message: Message | None = None) -> list[str] | None:
    """Where a message goes; None if the exchange has seen to it."""
    found = exchange.match_message(message or a_message())
    return None if found is None else [each.name for each in found]


def declare(
    model: Model,
    kind: str,
    arguments: Mapping[str, object] | None = None,
    *,
    name: str = "x",
    durable: bool = True,
) -> Exchange:
    """An exchange of the model's vhost."""
    model.vhost.declare_exchange(
        model.access,
        name,
        kind,
        passive=False,
        durable=durable,
        auto_delete=False,
        internal=False,
        arguments=a_table(arguments or {}),
    )
    return model.vhost.exchanges[name]


def bind_queue(
    model: Model,
    queue: str = "q",
    key: str = "",
    arguments: Mapping[str, object] | None = None,
    *,
    exchange: str = "x",
    kind: DestinationKind = "queue",
) -> None:
    """Bind a queue or an exchange of the model's vhost."""
    model.vhost.bind(model.access, exchange, queue, kind, key, a_table(arguments or {}), model)
