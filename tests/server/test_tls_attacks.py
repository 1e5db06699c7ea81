"""TLS from outside, with OpenSSL's own client: versions, suites, certificates, and what floods."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme

from amqpd.config import Tls
from amqpd.server import tls
from amqpd.server.process import Exit, StartError
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


async def test_14_a_certificate_counts_from_its_first_day_on(tmp_path: Path) -> None:
    clients = Clients(tmp_path)
    early = clients.authority.issue_cert(
        "client@example.org", not_before=datetime.now(UTC) + timedelta(days=1)
    )
    async with over_tls(tmp_path, tls__ca=str(clients.file)) as broker:
        assert not await handshake(broker.port, clients.showing(early))


class Revoking:
    """An authority that revokes what it has signed, with OpenSSL's own program."""

    def __init__(self, clients: Clients, *dates: str) -> None:
        self._clients = clients
        self.folder = clients.folder / "crl"
        self.folder.mkdir()
        self.crl = self.folder / "crl.pem"
        self._dates = dates
        clients.authority.private_key_pem.write_to_path(self.folder / "ca.key")
        (self.folder / "index").touch()
        (self.folder / "number").write_text("01")
        (self.folder / "ca.cnf").write_text(
            f"[ca]\ndefault_ca = own\n[own]\ndatabase = {self.folder}/index\n"
            f"crlnumber = {self.folder}/number\ndefault_md = sha256\n"
            "default_crl_days = 30\nunique_subject = no\n"
        )
        self.write()

    def _ca(self, *options: str) -> None:
        subprocess.run(
            [OPENSSL, "ca", "-config", str(self.folder / "ca.cnf"),
             "-keyfile", str(self.folder / "ca.key"), "-cert", str(self._clients.file), *options],
            check=True, capture_output=True,
        )  # fmt: skip

    def write(self) -> None:
        self._ca("-gencrl", "-out", str(self.crl), *self._dates)

    def revoke(self, certificate: trustme.LeafCert) -> None:
        file = self.folder / "revoked.pem"
        certificate.cert_chain_pems[0].write_to_path(file)
        self._ca("-revoke", str(file))
        self.write()


async def test_14_a_certificate_that_was_revoked_counts_no_more(tmp_path: Path) -> None:
    clients = Clients(tmp_path)
    revoking = Revoking(clients)
    good, bad = (clients.authority.issue_cert("client@example.org") for _ in range(2))
    revoking.revoke(bad)
    flags: dict[str, Value] = {"tls__ca": str(clients.file), "tls__crl": str(revoking.crl)}
    async with over_tls(tmp_path, **flags) as broker:
        assert await handshake(broker.port, clients.showing(good))
        assert await handshake(broker.port, clients.plain())
        assert not await handshake(broker.port, clients.showing(bad))

        revoking.revoke(good)
        assert await handshake(broker.port, clients.showing(good))
        broker.server.reload()

        assert not await handshake(broker.port, clients.showing(good))


async def test_14_without_a_list_of_today_nobody_is_known_not_to_be_revoked(
    tmp_path: Path,
) -> None:
    clients, others = Clients(tmp_path), tmp_path / "others"
    others.mkdir()
    overdue = ("-crl_lastupdate", "20200101000000Z", "-crl_nextupdate", "20200201000000Z")
    for crl in (Revoking(clients, *overdue).crl, Revoking(Clients(others)).crl):
        flags: dict[str, Value] = {"tls__ca": str(clients.file), "tls__crl": str(crl)}
        async with over_tls(tmp_path, **flags) as broker:
            good = clients.authority.issue_cert("client@example.org")
            assert not await handshake(broker.port, clients.showing(good))
            assert await handshake(broker.port, clients.plain())


@pytest.mark.parametrize("wrong", ["certificates", "nothing", "both"])
def test_14_a_list_of_revoked_certificates_is_one_and_nothing_else(
    tmp_path: Path, wrong: str
) -> None:
    clients = Clients(tmp_path)
    listed = Revoking(clients).crl.read_text()
    file = tmp_path / "wrong.pem"
    added = trustme.CA().cert_pem.bytes().decode()
    file.write_text({"certificates": added, "nothing": "", "both": listed + added}[wrong])
    certificate, key = Authority(tmp_path).sign("server")
    settings = Tls(str(certificate), str(key), ca=str(clients.file), crl=str(file))

    with pytest.raises(StartError, match=f"TLS: CRL '{file}': ") as refused:
        tls.context(settings)

    assert refused.value.code is Exit.CONFIG


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
