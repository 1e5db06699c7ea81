"""A guest that is counted, and does nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amqpd.broker.session import ChannelFacts, ConnectionFacts
    from amqpd.errors import AmqpError


class Visitor:
    """A connection that limits count."""

    name = "visitor"

    def facts(self) -> ConnectionFacts:
        raise AssertionError("nobody asks")

    def channel_facts(self) -> list[ChannelFacts]:
        raise AssertionError("nobody asks")

    def close(self, error: AmqpError) -> None:
        raise AssertionError(f"nobody was deleted: {error}")
