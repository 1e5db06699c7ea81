"""Publishing: from an exchange and a routing key to queues, and what becomes of the dead.

A `Path` is what a route cache may keep: the queues for one exchange and key, as long as the
vhost's revision stays the same. A run goes into all queues of its path with one journal
entry, so a crash leaves it in all of them or in none.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from amqpd.broker.arguments import Overflow
from amqpd.broker.burial import Burials
from amqpd.broker.content import header_payload
from amqpd.broker.interceptors import NO_INTERCEPTORS
from amqpd.broker.message import Message
from amqpd.broker.morgue import Morgues
from amqpd.broker.names import split
from amqpd.broker.queue import NEVER
from amqpd.broker.routing import Walk, reaches, route, routing_keys, walk
from amqpd.broker.stats import Strategy
from amqpd.errors import AccessRefused, NotFound
from amqpd.properties import decode_header

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from amqpd.broker.binding import Destination
    from amqpd.broker.exchange import Exchange
    from amqpd.broker.interceptors import Interceptors
    from amqpd.broker.lane import Lane
    from amqpd.broker.levels import Part
    from amqpd.broker.permissions import Access
    from amqpd.broker.pressure import Ticket
    from amqpd.broker.queue import Queue
    from amqpd.broker.run import Append, Run
    from amqpd.broker.shelf import Kept
    from amqpd.broker.stats import VhostStats
    from amqpd.broker.stretch import Stretch
    from amqpd.broker.surroundings import Surroundings
    from amqpd.broker.tally import Tallies, Tally
    from amqpd.properties import Properties

#: Burials within each other, up to which consumers may make room for what is refused otherwise.
MOST_BURIALS: Final = 8

#: Why messages go other than by dying (`deadletter`), as they are counted.
PURGED: Final = "purged"
DELETED: Final = "deleted"
UNROUTABLE: Final = "unroutable"
REJECTED_PUBLISH: Final = "rejected_publish"


@dataclass(frozen=True, slots=True)
class Keeping:
    """Exchanges on the way that want to hear of the message, and the message.

    `taken`: one of them has seen to it, so that it counts as routed.
    """

    message: Message
    keepers: tuple[Exchange, ...]
    taken: bool


@dataclass(frozen=True, slots=True)
class Path:
    """Where messages of one exchange and routing key go.

    `each`: the properties decide too, so every message is routed and published by itself.
    `refuses`: a queue may have no room; see `Publishing.is_one`.
    """

    queues: tuple[Queue, ...] = ()
    each: bool = False
    refuses: bool = False
    wants_priority: bool = False
    #: A queue keeps everything, whatever its delivery mode.
    persists: bool = False
    #: It is the same for all routing keys of the exchange.
    for_all_keys: bool = False
    keeping: Keeping | None = None
    #: Where it is counted; None for what the broker itself publishes.
    tally: Tally | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Published:
    """What became of a run: `number` must be safe before it is confirmed (0 = at once).

    The publisher should wait for queues that are `crowded` or `full`; `tickets` must be open
    before the run is confirmed.
    """

    entry: Append | None = None
    number: int = 0
    routed: bool = True
    refused: bool = False
    crowded: Queue | None = None
    full: tuple[Queue, ...] = ()
    tickets: tuple[Ticket, ...] = ()


UNROUTED: Final = Published(routed=False)
TRANSIENT: Final = Published()


@dataclass(slots=True)
class Publishing:
    """The publishing side of one vhost."""

    name: str
    exchanges: Mapping[str, Exchange]
    queues: Mapping[str, Queue]
    around: Surroundings
    #: Gives a queue the policies of now.
    refresh: Callable[[Queue], None]
    stats: VhostStats
    #: Every message has to be looked at by itself.
    traced: bool = False
    interceptors: Interceptors = NO_INTERCEPTORS
    #: Dead letters by reason, and those that went nowhere; counted, never silent.
    buried: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    burials: Burials = field(init=False)
    #: Dead letters that wait in the queues where they died.
    morgues: Morgues = field(init=False)

    def __post_init__(self) -> None:
        self.burials = Burials(self)
        self.morgues = Morgues(self.name, self, self.around)

    # -- finding the way -----------------------------------------------------------------

    def resolve(self, access: Access, exchange: str, routing_key: str) -> Path:
        """The path for messages without anything special; may be kept per revision.

        Raises:
            AccessRefused: the user may not write there, or the exchange is internal.
            NotFound: no such exchange.
        """
        source = self._enter(access, exchange, (routing_key,))
        reached = reaches(source, self.exchanges.get)
        if self.traced or self.interceptors.on or any(one.uses_headers for one in reached):
            return Path(each=True)
        names = route(source, (routing_key,), None, self.exchanges.get)
        path = self._path(names, source.tallies)
        return replace(path, for_all_keys=all(one.ignores_keys for one in reached))

    def route(
        self, access: Access, exchange: str, keys: Sequence[str], properties: Properties
    ) -> Path:
        """The path of one message, by all its routing keys and its headers; as `resolve`."""
        source = self._enter(access, exchange, keys)
        return self._path_of(source, self.message(keys, properties), source.tallies)

    def message(self, keys: Sequence[str], properties: Properties) -> Message:
        """A message as exchanges see it, now."""
        return Message(keys, properties, self.around.now_ms, self.around.chance)

    def _path_of(self, source: Exchange, message: Message, tallies: Tallies | None = None) -> Path:
        """The path of one message from an exchange on, which nobody has to be allowed."""
        found = walk(source, message, self.exchanges.get)
        return self.path_to(list(found.queues), found, message, tallies)

    def path_to(
        self,
        names: Sequence[str],
        found: Walk,
        message: Message,
        tallies: Tallies | None = None,
    ) -> Path:
        """The path of one message to these of the queues that were found for it."""
        path = self._path(names, tallies)
        if not (found.keepers or found.taken):
            return path
        return replace(path, keeping=Keeping(message, tuple(found.keepers), found.taken))

    def _enter(self, access: Access, exchange: str, keys: Sequence[str]) -> Exchange:
        access.write("exchange", exchange)
        source = self.exchanges.get(exchange)
        if source is None:
            raise NotFound(f"no exchange '{exchange}' in vhost '{self.name}'")
        if source.internal:
            raise AccessRefused(
                f"cannot publish to internal exchange '{exchange}' in vhost '{self.name}'"
            )
        if source.has_topics:
            for key in keys:
                access.topic_write(exchange, key)
        return source

    def _path(self, names: Sequence[str], tallies: Tallies | None = None) -> Path:
        """The path to these queues; `tallies` are those of the exchange, for what clients send."""
        queues = tuple(queue for name in names if (queue := self.queues.get(name)) is not None)
        for queue in queues:
            self.refresh(queue)
        return Path(
            queues,
            refuses=any(queue.length.refuses for queue in queues),
            wants_priority=any(queue.priorities.matter for queue in queues),
            persists=any(queue.persists for queue in queues),
            tally=None if tallies is None else tallies.of(tuple([one.name for one in queues])),
        )

    # -- going it ------------------------------------------------------------------------

    def publish(  # hot: S2
        self,
        path: Path,
        run: Run,
        *,
        expiration_ms: int = -1,
        priority: int = -1,
        parts: list[Part] | None = None,
    ) -> Published:
        """Put a run into all queues of a path; -1 = its messages do not have that property.

        `parts` where they differ in their priorities. A queue that has no room for all of it
        refuses it as a whole: see `is_one`.
        """
        run.entered_ms = self.around.now_ms
        if path.tally is not None:
            self.counted(path, path.tally, run)
        if not path.queues or path.keeping is not None:
            return self._publish_and_keep(path, run, expiration_ms, priority)
        if path.persists and not run.persistent:
            return self._publish_transient(path, run, expiration_ms, priority, parts)
        queues: Sequence[Queue] = path.queues
        refusing: Collection[Queue] = ()
        if path.refuses:
            refusing = dict.fromkeys(self.refusing(queues, run))
            queues = [queue for queue in queues if queue not in refusing]
        # Unrouted when all its queues have been deleted since it was routed.
        result = TRANSIENT if refusing else UNROUTED
        if parts is None:
            result = self._put(queues, run, expiration_ms, priority) or result
        else:
            result = self._put_parts(queues, run, expiration_ms, parts) or result
        # The message itself is everywhere before anything that it brings about.
        for queue in refusing:
            self.refuse(queue, run)
        return self.heeding(path.queues, result, bool(refusing))

    def counted(self, path: Path, tally: Tally, run: Run) -> None:  # hot: S2
        """A client has published a run."""
        count = len(run.contents)
        tally.add(count, len(path.queues))
        self.stats.published(count, run.body_bytes)
        if path.queues:
            self.stats.routed += count

    def _put(  # hot: S2
        self, queues: Sequence[Queue], run: Run, expiration_ms: int, priority: int
    ) -> Published | None:
        """Into each of these that is there; None: none is."""
        stored: list[tuple[Queue, Lane]] = []
        loose: list[tuple[Queue, Lane]] = []
        for queue in queues:
            if queue.deleted:
                continue  # since it was routed: what a transaction publishes waits
            lane = queue.level(priority)
            (stored if queue.stores(run, lane) else loose).append((queue, lane))
        if loose:
            # A run is stored for all its queues or for none.
            own = run.copy() if stored else run
            for queue, lane in loose:
                queue.put(own, lane, queue.first_deadline(own, expiration_ms))
        if stored:
            return self._store(stored, run, expiration_ms)
        return TRANSIENT if loose else None

    def _put_parts(  # hot: tests/bench/semantics.py
        self, queues: Sequence[Queue], run: Run, expiration_ms: int, parts: list[Part]
    ) -> Published | None:
        """The same with messages of several priorities, each into its level."""
        stored: list[tuple[Queue, list[Lane], list[Part]]] = []
        loose: list[tuple[Queue, list[Lane], list[Part]]] = []
        for queue in queues:
            if queue.deleted:
                continue
            lanes = queue.levels(parts)
            if queue.keeps(run):
                stored.append((queue, lanes, parts))
                continue
            for lane, part in zip(lanes, parts, strict=True):
                (stored if queue.stores(run, lane) else loose).append((queue, [lane], [part]))
        if loose:
            own = run.copy() if stored else run
            for queue, lanes, some in loose:
                queue.put_parts(own, lanes, some, expiration_ms)
        if not stored:
            return TRANSIENT if loose else None
        targets: list[tuple[Lane, int, int]] = []
        places: list[Part] = []
        for queue, lanes, some in stored:
            targets += queue.put_parts(run, lanes, some, expiration_ms)
            places += some
        entry = self.around.journal.append(run, targets, places)
        promised = any(queue.keeps(run) for queue in queues)
        return Published(entry, entry.number) if promised else TRANSIENT

    def _publish_transient(
        self,
        path: Path,
        run: Run,
        expiration_ms: int,
        priority: int,
        parts: list[Part] | None,
    ) -> Published:
        """The same where some queues keep it all the same: they have a run of their own."""
        return together(
            [
                self.publish(
                    there, part, expiration_ms=expiration_ms, priority=priority, parts=parts
                )
                for there, part in in_two(path, run)
            ]
        )

    def heeding(  # hot: S2
        self, queues: Sequence[Queue], result: Published, refused: bool
    ) -> Published:
        """What the publisher has to heed, now that the run is in its queues."""
        crowded = None
        full: list[Queue] = []
        for queue in queues:
            if queue.length.is_limited:
                # A dead letter's queue does so in its turn: a chain may be longer than the stack.
                if not self.burials.depth:
                    queue.act()
                if queue.length.blocks and queue.length.is_full:
                    full.append(queue)
            if queue.pressure.is_crowded:
                crowded = queue
        if refused or full or crowded is not None:
            tickets = tuple(one for queue in full if (one := queue.pressure.ticket()))
            return replace(
                result, refused=refused, crowded=crowded, full=tuple(full), tickets=tickets
            )
        return result

    def date(self, path: Path, run: Run, expirations: list[int]) -> bool:
        """Give each message its deadline; False: they must be published one by one.

        A queue with a time to live of its own has other deadlines than the next.
        """
        if any(queue.arguments.message_ttl_ms is not None for queue in path.queues):
            return False
        now_ms = self.around.now_ms
        run.deadlines = [max(1, now_ms + ttl) if ttl >= 0 else NEVER for ttl in expirations]
        return True

    def is_one(self, path: Path, run: Run) -> bool:
        """Whether queues that may refuse take or refuse a run as a whole.

        If not, its messages have to be published one by one: each may be the last to fit, and
        each may have left again when the next one comes.
        """
        messages = len(run.contents)
        if messages == 1:
            return True
        refusing = [one for one in path.queues if one.length.refuses and not one.deleted]
        if len(path.queues) == 1 and refusing and not refusing[0].length.admits(1, 0):
            return True
        return all(one.length.fits(messages, run.body_bytes) for one in refusing)

    def _store(self, stored: list[tuple[Queue, Lane]], run: Run, expiration_ms: int) -> Published:
        targets = []
        promised = False
        for queue, lane in stored:
            deadline_ms = queue.first_deadline(run, expiration_ms)
            targets.append((lane, queue.put(run, lane, deadline_ms), deadline_ms))
            promised = promised or queue.keeps(run)
        entry = self.around.journal.append(run, targets)
        if promised:
            return Published(entry, entry.number)
        return TRANSIENT

    def _publish_and_keep(
        self, path: Path, run: Run, expiration_ms: int, priority: int
    ) -> Published:
        """The same, and what exchanges keep of it: on disk together."""
        keeping = path.keeping
        if keeping is None:
            return UNROUTED
        with self.around.journal.atomic():
            result = self.publish(
                replace(path, keeping=None, tally=None),
                run,
                expiration_ms=expiration_ms,
                priority=priority,
            )
            if result.refused:
                return result  # the publisher may try again: nobody has seen it
            entry, number = result.entry, result.number
            for keeper in keeping.keepers:
                kept = keeper.keep(keeping.message, run)
                if kept is not None:
                    entry, number = entry or kept, max(number, int(kept.number))
        routed = result.routed or keeping.taken
        return replace(result, entry=entry, number=number, routed=routed)

    def announce(self, exchange: str, key: str, run: Run) -> None:
        """Publish what the broker itself has to say; nobody may be listening."""
        source = self.exchanges.get(exchange)
        if source is not None and source.bindings:
            properties = decode_header(header_payload(run.contents[0]))[2]
            self.publish(self._path_of(source, self.message((key,), properties)), run)

    def go_on(self, source: Exchange, run: Run, keys: Sequence[str]) -> None:
        """Publish one message from an exchange on; one that goes nowhere is counted."""
        properties = decode_header(header_payload(run.contents[0]))[2]
        path = self._path_of(source, self.message(keys, properties))
        self._send(path, run, properties, _ttl(properties))

    def hand_over(self, destination: Destination, kept: Kept) -> None:
        """A copy of a message that an exchange keeps, to where it was bound to."""
        properties = kept.properties
        if destination.kind == "queue":
            path = self._path([destination.name])
        else:
            keys = routing_keys(split(kept.run.names)[1], properties.headers)
            message = self.message(keys, properties)
            path = self._path_of(self.exchanges[destination.name], message)
        left_ms = kept.deadline_ms - self.around.now_ms if kept.deadline_ms else -1
        self._send(path, kept.run.copy(), properties, left_ms)

    def _send(self, path: Path, run: Run, properties: Properties, ttl_ms: int) -> None:
        priority = _or_none(properties.priority)
        result = self.publish(path, run, expiration_ms=ttl_ms, priority=priority)
        if not result.routed:
            self._count(self.dropped, UNROUTABLE, 1)

    def refusing(self, queues: Sequence[Queue], run: Run) -> Sequence[Queue]:
        """The queues that have no room."""
        messages, body_bytes = len(run.contents), run.body_bytes
        return [
            queue
            for queue in queues
            if queue.length.refuses
            and not queue.deleted
            and not (
                queue.length.admits(messages, body_bytes)
                if self.burials.depth < MOST_BURIALS
                else queue.length.fits(messages, body_bytes)
            )
        ]

    def refuse(self, queue: Queue, run: Run) -> None:
        """A queue has no room for a run."""
        if queue.arguments.overflow is Overflow.REJECT_PUBLISH_DLX:
            self.burials.refused(queue, run)
        else:
            self._count(self.dropped, REJECTED_PUBLISH, len(run.contents))

    # -- the dead ------------------------------------------------------------------------

    def bury(self, queue: Queue, dead: Sequence[tuple[Lane, Stretch]], reason: str) -> None:
        """Messages that were taken out of lanes leave them for good; see `Burials`."""
        self.burials.bury(queue, dead, reason)

    def drop(self, reason: str, messages: int, queue: Queue | None = None) -> None:
        """Messages were removed that no exchange gets; `queue`: where they died."""
        self._count(self.dropped, reason, messages)
        if queue is not None:
            self.stats.died(queue.own.queue_type, Strategy.DISABLED, reason, messages)

    def _count(self, counts: dict[str, int], reason: str, messages: int) -> None:
        counts[reason] = counts.get(reason, 0) + messages


def in_two(path: Path, run: Run) -> list[tuple[Path, Run]]:
    """A transient run to queues of which some keep it all the same: these have one of their own."""
    own = run.copy()
    own.persistent = True
    found = []
    for part, persists in ((own, True), (run, False)):
        queues = tuple([one for one in path.queues if one.persists is persists])
        if queues:
            found.append((replace(path, queues=queues, persists=False, tally=None), part))
    return found


def together(outcomes: Sequence[Published]) -> Published:
    """What became of a run that was published in parts, the first one as the one to wait for."""
    first, *others = outcomes
    for other in others:
        first = replace(
            first,
            routed=first.routed or other.routed,
            refused=first.refused or other.refused,
            crowded=first.crowded or other.crowded,
            full=first.full + other.full,
            tickets=first.tickets + other.tickets,
        )
    return first


def _ttl(properties: Properties) -> int:
    """The expiration in ms, checked when the message was published; -1 = none."""
    return -1 if properties.expiration is None else int(properties.expiration)


def _or_none(priority: int | None) -> int:
    return -1 if priority is None else priority
