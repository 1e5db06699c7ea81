"""Advice: arguments that nobody knows are kept and ignored, but not in silence.

    unknown_arguments(arguments, known) -> [Unknown(name, nearest)]
    Advice().queue(…)  .exchange(…)  .consumer(…)     one line in the log for each new name
    QUEUE, CONSUMER, EXCHANGE                   the names that mean something

RabbitMQ takes any argument. A mistyped `x-mesage-ttl` therefore looks as if it worked, until
the disk is full.
"""

from __future__ import annotations

import difflib
import logging
from typing import TYPE_CHECKING, Final, NamedTuple

from amqpd.broker.arguments import (
    ALTERNATE_EXCHANGE,
    ALTERNATE_EXCHANGE_TOO,
    CONSUMER_ARGUMENTS,
    NAME_PREFIX,
    QUEUE_ARGUMENTS,
)
from amqpd.broker.text import resource

if TYPE_CHECKING:
    from collections.abc import Collection

    from amqpd.fields import Table

logger = logging.getLogger(__name__)

#: Names of a vhost that were warned of; beyond that it is silent.
REMEMBERED: Final = 1000

#: Besides what is checked: taken from the name before the queue is made.
QUEUE: Final = frozenset({*QUEUE_ARGUMENTS, NAME_PREFIX})
#: The last one has no meaning here, but clients that send it are not mistaken.
CONSUMER: Final = frozenset({*CONSUMER_ARGUMENTS, "x-cancel-on-ha-failover"})
#: Of all types that RabbitMQ and its plugins have.
EXCHANGE: Final = frozenset(
    {
        ALTERNATE_EXCHANGE,
        ALTERNATE_EXCHANGE_TOO,
        "hash-header",
        "hash-property",
        "x-cache-persistence",
        "x-cache-size",
        "x-cache-ttl",
        "x-delayed-type",
        "x-recent-history-length",
    }
)


class Unknown(NamedTuple):
    """An argument without a meaning, and the name that may have been meant (or nothing)."""

    name: str
    nearest: str

    def __str__(self) -> str:
        hint = f"; did you mean '{self.nearest}'?" if self.nearest else ""
        return f"argument '{self.name}' is not known and has no effect{hint}"


def unknown_arguments(arguments: Table, known: Collection[str]) -> list[Unknown]:
    """The arguments that are not among the known ones."""
    return [Unknown(name, _nearest(name, known)) for name in arguments if name not in known]


def _nearest(name: str, known: Collection[str]) -> str:
    # Names are as long as a client likes; comparing costs their length squared.
    found = difflib.get_close_matches(name[:64].lower(), known, n=1, cutoff=0.75)
    return found[0] if found else ""


class Advice:
    """The warnings of one vhost."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def queue(self, vhost: str, name: str, arguments: Table) -> None:
        """A queue was declared."""
        self._warn("queue", name, vhost, arguments, QUEUE)

    def exchange(self, vhost: str, name: str, arguments: Table) -> None:
        """An exchange was declared."""
        self._warn("exchange", name, vhost, arguments, EXCHANGE)

    def consumer(self, vhost: str, queue: str, arguments: Table) -> None:
        """A consumer began."""
        self._warn("queue", queue, vhost, arguments, CONSUMER)

    def _warn(
        self, kind: str, name: str, vhost: str, arguments: Table, known: frozenset[str]
    ) -> None:
        for unknown in unknown_arguments(arguments, known):
            if unknown.name not in self._told and len(self._told) < REMEMBERED:
                self._told.add(unknown.name)
                logger.warning("%s: %s", resource(kind, name, vhost), unknown)
