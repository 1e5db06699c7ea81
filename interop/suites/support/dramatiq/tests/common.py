"""What the suite's tests take from their shared module: credentials and a skip mark."""

from __future__ import annotations

import os
import socket

import pika
import pytest

RABBITMQ_USERNAME = os.environ.get("RABBITMQ_USERNAME", "guest")
RABBITMQ_PASSWORD = os.environ.get("RABBITMQ_PASSWORD", "guest")
RABBITMQ_CREDENTIALS = pika.PlainCredentials(RABBITMQ_USERNAME, RABBITMQ_PASSWORD)


def reachable() -> bool:
    """Whether something listens on the broker's port."""
    try:
        socket.create_connection(("127.0.0.1", 5672), timeout=1).close()
    except OSError:
        return False
    return True


skip_unless_rabbit_mq = pytest.mark.skipif(not reachable(), reason="no broker on port 5672")
