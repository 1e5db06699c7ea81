"""What AMQP sessions tell the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpd.errors import AccessRefused, FrameError, NotAllowed, SyntaxError

if TYPE_CHECKING:
    from amqpd.amqp.sasl import Login, Peer
    from amqpd.amqp.witness import Ending, Visit
    from amqpd.errors import AmqpError
    from amqpd.server.audit import Audit


class AmqpWitness:
    """Writes down that AMQP clients came and went, and what they removed and were denied."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit

    def opened(self, visit: Visit) -> None:
        """A client is in its vhost."""
        self._audit.connection(
            "opened", visit.peer.host, visit.peer.port, _who(visit), **_more(visit)
        )

    def closed(self, visit: Visit, ending: Ending) -> None:
        """Its socket is gone."""
        self._audit.connection(
            "closed",
            visit.peer.host,
            visit.peer.port,
            _who(visit),
            **_more(visit),
            reason=ending.reason,
            octets_in=ending.received_bytes,
            octets_out=ending.sent_bytes,
            duration_ms=ending.lasted_ms,
        )

    def removed(self, login: Login, peer: Peer, vhost: str, what: str, name: str) -> None:
        """A client has removed something."""
        self._audit.record(
            what, user=login.user, source=f"{peer.host}:{peer.port}", vhost=vhost, object=name
        )

    def refused(self, login: Login, peer: Peer, vhost: str, error: AmqpError) -> None:
        """A client got an error: its rights, a limit, or no AMQP at all."""
        if isinstance(error, (AccessRefused, NotAllowed)):
            self._audit.denied(login.user, peer.host, vhost, error.explanation)
        elif not login.user or isinstance(error, (FrameError, SyntaxError)):
            self._audit.often(
                "protocol-error",
                "refused",
                user=login.user,
                source=peer.host,
                code=str(error.reply_code.value),
                text=type(error).__name__,
            )


def _who(visit: Visit) -> dict[str, str]:
    return {
        "user": visit.login.user,
        "listener": visit.peer.listener,
        "vhost": visit.vhost,
    }


def _more(visit: Visit) -> dict[str, str]:
    secured = visit.peer.secured
    return {
        "name": visit.name,
        "tls_version": secured.ssl_protocol,
        "tls_subject": secured.peer_cert_subject,
    }
