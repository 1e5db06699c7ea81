"""What AMQP sessions tell the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpd.errors import AccessRefused, FrameError, NotAllowed, SyntaxError

if TYPE_CHECKING:
    from amqpd.amqp.sasl import Login, Peer
    from amqpd.errors import AmqpError
    from amqpd.server.audit import Audit


class AmqpWitness:
    """Writes down what AMQP clients have removed, were denied, and did wrong."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit

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
