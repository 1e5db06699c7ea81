"""What can be set about AMQP connections, and what a broker says of itself."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from amqpd import __version__, fields

if TYPE_CHECKING:
    from amqpd.fields import Table

_PLATFORM: Final = f"amqpd {__version__} / Python {sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True, slots=True)
class AmqpSettings:
    """Limits and manners of AMQP 0-9-1 connections."""

    # Clients choose their behaviour by product and version: these make them behave.
    product: str = "RabbitMQ"
    version: str = "4.2.0"
    platform: str = _PLATFORM
    information: str = f"amqpd {__version__}, a broker that speaks RabbitMQ's AMQP 0-9-1"
    copyright: str = "The amqpd authors"
    # Offered at tune; a client may ask for less. Channel numbers go up to channel_max.
    channel_max: int = 2047
    frame_max_bytes: int = 131_072
    heartbeat_s: int = 60
    # The least frame-max a client may ask for (the specification's; RabbitMQ wants 8192).
    frame_min_bytes: int = 4096
    # Largest frame, and bytes in all, before tune-ok.
    handshake_frame_max_bytes: int = 8192
    handshake_max_bytes: int = 65_536
    # From the first byte to open-ok.
    handshake_timeout_s: float = 10.0
    # How long we wait for the client's close-ok; less with a shorter heartbeat.
    close_timeout_s: float = 30.0
    # Silence before a connection that failed to log in is dropped without a word.
    refused_delay_s: float = 3.0
    # Between our close and the end of a connection whose frames cannot be read any more.
    frame_error_delay_s: float = 1.0
    # Larger messages are refused at their header with 406.
    max_message_size_bytes: int = 16_777_216
    # A transaction that takes more in memory is refused with 406; 0 is no limit.
    max_transaction_bytes: int = 268_435_456
    # In order of preference; EXTERNAL is offered where the peer has shown a certificate.
    mechanisms: tuple[str, ...] = ("PLAIN", "AMQPLAIN", "ANONYMOUS", "EXTERNAL")
    # Offer PLAIN and AMQPLAIN over TLS only.
    passwords_over_tls_only: bool = False
    # Who a client is that logs in with ANONYMOUS.
    anonymous_user: str = "guest"
    # 0 is no limit.
    consumers_per_channel: int = 0
    # Deliveries pause while a connection has more than this to write.
    outbox_bytes: int = 1_048_576


#: What the broker can do beyond AMQP 0-9-1, as RabbitMQ spells it.
CAPABILITIES: Final = (
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
)


def server_properties(settings: AmqpSettings, cluster_name: str) -> Table:
    """The table of connection.start."""
    return fields.table(
        {
            "capabilities": dict.fromkeys(CAPABILITIES, True),
            "cluster_name": cluster_name,
            "copyright": settings.copyright,
            "information": settings.information,
            "platform": settings.platform,
            "product": settings.product,
            "version": settings.version,
        }
    )
