"""The broker: commands, recovery, lanes, turns, alarms."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from amqpd.broker import broker as broker_module
from amqpd.broker.broker import Alarms, Broker
from amqpd.broker.browse import peek
from amqpd.broker.definitions import (
    DeleteExchange,
    DeleteParameter,
    DeletePermission,
    DeleteTopicPermission,
    DeleteUser,
    DeleteVhost,
    PutExchange,
    PutParameter,
    PutPermission,
    PutQueue,
    PutTopicPermission,
    PutUser,
    PutVhost,
)
from amqpd.broker.exchange import EVENTS
from amqpd.broker.limits import Limits
from amqpd.broker.names import split
from amqpd.broker.surroundings import EFFORT, HAND_OUT_BYTES, LOOK_COST
from amqpd.errors import AccessRefused, ConnectionForced, NotAllowed
from tests.broker.model import FakeConsumer, Model, Store
from tests.broker.visitor import Guest

if TYPE_CHECKING:
    from amqpd.broker.lane import Lane
    from amqpd.broker.stretch import Stretch
    from amqpd.errors import AmqpError


@dataclass
class LaneState:
    next_position: int
    messages: int
    body_bytes: int
    delivered_upto: int
    counted: bool = False
    delayed: int = 0
    delayed_bytes: int = 0


def a_broker() -> Broker:
    return Broker(limits=Limits(), refill=Store().read, new_token=lambda: "token")


@pytest.fixture
def model() -> Model:
    return Model()


# -- commands ----------------------------------------------------------------------------


def test_a_command_is_carried_out_and_journaled() -> None:
    broker = a_broker()

    number = broker.change(PutVhost("v"))

    assert number == broker.journal.last == 1
    assert "v" in broker.vhosts
    batch = broker.journal.take()
    assert batch is not None
    assert batch.defines == [PutVhost("v")]


def test_metadata_of_a_vhost_change_and_its_queues_stay(model: Model) -> None:
    model.queue()

    model.broker.change(PutVhost("/", description="new"))

    assert model.broker.definitions["/"].description == "new"
    assert "q" in model.broker.vhosts["/"].queues


def test_a_vhost_goes_with_everything_in_it(model: Model) -> None:
    model.queue()
    consumer = FakeConsumer()
    model.consume(consumer)
    model.publish(b"a")
    model.turn()

    model.broker.change(DeleteVhost("/"))
    model.broker.change(DeleteVhost("/"))

    assert consumer.gone
    assert "/" not in model.broker.vhosts
    assert "/" not in model.broker.definitions
    model.vhost.discard(consumer.take())
    model.commit()
    assert model.store.rows == {}
    model.broker.change(PutVhost("/"))
    with pytest.raises(NotAllowed, match="refused for user 'u'"):
        model.broker.open_vhost("/", "u")


def test_an_unused_queue_of_a_vhost_that_is_gone_changes_nothing(model: Model) -> None:
    queue = model.queue()
    model.broker.change(DeleteVhost("/"))

    model.broker.around.unused(queue)

    assert "/" not in model.broker.vhosts


def test_the_last_consumer_of_an_auto_delete_queue_takes_it_along(model: Model) -> None:
    queue = model.queue()

    model.broker.around.unused(queue)

    assert "q" not in model.vhost.queues


def test_users_and_their_rights_come_and_go(model: Model) -> None:
    change = model.broker.change
    change(PutUser("bob", "hash", "algorithm", ("administrator",)))
    user = model.broker.permissions.user("bob")
    assert user is not None
    assert user.tags == {"administrator"}

    change(PutPermission("bob", "/", "", "", "^q$"))
    change(PutTopicPermission("bob", "/", "amq.topic", "", "^mine$"))
    _, access = model.broker.open_vhost("/", "bob")
    access.read("queue", "q")
    with pytest.raises(AccessRefused):
        access.topic_read("amq.topic", "yours")
    change(DeleteTopicPermission("bob", "/", "amq.topic"))
    access.topic_read("amq.topic", "yours")
    change(DeletePermission("bob", "/"))
    with pytest.raises(AccessRefused):
        access.read("queue", "q")

    change(DeleteUser("bob"))
    assert model.broker.permissions.user("bob") is None


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (DeleteUser("u"), "user 'u' is deleted"),
        (DeleteVhost("/"), "vhost '/' is deleted"),
    ],
)
def test_connections_end_with_their_user_or_vhost(
    model: Model, command: DeleteUser | DeleteVhost, reason: str
) -> None:
    for name in ("other", "u"):
        model.broker.change(PutUser(name, "", ""))
    for name, vhost in (("other", "v"), ("u", "/")):
        model.broker.change(PutVhost(vhost))
        model.broker.change(PutPermission(name, vhost, "", "", ""))
    stays, goes = Sent(), Sent()
    model.broker.open_vhost("v", "other", stays)
    model.broker.open_vhost("/", "u", goes)

    model.broker.change(command)

    (error,) = goes.errors
    assert isinstance(error, ConnectionForced)
    assert error.explanation == reason
    assert stays.errors == []


class Sent(Guest):
    """A connection that remembers why it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[AmqpError] = []

    def close(self, error: AmqpError) -> None:
        self.errors.append(error)


def test_an_exchange_that_is_changed_from_outside_is_told_of_once(model: Model) -> None:
    queue = model.queue("told")
    model.vhost.bind(model.access, EVENTS, "told", "queue", "exchange.#", {}, None)

    model.broker.change(PutExchange("/", "e", "fanout", False, False, False, {}))
    model.broker.change(DeleteExchange("/", "e"))
    for _ in range(2):
        model.turn()

    told: list[bytes] = []
    peek(queue, None, 9, lambda found, last: told.extend(one.names for one in found))
    assert [split(names)[1] for names in told] == ["exchange.created", "exchange.deleted"]


def test_a_change_of_rights_makes_routes_old_everywhere(model: Model) -> None:
    model.broker.change(PutVhost("other"))
    before = {name: vhost.revision for name, vhost in model.broker.vhosts.items()}

    model.broker.change(DeletePermission("u", "/"))

    assert all(vhost.revision > before[name] for name, vhost in model.broker.vhosts.items())


def test_parameters_come_and_go(model: Model) -> None:
    value = json.dumps({"pattern": ".*", "definition": {"max-length": 1}})
    command = PutParameter("policy", "/", "p", value)

    model.broker.change(command)
    assert model.broker.parameters.listing() == [command]
    for _ in range(2):
        model.broker.change(DeleteParameter("policy", "/", "p"))

    assert model.broker.parameters.listing() == []


def test_what_belongs_to_a_vhost_goes_there(model: Model) -> None:
    model.broker.change(PutExchange("/", "x", "direct", True, False, False))

    assert "x" in model.vhost.exchanges


def test_a_vhost_opens_for_users_who_are_known(model: Model) -> None:
    seer = PutUser("seer", "", "", ("monitoring",))
    model.broker.apply(seer)
    with pytest.raises(NotAllowed, match="vhost nowhere not found"):
        model.broker.open_vhost("nowhere", "seer")
    with pytest.raises(NotAllowed, match="access to vhost 'nowhere' refused for user 'u'"):
        model.broker.open_vhost("nowhere", "u")
    with pytest.raises(NotAllowed, match="access to vhost '/' refused for user 'stranger'"):
        model.broker.open_vhost("/", "stranger")


# -- recovery and lanes ------------------------------------------------------------------


def test_queues_are_recovered_with_what_the_store_has() -> None:
    broker = a_broker()
    queue = PutQueue("/", "q", True, False, False, {}, (7,))
    empty = PutQueue("/", "empty", True, False, False, {}, (5,))

    broker.recover([PutVhost("/"), queue, empty], {7: LaneState(100, 40, 4000, 60)})

    lane = broker.vhosts["/"].queues["q"].lanes[0]
    assert (lane.ready, lane.ready_bytes, lane.stored) == (40, 4000, 40)
    assert (lane.next_position, lane.redelivered_below, lane.loaded) == (100, 60, 0)
    assert broker.vhosts["/"].queues["empty"].ready == 0
    assert broker.journal.is_empty
    assert list(broker.around.awake) == list(broker.vhosts["/"].queues.values())


def test_lanes_that_are_or_were_used_are_not_given_again() -> None:
    broker = a_broker()
    broker.recover([PutVhost("/"), PutQueue("/", "q", True, False, False, {}, (7,))], {})
    assert broker.around.new_lane_id() == 8

    broker.reserve_lanes(20)
    broker.reserve_lanes(3)

    assert broker.around.new_lane_id() == 20


def test_lanes_come_round_and_skip_those_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_module, "LANE_IDS", 6)
    broker = a_broker()
    first = [broker.around.new_lane_id() for _ in range(5)]

    broker.around.lane_gone(2)
    broker.around.lane_gone(4)

    assert first == [1, 2, 3, 4, 5]
    assert [broker.around.new_lane_id() for _ in range(2)] == [2, 4]


def test_the_last_marks_tell_what_was_handed_out(model: Model) -> None:
    model.queue()
    model.queue("transient", durable=False)
    consumer = FakeConsumer(credit=2)
    model.consume(consumer)
    model.publish_run(b"a", b"b", b"c")
    model.turn()
    model.commit()

    marks = model.broker.last_marks()

    lane = model.vhost.queues["q"].lanes[0]
    assert [(mark.lane, mark.upto) for mark in marks] == [(lane.id, 2)]


# -- turns -------------------------------------------------------------------------------


class Broken(FakeConsumer):
    """Fails when it gets something."""

    def deliver(self, lane: Lane, piece: Stretch) -> None:
        raise ValueError("broken")


def test_one_queue_that_fails_keeps_no_other_from_its_turn(model: Model) -> None:
    working = FakeConsumer()
    model.queue("a", durable=False)
    model.queue("b", durable=False)
    model.consume(Broken(), "a")
    model.consume(working, "b")
    model.publish(b"1", key="a", mode=1)
    model.publish(b"2", key="b", mode=1)

    with pytest.raises(ValueError, match="broken"):
        model.broker.dispatch()
    model.broker.dispatch()

    assert working.bodies == [b"2"]


def test_a_dispatch_goes_on_until_no_queue_has_news(model: Model) -> None:
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "b", "x-message-ttl": 0}
    model.queue("a", durable=False, arguments=dead)
    model.queue("b", durable=False)
    consumer = FakeConsumer()
    model.consume(consumer, "b")

    model.publish(b"x", key="a", mode=1)
    model.broker.dispatch()

    assert consumer.bodies == [b"x"]


def test_what_one_turn_hands_out_is_bounded_and_nobody_waits_for_more_than_that(
    model: Model,
) -> None:
    body = b"x" * (HAND_OUT_BYTES // 10)
    long, short = FakeConsumer(no_ack=True), FakeConsumer(no_ack=True)
    for name in ("long", "short"):
        model.queue(name, durable=False)
    for _ in range(30):
        model.publish(body, key="long", mode=1)
    model.publish(b"short", key="short", mode=1)
    model.consume(long, "long")
    model.consume(short, "short")

    assert model.broker.dispatch()
    assert len(long.bodies) == 10
    assert model.broker.dispatch()
    assert short.bodies == [b"short"]
    while model.broker.dispatch():
        pass

    assert len(long.bodies) == 30


def test_many_queues_with_news_are_looked_at_in_several_turns(model: Model) -> None:
    count = EFFORT // LOOK_COST + 10
    names = [f"q{number}" for number in range(count)]
    consumers = [FakeConsumer() for _ in names]
    for name, consumer in zip(names, consumers, strict=True):
        model.queue(name, durable=False)
        model.consume(consumer, name)
    while model.broker.dispatch():
        pass
    for name in names:
        model.publish(b"x", key=name, mode=1)

    assert model.broker.dispatch()
    assert not model.broker.dispatch()

    assert all(consumer.bodies for consumer in consumers)


def test_a_dispatch_tells_publishers_what_needs_no_disk(model: Model) -> None:
    model.queue()
    model.consume(FakeConsumer(no_ack=True))
    entry = model.publish(b"a").entry
    assert entry is not None
    told: list[str] = []
    entry.waiter = lambda: told.append("skipped")

    model.broker.dispatch()

    assert told == ["skipped"]


def test_time_comes_from_outside(model: Model) -> None:
    due: list[int] = []
    model.broker.timers.at(2_000_000, due.append)

    model.broker.tick(2_000_001)

    assert due == [model.broker.around.now_ms] == [2_000_001]


# -- alarms ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alarms", "reason"),
    [
        (Alarms(), ""),
        (Alarms(memory=True), "low on memory"),
        (Alarms(disk=True), "low on disk"),
        (Alarms(memory=True, disk=True), "low on memory & low on disk"),
    ],
)
def test_alarms_have_a_reason(alarms: Alarms, reason: str) -> None:
    assert alarms.reason == reason


def test_whoever_watches_hears_of_every_change_of_alarms() -> None:
    broker = a_broker()
    heard: list[str] = []
    broker.watch_alarms(heard.append)

    broker.resources(Alarms())
    broker.resources(Alarms(memory=True))
    broker.resources(Alarms(memory=True))
    broker.resources(Alarms())
    broker.unwatch_alarms(heard.append)
    broker.unwatch_alarms(heard.append)
    broker.resources(Alarms(disk=True))

    assert heard == ["low on memory", ""]
    assert broker.alarms == Alarms(disk=True)
