"""How many queues and exchanges there may be: limits of the vhost and of the broker."""

from __future__ import annotations

import json

import pytest

from amqpd.broker.arguments import QueueType
from amqpd.broker.definitions import PutParameter, PutVhost
from amqpd.broker.limits import Limits
from amqpd.broker.parameters import LIMITS, VHOST_LIMITS
from amqpd.errors import InternalError, PreconditionFailed
from tests.broker.model import Model

PLAIN = (("durable", True), ("transient", False))


def declare_exchange(model: Model, name: str) -> None:
    model.vhost.declare_exchange(
        model.access, name, "fanout", passive=False, durable=False, auto_delete=False,
        internal=False, arguments={},
    )  # fmt: skip


def test_a_vhost_takes_as_many_queues_as_its_limit_says() -> None:
    model = Model()
    limit = PutParameter(VHOST_LIMITS, "/", LIMITS, json.dumps({"max-queues": 1}))
    model.broker.change(limit)
    model.queue("first")

    with pytest.raises(PreconditionFailed) as refused:
        model.queue("second")

    assert refused.value.explanation == (
        "cannot declare queue 'second': queue limit in vhost '/' (1) is reached"
    )
    model.queue("first")


def test_a_broker_takes_as_many_queues_as_its_limit_says_in_all_vhosts_together() -> None:
    model = Model(limits=Limits(max_queues=1))
    model.queue("first")
    model.broker.change(PutVhost("a"))

    with pytest.raises(PreconditionFailed) as refused:
        model.queue("second")

    assert refused.value.explanation == (
        "cannot declare queue 'second': queue limit in cluster (1) is reached"
    )


def test_exchanges_that_are_there_anyway_count_as_well() -> None:
    there = len(Model().vhost.exchanges)
    model = Model(limits=Limits(max_exchanges=there + 1))
    declare_exchange(model, "first")

    with pytest.raises(PreconditionFailed) as refused:
        declare_exchange(model, "second")

    assert refused.value.explanation == (
        f"cannot declare exchange 'second' in vhost '/': exchange limit of {there + 1} is reached"
    )
    declare_exchange(model, "first")


def test_queues_neither_durable_nor_exclusive_may_be_denied() -> None:
    model = Model(limits=Limits(transient_nonexclusive=False))

    with pytest.raises(InternalError) as refused:
        model.queue(durable=False)

    assert refused.value.explanation.startswith(
        "queue 'q' in vhost '/': feature `transient_nonexcl_queues` is deprecated"
    )
    assert "q" not in model.vhost.queues
    model.queue(durable=True)
    model.vhost.declare_queue(
        model.access,
        "mine",
        passive=False,
        durable=False,
        exclusive=True,
        auto_delete=False,
        arguments={},
        owner=model,
    )


def test_a_queue_without_a_type_gets_that_of_the_broker_where_it_may_be_of_it() -> None:
    model = Model(limits=Limits(default_queue_type="quorum"))

    kinds = [model.queue(name, durable=durable).arguments.queue_type for name, durable in PLAIN]

    assert kinds == [QueueType.QUORUM, QueueType.CLASSIC]
    model.vhost.default_queue_type = "stream"
    assert model.queue("third").arguments.queue_type is QueueType.STREAM
