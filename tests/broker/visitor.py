"""A guest that is counted, and does nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpd.broker.session import ConnectionFacts

if TYPE_CHECKING:
    from amqpd.broker.session import ChannelFacts
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


class Guest(Visitor):
    """A connection that tells of itself."""

    def facts(self) -> ConnectionFacts:
        return ConnectionFacts(
            name="visitor", given_name="", protocol="AMQP 0-9-1", user="u", vhost="", host="h",
            port=1, peer_host="p", peer_port=2, tls=False, mechanism="PLAIN", state="running",
            channels=0, channel_max=9, frame_max=4096, heartbeat_s=0, client_properties={},
            connected_at_ms=7, received_bytes=0, received_reads=0, sent_bytes=0, sent_writes=0,
            pending_bytes=0,
        )  # fmt: skip
