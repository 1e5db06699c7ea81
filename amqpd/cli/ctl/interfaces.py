"""Network interfaces of this machine, as Linux tells them without a library.

interfaces()    {"interface", "hwaddr", "addresses"} of each, by name
"""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: netdevice(7): the IPv4 address of an interface.
SIOCGIFADDR: Final = 0x8915
#: proc(5): the IPv6 addresses of all.
IPV6: Final = Path("/proc/net/if_inet6")
HARDWARE: Final = Path("/sys/class/net")
NAME_BYTES: Final = 16
REQUEST: Final = struct.Struct(f"{NAME_BYTES}s24x")
ADDRESS: Final = slice(20, 24)


def interfaces() -> Iterator[dict[str, str]]:
    """Name, hardware address and addresses of each."""
    newer = _ipv6()
    for _, name in socket.if_nameindex():
        hardware = HARDWARE / name / "address"
        addresses = [*_ipv4(name), *newer.get(name, ())]
        yield {
            "interface": name,
            "hwaddr": hardware.read_text().strip() if hardware.exists() else "",
            "addresses": ", ".join(addresses),
        }


def _ipv4(name: str) -> list[str]:
    request = REQUEST.pack(name.encode()[: NAME_BYTES - 1])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            answer = fcntl.ioctl(asked.fileno(), SIOCGIFADDR, request)
        except OSError:
            return []  # it has none
    return [socket.inet_ntoa(answer[ADDRESS])]


def _ipv6() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in IPV6.read_text().splitlines() if IPV6.exists() else ():
        digits, *_, name = line.split()
        found.setdefault(name, []).append(str(ipaddress.IPv6Address(int(digits, 16))))
    return found
