"""Streams against a list: whatever happens, offsets stay, nothing confirmed is lost, and every
consumer sees what it should.

Hypothesis publishes runs, reads from anywhere with and without filters, settles in any order,
cuts by size and age, commits and reads in any order, and crashes, with chunks, segments and
windows of a few messages. The plain model is a list of what was published at each offset.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from amqpd.broker import cursor as cursor_module
from amqpd.broker import journal as journal_module
from amqpd.broker import stream as stream_module
from amqpd.broker.broker import Broker
from amqpd.broker.content import body
from amqpd.broker.cursor import ReadAhead
from amqpd.broker.definitions import PutPermission, PutUser, PutVhost
from amqpd.broker.limits import Limits
from amqpd.broker.message import a_run
from amqpd.broker.names import join
from amqpd.broker.run import Run
from amqpd.broker.stream import Stream
from amqpd.fields import Field, wrap
from amqpd.properties import Properties
from amqpd.store import chunks as chunks_module
from amqpd.store.memory import MemoryStore
from tests.archive import StoreArchive
from tests.broker.model import FakeConsumer, Store, a_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from amqpd.broker.delivery import Taken
    from amqpd.broker.journal import Batch
    from amqpd.broker.lane import Lane
    from amqpd.broker.stretch import Stretch
    from amqpd.store import StoreFailed, StoreFull

ARGUMENTS: dict[str, dict[str, object]] = {
    "plain": {},
    "segments": {"x-stream-max-segment-size-bytes": 150},
    "short": {"x-stream-max-segment-size-bytes": 100, "x-max-length-bytes": 300},
    "shorter": {"x-stream-max-segment-size-bytes": 1, "x-max-length-bytes": 150},
    "young": {"x-stream-max-segment-size-bytes": 70, "x-max-age": "2s"},
    "both": {
        "x-stream-max-segment-size-bytes": 100,
        "x-max-age": "6s",
        "x-max-length-bytes": 500,
    },
}
values = st.sampled_from(["a", "b", None])
starts = st.one_of(
    st.sampled_from(["first", "last", "next", None, "3s", "1h"]),
    st.integers(-5, 40),
    st.integers(990, 1020).map(lambda second: Field("T", second)),
)


@dataclass(frozen=True)
class Message:
    """What was published under one offset."""

    body: bytes
    value: str | None
    stored_ms: int


@dataclass(eq=False)
class Reader(FakeConsumer):
    """A consumer that knows what it must see next."""

    world: World
    credit_: int
    tag: str
    start: object
    wanted: str | None
    #: The next offset that it must look at; None: it has seen nothing yet, anything may be first.
    next: int | None = None
    seen: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        tag = self.tag
        FakeConsumer.__init__(self, self.credit_)
        self.tag = tag
        begin = {} if self.start is None else {"x-stream-offset": self.start}
        wanted = {} if self.wanted is None else {"x-stream-filter": self.wanted}
        self.arguments = a_table({**begin, **wanted})
        self.settled: set[int] = set()

    def deliver(self, lane: Lane, piece: Stretch) -> None:
        for index in range(piece.lo, piece.hi):
            self.world.sees(self, piece.base + index, body(piece.run.contents[index]))
        FakeConsumer.deliver(self, lane, piece)


class World(RuleBasedStateMachine):
    """One stream, its disk, its readers, and the list."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.posts: list[Callable[[], None]] = []
        self.store = MemoryStore(self.posts.append)
        self.now_ms = 1_000_000
        self.count = 0
        #: By offset; what lies at or above `confirmed` may be lost in a crash.
        self.log: list[Message] = []
        self.confirmed = 0
        #: Positions that were noted, and those that are surely on disk.
        self.noted: dict[str, int] = {}
        self.kept: dict[str, int] = {}

    @initialize(kind=st.sampled_from(sorted(ARGUMENTS)))
    def begin(self, kind: str) -> None:
        set_ = self.patch.setattr
        set_(journal_module, "BATCH_MESSAGES", 4)
        set_(chunks_module, "CHUNK_BYTES", 150)
        set_(chunks_module, "BLOCK_BYTES", 600)
        set_(stream_module, "TAIL_BYTES", 100)
        set_(stream_module, "SCANNED", 2)
        set_(cursor_module, "AT_ONCE", 2)
        set_(ReadAhead, "MOST_BYTES", 350)
        set_(ReadAhead, "share_bytes", 150)
        self.open()
        for command in (
            PutVhost("/"),
            PutUser("u", "", "rabbit_password_hashing_sha256"),
            PutPermission("u", "/", ".*", ".*", ".*"),
        ):
            self.broker.change(command)
        self.enter()
        self.vhost.declare_queue(
            self.access,
            "s",
            passive=False,
            durable=True,
            exclusive=False,
            auto_delete=False,
            arguments=a_table({"x-queue-type": "stream", **ARGUMENTS[kind]}),
            owner=self,
        )
        self.limit = cast("int | None", ARGUMENTS[kind].get("x-max-length-bytes"))
        self.flush()

    def teardown(self) -> None:
        self.patch.undo()

    def open(self) -> None:
        self.posts.clear()
        self.busy = False
        self.readers: list[Reader] = []
        snapshot = self.store.open()
        self.broker = Broker(
            limits=Limits(), refill=Store().read, new_token=str, now_ms=self.now_ms
        )
        self.broker.around.archive = StoreArchive(self.store)
        self.broker.recover(snapshot.commands, snapshot.lanes, snapshot.streams)
        self.broker.reserve_lanes(snapshot.next_lane_id)
        self.journal = self.broker.journal

    def enter(self) -> None:
        self.vhost, self.access = self.broker.open_vhost("/", "u")

    @property
    def stream(self) -> Stream:
        queue = self.vhost.queues["s"]
        assert isinstance(queue, Stream)
        return queue

    # -- what may be seen ----------------------------------------------------------------

    def wants(self, reader: Reader, offset: int) -> bool:
        return reader.wanted is None or self.log[offset].value == reader.wanted

    def sees(self, reader: Reader, offset: int, seen: bytes) -> None:
        assert offset < self.confirmed, "seen before it was on disk"
        assert self.log[offset].body == seen
        assert self.wants(reader, offset)
        if reader.next is not None:
            # What lies between was not wanted, or is gone.
            assert offset >= reader.next
            between = range(max(reader.next, self.stream.first), offset)
            assert not any(self.wants(reader, each) for each in between)
        reader.next = offset + 1
        reader.seen.append(offset)

    def begins_at(self, reader: Reader) -> int | None:
        """Where a reader must begin; None where that is the store's affair."""
        stream = self.stream
        at: object = reader.start
        if reader.tag == "me" and reader.start is None and "me" in self.noted:
            at = self.noted["me"]
        if at == "first":
            return stream.first
        if at is None or at == "next":
            return len(self.log)
        if isinstance(at, int) and not isinstance(at, bool):
            offset = at if at >= 0 else len(self.log) + at
            return min(max(offset, stream.first), len(self.log))
        return None

    # -- clients -------------------------------------------------------------------------

    @rule(found=st.lists(values, min_size=1, max_size=6), large=st.booleans())
    def publish(self, found: list[str | None], large: bool) -> None:
        runs = []
        for value in found:
            self.count += 1
            octets = b"%d" % self.count + b" " * (100 * large)
            headers = None if value is None else {"x-stream-filter-value": wrap(value)}
            runs.append(a_run(join("", "s"), Properties(headers=headers), octets))
            self.log.append(Message(octets, value, self.now_ms))
        contents = [run.contents[0] for run in runs]
        run = Run(contents, join("", "s"), None, False, 1, sum(map(len, contents)))
        result = self.vhost.publish(self.vhost.resolve(self.access, "", "s"), run)
        upto = len(self.log)
        assert result.number
        self.journal.when_safe(result.number, lambda: self.confirm(upto))

    @rule(found=st.lists(values, min_size=1, max_size=3))
    def publish_and_flush(self, found: list[str | None]) -> None:
        """Something is there before something else happens."""
        self.publish(found, large=False)
        self.flush()

    def confirm(self, upto: int) -> None:
        self.confirmed = max(self.confirmed, upto)

    @precondition(lambda self: len(self.readers) < 6)
    @rule(
        start=starts,
        credit=st.sampled_from([1, 2, 3, 100]),
        wanted=st.sampled_from([None, None, "a"]),
        tag=st.sampled_from(["amq.ctag-1", "me"]),
    )
    def consume(self, start: object, credit: int, wanted: str | None, tag: str) -> None:
        if tag == "me" and any(reader.tag == "me" for reader in self.readers):
            tag = "amq.ctag-2"
        reader = Reader(self, credit, tag, start, wanted)
        reader.next = self.begins_at(reader)
        self.vhost.consume(self.access, "s", reader, exclusive=False, owner=reader)
        self.readers.append(reader)

    @precondition(lambda self: self.readers)
    @rule(data=st.data(), how=st.sampled_from(["settle", "settle", "settle", "discard"]))
    def settle(self, data: st.DataObject, how: str) -> None:
        reader = data.draw(st.sampled_from(self.readers))
        if not len(reader.unacked):
            return
        first = data.draw(st.integers(1, reader._tag - 1))
        last = data.draw(st.integers(first, reader._tag - 1))
        taken: list[Taken] = []
        for tag in range(first, last + 1):
            if reader.unacked._is_outstanding(tag):
                taken += reader.unacked.take(tag, tag, False)
        getattr(self.vhost, how)(taken)
        for one in taken:
            reader.settled.update(range(one.base + one.lo, one.base + one.hi))
        self.note(reader)
        if reader.queue is not None:
            reader.queue.wake()

    def note(self, reader: Reader) -> None:
        """How far a reader with a name is: before the first that it has not settled."""
        if reader.tag != "me" or reader.start is not None or not reader.settled:
            return
        left = [offset for offset in reader.seen if offset not in reader.settled]
        upto = min(left) if left else max(reader.settled) + 1
        if upto > min(reader.seen):
            self.noted["me"] = upto

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        reader = data.draw(st.sampled_from(self.readers))
        self.readers.remove(reader)
        self.vhost.cancel(reader)
        self.vhost.requeue(reader.unacked.take_all())

    # -- time and disk -------------------------------------------------------------------

    @rule(passed_ms=st.sampled_from([100, 1000, 4000]))
    def wait(self, passed_ms: int) -> None:
        self.now_ms += passed_ms
        self.broker.tick(self.now_ms)

    @rule()
    def dispatch(self) -> None:
        self.broker.dispatch()

    @precondition(lambda self: not self.busy)
    @rule()
    def write(self) -> None:
        batch = self.journal.take()
        if batch is not None:
            self.busy = True
            kept = {track.name: track.offset for track in batch.tracks}
            self.store.write(batch, partial(self.written, batch, kept))

    def written(
        self, batch: Batch, kept: dict[str, int], outcome: int | StoreFull | StoreFailed
    ) -> None:
        assert outcome == batch.number
        self.busy = False
        self.kept.update(kept)
        self.journal.committed(batch)

    @precondition(lambda self: self.posts)
    @rule(data=st.data())
    def work(self, data: st.DataObject) -> None:
        """The disk does something: the writer and the reader each in their order."""
        self.posts.pop(0)()

    @rule()
    def flush(self) -> None:
        """The disk does everything there is to do."""
        for _ in range(10_000):
            self.broker.dispatch()
            if not self.busy:
                self.write()
            if not self.posts:
                break
            self.posts.pop(0)()
        else:
            raise AssertionError("it never ends")
        self.settled_down()

    def settled_down(self) -> None:
        """Everything is on disk, and everybody has seen what he has credit for."""
        stream = self.stream
        assert self.confirmed == len(self.log)
        for reader in self.readers:
            if reader.next is not None and reader.credit() > 0:
                left = range(max(reader.next, stream.first), len(self.log))
                assert not any(self.wants(reader, offset) for offset in left)
        if self.limit is not None and stream.retention.segment > stream.first:
            # Looked at whenever a segment is full: what came in after that may be too much.
            newest = stream.retention.size - stream.retention.segment_size
            assert stream.ready_bytes - newest <= self.limit
        assert self.kept == self.noted

    @rule()
    def crash(self) -> None:
        """Lose what is not on disk; what was confirmed is there under its offset."""
        self.store.crash()
        self.open()
        self.enter()
        lane = self.stream.lane
        assert self.confirmed <= lane.next_position <= len(self.log)
        del self.log[lane.next_position :]
        self.confirmed = len(self.log)
        assert dict(self.stream._tracked) == self.kept
        self.noted = dict(self.kept)
        reader = Reader(self, 1000, "amq.ctag-9", "first", None)
        reader.next = self.stream.first
        self.vhost.consume(self.access, "s", reader, exclusive=False, owner=reader)
        self.flush()
        assert reader.seen == list(range(len(self.log) - len(reader.seen), len(self.log)))
        self.vhost.cancel(reader)
        self.vhost.requeue(reader.unacked.take_all())

    @invariant()
    def counts_are_right(self) -> None:
        if not hasattr(self, "broker") or "s" not in self.vhost.queues:
            return
        stream = self.stream
        assert stream.first + stream.ready == stream.lane.next_position == len(self.log)
        assert stream.lane.stored == stream.ready == stream.messages
        assert stream.ready_bytes >= 0
        assert stream.unacked == sum(len(reader.unacked) for reader in self.readers)
        held = self.broker.around.read_ahead
        assert held._held_bytes == sum(held._holding.values()) >= 0
        assert held._busy <= 2


TestStreams = World.TestCase
