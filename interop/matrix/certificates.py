"""Certificates for the TLS scenarios, made with openssl: an authority, the server, the user."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

DAYS = "3650"


def make(folder: Path) -> Path:
    """`ca.pem`, `server.pem` and `.key`, `client.pem` and `.key` and `.p12`; made once."""
    if (folder / "client.p12").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    _openssl(
        folder,
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", DAYS),
        *("-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=amqpd interop"),
    )
    _signed(folder, "server", "/CN=localhost", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    _signed(folder, "client", "/CN=guest", "extendedKeyUsage=clientAuth")
    _openssl(
        folder,
        *("pkcs12", "-export", "-inkey", "client.key", "-in", "client.pem"),
        *("-out", "client.p12", "-passout", "pass:secret"),
    )
    return folder


def _signed(folder: Path, name: str, subject: str, extension: str) -> None:
    (folder / f"{name}.ext").write_text(f"{extension}\n", encoding="utf-8")
    _openssl(
        folder,
        *("req", "-newkey", "rsa:2048", "-nodes", "-subj", subject),
        *("-keyout", f"{name}.key", "-out", f"{name}.csr"),
    )
    _openssl(
        folder,
        *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key"),
        *("-CAcreateserial", "-days", DAYS, "-out", f"{name}.pem", "-extfile", f"{name}.ext"),
    )


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
