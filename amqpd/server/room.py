"""Room: how many connections there may be, and how many of them from somebody unknown.

    Room(most, most_handshakes, most_unknown, most_unknown_per_source)
        .enter(host, tls) -> Place | str        the place, or why there is none
    Place
        .shook_hands()      TLS stands
        .known()            somebody has logged in
        .leave()            the connection is over; may be said twice

Whoever has not logged in yet costs memory and does not have to show anything for it: 5 KiB
with TCP, 300 KiB with TLS. So those are limited more narrowly than others, over all and for
each address (of IPv6, each /64), and it is the newest that is refused: an attacker cannot
drive out those who came before. This machine itself counts over all only.
"""

from __future__ import annotations

import ipaddress
from typing import Final

#: Without these there is no such limit.
NO_LIMIT: Final = 0


class Room:
    """Counted over all listeners; 0 is no limit, but for `most`."""

    def __init__(
        self,
        most: int,
        most_handshakes: int = NO_LIMIT,
        most_unknown: int = NO_LIMIT,
        most_unknown_per_source: int = NO_LIMIT,
        *,
        unknown: str = "have not logged in",
    ) -> None:
        #: What those are, for people.
        self._what = unknown
        self.use(most, most_handshakes, most_unknown, most_unknown_per_source)
        self.connections = 0
        self.handshakes = 0
        self.unknown = 0
        self.refused = 0
        self._unknown_of: dict[str, int] = {}

    def use(
        self, most: int, most_handshakes: int, most_unknown: int, most_unknown_per_source: int
    ) -> None:
        """These limits hold from now on; nobody who is here is sent away."""
        self.most = most
        self.most_handshakes = most_handshakes
        self.most_unknown = most_unknown
        self.most_unknown_per_source = most_unknown_per_source

    def enter(self, host: str, *, tls: bool = False) -> Place | str:
        """A place for a connection from there, or why it is refused."""
        source = source_of(host)
        refusal = self._refusal(source, tls)
        if refusal:
            self.refused += 1
            return refusal
        self.connections += 1
        self.unknown += 1
        self.handshakes += tls
        if source:
            self._unknown_of[source] = self._unknown_of.get(source, 0) + 1
        return Place(self, source, tls)

    def _refusal(self, source: str, tls: bool) -> str:
        if self.connections >= self.most:
            return f"limit of {self.most} reached"
        if tls and 0 < self.most_handshakes <= self.handshakes:
            return f"{self.handshakes} TLS handshakes are under way"
        if 0 < self.most_unknown <= self.unknown:
            return f"{self.unknown} connections {self._what}"
        if source and 0 < self.most_unknown_per_source <= self._unknown_of.get(source, 0):
            return f"{self.most_unknown_per_source} connections from {source} {self._what}"
        return ""

    def forget_unknown(self, source: str) -> None:
        """One of those from there is not unknown any more."""
        self.unknown -= 1
        if source:
            left = self._unknown_of.pop(source) - 1
            if left:
                self._unknown_of[source] = left


class Place:
    """What one connection takes up."""

    __slots__ = ("_is_here", "_is_shaking", "_is_unknown", "_room", "_source", "client")

    def __init__(self, room: Room, source: str, tls: bool) -> None:
        self._room = room
        self._source = source
        self._is_here = True
        self._is_shaking = tls
        self._is_unknown = True
        #: Host and port of who is behind a proxy.
        self.client: tuple[str, int] | None = None

    def shook_hands(self) -> None:
        """TLS stands, or will not."""
        if self._is_shaking:
            self._is_shaking = False
            self._room.handshakes -= 1

    def known(self) -> None:
        """Somebody has logged in."""
        if self._is_unknown:
            self._is_unknown = False
            self._room.forget_unknown(self._source)

    def leave(self) -> None:
        """The connection is over."""
        if self._is_here:
            self._is_here = False
            self.shook_hands()
            self.known()
            self._room.connections -= 1


def source_of(host: str) -> str:
    """Whom connections from there are attributed to; empty for this machine itself."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        if mapped is not None:
            address = mapped
        elif not address.is_loopback:
            return str(ipaddress.ip_network((address, 64), strict=False))
    return "" if address.is_loopback else str(address)
