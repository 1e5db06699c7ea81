"""Browsing a queue: looking at its messages, and moving, copying or deleting single ones.

    POST   /api/queues/{vhost}/{queue}/peek                      {"count", "after", "search", …}
    POST   /api/queues/{vhost}/{queue}/move                      {"destination": queue, "count"}
    POST   /api/queues/{vhost}/{queue}/messages/{place}/copy     {"destination": queue}
    POST   /api/queues/{vhost}/{queue}/messages/{place}/move     {"destination": queue}
    GET    /api/queues/{vhost}/{queue}/messages/{place}
    DELETE /api/queues/{vhost}/{queue}/messages/{place}

Peeking leaves order, `redelivered` and delivery counts as they are. A place is what a peek
names it; it is good as long as the message is in the queue. A message's number counts from where
the look began. A move of a message is one transaction; of several each is one of its own.
RabbitMQ has none of these.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

from amqpd.broker import browse
from amqpd.broker.arguments import QueueType
from amqpd.broker.browse import Place
from amqpd.broker.content import body as body_of
from amqpd.broker.content import header_payload
from amqpd.broker.expiration import parse_expiration
from amqpd.broker.message import a_run
from amqpd.broker.names import join, split
from amqpd.management import queue as queues
from amqpd.management.access import Needs
from amqpd.management.errors import HttpError, bad_request, not_found
from amqpd.management.listing import Slices
from amqpd.management.message import ANSWER_BYTES, message_facts
from amqpd.management.payload import Number, number
from amqpd.management.request import Answer, json
from amqpd.management.routing import Operation, Route
from amqpd.properties import decode_header

if TYPE_CHECKING:
    from amqpd.broker.browse import Found
    from amqpd.broker.queue import Queue
    from amqpd.management.call import Call
    from amqpd.management.listing import Facts

#: One answer has at most so many messages, and one search looks at so many.
MOST: Final = 1000
SEARCHED: Final = 20_000
#: Looked at in one go.
STEP: Final = 200


class Wish(Struct):
    """What to show."""

    count: Number = 10
    #: Go on behind this place.
    after: str | None = None
    #: Only messages with this text, in either case, in the body, a key or a header.
    search: str = ""
    encoding: Literal["auto", "base64"] = "auto"
    truncate: Number | None = None


class Target(Struct):
    """Where a message goes: a queue of the same vhost."""

    destination: str


class Moving(Struct):
    """Where messages go, those that are delivered next first, and how many at most."""

    destination: str
    count: Number = MOST


def _facts(found: Found, truncate: int | None, encoding: str) -> Facts:
    exchange, routing_key = split(found.names)
    facts: Facts = {
        "place": f"{found.place.level}.{found.place.position}",
        "exchange": exchange,
        "routing_key": routing_key,
        "redelivered": found.redelivered,
        **message_facts(found.content, truncate, encoding),
    }
    if found.entered_ms:
        facts["entered_at"] = found.entered_ms
    if found.deadline_ms:
        facts["expires_at"] = found.deadline_ms
    return facts


def _place(text: str) -> Place:
    level, dot, position = text.partition(".")
    if not (dot and level.isascii() and level.isdecimal() and position.isascii()
            and position.isdecimal() and len(text) < 24):  # fmt: skip
        raise bad_request(f"place '{text}': must be one that a peek has named")
    return Place(int(level), int(position))


async def peek(call: Call) -> Answer:
    """Look at messages without touching them."""
    queue = _queue(call)
    wish = await call.body(Wish)
    count = min(number(wish.count, "count"), MOST)
    truncate = None if wish.truncate is None else number(wish.truncate, "truncate")
    after = None if wish.after is None else _place(wish.after)
    # Encoded first: of octets only ASCII has two cases, on both sides.
    wanted = wish.search.encode(errors="surrogatepass").lower()
    shown: list[Facts] = []
    looked_at = size = 0
    slices = Slices()
    while True:
        step = STEP if wanted else min(STEP, count - len(shown))
        found, last = await _look(call, queue, after, step)
        for one in found:
            looked_at += 1
            after = one.place
            if not wanted or wanted in (one.names + one.content).lower():
                shown.append(_facts(one, truncate, wish.encoding) | {"number": looked_at})
                size += len(one.content)
            if len(shown) >= count or size >= ANSWER_BYTES:
                last = one.place
                break
        after = last
        full = len(shown) >= count or size >= ANSWER_BYTES or looked_at >= SEARCHED
        if after is None or full or not found:
            break
        await slices.pause()
    following = None if after is None else f"{after.level}.{after.position}"
    return json({"messages": shown, "next": following, "looked_at": looked_at})


def _queue(call: Call) -> Queue:
    """The queue of the path, which the caller may read."""
    queue = queues.find(call)
    call.access.read("queue", queue.name)
    if queue.arguments.queue_type is QueueType.STREAM:
        raise bad_request(
            f"'{queue.name}' is a stream: a consumer reads it from any offset, and nothing is "
            "taken out of it"
        )
    return queue


async def _look(
    call: Call, queue: Queue, after: Place | None, most: int
) -> tuple[list[Found], Place | None]:
    arrived: asyncio.Future[tuple[list[Found], Place | None]]
    arrived = asyncio.get_running_loop().create_future()

    def done(found: list[Found], last: Place | None) -> None:
        if not arrived.done():
            arrived.set_result((found, last))

    browse.peek(queue, after, most, done)
    call.host.changed()
    return await arrived


async def _find(call: Call, queue: Queue) -> Found:
    arrived: asyncio.Future[Found | None] = asyncio.get_running_loop().create_future()

    def done(found: Found | None) -> None:
        if not arrived.done():
            arrived.set_result(found)

    browse.find(queue, _place(call.names["place"]), done)
    call.host.changed()
    found = await arrived
    if found is None:
        raise _gone()
    return found


async def show(call: Call) -> Answer:
    """One message with its whole body; it is not touched."""
    queue = _queue(call)
    return json(_facts(await _find(call, queue), None, "auto"))


async def delete(call: Call) -> Answer:
    """Remove one message; it is not dead-lettered."""
    queue = _queue(call)
    found = await _find(call, queue)
    _take_out(queue, found)
    await call.safe(call.broker.journal.next_number())
    return Answer(204)


def _take_out(queue: Queue, found: Found) -> None:
    if not browse.take_out(queue, found):
        raise _gone()


async def pass_on(call: Call, *, keep: bool) -> Answer:
    """Put one message into another queue, too, or there instead."""
    queue = _queue(call)
    target = await call.body(Target)
    _check_destination(call, queue, target.destination, keep=keep)
    found = await _find(call, queue)
    if not _pass(call, queue, found, target.destination, keep=keep):
        raise _refused(target.destination)
    await call.safe(call.broker.journal.next_number())
    return Answer(204)


async def move_some(call: Call) -> Answer:
    """Move messages into another queue, in order; how many were, and how many are left."""
    queue = _queue(call)
    wish = await call.body(Moving)
    most = min(number(wish.count, "count"), MOST)
    _check_destination(call, queue, wish.destination, keep=False)
    moved, refused, slices = 0, False, Slices()
    while moved < most and not refused:
        found, _ = await _look(call, queue, None, min(STEP, most - moved))
        if not found:
            break
        for one in found:
            if not browse.is_there(queue, one):
                continue  # somebody has got it since the look
            refused = not _pass(call, queue, one, wish.destination, keep=False)
            if refused:
                break
            moved += 1
        await slices.pause()
    if refused and not moved:
        raise _refused(wish.destination)
    await call.safe(call.broker.journal.next_number())
    return json({"moved": moved, "left": queue.ready})


def _check_destination(call: Call, queue: Queue, name: str, *, keep: bool) -> None:
    if name not in call.vhost.queues:
        raise bad_request(f"no queue '{name}' in vhost '{call.vhost.name}'")
    if not keep and name == queue.name:
        raise bad_request("the message is in that queue already")


def _refused(name: str) -> HttpError:
    return HttpError(409, "conflict", f"queue '{name}' does not take it")


def _pass(call: Call, queue: Queue, found: Found, destination: str, *, keep: bool) -> bool:
    """Put a message into another queue; False: that one does not take it.

    Raises:
        HttpError: it is to be taken out, and somebody has got it meanwhile; nothing is done.
    """
    if not (keep or browse.is_there(queue, found)):
        raise _gone()
    properties = decode_header(header_payload(found.content))[2]
    path = call.vhost.route(call.access, "", (destination,), properties)
    run = a_run(join("", destination), properties, body_of(found.content))
    priority = -1 if properties.priority is None else properties.priority
    ttl_ms = -1 if properties.expiration is None else parse_expiration(properties.expiration)
    with call.broker.journal.atomic():
        published = call.vhost.publish(path, run, expiration_ms=ttl_ms, priority=priority)
        if published.refused or not published.routed:
            return False
        if not keep:
            _take_out(queue, found)
    return True


def _gone() -> HttpError:
    return not_found("the message is not in the queue any more", "not_found")


copy = partial(pass_on, keep=True)
move = partial(pass_on, keep=False)
copy.__doc__ = "Put a copy of one message into another queue."
move.__doc__ = "Move one message into another queue."

VHOST: Final = Needs.VHOST
ONE: Final = "/queues/{vhost}/{queue}/messages/{place}"
ROUTES: Final = (
    Route("/queues/{vhost}/{queue}/peek", POST=Operation(peek, VHOST, Wish)),
    Route("/queues/{vhost}/{queue}/move", POST=Operation(move_some, VHOST, Moving)),
    Route(ONE, GET=Operation(show, VHOST), DELETE=Operation(delete, VHOST)),
    Route(f"{ONE}/copy", POST=Operation(copy, VHOST, Target)),
    Route(f"{ONE}/move", POST=Operation(move, VHOST, Target)),
)
