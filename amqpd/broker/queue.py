"""Queues: where messages wait.

A queue keeps messages in arrival order and hands each one to a single consumer that has
credit. What must survive a crash goes to the journal at the moment it is decided; the queue
never waits for the disk and never reads a clock.

A queue has one lane, or one per priority level. At the head of each lane a window is in
memory; what arrives beyond it goes to the store only and comes back through the refill.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from amqpd.broker.arguments import DeadLetterStrategy, Overflow, QueueType
from amqpd.broker.attempts import show
from amqpd.broker.deadletter import REJECTED
from amqpd.broker.definitions import PutQueue
from amqpd.broker.errand import Errand
from amqpd.broker.expiry import Expiry
from amqpd.broker.journal import Purge
from amqpd.broker.lane import Lane
from amqpd.broker.lease import Lease
from amqpd.broker.length import Length
from amqpd.broker.levels import (
    DELIVERY_BYTES,
    HANDFUL_BYTES,
    Handful,
    delayed_of,
    loaded_of,
    push_parts,
    ready_bytes_of,
    ready_of,
    unacked_of,
)
from amqpd.broker.paging import WORN, Paging
from amqpd.broker.policy import Match
from amqpd.broker.pressure import Pressure
from amqpd.broker.priorities import Priorities, Returned, lane_ids_by_level
from amqpd.broker.retry import Retry, is_on
from amqpd.broker.ring import Ring, Subscription
from amqpd.broker.stretch import Stretch
from amqpd.broker.text import resource
from amqpd.errors import AccessRefused, NotImplementedHere

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from amqpd.broker.arguments import QueueArguments
    from amqpd.broker.consumer import Consumer
    from amqpd.broker.counts import Counts
    from amqpd.broker.delivery import Taken
    from amqpd.broker.levels import Part
    from amqpd.broker.morgue import Morgue
    from amqpd.broker.pause import Pause
    from amqpd.broker.run import Run
    from amqpd.broker.surroundings import Surroundings
    from amqpd.fields import Table

#: A message without TTL.
NEVER = 0
#: How long a message of a quorum queue may be unacked where nobody says.
QUORUM_TIMEOUT_MS: Final = 1_800_000
#: What it costs to tell a consumer that its queue is gone, in units of `Surroundings.spare`.
DISMISS_COST: Final = 5


@dataclass(frozen=True, slots=True)
class Got:
    """One message for basic.get; `number` must be safe before the client may see it."""

    lane: Lane
    piece: Stretch
    remaining: int
    number: int
    #: How long the client may keep it; 0: for ever.
    timeout_ms: int


class Queue:
    """One queue of a vhost.

    `owner` is the connection an exclusive queue belongs to. `declared` are the arguments as
    the client sent them, `own` what they mean, `arguments` what is in force: what the policies
    in `match`, those of `policy_revision`, make of them.
    """

    def __init__(
        self,
        vhost: str,
        name: str,
        *,
        durable: bool,
        owner: object | None,
        auto_delete: bool,
        declared: Table,
        arguments: QueueArguments,
        lanes: tuple[int, ...],
        around: Surroundings,
        total: Counts | None = None,
        declared_by: str = "",
    ) -> None:
        self.vhost = vhost
        self.name = name
        self.durable = durable
        self.owner = owner
        self.auto_delete = auto_delete
        self.declared = declared
        self.declared_by = declared_by
        self.own = arguments
        self.arguments = arguments
        self.match = Match(None, None)
        self.policy_revision = 0
        self.around = around
        self.lanes = self._new_lanes(lanes, total)
        self.paging = Paging(self)
        self.priorities = Priorities(self)
        #: Of quorum queues with several levels: what came back is ahead of all of them.
        self.returned = Returned() if self.persists and len(self.lanes) > 1 else None
        is_quorum = arguments.queue_type is QueueType.QUORUM
        self.ring = Ring(arguments.single_active_consumer, yields=is_quorum)
        self.exclusive_consumer: Subscription | None = None
        self.deleted = False
        #: So many returns of many deliveries are under way; nothing is handed out meanwhile.
        self.returning = 0
        #: Consumers get nothing meanwhile.
        self.paused: Pause | None = None
        self.had_consumers = False
        self.used_ms = around.now_ms
        self.lease: Lease | None = None
        self._awake = False
        self._busy = False
        self._getting: deque[tuple[bool, Callable[[Got | None], None]]] = deque()
        self.expiry = Expiry(self)
        self.retry = Retry(self)
        self.length = Length(self, arguments)
        self.pressure = Pressure(self)
        #: Its dead letters that nobody takes yet.
        self.morgue: Morgue | None = None

    def _new_lanes(self, ids: tuple[int, ...], total: Counts | None) -> list[Lane]:
        self._total = total
        kind = self.own.queue_type
        return [self.new_lane(one, level) for level, one in lane_ids_by_level(kind, ids)]

    def new_lane(self, lane_id: int, level: int) -> Lane:
        """A lane for a level, without messages."""
        return Lane(self, self.around.journal.log, lane_id, level, self.durable, self._total)

    def definition(self) -> PutQueue:
        """The command that makes this queue, with its lanes of now."""
        return PutQueue(
            self.vhost,
            self.name,
            self.durable,
            self.owner is not None,
            self.auto_delete,
            self.declared,
            self.priorities.lane_ids(),
            self.declared_by,
        )

    def recovered(self) -> None:
        """The lanes are as the store had them at start."""
        for lane in self.lanes:
            if lane.paged:
                self.paging.enter(lane)
                self.expiry.recovered(lane)
            self.retry.recovered(lane)
        self.wake()

    def go_on_later(self) -> None:
        """There is more to do than fits into this turn."""
        self.around.tired.append(self)

    # -- figures -------------------------------------------------------------------------

    @property
    def ready(self) -> int:
        """Messages that wait for a consumer."""
        return ready_of(self.paging.occupied)

    @property
    def unacked(self) -> int:
        """Messages that a client has and has not settled."""
        return unacked_of(self.lanes)

    @property
    def messages(self) -> int:
        """All messages in the queue."""
        kept = 0 if self.morgue is None else self.morgue.messages
        return self.ready + self.unacked + self.delayed + kept

    @property
    def delayed(self) -> int:
        """Messages that came back and wait for their time."""
        return delayed_of(self.lanes)

    @property
    def waiting(self) -> int:
        """All that nobody has, as length limits count."""
        kept = self.morgue.messages if self.morgue and self.keeps_dead_letters else 0
        return self.ready + (self.delayed if self.retry.active else 0) + kept

    @property
    def waiting_bytes(self) -> int:
        """Body bytes of these."""
        kept = self.morgue.size_bytes if self.morgue and self.keeps_dead_letters else 0
        if not self.retry.active:
            return self.ready_bytes + kept
        return self.ready_bytes + sum(lane.delayed_bytes for lane in self.lanes) + kept

    @property
    def ready_bytes(self) -> int:
        """Body bytes of the ready messages."""
        return ready_bytes_of(self.paging.occupied)

    @property
    def loaded(self) -> int:
        """Ready messages that are in memory."""
        return loaded_of(self.paging.occupied)

    @property
    def shows_counts(self) -> bool:
        """Tells in the headers of a message how often it came back."""
        arguments = self.arguments
        return (
            arguments.queue_type is QueueType.QUORUM
            or arguments.delivery_limit is not None
            or is_on(arguments.delayed_retry)
            or self.around.always_counted
        )

    @property
    def keeps_dead_letters(self) -> bool:
        """Dead letters stay for as long as they cannot be where they belong, as in RabbitMQ."""
        arguments = self.arguments
        return (
            arguments.dead_letter_strategy is DeadLetterStrategy.AT_LEAST_ONCE
            and arguments.overflow is Overflow.REJECT_PUBLISH
            and arguments.dead_letter_exchange is not None
        )

    @property
    def looks_at_returns(self) -> bool:
        """What becomes of a message that comes back is decided for each."""
        return self.arguments.delivery_limit is not None or self.delays_returns

    @property
    def delays_returns(self) -> bool:
        """Some of them have to wait."""
        return is_on(self.arguments.delayed_retry)

    @property
    def persists(self) -> bool:
        """Messages of any delivery mode survive, as in RabbitMQ's quorum queues."""
        return self.arguments.queue_type is QueueType.QUORUM

    def level(self, priority: int) -> Lane:
        """The lane of a message of this priority; -1 = it has none."""
        lanes = self.lanes
        lane = lanes[0] if len(lanes) == 1 and priority < 0 else self.priorities.lane(priority)
        return lane if lane.next_position < WORN else self.paging.renewed(lane)

    def levels(self, parts: list[Part]) -> list[Lane]:
        """The lane of each part of a run."""
        lanes = self.priorities.lanes_of(parts)
        for lane in lanes:
            if lane.next_position >= WORN:
                return [self.level(priority) for priority, _, _ in parts]
        return lanes

    def deadline(self, expiration_ms: int) -> int:
        """When a message that arrives now expires; `NEVER` if it does not (-1: no expiration)."""
        ttl = self.arguments.message_ttl_ms
        if expiration_ms >= 0 and (ttl is None or expiration_ms < ttl):
            ttl = expiration_ms
        return NEVER if ttl is None else max(1, self.around.now_ms + ttl)

    def first_deadline(self, run: Run, expiration_ms: int, low: int = 0, high: int = -1) -> int:
        """The same for a run or a part of it: when the first of its messages expires."""
        if run.deadlines is None:
            return self.deadline(expiration_ms)
        return run.earliest(low, len(run.contents) if high < 0 else high)

    def ack_timeout_ms(self, asked: int | None = None) -> int:
        """How long a client may keep a message; 0: for ever. `asked`: what it wants itself."""
        kind = self.arguments.queue_type
        if kind is QueueType.STREAM:
            return 0
        for timeout_ms in (
            asked, self.arguments.consumer_timeout_ms, self.around.consumer_timeout_ms
        ):  # fmt: skip
            if timeout_ms is not None:
                return timeout_ms
        return QUORUM_TIMEOUT_MS if kind is QueueType.QUORUM else 0

    # -- in ------------------------------------------------------------------------------

    def keeps(self, run: Run) -> bool:
        """Whether the run must survive, so that a confirm waits for the disk."""
        return run.persistent and self.durable

    def stores(self, run: Run, lane: Lane) -> bool:
        """Whether the run goes to the store: it must survive, or the window is full."""
        return self.keeps(run) or lane.is_full

    def put(self, run: Run, lane: Lane, deadline_ms: int, low: int = 0, high: int = -1) -> int:
        """Take a run in, or a part of it; the position of its first message, see `Lane.push`.

        The caller journals it if `stores` said so.
        """
        if lane.id == 0 and lane.is_full:
            lane.id = self.around.new_lane_id()
        if not lane.occupied:
            self.paging.enter(lane)
        in_memory = not lane.is_full
        base = lane.push(run, deadline_ms, in_memory, low, high)
        if deadline_ms:
            self.expiry.put(lane, deadline_ms, in_memory)
        self.wake()
        return base

    def put_parts(
        self, run: Run, lanes: list[Lane], parts: list[Part], expiration_ms: int
    ) -> list[tuple[Lane, int, int]]:
        """The same with parts of a run, each for a lane: lane, position and deadline."""
        if run.deadlines is not None or self.deadline(expiration_ms) != NEVER:
            placed = []
            for lane, (_, low, high) in zip(lanes, parts, strict=True):
                deadline_ms = self.first_deadline(run, expiration_ms, low, high)
                placed.append((lane, self.put(run, lane, deadline_ms, low, high), deadline_ms))
            return placed
        for lane in lanes:
            if lane.id == 0 and lane.is_full:
                lane.id = self.around.new_lane_id()
            if not lane.occupied:
                self.paging.enter(lane)
        self.wake()
        return push_parts(run, lanes, parts)

    # -- out -----------------------------------------------------------------------------

    def wake(self) -> None:
        """Look at this queue in the next dispatch."""
        if not self._awake:
            self._awake = True
            self.around.awake.append(self)

    def dispatch(self) -> None:
        """This queue's part of a turn."""
        self._awake = False
        self.act(bounded=True)
        self.pressure.look()

    def act(self, *, bounded: bool = False) -> None:
        """Hand what is ready to consumers with credit, and see to limits, expiry and the window.

        Whoever wants to know how long the queue really is calls it at once; `bounded` is what
        a turn allows. What dies here and comes back as a dead letter meanwhile finds it busy.
        """
        if self.deleted or self._busy:
            return
        self._busy = True
        try:
            self._act(bounded)
        finally:
            self._busy = False

    def _act(self, bounded: bool) -> None:
        if self.retry.active:
            self.retry.release()
        if self._getting:
            self._serve_gets()
        if self.ring and not self.returning and self.paused is None:
            self._hand_out(bounded)
        if self.expiry.active:
            self.expiry.run()
        self.length.trim(bounded=bounded)
        self.paging.look()
        if self.retry.active:
            self.retry.load()

    def catch_up(self) -> None:
        """Do what is to be done before somebody is told how things are here."""
        if self.returning:
            self.around.hurry()
        self.act()

    def _next(self) -> tuple[Lane | None, Stretch | None]:
        """The lane of the next message to go out, and where there, if that is not its head."""
        if self.returned is not None:
            found = self.returned.first(self.around.now_ms)
            if found is not None:
                return found
        return self._next_lane(), None

    def _next_lane(self) -> Lane | None:
        """The lane of the next message to go out, which has not expired."""
        expiry = self.expiry
        lane = self.paging.head()
        while expiry.active and lane is not None:
            head = lane.head()
            if head is not None and 0 < head.deadline_ms < self.around.now_ms:
                if not expiry.remove(lane, head):
                    expiry.bury()
                    return None
            elif not expiry.bury():
                break
            # What was buried may have come back to a higher level.
            lane = self.paging.head()
        expiry.bury()
        return lane

    def _hand_out(self, bounded: bool) -> None:
        shared: Lane | None = None
        share = 0
        around = self.around
        is_layered = self.paging.is_layered
        while True:
            lane, returned = self._next()
            turn = self.ring.next() if lane is not None else None
            if lane is None or turn is None:
                return
            subscription, credit, sharing = turn
            if is_layered and sharing == 1 and returned is None and not self.expiry.active:
                if self._hand_out_levels(subscription.consumer, credit, bounded):
                    continue
                return
            if sharing > 1:
                if lane is not shared:
                    shared, share = lane, -(-lane.loaded // sharing)
                credit = min(credit, share)
            piece = lane.take(credit, subscription.consumer.no_ack, returned)
            if piece is None:
                # It waits for its mark; with it comes what lower levels have for the rest.
                self._ask(credit)
                return
            self.pressure.moved()
            if piece.acquired and self.shows_counts:
                show(piece)
            run, low, high = piece.run, piece.lo, piece.hi
            subscription.consumer.deliver(lane, piece)
            around.spare_bytes -= run.share(low, high) + DELIVERY_BYTES * (high - low)
            if bounded and around.spare_bytes <= 0:
                self.go_on_later()
                return

    def _hand_out_levels(self, consumer: Consumer, credit: int, bounded: bool) -> bool:
        """Hand a consumer what it may have of all levels together; False: that is all for now."""
        around, handful = self.around, Handful()
        most = around.spare_bytes if bounded else HANDFUL_BYTES
        handful.take(self.paging.occupied, credit, consumer.no_ack, most)
        if not handful.pieces:
            self._ask(credit)
            return False
        self.pressure.moved()
        if handful.returned and self.shows_counts:
            for piece in handful.pieces:
                if piece.acquired:
                    show(piece)
        consumer.deliver_all(handful)
        around.spare_bytes -= handful.cost_bytes
        if bounded and around.spare_bytes <= 0:
            self.go_on_later()
            return False
        return True

    def _ask(self, credit: int) -> None:
        """The head waits for its mark: what lower levels have for the rest asks for theirs."""
        for level in self.paging.occupied:
            level.ask(credit)

    def get(self, no_ack: bool, done: Callable[[Got | None], None]) -> None:
        """The next message, for basic.get; `done(None)` if the queue is empty."""
        self.used_ms = self.around.now_ms
        if self._awake:
            self.catch_up()  # consumers with credit come first, and what has to go is gone
        self._getting.append((no_ack, done))
        if not self._busy:
            self._busy = True
            try:
                self._serve_gets()
            finally:
                self._busy = False
        if self._getting or self.pressure.is_felt:
            self.wake()  # the head is on disk and must be asked for, or there is room now

    def _serve_gets(self) -> None:
        while self._getting and not self.returning:
            no_ack, done = self._getting[0]
            lane, returned = self._next()
            if lane is None and self.ready:
                return  # the head is on its way from the store, and its arrival wakes us
            self._getting.popleft()
            taken = lane.take_now(no_ack, returned) if lane is not None else None
            if lane is None or taken is None:
                self._count_nothing()
                done(None)
                continue
            piece, wait = taken
            if piece.acquired and self.shows_counts:
                show(piece)
            number = self.around.journal.next_number() if wait else 0
            done(Got(lane, piece, self.ready, number, self.ack_timeout_ms()))

    def _count_nothing(self) -> None:
        lane = self.lanes[0]
        lane.counts.got_nothing += 1
        lane.total.got_nothing += 1

    # -- done ----------------------------------------------------------------------------

    def requeue(self, lane: Lane, pieces: list[Stretch], *, failed: bool) -> int:
        """Put unacked messages back into their old places; their counts are those of now.

        Those that have failed too often die, and some have to wait (`retry`); the number of
        stretches that are ready again.
        """
        if self.looks_at_returns:
            pieces = self.retry.sort_out(lane, pieces, failed=failed)
        if pieces:
            self.paging.enter(lane)
            lane.requeue(pieces)
            if self.returned is not None:
                self.returned.add(lane, pieces)
            if self.expiry.active:
                self.expiry.came_back(lane, pieces)
                self._expire()
        self.wake()
        return len(pieces)

    def _expire(self) -> None:
        """What came back has had its chance, whatever consumer waits."""
        if not self._busy:
            self._busy = True
            try:
                self.expiry.run()
            finally:
                self._busy = False

    def discard(self, taken: Iterable[Taken]) -> None:
        """Unacked messages were rejected for good: they are dead."""
        dead: list[tuple[Lane, Stretch]] = []
        for one in taken:
            piece = Stretch(one.run, one.base, one.lo, one.hi, one.deadline_ms, True)
            one.lane.forget(one.run, one.lo, one.hi)
            dead.append((one.lane, piece))
        self.around.bury(self, dead, REJECTED)

    def die(self, lane: Lane, piece: Stretch, reason: str) -> None:
        """Unacked messages leave for good."""
        lane.forget(piece.run, piece.lo, piece.hi)
        self.around.bury(self, [(lane, piece)], reason)

    def purge(self) -> tuple[int, int]:
        """Drop all messages that nobody has: how many, the journal's number for it (0 = none)."""
        count, number, journal = self.ready + self.delayed, 0, self.around.journal
        for lane in self.lanes:
            for piece in lane.drain():
                lane.settle(piece.run, piece.base, piece.lo, piece.hi)
                lane.ready -= piece.hi - piece.lo
                lane.ready_bytes -= piece.run.bytes_of(piece.lo, piece.hi)
            ahead, ahead_bytes = self.retry.ahead(lane) if lane.paged else (0, 0)
            self.retry.purge(lane)
            lane.delayed = lane.delayed_bytes = 0
            if lane.paged:
                purge = Purge(
                    lane.id,
                    lane.loaded_upto,
                    lane.next_position,
                    lane.paged_out + ahead,
                    lane.paged_out_bytes + ahead_bytes,
                )
                lane.stored -= lane.ready + ahead
                lane.paged_out = lane.paged_out_bytes = 0
                lane.ready = lane.ready_bytes = 0
                lane.loaded_upto = lane.next_position
                number = journal.purge(purge)
            elif count and lane.durable:
                number = journal.next_number()
        if self.morgue is not None:
            more, last = self.morgue.purge()
            count, number = count + more, max(number, last)
        self.wake()
        return count, number

    def delete(self) -> int:
        """The queue goes away with its messages; the journal's number for it (0 = none)."""
        self.condemn()
        stored = self.dismantle()
        return self.around.journal.drop(stored) if stored else 0

    def condemn(self) -> None:
        """From now on nothing comes in and nothing comes back; `dismantle` does the rest."""
        self.deleted = True
        for lane in self.lanes:
            lane.dead = True

    def dismantle(self) -> tuple[int, ...]:
        """Let go of everything there is; the lanes that the journal has to drop."""
        stored = tuple(lane.id for lane in self.lanes if lane.id)
        for lane in self.lanes:
            lane.drain()
            self.around.lane_gone(lane.id)
        for _, done in self._getting:
            done(None)
        self._getting.clear()
        self.retry.close()
        self.pressure.let_all_go()
        Errand(map(self._dismiss, list(self.ring)), self.around, DISMISS_COST).begin()
        return stored

    def _dismiss(self, subscription: Subscription) -> None:
        """A consumer hears that its queue is gone, unless it has ended meanwhile."""
        if subscription.active:
            self._leave(subscription)
            self._tell("deleted", subscription)
            subscription.consumer.cancelled()

    # -- consumers -----------------------------------------------------------------------

    def admit(self, consumer: Consumer, *, exclusive: bool) -> None:
        """See that a consumer may begin.

        Raises:
            AccessRefused: it, or another one, wants the queue for itself.
            NotImplementedHere: a limit for its whole channel counts a quorum queue's, too.
        """
        if consumer.prefetch_shared and self.arguments.queue_type is QueueType.QUORUM:
            where = resource("queue", self.name, self.vhost)
            raise NotImplementedHere(f"{where} does not support global qos")
        alone = not self.ring and not self.arguments.single_active_consumer
        if self.exclusive_consumer is not None or (exclusive and not alone):
            raise AccessRefused(f"queue '{self.name}' in vhost '{self.vhost}' in exclusive use")

    def attach(self, consumer: Consumer, *, exclusive: bool) -> Subscription:
        """A consumer begins; the caller has checked that it may."""
        subscription = Subscription(consumer, consumer.priority, self._resume, self.detach)
        self.ring.add(subscription)
        self.around.consumers += 1
        self.around.consuming[self] = None
        if exclusive:
            self.exclusive_consumer = subscription
        self.had_consumers = True
        self.wake()
        self._tell("created", subscription)
        return subscription

    def _tell(self, happened: str, subscription: Subscription) -> None:
        events = self.around.events
        if events.on:
            events.consumer(happened, self, subscription)

    def detach(self, subscription: Subscription) -> None:
        """A consumer ends; an auto-delete queue goes with its last one."""
        self._leave(subscription)
        self._tell("deleted", subscription)
        if self.exclusive_consumer is subscription:
            self.exclusive_consumer = None
        self.used_ms = self.around.now_ms
        self.wake()
        if self.auto_delete and not self.ring:
            self.around.unused(self)

    def _leave(self, subscription: Subscription) -> None:
        self.ring.remove(subscription)
        self.around.consumers -= 1
        if not self.ring:
            del self.around.consuming[self]

    def _resume(self, subscription: Subscription) -> None:
        self.ring.resume(subscription)
        if not self._awake and self.ready:
            self.wake()

    # -- unused queues -------------------------------------------------------------------

    def use(self) -> None:
        """Somebody declared the queue again, or asked for it: its lease begins anew.

        That of a quorum queue does not, as in RabbitMQ.
        """
        if not self.persists:
            self.used_ms = self.around.now_ms

    def expire_when_unused(self, expired: Callable[[Queue], object]) -> None:
        """Call back once nobody has used the queue for as long as `x-expires` says."""
        self.lease = Lease(self, expired)
        self.lease.begin()

    # -- policies ------------------------------------------------------------------------

    @property
    def is_faulted(self) -> bool:
        """Whether something of it cannot be read from the disk at the moment."""
        unreadable = self.around.unreadable
        return bool(unreadable) and any(lane.id in unreadable for lane in self.lanes)

    def use_policies(self, match: Match, arguments: QueueArguments) -> None:
        """Other policies apply from now on; `arguments` is what is in force with them.

        Messages that are here keep the time to live they came with, as in RabbitMQ; what is
        over a limit goes in the next turn, and the lease begins anew.
        """
        self.match = match
        if arguments == self.arguments:
            return
        self.arguments = arguments
        self.length.use(arguments)
        if self.lease is not None:
            self.lease.begin()
        self.wake()
