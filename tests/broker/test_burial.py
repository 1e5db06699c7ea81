"""Burials: dead letters that go together look as if each had gone by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amqpd.broker import deadletter
from amqpd.broker.content import body, header_payload
from amqpd.broker.message import a_run
from amqpd.broker.names import join
from amqpd.broker.run import Run
from amqpd.fields import Field, Table, plain_table, table
from amqpd.properties import Properties, decode_header
from tests.broker.model import FakeConsumer, Model

DEAD = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}


@pytest.fixture
def model() -> Model:
    return Model()


def died_before(queue: str, reason: str) -> Table:
    """The headers of a message that has died."""
    return (
        deadletter.bury(
            Properties(expiration="5"),
            "x",
            "key",
            queue=queue,
            reason=reason,
            now_ms=0,
            new_key=None,
        ).properties.headers
        or {}
    )


#: Histories that are counted on or begin, and headers that have nothing to do with it.
HEADERS: list[Table | None] = [
    None,
    table({"a": 1}),
    table({"CC": ["dead"], "original-expiration": "000"}),
    died_before("q", deadletter.EXPIRED),
    died_before("q", deadletter.REJECTED),
    died_before("other", deadletter.MAXLEN),
]
MESSAGES = st.builds(
    Properties,
    headers=st.sampled_from(HEADERS),
    delivery_mode=st.sampled_from([None, 1, 2]),
    priority=st.sampled_from([None, 0, 3]),
    expiration=st.sampled_from([None, "0", "10", "11", "60000"]),
    message_id=st.sampled_from([None, "m"]),
)


def waiting(model: Model, name: str) -> list[tuple[bytes, Properties, bytes]]:
    """Exchange and key, properties and body of what a queue has in memory, level by level."""
    return [
        (
            piece.run.names_of(index),
            decode_header(header_payload(piece.run.contents[index]))[2],
            body(piece.run.contents[index]),
        )
        for lane in model.vhost.queues[name].lanes
        for piece in lane.stretches()
        for index in range(piece.lo, piece.hi)
    ]


def read(properties: Properties) -> dict[str, Any]:
    """The headers as they are read."""
    assert properties.headers is not None
    return dict(plain_table(properties.headers))


def die(model: Model, messages: list[Properties], reason: str) -> list[bytes]:
    """Bury messages of the queue `q` together; their exchanges and keys, which take turns."""
    names = [join("x", f"key{index % 2}") for index in range(len(messages))]
    singles = [
        a_run(one, properties, b"%d" % index)
        for index, (one, properties) in enumerate(zip(names, messages, strict=True))
    ]
    contents = [run.contents[0] for run in singles]
    run = Run(contents, names[0], names, False, 1, sum(map(len, contents)))
    queue = model.vhost.queues["q"]
    lane = queue.lanes[0]
    base = lane.push(run, 0, True)
    piece = lane.remove(len(contents))
    assert piece.base == base
    model.broker.around.bury(queue, [(lane, piece)], reason)
    return names


@given(
    st.lists(MESSAGES, min_size=1, max_size=12),
    st.sampled_from([deadletter.EXPIRED, deadletter.REJECTED]),
    st.sampled_from([None, "dead"]),
)
@settings(max_examples=150)
def test_messages_that_die_together_look_as_if_each_had_died_by_itself(
    messages: list[Properties], reason: str, key: str | None
) -> None:
    model = Model()
    model.queue("dead", arguments={"x-max-priority": 5})
    exchange = "amq.fanout"
    arguments = {"x-dead-letter-exchange": exchange}
    model.queue(arguments=arguments | ({} if key is None else {"x-dead-letter-routing-key": key}))
    model.vhost.bind(model.access, exchange, "dead", "queue", "", {}, model)

    names = die(model, messages, reason)

    expected: dict[int, list[tuple[bytes, Properties, bytes]]] = {}
    for index, properties in enumerate(messages):
        burial = deadletter.bury(
            properties,
            "x",
            f"key{index % 2}",
            queue="q",
            reason=reason,
            now_ms=model.broker.around.now_ms,
            new_key=key,
        )
        carried = join(exchange, burial.keys[0])
        level = min(properties.priority or 0, 5)
        expected.setdefault(level, []).append((carried, burial.properties, b"%d" % index))
    assert len(names) == len(messages)
    levels = sorted(expected)
    assert waiting(model, "dead") == [one for level in levels for one in expected[level]]
    assert model.vhost.publishing.buried == {reason: len(messages)}


def test_what_dies_alike_is_one_run_though_each_had_its_own_time(model: Model) -> None:
    model.queue("dead")
    queue = model.queue(arguments=DEAD)
    for index in range(200):
        model.publish(b"%d" % index, expiration=str(100 + index % 50))

    model.turn(200)

    (piece,) = model.vhost.queues["dead"].lanes[0].stretches()
    assert piece.hi - piece.lo == 200
    assert queue.ready == 0
    times = [
        read(properties)["x-death"][0]["original-expiration"]
        for _, properties, _ in waiting(model, "dead")
    ]
    assert sorted(times) == sorted(str(100 + index % 50) for index in range(200))


def test_messages_whose_deaths_differ_go_in_their_order(model: Model) -> None:
    model.queue("dead")
    model.queue(arguments=DEAD)
    some = Properties(delivery_mode=2)
    often = replace(some, headers=died_before("q", deadletter.REJECTED))

    die(model, [some, often, some, often, often, some], deadletter.REJECTED)

    assert [one for _, _, one in waiting(model, "dead")] == [b"%d" % at for at in range(6)]


def test_where_headers_decide_dead_letters_go_one_by_one(model: Model) -> None:
    model.queue("dead")
    model.queue(arguments={"x-dead-letter-exchange": "amq.headers"})
    wanted = table({"x-match": "all", "a": 1})
    model.vhost.bind(model.access, "amq.headers", "dead", "queue", "", wanted, model)
    some = Properties(delivery_mode=2)
    other = replace(some, headers=table({"a": 1}))

    die(model, [some, other, some, other], deadletter.EXPIRED)

    assert [one for _, _, one in waiting(model, "dead")] == [b"1", b"3"]
    assert model.vhost.publishing.buried == {"expired": 2}
    assert model.vhost.publishing.dropped == {"expired": 2}


def test_a_short_queue_refuses_dead_letters_one_by_one(model: Model) -> None:
    model.queue("dead", arguments={"x-max-length": 2, "x-overflow": "reject-publish"})
    model.queue(arguments=DEAD)

    die(model, [Properties()] * 4, deadletter.EXPIRED)

    assert [one for _, _, one in waiting(model, "dead")] == [b"0", b"1"]
    assert model.vhost.publishing.dropped == {"rejected_publish": 2}


def test_a_queue_that_is_sure_of_its_dead_letters_keeps_those_that_go_nowhere(
    model: Model,
) -> None:
    sure = {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
    queue = model.queue(arguments={"x-queue-type": "quorum", **sure, **DEAD})

    die(model, [Properties(delivery_mode=2, expiration=str(at)) for at in range(3)], "expired")

    assert queue.morgue is not None
    assert queue.morgue.messages == 3


# -- whose deaths they are ---------------------------------------------------------------


def deaths(model: Model, name: str) -> list[tuple[object, ...]]:
    """Queue, reason and count of each death of a queue's first message."""
    _, properties, _ = waiting(model, name)[0]
    return [(one["queue"], one["reason"], one["count"]) for one in read(properties)["x-death"]]


@pytest.mark.parametrize(
    ("trusts", "known"),
    [
        (True, [("q", "rejected", 2), ("other", "maxlen", 1)]),
        (False, [("q", "rejected", 1)]),
    ],
)
def test_deaths_that_a_client_tells_of_count_on_where_they_are_trusted(
    model: Model, trusts: bool, known: list[tuple[object, ...]]
) -> None:
    model.broker.around.trusts_deaths = trusts
    model.queue("dead")
    model.queue(arguments=DEAD)
    told = died_before("other", deadletter.MAXLEN)
    told = (
        deadletter.bury(
            Properties(headers=told), "", "q", queue="q", reason="rejected", now_ms=0, new_key=None
        ).properties.headers
        or {}
    )

    die(model, [Properties(headers={"mine": Field("t", True), **told})], deadletter.REJECTED)

    assert deaths(model, "dead") == known
    headers = read(waiting(model, "dead")[0][1])
    assert headers["x-first-death-queue"] == ("other" if trusts else "q")
    assert headers["mine"] is True


def test_deaths_that_the_broker_knows_of_itself_count_on(model: Model) -> None:
    model.broker.around.trusts_deaths = False
    round_ = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "q"}
    queue = model.queue(arguments=round_)
    model.publish(b"a", expiration="60000", headers=table({"BCC": ["x"]}))
    consumer = FakeConsumer()
    model.consume(consumer)
    for _ in range(3):
        model.turn()
        model.commit()
        model.vhost.discard(consumer.take())

    assert deaths(model, "q") == [("q", "rejected", 3)]
    assert queue.ready == 1


def test_the_number_of_ways_in_a_circle_that_are_told_is_bounded(
    model: Model, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("amqpd.broker.burial.MOST_CYCLES", 3)
    for number in range(5):
        round_ = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": f"q{number}"}
        model.queue(f"q{number}", arguments={**round_, "x-message-ttl": 1})
        model.publish(b"x", b"x", key=f"q{number}")

    model.turn(10)
    model.turn(10)

    assert caplog.text.count("came round without having been rejected") == 3
    assert len(model.vhost.publishing.burials._cycles) == 3


@pytest.mark.parametrize("reason", ["rejected", "expired", "maxlen"])
def test_a_message_becomes_a_dead_letter_in_the_batch_in_which_it_leaves(
    model: Model, reason: str
) -> None:
    limits = {"rejected": {}, "expired": {"x-message-ttl": 10}, "maxlen": {"x-max-length": 1}}
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    model.queue(arguments={**dead, **limits[reason]})
    model.queue("dead")
    model.publish(b"a")
    model.commit()

    if reason == "rejected":
        consumer = FakeConsumer()
        model.consume(consumer)
        model.turn()
        model.commit()
        model.vhost.discard(consumer.take())
    elif reason == "maxlen":
        model.publish(b"b", mode=1)
    model.turn(10)
    # Settles that nobody waits for stay behind, and may be lost with the power.
    batch = model.broker.journal.take(settles=False)

    assert batch is not None
    assert (len(batch.appends), len(batch.settles)) == (1, 1)
    assert model.vhost.publishing.buried == {reason: 1}
