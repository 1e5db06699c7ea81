"""Exchange types beyond the four that AMQP has: RabbitMQ's plugins, and some of others.

Each lives in a file of its own and is registered as anyone's own type would be: a subclass of
`Exchange`, under its name in the entry points `amqpd.exchange_types`.

    consistent_hash     x-consistent-hash: the same hash, the same queue; with weights
    modulus_hash        x-modulus-hash: the hash modulo the number of queues
    chance              x-random, x-local-random: one by chance
    delayed             x-delayed-message: later
    deduplication       x-message-deduplication: not twice
    history             x-recent-history: the last messages again for each new binding
    last_value          x-lvc: the last message of a key again for each new binding
    jms                 x-jms-topic: topics with selectors (selector.py, sql.py, erlang.py)
    super_stream        x-super-stream: the partitions of a stream
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpd.broker.exchange import standard_types
from amqpd.broker.types.chance import LocalRandomExchange, RandomExchange
from amqpd.broker.types.consistent_hash import ConsistentHashExchange
from amqpd.broker.types.deduplication import DeduplicationExchange
from amqpd.broker.types.delayed import DelayedExchange
from amqpd.broker.types.history import RecentHistoryExchange
from amqpd.broker.types.jms import JmsTopicExchange
from amqpd.broker.types.last_value import LastValueExchange
from amqpd.broker.types.modulus_hash import ModulusHashExchange
from amqpd.broker.types.super_stream import SuperStreamExchange

if TYPE_CHECKING:
    from amqpd.broker.exchange import Exchange


def all_types() -> dict[str, type[Exchange]]:
    """The types that come with the broker, by name."""
    types: list[type[Exchange]] = [
        ConsistentHashExchange,
        DeduplicationExchange,
        DelayedExchange,
        JmsTopicExchange,
        LastValueExchange,
        LocalRandomExchange,
        ModulusHashExchange,
        RandomExchange,
        RecentHistoryExchange,
        SuperStreamExchange,
    ]
    return standard_types() | {each.kind: each for each in types}
