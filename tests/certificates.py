"""Certificates for tests, as files: an authority, and what it signs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from pathlib import Path


class Authority:
    """Signs certificates; everything it makes is written into a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ca = trustme.CA()
        self.file = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(self.file)

    def sign(self, common_name: str) -> tuple[Path, Path]:
        """Certificate and key for 127.0.0.1, as files."""
        signed = self._ca.issue_cert(
            "127.0.0.1",
            common_name=common_name,
            organization_name="Example",
            organization_unit_name="tests",
        )
        certificate, key = (self._folder / f"{common_name}.{kind}" for kind in ("pem", "key"))
        certificate.write_bytes(b"".join(part.bytes() for part in signed.cert_chain_pems))
        signed.private_key_pem.write_to_path(key)
        return certificate, key
