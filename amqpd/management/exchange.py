"""`/api/exchanges`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from amqpd.management.access import Needs
from amqpd.management.errors import HttpError, bad_request, not_found
from amqpd.management.listing import PARAMETERS, listing, one
from amqpd.management.payload import Arguments, Truth, table, truth
from amqpd.management.rates import EXCHANGE, MEASURED
from amqpd.management.request import Answer
from amqpd.management.routing import Operation, Route
from amqpd.management.table import from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from amqpd.broker.exchange import Exchange
    from amqpd.management.call import Call
    from amqpd.management.listing import Facts
    from amqpd.management.rates import Shown

#: How the exchange without a name is called in paths.
DEFAULT: Final = "amq.default"


class Body(Struct):
    """What an exchange is declared with."""

    type: str = "direct"
    durable: Truth = None
    auto_delete: Truth = None
    internal: Truth = None
    arguments: Arguments = field(default_factory=dict)


def named(exchange: Exchange) -> Facts:
    """What tells which exchange it is, and what it was declared as."""
    return {
        "name": exchange.name,
        "vhost": exchange.vhost,
        "type": exchange.kind,
        "durable": exchange.durable,
        "auto_delete": exchange.auto_delete,
        "internal": exchange.internal,
        "arguments": to_json(exchange.arguments),
    }


def facts(call: Call, exchange: Exchange, shown: Shown) -> Facts | None:
    """What a list shows of an exchange; None: it is gone."""
    vhost = call.broker.vhosts.get(exchange.vhost)
    if vhost is None or vhost.exchanges.get(exchange.name) is not exchange:
        return None
    policy, operator = vhost.enforcement.policies.for_exchange(exchange.name)
    found = named(exchange)
    # Without one the keys are not there: rabbitmqadmin's tables cannot show a null.
    if policy is not None:
        found["policy"] = policy.name
    if operator is not None:
        found["operator_policy"] = operator.name
    found["user_who_performed_action"] = exchange.definition.declared_by
    tallies = exchange.tallies
    if tallies.messages and shown.stats:
        values = (tallies.messages, tallies.copies)
        found["message_stats"] = shown.facts(exchange, EXCHANGE, values, shown.rates)
    return found


def _outgoing(exchange: Exchange) -> list[Facts]:
    """To which queues messages went."""
    found: dict[str, int] = {}
    for name, messages in exchange.tallies.by_queue():
        found[name] = found.get(name, 0) + messages
    return [
        {"queue": {"name": name, "vhost": exchange.vhost}, "stats": {"publish": messages}}
        for name, messages in found.items()
    ]


def _incoming(call: Call, exchange: Exchange) -> list[Facts]:
    """From which channels messages came."""
    found: list[Facts] = []
    for guest in call.broker.presence.in_vhost(exchange.vhost):
        for channel in guest.channel_facts():
            messages = channel.published.get(exchange.name, 0)
            if messages:
                place = {
                    "name": f"{guest.name} ({channel.number})",
                    "number": channel.number,
                    "connection_name": guest.name,
                }
                found.append({"channel_details": place, "stats": {"publish": messages}})
    return found


KEYS: Final[dict[str, Callable[[Exchange], object]]] = {
    "name": lambda exchange: exchange.name,
    "vhost": lambda exchange: exchange.vhost,
    "type": lambda exchange: exchange.kind,
    "durable": lambda exchange: exchange.durable,
    "auto_delete": lambda exchange: exchange.auto_delete,
    "internal": lambda exchange: exchange.internal,
}


def name_in(call: Call) -> str:
    """The name of the exchange in the path, as the broker knows it."""
    name = call.names["exchange"]
    return "" if name == DEFAULT else name


def find(call: Call, otherwise: HttpError | None = None) -> Exchange:
    """The exchange of the path.

    Raises:
        HttpError: there is none; `otherwise`, if the vhost is there.
    """
    exchange = call.vhost.exchanges.get(name_in(call))
    if exchange is None:
        raise otherwise or not_found()
    return exchange


async def list_exchanges(call: Call) -> Answer:
    """The exchanges of a vhost, or of all."""
    shown = call.shown()
    found = [one for vhost in call.own_vhosts() for one in vhost.exchanges.values()]
    return await listing(call, found, lambda one: facts(call, one, shown), KEYS)


async def show(call: Call) -> Answer:
    """One exchange."""
    exchange = find(call)
    found = facts(call, exchange, call.shown())
    assert found is not None
    ends = {"incoming": _incoming(call, exchange), "outgoing": _outgoing(exchange)}
    rights = {"rights": call.rights("exchange", exchange.name)}
    return one(call, found | ends | rights)


async def put(call: Call) -> Answer:
    """Declare an exchange; one that exists must be the same."""
    body = await call.body(Body)
    vhost, name = call.vhost, name_in(call)
    if len(name.encode(errors="surrogateescape")) > 255:
        raise bad_request(f"exchange name '{name[:32]}…' is longer than 255 bytes")
    is_new = name not in vhost.exchanges
    answer = vhost.declare_exchange(
        call.access,
        name,
        body.type,
        passive=False,
        durable=truth(body.durable),
        auto_delete=truth(body.auto_delete),
        internal=truth(body.internal),
        arguments=from_json(table(body.arguments, "arguments")),
    )
    await call.safe(answer.number)
    return Answer(201 if is_new else 204)


async def delete(call: Call) -> Answer:
    """Remove an exchange with its bindings."""
    exchange = find(call)
    answer = call.vhost.delete_exchange(
        call.access, exchange.name, if_unused=call.flag("if-unused")
    )
    await call.removed(answer)
    return Answer(204)


VHOST: Final = Needs.VHOST
ROUTES: Final = (
    Route("/exchanges", GET=Operation(list_exchanges, VHOST, query=(*PARAMETERS, *MEASURED))),
    Route(
        "/exchanges/{vhost}", GET=Operation(list_exchanges, VHOST, query=(*PARAMETERS, *MEASURED))
    ),
    Route(
        "/exchanges/{vhost}/{exchange}",
        GET=Operation(show, VHOST, query=(*MEASURED, "columns")),
        PUT=Operation(put, VHOST, Body),
        DELETE=Operation(delete, VHOST, query=("if-unused",)),
    ),
)
