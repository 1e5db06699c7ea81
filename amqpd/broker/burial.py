"""Burials: dead letters on their way from the queues where they died, many at a time.

What dies in one go is alike: the same exchange and routing key, the same properties. So what is
written into the headers of such messages, and where they go, is found out once (`Shape`) and
is stamped into each; those that follow one another to the same queues are published as one run.
Times to live differ all the same: what a dead letter tells of its own has a place in the shape.

Messages that are not alike are buried by themselves: where their headers or chance decide where
they go, where a queue at the end may refuse them, where nobody is to be told their keys.
Removal and dead letters are one entry in the journal.
"""

from __future__ import annotations

import logging
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from amqpd.broker import deadletter
from amqpd.broker.content import body, expiration_at, header_payload, restamp, without
from amqpd.broker.message import PERSISTENT, a_run
from amqpd.broker.names import are_ours, join, ours, split, split_keys
from amqpd.broker.routing import reaches, walk
from amqpd.broker.run import Run
from amqpd.broker.stats import Strategy
from amqpd.properties import decode_header, encode_header

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from amqpd.broker.deadletter import Burial
    from amqpd.broker.lane import Lane
    from amqpd.broker.publishing import Path, Publishing
    from amqpd.broker.queue import Queue
    from amqpd.broker.stretch import Stretch
    from amqpd.properties import Properties

logger = logging.getLogger(__name__)

#: Cycles of dead letters that are warned of.
MOST_CYCLES: Final = 1000
#: Queues that ways may be found to in one turn, where each leads to `FEW` or more; dead letters
#: that need another way wait for the next turns.
MOST_PLACES: Final = 4096
FEW: Final = 16
#: Of the payload of a content header: behind the size of the body.
_BEHIND_SIZE: Final = 12


@dataclass(frozen=True, slots=True)
class Way:
    """Where dead letters go together: `path` None means nowhere."""

    path: Path | None
    priority: int
    persistent: bool


@dataclass(frozen=True, slots=True)
class Shape:
    """What becomes of messages that are alike.

    Of the header, what comes `before` and `behind` the time to live that the message had; all
    is before where it does not tell.
    """

    way: Way
    names: bytes
    before: bytes
    behind: bytes
    tells: bool


@dataclass(slots=True)
class Burials:
    """The dead letters of one vhost."""

    _publishing: Publishing
    #: Ways in which dead letters go round.
    _cycles: set[str] = field(default_factory=set)
    #: Burials within each other; 0: nothing dies just now.
    depth: int = 0
    #: Dead letters that were refused meanwhile.
    _refused: deque[tuple[Queue, Run]] = field(default_factory=deque)
    #: The turn in which ways to many queues were last found, and to how many queues.
    _turn: int = -1
    _places: int = 0

    def bury(self, queue: Queue, dead: Iterable[tuple[Lane, Stretch]], reason: str) -> None:
        """Messages that were taken out of lanes leave them for good, to the DLX if there is one.

        The removal and the dead letters are one entry in the journal.
        """
        if queue.arguments.dead_letter_exchange is None:
            for lane, piece in dead:
                self._publishing.drop(reason, piece.hi - piece.lo, queue)
                lane.settle(piece.run, piece.base, piece.lo, piece.hi)
            return
        journal = self._publishing.around.journal
        before, is_first = journal.pending_bytes, not self.depth
        with journal.atomic(), self._within():
            funeral = Funeral(self, queue, reason)
            for lane, piece in dead:
                funeral.add(piece.run, piece.lo, piece.hi)
                lane.settle(piece.run, piece.base, piece.lo, piece.hi)
            funeral.end()
        if is_first and reason == deadletter.EXPIRED:
            journal.expired_bytes += journal.pending_bytes - before

    @property
    def is_spent(self) -> bool:
        """The dead letters of this turn go into very many queues: others go in the next ones."""
        return self._turn == self._publishing.around.turn and self._places > MOST_PLACES

    def _spend(self, places: int) -> None:
        if places >= FEW:
            turn = self._publishing.around.turn
            self._places = places + (self._places if self._turn == turn else 0)
            self._turn = turn

    def refused(self, queue: Queue, run: Run) -> None:
        """A queue has no room for messages, and its exchange for dead letters gets them."""
        self._refused.append((queue, run))
        if not self.depth:
            with self._within():
                pass

    @contextmanager
    def _within(self) -> Iterator[None]:
        """What dead letters bring about comes after them, not within them.

        A chain of queues may be longer than the stack is deep.
        """
        self.depth += 1
        try:
            yield
            while self.depth == 1 and self._refused:
                queue, run = self._refused.popleft()
                funeral = Funeral(self, queue, deadletter.MAXLEN)
                funeral.add(run, 0, len(run.contents))
                funeral.end()
        finally:
            self.depth -= 1

    def find(
        self, queue: Queue, exchange: str, burial: Burial
    ) -> tuple[Path | None, Sequence[Queue]]:
        """Where a dead letter goes; None: nowhere by now. And the queues that may refuse it."""
        publishing = self._publishing
        source = publishing.exchanges.get(exchange)
        if source is None:
            return None, ()
        message = publishing.message(burial.keys, burial.properties)
        found = walk(source, message, publishing.exchanges.get)
        names = []
        for name in found.queues:
            if burial.is_cycle(name, burial.reason):
                self._warn_of_cycle(name, burial)
            else:
                names.append(name)
        path = publishing.path_to(names, found, message)
        self._spend(len(path.queues))
        if not (path.queues or path.keeping):
            return None, ()
        return path, path.queues if queue.keeps_dead_letters and path.refuses else ()

    def send(self, queue: Queue, exchange: str, run: Run, burial: Burial) -> Sequence[Queue] | None:
        """Publish a dead letter of a queue; None if it went somewhere.

        Otherwise there is no way for it by now, or the queue is sure of its dead letters and
        those that are returned have no room.
        """
        path, asked = self.find(queue, exchange, burial)
        if path is None:
            return ()
        refusing = self._publishing.refusing(asked, run)
        if refusing:
            return refusing
        self._publishing.publish(path, run, priority=_or_none(burial.properties.priority))
        return None

    def are_alike(self, exchange: str) -> bool:
        """Whether keys alone decide where messages of an exchange go."""
        publishing = self._publishing
        source = publishing.exchanges.get(exchange)
        return source is None or not any(
            one.uses_headers for one in reaches(source, publishing.exchanges.get)
        )

    def count(self, queue: Queue, reason: str, messages: int, *, sent: bool) -> None:
        """Dead letters of a queue went to the dead letter exchange, or are gone."""
        publishing = self._publishing
        strategy = Strategy.DISABLED
        if sent:
            kept = queue.keeps_dead_letters
            strategy = Strategy.AT_LEAST_ONCE if kept else Strategy.AT_MOST_ONCE
        publishing.stats.died(queue.own.queue_type, strategy, reason, messages)
        counts = publishing.buried if sent else publishing.dropped
        counts[reason] = counts.get(reason, 0) + messages

    def _warn_of_cycle(self, queue: str, burial: Burial) -> None:
        """Once for each: a queue may have millions of them."""
        path = " -> ".join([*reversed(burial.queues), queue])
        if path not in self._cycles and len(self._cycles) < MOST_CYCLES:
            self._cycles.add(path)
            logger.warning(
                "queue '%s' in vhost '%s': dead letters that came round without having been "
                "rejected are dropped (%s); this is not logged again",
                queue,
                self._publishing.name,
                path,
            )


class Funeral:
    """Messages of one queue that die at the same time for the same reason, in their order."""

    __slots__ = (
        "_alike", "_burials", "_channel", "_contents", "_found", "_keeps", "_names", "_publishing",
        "_queue", "_reason", "_shapes", "_target", "_way",
    )  # fmt: skip

    def __init__(self, burials: Burials, queue: Queue, reason: str) -> None:
        publishing = burials._publishing
        self._burials = burials
        self._publishing = publishing
        self._queue = queue
        self._reason = reason
        self._keeps = queue.keeps_dead_letters
        target = queue.arguments.dead_letter_exchange
        there = target is not None and (self._keeps or target in publishing.exchanges)
        self._target = target if there else None
        # What only the broker may tell of a dead letter is hidden in each by itself.
        trusts = publishing.around.trusts_deaths
        self._alike = trusts and self._target is not None and burials.are_alike(self._target)
        self._shapes: dict[tuple[bytes, bytes], Shape | None] = {}
        self._found: dict[tuple[object, ...], tuple[Path | None, Sequence[Queue]]] = {}
        self._way: Way | None = None
        self._channel = 0
        self._contents: list[bytes] = []
        self._names: list[bytes] = []

    def add(self, run: Run, low: int, high: int) -> None:  # hot: tests/load/expiry.py
        """Bury `contents[low:high]` of a run."""
        if self._target is None:
            self._burials.count(self._queue, self._reason, high - low, sent=False)
            return
        contents, names, each = run.contents, run.names, run.names_each
        may_share = self._alike and not run.blind
        shapes = self._shapes
        for index in range(low, high):
            content = contents[index]
            if each is not None:
                names = each[index]
            shape = None
            at = 0
            if may_share:
                at = expiration_at(content)
                key = names, without(content, at)
                if key in shapes:
                    shape = shapes[key]
                else:
                    shape = shapes[key] = self._shape(content, at, names)
            if shape is None:
                self.end()
                self._alone(run, index)
                continue
            if shape.way is not self._way or run.channel != self._channel:
                self._begin(shape.way, run.channel)
            self._contents.append(
                restamp(content, shape.before, at if shape.tells else 0, shape.behind)
            )
            self._names.append(shape.names)

    def _begin(self, way: Way, channel: int) -> None:
        if way != self._way or channel != self._channel:
            self.end()
        self._way, self._channel = way, channel

    def end(self) -> None:
        """Send off what has gathered."""
        contents, names, way = self._contents, self._names, self._way
        if not contents or way is None:
            return
        self._contents, self._names = [], []
        if way.path is not None:
            first = names[0]
            run = Run(
                contents,
                first,
                names if any(one is not first for one in names) else None,
                way.persistent,
                self._channel,
                sum(map(len, contents)),
            )
            self._publishing.publish(way.path, run, priority=way.priority)
        self._burials.count(self._queue, self._reason, len(contents), sent=way.path is not None)

    # -- what they are like --------------------------------------------------------------

    def _shape(self, content: bytes, at: int, names: bytes) -> Shape | None:
        """What becomes of messages like this one; None: each is to be buried by itself."""
        properties = decode_header(header_payload(content))[2]
        burial, named = self._bury(properties, names, b"")
        assert self._target is not None
        on = burial.way
        there = self._found.get(on)
        if there is None:
            if self._burials.is_spent:
                return None
            there = self._found[on] = self._burials.find(self._queue, self._target, burial)
        path, asked = there
        if self._keeps and (path is None or asked):
            return None
        if path is not None and (path.refuses or path.keeping is not None):
            return None
        before, behind, tells = encode_header(burial.properties, 0)[_BEHIND_SIZE:], b"", False
        if at and properties.expiration:
            other = replace(properties, expiration=_otherwise(properties.expiration))
            other_header = encode_header(self._bury(other, names, b"")[0].properties, 0)
            found = _between(before, other_header[_BEHIND_SIZE:])
            if found is not None:
                start, end = found
                before, behind, tells = before[:start], before[end:], True
        way = Way(
            path,
            _or_none(burial.properties.priority),
            burial.properties.delivery_mode == PERSISTENT,
        )
        return Shape(way, named, before, behind, tells)

    def _bury(self, properties: Properties, names: bytes, blind: bytes) -> tuple[Burial, bytes]:
        """The dead letter, and exchange and routing key that it has then."""
        queue, around = self._queue, self._publishing.around
        exchange, routing_key = split(names)
        burial = deadletter.bury(
            properties,
            exchange,
            routing_key,
            queue=queue.name,
            reason=self._reason,
            now_ms=around.now_ms,
            new_key=queue.arguments.dead_letter_routing_key,
            blind=split_keys(blind),
            trusted=around.trusts_deaths or are_ours(blind),
        )
        return burial, join(self._target or "", burial.keys[0])

    def _marked(self, blind: bytes) -> bytes:
        """What is hidden in a dead letter: that its deaths are ours, where that matters."""
        return blind if self._publishing.around.trusts_deaths else ours(blind)

    def _alone(self, run: Run, index: int) -> None:
        """Bury one message by itself."""
        content = run.contents[index]
        properties = decode_header(header_payload(content))[2]
        burial, names = self._bury(properties, run.names_of(index), run.blind)
        dead = a_run(names, burial.properties, body(content))
        hidden = run.blind if self._queue.arguments.dead_letter_routing_key is None else b""
        dead.blind = self._marked(hidden)
        assert self._target is not None
        if self._burials.is_spent:
            self._publishing.morgues.keep(self._queue, dead)
            return
        refusing = self._burials.send(self._queue, self._target, dead, burial)
        if refusing is not None and self._keeps:
            self._publishing.morgues.keep(self._queue, dead)
        else:
            self._burials.count(self._queue, self._reason, 1, sent=refusing is None)


def _otherwise(digits: str) -> str:
    """As many characters, each of them another one."""
    return "".join("1" if one == "0" else "0" for one in digits)


def _between(one: bytes, other: bytes) -> tuple[int, int] | None:
    """Where two texts of one length are different; None if they are equal."""
    places = [at for at, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
    return (places[0], places[-1] + 1) if places else None


def _or_none(priority: int | None) -> int:
    return -1 if priority is None else priority
