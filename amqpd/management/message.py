"""Messages over HTTP: publish to an exchange, get from a queue."""

from __future__ import annotations

import asyncio
import base64
import binascii
import codecs
from dataclasses import fields
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

from amqpd.broker.content import body as body_of
from amqpd.broker.content import header_payload
from amqpd.broker.delivery import Unacked
from amqpd.broker.expiration import parse_expiration
from amqpd.broker.message import a_run
from amqpd.broker.names import join, split
from amqpd.broker.routing import BCC, routing_keys
from amqpd.fields import plain_table
from amqpd.management import exchange as exchanges
from amqpd.management import queue as queues
from amqpd.management.access import Needs
from amqpd.management.errors import (
    HttpError,
    bad_request,
    exchange_not_found,
    queue_not_found,
)
from amqpd.management.payload import Number, number
from amqpd.management.request import Answer, json
from amqpd.management.routing import Operation, Route
from amqpd.management.table import from_json
from amqpd.properties import Properties, decode_header

if TYPE_CHECKING:
    from amqpd.broker.pressure import Ticket
    from amqpd.broker.publishing import Published
    from amqpd.broker.queue import Got, Queue
    from amqpd.management.call import Call
    from amqpd.management.listing import Facts

#: How long a publish waits for its confirm.
CONFIRM_S: Final = 30.0
#: One answer brings at most this much, or a little more.
ANSWER_BYTES: Final = 64 << 20
_TEXTS: Final = frozenset(
    one.name
    for one in fields(Properties)
    if one.name not in ("headers", "delivery_mode", "priority", "timestamp")
)


class Publication(Struct):
    """A message to publish."""

    routing_key: str
    properties: dict[str, object]
    payload: str
    payload_encoding: str


class Wish(Struct):
    """What to get, and what is to become of it."""

    ackmode: Literal[
        "ack_requeue_true", "ack_requeue_false", "reject_requeue_true", "reject_requeue_false"
    ]
    count: Number
    encoding: Literal["auto", "base64"]
    truncate: Number | None = None


# -- publish -----------------------------------------------------------------------------


async def publish(call: Call) -> Answer:
    """Publish a message; whether it went into a queue."""
    exchange = exchanges.find(call, exchange_not_found())
    message = await call.body(Publication)
    properties = _properties(message.properties)
    payload = _payload(message)
    if len(payload) > call.broker.limits.max_message_bytes:
        limit = call.broker.limits.max_message_bytes
        raise bad_request(f"message size {len(payload)} is larger than configured max size {limit}")
    if call.broker.alarms.reason:
        raise HttpError(503, "service_unavailable", f"publishing: {call.broker.alarms.reason}")
    published = _publish(call, exchange.name, message.routing_key, properties, payload)
    await call.safe(published.number)
    try:
        async with asyncio.timeout(CONFIRM_S):
            for ticket in published.tickets:
                await _open(ticket)
    except TimeoutError as error:
        raise bad_request(
            "confirm_timeout Timed out waiting for a publisher confirm. "
            "The message has been enqueued, and its queue is full."
        ) from error
    return json({"routed": published.routed})


async def _open(ticket: Ticket) -> None:
    """Wait until a full queue has room."""
    room: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def opened() -> None:
        if not room.done():
            room.set_result(None)

    if not ticket.is_open:
        ticket.when_open(opened)
        try:
            await room
        finally:
            ticket.forget(opened)


def _publish(
    call: Call, exchange: str, routing_key: str, properties: Properties, payload: bytes
) -> Published:
    """Publish a message that was read."""
    vhost, access = call.vhost, call.access
    expiration_ms = -1
    if properties.expiration is not None:
        expiration_ms = parse_expiration(properties.expiration)
    keys = routing_keys(routing_key, properties.headers)
    if properties.headers is not None:
        properties.headers.pop(BCC, None)
    vhost.limits.interceptors.stamp(properties, vhost.around.now_ms)
    path = vhost.route(access, exchange, keys, properties)
    if properties.user_id is not None:
        access.check_user_id(properties.user_id)
    priority = -1 if properties.priority is None else properties.priority
    try:
        run = a_run(join(exchange, routing_key), properties, payload)
    except ValueError as error:
        raise bad_request(str(error)) from error
    published = vhost.publish(path, run, expiration_ms=expiration_ms, priority=priority)
    if published.refused:
        raise bad_request("rejected Unable to publish message. Check queue limits.")
    if not published.routed:
        vhost.unroutable(exchange, 1, mandatory=True)
    return published


def _payload(message: Publication) -> bytes:
    if message.payload_encoding == "string":
        return message.payload.encode(errors="surrogatepass")
    if message.payload_encoding != "base64":
        raise bad_request(f"{{unsupported_encoding,{message.payload_encoding}}}")
    try:
        return base64.b64decode(message.payload, validate=True)
    except (binascii.Error, ValueError) as error:
        raise bad_request(f"not_base64: payload: {error}") from error


def _properties(values: dict[str, object]) -> Properties:
    properties = Properties()
    for name, value in values.items():
        if name == "headers":
            if not isinstance(value, dict):
                raise bad_request("headers: not a dictionary")
            properties.headers = from_json(value)
        elif name in ("delivery_mode", "priority", "timestamp"):
            most = (1 << 63) if name == "timestamp" else 256
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < most:
                raise bad_request(f"{{not_int,{name}}}")
            setattr(properties, name, value)
        elif name in _TEXTS:
            if not isinstance(value, str) or len(value.encode(errors="surrogatepass")) > 255:
                raise bad_request(f"{{not_string,{name}}}")
            setattr(properties, name, value)
    return properties


# -- get ---------------------------------------------------------------------------------


async def get(call: Call) -> Answer:
    """Get messages; what becomes of them says `ackmode`."""
    queue = queues.find(call, queue_not_found())
    wish = await call.body(Wish)
    count = number(wish.count, "count")
    truncate = None if wish.truncate is None else number(wish.truncate, "truncate")
    no_ack = wish.ackmode == "ack_requeue_false"
    unacked = Unacked()
    found: list[Facts] = []
    try:
        found, last = await _take(call, queue, unacked, count, no_ack, truncate, wish.encoding)
        await call.safe(last)
    finally:
        taken = unacked.take_all()
        if wish.ackmode == "reject_requeue_false":
            call.vhost.discard(taken)
        else:
            call.vhost.requeue(taken)
        call.host.changed()
    return json(found)


async def _take(
    call: Call,
    queue: Queue,
    unacked: Unacked,
    count: int,
    no_ack: bool,
    truncate: int | None,
    encoding: str,
) -> tuple[list[Facts], int]:
    """Up to `count` messages, and the journal's number before which nobody may see them."""
    found: list[Facts] = []
    last = size = 0
    while len(found) < count and size < ANSWER_BYTES:
        got = await _next(call, queue.name, no_ack)
        if got is None:
            break
        if not no_ack:
            unacked.add(len(found) + 1, got.lane, got.piece, None)
        last = max(last, got.number)
        found.append(_facts(got, truncate, encoding))
        size += len(got.piece.run.contents[got.piece.lo])
    return found, last


async def _next(call: Call, queue: str, no_ack: bool) -> Got | None:
    """The next message; it may have to come from the disk."""
    arrived: asyncio.Future[Got | None] = asyncio.get_running_loop().create_future()

    def done(got: Got | None) -> None:
        if not arrived.done():
            arrived.set_result(got)
        elif got is not None and not no_ack:
            # Nobody waits any more: it goes back.
            unacked = Unacked()
            unacked.add(1, got.lane, got.piece, None)
            call.vhost.requeue(unacked.take_all())

    call.vhost.get(call.access, queue, call, no_ack, done)
    call.host.changed()
    return await arrived


def _facts(got: Got, truncate: int | None, encoding: str) -> Facts:
    piece = got.piece
    exchange, routing_key = split(piece.run.names_of(piece.lo))
    facts = message_facts(piece.run.contents[piece.lo], truncate, encoding)
    return {
        "redelivered": piece.redelivered,
        "exchange": exchange,
        "routing_key": routing_key,
        "message_count": got.remaining,
        **facts,
    }


def message_facts(content: bytes, truncate: int | None, encoding: str) -> Facts:
    """Properties and payload of a message."""
    properties = decode_header(header_payload(content))[2]
    octets = body_of(content)
    shown = octets if truncate is None else octets[: max(0, truncate)]
    payload, kind = _readable(shown, encoding, whole=len(shown) == len(octets))
    return {
        "payload_bytes": len(octets),
        "properties": _property_facts(properties),
        "payload": payload,
        "payload_encoding": kind,
    }


def _readable(octets: bytes, encoding: str, *, whole: bool) -> tuple[str, str]:
    if encoding == "auto":
        try:
            # A text may have been cut within a character: that one is left out.
            return codecs.getincrementaldecoder("utf-8")().decode(octets, final=whole), "string"
        except UnicodeDecodeError:
            pass
    return base64.b64encode(octets).decode(), "base64"


def _property_facts(properties: Properties) -> Facts:
    found: Facts = {}
    for one in fields(Properties):
        value = getattr(properties, one.name)
        if value is not None:
            found[one.name] = plain_table(value) if one.name == "headers" else value
    return found


VHOST: Final = Needs.VHOST
ROUTES: Final = (
    Route("/exchanges/{vhost}/{exchange}/publish", POST=Operation(publish, VHOST, Publication)),
    Route("/queues/{vhost}/{queue}/get", POST=Operation(get, VHOST, Wish)),
)
