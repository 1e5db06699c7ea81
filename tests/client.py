"""The client that tests use: the one of the command line."""

from amqpd.cli.amqp import (
    Channel,
    ChannelClosed,
    Client,
    Closed,
    ConnectionClosed,
    Delivery,
    Gone,
    Verdict,
)

__all__ = [
    "Channel",
    "ChannelClosed",
    "Client",
    "Closed",
    "ConnectionClosed",
    "Delivery",
    "Gone",
    "Verdict",
]
