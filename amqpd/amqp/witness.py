"""Witness: who hears what clients have removed, and what they were refused.

Only rare things are told, and never what a message holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from pamqp.commands import Exchange, Queue

if TYPE_CHECKING:
    from pamqp.base import Frame as Command

    from amqpd.amqp.sasl import Login, Peer
    from amqpd.errors import AmqpError

#: Methods after which something is gone.
REMOVING: Final = frozenset({Queue.Delete, Queue.Purge, Exchange.Delete})


class Witness(Protocol):
    """Somebody who writes it down."""

    def removed(self, login: Login, peer: Peer, vhost: str, what: str, name: str) -> None:
        """A client has removed something: `queue.delete`, its name."""

    def refused(self, login: Login, peer: Peer, vhost: str, error: AmqpError) -> None:
        """A client got an error."""


class Nobody:
    """Writes nothing down."""

    def removed(self, login: Login, peer: Peer, vhost: str, what: str, name: str) -> None:
        """It is not written down."""

    def refused(self, login: Login, peer: Peer, vhost: str, error: AmqpError) -> None:
        """It is not written down."""


def name_of(command: Command) -> str:
    """What a removing method is about."""
    return (
        command.exchange if isinstance(command, Exchange.Delete) else getattr(command, "queue", "")
    )
