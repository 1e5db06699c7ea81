"""Removal: what one operation removes, and what goes with it, in as many turns as it takes.

A queue goes with its bindings, an exchange with those from it and to it, and with them the
auto-delete exchanges that only they kept alive. The thing itself is gone at once: nobody finds
it any more, and one command in the journal takes it and its bindings away. What is left of
the bindings in memory is cleared away step by step; of few at once, of many in the next turns.
Until the last of them is gone the name is not free: whoever declares it again waits
(`Leaving`), so that a new thing never has old bindings. Whoever asked for the removal is answered
when all of it is done.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from amqpd.broker.access import Undecided
from amqpd.broker.binding import Destination
from amqpd.broker.definitions import DeleteBinding, DeleteExchange, DeleteQueue
from amqpd.broker.errand import Awaited
from amqpd.broker.publishing import DELETED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from amqpd.broker.binding import Binding
    from amqpd.broker.catalogue import Catalogue
    from amqpd.broker.exchange import Exchange
    from amqpd.broker.queue import Queue

#: Steps that are made at once, about 3 us each where a binding goes.
AT_ONCE: Final = 256
#: What a step costs, in units of `Surroundings.spare`: a binding, a queue or an exchange.
BINDING_COST: Final = 4
THING_COST: Final = 25
#: What is left to others of a turn.
RESERVE: Final = 2_000


class Leaving(Undecided):
    """A name is not free yet: what had it is still being cleared away. Wait and ask again."""

    def __init__(self, removal: Removal) -> None:
        Exception.__init__(self, "the name is not free yet")
        self._removal = removal

    def find_out(self, done: Callable[[], None]) -> None:
        """`done()` when it is free."""
        self._removal.when_done(done)


class _Clearing(NamedTuple):
    """What is gone, the bindings that are left of it, and what is told at a queue's end."""

    what: Destination
    bindings: Iterator[Binding]
    command: DeleteQueue | DeleteExchange
    queue: Queue | None


class Removal(Awaited):
    """One removal; see the module."""

    def __init__(self, catalogue: Catalogue, by: str = "") -> None:
        """`by` whom; empty: whoever is acting now."""
        super().__init__()
        self._catalogue = catalogue
        #: The journal's number that must be safe before the removal is confirmed.
        self.number = 0
        self._clearing: list[_Clearing] = []
        self._queues: deque[tuple[Queue, bool]] = deque()
        self._exchanges: list[Exchange] = []
        self._by = by or catalogue.around.events.by

    # -- what goes -----------------------------------------------------------------------

    def later(self, queues: Iterable[Queue], *, unused: bool = False) -> None:
        """Queues that go in steps to come; `unused`: only if they still are."""
        self._queues += [(queue, unused) for queue in queues]

    def queue(self, queue: Queue) -> int:
        """A queue goes, now; how many messages nobody had."""
        catalogue = self._catalogue
        around = catalogue.around
        if queue.paused is not None:
            # First: a queue of that name that is made later must not begin paused.
            around.resume(queue)
        if left := queue.messages:
            catalogue.publishing.drop(DELETED, left)
        command = DeleteQueue(catalogue.name, queue.name)
        if queue.durable:
            around.journal.define(command)
        count = self.take_queue(command)
        catalogue.publishing.morgues.clear(queue)
        if queue.durable:
            self.number = around.journal.last
        return count

    def take_queue(self, command: DeleteQueue) -> int:
        """The same for the model alone, of a command that was decided on before."""
        to = Destination("queue", command.name)
        queue, count = self._catalogue.take_queue(command)
        self._clear(to, self._catalogue.incoming.take(to), command, queue)
        return count

    def exchange(self, exchange: Exchange) -> None:
        """An exchange goes, now."""
        catalogue = self._catalogue
        self.number = max(self.number, catalogue.shelves.clear(exchange.name))
        command = DeleteExchange(catalogue.name, exchange.name)
        if exchange.durable:
            self.number = catalogue.around.journal.define(command)
        self.take_exchange(command)

    def take_exchange(self, command: DeleteExchange) -> None:
        """The same for the model alone, of a command that was decided on before."""
        to = Destination("exchange", command.name)
        exchange = self._catalogue.take_exchange(command)
        bindings = self._catalogue.incoming.take(to)
        if exchange is not None:
            own = (one for one in bindings if one.source != command.name)
            bindings = [*exchange.bindings, *own]
            exchange.bindings = {}
        self._clear(to, bindings, command, None)

    def _clear(
        self,
        what: Destination,
        bindings: list[Binding],
        command: DeleteQueue | DeleteExchange,
        queue: Queue | None,
    ) -> None:
        if not bindings or isinstance(command, DeleteExchange):
            self._tell(command, queue)  # RabbitMQ's order: an exchange, then its bindings
        if bindings:
            self._catalogue.leaving[what] = self
            self._clearing.append(_Clearing(what, iter(bindings), command, queue))

    def _tell(
        self, command: DeleteQueue | DeleteExchange | DeleteBinding, queue: Queue | None = None
    ) -> None:
        events = self._catalogue.around.events
        before, events.by = events.by, self._by
        self._catalogue.tell(command, queue)
        events.by = before

    def unbound(self, exchange: Exchange) -> None:
        """A binding from it has gone: an auto-delete exchange goes with its last one."""
        if exchange.auto_delete and not exchange.bindings:
            self._exchanges.append(exchange)

    # -- step by step --------------------------------------------------------------------

    def begin(self) -> bool:
        """Do what can be done at once; True: that was all, False: the rest is done in turns."""
        for _ in range(AT_ONCE):
            if not self._step():
                self._end()
                return True
        self._catalogue.around.work_off(self)
        return False

    def run(self) -> bool:
        """Do what this turn allows; True: that was all."""
        around = self._catalogue.around
        try:
            while around.spare > RESERVE:
                cost = self._step()
                if not cost:
                    self._end()
                    return True
                around.spare -= cost
        except BaseException:
            self._end()
            raise
        self._catalogue.routes_changed()
        return False

    def finish(self) -> None:
        """Do the rest at once."""
        while not self.is_done:
            if not self._step():
                self._end()

    def _step(self) -> int:
        """One thing less; what it costs, 0 if there was nothing left to do."""
        if self._clearing:
            return self._clear_one(self._clearing[-1])
        if self._exchanges:
            exchange = self._exchanges.pop()
            there = self._catalogue.exchanges.get(exchange.name)
            if there is exchange and not exchange.bindings:
                self.exchange(exchange)
            return THING_COST
        if self._queues:
            queue, unused = self._queues.popleft()
            if unused and queue.ring:
                queue.expire_when_unused(self._catalogue.unused)  # somebody has come meanwhile
            elif not queue.deleted:
                self.queue(queue)
            return THING_COST
        return 0

    def _clear_one(self, clearing: _Clearing) -> int:
        """One binding less of what is gone."""
        catalogue = self._catalogue
        binding = next(clearing.bindings, None)
        if binding is None:
            self._clearing.remove(clearing)
            del catalogue.leaving[clearing.what]
            if isinstance(clearing.command, DeleteQueue):
                self._tell(clearing.command, clearing.queue)
            return BINDING_COST
        if catalogue.around.events.on:
            self._tell(unbinding(catalogue.name, binding))
        if binding.destination != clearing.what:
            catalogue.incoming.remove(binding)  # it led from there
        else:
            source = catalogue.exchanges.get(binding.source)
            if source is not None and source.unbind(binding):
                self.unbound(source)
        return BINDING_COST

    def _end(self) -> None:
        for clearing in self._clearing:  # something has failed: the names are free all the same
            del self._catalogue.leaving[clearing.what]
        self._clearing.clear()
        self._catalogue.routes_changed()
        super()._end()


def unbinding(vhost: str, binding: Binding) -> DeleteBinding:
    """The command that removes a binding."""
    return DeleteBinding(
        vhost,
        binding.source,
        binding.destination.name,
        binding.destination.kind,
        binding.routing_key,
        binding.arguments,
    )
