"""`amqpd tls`: certificates for a trial."""

from __future__ import annotations

import datetime
import ipaddress
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from amqpd.cli.answer import EX_CANNOT_CREATE, EX_CONFIG, EX_DATA, answer, answers, fail

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

DAY: Final = datetime.timedelta(days=1)
FILES: Final = ("ca.pem", "ca-key.pem", "server.pem", "server-key.pem")


@click.group()
def tls() -> None:
    """Certificates for TLS."""


@tls.command("self-signed")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), default="tls")
@click.option("--host", "hosts", multiple=True, metavar="NAME",
              help="Host name or address of the broker, as clients use it; several times.  "
              "[localhost, 127.0.0.1, ::1]")  # fmt: skip
@click.option("--days", type=click.IntRange(1, 36_500), default=365, help="How long.  [365]")
@click.option("--overwrite", is_flag=True, help="Replace files that are there.")
@answers("ca", "ca_key", "certificate", "key", "hosts", "days")
def self_signed(directory: Path, hosts: tuple[str, ...], days: int, overwrite: bool) -> None:
    """Make an authority and a server certificate in a folder [./tls]; prints the settings."""
    there = [name for name in FILES if (directory / name).exists()]
    if there and not overwrite:
        fail(
            f"'{directory / there[0]}' is there already: choose another folder, or --overwrite",
            EX_DATA,
        )
    hosts = hosts or ("localhost", "127.0.0.1", "::1")
    try:
        made = _make(hosts, days)
    except ImportError:
        fail("certificates are made by 'cryptography': pip install 'amqpd[tls]'", EX_CONFIG)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, octets in zip(FILES, made, strict=True):
            _write(directory / name, octets)
    except OSError as error:
        step = "choose a folder that you may write to"
        fail(f"'{error.filename}': {error.strerror}; {step}", EX_CANNOT_CREATE)
    where = directory.resolve()
    files = dict(zip(("ca", "ca_key", "certificate", "key"), FILES, strict=True))
    facts = {name: str(where / file) for name, file in files.items()}
    answer({**facts, "hosts": list(hosts), "days": days}, *_settings(where))


def _write(path: Path, octets: bytes) -> None:
    """Write a file for nobody else, from its first moment on."""
    path.unlink(missing_ok=True)
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(opened, "wb") as file:
        file.write(octets)


def _settings(directory: Path) -> list[str]:
    ca, _, certificate, key = (str(directory / name) for name in FILES)
    return [
        f"made in {directory}: {', '.join(FILES)}",
        "",
        f"start it:    amqpd --tls-port 5671 --tls-cert {certificate} --tls-key {key}",
        "or settings: [amqp]",
        "             tls_port = 5671",
        "             [tls]",
        f'             certificate = "{certificate}"',
        f'             key = "{key}"',
        "try it:      amqpd publish --uri amqps://guest:guest@localhost:5671 "
        f"--ca {ca} --queue orders hello",
        f"clients:     trust {ca}",
        f"{FILES[1]} signs more certificates: keep it, or delete it",
    ]


def _make(hosts: tuple[str, ...], days: int) -> tuple[bytes, bytes, bytes, bytes]:
    """Certificate and key of the authority, and of the server, in PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def pem(key: EllipticCurvePrivateKey) -> bytes:
        return key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = name("amqpd self-signed CA")
    identifier = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())
    ca = (
        _builder(ca_name, ca_name, ca_key, days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(ca_key, _digest())
    )
    server = (
        _builder(name(hosts[0]), ca_name, key, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([_known_as(one) for one in hosts]), False)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), False
        )
        .sign(ca_key, _digest())
    )
    encoding = serialization.Encoding.PEM
    return ca.public_bytes(encoding), pem(ca_key), server.public_bytes(encoding), pem(key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    from cryptography import x509

    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # Clocks differ.
        .not_valid_before(now - DAY)
        .not_valid_after(now + days * DAY)
    )


def _digest() -> hashes.SHA256:
    from cryptography.hazmat.primitives import hashes

    return hashes.SHA256()


def _usage(*, signs: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _known_as(host: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
