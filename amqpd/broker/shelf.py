"""Shelves: where exchanges put messages that they keep for later.

    Shelf        one lane of the store, behind a queue that no client can see
    Kept         a message on it
    Shelves      all of a vhost's, and what exchanges may ask of their vhost (`Host`)

A shelf of a durable exchange is defined by a `PutQueue` under a name that no client can give
a queue (it has line ends in it), so the store knows it as it knows any queue and after a
start its messages are there. A shelf has no order of its own: the exchange gives each message
a position, remembers what it wants to have in memory, and reads the rest back by position. A
position must not be used twice while the message on it may still be on disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from amqpd.broker.content import header_payload
from amqpd.broker.definitions import DeleteQueue, PutQueue
from amqpd.broker.lane import Lane
from amqpd.broker.rows import assemble
from amqpd.fields import Field
from amqpd.properties import Properties, decode_header

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from amqpd.broker.arguments import QueueType
    from amqpd.broker.binding import Destination
    from amqpd.broker.exchange import Exchange
    from amqpd.broker.publishing import Publishing
    from amqpd.broker.rows import Row
    from amqpd.broker.run import Append, Run
    from amqpd.broker.surroundings import Surroundings

PREFIX: Final = "amq.shelf"
#: What tells people who look into the store what such a queue is for.
PURPOSE: Final = "x-internal-purpose"


class Kept(NamedTuple):
    """A message on a shelf: a run of one."""

    position: int
    deadline_ms: int
    run: Run

    @property
    def properties(self) -> Properties:
        """Its properties."""
        return decode_header(header_payload(self.run.contents[0]))[2]


class Shelf:
    """Messages of one exchange under positions that the exchange gives them."""

    def __init__(
        self, exchange: str, label: str, durable: bool, lane_id: int, around: Surroundings
    ) -> None:
        self.exchange = exchange
        self.label = label
        self.durable = durable
        self.lane = Lane(self, around.journal.log, lane_id, 0, durable)
        self._around = around

    @property
    def name(self) -> str:
        """The name of its queue in the store."""
        return "\n".join((PREFIX, self.exchange, self.label))

    @property
    def stored(self) -> int:
        """Messages of it that are in the store or on their way there."""
        return self.lane.stored

    @property
    def next_position(self) -> int:
        """Above all positions that were used so far."""
        return self.lane.next_position

    @property
    def is_gone(self) -> bool:
        """It was cleared away, or its exchange or vhost is gone."""
        return self.lane.dead

    def put(
        self, run: Run, position: int, deadline_ms: int = 0, *, spill: bool = False
    ) -> tuple[Kept, Append | None]:
        """Put a message there, a run of one that is in no queue.

        What must survive goes to the store, and with `spill` everything: then it comes back
        by `read` once it `is_safe`, and need not be kept in memory.
        """
        lane = self.lane
        lane.next_position = max(lane.next_position, position + 1)
        kept = Kept(position, deadline_ms, run)
        if not (spill or (run.persistent and self.durable)):
            return kept, None
        if lane.id == 0:
            lane.id = self._around.new_lane_id()
        entry = self._around.journal.append(run, [(lane, position, deadline_ms)])
        return kept, entry

    def is_safe(self, number: int) -> bool:
        """Whether what has this number in the journal is on disk."""
        return number <= self._around.journal.safe

    def remove(self, kept: Kept) -> None:
        """Take a message away for good."""
        self.lane.settle(kept.run, kept.position, 0, 1)

    def read(
        self,
        from_position: int,
        upto_position: int,
        most: int,
        done: Callable[[list[Kept], int], None],
    ) -> None:
        """`done(messages, upto)`: those in the store below `upto`, in order of position.

        Only what was on disk when this was called is certain to be among them.
        """

        def arrived(rows: list[Row], seen: int) -> None:
            if not self.is_gone:
                done([_kept(row) for row in rows], seen)

        self._around.refill(self.lane.id, from_position, upto_position, most, READ_BYTES, arrived)

    def wake(self) -> None:
        """Something of it is on disk; nobody waits for that here."""


#: One read brings at most so much.
READ_BYTES: Final = 4 << 20


def _kept(row: Row) -> Kept:
    (stretch,) = assemble([row], 0)
    return Kept(row[0], row[2], stretch.run)


class Shelves:
    """The shelves of one vhost, and what its exchanges may ask of it."""

    def __init__(
        self,
        vhost: str,
        exchanges: Mapping[str, Exchange],
        publishing: Publishing,
        around: Surroundings,
    ) -> None:
        self._vhost = vhost
        self._exchanges = exchanges
        self._publishing = publishing
        self._around = around
        self._shelves: dict[str, Shelf] = {}

    def __iter__(self) -> Iterator[Shelf]:
        return iter(self._shelves.values())

    # -- definitions ---------------------------------------------------------------------

    def apply(self, command: PutQueue | DeleteQueue) -> bool:
        """Carry out a command if it is about a shelf."""
        if not command.name.startswith(PREFIX + "\n"):
            return False
        if isinstance(command, PutQueue):
            _, exchange, label = command.name.split("\n")
            lane_id = command.lanes[0]
            shelf = Shelf(exchange, label, command.durable, lane_id, self._around)
            self._shelves[command.name] = shelf
        else:
            self._close(self._shelves.pop(command.name))
        return True

    def recovered(self) -> None:
        """All definitions are back after a start: exchanges get what they had kept."""
        for shelf in list(self._shelves.values()):
            exchange = self._exchanges.get(shelf.exchange)
            if exchange is None:
                self.clear_away(shelf)
            else:
                exchange.take_over(shelf)

    def clear(self, exchange: str) -> int:
        """An exchange is being deleted; the journal's number for it (0 = none)."""
        number = 0
        for shelf in [each for each in self if each.exchange == exchange]:
            number = max(number, self._clear_away(shelf))
        return number

    def close(self) -> None:
        """The vhost is gone."""
        for shelf in self:
            self._close(shelf)
        self._shelves.clear()

    def _close(self, shelf: Shelf) -> None:
        shelf.lane.dead = True
        self._around.lane_gone(shelf.lane.id)

    # -- for exchanges -------------------------------------------------------------------

    @property
    def now_ms(self) -> int:
        """The broker's time."""
        return self._around.now_ms

    def queue_type(self, name: str) -> QueueType | None:
        """The type of a queue; None if there is none of that name."""
        queue = self._publishing.queues.get(name)
        return None if queue is None else queue.arguments.queue_type

    def at(self, when_ms: int, call: Callable[[int], None]) -> None:
        """`call(now_ms)` once at that time."""
        self._around.timers.at(when_ms, call)

    def shelf(self, exchange: Exchange, label: str) -> Shelf:
        """A new place for messages, durable if the exchange is; labels differ."""
        durable = exchange.durable
        lane_id = self._around.new_lane_id() if durable else 0
        command = PutQueue(
            self._vhost,
            "\n".join((PREFIX, exchange.name, label)),
            durable,
            False,
            False,
            {PURPOSE: Field("S", f"{exchange.kind} {exchange.name}")},
            (lane_id,),
        )
        if durable:
            self._around.journal.define(command)
        self.apply(command)
        return self._shelves[command.name]

    def clear_away(self, shelf: Shelf) -> None:
        """A shelf is not needed any more; what is on it is gone."""
        self._clear_away(shelf)

    def _clear_away(self, shelf: Shelf) -> int:
        command = DeleteQueue(self._vhost, shelf.name)
        number, lane_id = 0, int(shelf.lane.id)
        if shelf.durable:
            number = self._around.journal.define(command)
        self.apply(command)
        return self._around.journal.drop((lane_id,)) if lane_id else number

    def hand_over(self, destination: Destination, kept: Kept) -> None:
        """A copy of a kept message goes to a queue, or on from another exchange."""
        self._publishing.hand_over(destination, kept)

    def release(
        self, exchange: Exchange, shelf: Shelf, kept: Kept, run: Run, keys: Sequence[str]
    ) -> None:
        """Publish `run` from `exchange` on, and take `kept` off the shelf: in one."""
        with self._around.journal.atomic():
            self._publishing.go_on(exchange, run, keys)
            shelf.remove(kept)
