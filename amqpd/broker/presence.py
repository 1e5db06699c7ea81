"""Presence: who is connected, and whether one more may be.

    Presence(limits, node, events)
        .check_node()  .check(vhost, user)   530 if a limit is reached
        .enter(guest, vhost, user)  .leave(guest)
        .open_channel(guest, number)  .close_channel(guest, number)
        .guests()  .in_vhost(name)  .of_user(name)
        .vhost_limits  .user_limits          as set at run time

A guest is a connection of whatever protocol. Limits are looked at when somebody comes; one
that is lowered sends nobody away, as in RabbitMQ.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from amqpd.broker.limits import UserLimits, VhostLimits, allows
from amqpd.errors import NotAllowed

if TYPE_CHECKING:
    from amqpd.broker.events import Events
    from amqpd.broker.limits import Limits
    from amqpd.broker.session import ChannelFacts, ConnectionFacts
    from amqpd.errors import AmqpError


class Guest(Protocol):
    """A connection, as far as the broker has to do with it."""

    @property
    def name(self) -> str:
        """What it is called; unique while it lives."""

    def facts(self) -> ConnectionFacts:
        """What it tells of itself."""

    def channel_facts(self) -> list[ChannelFacts]:
        """What its channels tell."""

    def close(self, error: AmqpError) -> None:
        """Tell the client why, and close."""


class Carried(NamedTuple):
    """What went over connections."""

    received_bytes: int = 0
    received_reads: int = 0
    sent_bytes: int = 0
    sent_writes: int = 0


@dataclass(slots=True)
class _Stay:
    vhost: str
    user: str
    numbers: dict[int, None] = field(default_factory=dict)


class Presence:
    """All guests of a broker."""

    def __init__(self, limits: Limits, node: str, events: Events) -> None:
        self.limits = limits
        self._events = events
        self.node = node
        self.vhost_limits: dict[str, VhostLimits] = {}
        self.user_limits: dict[str, UserLimits] = {}
        self.channels = 0
        #: Since the broker started.
        self.channels_opened = 0
        self.connections_opened = 0
        #: What went over connections that are gone.
        self.carried = Carried()
        self._stays: dict[Guest, _Stay] = {}
        self._in_vhost: dict[str, dict[Guest, None]] = {}
        self._of_user: dict[str, dict[Guest, None]] = {}
        self._channels_of: dict[str, int] = {}

    @property
    def connections(self) -> int:
        """How many guests there are."""
        return len(self._stays)

    def guests(self) -> list[Guest]:
        """All guests, the longest there first."""
        return list(self._stays)

    def in_vhost(self, vhost: str) -> list[Guest]:
        """The guests of a vhost, the longest there first."""
        return list(self._in_vhost.get(vhost, ()))

    def of_user(self, user: str) -> list[Guest]:
        """The guests that logged in as this user, the longest there first."""
        return list(self._of_user.get(user, ()))

    def channels_of(self, user: str) -> int:
        """How many channels the user has open, over all its connections."""
        return self._channels_of.get(user, 0)

    def check_node(self) -> None:
        """See whether the broker takes one more connection.

        Raises:
            NotAllowed: it does not.
        """
        limit = self.limits.max_connections
        if not allows(limit, self.connections):
            raise NotAllowed(f"connection refused: node connection limit ({limit}) is reached")

    def check(self, vhost: str, user: str) -> None:
        """See whether the vhost and the user may have one more connection.

        Raises:
            NotAllowed: one of them may not.
        """
        limit = self.vhost_limits.get(vhost, VhostLimits()).max_connections
        if not allows(limit, len(self._in_vhost.get(vhost, ()))):
            raise NotAllowed(
                f"access to vhost '{vhost}' refused for user '{user}': "
                f"connection limit ({limit}) is reached"
            )
        limit = self.user_limits.get(user, UserLimits()).max_connections
        if not allows(limit, len(self._of_user.get(user, ()))):
            raise NotAllowed(
                f"connection refused for user '{user}': user connection limit ({limit}) is reached"
            )

    def enter(self, guest: Guest, vhost: str, user: str) -> None:
        """Count a guest in."""
        self.connections_opened += 1
        self._stays[guest] = _Stay(vhost, user)
        self._in_vhost.setdefault(vhost, {})[guest] = None
        self._of_user.setdefault(user, {})[guest] = None
        if self._events.on:
            self._events.connected(guest.facts(), user, vhost)

    def leave(self, guest: Guest, carried: Carried | None = None) -> None:
        """The connection is gone, with all its channels; one that never came is fine."""
        stay = self._stays.pop(guest, None)
        if stay is None:
            return
        if carried is not None:
            self.carried = Carried(*map(sum, zip(self.carried, carried, strict=True)))
        self._close_channels(guest, stay)
        if self._events.on:
            self._events.disconnected(guest.facts(), stay.user, stay.vhost)
        for guests, name in ((self._in_vhost, stay.vhost), (self._of_user, stay.user)):
            del guests[name][guest]
            if not guests[name]:
                del guests[name]

    def leave_channels(self, guest: Guest) -> None:
        """All channels of a connection are closed, and it will be."""
        stay = self._stays.get(guest)
        if stay is not None:
            self._close_channels(guest, stay)

    def _close_channels(self, guest: Guest, stay: _Stay) -> None:
        numbers = [*stay.numbers]
        stay.numbers.clear()
        self._count_channels(stay, -len(numbers))
        if self._events.on:
            for number in numbers:
                self._events.channel("closed", guest.name, number, stay.user, stay.vhost)

    def open_channel(self, guest: Guest, number: int) -> None:
        """Count a channel in.

        Raises:
            NotAllowed: a limit of the node or the user is reached.
        """
        stay = self._stays[guest]
        limit = self.limits.max_channels
        if not allows(limit, self.channels):
            raise NotAllowed(
                f"number of channels opened on node '{self.node}' has reached the "
                f"maximum allowed limit of ({limit})"
            )
        limit = self.user_limits.get(stay.user, UserLimits()).max_channels
        if not allows(limit, self.channels_of(stay.user)):
            raise NotAllowed(
                f"number of channels opened for user '{stay.user}' has reached the "
                f"maximum allowed user limit of ({limit})"
            )
        self.channels_opened += 1
        stay.numbers[number] = None
        self._count_channels(stay, 1)
        if self._events.on:
            self._events.channel("created", guest.name, number, stay.user, stay.vhost)

    def close_channel(self, guest: Guest, number: int) -> None:
        """A channel is closed; its connection may be gone already, and the channel with it."""
        stay = self._stays.get(guest)
        if stay is not None:
            del stay.numbers[number]
            self._count_channels(stay, -1)
            if self._events.on:
                self._events.channel("closed", guest.name, number, stay.user, stay.vhost)

    def _count_channels(self, stay: _Stay, count: int) -> None:
        self.channels += count
        left = self._channels_of.pop(stay.user, 0) + count
        if left:
            self._channels_of[stay.user] = left
