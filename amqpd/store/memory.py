"""The store in memory: for tests, and for brokers that need not survive.

Behaves as the one on disk does, seen through the `Store` interface: a batch is on "disk" when
its number is reported, whole or not at all. `crash()` drops what is not; `open()` on the same
object is then the restart.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from amqpd.broker import definitions as d
from amqpd.broker.attempts import FRESH, Attempts, Counted, Delayed, Returned, Waiting
from amqpd.broker.content import body, header_payload
from amqpd.broker.expiry import Due
from amqpd.store import (
    CutDone,
    ExpiredDone,
    LaneState,
    OffsetDone,
    Post,
    ReadDone,
    ReturnedDone,
    Row,
    Snapshot,
    StoreFailed,
    StreamDone,
    WalState,
    WriteDone,
)
from amqpd.store.chunks import Block, pack_streams
from amqpd.store.memory_streams import MemoryStreams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from amqpd.broker.journal import Append, Batch, Purge, PurgeDelayed, Requeue, Settle, Target

#: The order in which definitions can be applied.
_ORDER: Final = (
    d.PutVhost,
    d.PutUser,
    d.PutPermission,
    d.PutTopicPermission,
    d.PutExchange,
    d.PutQueue,
    d.PutBinding,
    d.PutParameter,
)

_Put = (
    d.PutVhost
    | d.PutUser
    | d.PutPermission
    | d.PutTopicPermission
    | d.PutExchange
    | d.PutQueue
    | d.PutBinding
    | d.PutParameter
)
_Delete = (
    d.DeleteVhost
    | d.DeleteUser
    | d.DeletePermission
    | d.DeleteTopicPermission
    | d.DeleteExchange
    | d.DeleteQueue
    | d.DeleteBinding
    | d.DeleteParameter
)


class MemoryStore:
    """A `Store` that forgets everything with the object."""

    owed_bytes = 0
    wal = WalState()

    def __init__(self, post: Post) -> None:
        self._post = post
        self._clean = True
        self._definitions: dict[tuple[object, ...], _Put] = {}
        self._lanes: dict[int, LaneState] = {}
        self._rows: dict[int, dict[int, Row]] = {}
        self._streams = MemoryStreams()
        #: Positions of messages that expire before something ahead of them.
        self._early: dict[int, set[int]] = {}
        #: Those that came back.
        self._counts: dict[int, dict[int, Attempts]] = {}
        self._next_message_id = 1
        self._next_lane_id = 1
        self.quarantined: dict[int, int] = {}
        #: Counts restarts: what was handed in before a crash is not done after it.
        self._life = 0

    def open(self) -> Snapshot:
        """What survived."""
        for rows in self._rows.values():
            for position in [row.position for row in rows.values() if row.transient]:
                del rows[position]
        lanes = {lane: self._with_returns(lane, state) for lane, state in self._lanes.items()}
        commands: list[d.Command] = sorted(
            self._definitions.values(), key=lambda command: _ORDER.index(type(command))
        )
        clean, self._clean = self._clean, False
        return Snapshot(
            clean,
            commands,
            lanes,
            self._streams.states(),
            self._next_message_id,
            self._next_lane_id,
        )

    def crash(self) -> None:
        """Forget what is not committed; its `done` is never called."""
        self._life += 1

    def write(self, batch: Batch, done: WriteDone) -> None:
        """Commit a batch as a whole when the loop comes round."""
        rows = [row for append in batch.appends for row in _rows_of(append)]
        blocks, tracks = pack_streams(batch.appends), list(batch.tracks)
        work: list[Callable[[], None]] = [
            *(lambda command=command: self._define(command) for command in batch.defines),
            lambda: self._append(batch.appends, rows),
            lambda: self._extend(blocks),
            *(lambda purge=purge: self._purge_delayed(purge) for purge in batch.delayed_purges),
            *(lambda back=requeue: self._requeue(back) for requeue in batch.requeues),
            *(lambda settle=settle: self._settle(settle) for settle in batch.settles),
            *(lambda purge=purge: self._purge(purge) for purge in batch.purges),
            *(lambda drop=drop: self._drop(drop.lanes) for drop in batch.drops),
            *(
                lambda mark=mark: self._change(mark.lane, 0, 0, 0, mark.upto)
                for mark in batch.marks
            ),
            lambda: self._streams.track([each for each in tracks if each.lane in self._lanes]),
        ]
        life, number = self._life, batch.number

        def commit() -> None:
            if life == self._life:
                for step in work:
                    step()
                done(number)

        self._post(commit)

    def read(
        self,
        lane: int,
        from_position: int,
        upto_position: int,
        max_messages: int,
        max_bytes: int,
        done: ReadDone,
    ) -> None:
        """Committed messages with `from_position <= position < upto_position`, in order."""
        rows, left = list[Row](), max_bytes
        for position in sorted(self._rows.get(lane, {})):
            if from_position <= position < upto_position and left > 0 and len(rows) < max_messages:
                row = self._rows[lane][position]
                rows.append(row)
                left -= len(row.header_payload) + len(row.body)
        self._tell(done, self._with_shares(rows))

    def read_some(self, lane: int, positions: Sequence[int], done: ReadDone) -> None:
        """Those of some positions, all committed, that are there; in the order asked for."""
        held = self._rows.get(lane, {})
        self._tell(done, self._with_shares([held[at] for at in positions if at in held]))

    def expired(
        self,
        lane: int,
        from_position: int,
        upto_position: int,
        after: tuple[int, int],
        now_ms: int,
        most: int,
        done: ExpiredDone,
    ) -> None:
        """Early messages of a stretch with a deadline of at most `now_ms`; see `Store`."""
        held = self._rows.get(lane, {})
        early = self._early.setdefault(lane, set())
        early &= held.keys()
        rows = [held[at] for at in early if from_position <= at < upto_position]
        rows.sort(key=lambda row: (row.deadline_ms, row.position))
        known = self._returns(lane)
        due = [
            Due(
                row.deadline_ms,
                row.position,
                row.message_id,
                row.shared,
                row.transient,
                len(row.body),
                row.position in known and known[row.position].due_ms > 0,
            )
            for row in self._with_shares(rows)
            if row.deadline_ms <= now_ms and (row.deadline_ms, row.position) > after
        ]
        later = [row.deadline_ms for row in rows if row.deadline_ms > now_ms]
        next_ms = later[0] if later and len(due) < most else 0
        life, outcome = self._life, (due[:most], next_ms)
        self._post(lambda: done(outcome) if life == self._life else None)

    def read_returned(self, question: Counted | Delayed, done: ReturnedDone) -> None:
        """Committed messages some of which came back, with what is known of these."""
        rows, known = self._rows.get(question.lane, {}), self._returns(question.lane)
        found, waiting, left, upto = list[Row](), list[Waiting](), question.max_bytes, 0
        for position in _wanted(question, sorted(rows), known)[: question.max_messages]:
            row, due_ms = rows[position], known.get(position, FRESH).due_ms
            if left <= 0:
                break
            upto = position + 1
            if isinstance(question, Counted) and due_ms > question.now_ms:
                waiting.append(Waiting(position, due_ms, len(row.body)))
            else:
                found.append(row)
                left -= len(row.header_payload) + len(row.body)
        attempts = {row.position: known[row.position] for row in found if row.position in known}
        outcome = Returned(
            [*self._with_shares(found)], attempts, waiting, upto or question.upto_position
        )
        life = self._life
        self._post(lambda: done(outcome) if life == self._life else None)

    def _returns(self, lane: int) -> dict[int, Attempts]:
        """What is known of messages of a lane that are there."""
        rows = self._rows.get(lane, {})
        return {at: one for at, one in self._counts.get(lane, {}).items() if at in rows}

    def _with_returns(self, lane: int, state: LaneState) -> LaneState:
        returns, rows = self._returns(lane), self._rows.get(lane, {})
        delayed = [rows[position] for position, one in returns.items() if one.due_ms]
        return replace(
            state,
            counted=bool(returns),
            delayed=len(delayed),
            delayed_bytes=sum(len(row.body) for row in delayed),
        )

    def read_stream(
        self, lane: int, offset: int, upto: int, max_bytes: int, done: StreamDone
    ) -> None:
        """Whole chunks from `offset` to below `upto`; see `Archive.read_stream`."""
        life = self._life
        chunks = self._streams.read(lane, offset, upto, max_bytes)
        end = chunks[-1][0] + len(chunks[-1][3]) if chunks else upto
        self._post(lambda: done((chunks, end)) if life == self._life else None)

    def find_offset(
        self, lane: int, first: int, upto: int, since_ms: int | None, done: OffsetDone
    ) -> None:
        """Where to begin; see `Archive.find_offset`."""
        life, places = self._life, self._streams.places(lane, first, upto)
        found = places.last() if since_ms is None else places.since(since_ms)
        offset = None if found is None else found.base
        self._post(lambda: done(offset) if life == self._life else None)

    def find_cut(
        self, lane: int, first: int, upto: int, size: int, since_ms: int, done: CutDone
    ) -> None:
        """What may stay; see `Archive.find_cut`."""
        life, cut = self._life, self._streams.places(lane, first, upto).cut(size, since_ms)
        self._post(lambda: done(cut) if life == self._life else None)

    def _with_shares(self, rows: list[Row]) -> list[Row]:
        copies = Counter(row.message_id for rows in self._rows.values() for row in rows.values())
        return [row._replace(shared=copies[row.message_id] > 1) for row in rows]

    def _tell(self, done: ReadDone, rows: list[Row]) -> None:
        life = self._life
        outcome: list[Row] | StoreFailed = rows
        self._post(lambda: done(outcome) if life == self._life else None)

    def close(self) -> None:
        """The stop is a clean one."""
        self._clean = True

    # -- what a batch does ---------------------------------------------------------------

    def _change(
        self, lane: int, next_position: int, messages: int, body_bytes: int, upto: int | None = None
    ) -> None:
        state = self._lanes.get(lane)
        if state is not None:
            self._lanes[lane] = replace(
                state,
                next_position=max(state.next_position, next_position),
                messages=state.messages + messages,
                body_bytes=state.body_bytes + body_bytes,
                delivered_upto=state.delivered_upto if upto is None else upto,
            )

    def _append(self, appends: list[Append], rows: list[tuple[int, Row]]) -> None:
        for append in appends:
            upto = append.run.first_id + len(append.run.contents)
            self._next_message_id = max(self._next_message_id, upto)
            for target in append.targets:
                if target.early:
                    early = self._early.setdefault(target.lane, set())
                    indexes = range(target.lo, target.hi)
                    early.update(
                        target.base + at for at in indexes if _deadline(append, target, at)
                    )
        for lane, row in rows:
            self._next_lane_id = max(self._next_lane_id, lane + 1)
            self._rows.setdefault(lane, {})[row.position] = row
            counted = 0 if row.transient else 1
            self._change(lane, row.position + 1, counted, counted * len(row.body))

    def _extend(self, blocks: list[Block]) -> None:
        for block in blocks:
            for chunk in block.chunks:
                self._next_lane_id = max(self._next_lane_id, chunk.lane + 1)
                upto = chunk.base + chunk.messages
                self._change(chunk.lane, upto, chunk.messages, chunk.size_bytes)
            self._streams.add(block)

    def _settle(self, settle: Settle) -> None:
        rows = self._rows.get(settle.lane, {})
        for position in range(settle.lo, settle.hi):
            rows.pop(position, None)
        if not settle.transient:
            self._change(settle.lane, 0, settle.lo - settle.hi, -settle.body_bytes)

    def _requeue(self, requeue: Requeue) -> None:
        counts = Attempts(requeue.acquired, requeue.failed, requeue.due_ms)
        known, rows = self._counts.setdefault(requeue.lane, {}), self._rows.get(requeue.lane, {})
        known.update({at: counts for at in range(requeue.lo, requeue.hi) if at in rows})

    def _purge(self, purge: Purge) -> None:
        rows = self._rows.get(purge.lane, {})
        for position in [at for at in rows if purge.low <= at < purge.high]:
            del rows[position]
        self._streams.cut(purge.lane, purge.high)
        self._change(purge.lane, 0, -purge.messages, -purge.body_bytes)

    def _purge_delayed(self, purge: PurgeDelayed) -> None:
        rows, known = self._rows.get(purge.lane, {}), self._returns(purge.lane)
        for position, one in known.items():
            if one.due_ms and position < purge.upto and (one.due_ms, position) > purge.after:
                row = rows.pop(position)
                if not row.transient:
                    self._change(purge.lane, 0, -1, -len(row.body))

    def _drop(self, lanes: tuple[int, ...]) -> None:
        for lane in lanes:
            self._rows.pop(lane, None)
            self._early.pop(lane, None)
            self._counts.pop(lane, None)
            self._streams.drop(lane)
            self._lanes.pop(lane, None)

    def _define(self, command: d.Command) -> None:
        if isinstance(command, _Put):
            self._put(command)
            return
        for put in [put for put in self._definitions.values() if _takes_along(command, put)]:
            del self._definitions[_identity(put)]
            if isinstance(put, d.PutQueue):
                self._drop(put.lanes)

    def _put(self, command: _Put) -> None:
        self._definitions[_identity(command)] = command
        if isinstance(command, d.PutQueue):
            for lane in command.lanes:
                self._lanes.setdefault(lane, LaneState(0, 0, 0, 0))
                self._next_lane_id = max(self._next_lane_id, lane + 1)


def _wanted(
    question: Counted | Delayed, positions: list[int], counts: dict[int, Attempts]
) -> list[int]:
    """The positions that are asked for, in the order asked for."""

    below = [at for at in positions if at < question.upto_position]
    if isinstance(question, Counted):
        return [at for at in below if at >= question.from_position]
    delayed = [(counts[at].due_ms, at) for at in below if at in counts and counts[at].due_ms]
    return [when[1] for when in sorted(delayed) if when > question.after]


def _deadline(append: Append, target: Target, index: int) -> int:
    deadlines = append.run.deadlines
    return target.deadline_ms if deadlines is None else deadlines[index]


def _rows_of(append: Append) -> Iterator[tuple[int, Row]]:
    run = append.run
    for target in append.targets:
        for index in range(target.lo, target.hi):
            if target.dead is None or not target.dead[index]:
                (content,) = run.kept(index, index + 1)
                yield (
                    target.lane,
                    Row(
                        target.base + index,
                        run.first_id + index,
                        _deadline(append, target, index),
                        False,
                        target.transient,
                        run.names_of(index),
                        header_payload(content),
                        body(content),
                    ),
                )


def _identity(
    command: _Put | d.DeletePermission | d.DeleteBinding | d.DeleteParameter,
) -> tuple[object, ...]:
    match command:
        case d.PutVhost(name) | d.PutUser(name):
            return type(command), name
        case d.PutPermission(user, vhost) | d.DeletePermission(user, vhost):
            return d.PutPermission, user, vhost
        case d.PutTopicPermission(user, vhost, exchange):
            return d.PutTopicPermission, user, vhost, exchange
        case d.PutExchange(vhost, name) | d.PutQueue(vhost, name):
            return type(command), vhost, name
        case d.PutParameter(component, vhost, name) | d.DeleteParameter(component, vhost, name):
            return d.PutParameter, component, vhost, name
        case _:
            arguments = repr(sorted(command.arguments.items()))
            return (
                d.PutBinding,
                command.vhost,
                command.source,
                command.destination,
                command.destination_kind,
                command.routing_key,
                arguments,
            )


def _vhost_of(put: _Put) -> str | None:
    if isinstance(put, d.PutUser):
        return None
    return put.name if isinstance(put, d.PutVhost) else put.vhost


def _user_of(put: _Put) -> str | None:
    if isinstance(put, d.PutUser):
        return put.name
    return put.user if isinstance(put, d.PutPermission | d.PutTopicPermission) else None


def _takes_along(command: _Delete, put: _Put) -> bool:
    """What the command deletes, directly or because it belongs to it."""
    match command:
        case d.DeleteVhost(vhost):
            return _vhost_of(put) == vhost
        case d.DeleteUser(user):
            return _user_of(put) == user
        case d.DeleteTopicPermission(user, vhost, exchange):
            return (
                isinstance(put, d.PutTopicPermission)
                and (put.user, put.vhost) == (user, vhost)
                and exchange in (None, put.exchange)
            )
        case d.DeleteExchange(vhost, name):
            return _identity(put) == (d.PutExchange, vhost, name) or (
                isinstance(put, d.PutBinding)
                and put.vhost == vhost
                and (
                    put.source == name
                    or (put.destination_kind, put.destination) == ("exchange", name)
                )
            )
        case d.DeleteQueue(vhost, name):
            return _identity(put) == (d.PutQueue, vhost, name) or (
                isinstance(put, d.PutBinding)
                and (put.vhost, put.destination_kind, put.destination) == (vhost, "queue", name)
            )
        case _:
            return _identity(put) == _identity(command)
