"""Load balancers that announce clients (PROXY protocol): believed if they are named, not else."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from amqpd.server.proxied import SIGNATURE, Client, Proxies, ProxyError, client_of
from tests.fuzz import octets
from tests.server.running import running
from tests.server.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.server.running import Running

FAR = b"PROXY TCP4 192.0.2.7 203.0.113.1 4711 5672\r\n"
ADDRESSES = socket.inet_aton("192.0.2.7") + socket.inet_aton("203.0.113.1") + b"\x12\x67\x16\x28"
FAR_2 = SIGNATURE + b"\x21\x11\x00\x0c" + ADDRESSES
SIX = socket.inet_pton(socket.AF_INET6, "2001:db8::7") * 2 + b"\x12\x67\x16\x28"


async def announced(*pieces: bytes, ends: bool = False) -> tuple[Client | None, bytes]:
    """What is taken for the client, and what is left for the connection."""
    loop = asyncio.get_running_loop()
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        task = asyncio.ensure_future(client_of(loop, here))
        for piece in pieces:
            there.sendall(piece)
            await asyncio.sleep(0)
        if ends:
            there.shutdown(socket.SHUT_WR)
        client = await task
        there.sendall(b".")
        return client, here.recv(1000)


@pytest.mark.parametrize(
    ("announcement", "client"),
    [
        (FAR, Client("192.0.2.7", 4711)),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 1 2\r\n", Client("2001:db8::7", 1)),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN ff:ff::1 ff:ff::2 65535 65535\r\n", None),
        (FAR_2, Client("192.0.2.7", 4711)),
        (SIGNATURE + b"\x21\x11\x00\x13" + ADDRESSES + b"\x04\0\4abcd", Client("192.0.2.7", 4711)),
        (SIGNATURE + b"\x21\x21\x00\x24" + SIX, Client("2001:db8::7", 4711)),
        (SIGNATURE + b"\x20\x00\x00\x00", None),
        (SIGNATURE + b"\x21\x31\x00\x01x", None),
    ],
)  # fmt: skip
async def test_what_is_announced_is_the_client_and_nothing_else_is_taken(
    announcement: bytes, client: Client | None
) -> None:
    for cut in (len(announcement), 1, 7, len(announcement) - 1):
        pieces = (announcement[:cut], announcement[cut:] + b"AMQP")

        assert await announced(*pieces) == (client, b"AMQP.")


@pytest.mark.parametrize(
    "announcement",
    [
        octets.HEADER + octets.start_ok(),
        b"PROXY TCP4 192.0.2.7 203.0.113.1 4711\r\n",
        b"PROXY TCP4 somewhere 203.0.113.1 4711 5672\r\n",
        b"PROXY TCP4 192.0.2.7 203.0.113.1 99999 5672\r\n",
        b"PROXY TCP4 192.0.2.7 203.0.113.1 x 5672\r\n",
        b"PROXY UDP4 192.0.2.7 203.0.113.1 4711 5672\r\n",
        b"PROXY " + b"x" * 200,
        SIGNATURE + b"\x31\x11\x00\x0c" + ADDRESSES,
        SIGNATURE + b"\x21\x11\xff\xff" + ADDRESSES,
        SIGNATURE + b"\x21\x11\x00\x04" + ADDRESSES[:4],
        SIGNATURE[:5],
        b"",
    ],
)
async def test_what_cannot_be_understood_is_refused(announcement: bytes) -> None:
    with pytest.raises(ProxyError):
        await announced(announcement, ends=True)


def test_networks_and_addresses_of_both_kinds_are_named() -> None:
    proxies = Proxies(("10.0.0.0/8", "2001:db8::1"))

    assert proxies.include("10.1.2.3")
    assert proxies.include("::ffff:10.1.2.3")
    assert proxies.include("2001:db8::1")
    assert not proxies.include("192.0.2.1")
    assert not proxies.include("2001:db8::2%eth0")
    assert not Proxies(()).include("10.1.2.3")


async def logged_in(broker: Running, *begin: bytes) -> bytes:
    """Say something before the handshake; all that is heard until the broker closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
    writer.write(
        b"".join((*begin, *octets.handshake(), octets.method(0, 10, 50, b"\0\xc8\0\0\0\0\0")))
    )
    try:
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_who_is_announced_counts_for_rules_about_addresses(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with running(tmp_path, amqp__proxies="127.0.0.1") as broker:
        near = await logged_in(broker, b"PROXY TCP4 127.0.0.1 127.0.0.1 4711 5672\r\n")
        far = await logged_in(broker, FAR_2)
        nobody = await logged_in(broker)
        await until(lambda: not broker.server.room.connections)

    # guest may log in from this machine only, wherever the proxy is.
    assert octets.close_codes(near) == []
    assert b"\0\x0a\0\x33" in near
    assert b"\0\x0a\0\x33" not in far
    assert nobody == b""
    assert "192.0.2.7:4711" in caplog.text
    assert "no PROXY announcement" in caplog.text


async def test_who_is_not_named_is_not_believed(tmp_path: Path) -> None:
    async with running(tmp_path, amqp__proxies="192.0.2.0/24") as broker:
        spoofed = await logged_in(broker, FAR)
        plain = await logged_in(broker)

    assert spoofed == octets.HEADER
    assert b"\0\x0a\0\x33" in plain


async def test_those_that_are_not_announced_are_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amqpd.server.listener.MOST_ANNOUNCING", 1)
    async with running(tmp_path, amqp__proxies="127.0.0.1") as broker:
        first, writer = await asyncio.open_connection("127.0.0.1", broker.port)
        listener = broker.server.ports.listeners[0]
        await until(lambda: len(listener._announcing) == 1)

        second, other = await asyncio.open_connection("127.0.0.1", broker.port)

        assert await second.read() == b""
        assert not first.at_eof()
        for one in (writer, other):
            one.close()


async def test_a_proxy_that_announces_nobody_is_cut_off_when_the_broker_stops(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, amqp__proxies="127.0.0.1") as broker:
        reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
        listener = broker.server.ports.listeners[0]
        await until(lambda: len(listener._announcing) == 1)

        await broker.stop()

        assert await reader.read() == b""
        writer.close()
