"""The PROXY protocol, versions 1 and 2: whom a load balancer's connection is really from.

    Proxies(("10.0.0.0/8",)).include(host)      whether what this host announces is believed
    await client_of(loop, connected)            what it announces

Only those who are named in the settings are believed, and they must announce somebody: who may
or may not do so could claim to be this machine itself. Nobody else is asked.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Iterable

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
#: Of version 1, its end included.
MOST_TEXT: Final = 107
#: Of version 2 behind its head: addresses and what else the proxy wants to tell.
MOST_OCTETS: Final = 4096
_LOCAL: Final = 0x20
_PROXY: Final = 0x21
#: TCP over IPv4 and IPv6: octets of an address.
_FAMILIES: Final = {0x11: 4, 0x21: 16}


class Client(NamedTuple):
    """Who is behind the proxy."""

    host: str
    port: int


class ProxyError(Exception):
    """The connection does not begin with an announcement that can be understood."""


class Proxies:
    """Addresses and networks that are believed."""

    def __init__(self, named: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(one, strict=False) for one in named]

    def include(self, host: str) -> bool:
        """Whether a connection from there begins with an announcement."""
        if not self._networks:
            return False
        address = ipaddress.ip_address(host.partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._networks)


async def client_of(loop: asyncio.AbstractEventLoop, connected: socket.socket) -> Client | None:
    """The announced client; None where the proxy speaks for itself.

    Takes exactly the announcement: what follows belongs to the connection.

    Raises:
        ProxyError: there is none.
        OSError: the connection is gone.
    """
    head = await _octets(loop, connected, len(SIGNATURE))
    if head == SIGNATURE:
        return await _version_2(loop, connected)
    if not head.startswith(b"PROXY "):
        raise ProxyError("no PROXY announcement")
    while not head.endswith(b"\r\n"):
        if len(head) >= MOST_TEXT:
            raise ProxyError("the PROXY announcement does not end")
        head += await _octets(loop, connected, 1)
    return _version_1(head)


async def _octets(loop: asyncio.AbstractEventLoop, connected: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        more = await loop.sock_recv(connected, count - len(found))
        if not more:
            raise ProxyError("the connection ends before its PROXY announcement")
        found += more
    return found


def _version_1(line: bytes) -> Client | None:
    words = line.decode("ascii", "replace").split()
    if words[1:2] == ["UNKNOWN"]:
        return None
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise ProxyError("the PROXY announcement cannot be understood")
    return _client(words[2], words[4])


def _client(host: str, port: str) -> Client:
    try:
        number = int(port)
        address = ipaddress.ip_address(host)
    except ValueError as error:
        raise ProxyError(f"the PROXY announcement cannot be understood: {error}") from error
    if not 0 <= number <= 0xFFFF:
        raise ProxyError(f"the PROXY announcement names port {number}")
    return Client(str(address), number)


async def _version_2(loop: asyncio.AbstractEventLoop, connected: socket.socket) -> Client | None:
    command, family, *size = await _octets(loop, connected, 4)
    count = int.from_bytes(bytes(size))
    if command not in (_LOCAL, _PROXY) or count > MOST_OCTETS:
        raise ProxyError("the PROXY announcement cannot be understood")
    told = await _octets(loop, connected, count) if count else b""
    width = _FAMILIES.get(family)
    if command == _LOCAL or width is None:
        return None
    if len(told) < 2 * width + 4:
        raise ProxyError("the PROXY announcement is too short")
    host = ipaddress.ip_address(told[:width])
    return Client(str(host), int.from_bytes(told[2 * width : 2 * width + 2]))
