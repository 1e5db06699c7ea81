"""TLS: listeners, client certificates, and what is refused."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING

import msgspec
import pytest

from amqpd.amqp.frames import PROTOCOL_HEADER
from amqpd.broker.definitions import PutPermission, PutUser
from amqpd.config import Tls
from amqpd.server import tls
from amqpd.server.process import Exit, StartError
from tests.certificates import Authority
from tests.server.running import running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from amqpd.config import Value
    from tests.server.running import Running


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Whom both ends trust."""
    return Authority(tmp_path)


@contextlib.asynccontextmanager
async def over_tls(tmp_path: Path, authority: Authority, **flags: Value) -> AsyncIterator[Running]:
    """A broker that listens with TLS only."""
    certificate, key = authority.sign("server")
    files: dict[str, Value] = {"tls__certificate": str(certificate), "tls__key": str(key)}
    async with running(tmp_path, None, **files, amqp__port="off", amqp__tls_port=0, **flags) as it:
        yield it


def trusting(authority: Authority) -> ssl.SSLContext:
    """A client that believes the authority."""
    return ssl.create_default_context(cafile=str(authority.file))


async def start_frame(port: int, context: ssl.SSLContext) -> bytes:
    """What the broker says first."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    writer.write(PROTOCOL_HEADER)
    try:
        head = await reader.readexactly(7)
        return head + await reader.readexactly(int.from_bytes(head[3:7], "big") + 1)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_clients_speak_amqp_over_tls(tmp_path: Path, authority: Authority) -> None:
    async with over_tls(tmp_path, authority) as broker:
        started = broker.started.result()

        assert started.listeners[0].uri.startswith("amqps://")
        start = await start_frame(broker.port, trusting(authority))

    assert b"PLAIN" in start
    assert b"EXTERNAL" not in start


async def test_external_is_offered_to_clients_with_a_certificate(
    tmp_path: Path, authority: Authority
) -> None:
    context = trusting(authority)
    context.load_cert_chain(*authority.sign("shop"))

    async with over_tls(tmp_path, authority, tls__ca=str(authority.file)) as broker:
        start = await start_frame(broker.port, context)

    assert b"EXTERNAL" in start


async def test_a_certificate_logs_in_as_the_name_in_it(
    tmp_path: Path, authority: Authority
) -> None:
    context = trusting(authority)
    context.load_cert_chain(*authority.sign("shop"))
    async with over_tls(tmp_path, authority, tls__ca=str(authority.file)) as broker:
        name = "CN=shop,OU=tests,O=Example"
        broker.server.broker.change(PutUser(name, "", "", ()))
        broker.server.broker.change(PutPermission(name, "/", ".*", ".*", ".*"))
        reader, writer = await asyncio.open_connection("127.0.0.1", broker.port, ssl=context)
        writer.write(PROTOCOL_HEADER)
        await reader.readuntil(b"\xce")

        # connection.start-ok: no properties, EXTERNAL, an empty response, en_US.
        payload = b"\0\x0a\0\x0b" + bytes(4) + b"\x08EXTERNAL" + bytes(4) + b"\x05en_US"
        writer.write(b"\x01\0\0" + len(payload).to_bytes(4, "big") + payload + b"\xce")
        head = await reader.readexactly(11)

        assert head[7:11] == b"\0\x0a\0\x1e", "connection.tune"
        writer.close()


async def test_a_required_certificate_is_required(tmp_path: Path, authority: Authority) -> None:
    flags: dict[str, Value] = {"tls__ca": str(authority.file), "tls__verify": "required"}
    async with over_tls(tmp_path, authority, **flags) as broker:
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            await start_frame(broker.port, trusting(authority))


async def test_a_silent_handshake_is_cut_off(tmp_path: Path, authority: Authority) -> None:
    async with over_tls(tmp_path, authority, tls__handshake_timeout_s=0.05) as broker:
        reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)

        with contextlib.suppress(ConnectionError):
            assert await reader.read(1) == b""

        assert broker.server.room.handshakes == 0
        assert broker.server.room.connections == 0
        writer.close()


async def test_plain_text_on_the_tls_port_is_refused(tmp_path: Path, authority: Authority) -> None:
    async with over_tls(tmp_path, authority) as broker:
        reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
        writer.write(PROTOCOL_HEADER)

        with contextlib.suppress(ConnectionError):
            # A TLS alert at most, nothing of AMQP.
            assert b"AMQP" not in await reader.read(-1)
        writer.close()


async def test_a_reload_takes_a_new_certificate(tmp_path: Path, authority: Authority) -> None:
    async with over_tls(tmp_path, authority) as broker:
        other = Authority(tmp_path / ".")
        other.sign("server")
        broker.server.reload()

        assert b"PLAIN" in await start_frame(broker.port, trusting(other))


async def test_a_broken_certificate_does_not_replace_the_old_one(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    async with over_tls(tmp_path, authority) as broker:
        (tmp_path / "server.pem").write_text("broken")
        broker.server.reload()

        assert b"PLAIN" in await start_frame(broker.port, trusting(authority))

    assert "the old certificate stays" in caplog.text


@pytest.mark.parametrize("part", ["certificate", "key", "ca"])
def test_a_file_that_is_no_certificate_is_named(
    tmp_path: Path, authority: Authority, part: str
) -> None:
    certificate, key = authority.sign("server")
    broken = tmp_path / "broken"
    broken.write_text("broken")
    files = {"certificate": certificate, "key": key, "ca": authority.file, part: broken}

    with pytest.raises(StartError, match=str(broken)) as caught:
        tls.context(msgspec.convert({k: str(file) for k, file in files.items()}, Tls))

    assert caught.value.code == Exit.CONFIG


def test_old_tls_is_refused(authority: Authority) -> None:
    certificate, key = authority.sign("server")

    context = tls.context(Tls(certificate=str(certificate), key=str(key)))

    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert all("DHE" in one["name"] or "TLS_" in one["name"] for one in context.get_ciphers())
