"""`/api/bindings`, and the bindings of an exchange or a queue.

A binding's key in paths is its routing key, quoted, `~` for an empty one; arguments add `~`
and a hash of them. The default exchange has a binding to each queue by the queue's name.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus, unquote_plus

from msgspec import Struct, field

from amqpd.broker.binding import Binding, Destination, comparable_table
from amqpd.management import exchange as exchanges
from amqpd.management.access import Needs
from amqpd.management.errors import not_found
from amqpd.management.listing import BATCH, PARAMETERS, Slices, listing
from amqpd.management.payload import Arguments, table
from amqpd.management.request import Answer, json
from amqpd.management.routing import Operation, Route
from amqpd.management.table import from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from amqpd.broker.definitions import DestinationKind
    from amqpd.broker.vhost import VHost
    from amqpd.fields import Table
    from amqpd.management.call import Call
    from amqpd.management.listing import Facts

_KINDS: Final[dict[str, DestinationKind]] = {"q": "queue", "e": "exchange"}
_SORT: Final = (
    "vhost",
    "source",
    "destination_type",
    "destination",
    "routing_key",
)


#: Keys that need no quotes: nearly all.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.-]+").fullmatch


class Body(Struct):
    """What to bind with."""

    routing_key: str | None = ""
    arguments: Arguments = field(default_factory=dict)


def properties_key(routing_key: str, arguments: Table) -> str:
    """What stands for a binding in paths."""
    if _PLAIN(routing_key):
        key = routing_key
    else:
        key = quote_plus(routing_key, errors="surrogateescape").replace("~", "%7E") or "~"
    if not arguments:
        return key
    content = repr(comparable_table(arguments)).encode(errors="surrogateescape")
    digest = hashlib.sha256(content).digest()[:6]
    return f"{key}~{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def facts(vhost: str, binding: Binding) -> Facts:
    """What is shown of a binding."""
    return {
        "source": binding.source,
        "vhost": vhost,
        "destination": binding.destination.name,
        "destination_type": binding.destination.kind,
        "routing_key": binding.routing_key,
        "arguments": to_json(binding.arguments) if binding.arguments else {},
        "properties_key": properties_key(binding.routing_key, binding.arguments),
    }


def _implicit(vhost: VHost, names: Iterable[str]) -> Iterator[tuple[str, Binding]]:
    """The bindings of the default exchange."""
    for name in names:
        if name in vhost.queues:
            yield vhost.name, Binding("", Destination("queue", name), name)


def _of_vhost(vhost: VHost) -> Iterator[tuple[str, Binding]]:
    yield from _implicit(vhost, list(vhost.queues))
    for binding in list(vhost.bindings()):
        yield vhost.name, binding


_KEYS: Final[dict[str, Callable[[tuple[str, Binding]], object]]] = {
    "vhost": lambda one: one[0],
    "source": lambda one: one[1].source,
    "destination": lambda one: one[1].destination.name,
    "destination_type": lambda one: one[1].destination.kind,
    "routing_key": lambda one: one[1].routing_key,
    "name": lambda one: one[1].routing_key,
    "properties_key": lambda one: properties_key(one[1].routing_key, one[1].arguments),
}


async def _listed(call: Call, found: Iterable[tuple[str, Binding]]) -> Answer:
    return await listing(call, list(found), lambda one: facts(*one), _KEYS, default_sort=_SORT)


async def list_bindings(call: Call) -> Answer:
    """The bindings in a vhost, or in all."""
    slices, found = Slices(), list[tuple[str, Binding]]()
    for vhost in call.own_vhosts():
        for place, one in enumerate(_of_vhost(vhost)):
            found.append(one)
            if place % BATCH == 0:
                await slices.pause()
    return await _listed(call, found)


async def list_of_source(call: Call) -> Answer:
    """The bindings from an exchange."""
    name = exchanges.name_in(call)
    if not name:
        return await _listed(call, _implicit(call.vhost, list(call.vhost.queues)))
    exchange = call.vhost.exchanges.get(name)
    # As in RabbitMQ, what does not exist has no bindings, and that is all of the answer.
    found = call.vhost.bindings_from(exchange) if exchange is not None else ()
    return await _listed(call, [(call.vhost.name, one) for one in found])


async def list_of_destination(call: Call) -> Answer:
    """The bindings to an exchange."""
    to = Destination("exchange", exchanges.name_in(call))
    return await _listed(call, [(call.vhost.name, one) for one in call.vhost.incoming.of(to)])


async def list_of_queue(call: Call) -> Answer:
    """The bindings to a queue."""
    vhost, name = call.vhost, call.names["queue"]
    explicit = [(vhost.name, one) for one in vhost.incoming.of(Destination("queue", name))]
    return await _listed(call, [*_implicit(vhost, [name]), *explicit])


# -- between two -------------------------------------------------------------------------


def _ends(call: Call) -> tuple[str, Destination]:
    """Source and destination of the path, whether they are there or not.

    Raises:
        HttpError: the path names another kind of thing than an exchange or a queue.
    """
    source = call.names["source"]
    kind = _KINDS.get(call.names["kind"])
    if kind is None:
        raise not_found()
    name = call.names["destination"]
    return "" if source == exchanges.DEFAULT else source, Destination(kind, name)


def _between(call: Call) -> list[tuple[str, Binding]]:
    source, to = _ends(call)
    vhost = call.vhost
    if not source and to.kind == "queue":
        return list(_implicit(vhost, [to.name]))
    return [(vhost.name, one) for one in vhost.incoming.of(to) if one.source == source]


async def list_between(call: Call) -> Answer:
    """The bindings from an exchange to a queue or another exchange."""
    return await _listed(call, _between(call))


async def bind(call: Call) -> Answer:
    """Bind; the header Location tells the key of the binding."""
    body = await call.body(Body)
    source, to = _ends(call)
    key, arguments = body.routing_key or "", from_json(table(body.arguments, "arguments"))
    answer = call.vhost.bind(call.access, source, to.name, to.kind, key, arguments, call)
    await call.safe(answer.number)
    last = call.request.path.rpartition("/")[2]
    location = f"{last}/{quote(properties_key(key, arguments), safe='~')}"
    return Answer(201, headers={"Location": location})


def _find(call: Call) -> tuple[str, Binding]:
    wanted = call.names["properties_key"]
    # Some clients quote the key once more than they should, some once less.
    spellings = {wanted, quote_plus(unquote_plus(wanted))} - {""}
    for vhost, binding in _between(call):
        key = properties_key(binding.routing_key, binding.arguments)
        if key in spellings or (not binding.arguments and binding.routing_key == wanted):
            return vhost, binding
    raise not_found()


async def show(call: Call) -> Answer:
    """One binding."""
    return json(facts(*_find(call)))


async def unbind(call: Call) -> Answer:
    """Remove a binding."""
    _, binding = _find(call)
    answer = call.vhost.unbind(
        call.access,
        binding.source,
        binding.destination.name,
        binding.destination.kind,
        binding.routing_key,
        binding.arguments,
        call,
    )
    await call.removed(answer)
    return Answer(204)


VHOST: Final = Needs.VHOST
ROUTES: Final = (
    Route("/bindings", GET=Operation(list_bindings, VHOST, query=PARAMETERS)),
    Route("/bindings/{vhost}", GET=Operation(list_bindings, VHOST, query=PARAMETERS)),
    Route(
        "/exchanges/{vhost}/{exchange}/bindings/source",
        GET=Operation(list_of_source, VHOST, query=PARAMETERS),
    ),
    Route(
        "/exchanges/{vhost}/{exchange}/bindings/destination",
        GET=Operation(list_of_destination, VHOST, query=PARAMETERS),
    ),
    Route(
        "/queues/{vhost}/{queue}/bindings", GET=Operation(list_of_queue, VHOST, query=PARAMETERS)
    ),
    Route(
        "/bindings/{vhost}/e/{source}/{kind}/{destination}",
        GET=Operation(list_between, VHOST, query=PARAMETERS),
        POST=Operation(bind, VHOST, Body),
    ),
    Route(
        "/bindings/{vhost}/e/{source}/{kind}/{destination}/{properties_key}",
        GET=Operation(show, VHOST),
        DELETE=Operation(unbind, VHOST),
    ),
)
