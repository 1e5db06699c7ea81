"""Streams: who gets what from where, what an acknowledgement does, what stays and what goes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from amqpd.broker import stream as stream_module
from amqpd.broker.content import header_payload
from amqpd.broker.cursor import ReadAhead
from amqpd.broker.journal import Track
from amqpd.broker.policy import parse_policy
from amqpd.broker.stream import Stream
from amqpd.errors import AmqpError, NotImplementedHere, PreconditionFailed
from amqpd.fields import Field, wrap
from amqpd.properties import decode_header
from tests.broker.model import FakeConsumer, a_table
from tests.broker.types.living import Living

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from amqpd.broker.lane import Lane
    from amqpd.broker.stretch import Stretch


class Reader(FakeConsumer):
    """Notes the offsets that are in the headers, too."""

    def __init__(
        self,
        credit: int = 1000,
        *,
        start: object = None,
        tag: str = "amq.ctag-1",
        no_ack: bool = False,
        more: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(credit, no_ack=no_ack)
        self.tag = tag
        begin = {} if start is None else {"x-stream-offset": start}
        self.arguments = a_table({**begin, **(more or {})})
        self.offsets: list[int] = []

    def deliver(self, lane: Lane, piece: Stretch) -> None:
        for index in range(piece.lo, piece.hi):
            headers = decode_header(header_payload(piece.run.contents[index]))[2].headers
            assert headers is not None
            field = headers["x-stream-offset"]
            assert field == Field("l", piece.base + index)
            self.offsets.append(piece.base + index)
        assert not piece.redelivered
        super().deliver(lane, piece)


class World(Living):
    """A broker that survives, with a stream."""

    def stream(self, name: str = "s", **arguments: object) -> Stream:
        table = {"x-queue-type": "stream"} | {
            key.replace("_", "-"): arguments[key] for key in arguments
        }
        queue = self.queue(name, arguments=table)
        assert isinstance(queue, Stream)
        return queue

    def fill(self, bodies: str, name: str = "s") -> None:
        """One message for each character, each on disk before the next."""
        for body in bodies:
            self.publish(body.encode(), key=name)
            self.turn()

    def read(self, start: object = "first", *, credit: int = 1000, **more: object) -> Reader:
        """A consumer, and what it has got."""
        named = {key.replace("_", "-"): more[key] for key in more}
        reader = Reader(credit, start=start, more=named)
        self.consume(reader, "s")
        self.turn()
        return reader

    @property
    def s(self) -> Stream:
        queue = self.vhost.queues["s"]
        assert isinstance(queue, Stream)
        return queue


@pytest.fixture
def world() -> World:
    return World()


def settle(world: World, reader: Reader, first: int, last: int | None = None) -> None:
    world.vhost.settle(reader.unacked.take(first, last or first, False))
    world.turn()


def text(reader: Reader) -> str:
    return b"".join(reader.bodies).decode()


# -- reading -------------------------------------------------------------------------------


def test_every_consumer_gets_every_message(world: World) -> None:
    world.stream()
    world.fill("abc")

    one, other = world.read(), world.read()
    world.fill("de")

    assert text(one) == text(other) == "abcde"
    assert one.offsets == [0, 1, 2, 3, 4]
    assert world.s.ready == world.s.messages == 5
    assert world.s.unacked == 10


def test_nobody_sees_what_is_not_on_disk(world: World) -> None:
    world.stream()
    reader = world.read()

    world.publish(b"a", key="s")
    world.broker.dispatch()

    assert reader.bodies == []
    world.commit()
    assert text(reader) == "a"


def test_a_consumer_gets_as_many_as_it_has_credit(world: World) -> None:
    world.stream()
    world.fill("abcdef")
    reader = world.read(credit=2)

    assert text(reader) == "ab"
    world.vhost.settle(reader.take(1))
    world.turn()
    assert text(reader) == "abc"
    world.vhost.settle(reader.take(3))
    world.turn()
    assert text(reader) == "abcde"


@pytest.mark.parametrize("what", ["requeue", "discard"])
def test_what_is_given_back_is_credit_and_nothing_else(world: World, what: str) -> None:
    world.stream()
    world.fill("abcd")
    reader = world.read(credit=2)

    getattr(world.vhost, what)(reader.take(2))
    world.turn()

    assert text(reader) == "abcd"
    assert world.s.ready == 4
    assert world.s.unacked == 2


@pytest.mark.parametrize(
    ("start", "got"),
    [
        ("first", "abcde"),
        ("next", ""),
        ("last", "e"),
        (None, ""),
        (0, "abcde"),
        (2, "cde"),
        (Field("b", 4), "e"),
        (5, ""),
        (100, ""),
        (-1, "e"),
        (-3, "cde"),
        (-100, "abcde"),
        (Field("T", 0), "abcde"),
        (Field("T", 1002), "cde"),
        (Field("T", 1 << 40), ""),
        ("1h", "abcde"),
        ("3s", "cde"),
        ("1s", "e"),
    ],
)
def test_where_a_consumer_begins(world: World, start: object, got: str) -> None:
    # The clock shows 1,000 s.
    world.stream()
    for body in "abcde":
        world.fill(body)
        world.wait(1000, 500)

    reader = Reader(start=start)
    world.consume(reader, "s")
    world.turn()

    assert text(reader) == got
    world.fill("f")
    assert text(reader) == got + "f"


@pytest.mark.parametrize("start", ["first", "last", "next", 0, 5, -5, Field("T", 5), "1h"])
def test_where_a_consumer_of_an_empty_stream_begins(world: World, start: object) -> None:
    world.stream()

    reader = world.read(start)
    world.fill("ab")

    assert text(reader) == "ab"


@pytest.mark.parametrize(
    ("start", "got"), [("next", ""), ("first", "a"), ("last", ""), ("1h", "a")]
)
def test_where_a_consumer_begins_while_the_first_message_is_on_its_way(
    world: World, start: object, got: str
) -> None:
    world.stream()
    world.publish(b"a", key="s")

    reader = Reader(start=start)
    world.consume(reader, "s")
    world.fill("b")

    assert text(reader) == got + "b"


def test_a_consumer_that_ends_while_its_place_is_looked_for(world: World) -> None:
    world.stream()
    world.fill("ab")
    reader = Reader(start="1h")
    world.consume(reader, "s")

    world.vhost.cancel(reader)
    world.turn()

    assert reader.bodies == []
    assert world.broker.around.read_ahead.users == 0


def test_credit_that_comes_while_a_place_is_looked_for_waits(world: World) -> None:
    world.stream()
    world.fill("ab")
    reader = Reader(start="1h")
    world.consume(reader, "s")
    assert reader.queue is not None

    reader.queue.wake()
    world.broker.dispatch()

    assert reader.bodies == []
    world.turn()
    assert text(reader) == "ab"


def test_a_filter_lets_wanted_messages_through(world: World) -> None:
    world.stream()
    for number, value in enumerate("xaabxa"):
        world.publish(b"%d" % number, key="s", headers={"x-stream-filter-value": wrap(value)})
    world.publish(b"-", key="s")
    world.turn()

    wanted = world.read(x_stream_filter=["a", "b"])
    unfiltered = world.read(x_stream_filter="b", x_stream_match_unfiltered=True)
    few = world.read(x_stream_filter="a", credit=2)

    assert text(wanted) == "1235"
    assert text(unfiltered) == "3-"
    assert text(few) == "12"
    world.vhost.settle(few.take(1))
    world.turn()
    assert text(few) == "125"


def test_a_filter_that_nothing_passes_takes_turns(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "SCANNED", 3)
    world.stream()
    world.fill("abcdefgh")

    reader = world.read(x_stream_filter="x")

    assert reader.bodies == []
    world.publish(b"!", key="s", headers={"x-stream-filter-value": wrap("x")})
    world.turn()
    assert text(reader) == "!"


def test_a_turn_ends_when_enough_was_done(world: World) -> None:
    world.stream()
    world.fill("abcd")
    readers = [Reader(start="first") for _ in range(3)]
    for reader in readers:
        world.consume(reader, "s")
    world.turn()
    for reader in readers:
        reader.bodies.clear()
    world.publish(b"e", key="s")
    batch = world.broker.journal.take()
    assert batch is not None
    world.disk.write(batch, partial(world._written, batch))
    world._posted.pop()()

    world.broker.around.spare_bytes = 1
    world.s.dispatch()

    assert [text(reader) for reader in readers] == ["e", "", ""]
    assert world.broker.around.tired == [world.s]
    world.turn()
    assert [text(reader) for reader in readers] == ["e", "e", "e"]


def test_who_gets_credit_twice_has_one_turn(world: World) -> None:
    world.stream()
    world.fill("abcdef")
    readers = [world.read(credit=2), world.read(credit=2)]
    for reader in readers:
        for tag in (1, 2):
            world.vhost.settle(reader.take(tag))

    for _ in range(2):
        world.broker.around.spare_bytes = 1
        world.s.dispatch()

    assert [text(reader) for reader in readers] == ["abc", "abc"]


# -- figures -------------------------------------------------------------------------------


def test_the_lag_is_that_of_the_last_consumer_within_the_stream(world: World) -> None:
    world.stream(x_stream_max_segment_size_bytes=1, x_max_length_bytes=400)
    assert world.s.max_lag == 0
    world.fill("abcd")
    assert world.s.max_lag == 0

    slow = world.read(credit=1)
    world.read("next")
    assert world.s.max_lag == 3
    world.fill("efghijk")
    assert world.s.first > 1
    assert world.s.max_lag == 11 - world.s.first

    world.vhost.cancel(slow)
    assert world.s.max_lag == 0


def test_who_begins_somewhere_else_has_no_lag_before_that_is_known(world: World) -> None:
    world.stream()
    world.fill("abc")
    reader = Reader(start="last")
    world.consume(reader, "s")

    assert world.s.max_lag == 0


# -- memory --------------------------------------------------------------------------------


def test_consumers_near_the_end_are_fed_from_memory(world: World) -> None:
    world.stream()
    one, other = world.read("next"), world.read("next")
    world.archive.reads.clear()

    world.fill("abcdef")

    assert text(one) == text(other) == "abcdef"
    assert world.archive.reads == []


def test_the_tail_goes_when_everybody_has_seen_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "TAIL_BYTES", 200)
    world.stream()
    readers = [world.read("next"), world.read("next")]

    for _ in range(20):
        world.fill("abcdefghij")

    assert world.s._tail.size_bytes < 1000
    assert [len(reader.bodies) for reader in readers] == [200, 200]


def test_of_very_many_consumers_nobody_asks_who_has_seen_the_tail(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "TAIL_BYTES", 200)
    monkeypatch.setattr(stream_module, "MANY", 1)
    monkeypatch.setattr(ReadAhead, "tail_bytes", 500)
    world.stream()
    readers = [world.read("next"), world.read("next")]

    for _ in range(20):
        world.fill("abcdefghij")
        assert 0 < world.s._tail.size_bytes < 1000

    assert [len(reader.bodies) for reader in readers] == [200, 200]


def test_a_consumer_that_falls_behind_is_served_from_the_store(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "TAIL_BYTES", 200)
    monkeypatch.setattr(ReadAhead, "share_bytes", 500)
    monkeypatch.setattr(ReadAhead, "tail_bytes", 500)
    world.stream()
    fast, slow = world.read("next"), world.read("next", credit=1)

    for _ in range(20):
        world.fill("abcdefghij")

    assert len(fast.bodies) == 200
    assert slow.bodies == [b"a"]
    assert world.s._tail.size_bytes < 1500
    for _ in range(250):
        world.vhost.settle(slow.take())
        world.turn()
    assert text(slow) == "abcdefghij" * 20
    assert slow.offsets == list(range(200))


def test_without_consumers_nothing_is_kept(world: World) -> None:
    world.stream()
    reader = world.read()
    world.fill("abc")

    world.vhost.cancel(reader)
    world.fill("def")

    assert not world.s._tail
    assert text(world.read()) == "abcdef"


def test_a_long_stream_is_read_in_pieces(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ReadAhead, "share_bytes", 300)
    world.stream()
    world.fill("abcdefghijklmnopqrstuvwxyz")

    reader = world.read()

    assert text(reader) == "abcdefghijklmnopqrstuvwxyz"
    assert len(world.archive.reads) > 5
    assert all(size == 300 for _, size in world.archive.reads)


def test_who_has_to_give_its_memory_up_reads_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ReadAhead, "MOST_BYTES", 1200)
    monkeypatch.setattr(ReadAhead, "share_bytes", 1000)
    world.stream()
    world.fill("abcdefghij")

    readers = [world.read(credit=1) for _ in range(4)]

    held = [len(cursor.ahead) for cursor in world.s._cursors.values()]
    assert held.count(0) == 3
    for _ in range(10):
        for reader in readers:
            world.vhost.settle(reader.take())
            world.turn()
    assert [text(reader) for reader in readers] == ["abcdefghij"] * 4


def test_what_is_lost_on_disk_is_passed_by_and_nothing_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ReadAhead, "share_bytes", 600)
    world.stream()
    world.fill("abcdefghijklmnopqrstuvwxyz")
    reader = world.read(credit=1)
    (cursor,) = world.s._cursors.values()
    upto = cursor.ahead_upto  # of what was read ahead
    assert 5 < upto < 20
    lose(world, range(upto, 26))

    for _ in range(upto):
        world.vhost.settle(reader.take())
        world.turn()
    world.fill("!")

    assert reader.offsets == [*range(upto), 26]


def lose(world: World, offsets: Iterable[int]) -> None:
    """These messages are damaged: the store passes them by."""
    chunks = world.disk._streams._chunks[int(world.s.lane.id)]
    for offset in offsets:
        del chunks[offset]


def test_a_stream_of_which_everything_is_lost_goes_on_with_what_is_new(world: World) -> None:
    world.stream()
    world.fill("abc")
    lose(world, range(3))

    reader = world.read()
    world.fill("d")

    assert reader.offsets == [3]


def test_what_arrives_behind_what_was_given_up_leaves_no_gap(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ReadAhead, "share_bytes", 300)
    world.stream()
    world.fill("abcdefghijklmnopqrstuvwxyz")
    reader = world.read(credit=1)
    (cursor,) = world.s._cursors.values()
    while not cursor.reading:
        world.vhost.settle(reader.take())
        world.broker.dispatch()
    assert cursor.ahead

    cursor.give_up()  # as when others need the memory
    for _ in range(30):
        world.turn()
        world.vhost.settle(reader.take())

    assert reader.offsets == list(range(26))


def test_what_arrives_for_a_consumer_that_has_ended_is_dropped(world: World) -> None:
    world.stream()
    world.fill("abc")
    reader = Reader(start="first")
    world.consume(reader, "s")
    world.broker.dispatch()
    assert world.archive.reads

    world.vhost.cancel(reader)
    world.turn()

    assert reader.bodies == []
    assert text(world.read()) == "abc"


def test_clients_do_not_keep_messages_in_memory(world: World) -> None:
    world.stream()
    world.fill("abc")
    reader = world.read()

    taken = reader.take()

    assert [one.run.contents for one in taken] == [[]] * len(taken)
    assert [one.base + one.lo for one in taken] == [0, 1, 2]


# -- what is in a stream -------------------------------------------------------------------


def test_transient_messages_are_stored_and_confirmed_from_disk(world: World) -> None:
    world.stream()

    published = world.publish(b"a", key="s", mode=1)

    assert published.number > world.broker.journal.safe
    world.turn()
    assert published.number <= world.broker.journal.safe
    world.restart()
    assert text(world.read()) == "a"


def test_a_run_goes_into_a_stream_and_a_queue_together(world: World) -> None:
    world.stream()
    world.queue("q")
    for name in ("s", "q"):
        world.vhost.bind(world.access, "amq.fanout", name, "queue", "", {}, None)

    for mode in (1, 2):
        world.publish(b"%d" % mode, exchange="amq.fanout", mode=mode)
    world.turn()

    assert text(world.read()) == "12"
    assert world.bodies("q") == [b"1", b"2"]


def test_two_streams_have_offsets_of_their_own(world: World) -> None:
    world.stream("s")
    world.stream("t")
    world.fill("xy", "t")
    for name in ("s", "t"):
        world.vhost.bind(world.access, "amq.fanout", name, "queue", "", {}, None)

    world.publish(b"a", exchange="amq.fanout")
    world.turn()

    reader = Reader(start="first")
    world.consume(reader, "t")
    world.turn()
    assert reader.offsets == [0, 1, 2]
    assert world.read().offsets == [0]


def test_expiration_and_priority_mean_nothing(world: World) -> None:
    world.stream()

    world.publish(b"a", b"b", key="s", expiration="10", priority=9)
    world.wait(1000)

    assert text(world.read()) == "ab"


def test_dead_letters_go_into_a_stream(world: World) -> None:
    world.stream()
    world.queue("q", arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "s"})
    world.publish(b"a")
    consumer = FakeConsumer()
    world.consume(consumer)
    world.turn()

    world.vhost.discard(consumer.take())
    world.turn()

    assert text(world.read()) == "a"


def test_a_restart_changes_nothing(world: World) -> None:
    world.stream()
    world.fill("abcdef")

    world.restart()
    world.fill("gh")

    reader = world.read()
    assert text(reader) == "abcdefgh"
    assert reader.offsets == list(range(8))
    assert world.s.ready == 8
    sizes = world.s.ready_bytes, world.s.retention.size
    world.restart()
    assert (world.s.ready_bytes, world.s.retention.size) == sizes


def test_what_was_not_on_disk_leaves_its_offsets(world: World) -> None:
    world.stream()
    world.fill("ab")
    world.publish(b"lost", key="s")

    world.restart()
    world.fill("c")

    reader = world.read()
    assert text(reader) == "abc"
    assert reader.offsets == [0, 1, 2]


def test_a_deleted_stream_cancels_its_consumers_and_takes_all_along(world: World) -> None:
    world.stream()
    world.fill("abc")
    reader, waiting = world.read(), world.read("next")

    answer = world.vhost.delete_queue(
        world.access, "s", if_unused=False, if_empty=False, owner=None
    )
    world.turn()

    assert answer.value == 3
    assert reader.gone
    assert waiting.gone
    assert world.broker.around.read_ahead.users == 0
    world.vhost.settle(reader.take())
    world.stream()
    assert text(world.read()) == ""
    world.restart()
    assert world.s.ready == 0


def test_a_deleted_stream_hands_nothing_out_and_lets_its_consumers_end(world: World) -> None:
    world.stream()
    world.fill("abc")
    reader = world.read(credit=1)
    stream, subscription = world.s, reader.queue
    assert subscription is not None
    world.vhost.settle(reader.take())

    stream.delete()
    stream.act()
    subscription.cancel()

    assert text(reader) == "a"
    assert world.broker.around.read_ahead.users == 0


def test_reads_for_a_deleted_stream_come_to_nothing(world: World) -> None:
    world.stream()
    world.fill("abc")
    reader = Reader(start="first")
    world.consume(reader, "s")
    world.broker.dispatch()

    world.vhost.delete_queue(world.access, "s", if_unused=False, if_empty=False, owner=None)
    world.turn()

    assert reader.bodies == []


# -- what is refused -----------------------------------------------------------------------


def refused(call: Callable[[], object]) -> AmqpError:
    with pytest.raises(AmqpError) as caught:
        call()
    return caught.value


def test_what_streams_do_not_do(world: World) -> None:
    world.stream()

    for call, text_ in (
        (
            lambda: world.vhost.get(world.access, "s", None, True, print),
            "basic.get not supported by stream queues queue 's' in vhost '/'",
        ),
        (
            lambda: world.vhost.purge_queue(world.access, "s", None),
            "queue.purge not supported by stream queues queue 's' in vhost '/'",
        ),
    ):
        error = refused(call)
        assert isinstance(error, NotImplementedHere)
        assert error.explanation == text_


def test_which_consumers_are_refused(world: World) -> None:
    world.stream()
    where = "queue 's' in vhost '/'"

    no_limit = refused(lambda: world.consume(Reader(0), "s"))
    no_ack = refused(lambda: world.consume(Reader(no_ack=True), "s"))
    shared = Reader()
    shared.prefetch_shared = 5
    together = refused(lambda: world.consume(shared, "s"))

    assert isinstance(no_limit, PreconditionFailed)
    assert no_limit.explanation == f"consumer prefetch count is not set for stream {where}"
    assert isinstance(no_ack, NotImplementedHere)
    assert no_ack.explanation == f"automatic acknowledgement not supported by stream {where}"
    assert isinstance(together, NotImplementedHere)
    assert together.explanation == f"{where} does not support global qos"
    assert not world.s.ring


def test_nobody_has_a_stream_for_himself(world: World) -> None:
    world.stream()
    world.fill("a")
    one, other = Reader(start="first"), Reader(start="first")

    world.consume(one, "s", exclusive=True)
    world.consume(other, "s", exclusive=True)
    world.turn()

    assert text(one) == text(other) == "a"


# -- positions that are remembered ---------------------------------------------------------


def resume(world: World, tag: str = "me", more: Mapping[str, object] | None = None) -> Reader:
    reader = Reader(tag=tag, more=more)
    world.consume(reader, "s")
    world.turn()
    return reader


def test_a_consumer_with_a_name_goes_on_where_it_was(world: World) -> None:
    world.stream()
    reader = resume(world)
    assert reader.bodies == []
    world.fill("abcdef")
    settle(world, reader, 1, 3)
    world.vhost.cancel(reader)

    again = resume(world)

    assert text(again) == "def"
    world.restart()
    assert text(resume(world)) == "def"


def test_positions_are_shown_by_the_names_of_their_consumers(world: World) -> None:
    world.stream()
    readers = [Reader(tag=tag) for tag in ("a", "b", "c")]
    for reader in readers:
        world.consume(reader, "s")
    world.fill("xyz")

    for reader, upto in zip(readers, (1, 3), strict=False):
        world.vhost.settle(reader.take(upto))

    assert world.s.tracked == {"a": 1, "b": 3}


def test_a_consumer_that_asks_for_it_is_remembered_wherever_it_begins(world: World) -> None:
    world.stream()
    world.fill("abcdef")
    tracking: Mapping[str, object] = {
        "x-stream-automatic-offset-tracking": True,
        "x-stream-offset": "first",
    }
    reader = resume(world, more=tracking)
    assert text(reader) == "abcdef"
    settle(world, reader, 1, 2)
    world.vhost.cancel(reader)

    assert text(resume(world, more=tracking)) == "cdef"


@pytest.mark.parametrize(
    ("tag", "arguments"),
    [
        ("me", {"x-stream-offset": "first"}),
        ("amq.ctag-x", {}),
        ("me", {"x-stream-automatic-offset-tracking": False}),
        ("me", {"x-stream-automatic-offset-tracking": "false", "x-stream-offset": 0}),
    ],
)
def test_who_is_not_remembered(world: World, tag: str, arguments: dict[str, object]) -> None:
    world.stream()
    reader = resume(world, tag, arguments)
    world.fill("ab")
    settle(world, reader, 1, 2)
    world.turn()

    assert world.s._tracked == {}
    assert world.disk.open().streams[int(world.s.lane.id)].offsets == {}


def test_only_what_was_settled_from_the_first_on_counts(world: World) -> None:
    world.stream()
    reader = resume(world)
    world.fill("abcdef")

    settle(world, reader, 2, 4)
    assert world.s._tracked == {}
    settle(world, reader, 1)

    assert world.s._tracked == {"me": 4}


def test_rejected_is_as_good_as_acknowledged_and_given_back_is_not(world: World) -> None:
    world.stream()
    reader = resume(world)
    world.fill("abcdef")

    world.vhost.discard(reader.unacked.take(1, 2, False))
    world.vhost.requeue(reader.unacked.take(3, 3, False))
    settle(world, reader, 4, 6)

    assert world.s._tracked == {"me": 2}
    world.vhost.cancel(reader)
    assert text(resume(world)) == "cdef"


def test_what_is_settled_after_the_consumer_has_ended_counts(world: World) -> None:
    world.stream()
    reader = resume(world)
    world.fill("abcd")

    world.vhost.cancel(reader)
    settle(world, reader, 1, 3)

    assert world.s._tracked == {"me": 3}
    world.vhost.requeue(reader.take())
    assert world.s._progress == {}


def test_nothing_is_remembered_of_a_consumer_that_settles_nothing(world: World) -> None:
    world.stream()
    reader = resume(world)
    world.fill("abcd")

    world.vhost.cancel(reader)
    world.vhost.requeue(reader.take())

    assert world.s._tracked == {}
    assert world.s._progress == {}


def test_a_filter_does_not_hold_the_position_up(world: World) -> None:
    world.stream()
    reader = resume(world, more={"x-stream-filter": "a"})
    for value in "abbab":
        world.publish(value.encode(), key="s", headers={"x-stream-filter-value": wrap(value)})
    world.turn()

    settle(world, reader, 1)
    assert world.s._tracked == {"me": 3}
    settle(world, reader, 2)
    assert world.s._tracked == {"me": 4}


def test_the_name_that_was_silent_for_longest_is_forgotten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "TRACKED", 2)
    world.stream()
    readers = {name: resume(world, name) for name in ("one", "two", "three")}
    world.fill("abc")
    for name in ("one", "two"):
        settle(world, readers[name], 1)
    settle(world, readers["one"], 2)

    settle(world, readers["three"], 1)

    assert world.s._tracked == {"one": 2, "three": 1}
    world.restart()
    assert world.s._tracked == {"one": 2, "three": 1}


def test_a_position_in_a_transaction_is_on_disk_with_it_or_not_at_all(world: World) -> None:
    world.stream()
    world.queue("q")
    reader = resume(world)
    world.fill("ab")
    journal = world.broker.journal
    world.vhost.settle(reader.unacked.take(1, 1, False))

    with journal.atomic():
        world.publish(b"result")
        world.vhost.settle(reader.unacked.take(2, 2, False))

    lane = int(world.s.lane.id)
    batch = journal.take()
    assert batch is not None
    assert batch.tracks == [Track(lane, "me", 2)]
    assert len(batch.appends) == 1


def test_a_position_alone_in_a_transaction(world: World) -> None:
    world.stream()
    reader = resume(world)
    world.fill("ab")
    before = world.broker.journal.last

    with world.broker.journal.atomic():
        world.vhost.settle(reader.unacked.take(1, 1, False))

    assert world.broker.journal.last == before + 1
    world.restart()
    assert world.s._tracked == {}


def test_positions_go_with_their_stream(world: World) -> None:
    world.stream()
    reader = resume(world)
    world.fill("ab")
    world.vhost.settle(reader.unacked.take(1, 1, False))

    world.vhost.delete_queue(world.access, "s", if_unused=False, if_empty=False, owner=None)
    world.turn()

    assert world.disk.open().streams == {}


def test_a_position_below_the_first_message_begins_there(world: World) -> None:
    world.stream(x_stream_max_segment_size_bytes=1, x_max_length_bytes=150)
    reader = resume(world)
    world.fill("ab")
    settle(world, reader, 1)
    world.vhost.cancel(reader)

    world.fill("cdef")

    first = world.s.first
    assert first > 1
    assert resume(world).offsets == list(range(first, 6))


# -- retention -----------------------------------------------------------------------------


def test_the_oldest_segments_go_when_all_are_too_large(world: World) -> None:
    world.stream(x_stream_max_segment_size_bytes=150, x_max_length_bytes=400)

    world.fill("abcdefghijklmnop")

    # 61 octets each: three to a segment, and no more than two whole ones fit with the last.
    stream = world.s
    assert stream.ready_bytes <= 400
    assert stream.first % 3 == 0
    assert stream.first + stream.ready == 16
    reader = world.read()
    assert reader.offsets == list(range(stream.first, 16))
    assert world.vhost.publishing.dropped["retention"] == stream.first


def test_a_stream_that_was_cut_begins_after_a_start_where_it_began_before(world: World) -> None:
    world.stream(x_stream_max_segment_size_bytes=1, x_max_length_bytes=210)
    world.fill("abcdefg")
    first, ready = world.s.first, world.s.ready
    assert (first, first + ready) == (4, 7)

    world.restart()

    assert (world.s.first, world.s.ready) == (first, ready)
    world.fill("h")
    assert (world.s.first, world.s.ready) == (first + 1, ready)
    assert text(world.read()) == "fgh"


def test_the_last_segment_stays_however_large_it_is(world: World) -> None:
    world.stream(x_max_length_bytes=10)

    world.fill("abcdef")

    assert text(world.read()) == "abcdef"


def test_segments_go_when_all_of_their_messages_are_too_old(world: World) -> None:
    world.stream(x_stream_max_segment_size_bytes=110, x_max_age="10s")
    world.fill("ab")
    world.wait(6000, 1000)
    world.fill("cd")
    world.fill("e")

    world.wait(3000, 1000)
    assert world.s.first == 0
    world.wait(2000, 1000)
    assert world.s.first == 2
    world.wait(7000, 1000)
    assert world.s.first == 4
    world.wait(60_000, 10_000)
    assert text(world.read()) == "e"


def test_both_limits_count(world: World) -> None:
    world.stream(x_stream_max_segment_size_bytes=1, x_max_age="10s", x_max_length_bytes=210)
    world.fill("ab")
    world.wait(11_000, 1000)
    world.fill("cdefg")

    assert world.s.ready_bytes <= 210
    assert text(world.read()) == "efg"


def test_a_policy_counts_from_now_on_and_for_what_is_there(world: World) -> None:
    world.stream()
    world.fill("abc")
    assert world.s.retention.segment == 0

    policy(world, {"stream-max-segment-size-bytes": 100})
    world.fill("defgh")
    assert world.s.first == 0
    policy(world, {"stream-max-segment-size-bytes": 100, "max-length-bytes": 150})
    world.turn()

    assert world.s.first == 7
    assert text(world.read()) == "h"


def policy(world: World, definition: dict[str, object]) -> None:
    parsed = parse_policy("p", {"pattern": "s", "definition": definition, "apply-to": "streams"})
    world.vhost.enforcement.put(parsed, operator=False, now_ms=world.broker.around.now_ms)


def test_the_timer_of_a_longer_age_changes_nothing(world: World) -> None:
    world.stream(x_stream_max_segment_size_bytes=1)
    policy(world, {"max-age": "60s"})
    world.fill("abc")
    policy(world, {"max-age": "10s"})
    world.turn()

    world.wait(11_000, 1000)
    assert world.s.first == 2
    world.wait(20_000, 1000)
    world.fill("d")
    world.wait(30_000, 1000)

    assert world.s.first == 3
    assert text(world.read()) == "d"


def test_age_is_looked_at_after_a_start(world: World) -> None:
    world.stream(x_stream_max_segment_size_bytes=1, x_max_age="10s")
    world.fill("abc")

    world.restart(60_000)

    assert text(world.read()) == "c"


def test_consumers_of_what_has_gone_go_on_with_what_is_left(world: World) -> None:
    world.stream(x_stream_max_segment_size_bytes=1, x_max_length_bytes=150)
    world.fill("a")
    reader = world.read(credit=1)
    world.vhost.cancel(world.read("next"))

    world.fill("bcdef")
    for _ in range(10):
        world.vhost.settle(reader.take())
        world.turn()

    assert reader.offsets[0] == 0
    assert reader.offsets[-1] == 5
    assert reader.offsets == sorted(set(reader.offsets))


def test_a_cut_that_is_answered_late_or_never_needed_does_nothing(world: World) -> None:
    world.stream(x_stream_max_segment_size_bytes=1, x_max_length_bytes=150)
    world.fill("ab")
    stream = world.s
    stream.retention.look()
    stream.retention.look()

    world.vhost.delete_queue(world.access, "s", if_unused=False, if_empty=False, owner=None)
    world.turn()

    assert stream.deleted


def test_a_segment_that_fills_up_while_the_store_looks_counts(world: World) -> None:
    world.stream(x_stream_max_segment_size_bytes=1, x_max_length_bytes=150)
    world.fill("ab")
    for body in b"cdef":
        world.publish(bytes([body]), key="s")
        world.broker.dispatch()
        batch = world.broker.journal.take()
        assert batch is not None
        world.disk.write(batch, partial(world._written, batch))
        world._posted.pop()()  # the writer; what the reader was asked for waits
        world.broker.dispatch()

    world.commit()

    assert world.s.ready_bytes <= 150


def test_a_timer_of_a_deleted_stream_rings_for_nobody(world: World) -> None:
    world.stream(x_stream_max_segment_size_bytes=1, x_max_age="10s")
    world.fill("abc")

    world.vhost.delete_queue(world.access, "s", if_unused=False, if_empty=False, owner=None)
    world.wait(20_000, 1000)

    assert world.broker.journal.take() is None


def test_the_time_of_a_message_never_falls_behind(world: World) -> None:
    world.stream()
    world.fill("a")
    world.restart(-100_000)
    world.fill("b")

    assert text(world.read(Field("T", 1000))) == "ab"
