"""Records: a broker's journal in bytes makes an equal model elsewhere."""

from __future__ import annotations

import random

import pytest

from amqpd.broker.broker import Broker
from amqpd.broker.content import body
from amqpd.broker.definitions import PutVhost
from amqpd.broker.delivery import Held, Taken
from amqpd.broker.journal import Batch, PurgeDelayed, Track
from amqpd.broker.limits import Limits
from amqpd.broker.names import join_keys
from amqpd.broker.record import RecordError, decode, encode
from amqpd.broker.stretch import Stretch
from amqpd.store.chunks import pack_streams
from tests.broker.model import FakeConsumer, Model, Store


class Replica:
    """What a second node knows: definitions, and the rows of each lane, from records alone."""

    def __init__(self) -> None:
        self.broker = Broker(limits=Limits(), refill=Store().read, new_token=str)
        self.lanes: dict[int, dict[int, bytes]] = {}
        self.attempts: dict[tuple[int, int], tuple[int, int]] = {}

    def apply(self, octets: bytes) -> None:
        batch = decode(octets)
        for command in batch.defines:
            self.broker.apply(command)
        self.apply_to_messages(batch)
        for purge in batch.purges:
            for position in range(purge.low, purge.high):
                self.lanes[purge.lane].pop(position, None)
        for drop in batch.drops:
            for lane in drop.lanes:
                self.lanes.pop(lane, None)

    def apply_to_messages(self, batch: Batch) -> None:
        for append in batch.appends:
            for target in append.targets:
                rows = self.lanes.setdefault(int(target.lane), {})
                for index, content in enumerate(append.run.contents):
                    if target.dead is None or not target.dead[index]:
                        rows[target.base + index] = body(content)
        for requeue in batch.requeues:
            for position in range(requeue.lo, requeue.hi):
                attempts = int(requeue.acquired), int(requeue.failed)
                self.attempts[int(requeue.lane), position] = attempts
        for settle in batch.settles:
            for position in range(settle.lo, settle.hi):
                del self.lanes[int(settle.lane)][position]


def attempts(model: Model) -> dict[tuple[int, int], tuple[int, int]]:
    """How often what is in the first broker's queues has come back."""
    found = {}
    for queue in model.vhost.queues.values():
        for lane in queue.lanes:
            for piece in lane.stretches():
                for index in range(piece.lo, piece.hi):
                    counts = int(piece.acquired), int(piece.failed)
                    found[int(lane.id), piece.base + index] = counts
    return found


def rows(model: Model) -> dict[int, dict[int, bytes]]:
    """What is durable in the first broker's queues, by lane and position."""
    found: dict[int, dict[int, bytes]] = {}
    for queue in model.vhost.queues.values():
        for lane in queue.lanes:
            here = found.setdefault(int(lane.id), {})
            for piece in lane.stretches():
                for index in range(piece.lo, piece.hi):
                    here[piece.base + index] = body(piece.run.contents[index])
    return {lane: here for lane, here in found.items() if here}


def test_a_replayed_journal_makes_an_equal_model() -> None:
    chance = random.Random(7)  # noqa: S311 - the same every time
    model, replica = Model(), Replica()
    names = ["a", "b", "c"]
    consumer = FakeConsumer(credit=3)
    for step in range(300):
        name = chance.choice(names)
        match chance.randrange(8):
            case 0 if name not in model.vhost.queues:
                model.queue(name, arguments={"x-max-priority": 2})
                model.vhost.bind(model.access, "amq.fanout", name, "queue", "", {}, model)
            case 1 if name in model.vhost.queues and chance.random() < 0.2:
                model.vhost.delete_queue(
                    model.access, name, if_unused=False, if_empty=False, owner=model
                )
            case 2 if name in model.vhost.queues and chance.random() < 0.3:
                model.vhost.purge_queue(model.access, name, model)
            case 3 if name in model.vhost.queues and consumer.queue is None:
                model.consume(consumer, name)
            case 4:
                model.vhost.settle(consumer.take())
            case 5:
                model.vhost.cancel(consumer)
                model.vhost.requeue(consumer.take(), failed=chance.random() < 0.5)
            case _:
                model.publish(
                    b"%d" % step, b"%d!" % step, exchange="amq.fanout", priority=chance.randrange(3)
                )
        model.turn()
        if chance.random() < 0.3:
            hand_over(model, replica)
    model.vhost.cancel(consumer)
    model.vhost.requeue(consumer.take())
    hand_over(model, replica)

    assert {lane: one for lane, one in replica.lanes.items() if one} == rows(model)
    for place, counts in attempts(model).items():
        assert replica.attempts.get(place, (0, 0)) == counts
    theirs = replica.broker.vhosts["/"]
    assert theirs.queues.keys() == model.vhost.queues.keys()
    for name, queue in theirs.queues.items():
        assert queue.declared == model.vhost.queues[name].declared
        assert [lane.id for lane in queue.lanes] == [
            lane.id for lane in model.vhost.queues[name].lanes
        ]
    assert list(theirs.incoming) == list(model.vhost.incoming)


def hand_over(model: Model, replica: Replica) -> None:
    while (batch := model.broker.journal.take()) is not None:
        replica.apply(encode(batch))
        model.broker.journal.committed(batch)
        model.broker.dispatch()


def test_a_record_survives_a_round_trip() -> None:
    octets = encode(Batch(7, defines=[PutVhost("v", tags=("a", "b"))]))

    assert encode(decode(octets)) == octets


def test_a_purge_of_what_waits_for_its_time_survives_a_round_trip() -> None:
    purge = PurgeDelayed(3, 1 << 40, (1_700_000_000_000, 7))

    again = decode(encode(Batch(7, delayed_purges=[purge])))

    assert again.delayed_purges == [purge]


def test_deadlines_of_single_messages_survive_a_round_trip() -> None:
    model = Model()
    model.queue()
    model.publish_run(b"a", b"b", ttls=[5, -1])
    batch = model.broker.journal.take()
    assert batch is not None

    again = decode(encode(batch))

    assert encode(again) == encode(batch)
    now_ms = model.broker.around.now_ms
    assert again.appends[0].run.deadlines == [now_ms + 5, 0]


def test_what_comes_to_streams_survives_a_round_trip() -> None:
    model = Model()
    for name in ("s", "t"):
        model.queue(name, arguments={"x-queue-type": "stream"})
    model.queue("q")
    for name in ("s", "t", "q"):
        model.vhost.bind(model.access, "amq.fanout", name, "queue", "", {}, model)
    model.publish(b"a", key="s")
    model.publish(b"b", exchange="amq.fanout")
    model.broker.journal.track(Track(1, "me", 5))
    batch = model.broker.journal.take()
    assert batch is not None

    again = decode(encode(batch))

    assert pack_streams(again.appends) == pack_streams(batch.appends)
    assert again.tracks == [Track(1, "me", 5)]
    assert [len(append.targets) for append in again.appends] == [0, 1]
    assert encode(again) == encode(batch)
    extension = again.appends[0].extensions[0]
    extension.home.owner.wake()
    held = Held(1, extension.home, Stretch(extension.run, 0, 0, 1, 0, False), None, 0, 0)
    extension.home.acked(Taken(held, 0, 1))


def test_an_unknown_version_is_refused() -> None:
    octets = b"\x63" + encode(Batch(1))[1:]

    with pytest.raises(RecordError, match="version 99"):
        decode(octets)


@pytest.mark.parametrize("size", [0, 5, 9, 12, 20])
def test_a_record_that_is_cut_short_is_refused(size: int) -> None:
    octets = encode(Batch(7, defines=[PutVhost("v")]))

    with pytest.raises(RecordError):
        decode(octets[:size])


def test_hidden_keys_are_in_the_record() -> None:
    model = Model()
    model.queue()
    run = model.a_run(b"a")
    run.blind = join_keys(["k"])
    model.vhost.publish(model.vhost.resolve(model.access, "", "q"), run)
    batch = model.broker.journal.take()
    assert batch is not None

    (append,) = decode(encode(batch)).appends

    assert append.run.blind == run.blind
    assert append.run.contents == run.contents
