"""Morgue: dead letters that nobody takes yet.

With `x-dead-letter-strategy: at-least-once` and `x-overflow: reject-publish` a queue is sure of
its dead letters: as long as the dead letter exchange is missing, or leads nowhere, or one of
the queues at its end has no room, they stay with it. They do so in a queue behind it that no
client can see, with its backlog on disk; from there they go on once something has changed
that may let them: routes, or room. Moving one is one journal entry, as all dead lettering.
Those of any queue wait there for the next turns where each goes into so many queues that one
turn is too short for all.

A dead letter that cannot go holds up those behind it only if there are many like it
(`MOST_STUCK`, RabbitMQ's prefetch of 32). Nobody tries again and again: a look follows a
change, and the next one not before `PAUSE_MS`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from amqpd.broker.arguments import QueueArguments
from amqpd.broker.content import header_payload
from amqpd.broker.deadletter import exhume
from amqpd.broker.definitions import DeleteQueue, PutQueue
from amqpd.broker.names import join, split, split_keys
from amqpd.broker.queue import Queue
from amqpd.fields import Field
from amqpd.properties import decode_header

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from amqpd.broker.publishing import Publishing
    from amqpd.broker.run import Run
    from amqpd.broker.stretch import Stretch
    from amqpd.broker.surroundings import Surroundings

logger = logging.getLogger(__name__)

PREFIX: Final = "amq.dead"
PURPOSE: Final = "x-internal-purpose"
MOST_STUCK: Final = 32
PAUSE_MS: Final = 100
#: What a look at a dead letter costs, in units of `Surroundings.spare`.
TRY_COST: Final = 30


class Morgue(Queue):
    """The dead letters of one queue that wait."""

    def __init__(self, command: PutQueue, around: Surroundings, publishing: Publishing) -> None:
        super().__init__(
            command.vhost,
            command.name,
            durable=command.durable,
            owner=None,
            auto_delete=False,
            declared=command.arguments,
            arguments=QueueArguments(),
            lanes=command.lanes,
            around=around,
        )
        self.source = _source_of(command.name)
        self._publishing = publishing
        #: Those that could not go, out of the queue and still in the store.
        self._stuck: list[Stretch] = []
        self._changed = False
        self._tried_ms = 0
        self._is_later = False

    @property
    def messages(self) -> int:
        """All of them."""
        return self.ready + len(self._stuck)

    @property
    def size_bytes(self) -> int:
        """Their bodies."""
        stuck = sum(piece.run.bytes_of(piece.lo, piece.hi) for piece in self._stuck)
        return self.ready_bytes + stuck

    def keep(self, run: Run) -> None:
        """A dead letter, a run of one, waits from now on."""
        lane = self.lanes[0]
        stores = self.stores(run, lane)
        base = self.put(run, lane, 0)
        if stores:
            self.around.journal.append(run, [(lane, base, 0)])

    def look(self) -> None:
        """Something has changed that may let them go."""
        self._changed = True
        self.wake()

    def purge(self) -> tuple[int, int]:
        """Drop all of them."""
        for piece in self._stuck:
            self._settle(piece)
        count, number = len(self._stuck), 0
        self._stuck = []
        if count and self.durable:
            number = self.around.journal.next_number()
        more, last = super().purge()
        return count + more, max(number, last)

    # -- out -----------------------------------------------------------------------------

    def _act(self, bounded: bool) -> None:
        if self._changed and self._stuck:
            self._try_again()
        around = self.around
        while len(self._stuck) < MOST_STUCK and (lane := self.paging.head()) is not None:
            if around.spare <= 0 or self._publishing.burials.is_spent:
                self.go_on_later()
                break
            piece = lane.remove(1)
            if not self._try(piece):
                self._stuck.append(piece)
        self.paging.look()

    def _try_again(self) -> None:
        now_ms = self.around.now_ms
        again_ms = self._tried_ms + PAUSE_MS
        if now_ms < again_ms:
            if not self._is_later:
                self._is_later = True
                self.around.timers.at(again_ms, self._look_later)
            return
        self._changed, self._tried_ms = False, now_ms
        self._stuck = [piece for piece in self._stuck if not self._try(piece)]

    def _look_later(self, now_ms: int) -> None:
        self._is_later = False
        self.wake()

    def _try(self, piece: Stretch) -> bool:
        """Send one where it belongs by now; True: it is gone from here."""
        self.around.spare -= TRY_COST
        publishing = self._publishing
        queue = publishing.queues.get(self.source)
        if queue is None:
            return False
        publishing.refresh(queue)
        run = piece.run.single(int(piece.lo))
        exchange, key = split(run.names)
        burial = exhume(
            decode_header(header_payload(run.contents[0]))[2],
            key,
            new_key=queue.arguments.dead_letter_routing_key,
            blind=split_keys(run.blind),
        )
        exchange = queue.arguments.dead_letter_exchange or exchange
        run.names = join(exchange, burial.keys[0])
        with self.around.journal.atomic():
            refusing = publishing.burials.send(queue, exchange, run, burial)
            if refusing is not None and queue.keeps_dead_letters:
                for one in refusing:
                    one.pressure.when_fits(self.look)
                return False
            self._settle(piece)
        publishing.burials.count(queue, burial.reason, 1, sent=refusing is None)
        return True

    def _settle(self, piece: Stretch) -> None:
        self.lanes[0].settle(piece.run, piece.base, piece.lo, piece.hi)


class Morgues:
    """Those of one vhost, by the name of the queue they belong to."""

    def __init__(self, vhost: str, publishing: Publishing, around: Surroundings) -> None:
        self._vhost = vhost
        self._publishing = publishing
        self._around = around
        self._morgues: dict[str, Morgue] = {}

    def __iter__(self) -> Iterator[Morgue]:
        return iter(self._morgues.values())

    def apply(self, command: PutQueue | DeleteQueue) -> bool:
        """Carry out a command if it is about a morgue."""
        if not command.name.startswith(PREFIX + "\n"):
            return False
        name = _source_of(command.name)
        if isinstance(command, PutQueue):
            self._morgues[name] = Morgue(command, self._around, self._publishing)
        elif (morgue := self._morgues.pop(name, None)) is not None:
            morgue.delete()
        return True

    def recovered(self, queues: Mapping[str, Queue]) -> None:
        """All definitions are back after a start."""
        for name, morgue in list(self._morgues.items()):
            if name in queues:
                queues[name].morgue = morgue
                morgue.recovered()
            else:
                self._delete(name)

    def keep(self, queue: Queue, run: Run) -> None:
        """A dead letter of a queue cannot go on."""
        morgue = self._morgues.get(queue.name)
        if morgue is None:
            morgue = self._make(queue)
        morgue.keep(run)

    def _make(self, queue: Queue) -> Morgue:
        if queue.keeps_dead_letters:
            logger.warning(
                "queue '%s' in vhost '%s': dead letters stay, nobody takes them",
                queue.name,
                self._vhost,
            )
        lane_id = self._around.new_lane_id() if queue.durable else 0
        command = PutQueue(
            self._vhost,
            f"{PREFIX}\n{queue.name}",
            queue.durable,
            False,
            False,
            {PURPOSE: Field("S", f"dead letters of {queue.name}")},
            (lane_id,),
        )
        if queue.durable:
            self._around.journal.define(command)
        self.apply(command)
        queue.morgue = self._morgues[queue.name]
        return self._morgues[queue.name]

    def look(self) -> None:
        """Routes have changed."""
        for morgue in self._morgues.values():
            morgue.look()

    def clear(self, queue: Queue) -> None:
        """A queue is being deleted, and its dead letters go with it."""
        if queue.name in self._morgues:
            self._delete(queue.name)

    def close(self) -> None:
        """The vhost is gone."""
        for morgue in self._morgues.values():
            morgue.delete()
        self._morgues.clear()

    def _delete(self, name: str) -> None:
        morgue = self._morgues[name]
        command = DeleteQueue(self._vhost, morgue.name)
        if morgue.durable:
            self._around.journal.define(command)
        self.apply(command)


def _source_of(name: str) -> str:
    return name.partition("\n")[2]
