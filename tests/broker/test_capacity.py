"""How many queues and exchanges there may be: limits of the vhost and of the broker."""

from __future__ import annotations

import json

import pytest

from amqpd.broker.definitions import PutParameter, PutVhost
from amqpd.broker.limits import Limits
from amqpd.broker.parameters import LIMITS, VHOST_LIMITS
from amqpd.errors import PreconditionFailed
from tests.broker.model import Model


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
