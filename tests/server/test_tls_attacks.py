"""TLS from outside, with OpenSSL's own client: versions, suites, certificates, and what floods."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import ssl
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.certificates import Authority
from tests.server.running import running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from amqpd.config import Value
    from tests.server.running import Running

OPENSSL = shutil.which("openssl") or "openssl"


@contextlib.asynccontextmanager
async def over_tls(folder: Path, **flags: Value) -> AsyncIterator[Running]:
    certificate, key = Authority(folder).sign("server")
    files: dict[str, Value] = {"tls__certificate": str(certificate), "tls__key": str(key)}
    async with running(folder, None, **files, amqp__port="off", amqp__tls_port=0, **flags) as it:
        yield it


async def s_client(port: int, *options: str, said: bytes = b"") -> str:
    """What OpenSSL's client prints."""

    def run() -> str:
        done = subprocess.run(
            [OPENSSL, "s_client", "-connect", f"127.0.0.1:{port}", *options],
            input=said,
            capture_output=True,
            timeout=20,
            check=False,
        )
        return (done.stdout + done.stderr).decode(errors="replace")

    return await asyncio.to_thread(run)


@pytest.mark.parametrize(
    ("options", "agreed"),
    [
        (("-tls1_3",), True),
        (("-tls1_2",), True),
        (("-tls1_2", "-cipher", "ECDHE+AESGCM"), True),
        (("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), False),
        (("-tls1", "-cipher", "ALL:@SECLEVEL=0"), False),
        (("-tls1_2", "-cipher", "AES128-SHA256:@SECLEVEL=0"), False),
        (("-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES128-SHA"), False),
        (("-tls1_2", "-cipher", "aNULL:eNULL:@SECLEVEL=0"), False),
        (("-tls1_2", "-cipher", "DHE+AESGCM"), False),
    ],
    ids=str,
)
async def test_14_old_versions_and_weak_suites_are_refused(
    tmp_path: Path, options: tuple[str, ...], agreed: bool
) -> None:
    async with over_tls(tmp_path) as broker:
        printed = await s_client(broker.port, *options)

    cipher = [line for line in printed.splitlines() if ", Cipher is " in line]
    assert any("(NONE)" not in line for line in cipher) is agreed, printed


async def handshake(port: int, context: ssl.SSLContext) -> bool:
    """Whether the broker talks AMQP over it in the end (TLS 1.3 refuses only then)."""
    try:
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            writer.write(b"AMQP\x00\x00\x09\x01")
            octets = await reader.read(1)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            return octets == b"\x01"
    except (OSError, ssl.SSLError):
        return False


class Clients:
    """Contexts of clients: certificates of the right authority and of others."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        self.file = folder / "clients.pem"
        self.authority.cert_pem.write_to_path(self.file)

    def plain(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.folder / "ca.pem"))

    def showing(self, certificate: trustme.LeafCert) -> ssl.SSLContext:
        context = self.plain()
        certificate.configure_cert(context)
        return context


@pytest.mark.parametrize("verify", ["required", "optional"])
async def test_14_clients_show_a_certificate_of_the_right_authority_or_none_that_counts(
    tmp_path: Path, verify: str
) -> None:
    clients = Clients(tmp_path)
    good = clients.authority.issue_cert("client@example.org")
    expired = clients.authority.issue_cert(
        "client@example.org", not_after=datetime(2020, 1, 1, tzinfo=UTC)
    )
    other = trustme.CA().issue_cert("client@example.org")
    child = trustme.CA().create_child_ca().issue_cert("client@example.org")
    flags: dict[str, Value] = {"tls__ca": str(clients.file), "tls__verify": verify}
    async with over_tls(tmp_path, **flags) as broker:
        assert await handshake(broker.port, clients.showing(good))
        assert await handshake(broker.port, clients.plain()) is (verify == "optional")
        for bad in (expired, other, child):
            assert not await handshake(broker.port, clients.showing(bad))


async def test_41_renegotiation_is_refused(tmp_path: Path) -> None:
    async with over_tls(tmp_path) as broker:
        printed = await s_client(broker.port, "-tls1_2", said=b"R\n" + b"x" * 10)

    assert "RENEGOTIATING" in printed
    assert "no renegotiation" in printed or "handshake failure" in printed or "error" in printed
    assert "verify return" not in printed.partition("RENEGOTIATING")[2]


async def test_41_a_flood_of_key_updates_costs_nothing_much(tmp_path: Path) -> None:
    async with over_tls(tmp_path, amqp__handshake_timeout_s=5) as broker:
        before = _resident_bytes()
        process = await asyncio.create_subprocess_exec(
            OPENSSL, "s_client", "-connect", f"127.0.0.1:{broker.port}", "-tls1_3",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert process.stdin is not None
        with contextlib.suppress(ConnectionError):
            for _ in range(300):
                process.stdin.write(b"k\n")
                await process.stdin.drain()
                await asyncio.sleep(0)
        process.stdin.close()
        await process.wait()

        assert _resident_bytes() - before < 16 << 20
        # Others are served as before.
        assert await handshake(broker.port, _trusting(tmp_path))


def _trusting(folder: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(folder / "ca.pem"))


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
