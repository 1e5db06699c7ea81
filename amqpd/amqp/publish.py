"""Publishing: from basic.publish to the vhost, in runs.

The codec gathers messages of one channel for one set of queues into a `Group`; what such a
group publishes to is a `Target`, decided once per distinct method frame and kept in the
codec's cache until the topology changes. A message whose properties matter (expiration,
user-id, CC, BCC, direct reply-to, headers exchanges, priorities) comes alone, to `special`.

Order of the checks: rights on the exchange, its existence, internal; then the properties:
direct reply-to, expiration, CC and BCC, rights on topics, user-id. A returned message is
written before its confirm.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from amqpd.amqp import direct_reply, methods
from amqpd.amqp.gathering import Group, Route, Slot
from amqpd.broker import content as contents
from amqpd.broker import fanout
from amqpd.broker.deadletter import carbon_copies
from amqpd.broker.errand import Errand
from amqpd.broker.expiration import parse_expiration
from amqpd.broker.names import join_keys
from amqpd.broker.publishing import Published
from amqpd.broker.routing import BCC, routing_keys
from amqpd.broker.run import Run
from amqpd.errors import NotImplementedHere, PreconditionFailed
from amqpd.properties import Properties, decode_header, encode_header

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from pamqp.commands import Basic

    from amqpd.amqp.channel import Channel
    from amqpd.amqp.direct_reply import ReplyConsumer
    from amqpd.broker.journal import Group as Transaction
    from amqpd.broker.publishing import Path
    from amqpd.broker.queue import Queue

#: basic.return 312 NO_ROUTE, up to exchange and routing key.
_RETURN: Final = b"\x00\x3c\x00\x32\x01\x38\x08NO_ROUTE"
_PERSISTENT: Final = 2
#: A message without expiration, or without priority.
NONE: Final = -1


@dataclass(slots=True, eq=False)
class Target:
    """What one basic.publish method frame stands for; `path` None: a direct reply."""

    exchange: str
    routing_key: str
    mandatory: bool
    path: Path | None


@dataclass(frozen=True, slots=True)
class Publication:
    """A run on its way into queues, routed already."""

    run: Run
    exchange: str
    mandatory: bool
    path: Path
    expiration_ms: int = NONE
    priority: int = NONE
    reply: ReplyConsumer | None = None
    #: What it was routed by.
    keys: Sequence[str] = ()

    @property
    def is_wide(self) -> bool:
        """Too much for one turn."""
        return self.reply is None and fanout.is_wide(self.path)


class Publisher:
    """The publishing side of one channel."""

    __slots__ = ("_channel", "_groups", "_paths", "_slots", "dropped", "published", "returned")

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._groups: dict[tuple[str, tuple[Queue, ...], bool], Group] = {}
        self._slots: dict[object, Slot] = {}
        #: Of exchanges that do not look at routing keys.
        self._paths: dict[str, Path] = {}
        #: Messages by exchange, and those that no queue got: sent back, or lost.
        self.published: dict[str, int] = {}
        self.returned = 0
        self.dropped = 0

    def forget(self) -> None:
        """The topology or the rights have changed: nothing that was routed is valid."""
        self._groups.clear()
        self._slots.clear()
        self._paths.clear()

    # -- a new method frame ----------------------------------------------------------------

    def target(self, method: Basic.Publish) -> Target:
        """Look up where a method frame leads.

        Raises:
            AmqpError: the method asks for `immediate`, the user may not, there is no such
                exchange, or it is internal.
        """
        if method.immediate:
            raise NotImplementedHere("immediate=true")
        channel = self._channel
        exchange, key = method.exchange, method.routing_key
        path: Path | None = self._paths.get(exchange)
        if path is None:
            path = channel.vhost.resolve(channel.access, exchange, key)
            if path.for_all_keys:
                self._paths[exchange] = path
        if not exchange and key.startswith(direct_reply.PREFIX):
            path = None
        return Target(exchange, key, method.mandatory, path)

    def route(self, target: Target) -> Route:
        """What the codec needs to gather the messages of a target."""
        path = target.path
        names = methods.names(target.exchange, target.routing_key)
        count = self._channel.count
        if path is None or path.each:
            return Route(names, None, count, False, target)
        # Not the tally: routes to many different sets of queues share one.
        same = (target.exchange, path.queues, target.mandatory)
        group = self._groups.get(same)
        if group is None:
            group = self._groups[same] = self._group(path, target)
        return Route(names, group, count, path.wants_priority, target)

    def _group(self, path: Path, target: Target, priority: int = NONE) -> Group:
        slots = []
        for queue in path.queues:
            place: object = queue
            if queue.priorities.matter:
                # Each level of a queue has an order of its own.
                place = queue, queue.priorities.level_of(priority)
            slot = self._slots.get(place)
            if slot is None:
                slot = self._slots[place] = Slot()
            slots.append(slot)
        group = Group(self._channel.count, target, slots, path.refuses, priority)
        group.apart = any(queue.length.is_limited for queue in path.queues)
        return group

    def level(self, group: Group, priority: int) -> Group:
        """A group for the same messages with another priority."""
        target = group.target
        assert isinstance(target, Target)
        assert target.path is not None
        return self._group(target.path, target, priority)

    # -- messages --------------------------------------------------------------------------

    def publish(  # hot: S1b, S2
        self,
        target: Target,
        run: Run,
        numbers: list[int] | None,
        expiration_ms: int = NONE,
        priority: int = NONE,
        expirations: list[int] | None = None,
        parts: list[tuple[int, int, int]] | None = None,
    ) -> None:
        """A run of messages that need no closer look; see `Group` for the rest."""
        channel = self._channel
        path = target.path
        assert path is not None
        if len(path.queues) > fanout.WIDE and channel.tx is None and path.keeping is None:
            self._publish_widely(
                self._singly(
                    target, path, run, numbers, expiration_ms, priority, expirations, parts
                )
            )
            return
        if parts is not None:
            self._publish_parts(target, path, run, numbers, expiration_ms, expirations, parts)
            return
        if expirations is not None:
            publishing = channel.vhost.publishing
            whole = channel.tx is None and (numbers is None or publishing.is_one(path, run))
            if not (whole and publishing.date(path, run, expirations)):
                for index, ttl_ms in enumerate(expirations):
                    own = None if numbers is None else numbers[index : index + 1]
                    self.publish(target, run.single(index), own, ttl_ms, priority)
                return
        if channel.tx is not None:
            channel.tx.publish(
                Publication(run, target.exchange, target.mandatory, path, expiration_ms, priority)
            )
            return
        if numbers is not None and not channel.vhost.publishing.is_one(path, run):
            for index, number in enumerate(numbers):
                one = run.single(index)
                self._publish(target, path, one, [number], expiration_ms, priority)
            return
        self._publish(target, path, run, numbers, expiration_ms, priority)

    def _publish_parts(
        self,
        target: Target,
        path: Path,
        run: Run,
        numbers: list[int] | None,
        expiration_ms: int,
        expirations: list[int] | None,
        parts: list[tuple[int, int, int]],
    ) -> None:
        """A run of messages of several priorities: as one, or one priority after the other."""
        publishing = self._channel.vhost.publishing
        if (
            self._channel.tx is None
            and (numbers is None or publishing.is_one(path, run))
            and (expirations is None or publishing.date(path, run, expirations))
        ):
            self._publish(target, path, run, numbers, expiration_ms, NONE, parts)
            return
        for priority, low, high in parts:
            self.publish(
                target,
                run.part(low, high),
                None if numbers is None else numbers[low:high],
                expiration_ms,
                priority,
                None if expirations is None else expirations[low:high],
            )

    def _publish(  # hot: S1b, S2
        self,
        target: Target,
        path: Path,
        run: Run,
        numbers: list[int] | None,
        expiration_ms: int,
        priority: int,
        parts: list[tuple[int, int, int]] | None = None,
    ) -> None:
        channel = self._channel
        published = channel.vhost.publish(
            path, run, expiration_ms=expiration_ms, priority=priority, parts=parts
        )
        self._look_at(published, run, target.exchange, target.mandatory)
        self._confirm(published, numbers)

    def _confirm(self, published: Published, numbers: Iterable[int] | None) -> None:  # hot: S2
        """What confirms have to know of; `numbers`: those of the run's messages."""
        confirms = self._channel.confirms
        if confirms is None:
            return
        if published.refused and numbers is not None:
            for number in numbers:
                confirms.refuse(number)
        else:
            confirms.add(published)

    def special(self, target: Target, content: bytes) -> None:
        """One message whose properties have to be looked at.

        Raises:
            AmqpError: see the order of checks above.
        """
        channel = self._channel
        publication = self._look_into(target, content)
        number = channel.count.published
        if channel.tx is not None:
            channel.tx.publish(publication)
        elif publication.is_wide:
            self._publish_widely([(publication, [number])])
        else:
            self._confirm(self.send(publication), [number])

    def send(self, publication: Publication) -> Published:
        """Publish what was routed; a mandatory message without a queue goes back."""
        run = publication.run
        if publication.reply is not None:
            published = Published(routed=publication.reply.deliver(run))
        else:
            published = self._channel.vhost.publish(
                publication.path,
                run,
                expiration_ms=publication.expiration_ms,
                priority=publication.priority,
            )
        self._sent(publication, published)
        return published

    def _sent(self, publication: Publication, published: Published) -> None:
        run = publication.run
        self._look_at(published, run, publication.exchange, publication.mandatory)
        firehose = self._channel.vhost.firehose
        if firehose.on:
            who, queues = self._channel.who(), publication.path.queues
            firehose.published(who, run, publication.exchange, publication.keys, queues)

    # -- into very many queues ---------------------------------------------------------------

    def _publish_widely(self, publications: Iterable[tuple[Publication, list[int] | None]]) -> None:
        """Publish, one after the other, what is too much for one turn.

        All that the connection wants meanwhile waits for its end: order is as if it had been done
        at once.
        """
        channel = self._channel
        around = channel.broker.around
        through = False

        def steps() -> Iterator[None]:
            nonlocal through
            for publication, numbers in publications:
                published = yield from self._send_alone(publication)
                self._confirm(published, numbers)
            through = True

        def done() -> None:
            if not through:
                channel.connection.fail()  # the log has what went wrong

        errand = Errand(steps(), around, fanout.PART_COST, fanout.SHARE)
        errand.begin(fanout.AT_ONCE)
        errand.when_done(done)
        if not errand.is_done:
            channel.connection.wait_within(errand.when_done)

    def _send_alone(self, publication: Publication) -> Generator[None, None, Published]:
        journal = self._channel.broker.journal
        while journal.open is not None:
            yield  # there is one of its kind at a time
        transaction = journal.begin()
        try:
            return (yield from self.send_widely(publication, transaction))
        finally:
            journal.end()

    def send_widely(
        self, publication: Publication, transaction: Transaction
    ) -> Generator[None, None, Published]:
        """The same as `send` step by step, within a transaction."""
        published = yield from fanout.fan_out(
            self._channel.vhost.publishing,
            publication.path,
            publication.run,
            transaction,
            expiration_ms=publication.expiration_ms,
            priority=publication.priority,
        )
        if self._channel.is_open:
            with self._channel.broker.journal.inside(transaction):
                self._sent(publication, published)
        return published

    def _singly(
        self,
        target: Target,
        path: Path,
        run: Run,
        numbers: list[int] | None,
        expiration_ms: int,
        priority: int,
        expirations: list[int] | None,
        parts: list[tuple[int, int, int]] | None,
    ) -> Iterator[tuple[Publication, list[int] | None]]:
        """The pieces of a run that have the same properties and the same fate, in their order."""
        publishing = self._channel.vhost.publishing
        is_one = numbers is None or publishing.is_one(path, run)
        if expirations is not None and parts is None and is_one:
            expirations = None if publishing.date(path, run, expirations) else expirations
        for level, low, high in parts or [(priority, 0, len(run.contents))]:
            step = high - low if is_one and expirations is None else 1
            for at in range(low, high, step):
                piece = run
                if step < len(run.contents):
                    piece = run.single(at) if step == 1 else run.part(at, at + step)
                ttl_ms = expiration_ms if expirations is None else expirations[at]
                yield (
                    Publication(piece, target.exchange, target.mandatory, path, ttl_ms, level),
                    None if numbers is None else numbers[at : at + step],
                )

    def _look_at(self, published: Published, run: Run, exchange: str, mandatory: bool) -> None:
        """Count; and what the publisher has to hear or heed, before anything is confirmed."""
        count = len(run.contents)
        self.published[exchange] = self.published.get(exchange, 0) + count
        if self._channel.confirms is not None:
            self._channel.vhost.stats.wanting_confirms += count
        if published.crowded is not None:
            self._channel.connection.crowding = published.crowded
        if published.full:
            self._channel.connection.blocking.filled(published.full, count)
        if not published.routed:
            vhost = self._channel.vhost
            vhost.unroutable(exchange, count, mandatory=mandatory)
            if mandatory:
                self.returned += count
                self.give_back(run)
            else:
                self.dropped += count

    def give_back(self, run: Run) -> None:
        """Return messages that no queue has taken."""
        channel = self._channel
        output = channel.output
        for index, content in enumerate(run.contents):
            payload = _RETURN + run.names_of(index)
            channel.replies.send(
                partial(output.outbox.content, channel.number, payload, content, output.frame_max)
            )
        output.touch()

    # -- properties ------------------------------------------------------------------------

    def _look_into(self, target: Target, content: bytes) -> Publication:
        channel = self._channel
        _, size, properties = decode_header(contents.header_payload(content))
        changed = self._rewrite_reply_to(properties)
        publishing = channel.vhost.publishing
        if publishing.interceptors.on:
            changed |= publishing.interceptors.stamp(properties, publishing.around.now_ms)
        expiration_ms = NONE
        if properties.expiration is not None:
            expiration_ms = parse_expiration(properties.expiration)
        headers = properties.headers
        keys = routing_keys(target.routing_key, headers)
        blind = b""
        if headers is not None and (copies := headers.pop(BCC, None)) is not None:
            changed = True
            blind = join_keys(carbon_copies({BCC: copies}, BCC))
        path = channel.vhost.route(channel.access, target.exchange, keys, properties)
        if properties.user_id is not None:
            channel.access.check_user_id(properties.user_id)
        if changed:
            header = encode_header(properties, size)
            content = contents.build(channel.number, header, contents.body(content))
        names = methods.names(target.exchange, target.routing_key)
        persistent = properties.delivery_mode == _PERSISTENT
        run = Run([content], names, None, persistent, channel.number, len(content))
        run.blind = blind
        priority = NONE if properties.priority is None else properties.priority
        reply = None
        if target.path is None:
            reply = channel.reply_consumers.find(channel.vhost.name, target.routing_key)
        return Publication(
            run, target.exchange, target.mandatory, path, expiration_ms, priority, reply, keys
        )

    def _rewrite_reply_to(self, properties: Properties) -> bool:
        if properties.reply_to not in direct_reply.PSEUDO_QUEUES:
            return False
        consumer = self._channel.reply_consumer
        if consumer is None:
            raise PreconditionFailed("fast reply consumer does not exist")
        properties.reply_to = consumer.name
        return True
