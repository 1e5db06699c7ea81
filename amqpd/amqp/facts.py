"""What connections, channels and consumers tell of themselves (`broker.session`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpd.amqp.handshake import client_name
from amqpd.amqp.phase import ENDING
from amqpd.broker.session import ChannelFacts, ConnectionFacts, ConsumerFacts

if TYPE_CHECKING:
    from amqpd.amqp.channel import Channel
    from amqpd.amqp.connection import Connection
    from amqpd.amqp.consumer import Consumer

PROTOCOL = "AMQP 0-9-1"


def of_connection(connection: Connection) -> ConnectionFacts:
    """An open connection."""
    peer, output = connection.peer, connection.output
    return ConnectionFacts(
        name=connection.name,
        given_name=client_name(connection.client_properties),
        protocol=PROTOCOL,
        user=connection.login.user,
        vhost=connection.vhost.name if connection.vhost is not None else "",
        host=peer.local_host,
        port=peer.local_port,
        peer_host=peer.host,
        peer_port=peer.port,
        tls=peer.tls,
        mechanism=connection.mechanism_name,
        state=_state(connection),
        channels=len(connection.channels),
        channel_max=connection.channel_max,
        frame_max=output.frame_max,
        heartbeat_s=connection.heartbeat_s,
        client_properties=connection.client_properties,
        connected_at_ms=connection.connected_at_ms,
        received_bytes=connection.received_bytes,
        received_reads=connection.received_reads,
        sent_bytes=output.sent,
        sent_writes=output.writes,
        pending_bytes=len(output.outbox),
        secured=peer.secured,
    )


def _state(connection: Connection) -> str:
    if connection.phase in ENDING:
        return "closing"
    if connection.blocking.holds:
        return "blocked"
    return "flow" if connection.reading_paused else "running"


def of_channel(channel: Channel) -> ChannelFacts:
    """A channel."""
    confirms, tx, publisher = channel.confirms, channel.tx, channel.publisher
    messages, acks = tx.pending if tx is not None else (0, 0)
    return ChannelFacts(
        number=channel.number,
        state="flow" if channel.paused else "running",
        confirms=confirms is not None,
        transactional=tx is not None,
        consumers=len(channel.consumers),
        unacked=len(channel.unacked) - channel.unacked.lost,
        unconfirmed=confirms.outstanding if confirms is not None else 0,
        uncommitted=messages,
        uncommitted_acks=acks,
        prefetch=channel.prefetch,
        prefetch_shared=channel.prefetch_shared,
        counts=channel.counts,
        confirmed=channel.confirmed,
        returned=publisher.returned,
        dropped=publisher.dropped,
        published=dict(publisher.published),
        delivered=[
            (each.queue_name, each.delivered, each.redelivered)
            for each in channel.consumers.values()
        ],
        oldest_unacked_ms=channel.unacked.since_ms(),
    )


def of_consumer(consumer: Consumer, channel: Channel) -> ConsumerFacts:
    """A consumer of a channel."""
    connection = channel.connection
    return ConsumerFacts(
        tag=consumer.tag,
        connection_name=connection.name,
        peer_host=connection.peer.host,
        peer_port=connection.peer.port,
        user=connection.login.user,
        channel_number=channel.number,
        prefetch=consumer.prefetch,
        unacked=consumer.unacked,
        delivered=consumer.delivered,
        redelivered=consumer.redelivered,
        given_name=client_name(connection.client_properties),
        oldest_unacked_ms=channel.unacked.since_ms(consumer) if consumer.unacked else 0,
    )
