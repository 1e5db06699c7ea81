"""The catalogue of a vhost: its exchanges, queues and bindings by name.

    Catalogue(name, around=…, …)
        .apply(command)         carry out a command: the only way in which definitions change
        .restore(command)       the same for what a document of definitions has
        .remove_queue(queue)    with its bindings, and the exchanges that only they kept alive
        .release(owner), .close()   what goes with a connection, and with the vhost

Nobody's rights are looked at here: see `vhost`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from amqpd.broker import arguments as arguments_of
from amqpd.broker.advice import Advice
from amqpd.broker.arguments import QueueType
from amqpd.broker.binding import Binding, Destination, DestinationIndex
from amqpd.broker.definitions import (
    Command,
    DeleteBinding,
    DeleteExchange,
    DeleteQueue,
    PutBinding,
    PutExchange,
    PutParameter,
    PutQueue,
)
from amqpd.broker.enforcement import Enforcement
from amqpd.broker.events import INTERNAL
from amqpd.broker.exchange import ANNOUNCING, create, predeclared
from amqpd.broker.firehose import Firehose
from amqpd.broker.publishing import Publishing
from amqpd.broker.queue import Queue
from amqpd.broker.removal import RESERVE, THING_COST, Leaving, Removal, unbinding
from amqpd.broker.shelf import Shelves
from amqpd.broker.stats import VhostStats
from amqpd.broker.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from amqpd.broker.capacity import Capacity
    from amqpd.broker.definitions import DestinationKind
    from amqpd.broker.exchange import Exchange
    from amqpd.broker.lane import Lane
    from amqpd.broker.limits import Limits
    from amqpd.broker.pause import Pause
    from amqpd.broker.surroundings import Surroundings
    from amqpd.fields import Table

T = TypeVar("T")

#: Queues of a vhost that is gone which are let go in one slice, at 5 us each.
QUEUES_A_SLICE: Final = 500


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What to answer, and the journal's number that must be safe before (0 = at once)."""

    value: T
    number: int = 0
    #: It is not all done yet: `number` comes with its end.
    removal: Removal | None = None


class Catalogue:
    """What one vhost has.

    `revision` changes whenever a route, a permission or a policy may have: what a session
    keeps of routes is valid for one revision.
    """

    def __init__(
        self,
        name: str,
        *,
        around: Surroundings,
        limits: Limits,
        types: Mapping[str, type[Exchange]],
        new_token: Callable[[], str],
        capacity: Capacity,
    ) -> None:
        self.name = name
        self.around = around
        self.limits = limits
        self.types = types
        self.new_token = new_token
        self.capacity = capacity
        #: What queues are that do not say it; empty: as the broker's limits say.
        self.default_queue_type = ""
        self.revision = 0
        made = predeclared(types, name, announcing=name == around.events.home)
        self.exchanges: dict[str, Exchange] = {one.name: one for one in made}
        self.queues: dict[str, Queue] = {}
        self.incoming = DestinationIndex()
        #: What is gone, and whose bindings are still being cleared away.
        self.leaving: dict[Destination, Removal] = {}
        self._unused: Removal | None = None
        self.enforcement = Enforcement(
            self.exchanges, self.queues, around.timers, self.routes_changed
        )
        self.stats = VhostStats()
        self.publishing = Publishing(
            name,
            self.exchanges,
            self.queues,
            around,
            self.enforcement.refresh,
            self.stats,
            interceptors=limits.interceptors,
        )
        self.firehose = Firehose(self.publishing, name, capacity.presence.node)
        self._is_traced = False
        self.shelves = Shelves(name, self.exchanges, self.publishing, around)
        self._exclusive: dict[object, dict[str, None]] = {}
        #: Queues that are paused, by name, and those that will be once they are there.
        self._paused: dict[str, Pause] = {}
        self._advice = Advice()

    # -- definitions -------------------------------------------------------------------------

    def routes_changed(self) -> None:
        """What sessions remember of routes and rights is old."""
        self.revision += 1
        self.publishing.morgues.look()

    def apply(self, command: Command, owner: object | None = None) -> int:
        """Carry out a command that was checked; the number of messages it removed."""
        self.revision += 1
        match command:
            case PutExchange():
                exchange = create(self.types, command)
                exchange.attach(self.shelves)
                self.enforcement.enter_exchange(exchange)
                self.exchanges[command.name] = exchange
                self.tell(command)
            case DeleteExchange():
                removal = Removal(self)
                removal.take_exchange(command)
                removal.finish()
            case PutQueue() | DeleteQueue() if self._hidden(command):
                pass  # no client can see it
            case PutQueue():
                self._put_queue(command, owner)
            case DeleteQueue():
                removal = Removal(self)
                count = removal.take_queue(command)
                removal.finish()
                return count
            case PutBinding():
                binding = binding_of(command)
                if self._source(command).bind(binding):
                    self.incoming.add(binding)
                    self.tell(command)
            case DeleteBinding():
                binding = binding_of(command)
                self.tell(command)
                self.incoming.remove(binding)
                source = self.exchanges.get(command.source)
                if source is not None:
                    source.unbind(binding)
            case _:
                raise AssertionError(f"not a command of a vhost: {command}")
        self.publishing.morgues.look()
        return 0

    def _source(self, command: PutBinding) -> Exchange:
        name = command.source
        if name in ANNOUNCING and name not in self.exchanges:
            # Another vhost was told of events when it was bound: it stays, and hears nothing.
            self.exchanges[name] = create(
                self.types,
                PutExchange(self.name, name, "topic", True, False, True, declared_by=INTERNAL),
            )
        return self.exchanges[name]

    def tell(self, command: Command, queue: Queue | None = None) -> None:
        """Tell those who listen to events what was done."""
        events = self.around.events
        if events.on:
            events.changed(command, queue)

    def _hidden(self, command: PutQueue | DeleteQueue) -> bool:
        return self.shelves.apply(command) or self.publishing.morgues.apply(command)

    def _put_queue(self, command: PutQueue, owner: object | None) -> None:
        parsed = arguments_of.parse_queue(
            self.name,
            command.name,
            command.arguments,
            durable=command.durable,
            exclusive=command.exclusive,
            auto_delete=command.auto_delete,
        )
        kind = Stream if parsed.queue_type is QueueType.STREAM else Queue
        queue = kind(
            self.name,
            command.name,
            durable=command.durable,
            owner=owner if command.exclusive else None,
            auto_delete=command.auto_delete,
            declared=command.arguments,
            arguments=parsed,
            lanes=command.lanes,
            around=self.around,
            total=self.stats.totals[parsed.queue_type],
            declared_by=command.declared_by,
        )
        queue.paused = self._paused.get(command.name)
        self.queues[command.name] = queue
        self.enforcement.enter_queue(queue)
        if queue.owner is not None:
            self._exclusive.setdefault(owner, {})[command.name] = None
        queue.expire_when_unused(self.unused)
        self.tell(command, queue)

    def take_queue(self, command: DeleteQueue) -> tuple[Queue, int]:
        """A queue goes, its bindings do not yet; how many messages nobody had."""
        self.revision += 1
        queue = self.queues.pop(command.name)
        if queue.owner is not None:
            self._exclusive.get(queue.owner, {}).pop(command.name, None)
        count = queue.waiting
        self.stats.queues_deleted += 1
        queue.delete()
        return queue, count

    def take_exchange(self, command: DeleteExchange) -> Exchange | None:
        """An exchange goes, its bindings do not yet."""
        self.revision += 1
        exchange = self.exchanges.pop(command.name, None)
        if exchange is not None:
            self.stats.exchange_gone(exchange)
        return exchange

    def _change(self, command: Command, durable: bool, owner: object | None = None) -> int:
        """Apply, and journal if durable; the number to wait for."""
        number = self.around.journal.define(command) if durable else 0
        self.apply(command, owner)
        return number

    def recovered(self) -> None:
        """All definitions, and the lanes, are as the store had them at start."""
        for queue in self.queues.values():
            queue.recovered()
        self.shelves.recovered()
        self.publishing.morgues.recovered(self.queues)

    def restore(self, command: PutExchange | PutQueue | PutBinding) -> None:
        """Make what a document of definitions has, if it is not there (see `restoring`)."""
        if isinstance(command, PutExchange | PutQueue):
            command = replace(command, declared_by=self.around.events.by)
        match command:
            case PutExchange():
                self._finish_leaving("exchange", command.name)
                if command.name not in self.exchanges:
                    self._change(command, command.durable)
            case PutQueue():
                self._finish_leaving("queue", command.name)
                if command.name not in self.queues:
                    self.stats.queues_created += 1
                    self._change(self._with_lanes(command), command.durable)
            case _:
                self._restore_binding(command)

    def _finish_leaving(self, kind: DestinationKind, name: str) -> None:
        if (removal := self.leaving.get(Destination(kind, name))) is not None:
            removal.finish()

    def _restore_binding(self, command: PutBinding) -> None:
        binding = binding_of(command)
        source, target = self.exchanges.get(command.source), binding.destination
        there = self.queues if target.kind == "queue" else self.exchanges
        if source is None or target.name not in there or binding in source.bindings:
            return
        self._change(command, self._is_durable(source, target))
        if source.keeps:
            source.bound(binding)

    def _with_lanes(self, command: PutQueue) -> PutQueue:
        """The command with ids for the levels of its queue."""
        parsed = arguments_of.parse_queue(
            self.name,
            command.name,
            command.arguments,
            durable=command.durable,
            exclusive=command.exclusive,
            auto_delete=command.auto_delete,
        )
        levels = 1 + (parsed.max_priority or 0)
        make = self.around.new_lane_id if command.durable else int
        return replace(command, lanes=tuple(make() for _ in range(levels)))

    def trace(self, on: bool) -> None:
        """Copy all messages to the firehose from now on, or none any more."""
        self._is_traced = on
        on = on or bool(self.firehose.taps)
        if on != self.firehose.on:
            self.firehose.on = self.publishing.traced = on
            self.routes_changed()

    def tap(self, who: object, tap: Callable[[str, Table, bytes], None] | None) -> None:
        """Give somebody a copy of each message, too, or nothing any more (None)."""
        if tap is None:
            self.firehose.taps.pop(who, None)
        else:
            self.firehose.taps[who] = tap
        self.trace(self._is_traced)

    def pause(self, name: str, pause: Pause | None) -> None:
        """Hold the consumers of a queue back from now on, or not any more (None)."""
        if pause is None:
            self._paused.pop(name, None)
        else:
            self._paused[name] = pause
        queue = self.queues.get(name)
        if queue is not None:
            queue.paused = pause
            queue.wake()

    def lanes(self) -> Iterator[Lane]:
        """The lanes of all queues and of what exchanges keep."""
        for queue in self.queues.values():
            yield from queue.lanes
        for shelf in self.shelves:
            yield shelf.lane
        for morgue in self.publishing.morgues:
            yield from morgue.lanes

    # -- what goes, and what goes with it ----------------------------------------------------

    def remove_queue(self, queue: Queue, by: str = "") -> Answer[int]:
        """Remove a queue, its bindings and the exchanges that only they kept alive."""
        removal = Removal(self, by)
        count = removal.queue(queue)
        return self._answered(count, removal)

    def _remove_exchange(self, exchange: Exchange) -> Answer[None]:
        """Remove an exchange with its bindings, and those that only they kept alive."""
        removal = Removal(self)
        removal.exchange(exchange)
        return self._answered(None, removal)

    def _remove_binding(self, binding: Binding) -> Answer[None]:
        """Remove a binding, and exchanges that only it kept alive: clients can make long chains."""
        exchange = self.exchanges[binding.source]
        removal = Removal(self)
        durable = self._is_durable(exchange, binding.destination)
        removal.number = self._change(unbinding(self.name, binding), durable)
        removal.unbound(exchange)
        return self._answered(None, removal)

    def _answered(self, value: T, removal: Removal) -> Answer[T]:
        return Answer(value, removal.number) if removal.begin() else Answer(value, 0, removal)

    def check_free(self, kind: DestinationKind, name: str) -> None:
        """See that nothing of that name is still being cleared away.

        Raises:
            Leaving: wait for its end.
        """
        if self.leaving and (removal := self.leaving.get(Destination(kind, name))) is not None:
            raise Leaving(removal)

    def bindings(self) -> Iterator[Binding]:
        """Those between things that are there."""
        return (one for one in self.incoming if one.source in self.exchanges)

    def bindings_from(self, exchange: Exchange) -> list[Binding]:
        """Those that lead from an exchange to things that are there."""
        return [one for one in exchange.bindings if one.destination not in self.leaving]

    def _is_durable(self, source: Exchange, target: Destination) -> bool:
        """A binding is durable when both its ends are."""
        if target.kind == "queue":
            return source.durable and self.queues[target.name].durable
        return source.durable and self.exchanges[target.name].durable

    def unused(self, queue: Queue) -> None:
        """The last consumer of an auto-delete queue is gone, or its lease has ended."""
        if queue.deleted:
            return
        if self.around.spare > RESERVE:
            self.around.spare -= THING_COST
            self.remove_queue(queue, INTERNAL)
            return
        if self._unused is None or self._unused.is_done:
            self._unused = Removal(self, INTERNAL)
            self._unused.later([queue], unused=True)
            self.around.work_off(self._unused)
        else:
            self._unused.later([queue], unused=True)

    def release(self, owner: object) -> Removal:
        """A connection is gone: its exclusive queues go with it."""
        names = self._exclusive.pop(owner, {})
        removal = Removal(self, INTERNAL)
        removal.later([queue for name in names if (queue := self.queues.get(name)) is not None])
        removal.begin()
        return removal

    def tell_of_exchanges(self) -> None:
        """The vhost is new: those that every vhost has were made."""
        for one in self.exchanges.values():
            self.tell(
                PutExchange(
                    self.name,
                    one.name,
                    one.kind,
                    one.durable,
                    one.auto_delete,
                    one.internal,
                    one.arguments,
                )
            )

    def close(self, parameters: Sequence[PutParameter] = ()) -> None:
        """The vhost is gone: nothing is found here any more, and its queues go in slices.

        Whoever deletes the vhost has written down that all of it is gone, as one command. Once
        the last queue is gone the rest is told of, as RabbitMQ has it: exchanges, the vhost, and
        what were its parameters.
        """
        events, exchanges = self.around.events, [*self.exchanges]
        going = deque(self.queues.values())
        for queue in going:
            queue.condemn()
        self.queues.clear()
        self.shelves.close()
        self.publishing.morgues.close()
        self.exchanges.clear()
        self.revision += 1
        by = events.by
        self._dismantle(
            going, by, lambda: events.vhost_deleted(self.name, by, exchanges, parameters),
            self.around.now_ms,
        )  # fmt: skip

    def _dismantle(
        self, going: deque[Queue], by: str, tell: Callable[[], None], now_ms: int
    ) -> None:
        """Let the first of these queues go, and in the next millisecond the others."""
        events, lanes = self.around.events, list[int]()
        before, events.by = events.by, by
        for _ in range(min(len(going), QUEUES_A_SLICE)):
            queue = going.popleft()
            lanes += queue.dismantle()
            if events.on:
                events.changed(DeleteQueue(self.name, queue.name), queue)
        events.by = before
        if lanes:
            self.around.journal.drop(tuple(lanes))
        if going:
            timers = self.around.timers
            timers.at(now_ms + 1, lambda now_ms: self._dismantle(going, by, tell, now_ms))
        elif events.on:
            tell()


def binding_of(command: PutBinding | DeleteBinding) -> Binding:
    """The binding that a command makes or removes."""
    destination = Destination(command.destination_kind, command.destination)
    return Binding(command.source, destination, command.routing_key, command.arguments)
