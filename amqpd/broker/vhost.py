"""A vhost: exchanges, queues and bindings by name, and what clients may do with them.

Every operation of a protocol on a definition is a method here; it checks permissions first,
so that nobody can probe for names, then whether the thing is there, then whether the request
fits it (the order RabbitMQ uses; its texts too). What changes becomes a command, applied by
the catalogue and nothing else, and goes to the journal if it is durable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from amqpd.broker import arguments as arguments_of
from amqpd.broker.arguments import TimeoutReset
from amqpd.broker.binding import Binding, Destination
from amqpd.broker.catalogue import Answer, Catalogue, binding_of
from amqpd.broker.definitions import (
    DestinationKind,
    PutBinding,
    PutExchange,
    PutQueue,
)
from amqpd.broker.delivery import acked, requeued
from amqpd.broker.exchange import create, type_of
from amqpd.broker.publishing import PURGED
from amqpd.broker.queue import Queue
from amqpd.errors import (
    AccessRefused,
    InternalError,
    NotFound,
    PreconditionFailed,
    ResourceLocked,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from amqpd.broker.consumer import Consumer
    from amqpd.broker.delivery import Taken
    from amqpd.broker.events import Facts
    from amqpd.broker.exchange import Exchange
    from amqpd.broker.levels import Part
    from amqpd.broker.permissions import Access
    from amqpd.broker.publishing import Path, Published
    from amqpd.broker.queue import Got
    from amqpd.broker.ring import Subscription
    from amqpd.broker.run import Run
    from amqpd.fields import Table
    from amqpd.properties import Properties

RESERVED: Final = "amq."


@dataclass(frozen=True, slots=True)
class QueueInfo:
    """What queue.declare answers."""

    name: str
    ready: int
    consumers: int


def _strip(name: str) -> str:
    """RabbitMQ takes line breaks out of the names of exchanges and queues."""
    return name.replace("\r", "").replace("\n", "")


class VHost(Catalogue):
    """One vhost."""

    # -- exchanges -----------------------------------------------------------------------

    def declare_exchange(
        self,
        access: Access,
        name: str,
        kind: str,
        *,
        passive: bool,
        durable: bool,
        auto_delete: bool,
        internal: bool,
        arguments: Table,
    ) -> Answer[None]:
        """Create an exchange, or see that the existing one is the same."""
        name = _strip(name)
        if not name:
            raise AccessRefused("operation not permitted on the default exchange")
        if passive:
            access.any_of("exchange", name)
            self._exchange(name)
            return Answer(None)
        type_of(self.types, kind)  # as RabbitMQ: before anybody looks what is there
        access.configure("exchange", name)
        command = PutExchange(
            self.name,
            name,
            kind,
            durable,
            auto_delete,
            internal,
            dict(arguments),
            self.around.events.by,
        )
        existing = self.exchanges.get(name)
        if existing is not None:
            arguments_of.check_equivalent_exchange(existing.definition, command)
            return Answer(None, self._number_of_definitions(durable))
        self._check_reserved("exchange", name)
        self.check_free("exchange", name)
        self.capacity.check_exchange(self, name)
        create(self.types, command)  # refuses what the type does not know
        alternate = arguments_of.alternate_exchange(self.name, name, arguments)
        if alternate is not None:
            access.read("exchange", name)
            access.write("exchange", alternate)
        self._advice.exchange(self.name, name, arguments)
        return Answer(None, self._change(command, durable))

    def delete_exchange(self, access: Access, name: str, *, if_unused: bool) -> Answer[None]:
        """Remove an exchange and its bindings; one that is not there is fine."""
        name = _strip(name)
        if not name:
            raise AccessRefused("operation not permitted on the default exchange")
        if name.startswith(RESERVED):
            raise AccessRefused(
                f"deletion of system exchange '{name}' in vhost '{self.name}' not allowed"
            )
        access.configure("exchange", name)
        exchange = self.exchanges.get(name)
        if exchange is None:
            return Answer(None)
        if if_unused and (self.bindings_from(exchange) if self.leaving else exchange.bindings):
            raise PreconditionFailed(f"exchange '{name}' in vhost '{self.name}' in use")
        return self._remove_exchange(exchange)

    # -- bindings ------------------------------------------------------------------------

    def bind(
        self,
        access: Access,
        source: str,
        destination: str,
        destination_kind: DestinationKind,
        routing_key: str,
        arguments: Table,
        owner: object | None,
    ) -> Answer[None]:
        """Bind a queue or an exchange to an exchange; doing it twice is fine."""
        source, target = self._check_binding(
            access, source, destination, destination_kind, routing_key
        )
        exchange = self._exchange(source)
        if target.kind == "queue":
            self._queue(target.name, owner)
        else:
            self._exchange(target.name)
        command = PutBinding(
            self.name,
            source,
            target.name,
            destination_kind,
            routing_key,
            dict(arguments),
        )
        binding = binding_of(command)
        durable = self._is_durable(exchange, target)
        if binding in exchange.bindings:
            return Answer(None, self._number_of_definitions(durable))
        exchange.validate(binding, self.limits)
        if not exchange.keeps:
            return Answer(None, self._change(command, durable))
        with self.around.journal.atomic():
            self._change(command, durable)
            exchange.bound(binding)
        return Answer(None, self.around.journal.last if durable else 0)

    def unbind(
        self,
        access: Access,
        source: str,
        destination: str,
        destination_kind: DestinationKind,
        routing_key: str,
        arguments: Table,
        owner: object | None,
    ) -> Answer[None]:
        """Remove a binding; one that is not there is fine, nor need its ends be there."""
        source, target = self._check_binding(
            access, source, destination, destination_kind, routing_key
        )
        exchange = self.exchanges.get(source)
        binding = Binding(source, target, routing_key, dict(arguments))
        if exchange is None or binding not in exchange.bindings or target in self.leaving:
            return Answer(None)
        if target.kind == "queue":
            self._queue(target.name, owner)
        return self._remove_binding(binding)

    def _check_binding(
        self,
        access: Access,
        source: str,
        destination: str,
        kind: DestinationKind,
        routing_key: str,
    ) -> tuple[str, Destination]:
        """The rights; names without line breaks."""
        source, destination = _strip(source), _strip(destination)
        access.write(kind, destination)
        if not source or (kind == "exchange" and not destination):
            raise AccessRefused("operation not permitted on the default exchange")
        access.read("exchange", source)
        exchange = self.exchanges.get(source)
        if exchange is not None and exchange.has_topics:
            access.topic_read(source, routing_key)
        return source, Destination(kind, destination)

    # -- queues --------------------------------------------------------------------------

    def declare_queue(
        self,
        access: Access,
        name: str,
        *,
        passive: bool,
        durable: bool,
        exclusive: bool,
        auto_delete: bool,
        arguments: Table,
        owner: object,
    ) -> Answer[QueueInfo]:
        """Create a queue, or see that the existing one is the same."""
        name = _strip(name)
        if passive:
            access.any_of("queue", name)
            queue = self._queue(name, owner)
            queue.use()
            return Answer(self._info(queue))
        if name.startswith(RESERVED):
            self._check_reserved("queue", name)
        arguments = arguments_of.declared_type(
            arguments,
            self.default_queue_type or self.limits.default_queue_type,
            durable=durable,
            exclusive=exclusive,
            auto_delete=auto_delete,
        )
        if name:
            return self._declare_named(
                access, name, durable, exclusive, auto_delete, arguments, owner
            )
        prefix, arguments = arguments_of.take_name_prefix(arguments)
        with access.naming(lambda: f"{prefix}-{self.new_token()}") as name:
            return self._declare_named(
                access, name, durable, exclusive, auto_delete, arguments, owner
            )

    def _declare_named(
        self,
        access: Access,
        name: str,
        durable: bool,
        exclusive: bool,
        auto_delete: bool,
        arguments: Table,
        owner: object,
    ) -> Answer[QueueInfo]:
        access.configure("queue", name)
        self.stats.queues_declared += 1
        existing = self.queues.get(name)
        if existing is not None:
            self._check_owner(existing, owner if exclusive else None)
            arguments_of.check_equivalent_queue(
                existing,
                durable=durable and not exclusive,
                auto_delete=auto_delete,
                arguments=arguments,
                relaxed=self.limits.relaxed_redeclaration,
            )
            existing.use()
            return Answer(self._info(existing), self._number_of_definitions(existing.durable))
        return self._create_queue(
            access, name, durable and not exclusive, exclusive, auto_delete, arguments, owner
        )

    def _create_queue(
        self,
        access: Access,
        name: str,
        durable: bool,
        exclusive: bool,
        auto_delete: bool,
        arguments: Table,
        owner: object,
    ) -> Answer[QueueInfo]:
        self.check_free("queue", name)
        self.capacity.check_queue(self, name)
        if not (durable or exclusive or self.limits.transient_nonexclusive):
            raise InternalError(
                f"queue '{name}' in vhost '{self.name}': feature `transient_nonexcl_queues` is "
                "deprecated and not permitted here; declare it durable or exclusive"
            )
        dead_letter = arguments_of.dead_letter_exchange(self.name, name, arguments)
        if dead_letter is not None:
            access.read("queue", name)
            access.write("exchange", dead_letter)
        command = self._with_lanes(
            PutQueue(
                self.name,
                name,
                durable,
                exclusive,
                auto_delete,
                dict(arguments),
                (),
                self.around.events.by,
            )
        )
        self._advice.queue(self.name, name, arguments)
        self.stats.queues_created += 1
        number = self._change(command, durable, owner)
        return Answer(QueueInfo(name, 0, 0), number)

    def delete_queue(
        self, access: Access, name: str, *, if_unused: bool, if_empty: bool, owner: object | None
    ) -> Answer[int]:
        """Remove a queue with its messages; how many nobody had."""
        name = _strip(name)
        access.configure("queue", name)
        queue = self.queues.get(name)
        if queue is None:
            return Answer(0)
        self._check_owner_of(queue, owner)
        queue.catch_up()
        if if_unused and queue.ring:
            raise PreconditionFailed(f"queue '{name}' in vhost '{self.name}' in use")
        if if_empty and queue.waiting:
            raise PreconditionFailed(f"queue '{name}' in vhost '{self.name}' not empty")
        return self.remove_queue(queue)

    def purge_queue(self, access: Access, name: str, owner: object) -> Answer[int]:
        """Remove what is ready; how many."""
        name = _strip(name)
        access.read("queue", name)
        queue = self._queue(name, owner)
        queue.catch_up()
        count, number = queue.purge()
        if count:
            self.publishing.drop(PURGED, count)
        if self.around.events.on:
            facts: Facts = {"name": name, "vhost": self.name, "messages": count}
            self.around.events.tell("queue.purged", facts)
        return Answer(count, number)

    # -- messages ------------------------------------------------------------------------

    def consume(
        self, access: Access, name: str, consumer: Consumer, *, exclusive: bool, owner: object
    ) -> Subscription:
        """Begin to hand messages of a queue to a consumer."""
        name = _strip(name)
        access.read("queue", name)
        queue = self._queue(name, owner)
        parsed = arguments_of.parse_consumer(
            self.name, name, queue.arguments.queue_type, consumer.arguments
        )
        queue.admit(consumer, exclusive=exclusive)
        consumer.priority = parsed.priority or consumer.priority
        consumer.timeout_ms = queue.ack_timeout_ms(parsed.consumer_timeout_ms)
        reset = parsed.consumer_timeout_reset or queue.arguments.consumer_timeout_reset
        consumer.restarts_timeout = reset is TimeoutReset.ACK
        self._advice.consumer(self.name, name, consumer.arguments)
        subscription = queue.attach(consumer, exclusive=exclusive)
        consumer.queue = subscription
        return subscription

    def cancel(self, consumer: Consumer) -> None:
        """End a consumer; what it has not settled stays with its channel."""
        subscription = consumer.queue
        if subscription is not None:
            consumer.queue = None
            subscription.cancel()

    def get(
        self,
        access: Access,
        name: str,
        owner: object,
        no_ack: bool,
        done: Callable[[Got | None], None],
    ) -> None:
        """One message, by `done`: at once, or when the head of the queue is in memory."""
        name = _strip(name)
        access.read("queue", name)
        queue = self._queue(name, owner)
        arguments = queue.arguments
        if (
            arguments.single_active_consumer
            and arguments.queue_type is arguments_of.QueueType.QUORUM
        ):
            raise ResourceLocked(
                f"cannot obtain access to locked queue '{name}' in vhost '{self.name}'. basic.get "
                "operations are not supported by quorum queues with single active consumer"
            )
        queue.get(no_ack, done)

    def resolve(self, access: Access, exchange: str, routing_key: str) -> Path:
        """See `Publishing.resolve`."""
        return self.publishing.resolve(access, exchange, routing_key)

    def route(
        self, access: Access, exchange: str, keys: Sequence[str], properties: Properties
    ) -> Path:
        """See `Publishing.route`."""
        return self.publishing.route(access, exchange, keys, properties)

    def publish(
        self,
        path: Path,
        run: Run,
        *,
        expiration_ms: int = -1,
        priority: int = -1,
        parts: list[Part] | None = None,
    ) -> Published:
        """See `Publishing.publish`."""
        return self.publishing.publish(
            path, run, expiration_ms=expiration_ms, priority=priority, parts=parts
        )

    def unroutable(self, exchange: str, count: int, *, mandatory: bool) -> None:
        """Count messages that no queue got; they go back to the publisher or are lost."""
        source = self.exchanges.get(exchange)
        for counted in (self.stats, source.tallies) if source is not None else (self.stats,):
            if mandatory:
                counted.returned += count
            else:
                counted.dropped += count

    def settle(self, taken: list[Taken]) -> None:  # hot: S2
        """Deliveries were acknowledged."""
        acked(taken)

    def requeue(self, taken: list[Taken], *, failed: bool = False) -> None:
        """Deliveries go back to their queues, into their old places.

        `failed`: they count against the delivery limit, as in RabbitMQ those do that were
        rejected or whose channel is gone, and not those that were given back (nack, recover).
        """
        back = requeued(taken, failed)
        owners: dict[Queue, int] = {}
        for lane, pieces in back.items():
            owner = lane.owner
            assert isinstance(owner, Queue)
            owners[owner] = owners.get(owner, 0) + owner.requeue(lane, pieces, failed=failed)
        if len(owners) < len(back):
            for owner, count in owners.items():
                if owner.returned is not None:
                    owner.returned.sort(count)

    def discard(self, taken: Sequence[Taken]) -> None:
        """Deliveries were rejected for good: to the dead letter exchange, if there is one."""
        for queue, some in _by_queue(taken).items():
            queue.discard(some)

    # -- what the checks share -----------------------------------------------------------

    def _exchange(self, name: str) -> Exchange:
        exchange = self.exchanges.get(name)
        if exchange is None:
            raise NotFound(f"no exchange '{name}' in vhost '{self.name}'")
        return exchange

    def _queue(self, name: str, owner: object | None) -> Queue:
        queue = self.queues.get(name)
        if queue is None:
            raise NotFound(f"no queue '{name}' in vhost '{self.name}'")
        self.enforcement.refresh(queue)
        self._check_owner_of(queue, owner)
        return queue

    def _check_owner_of(self, queue: Queue, owner: object | None) -> None:
        if queue.owner is not None:
            self._check_owner(queue, owner)

    def _check_owner(self, queue: Queue, owner: object | None) -> None:
        if queue.owner is not owner:
            raise ResourceLocked(
                f"cannot obtain exclusive access to locked queue '{queue.name}' in vhost "
                f"'{self.name}'. It could be originally declared on another connection or the "
                "exclusive property value does not match that of the original declaration."
            )

    def _check_reserved(self, kind: str, name: str) -> None:
        if name.startswith(RESERVED):
            raise AccessRefused(f"{kind} name '{name}' contains reserved prefix 'amq.*'")

    def _number_of_definitions(self, durable: bool) -> int:
        """What a repeated declaration waits for: that the first one is on disk.

        Not for what has been published since, which may be much.
        """
        return self.around.journal.defined if durable else 0

    def _info(self, queue: Queue) -> QueueInfo:
        queue.catch_up()
        return QueueInfo(queue.name, queue.ready, len(queue.ring))


def _by_queue(taken: Sequence[Taken]) -> dict[Queue, list[Taken]]:
    queues: dict[Queue, list[Taken]] = {}
    for one in taken:
        owner = one.lane.owner
        if not one.lane.dead:
            assert isinstance(owner, Queue)
            queues.setdefault(owner, []).append(one)
    return queues
