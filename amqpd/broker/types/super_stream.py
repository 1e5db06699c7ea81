"""x-super-stream: one name for the partitions of a stream.

The partitions are queues, each bound with its own key; clients choose the key. Where a
partition stands among the others is in its binding's argument `x-stream-partition-order`,
which clients of the stream protocol read; routing does not.
"""

from __future__ import annotations

from amqpd.broker.exchange import DirectExchange


class SuperStreamExchange(DirectExchange):
    """Routes as a direct exchange does."""

    kind = "x-super-stream"
