"""Makes the session of a new connection: AMQP 0-9-1 settings and the peer's address."""

from __future__ import annotations

import dataclasses
import logging
import secrets
from typing import TYPE_CHECKING

from amqpd.amqp.connection import NOBODY, Authenticate, Connection, Environment, never_late
from amqpd.amqp.direct_reply import ReplyConsumers
from amqpd.amqp.sasl import Peer
from amqpd.amqp.settings import AmqpSettings
from amqpd.auth.certificate import LoginFrom, user_name
from amqpd.broker.interceptors import Interceptors, Stamp
from amqpd.broker.limits import Limits
from amqpd.config import node_name
from amqpd.server.secured import secured

if TYPE_CHECKING:
    from collections.abc import Callable

    from amqpd.amqp.witness import Witness
    from amqpd.broker.broker import Broker
    from amqpd.clock import Clock
    from amqpd.config import Settings
    from amqpd.server.transport import Transport


LOG = logging.getLogger("amqpd.connection")


class Sessions:
    """Gives each transport its AMQP session."""

    def __init__(
        self,
        broker: Broker,
        settings: Settings,
        authenticate: Authenticate,
        clock: Clock,
        witness: Witness = NOBODY,
        is_late: Callable[[], bool] = never_late,
    ) -> None:
        self._login_from = LoginFrom(settings.tls.login_from)
        self._clock = clock
        self._environment = Environment(
            broker=broker,
            settings=amqp_settings(settings),
            authenticate=authenticate,
            reply_consumers=ReplyConsumers(),
            new_token=lambda: secrets.token_urlsafe(16),
            witness=witness,
            is_late=is_late,
        )

    def use(self, settings: Settings) -> None:
        """These settings are for the connections to come."""
        self._login_from = LoginFrom(settings.tls.login_from)
        self._environment = dataclasses.replace(self._environment, settings=amqp_settings(settings))

    def make(self, transport: Transport) -> Connection:
        """A session for a connection that stands."""
        peer = self._peer(transport)
        LOG.info("accepting AMQP connection (%s)", peer)
        return Connection(
            self._environment,
            peer,
            lambda _: transport.touch(),
            self._clock.now_ms(),
        )

    def _peer(self, transport: Transport) -> Peer:
        ask = transport.socket.get_extra_info
        # A peer that is gone already has no address any more.
        host, port = transport.place.client or (ask("peername") or ("?", 0))[:2]
        local_host, local_port = (ask("sockname") or ("?", 0))[:2]
        tls, certificate = ask("ssl_object"), ask("peercert") or {}
        if tls is None:
            return Peer(host, port, local_host=local_host, local_port=local_port)
        user = user_name(certificate, self._login_from)
        return Peer(host, port, True, user, local_host, local_port, secured(tls, certificate))


def limits(settings: Settings) -> Limits:
    """The broker's own limits."""
    amqp, queues = settings.amqp, settings.queues
    return Limits(
        channel_max=amqp.channel_max,
        frame_max_bytes=amqp.frame_max_bytes,
        heartbeat_s=amqp.heartbeat_s,
        max_message_bytes=amqp.max_message_size_bytes,
        always_counted=queues.delivery_count_header == "always",
        default_queue_type="" if queues.default_type == "classic" else queues.default_type,
        transient_nonexclusive=queues.transient_nonexclusive,
        max_queues=queues.max_queues or None,
        max_exchanges=queues.max_exchanges or None,
        max_topic_hash_wildcards=_or_none(queues.max_topic_wildcards),
        trusts_deaths=settings.dead_letter.trust_client_x_death,
        consumer_timeout_ms=_or_none(queues.consumer_timeout_ms),
        timeout_closes=queues.consumer_timeout_mode == "close_channel",
        relaxed_redeclaration=queues.relaxed_redeclaration,
        interceptors=Interceptors(
            Stamp(amqp.stamp_time), Stamp(amqp.stamp_node), node_name(settings)
        ),
    )


def _or_none(number: int) -> int | None:
    return number if number >= 0 else None


def amqp_settings(settings: Settings) -> AmqpSettings:
    """The session's own settings, from the section of the same keys."""
    amqp = settings.amqp
    names = [field.name for field in dataclasses.fields(AmqpSettings)]
    return AmqpSettings(**{name: getattr(amqp, name) for name in names if hasattr(amqp, name)})
