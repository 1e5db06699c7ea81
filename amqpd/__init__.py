"""amqpd: a durable AMQP 0-9-1 broker that RabbitMQ's clients use unchanged."""

from __future__ import annotations

from typing import Final

#: The only place where the version is written; the package's metadata reads it from here.
__version__: Final = "0.1.0"
