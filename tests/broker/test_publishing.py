"""Publishing: from an exchange to queues, in memory and through the journal, and to the dead."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpd.broker.arguments import Overflow
from amqpd.broker.content import body, header_payload
from amqpd.broker.definitions import DeleteTopicPermission, PutPermission, PutTopicPermission
from amqpd.broker.names import join
from amqpd.broker.pressure import CROWD_MESSAGES
from amqpd.broker.publishing import Path
from amqpd.broker.queue import Queue
from amqpd.broker.run import Run
from amqpd.errors import AccessRefused, NotFound
from amqpd.fields import Field, Table, plain_table, wrap
from amqpd.properties import Properties, decode_header
from tests.broker.model import FakeConsumer, Model, a_table

if TYPE_CHECKING:
    from amqpd.broker.publishing import Published

DEAD = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}


@pytest.fixture
def model() -> Model:
    return Model()


def declare_exchange(
    model: Model, name: str, kind: str, *, internal: bool = False, arguments: Table | None = None
) -> None:
    model.vhost.declare_exchange(
        model.access,
        name,
        kind,
        passive=False,
        durable=True,
        auto_delete=False,
        internal=internal,
        arguments=arguments or {},
    )


def bodies(model: Model, name: str) -> list[bytes]:
    """What a queue has in memory."""
    return [
        body(content)
        for lane in model.vhost.queues[name].lanes
        for piece in lane.stretches()
        for content in piece.run.contents[piece.lo : piece.hi]
    ]


def headers(model: Model, name: str) -> dict[str, object]:
    """The headers of a queue's first message."""
    head = model.vhost.queues[name].lanes[0].head()
    assert head is not None
    properties = decode_header(header_payload(head.run.contents[head.lo]))[2]
    assert properties.headers is not None
    return dict(plain_table(properties.headers))


# -- finding the way ---------------------------------------------------------------------


def test_a_path_holds_the_queues_that_are_there(model: Model) -> None:
    queue = model.queue("there")

    assert model.vhost.resolve(model.access, "", "there") == Path((queue,))
    assert model.vhost.resolve(model.access, "", "gone") == Path()


def test_nobody_publishes_to_what_does_not_exist(model: Model) -> None:
    with pytest.raises(NotFound, match="no exchange 'x' in vhost '/'"):
        model.vhost.resolve(model.access, "x", "key")


def test_nobody_publishes_to_an_internal_exchange(model: Model) -> None:
    declare_exchange(model, "x", "fanout", internal=True)

    with pytest.raises(AccessRefused, match="cannot publish to internal exchange 'x' in vhost '/'"):
        model.vhost.resolve(model.access, "x", "key")


def test_publishing_needs_the_right_to_write(model: Model) -> None:
    model.broker.change(PutPermission("u", "/", "", "^mine$", ""))

    with pytest.raises(AccessRefused):
        model.vhost.resolve(model.access, "amq.fanout", "key")


def test_topic_rights_are_asked_for_every_key(model: Model) -> None:
    model.broker.change(PutTopicPermission("u", "/", "amq.topic", "^mine", ".*"))

    model.vhost.route(model.access, "amq.topic", ["mine.a"], Properties())
    with pytest.raises(AccessRefused):
        model.vhost.route(model.access, "amq.topic", ["mine.a", "yours"], Properties())
    model.broker.change(DeleteTopicPermission("u", "/"))
    model.vhost.route(model.access, "amq.topic", ["mine.a", "yours"], Properties())


def test_where_headers_decide_messages_go_one_by_one(model: Model) -> None:
    queue = model.queue()
    arguments = a_table({"x-match": "all", "kind": "good"})
    model.vhost.bind(model.access, "amq.headers", "q", "queue", "", arguments, model)

    assert model.vhost.resolve(model.access, "amq.headers", "").each
    for kind, queues in (("good", (queue,)), ("bad", ())):
        properties = Properties(headers=a_table({"kind": kind}))
        assert model.vhost.route(model.access, "amq.headers", [""], properties).queues == queues


@pytest.mark.parametrize(
    ("arguments", "refuses", "wants_priority"),
    [
        ({}, False, False),
        ({"x-max-priority": 3}, False, True),
        ({"x-max-length": 3}, False, False),
        ({"x-max-length": 3, "x-overflow": "reject-publish"}, True, False),
        ({"x-max-length-bytes": 3, "x-overflow": "reject-publish-dlx"}, True, False),
        ({"x-max-length": 3, "x-overflow": "block"}, False, False),
    ],
)
def test_a_path_tells_what_its_queues_need(
    model: Model, arguments: dict[str, object], refuses: bool, wants_priority: bool
) -> None:
    model.queue(arguments=arguments)

    path = model.vhost.resolve(model.access, "", "q")

    assert (path.refuses, path.wants_priority) == (refuses, wants_priority)
    assert not path.each


# -- going it ----------------------------------------------------------------------------


def test_a_message_without_a_queue_is_not_routed(model: Model) -> None:
    assert not model.publish(b"a", key="nobody").routed


def test_only_persistent_messages_of_durable_queues_wait_for_the_disk(model: Model) -> None:
    model.queue("durable")
    model.queue("transient", durable=False)

    assert model.publish(b"a", key="durable", mode=2).number == model.broker.journal.last
    for key, mode in (("durable", 1), ("transient", 2), ("transient", 1)):
        published = model.publish(b"a", key=key, mode=mode)
        assert (published.number, published.entry, published.routed) == (0, None, True)


def test_a_message_that_only_spills_is_confirmed_at_once(model: Model) -> None:
    model.queue(durable=False).lanes[0].window = 1
    model.publish(b"a")

    assert model.publish(b"b").number == 0
    assert model.vhost.queues["q"].lanes[0].stored == 1


def test_a_run_is_in_durable_paged_and_transient_queues_alike(model: Model) -> None:
    for name, durable in (("durable", True), ("paged", False), ("loose", False)):
        model.queue(name, durable=durable)
        model.vhost.bind(model.access, "amq.fanout", name, "queue", "", {}, model)
    model.vhost.queues["paged"].lanes[0].window = 1
    model.publish(b"a", key="paged", mode=1)

    published = model.publish(b"x", exchange="amq.fanout")

    entry = published.entry
    assert entry is not None
    assert [target.transient for target in entry.targets] == [False, True]
    assert bodies(model, "durable") == bodies(model, "loose") == [b"x"]
    assert model.vhost.queues["loose"].lanes[0].stored == 0
    model.commit()
    consumer = FakeConsumer(no_ack=True)
    model.consume(consumer, "paged")
    model.turn()
    model.commit()
    assert consumer.bodies == [b"a", b"x"]


def test_a_queue_that_went_away_since_it_was_routed_gets_nothing(model: Model) -> None:
    for name in ("gone", "there"):
        model.queue(name)
        model.vhost.bind(model.access, "amq.fanout", name, "queue", "", {}, model)
    path = model.vhost.resolve(model.access, "amq.fanout", "")
    model.vhost.delete_queue(model.access, "gone", if_unused=False, if_empty=False, owner=model)
    model.commit()

    for index in range(2):
        run = model.a_run(b"%d" % index)
        assert model.vhost.publish(path, run).routed

    model.commit()
    assert bodies(model, "there") == [b"0", b"1"]
    assert [lane for lane, rows in model.store.rows.items() if rows] == [
        model.vhost.queues["there"].lanes[0].id
    ]


def test_a_message_for_queues_that_all_went_away_is_confirmed_at_once(model: Model) -> None:
    model.queue()
    path = model.vhost.resolve(model.access, "", "q")
    model.vhost.delete_queue(model.access, "q", if_unused=False, if_empty=False, owner=model)

    published = model.vhost.publish(path, model.a_run(b"a"))

    assert (published.number, published.entry) == (0, None)


def test_a_full_queue_that_went_away_refuses_nothing(model: Model) -> None:
    model.queue(arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    model.publish(b"a")
    path = model.vhost.resolve(model.access, "", "q")
    model.vhost.delete_queue(model.access, "q", if_unused=False, if_empty=False, owner=model)

    assert not model.vhost.publish(path, model.a_run(b"b")).refused


def test_what_one_queue_refuses_the_others_take(model: Model) -> None:
    model.queue("full", arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
    model.queue("free")
    for name in ("full", "free"):
        model.vhost.bind(model.access, "amq.fanout", name, "queue", "", {}, model)

    published = model.publish(b"a", exchange="amq.fanout")

    assert published.refused
    assert published.entry is not None
    assert bodies(model, "free") == [b"a"]
    assert model.vhost.publishing.dropped == {"rejected_publish": 1}


def test_what_very_many_queues_refuse_costs_no_square_of_their_number(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 200
    for place in range(count):
        model.queue(f"q{place}", arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
        model.vhost.bind(model.access, "amq.fanout", f"q{place}", "queue", "", {}, model)
    compared: list[object] = []

    def is_the_same(one: Queue, other: object) -> bool:
        compared.append(other)
        return one is other

    monkeypatch.setattr(Queue, "__eq__", is_the_same)

    published = model.publish(b"a", exchange="amq.fanout")

    assert published.refused
    assert model.vhost.publishing.dropped == {"rejected_publish": count}
    assert len(compared) < count


def test_what_a_queue_refuses_may_be_a_dead_letter(model: Model) -> None:
    model.queue("dead")
    model.queue(
        arguments={"x-max-length": 0, "x-overflow": str(Overflow.REJECT_PUBLISH_DLX), **DEAD}
    )

    published = model.publish(b"a")

    assert published.refused
    assert bodies(model, "dead") == [b"a"]
    assert headers(model, "dead")["x-first-death-reason"] == "maxlen"


def test_a_refused_message_that_dies_into_a_queue_of_the_same_path_is_in_it_twice(
    model: Model,
) -> None:
    queue = model.queue("dead", durable=False)
    queue.lanes[0].window = 1
    full = {"x-max-length": 0, "x-overflow": "reject-publish-dlx", **DEAD}
    model.queue("full", durable=False, arguments=full)
    for name in ("dead", "full"):
        model.vhost.bind(model.access, "amq.fanout", name, "queue", "", {}, model)

    model.publish(b"a", exchange="amq.fanout", mode=1)

    model.commit()
    consumer = FakeConsumer(no_ack=True)
    model.consume(consumer, "dead")
    model.turn()
    model.commit()
    assert consumer.bodies == [b"a", b"a"]
    assert queue.ready == 0


def test_a_copy_is_in_its_queue_before_the_dead_letter_of_another_copy(model: Model) -> None:
    model.queue("dead")
    full = {"x-max-length": 0, "x-overflow": "reject-publish-dlx", **DEAD}
    model.queue("full", arguments=full)
    for name in ("full", "dead"):
        model.vhost.bind(model.access, "amq.fanout", name, "queue", "", {}, model)

    model.publish(b"a", exchange="amq.fanout")

    lane = model.vhost.queues["dead"].lanes[0]
    first, second = [piece.run.names for piece in lane.stretches()]
    assert (first[1:11], second[1:2]) == (b"amq.fanout", b"\x04")


def test_a_full_queue_looks_at_its_consumers_before_it_refuses(model: Model) -> None:
    model.queue(arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    consumer = FakeConsumer(credit=1)
    model.consume(consumer)
    model.publish(b"a")
    model.publish(b"b")
    assert model.publish(b"c").refused

    model.vhost.settle(consumer.take())

    assert not model.publish(b"d").refused
    assert consumer.bodies == [b"a", b"b"]


# -- several priorities at once ----------------------------------------------------------


def publish_levels(model: Model, *queues: str, mode: int = 2) -> Published:
    """Messages 0 to 5 in one read: three of priority 2, one of 1, two of none."""
    contents = [model.a_run(b"%d" % at).contents[0] for at in range(6)]
    run = Run(contents, join("", queues[0]), None, mode == 2, 1, sum(map(len, contents)))
    path = Path(tuple(model.vhost.queues[name] for name in queues), wants_priority=True)
    return model.vhost.publish(path, run, parts=[(2, 0, 3), (1, 3, 4), (-1, 4, 6)])


def come_to_rest(model: Model) -> None:
    """What waits for its mark, or for the store, is handed out, level after level."""
    for _ in range(6):
        model.turn()
        model.commit()


def in_store(model: Model, name: str) -> list[list[bytes]]:
    """What is on disk of each level."""
    lanes = model.vhost.queues[name].lanes
    rows = [model.store.rows.get(int(lane.id), {}) for lane in lanes]
    return [[row[7] for _, row in sorted(one.items())] for one in rows]


def test_messages_of_several_priorities_are_one_entry_each_in_its_level(model: Model) -> None:
    queue = model.queue(arguments={"x-max-priority": 2})

    published = publish_levels(model, "q")
    number = model.broker.journal.last
    publish_levels(model, "q")

    assert published.number == number
    assert queue.ready == 12
    assert bodies(model, "q") == [b"4", b"5"] * 2 + [b"3"] * 2 + [b"0", b"1", b"2"] * 2
    assert queue.ready_bytes == 12
    model.commit()
    assert in_store(model, "q") == [[b"4", b"5"] * 2, [b"3"] * 2, [b"0", b"1", b"2"] * 2]
    assert {row[3] for rows in model.store.rows.values() for row in rows.values()} == {False}
    consumer = FakeConsumer()
    model.consume(consumer)
    come_to_rest(model)
    assert consumer.bodies == [b"0", b"1", b"2"] * 2 + [b"3"] * 2 + [b"4", b"5"] * 2
    model.vhost.settle(consumer.take())
    model.commit()
    assert in_store(model, "q") == [[], [], []]
    assert [int(lane.stored) for lane in queue.lanes] == [0, 0, 0]


def test_two_queues_share_what_each_has_in_its_own_levels(model: Model) -> None:
    for name, most in (("q", 2), ("r", 5)):
        model.queue(name, arguments={"x-max-priority": most})
    publish_levels(model, "q", "r")
    model.commit()

    consumer = FakeConsumer(no_ack=True)
    model.consume(consumer)
    come_to_rest(model)

    assert {row[3] for rows in model.store.rows.values() for row in rows.values()} == {True}
    assert in_store(model, "q") == [[], [], []]
    assert in_store(model, "r") == [[b"4", b"5"], [b"3"], [b"0", b"1", b"2"], [], [], []]


def test_what_is_settled_before_it_is_written_is_not_written_level_by_level(model: Model) -> None:
    queue = model.queue(arguments={"x-max-priority": 2})
    consumer = FakeConsumer(credit=4)
    model.consume(consumer)
    entry = publish_levels(model, "q").entry
    assert entry is not None
    model.turn()

    model.vhost.settle(consumer.take(3))
    assert not entry.skipped
    model.vhost.settle(consumer.take(4))
    assert not entry.skipped
    model.commit()
    assert in_store(model, "q") == [[b"4", b"5"], [], []]

    consumer.prefetch = 0
    publish_levels(model, "q")
    more = FakeConsumer()
    model.consume(more)
    come_to_rest(model)
    assert more.bodies == [b"0", b"1", b"2", b"3", b"4", b"5"]
    assert queue.ready == 0


def test_levels_without_room_in_memory_go_to_the_store_the_others_do_not(model: Model) -> None:
    queue = model.queue(durable=False, arguments={"x-max-priority": 2})
    queue.lanes[2].window = 2

    for _ in range(2):
        publish_levels(model, "q", mode=1)
    model.commit()

    assert in_store(model, "q") == [[], [], [b"0", b"1", b"2"]]
    consumer = FakeConsumer(no_ack=True)
    model.consume(consumer)
    come_to_rest(model)
    assert consumer.bodies == [b"0", b"1", b"2"] * 2 + [b"3"] * 2 + [b"4", b"5"] * 2


def test_a_queue_that_is_gone_gets_nothing_of_any_priority(model: Model) -> None:
    queue = model.queue(arguments={"x-max-priority": 2})
    queue.deleted = True

    assert not publish_levels(model, "q").routed


# -- the dead ----------------------------------------------------------------------------


def reject(model: Model, *messages: bytes) -> None:
    """Publish, deliver and reject."""
    consumer = FakeConsumer()
    model.consume(consumer)
    model.publish_run(*messages)
    model.turn()
    model.vhost.discard(consumer.take())


def test_dead_letters_without_an_exchange_are_counted(model: Model) -> None:
    model.queue()

    reject(model, b"a", b"b")

    assert model.vhost.publishing.dropped == {"rejected": 2}
    model.commit()
    assert model.store.rows.get(int(model.vhost.queues["q"].lanes[0].id), {}) == {}


def test_dead_letters_for_an_exchange_that_is_not_there_are_counted(model: Model) -> None:
    model.queue(arguments={"x-dead-letter-exchange": "nowhere"})

    reject(model, b"a")

    assert model.vhost.publishing.dropped == {"rejected": 1}
    assert model.vhost.publishing.buried == {}


def test_dead_letters_for_a_queue_that_is_not_there_are_counted(model: Model) -> None:
    model.queue(arguments=DEAD)

    reject(model, b"a")

    assert model.vhost.publishing.dropped == {"rejected": 1}


def test_dead_letters_keep_their_keys_where_the_queue_has_no_other(model: Model) -> None:
    model.queue("dead")
    model.queue(arguments={"x-dead-letter-exchange": "amq.direct"})
    model.vhost.bind(model.access, "amq.direct", "dead", "queue", "q", {}, model)

    reject(model, b"a", b"b")

    assert bodies(model, "dead") == [b"a", b"b"]
    head = model.vhost.queues["dead"].lanes[0].head()
    assert head is not None
    assert head.run.names == b"\x0aamq.direct\x01q"


def test_dead_letters_keep_their_priority(model: Model) -> None:
    model.queue("dead", arguments={"x-max-priority": 5})
    model.queue(arguments=DEAD)
    consumer = FakeConsumer()
    model.consume(consumer)
    for one, priority in ((b"a", 1), (b"b", 4)):
        model.publish(one, priority=priority)
    model.turn()

    model.vhost.discard(consumer.take())

    assert [lane.ready for lane in model.vhost.queues["dead"].lanes] == [0, 1, 0, 0, 1, 0]


def test_a_dead_letter_that_expires_in_a_circle_is_dropped(model: Model) -> None:
    around = {"x-message-ttl": 10, "x-dead-letter-exchange": ""}
    model.queue("a", arguments={**around, "x-dead-letter-routing-key": "b"})
    model.queue("b", arguments={**around, "x-dead-letter-routing-key": "a"})
    model.publish(b"x", key="a")

    for _ in range(5):
        model.turn(11)

    assert model.vhost.queues["a"].ready == model.vhost.queues["b"].ready == 0
    assert model.vhost.publishing.buried == {"expired": 1}
    assert model.vhost.publishing.dropped == {"expired": 1}


def test_a_dead_letter_that_was_rejected_may_go_in_a_circle(model: Model) -> None:
    model.queue(arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "q"})
    consumer = FakeConsumer()
    model.consume(consumer)
    model.publish(b"a")
    model.turn()

    model.vhost.discard(consumer.take())
    model.turn()
    model.vhost.discard(consumer.take())
    model.turn()

    assert consumer.bodies == [b"a", b"a", b"a"]


def test_short_queues_that_push_each_other_out_come_to_an_end(model: Model) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        model.queue(
            name,
            arguments={
                "x-max-length": 2,
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": other,
            },
        )

    for index in range(20):
        model.publish(b"%d" % index, key="a")
        model.broker.dispatch()

    assert bodies(model, "a") == [b"18", b"19"]
    assert model.vhost.queues["b"].ready == 2


def test_a_death_that_a_client_made_up_stops_nothing(model: Model) -> None:
    model.queue("dead")
    model.queue(arguments={"x-max-length": 0, **DEAD})
    death: Table = {
        "queue": wrap("q"),
        "reason": wrap("maxlen"),
        "count": Field("l", 2**63 - 1),
    }

    model.publish(b"a", headers={"x-death": Field("A", [Field("F", death)])})

    assert bodies(model, "dead") == [b"a"]


def test_what_is_purged_or_goes_with_its_queue_is_counted(model: Model) -> None:
    model.queue("a")
    model.queue("b")
    model.publish(b"1", b"2", key="a")
    model.publish(b"3", b"4", b"5", key="b")
    consumer = FakeConsumer(credit=1)
    model.consume(consumer, "b")
    model.turn()

    model.vhost.purge_queue(model.access, "a", model)
    model.vhost.delete_queue(model.access, "b", if_unused=False, if_empty=False, owner=model)

    assert model.vhost.publishing.dropped == {"purged": 2, "deleted": 3}


def test_dead_letters_that_go_round_are_warned_of_once(
    model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    one = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "two", "x-message-ttl": 5}
    model.queue("one", arguments=one)
    model.queue("two", arguments={**one, "x-dead-letter-routing-key": "one"})
    model.publish(b"a", b"b", key="one")

    for _ in range(4):
        model.turn(10)

    assert model.vhost.publishing.dropped == {"expired": 2}
    (warning,) = [one.getMessage() for one in caplog.records]
    assert "(one -> two -> one)" in warning


#: Queues that keep transient messages, and those that do not, have runs of their own.
KEEPS = {"x-queue-type": "quorum"}


@pytest.mark.parametrize("first", ["kept", "loose"])
def test_what_a_queue_says_of_a_transient_message_counts_whatever_others_do_with_it(
    model: Model, first: str
) -> None:
    limit = {"x-max-length": 1}
    model.queue("kept", arguments={**KEEPS, **limit, "x-overflow": "reject-publish"})
    model.queue("loose", arguments={**limit, "x-overflow": "reject-publish"})
    for name in ("kept", "loose"):
        model.vhost.bind(model.access, "amq.fanout", name, "queue", "", {}, model)
    model.publish(b"full", key=first, mode=1)

    published = model.publish(b"x", exchange="amq.fanout", key="", mode=1)

    assert (published.routed, published.refused) == (True, True)
    assert [model.vhost.queues[name].ready for name in ("kept", "loose")] == [1, 1]


@pytest.mark.parametrize("slow", ["kept", "loose"])
def test_who_publishes_transient_messages_heeds_all_of_their_queues(
    model: Model, slow: str
) -> None:
    block = {"x-max-length": 1, "x-overflow": "block"}
    model.queue("kept", arguments={**KEEPS, **block})
    model.queue("loose", arguments=block)
    consumer = FakeConsumer(credit=0)
    consumer.is_slow = True
    model.consume(consumer, slow)
    model.publish(*[b"x"] * CROWD_MESSAGES, key=slow, mode=1)
    for name in ("kept", "loose"):
        model.vhost.bind(model.access, "amq.fanout", name, "queue", "", {}, model)

    published = model.publish(b"x", exchange="amq.fanout", key="", mode=1)

    assert published.crowded is model.vhost.queues[slow]
    assert {queue.name for queue in published.full} == {"kept", "loose"}
    assert len(published.tickets) == 1, "the other one has just reached its limit"
