"""`/api/stream`: what RabbitMQ's stream plugin has over HTTP.

There are no connections of its own protocol here, so their lists are empty; positions of
consumers with a name, and super streams, are the same over AMQP 0-9-1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from amqpd.broker.stream import Stream
from amqpd.errors import AmqpError
from amqpd.fields import Field, wrap
from amqpd.management import queue as queues
from amqpd.management.access import Needs
from amqpd.management.cluster import none_of_these
from amqpd.management.errors import HttpError, bad_request
from amqpd.management.payload import Number, number
from amqpd.management.request import Answer, json
from amqpd.management.routing import Operation, Route
from amqpd.management.table import from_json

if TYPE_CHECKING:
    from amqpd.broker.access import Access
    from amqpd.management.call import Call

#: Partitions of a super stream.
MOST_PARTITIONS: Final = 1000


class SuperStream(Struct, rename="kebab"):
    """Either so many partitions, or one for each binding key of a list in text."""

    partitions: Number | None = None
    binding_keys: str | None = None
    arguments: dict[str, object] = field(default_factory=dict)
    node: str | None = None


async def tracking(call: Call) -> Answer:
    """How far consumers of a stream with a name are."""
    stream = queues.find(call)
    call.access.read("queue", stream.name)
    if not isinstance(stream, Stream):
        raise bad_request("not_stream_queue")
    return json({"offsets": dict(stream.tracked), "sequences": {}})


async def put_super_stream(call: Call) -> Answer:
    """Declare a super stream: an exchange, and a stream for each of its partitions."""
    body = await call.body(SuperStream)
    name, vhost = call.names["name"], call.vhost
    keys, streams = _partitions(name, body)
    taken = [one for one in streams if one in vhost.queues]
    if name in vhost.exchanges or taken:
        raise bad_request(f"'{(taken or [name])[0]}' is there already")
    arguments = from_json({**body.arguments, "x-queue-type": "stream"})
    journal, access = call.broker.journal, call.access
    _permitted(access, name, streams)
    try:
        with journal.atomic():
            vhost.declare_exchange(
                access,
                name,
                "direct",
                passive=False,
                durable=True,
                auto_delete=False,
                internal=False,
                arguments={"x-super-stream": wrap(True)},
            )
            for place, (key, stream) in enumerate(zip(keys, streams, strict=True)):
                vhost.declare_queue(
                    access,
                    stream,
                    passive=False,
                    durable=True,
                    exclusive=False,
                    auto_delete=False,
                    arguments=arguments,
                    owner=call,
                )
                order = {"x-stream-partition-order": Field("l", place)}
                vhost.bind(access, name, stream, "queue", key, order, None)
    except AmqpError:
        # All of it or nothing, though the first were allowed.
        for stream in streams:
            if stream in vhost.queues:
                vhost.remove_queue(vhost.queues[stream])
        if name in vhost.exchanges:
            vhost.delete_exchange(access, name, if_unused=False)
        raise
    await call.safe(journal.last)
    return Answer(204)


def _permitted(access: Access, name: str, streams: list[str]) -> None:
    """See whether all of it may be declared and bound, before any of it is.

    Raises:
        AccessRefused: it may not.
        Undecided: somebody has to be asked; nothing is there yet that would be in the way when
            all this is run again.
    """
    access.configure("exchange", name)
    access.read("exchange", name)
    for stream in streams:
        access.configure("queue", stream)
        access.write("queue", stream)


def _partitions(name: str, body: SuperStream) -> tuple[list[str], list[str]]:
    """The binding keys and the streams."""
    if body.partitions is not None:
        count = number(body.partitions, "partitions")
        keys = [str(place) for place in range(min(count, MOST_PARTITIONS + 1))]
    elif body.binding_keys is not None:
        keys = [key for key in map(str.strip, body.binding_keys.split(",")) if key]
    else:
        raise bad_request("Must specify partitions or binding keys")
    if not 0 < len(keys) <= MOST_PARTITIONS:
        raise bad_request(f"a super stream has from 1 to {MOST_PARTITIONS} partitions")
    if len(set(keys)) != len(keys):
        raise bad_request("binding keys must differ")
    return keys, [f"{name}-{key}" for key in keys]


async def no_connection(call: Call) -> Answer:
    """A connection of the stream protocol, of which there are none."""
    raise HttpError(
        404, "not_found", "streams are read and written over AMQP 0-9-1: see /api/connections"
    )


_CONNECTION: Final = "/stream/connections/{vhost}/{name}"
_VISIBLE: Final = Needs.VHOST_VISIBLE
ROUTES: Final = (
    Route("/stream/connections", GET=Operation(none_of_these, Needs.MONITOR)),
    Route("/stream/connections/{vhost}", GET=Operation(none_of_these, _VISIBLE)),
    Route(
        _CONNECTION,
        GET=Operation(no_connection, _VISIBLE),
        DELETE=Operation(no_connection, _VISIBLE),
    ),
    Route(f"{_CONNECTION}/publishers", GET=Operation(no_connection, _VISIBLE)),
    Route(f"{_CONNECTION}/consumers", GET=Operation(no_connection, _VISIBLE)),
    Route("/stream/publishers", GET=Operation(none_of_these, Needs.MONITOR)),
    Route("/stream/publishers/{vhost}", GET=Operation(none_of_these, _VISIBLE)),
    Route("/stream/publishers/{vhost}/{queue}", GET=Operation(none_of_these, _VISIBLE)),
    Route("/stream/consumers", GET=Operation(none_of_these, Needs.MONITOR)),
    Route("/stream/consumers/{vhost}", GET=Operation(none_of_these, _VISIBLE)),
    Route(
        "/stream/super-streams/{vhost}/{name}",
        PUT=Operation(put_super_stream, Needs.VHOST, SuperStream),
    ),
    Route("/stream/{vhost}/{queue}/tracking", GET=Operation(tracking, Needs.VHOST)),
)
