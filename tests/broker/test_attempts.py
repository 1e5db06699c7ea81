"""Attempts: how often messages came back, what that means for them, and what clients see of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpd.broker.attempts import (
    FRESH,
    Attempts,
    Counted,
    Returned,
    assemble_counted,
    counted,
    none_returned,
)
from amqpd.broker.content import body, build, header_payload
from amqpd.broker.limits import Limits
from amqpd.fields import Field, table
from amqpd.properties import Properties, decode_header, encode_header
from tests.broker.model import FakeConsumer, Model
from tests.broker.types.living import Living

if TYPE_CHECKING:
    from amqpd.broker.lane import Lane
    from amqpd.broker.queue import Got
    from amqpd.broker.stretch import Stretch

QUORUM = {"x-queue-type": "quorum"}


class Reader(FakeConsumer):
    """A consumer that looks at the headers of what it gets."""

    def __init__(self, credit: int = 1_000) -> None:
        super().__init__(credit)
        self.seen: list[dict[str, object]] = []

    def deliver(self, lane: Lane, piece: Stretch) -> None:
        shown = piece.shown or piece.run.contents[piece.lo : piece.hi]
        for content in shown:
            headers = decode_header(header_payload(content))[2].headers or {}
            self.seen.append({name: field.value for name, field in headers.items()})
        super().deliver(lane, piece)


def refuse(model: Model, reader: FakeConsumer, *, failed: bool = True) -> None:
    """Everything goes back, as with basic.reject or basic.nack, and comes again."""
    model.vhost.requeue(reader.take(), failed=failed)
    model.broker.dispatch()


def a_reader(model: Model, arguments: dict[str, object] | None = None, **more: object) -> Reader:
    model.queue(arguments=arguments or QUORUM)
    reader = Reader()
    model.consume(reader)
    model.publish(b"m", **more)  # type: ignore[arg-type]
    model.broker.dispatch()
    return reader


# -- headers -----------------------------------------------------------------------------


def test_a_first_delivery_has_no_counts_and_is_handed_on_as_it_came() -> None:
    model = Model()
    reader = a_reader(model)

    assert reader.seen == [{}]


def test_what_failed_counts_both_and_what_was_given_back_only_the_first() -> None:
    model = Model()
    reader = a_reader(model)

    refuse(model, reader, failed=False)
    refuse(model, reader, failed=True)
    refuse(model, reader, failed=False)

    assert reader.seen[1:] == [
        {"x-acquired-count": 1},
        {"x-acquired-count": 2, "x-delivery-count": 1},
        {"x-acquired-count": 3, "x-delivery-count": 1},
    ]
    assert reader.redelivered == [False, True, True, True]


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ({}, False),
        ({"x-delivery-limit": 5}, True),
        ({"x-delayed-retry-type": "failed", "x-delayed-retry-min": 1}, True),
        (QUORUM, True),
    ],
)
def test_only_queues_that_need_it_tell_the_counts(
    arguments: dict[str, object], shown: bool
) -> None:
    model = Model()
    reader = a_reader(model, arguments or {"x-queue-type": "classic"})

    refuse(model, reader, failed=False)

    assert reader.seen[1:] == [{"x-acquired-count": 1} if shown else {}]


def test_all_queues_tell_the_counts_if_they_are_set_to() -> None:
    model = Living(Limits(always_counted=True))
    reader = a_reader(model, {"x-queue-type": "classic"})

    refuse(model, reader)

    assert reader.seen[1:] == [{"x-acquired-count": 1, "x-delivery-count": 1}]


def test_basic_get_tells_the_counts_too() -> None:
    model = Model()
    reader = a_reader(model)
    model.vhost.cancel(reader)
    model.vhost.requeue(reader.take(), failed=True)
    got: list[Got | None] = []

    model.vhost.get(model.access, "q", model, True, got.append)

    assert got[0] is not None
    assert got[0].piece.shown is not None
    headers = decode_header(header_payload(got[0].piece.shown[0]))[2].headers
    assert headers == {"x-acquired-count": Field("l", 1), "x-delivery-count": Field("l", 1)}


def test_the_rest_of_a_content_stays_as_it_is() -> None:
    properties = Properties(content_type="text", headers=table({"x": "y"}), delivery_mode=2)
    content = build(7, encode_header(properties, 20), bytes(20), 16)

    shown = counted(content, 3, 2)

    class_id, size, found = decode_header(header_payload(shown))
    assert (class_id, size, shown[1:3]) == (60, 20, b"\x00\x07")
    assert body(shown) == bytes(20)
    assert found.headers == table({"x": "y"}) | {
        "x-acquired-count": Field("l", 3),
        "x-delivery-count": Field("l", 2),
    }
    assert (found.content_type, found.delivery_mode) == ("text", 2)


# -- poison ------------------------------------------------------------------------------


def test_a_message_that_failed_once_too_often_is_dead_lettered() -> None:
    model = Model()
    dead = model.queue("dead")
    reader = a_reader(
        model,
        QUORUM
        | {
            "x-delivery-limit": 2,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": "dead",
        },
    )

    for _ in range(3):
        refuse(model, reader)

    assert len(reader.seen) == 3
    assert model.vhost.queues["q"].ready == model.vhost.queues["q"].unacked == 0
    (stretch,) = dead.lanes[0].stretches()
    headers = decode_header(header_payload(stretch.run.contents[0]))[2].headers
    assert headers is not None
    assert headers["x-first-death-reason"].value == "delivery_limit"


def test_poison_is_dropped_and_counted_where_no_exchange_gets_it() -> None:
    model = Model()
    reader = a_reader(model, {"x-delivery-limit": 0})

    refuse(model, reader)

    assert model.vhost.queues["q"].ready == 0
    assert model.vhost.publishing.dropped == {"delivery_limit": 1}


def test_a_message_may_be_given_back_for_ever() -> None:
    model = Model()
    reader = a_reader(model, {"x-delivery-limit": 1})

    for _ in range(5):
        refuse(model, reader, failed=False)

    assert len(reader.seen) == 6


def test_the_limit_of_a_quorum_queue_is_20_unless_it_is_negative() -> None:
    model = Model()
    reader = a_reader(model)
    endless = Reader()
    model.queue("endless", arguments=QUORUM | {"x-delivery-limit": -1})
    model.consume(endless, "endless")
    model.publish(b"m", key="endless")
    model.broker.dispatch()

    for _ in range(25):
        refuse(model, reader)
        refuse(model, endless)

    assert (len(reader.seen), len(endless.seen)) == (21, 26)


def test_what_is_left_of_a_return_with_poison_in_it_keeps_its_order() -> None:
    model = Model()
    queue = model.queue(arguments={"x-delivery-limit": 1})
    reader = Reader(credit=2)
    model.consume(reader)
    model.publish_run(b"a", b"b", b"c", b"d")
    model.broker.dispatch()
    refuse(model, reader)
    reader.prefetch = 4
    refuse(model, reader, failed=False)
    reader.prefetch = 0

    model.vhost.requeue(reader.take(), failed=True)

    left = [c for s in queue.lanes[0].stretches() for c in s.run.contents[s.lo : s.hi]]
    assert [body(content) for content in left] == [b"c", b"d"]


# -- over restarts -----------------------------------------------------------------------


def test_counts_of_durable_messages_are_there_after_a_restart() -> None:
    model = Living()
    reader = a_reader(model)
    model.publish(b"fresh")
    for failed in (True, False):
        refuse(model, reader, failed=failed)
    model.vhost.cancel(reader)
    model.vhost.requeue(reader.take(), failed=True)
    model.commit()

    model.restart()
    again = Reader()
    model.consume(again)
    model.turn()

    assert again.bodies == [b"m", b"fresh"]
    assert again.redelivered == [True, True]
    assert again.seen == [
        {"x-acquired-count": 3, "x-delivery-count": 2},
        {"x-acquired-count": 2, "x-delivery-count": 1},
    ]


def test_a_delivery_limit_holds_over_restarts() -> None:
    model = Living()
    reader = a_reader(model, {"x-delivery-limit": 2})
    for _ in range(3):
        model.vhost.cancel(reader)
        model.vhost.requeue(reader.take(), failed=True)
        model.commit()
        model.restart()
        reader = Reader()
        model.consume(reader)
        model.turn()

    assert reader.seen == []
    assert model.vhost.queues["q"].ready == 0


def test_counts_go_with_the_message() -> None:
    model = Living()
    reader = a_reader(model)
    refuse(model, reader)
    model.commit()

    model.vhost.settle(reader.take())
    model.commit()
    model.restart()

    (state,) = model.disk.open().lanes.values()
    assert not state.counted


def test_a_return_that_comes_before_its_message_is_written_is_not_lost() -> None:
    model = Living()
    reader = a_reader(model)
    refuse(model, reader)
    journal = model.broker.journal
    first = journal.take()

    assert first is not None
    assert [(r.lo, r.hi, r.acquired, r.failed) for r in first.requeues] == [(0, 1, 1, 1)]
    assert first.appends


def test_rows_come_back_as_stretches_of_equal_counts() -> None:
    header = encode_header(Properties(), 1)
    rows = [(at, at + 10, 0, False, False, b"\x00\x01q", header, b"%d" % at) for at in range(6)]
    attempts = {1: Attempts(2, 1), 2: Attempts(2, 1), 4: FRESH}

    stretches = assemble_counted(rows, 1, attempts)

    assert [(s.position, s.hi - s.lo, s.acquired, s.failed, s.redelivered) for s in stretches] == [
        (0, 1, 0, 0, True),
        (1, 2, 2, 1, True),
        (3, 3, 0, 0, False),
    ]


def test_a_broker_without_a_store_has_nothing_to_read() -> None:
    told: list[Returned] = []

    none_returned(Counted(1, 5, 9, 0, 10, 10), told.append)

    assert told == [Returned([], {}, (), 9)]


@pytest.mark.parametrize(("own", "times"), [(0, 1), (1, 2), (9, 3)])
def test_a_message_does_not_outlive_the_limit_of_its_queue_by_one_of_its_own(
    own: int, times: int
) -> None:
    model = Model()
    reader = a_reader(model, {"x-delivery-limit": 2}, headers={"x-delivery-limit": Field("I", own)})

    for _ in range(times):
        assert model.vhost.publishing.dropped == {}
        refuse(model, reader)

    assert model.vhost.publishing.dropped == {"delivery_limit": 1}
