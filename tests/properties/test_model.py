"""The model as a whole against a plain one: dicts of messages, in the order of positions.

Hypothesis declares, publishes, consumes, settles, purges, deletes, lets time pass, commits and
crashes in any order, with windows of a few messages, so that most of what waits is on disk.
The plain model watches every decision and knows what may happen next: who is at the head,
what may have expired, what must still be there after a crash, and who has seen it before.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from itertools import cycle, islice
from typing import TYPE_CHECKING, ClassVar

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from amqpd.amqp.timeouts import GRAVE
from amqpd.broker import journal as journal_module
from amqpd.broker import paging as paging_module
from amqpd.broker import retry as retry_module
from amqpd.broker import returning as returning_module
from amqpd.broker.attempts import FRESH, Counted, Delayed, Returned
from amqpd.broker.backoff import delay_ms, delays
from amqpd.broker.binding import Destination
from amqpd.broker.broker import Broker
from amqpd.broker.content import body, body_size
from amqpd.broker.deadletter import DELIVERY_LIMIT, EXPIRED, MAXLEN, REJECTED
from amqpd.broker.definitions import PutPermission, PutUser, PutVhost
from amqpd.broker.delivery import Leaving, Taken, Unacked
from amqpd.broker.journal import Batch, Settle
from amqpd.broker.limits import Limits
from amqpd.broker.message import a_run
from amqpd.broker.names import join
from amqpd.broker.priorities import QUORUM_DEFAULT
from amqpd.broker.returning import Returning
from amqpd.broker.run import Run
from amqpd.broker.sums import sums_of
from amqpd.properties import Properties
from amqpd.store import Row, StoreFailed
from amqpd.store.memory import MemoryStore
from tests.broker.model import FakeConsumer, a_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from amqpd.broker.expiry import Due, Mixed
    from amqpd.broker.lane import Lane
    from amqpd.broker.levels import Part
    from amqpd.broker.permissions import Access
    from amqpd.broker.queue import Got, Queue
    from amqpd.broker.rows import Row as StoredRow
    from amqpd.broker.stretch import Stretch
    from amqpd.broker.vhost import VHost
    from amqpd.store import Post

WINDOW = 5
NAMES = ("a", "b", "c")
#: Messages of one run expire at different times, these in turn.
DIFFER = -2
DIFFERING = (-1, 20, 100, 0, 50, 50)
#: What queues are declared with; dead letters of all go to queue "c".
DEAD: dict[str, object] = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "c"}
RETRY: dict[str, object] = {
    "x-delayed-retry-type": "all",
    "x-delayed-retry-min": 30,
    "x-delayed-retry-max": 70,
}
KINDS: dict[str, dict[str, object]] = {
    "plain": {},
    "priority": {"x-max-priority": 2},
    "ttl": {"x-message-ttl": 50},
    "ttl dead": {"x-message-ttl": 50, **DEAD},
    "dead": DEAD,
    "short": {"x-max-length": 8},
    "short dead": {"x-max-length": 8, **DEAD},
    "small": {"x-max-length-bytes": 30, **DEAD},
    "full": {"x-max-length": 8, "x-overflow": "reject-publish"},
    "limit": {"x-delivery-limit": 1},
    "retry": RETRY,
    "retry ttl": {**RETRY, "x-message-ttl": 50},
    "retry ttl dead": {**RETRY, "x-message-ttl": 50, **DEAD},
    "retry failed": {**RETRY, "x-delayed-retry-type": "failed", "x-delivery-limit": 2},
    "retry short": {**RETRY, "x-max-length": 8, **DEAD},
    "retry priority": {**RETRY, "x-max-priority": 2},
    "limit dead": {"x-delivery-limit": 1, **DEAD},
    "quorum": {"x-queue-type": "quorum", "x-delivery-limit": 2, **DEAD},
    "full dead": {"x-max-length": 8, "x-overflow": "reject-publish-dlx", **DEAD},
}
names = st.sampled_from(NAMES)
rarely = st.integers(0, 7)
#: Of the consumers that come first; 0: none.
credits = st.lists(st.sampled_from([0, 1, 2, 3, 5, 9]), min_size=3, max_size=3)
Place = tuple[int, int]  # level, position


@dataclass(eq=False)
class Message:
    """One message in one queue."""

    body: bytes
    stays: bool  # it survives a restart
    deadline_ms: int
    life: int
    origin: Message | None = None  # it died there
    number: int = -1  # of the journal; -1: nobody was told
    taken: bool = False  # it was handed out before in this life
    seen: bool = False  # a client has seen it, in whatever life
    #: How often it was handed out, how often that failed, and when it may go out again, now and
    #: before.
    attempts: list[tuple[int, int, int]] = field(default_factory=lambda: [(0, 0, 0)])

    def come_back(self, failed: bool, due_ms: int) -> None:
        acquired, failures, _ = self.attempts[-1]
        self.attempts.append((acquired + 1, failures + failed, due_ms))

    @property
    def due_ms(self) -> int:
        return self.attempts[-1][2]

    @property
    def failures(self) -> int:
        return self.attempts[-1][1]

    def is_promised(self, safe: int) -> bool:
        """It was confirmed, here or where it died."""
        if 0 <= self.number <= safe:
            return True
        return self.origin is not None and self.origin.is_promised(safe)


def is_divided(queue: Queue, priority: int) -> bool:
    """Messages of this priority and of none are on different levels."""
    priorities = queue.priorities
    return priorities.matter and priorities.level_of(priority) != priorities.level_of(-1)


@dataclass
class Mirror:
    """What should be in one queue."""

    queue: Queue
    limit: int | None
    number: int
    ready: dict[Place, Message] = field(default_factory=dict)
    unacked: dict[Place, Message] = field(default_factory=dict)
    delayed: dict[Place, Message] = field(default_factory=dict)
    #: Of a quorum queue with levels: what came back, in that order. None: it has one level.
    back: list[Place] | None = None

    def waiting(self) -> list[Message]:
        """All that nobody has, as length limits count."""
        return [*self.ready.values(), *self.delayed.values()]

    def level(self) -> None:
        """There are more levels than one."""
        (lane,) = [one for one in self.queue.lanes if one.priority == QUORUM_DEFAULT]
        places = sorted(place for place in self.ready if place[0] == QUORUM_DEFAULT)
        self.back = [
            place
            for place in places
            if place[1] < lane.loaded_upto and self.ready[place].attempts[-1][0]
        ]

    def came_back(self, places: Iterable[Place]) -> None:
        if self.back is not None:
            self.back += places

    def head(self, now_ms: int) -> Place:
        for place in self.back or ():
            message = self.ready.get(place)
            if message is not None and not 0 < message.deadline_ms < now_ms:
                return place
        return min(self.ready, key=lambda place: (-place[0], place[1]))


class StrictStore(MemoryStore):
    """Refuses what the one on disk would do wrong silently."""

    def __init__(self, post: Post) -> None:
        super().__init__(post)
        self._dropped: set[int] = set()

    def _drop(self, lanes: tuple[int, ...]) -> None:
        self._dropped |= set(lanes)
        super()._drop(lanes)

    def _settle(self, settle: Settle) -> None:
        rows = self._rows.get(settle.lane, {})
        # The lanes of a queue that this batch deletes are gone already.
        if settle.lane not in self._dropped:
            assert settle.lo < settle.hi
            for position in range(settle.lo, settle.hi):
                row = rows[position]
                assert row.transient == settle.transient
                if settle.first_id > 0:
                    assert row.message_id == settle.first_id + position - settle.lo
                if not settle.shared:
                    assert self._copies(row.message_id) == 1
        super()._settle(settle)

    def _copies(self, message_id: int) -> int:
        return sum(
            row.message_id == message_id for rows in self._rows.values() for row in rows.values()
        )

    def _append(self, appends: list, rows: list[tuple[int, Row]]) -> None:  # type: ignore[type-arg]
        for lane, row in rows:
            assert row.position not in self._rows.get(lane, {})
            assert row.message_id >= self._next_message_id
        super()._append(appends, rows)

    def check_counters(self) -> None:
        for lane, state in self._lanes.items():
            rows = [row for row in self._rows.get(lane, {}).values() if not row.transient]
            assert state.messages == len(rows)
            assert state.body_bytes == sum(len(row.body) for row in rows)

    def attempts(self, lane: int, position: int) -> tuple[int, int, int]:
        return self._returns(lane).get(position, FRESH)

    def rows(self) -> dict[tuple[int, int], Row]:
        return {
            (lane, position): row
            for lane, rows in self._rows.items()
            for position, row in rows.items()
        }


class Client(FakeConsumer):
    """A consumer that shows the world what it gets."""

    def __init__(self, world: World, credit: int, *, no_ack: bool, priority: int) -> None:
        super().__init__(credit, no_ack=no_ack, priority=priority)
        self.world = world
        #: How long it may keep a message; 0: for ever.
        self.patience_ms = 30 if credit % 2 else 0

    def deliver(self, lane: Lane, piece: Stretch) -> None:
        for place, message in self.world.take(lane, piece, self.no_ack):
            assert piece.redelivered or not message.seen, place
            message.seen = True
        self.due_ms = self.patience_ms and self.world.now_ms + self.patience_ms
        super().deliver(lane, piece)


class World(RuleBasedStateMachine):
    """The broker and its mirror."""

    kinds: ClassVar = KINDS

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        #: What is put in is noted by parts.
        self.parting = False
        self.posts: list[Callable[[], None]] = []
        self.store = StrictStore(self.posts.append)
        self.life = 0
        self.now_ms = 1_000_000
        self.bodies = 0
        self.tokens = 0
        self.busy = False
        self.writing: Batch | None = None
        #: Everything that may be on disk, by lane id and position.
        self.known: dict[tuple[int, int], Message] = {}
        self.settled: set[Message] = set()
        self.gone: set[Message] = set()
        self.deleted: set[str] = set()
        self.transactions: list[tuple[list[Message], list[Message]]] = []

    @initialize(
        kinds=st.tuples(*[st.sampled_from(sorted(KINDS))] * 3),
        durable=st.tuples(*[st.sampled_from([True, True, False])] * 3),
        credits=credits,
    )
    def begin(self, kinds: tuple[str, ...], durable: tuple[bool, ...], credits: list[int]) -> None:
        self.patch.setattr(journal_module, "BATCH_MESSAGES", 6)
        for name in ("WINDOW_MESSAGES", "LEAST_MESSAGES"):
            self.patch.setattr(paging_module, name, WINDOW)
        self.patch.setattr(journal_module, "BATCH_REQUEUES", 3)
        # Two slices of one range in a turn.
        self.patch.setattr(returning_module, "AT_ONCE", 1)
        self.patch.setattr(returning_module, "RANGE_COST", 6_000)
        self.patch.setattr(retry_module, "HELD_MESSAGES", 3)
        self.patch.setattr(retry_module, "READ_MESSAGES", 2)
        self.open()
        for command in (
            PutVhost("/"),
            PutUser("u", "", "rabbit_password_hashing_sha256"),
            PutPermission("u", "/", ".*", ".*", ".*"),
        ):
            self.broker.change(command)
        self.enter()
        for name, kind, survives in zip(NAMES, kinds, durable, strict=True):
            self.declare(name, survives, kind)
        self.consume_all(credits)
        self.flush()

    def teardown(self) -> None:
        self.patch.undo()

    def open(self) -> None:
        self.life += 1
        self.posts.clear()
        self.busy = False
        snapshot = self.store.open()
        self.broker = Broker(
            limits=Limits(), refill=self.refill, new_token=self.token, now_ms=self.now_ms
        )
        self.broker.recover(snapshot.commands, snapshot.lanes)
        self.broker.reserve_lanes(snapshot.next_lane_id)
        self.broker.journal.next_message_id = snapshot.next_message_id
        self.journal = self.broker.journal
        self.broker.around.expired = self.expired
        self.broker.around.read_some = self.read_some
        self.broker.around.read_returned = self.read_returned
        self.bury_for_real = self.broker.around.bury
        self.broker.around.bury = self.bury
        self.mirrors: dict[str, Mirror] = {}
        self.clients: list[Client] = []
        self.got = Unacked()
        self.got_tag = 1
        self.put_by: list[Message] = []
        self.publishing: list[bytes] = []
        self.burying: list[list[Message]] = []

    def enter(self) -> None:
        self.vhost: VHost
        self.access: Access
        self.vhost, self.access = self.broker.open_vhost("/", "u")

    def token(self) -> str:
        self.tokens += 1
        return f"t{self.tokens}"

    # -- the store -----------------------------------------------------------------------

    def refill(
        self,
        lane: int,
        from_position: int,
        upto_position: int,
        max_messages: int,
        max_bytes: int,
        done: Callable[[list[StoredRow], int], None],
    ) -> None:
        def arrived(rows: list[Row] | StoreFailed) -> None:
            assert not isinstance(rows, StoreFailed)
            done(list(rows), rows[-1].position + 1 if rows else upto_position)

        self.store.read(lane, from_position, upto_position, 3, max_bytes, arrived)

    def read_some(
        self, lane: int, positions: Sequence[int], done: Callable[[list[StoredRow]], None]
    ) -> None:
        def arrived(rows: list[Row] | StoreFailed) -> None:
            assert not isinstance(rows, StoreFailed)
            done(list(rows))

        self.store.read_some(lane, positions, arrived)

    def read_returned(self, question: Counted | Delayed, done: Callable[[Returned], None]) -> None:
        def arrived(outcome: Returned | StoreFailed) -> None:
            assert isinstance(outcome, Returned)
            done(outcome)

        most = min(3, question.max_messages)
        self.store.read_returned(replace(question, max_messages=most), arrived)

    def expired(
        self,
        lane: int,
        from_position: int,
        upto_position: int,
        after: tuple[int, int],
        now_ms: int,
        most: int,
        done: Callable[[Sequence[Due], int], None],
    ) -> None:
        def arrived(outcome: tuple[list[Due], int] | StoreFailed) -> None:
            assert not isinstance(outcome, StoreFailed)
            done(*outcome)

        self.store.expired(lane, from_position, upto_position, after, now_ms, min(3, most), arrived)

    def hand_over(self, *, settles: bool = True) -> None:
        """Give the store the next batch, if it is free."""
        if self.busy:
            return
        batch = self.journal.take(settles=settles)
        if batch is None:
            return
        self.busy = True

        def done(outcome: object) -> None:
            assert outcome == batch.number
            self.busy = False
            self.journal.committed(batch)
            self.broker.journal.progress_skipped()

        self.store.write(batch, done)

    def flush(self) -> None:
        """Until nothing is under way."""
        for _ in range(10_000):
            more = self.broker.dispatch()
            self.hand_over()
            if self.posts:
                self.posts.pop(0)()
            elif not more:
                break
        assert not self.posts
        assert self.journal.safe == self.journal.last
        assert self.journal.pending_bytes == 0
        self.gone |= self.settled
        self.transactions.clear()
        self.deleted.clear()
        self.check_store()

    def check_store(self) -> None:
        self.store.check_counters()
        rows = self.store.rows()
        for mirror in self.mirrors.values():
            for lane in mirror.queue.lanes:
                mine = {place[1] for place in rows if place[0] == lane.id}
                assert lane.stored == len(mine)
                for held in (mirror.ready, mirror.unacked, mirror.delayed):
                    for (level, position), message in held.items():
                        if level == lane.priority and message.stays:
                            assert position in mine
                            mine.discard(position)
                everything = mirror.ready | mirror.unacked | mirror.delayed
                left = {position for level, position in everything} & mine
                assert left == mine, "settled, and still on disk"

    # -- watching ------------------------------------------------------------------------

    def mirror(self, queue: Queue, number: int = 0) -> Mirror:
        for lane in queue.lanes:
            lane.window = WINDOW
        mirror = Mirror(queue, queue.arguments.max_length, number)
        if queue.returned is not None:
            mirror.back = []
        self.mirrors[queue.name] = mirror
        queue.put = partial(self.put, mirror, queue.put)  # type: ignore[method-assign]
        put_parts = partial(self.put_parts, mirror, queue.put_parts)
        queue.put_parts = put_parts  # type: ignore[method-assign]
        sweep = partial(self.sweep, mirror, queue.expiry._settle)
        queue.expiry._settle = sweep  # type: ignore[method-assign]
        for name in ("ready", "found"):
            again = partial(self.undelay, mirror, name, getattr(queue.retry, name))
            setattr(queue.retry, name, again)
        return mirror

    def undelay(
        self,
        mirror: Mirror,
        name: str,
        undelay: Callable[[Lane, list[Stretch]], None],
        lane: Lane,
        pieces: list[Stretch],
    ) -> None:
        """The time of some messages has come."""
        for piece in pieces:
            for index in range(piece.lo, piece.hi):
                place = (int(lane.priority), piece.base + index)
                message = mirror.delayed.pop(place)
                assert message.due_ms <= self.now_ms
                mirror.ready[place] = message
                if name == "ready":
                    mirror.came_back([place])
        undelay(lane, pieces)

    def put(
        self,
        mirror: Mirror,
        put: Callable[[Run, Lane, int, int, int], int],
        run: Run,
        lane: Lane,
        deadline_ms: int,
        low: int = 0,
        high: int = -1,
    ) -> int:
        assert not mirror.queue.deleted
        if mirror.back is None and mirror.queue.returned is not None:
            mirror.level()
        base = put(run, lane, deadline_ms, low, high)
        if not self.parting:
            self.note_put(mirror, run, lane, base, deadline_ms, low, high)
        return base

    def put_parts(
        self,
        mirror: Mirror,
        put_parts: Callable[[Run, list[Lane], list[Part], int], list[tuple[Lane, int, int]]],
        run: Run,
        lanes: list[Lane],
        parts: list[Part],
        expiration_ms: int,
    ) -> list[tuple[Lane, int, int]]:
        assert not mirror.queue.deleted
        if mirror.back is None and mirror.queue.returned is not None:
            mirror.level()
        self.parting = True
        try:
            placed = put_parts(run, lanes, parts, expiration_ms)
        finally:
            self.parting = False
        for (lane, base, deadline_ms), (_, low, high) in zip(placed, parts, strict=True):
            self.note_put(mirror, run, lane, base, deadline_ms, low, high)
        return placed

    def note_put(
        self,
        mirror: Mirror,
        run: Run,
        lane: Lane,
        base: int,
        deadline_ms: int,
        low: int,
        high: int,
    ) -> None:
        """Messages have come to a lane."""
        for index in range(len(run.contents))[low : None if high < 0 else high]:
            content = run.contents[index]
            own_ms = deadline_ms if run.deadlines is None else run.deadlines[index]
            message = Message(body(content), run.persistent and lane.durable, own_ms, self.life)
            if self.burying:
                message.origin = next(one for one in self.burying[-1] if one.body == message.body)
            elif run.contents is self.publishing:  # and not a dead letter of a refused one
                self.put_by.append(message)
            place = (int(lane.priority), base + index)
            assert place not in mirror.ready
            mirror.ready[place] = message
            self.known[int(lane.id), base + index] = message

    def take(self, lane: Lane, piece: Stretch, settle: bool) -> Iterator[tuple[Place, Message]]:
        """Somebody gets a stretch; it is the head."""
        mirror = self.mirrors[lane.owner.name]  # type: ignore[attr-defined]
        assert mirror.queue.priorities.find(lane.priority) is lane
        for index in range(piece.lo, piece.hi):
            place = (int(lane.priority), piece.base + index)
            assert place == mirror.head(self.now_ms)
            message = mirror.ready.pop(place)
            if mirror.back is not None and place in mirror.back:
                mirror.back.remove(place)
            assert message.body == body(piece.run.contents[index])
            assert message.deadline_ms == 0 or message.deadline_ms >= self.now_ms, "expired"
            assert not mirror.queue.returning
            if message.life == self.life:
                assert piece.redelivered == message.taken
            assert (int(piece.acquired), int(piece.failed)) == message.attempts[-1][:2]
            message.taken = True
            if settle:
                self.settled.add(message)
            else:
                mirror.unacked[place] = message
            yield place, message

    def bury(self, queue: Queue, pieces: Sequence[tuple[Lane, Stretch]], reason: str) -> None:
        mirror = self.mirrors[queue.name]
        dead = []
        for place in [
            (int(lane.priority), piece.base + index)
            for lane, piece in pieces
            for index in range(piece.lo, piece.hi)
        ]:
            if reason == REJECTED:
                message = mirror.unacked.pop(place)
            elif reason == DELIVERY_LIMIT:
                message = mirror.unacked.pop(place)
                limit = queue.arguments.delivery_limit
                assert limit is not None
                assert message.failures > limit
            elif reason == EXPIRED:
                message = self.expire(mirror, place)
            else:
                assert reason == MAXLEN
                assert place == mirror.head(self.now_ms)
                self.check_is_long(mirror)
                message = mirror.ready.pop(place)
            dead.append(message)
            self.settled.add(message)
        self.burying.append(dead)
        self.bury_for_real(queue, pieces, reason)
        self.burying.pop()

    def expire(self, mirror: Mirror, place: Place) -> Message:
        held = mirror.ready if place in mirror.ready else mirror.delayed
        message = held.pop(place)
        assert 0 < message.deadline_ms <= self.now_ms
        return message

    def sweep(
        self,
        mirror: Mirror,
        settle: Callable[[Mixed, list[Due]], None],
        mixed: Mixed,
        due: list[Due],
    ) -> None:
        """Messages that are on disk only have expired, and nobody gets them."""
        for one in due:
            self.settled.add(self.expire(mirror, (int(mixed.lane.priority), one.position)))
        settle(mixed, due)

    def check_is_long(self, mirror: Mirror) -> None:
        arguments = mirror.queue.arguments
        limit, limit_bytes = arguments.max_length, arguments.max_length_bytes
        waiting = mirror.waiting()
        size = sum(len(message.body) for message in waiting)
        assert (limit is not None and len(waiting) > limit) or (
            limit_bytes is not None and size > limit_bytes
        )

    def settle(self, taken: list[Taken]) -> list[Message]:
        """These leave the mirror for good."""
        found = [self.mirrors_of(one).unacked.pop(place) for one, place in places(taken)]
        self.settled |= set(found)
        return found

    def mirrors_of(self, one: Taken) -> Mirror:
        return self.mirrors[one.lane.owner.name]  # type: ignore[attr-defined]

    def alive(self, taken: list[Taken]) -> list[Taken]:
        """Those whose queue is still there."""
        return [one for one in taken if not one.lane.dead]

    # -- definitions ---------------------------------------------------------------------

    @rule(name=names, durable=st.booleans(), kind=st.sampled_from(sorted(KINDS)))
    def declare_again(self, name: str, durable: bool, kind: str) -> None:
        self.declare(name, durable, kind)

    def declare(self, name: str, durable: bool, kind: str) -> None:
        if name in self.vhost.queues:
            return
        answer = self.vhost.declare_queue(
            self.access,
            name,
            passive=False,
            durable=durable or kind == "quorum",
            exclusive=False,
            auto_delete=False,
            arguments=a_table(self.kinds[kind]),
            owner=self,
        )
        assert (answer.number > 0) == (durable or kind == "quorum")
        number = self.vhost.bind(self.access, "amq.fanout", name, "queue", "", {}, self).number
        self.mirror(self.vhost.queues[name], number)

    @rule(name=names, luck=rarely)
    def purge(self, name: str, luck: int) -> None:
        mirror = self.mirrors.get(name)
        if mirror is not None and luck == 0:
            answer = self.vhost.purge_queue(self.access, name, self)
            assert answer.value == len(mirror.ready) + len(mirror.delayed)
            self.settled |= set(mirror.ready.values()) | set(mirror.delayed.values())
            mirror.ready.clear()
            mirror.delayed.clear()

    @rule(name=names, luck=rarely)
    def delete(self, name: str, luck: int) -> None:
        mirror = self.mirrors.get(name)
        if mirror is not None and luck == 0:
            answer = self.vhost.delete_queue(
                self.access, name, if_unused=False, if_empty=False, owner=self
            )
            assert answer.value == len(mirror.waiting())
            self.settled |= set(mirror.waiting()) | set(mirror.unacked.values())
            self.deleted.add(name)
            del self.mirrors[name]
            self.clients = [client for client in self.clients if not client.gone]

    # -- messages ------------------------------------------------------------------------

    def new_run(self, names_: bytes, count: int, properties: Properties) -> Run:
        runs = []
        for _ in range(count):
            self.bodies += 1
            runs.append(a_run(names_, properties, b"%d" % self.bodies))
        contents = [run.contents[0] for run in runs]
        size = sum(map(len, contents))
        return Run(contents, names_, None, properties.delivery_mode == 2, 1, size)

    def publish_one(
        self, exchange: str, key: str, count: int, mode: int, priority: int, ttl: int
    ) -> list[Message]:
        if exchange == "" and key not in self.vhost.queues:
            return []
        properties = Properties(delivery_mode=mode)
        path = self.vhost.resolve(self.access, exchange, key)
        run = self.new_run(join(exchange, key), 1 if path.each else count, properties)
        self.put_by = []
        self.publishing = run.contents
        if ttl == DIFFER:
            ttl = -1
            self.vhost.publishing.date(path, run, list(islice(cycle(DIFFERING), len(run.contents))))
        parts = None
        half = len(run.contents) // 2
        if half and all(is_divided(queue, priority) for queue in path.queues):
            # As what comes in one read: the first half has this priority, the rest none.
            parts = [(priority, 0, half), (-1, half, len(run.contents))]
        published = self.vhost.publish(path, run, expiration_ms=ttl, priority=priority, parts=parts)
        for message in self.put_by:
            if message.stays:
                assert published.entry is not None
                message.number = published.number
        return self.put_by

    @rule(
        what=st.lists(
            st.tuples(
                st.sampled_from(["", "", "amq.fanout"]),
                names,
                st.integers(1, 7),
                st.sampled_from([2, 2, 1]),
                st.integers(-1, 3),
                st.sampled_from([-1, -1, -1, -1, 0, 20, 100, DIFFER, DIFFER]),
            ),
            min_size=1,
            max_size=4,
        ),
        turn=st.booleans(),
    )
    def publish(self, what: list[tuple[str, str, int, int, int, int]], turn: bool) -> None:
        for exchange, key, count, mode, priority, ttl in what:
            self.publish_one(exchange, key, count, mode, priority, ttl)
            if turn:
                self.turn()

    @rule(
        name=names,
        credit=st.integers(0, 9),
        no_ack=st.booleans(),
        priority=st.integers(0, 1),
    )
    def consume_more(self, name: str, credit: int, no_ack: bool, priority: int) -> None:
        self.consume(name, credit, no_ack=no_ack, priority=priority)

    def consume_all(self, credits: list[int]) -> None:
        for name, credit in zip(NAMES, credits, strict=True):
            if credit:
                self.consume(name, credit)

    def consume(self, name: str, credit: int, *, no_ack: bool = False, priority: int = 0) -> None:
        no_ack = no_ack and not credit % 3
        if name in self.vhost.queues and len(self.clients) < 4:
            client = Client(self, credit, no_ack=no_ack, priority=priority)
            self.vhost.consume(self.access, name, client, exclusive=False, owner=self)
            self.clients.append(client)

    @rule(which=st.integers(0, 3), credit=st.integers(0, 9))
    def change_credit(self, which: int, credit: int) -> None:
        if self.clients:
            client = self.clients[which % len(self.clients)]
            client.prefetch = credit
            assert client.queue is not None
            client.queue.wake()
            self.broker.dispatch()

    @rule(which=st.integers(0, 3), luck=rarely)
    def cancel(self, which: int, luck: int) -> None:
        if self.clients and luck < 4:
            client = self.clients.pop(which % len(self.clients))
            self.vhost.cancel(client)
            self.give_back(client.unacked.take_all(), failed=True)

    @rule(name=names, no_ack=st.booleans())
    def get(self, name: str, no_ack: bool) -> None:
        if name not in self.vhost.queues:
            return
        mirror, life = self.mirrors[name], self.life

        def done(got: Got | None) -> None:
            assert life == self.life
            if got is None:
                assert mirror.queue.deleted or not mirror.ready
                return
            ((_, message),) = self.take(got.lane, got.piece, no_ack)
            assert got.remaining == len(mirror.ready)
            if not no_ack:
                self.got.add(self.got_tag, got.lane, got.piece, None)
                self.got_tag += 1
            self.journal.when_safe(got.number, lambda: self.see(got.piece, message))

        self.vhost.get(self.access, name, self, no_ack, done)

    def see(self, piece: Stretch, message: Message) -> None:
        assert piece.redelivered or not message.seen
        message.seen = True

    def give_back(self, taken: list[Taken], *, failed: bool = False) -> None:
        for one, place in places(self.alive(taken)):
            mirror = self.mirrors_of(one)
            message = mirror.unacked[place]
            due_ms = self.due_ms(mirror.queue, message, failed)
            message.come_back(failed, due_ms)
            limit = mirror.queue.arguments.delivery_limit
            if limit is None or message.failures <= limit:
                held = mirror.delayed if due_ms else mirror.ready
                held[place] = mirror.unacked.pop(place)
                if not due_ms:
                    mirror.came_back([place])
        self.vhost.requeue(taken, failed=failed)

    def due_ms(self, queue: Queue, message: Message, failed: bool) -> int:
        """When a message that comes back now may go out again; 0: at once."""
        arguments = queue.arguments
        if not delays(arguments.delayed_retry, failed=failed):
            return 0
        delay = delay_ms(arguments, message.failures + failed, lambda _: 0)
        due_ms = self.now_ms + delay
        if message.deadline_ms:
            due_ms = min(due_ms, max(message.deadline_ms, self.now_ms) + 1)
        return due_ms

    @rule(which=st.integers(0, 3), luck=rarely, failed=st.booleans())
    def give_much_back(self, which: int, luck: int, failed: bool) -> None:
        """All of it, in slices over the next turns."""
        if self.clients and luck < 4:
            client = self.clients[which % len(self.clients)]
            settle = partial(self.give_back, failed=failed)
            leaving = client.unacked.detach(0)
            self.broker.work_off(
                Returning(leaving, settle, self.broker.around, each=False, holds=True)
            )
            assert client.queue is not None
            client.queue.wake()

    @rule(which=st.integers(0, 3), most=st.integers(1, 4), at_once=st.booleans())
    def take_overdue_back(self, which: int, most: int, at_once: bool) -> None:
        """What a client has had for too long; what it says of it later means nothing."""
        if not self.clients:
            return
        client = self.clients[which % len(self.clients)]
        before = len(client.unacked)
        overdue = client.unacked.expire(self.now_ms, most, GRAVE)
        assert all(0 < held.due_ms < self.now_ms for held in overdue)
        assert len(overdue) == most or not 0 < client.unacked.due_ms < self.now_ms
        assert before == len(client.unacked) >= client.unacked.lost
        leaving = Leaving(overdue, 0, list({held.lane: None for held in overdue}))
        if at_once:
            while taken := leaving.take_some(2, 3):
                self.give_back(taken)
        else:
            around = self.broker.around
            self.broker.work_off(Returning(leaving, self.give_back, around, each=False, holds=True))
        assert client.queue is not None
        client.queue.wake()

    @rule(
        which=st.integers(0, 3),
        how=st.sampled_from(["ack", "ack", "requeue", "fail", "reject"]),
        skip=st.integers(0, 4),
        count=st.integers(1, 4),
        multiple=st.booleans(),
    )
    def settle_some(self, which: int, how: str, skip: int, count: int, multiple: bool) -> None:
        holders = [(client.unacked, client.queue) for client in self.clients]
        holders = [one for one in [*holders, (self.got, None)] if len(one[0])]
        if not holders:
            return
        unacked, queue = holders[which % len(holders)]
        outstanding = tags(unacked)[skip : skip + count]
        if not outstanding:
            return
        if multiple:
            taken = unacked.take(0, outstanding[-1], True)
        else:
            taken = [one for tag in outstanding for one in unacked.take(tag, tag, False)]
        self.carry_out(how, taken)
        if queue is not None:
            queue.wake()

    def carry_out(self, how: str, taken: list[Taken]) -> list[Message]:
        if how in ("requeue", "fail"):
            self.give_back(taken, failed=how == "fail")
            return []
        if how == "ack":
            settled = self.settle(self.alive(taken))
            self.vhost.settle(taken)
            return settled
        self.vhost.discard(taken)
        return []

    @rule(
        key=st.lists(names, min_size=1, max_size=3),
        count=st.integers(1, 3),
        which=st.integers(0, 3),
    )
    def transaction(self, key: list[str], count: int, which: int) -> None:
        published: list[Message] = []
        settled: list[Message] = []
        with self.journal.atomic():
            for one in key:
                published += self.publish_one("", one, count, 2, -1, -1)
            if self.clients:
                client = self.clients[which % len(self.clients)]
                settled = self.carry_out("ack", client.unacked.take_all())
                assert client.queue is not None
                client.queue.wake()
        self.transactions.append((published, settled))

    # -- time and the disk ---------------------------------------------------------------

    @rule(passed_ms=st.sampled_from([1, 20, 60]))
    def tick(self, passed_ms: int) -> None:
        self.now_ms += passed_ms
        self.broker.tick(self.now_ms)
        self.broker.dispatch()

    @rule()
    def turn(self) -> None:
        self.broker.dispatch()
        self.hand_over(settles=bool(self.bodies % 2))

    @rule(many=st.integers(1, 4))
    def advance(self, many: int) -> None:
        """The store comes round."""
        for _ in range(min(many, len(self.posts))):
            self.posts.pop(0)()
        self.broker.dispatch()
        self.hand_over(settles=bool(self.bodies % 2))

    @rule()
    def come_to_rest(self) -> None:
        """Nothing waits without a reason once the store has done everything."""
        self.flush()
        for mirror in self.mirrors.values():
            for message in mirror.ready.values():
                assert message.deadline_ms == 0 or message.deadline_ms > self.now_ms
            for (level, _), message in mirror.delayed.items():
                (lane,) = [one for one in mirror.queue.lanes if one.priority == level]
                assert message.due_ms > self.now_ms or lane.loaded > WINDOW // 2
            if mirror.ready:
                assert all(
                    client.credit() <= 0
                    for client in self.clients
                    if client.queue is not None and client.queue in mirror.queue.ring
                )
            if mirror.limit is not None and mirror.ready:
                assert len(mirror.waiting()) <= mirror.limit or mirror.queue.length.refuses

    # -- restarts ------------------------------------------------------------------------

    @rule(luck=rarely, credits=credits)
    def stop(self, luck: int, credits: list[int]) -> None:
        """A clean one: everybody leaves, everything is written."""
        if luck:
            return
        for client in self.clients:
            self.vhost.cancel(client)
            self.give_back(client.unacked.take_all())
        self.clients = []
        self.give_back(self.got.take_all())
        self.flush()
        self.store.write(Batch(self.journal.safe, marks=self.broker.last_marks()), lambda _: None)
        self.posts.pop(0)()
        self.store.close()
        self.restart(clean=True)
        self.consume_all(credits)

    @rule(luck=rarely, credits=credits)
    def crash(self, luck: int, credits: list[int]) -> None:
        if luck < 2:
            self.store.crash()
            self.restart()
            self.consume_all(credits)

    def restart(self, *, clean: bool = False) -> None:
        before, safe = self.mirrors, self.journal.safe
        self.open()
        self.enter()
        self.store.check_counters()
        rows = self.store.rows()
        for place, row in rows.items():
            message = self.known[place]
            assert message.stays
            assert message.body == row.body
            assert message.deadline_ms == row.deadline_ms
            assert message not in self.gone
            known = self.store.attempts(*place)
            assert known in message.attempts[-1 if clean else 0 :]
            del message.attempts[message.attempts.index(known) + 1 :]
        kept = {message for place, message in self.known.items() if place in rows}
        for mirror in before.values():
            if mirror.queue.durable and mirror.number <= safe:
                assert mirror.queue.name in self.vhost.queues
            for message in [
                *mirror.ready.values(),
                *mirror.unacked.values(),
                *mirror.delayed.values(),
            ]:
                if message.stays and message.is_promised(safe):
                    assert sum(one in kept for one in lineage(message)) == 1
        for published, settled in self.transactions:
            self.check_transaction(published, settled, kept)
        assert self.vhost.queues.keys() <= before.keys() | self.deleted
        self.transactions.clear()
        self.settled.clear()
        self.deleted.clear()
        self.known = {place: self.known[place] for place in rows}
        for name, queue in self.vhost.queues.items():
            mirror = self.mirror(queue)
            assert len(self.vhost.incoming.of(binding_target(name))) >= 1
            for lane in queue.lanes:
                for (lane_id, position), message in self.known.items():
                    if lane_id == lane.id:
                        message.taken = False
                        message.number = 0
                        held = mirror.delayed if message.due_ms else mirror.ready
                        held[lane.priority, position] = message
        assert {place[0] for place in rows} <= {
            lane.id for queue in self.vhost.queues.values() for lane in queue.lanes
        }

    def check_transaction(
        self, published: list[Message], settled: list[Message], kept: set[Message]
    ) -> None:
        """All or nothing; what was consumed since does not count."""
        there = [message in kept for message in published if message not in self.settled]
        there += [message not in kept for message in settled if message.number >= 0]
        # What was settled may have left by another way: it was in the journal only.
        if any(there[: len(published)]):
            assert all(message not in kept for message in settled)
        stay = [m for m in published if m.stays and m not in self.settled]
        assert len({message in kept for message in stay}) <= 1

    # -- what always holds ---------------------------------------------------------------

    @invariant()
    def counters_agree(self) -> None:
        for mirror in getattr(self, "mirrors", {}).values():
            queue = mirror.queue
            assert queue.ready == len(mirror.ready)
            assert queue.unacked == len(mirror.unacked)
            assert queue.delayed == len(mirror.delayed)
            assert queue.ready_bytes == sum(len(one.body) for one in mirror.ready.values())
            for lane in queue.lanes:
                self.check_lane(lane, mirror)
            assert sums_of([queue.lanes]).messages == queue.messages

    def check_lane(self, lane: Lane, mirror: Mirror) -> None:
        ready = {place[1]: one for place, one in mirror.ready.items() if place[0] == lane.priority}
        held = [one for place, one in mirror.unacked.items() if place[0] == lane.priority]
        stretches = lane.stretches()
        loaded = [at for one in stretches for at in range(one.base + one.lo, one.base + one.hi)]
        assert loaded == sorted(set(loaded))
        assert lane.loaded == len(loaded)
        assert lane.loaded_bytes == sum(one.run.share(one.lo, one.hi) for one in stretches)
        assert lane.ready == len(ready)
        assert lane.unacked == len(held)
        assert lane.unacked_bytes == sum(len(one.body) for one in held)
        held = [one for place, one in mirror.delayed.items() if place[0] == lane.priority]
        assert lane.delayed == len(held)
        assert lane.delayed_bytes == sum(len(one.body) for one in held)
        assert set(loaded) == {at for at in ready if at < lane.loaded_upto}
        out = [one for at, one in ready.items() if at >= lane.loaded_upto and one.stays]
        assert lane.paged_out == len(out)
        assert lane.paged_out_bytes == sum(len(one.body) for one in out)
        for one in stretches:
            for index in range(one.lo, one.hi):
                assert body_size(one.run.contents[index]) == len(ready[one.base + index].body)


def places(taken: list[Taken]) -> Iterator[tuple[Taken, Place]]:
    for one in taken:
        for index in range(one.lo, one.hi):
            yield one, (int(one.lane.priority), one.base + index)


def tags(unacked: Unacked) -> list[int]:
    """The outstanding delivery tags."""
    taken = unacked.take_all()
    unacked.put_back(taken)
    return [one.tag + offset for one in taken for offset in range(one.hi - one.lo)]


def lineage(message: Message) -> Iterator[Message]:
    at: Message | None = message
    while at is not None:
        yield at
        at = at.origin


def binding_target(name: str) -> Destination:
    return Destination("queue", name)


class RetryWorld(World):
    """One where messages come back all the time, and have to wait."""

    def declare(self, name: str, durable: bool, kind: str) -> None:
        retries = [one for one in sorted(KINDS) if "retry" in one]
        super().declare(name, durable, retries[sorted(KINDS).index(kind) % len(retries)])

    @rule(which=st.integers(0, 3), failed=st.booleans())
    def give_all_back(self, which: int, failed: bool) -> None:
        if self.clients:
            client = self.clients[which % len(self.clients)]
            self.give_back(client.unacked.take_all(), failed=failed)
            assert client.queue is not None
            client.queue.wake()
            self.broker.dispatch()


TestModel = World.TestCase
TestModel.settings = settings(
    max_examples=500,
    stateful_step_count=50,
    deadline=None,
    report_multiple_bugs=False,
    phases=[p for p in Phase if p is not Phase.explain],
)
TestRetry = RetryWorld.TestCase
TestRetry.settings = settings(TestModel.settings, max_examples=300)
