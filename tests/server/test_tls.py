"""TLS: listeners, client certificates, and what is refused."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import pytest
import trustme

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

    assert "reload refused, nothing has changed: TLS: certificate" in caplog.text


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


# -- several certificates -------------------------------------------------------------------


async def subject(port: int, authority: Authority, name: str | None) -> str:
    """The common name of the certificate that a client gets who asks for a host."""
    context = trusting(authority)
    context.check_hostname = False
    _, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname=name or ""
    )
    certificate = writer.get_extra_info("peercert")
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return str(dict(rdn[0] for rdn in certificate["subject"])["commonName"])


async def test_clients_get_the_certificate_of_the_name_they_ask_for(
    tmp_path: Path, authority: Authority
) -> None:
    certificate, key = authority.sign("other")
    both = tmp_path / "both.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    both.chmod(0o600)
    sni = {"Other.example.com": str(both), "*.example.org": str(both)}

    async with over_tls(tmp_path, authority, tls__sni=sni) as broker:
        got = [
            await subject(broker.port, authority, name)
            for name in ("other.example.com", "a.example.org", "a.b.example.org", "x.example", None)
        ]

    assert got == ["other", "other", "server", "server", "server"]


def test_a_certificate_for_another_name_is_checked_at_the_start(
    tmp_path: Path, authority: Authority
) -> None:
    certificate, key = authority.sign("server")

    with pytest.raises(StartError, match=r"no\.pem"):
        tls.context(
            Tls(certificate=str(certificate), key=str(key), sni={"a": str(tmp_path / "no.pem")})
        )


def test_a_key_that_others_can_read_is_warned_of(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    certificate, key = authority.sign("server")
    settings = Tls(certificate=str(certificate), key=str(key))

    key.chmod(0o640)
    tls.context(settings)
    assert caplog.text == ""
    key.chmod(0o644)
    tls.context(settings)
    assert "can be read by others" in caplog.text


# -- their end ------------------------------------------------------------------------------


def test_the_end_of_a_certificate_is_known(tmp_path: Path) -> None:
    ca = trustme.CA()
    ends = {"soon": datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC),
            "late": datetime(2061, 1, 1, tzinfo=UTC)}  # fmt: skip
    files = {}
    for name, end in ends.items():
        files[name] = tmp_path / f"{name}.pem"
        ca.issue_cert(name, not_after=end).private_key_and_cert_chain_pem.write_to_path(
            str(files[name])
        )

    assert tls.ends_s(Tls(certificate=str(files["late"]))) == ends["late"].timestamp()
    both = Tls(certificate=str(files["late"]), sni={"x": str(files["soon"])})
    assert tls.ends_s(both) == ends["soon"].timestamp()
    assert tls.ends_s(Tls()) == float("inf")


@pytest.mark.parametrize(
    ("left_days", "text"),
    [
        (31, ""),
        (29, "TLS: a certificate expires in less than 30 days"),
        (6, "TLS: a certificate expires in less than 7 days"),
        (0.5, "TLS: a certificate expires in less than 1 day"),
        (-1, "TLS: a certificate has expired"),
    ],
)
def test_the_end_is_told_in_time(left_days: float, text: str) -> None:
    assert tls.ends_soon(left_days * 86_400, 0) == text


@pytest.mark.parametrize(
    ("version", "text"),
    [
        ((1, 0, 2, 21, 15), "not maintained"),
        ((1, 1, 1, 23, 15), "not maintained"),
        ((3, 0, 0, 6, 0), "CVE-2022-3602"),
        ((3, 0, 0, 7, 0), ""),
        ((3, 5, 0, 1, 0), ""),
    ],
)
def test_what_is_known_against_a_version_of_openssl_is_told(
    version: tuple[int, ...], text: str
) -> None:
    assert text in tls.weakness(version)
    assert bool(tls.weakness(version)) is bool(text)
