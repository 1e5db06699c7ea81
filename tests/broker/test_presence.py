"""Who is connected, and what went over connections that are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpd.broker.events import Events
from amqpd.broker.limits import Limits, UserLimits, VhostLimits
from amqpd.broker.presence import Carried, Presence
from amqpd.errors import NotAllowed
from tests.broker.visitor import Guest, Visitor

if TYPE_CHECKING:
    from amqpd.broker.session import ConnectionFacts


def a_presence(limits: Limits | None = None) -> Presence:
    return Presence(limits or Limits(), "n", Events({}, "n", "/"))


class Heard(Events):
    """Events that somebody is bound to."""

    on = True

    def __init__(self) -> None:
        super().__init__({}, "n", "/")
        self.told: list[str] = []

    def connected(self, facts: ConnectionFacts, user: str, vhost: str) -> None:
        self.told.append(f"{user} is in {vhost}")

    def disconnected(self, facts: ConnectionFacts, user: str, vhost: str) -> None:
        self.told.append(f"{user} left {vhost}")

    def channel(self, happened: str, connection: str, number: int, user: str, vhost: str) -> None:
        self.told.append(f"channel {number} {happened}")


def test_who_comes_and_goes_is_told_with_its_channels() -> None:
    heard, guest = Heard(), Guest()
    presence = Presence(Limits(), "n", heard)

    presence.enter(guest, "/", "u")
    presence.open_channel(guest, 1)
    presence.open_channel(guest, 2)
    presence.close_channel(guest, 1)
    presence.leave(guest)

    assert heard.told == [
        "u is in /", "channel 1 created", "channel 2 created", "channel 1 closed",
        "channel 2 closed", "u left /",
    ]  # fmt: skip


def test_guests_are_found_by_vhost_and_user() -> None:
    presence, one, other = a_presence(), Visitor(), Visitor()

    presence.enter(one, "/", "u")
    presence.enter(other, "v", "u")

    assert presence.guests() == presence.of_user("u") == [one, other]
    assert presence.in_vhost("v") == [other]
    presence.leave(other)
    assert (presence.in_vhost("v"), presence.connections, presence.connections_opened) == ([], 1, 2)


def test_what_went_over_connections_is_kept_when_they_go() -> None:
    presence, one = a_presence(), Visitor()
    presence.enter(one, "/", "u")
    presence.leave(one, Carried(1, 2, 3, 4))
    presence.enter(one, "/", "u")
    presence.leave(one, Carried(1, 2, 3, 4))

    presence.leave(one, Carried(1, 2, 3, 4))  # has left already

    assert presence.carried == Carried(2, 4, 6, 8)


def test_a_connection_takes_its_channels_along() -> None:
    presence, one = a_presence(), Visitor()
    presence.enter(one, "/", "u")
    presence.open_channel(one, 1)
    presence.open_channel(one, 2)
    presence.close_channel(one, 1)
    assert (presence.channels, presence.channels_of("u")) == (1, 1)

    presence.leave(one)
    presence.close_channel(one, 2)

    assert (presence.channels, presence.channels_of("u"), presence.channels_opened) == (0, 0, 2)


def test_limits_of_node_vhost_and_user_are_kept() -> None:
    presence, one = a_presence(Limits(max_connections=1, max_channels=1)), Visitor()
    presence.vhost_limits["/"] = VhostLimits(max_connections=1)
    presence.user_limits["u"] = UserLimits(max_connections=1)
    presence.enter(one, "/", "u")
    presence.open_channel(one, 1)

    with pytest.raises(NotAllowed, match=r"node connection limit \(1\)"):
        presence.check_node()
    with pytest.raises(NotAllowed, match="access to vhost '/' refused for user 'w'"):
        presence.check("/", "w")
    with pytest.raises(NotAllowed, match="connection refused for user 'u'"):
        presence.check("v", "u")
    with pytest.raises(NotAllowed, match="opened on node 'n' has reached"):
        presence.open_channel(one, 1)


def test_a_user_has_a_limit_of_channels() -> None:
    presence, one = a_presence(), Visitor()
    presence.user_limits["u"] = UserLimits(max_channels=0)
    presence.enter(one, "/", "u")

    with pytest.raises(NotAllowed, match=r"opened for user 'u' .* \(0\)"):
        presence.open_channel(one, 1)
