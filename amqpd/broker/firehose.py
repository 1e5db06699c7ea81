"""The firehose: copies of all messages of a vhost, for whoever looks for one.

    Firehose(publishing, name, node)
        .on                                             set with the vhost (`tracing`)
        .published(who, run, exchange, keys, queues)    to publish.<exchange>
        .delivered(who, queue, piece)                   to deliver.<queue>
        .taps                                           others that get each copy

While it is on, each message that a client publishes or gets is published once more to the
exchange `amq.rabbitmq.trace`, with what is known of it in the headers and the same body
(RabbitMQ's "Firehose Tracer"). Copies are transient, and are not traced themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from amqpd.broker.content import body, header_payload
from amqpd.broker.message import a_run
from amqpd.broker.names import join, split
from amqpd.broker.routing import routing_keys
from amqpd.errors import PreconditionFailed
from amqpd.fields import Field, wrap
from amqpd.properties import Properties, decode_header, named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from amqpd.broker.publishing import Publishing
    from amqpd.broker.queue import Queue
    from amqpd.broker.run import Run
    from amqpd.broker.stretch import Stretch
    from amqpd.fields import Table

TRACE: Final = "amq.rabbitmq.trace"
#: A routing key is a short string.
KEY_BYTES: Final = 255


@dataclass(frozen=True, slots=True)
class Who:
    """Whose message it is, or who gets it: the connection's name, the channel, the user."""

    connection: str
    channel: int
    user: str


class Firehose:
    """The tracer of one vhost."""

    def __init__(self, publishing: Publishing, vhost: str, node: str) -> None:
        self.on = False
        #: By whoever wants them: called with key, headers and body of each copy.
        self.taps: dict[object, Callable[[str, Table, bytes], None]] = {}
        self._publishing = publishing
        self._vhost = vhost
        self._node = node

    def published(
        self, who: Who, run: Run, exchange: str, keys: Sequence[str], queues: Iterable[Queue]
    ) -> None:
        """Messages came in and were routed."""
        routed = [queue.name for queue in queues if not queue.deleted]
        extra: Table = {"routed_queues": wrap(routed)}
        for index in range(len(run.contents)):
            self._copy(f"publish.{exchange}", who, run, index, exchange, keys, extra)

    def delivered(self, who: Who, queue: str, piece: Stretch) -> None:
        """A client got messages of a queue."""
        extra: Table = {"redelivered": wrap(int(piece.redelivered))}
        for index in range(piece.lo, piece.hi):
            exchange, key = split(piece.run.names_of(index))
            if exchange != TRACE:
                self._copy(
                    f"deliver.{queue}",
                    who,
                    piece.run,
                    index,
                    exchange,
                    _keys(piece.run, index, key),
                    extra,
                )

    def _copy(
        self,
        trace_key: str,
        who: Who,
        run: Run,
        index: int,
        exchange: str,
        keys: Sequence[str],
        extra: Table,
    ) -> None:
        content = run.contents[index]
        properties = decode_header(header_payload(content))[2]
        shown = named(properties)
        if properties.timestamp is not None:
            shown["timestamp"] = Field("l", properties.timestamp)  # RabbitMQ: a number
        headers: Table = {
            "exchange_name": wrap(exchange),
            "routing_keys": wrap(list(keys)),
            "properties": Field("F", shown),
            "node": wrap(self._node),
            "vhost": wrap(self._vhost),
            "connection": wrap(who.connection),
            "channel": wrap(who.channel),
            "user": wrap(who.user),
            **extra,
        }
        key = trace_key.encode()[:KEY_BYTES].decode(errors="ignore")
        octets = body(content)
        for tap in self.taps.values():
            tap(key, headers, octets)
        self._publishing.announce(
            TRACE, key, a_run(join(TRACE, key), Properties(headers=headers), octets)
        )


def _keys(run: Run, index: int, key: str) -> list[str]:
    """The keys that a message was published with, as far as it still says so."""
    headers = decode_header(header_payload(run.contents[index]))[2].headers
    try:
        return routing_keys(key, headers)
    except PreconditionFailed:
        return [key]  # it was not published over AMQP: nobody has checked its headers
