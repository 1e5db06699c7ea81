"""The fixtures that the suite's tests name: a broker on a clean slate, and a worker on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dramatiq
import pytest
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from .common import RABBITMQ_CREDENTIALS, reachable

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def rabbitmq_broker() -> Iterator[RabbitmqBroker]:
    """A connected broker, made the global one; its queues are emptied and dropped after."""
    if not reachable():
        pytest.skip("no broker on port 5672")
    broker = RabbitmqBroker(host="127.0.0.1", max_priority=10, credentials=RABBITMQ_CREDENTIALS)
    dramatiq.set_broker(broker)
    broker.emit_after("process_boot")

    yield broker

    broker.flush_all()
    broker.close()


@pytest.fixture
def rabbitmq_worker(rabbitmq_broker: RabbitmqBroker) -> Iterator[dramatiq.Worker]:
    """A worker with threads to spare."""
    worker = dramatiq.Worker(rabbitmq_broker, worker_timeout=100, worker_threads=32)
    worker.start()

    yield worker

    worker.stop()
