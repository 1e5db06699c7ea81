"""Consumers: what queues need of them, and who fulfils it."""

from __future__ import annotations

import inspect

import pytest

from amqpd.amqp.consumer import Consumer as AmqpConsumer
from amqpd.broker.consumer import Consumer
from tests.broker.model import FakeConsumer


@pytest.mark.parametrize("kind", [AmqpConsumer, FakeConsumer])
def test_whoever_consumes_can_do_what_a_queue_asks(kind: type) -> None:
    asked = {name for name, _ in inspect.getmembers(Consumer, inspect.isfunction)}

    assert {name for name in asked if not name.startswith("_")} == {
        "cancelled",
        "credit",
        "deliver",
        "deliver_all",
        "facts",
    }
    for name in asked:
        assert callable(getattr(kind, name))
    assert isinstance(inspect.getattr_static(Consumer, "is_slow"), property)
