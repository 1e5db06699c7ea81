"""Witness: who hears that clients came and went, what they removed, and what they were refused.

Only rare things are told, and never what a message holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from pamqp.commands import Exchange, Queue

if TYPE_CHECKING:
    from pamqp.base import Frame as Command

    from amqpd.amqp.sasl import Login, Peer
    from amqpd.errors import AmqpError

#: Methods after which something is gone.
REMOVING: Final = frozenset({Queue.Delete, Queue.Purge, Exchange.Delete})


class Visit(NamedTuple):
    """A client in a vhost; `name` is what it calls its connection."""

    login: Login
    peer: Peer
    vhost: str
    name: str


class Ending(NamedTuple):
    """How a visit came to its end."""

    reason: str
    received_bytes: int
    sent_bytes: int
    lasted_ms: int


class Witness(Protocol):
    """Somebody who writes it down."""

    def opened(self, visit: Visit) -> None:
        """A client is in its vhost."""

    def closed(self, visit: Visit, ending: Ending) -> None:
        """Its socket is gone."""

    def removed(self, login: Login, peer: Peer, vhost: str, what: str, name: str) -> None:
        """A client has removed something: `queue.delete`, its name."""

    def refused(self, login: Login, peer: Peer, vhost: str, error: AmqpError) -> None:
        """A client got an error."""


class Nobody:
    """Writes nothing down."""

    def opened(self, visit: Visit) -> None:
        """It is not written down."""

    def closed(self, visit: Visit, ending: Ending) -> None:
        """It is not written down."""

    def removed(self, login: Login, peer: Peer, vhost: str, what: str, name: str) -> None:
        """It is not written down."""

    def refused(self, login: Login, peer: Peer, vhost: str, error: AmqpError) -> None:
        """It is not written down."""


def name_of(command: Command) -> str:
    """What a removing method is about."""
    return (
        command.exchange if isinstance(command, Exchange.Delete) else getattr(command, "queue", "")
    )
