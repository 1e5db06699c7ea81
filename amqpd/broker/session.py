"""What the broker knows of a client, whatever protocol it speaks: for those who look at it.

    ConnectionFacts  ChannelFacts        a guest's (`presence.Guest`)
    ConsumerFacts                        a consumer's (`consumer.Consumer`)

Facts are of one moment and are made when somebody asks; nobody keeps them up to date.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from amqpd.broker.counts import Counts
    from amqpd.fields import Table


@dataclass(frozen=True, slots=True)
class Secured:
    """What is known of a connection's TLS, in RabbitMQ's names; empty where there is none."""

    ssl_protocol: str = ""
    ssl_key_exchange: str = ""
    ssl_cipher: str = ""
    ssl_hash: str = ""
    peer_cert_subject: str = ""
    peer_cert_issuer: str = ""
    peer_cert_validity: str = ""


#: A connection without TLS.
PLAIN: Final = Secured()


@dataclass(frozen=True, slots=True)
class ConnectionFacts:
    """One connection; `name` is unique while it lives."""

    name: str
    given_name: str
    protocol: str
    user: str
    vhost: str
    host: str
    port: int
    peer_host: str
    peer_port: int
    tls: bool
    mechanism: str
    state: str
    channels: int
    channel_max: int
    frame_max: int
    heartbeat_s: int
    client_properties: Table
    connected_at_ms: int
    received_bytes: int
    received_reads: int
    sent_bytes: int
    sent_writes: int
    pending_bytes: int
    secured: Secured = PLAIN


@dataclass(frozen=True, slots=True)
class ConsumerFacts:
    """One consumer; `channel_number` is 0 in protocols without channels."""

    tag: str
    connection_name: str
    peer_host: str
    peer_port: int
    user: str
    channel_number: int
    prefetch: int
    unacked: int
    delivered: int
    redelivered: int
    #: What the client calls its connection; empty: nothing.
    given_name: str = ""
    #: When the oldest of its unacked messages was delivered; 0: it has none, or nobody knows.
    oldest_unacked_ms: int = 0


@dataclass(frozen=True, slots=True)
class ChannelFacts:
    """One channel; `published` is by exchange."""

    number: int
    state: str
    confirms: bool
    transactional: bool
    consumers: int
    unacked: int
    unconfirmed: int
    uncommitted: int
    uncommitted_acks: int
    prefetch: int
    prefetch_shared: int
    counts: Counts
    confirmed: int
    returned: int
    dropped: int
    published: Mapping[str, int] = field(default_factory=dict)
    #: Queue, deliveries and redeliveries of each consumer.
    delivered: Iterable[tuple[str, int, int]] = ()
    #: When the oldest of the unacked messages was delivered; 0: there is none.
    oldest_unacked_ms: int = 0
