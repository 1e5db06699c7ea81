"""TLS with the standard library: the context of a listener, and when its certificates end.

    context(settings) -> SSLContext
    for_browsers(settings) -> SSLContext    the same, and no certificate is asked for
    weakness(version) -> str            what is known against a version of OpenSSL
    ends_s(settings) -> float           when the first of its certificates ends
    ends_soon(ends_s, now_s) -> str     what to say about that, if anything

One listener may have several certificates: `tls.sni` names those for other host names, and
clients get the one of the name they ask for.
"""

from __future__ import annotations

import logging
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from amqpd.server.process import Exit, StartError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amqpd.config import Tls

LOG = logging.getLogger("amqpd.server")

VERIFY: Final = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}
MINIMUM: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
#: Days before the end of a certificate at which to speak of it.
DAYS: Final = (1, 7, 30)
DAY_S: Final = 86_400
#: Bits of a key file's mode that let others than its owner and group at it.
OTHERS: Final = 0o027

_SEQUENCE: Final = 0x30
_UTC_TIME: Final = 0x17


def weakness(version: tuple[int, ...] = ssl.OPENSSL_VERSION_INFO) -> str:
    """What is known against this version of OpenSSL, if anything."""
    if version < (1, 1, 1):
        return "has no TLS 1.3 and is not maintained"
    if version < (3, 0):
        return "is not maintained any more"
    if version < (3, 0, 0, 7):
        return "overflows its stack on names in certificates (CVE-2022-3602)"
    return ""


def context(settings: Tls) -> ssl.SSLContext:
    """A server's context: TLS 1.2 or newer, forward secrecy, no renegotiation.

    Raises:
        StartError: a file cannot be read or does not fit the other.
    """
    known = weakness()
    if known:
        LOG.warning("TLS: %s %s", ssl.OPENSSL_VERSION, known)
    made = _context(settings, settings.certificate, settings.key)
    others = {name.lower(): _context(settings, file, file) for name, file in settings.sni.items()}
    if others:

        def choose(connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
            wanted = (name or "").lower()
            found = others.get(wanted) or others.get(f"*.{wanted.partition('.')[2]}")
            if found is not None:
                connection.context = found

        made.sni_callback = choose
    return made


def for_browsers(settings: Tls) -> ssl.SSLContext:
    """A server's context for HTTP: who comes logs in with a password.

    Raises:
        StartError: as `context`.
    """
    return context(msgspec.structs.replace(settings, ca="", crl="", verify="none"))


def _context(settings: Tls, certificate: str, key: str) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = MINIMUM[settings.minimum_version]
    made.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    made.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    try:
        made.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise StartError(
            f"TLS: certificate '{certificate}' with key '{key}': {_reason(error)}", Exit.CONFIG
        ) from error
    mode = Path(key).stat().st_mode
    if mode & OTHERS:
        LOG.warning("TLS: key '%s' can be read by others: chmod 600 it", key)
    if settings.ca:
        try:
            made.load_verify_locations(settings.ca)
        except (OSError, ssl.SSLError) as error:
            raise StartError(f"TLS: CA '{settings.ca}': {_reason(error)}", Exit.CONFIG) from error
        if settings.crl:
            _refuse_revoked(made, settings.crl)
        # Without a CA nobody's certificate can be checked, so none is asked for.
        made.verify_mode = VERIFY[settings.verify]
    return made


def _refuse_revoked(made: ssl.SSLContext, crl: str) -> None:
    """Take nobody whose certificate is in a list of revoked ones, or whose signer has no list.

    A list that is too old counts as none, so that nobody gets by on yesterday's.
    """
    before = made.cert_store_stats()
    try:
        made.load_verify_locations(crl)
    except (OSError, ssl.SSLError) as error:
        raise StartError(f"TLS: CRL '{crl}': {_reason(error)}", Exit.CONFIG) from error
    after = made.cert_store_stats()
    if after["crl"] == before["crl"]:
        raise StartError(f"TLS: CRL '{crl}': no list of revoked certificates", Exit.CONFIG)
    if after["x509"] != before["x509"]:
        # Whoever may write lists would say whom to trust.
        raise StartError(f"TLS: CRL '{crl}': has certificates, which belong into 'ca'", Exit.CONFIG)
    made.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


# -- the end of certificates -----------------------------------------------------------------


def ends_s(settings: Tls) -> float:
    """When the first of the certificates ends, in seconds since the epoch; inf: there are none."""
    files = (settings.certificate, *settings.sni.values())
    return min((_ends_s(Path(file)) for file in files if file), default=float("inf"))


def ends_soon(ends_s: float, now_s: float) -> str:
    """What to say at this moment, if anything: it changes 30, 7 and 1 days before the end."""
    left_s = ends_s - now_s
    if left_s <= 0:
        return "TLS: a certificate has expired"
    for days in DAYS:
        if left_s <= days * DAY_S:
            return f"TLS: a certificate expires in less than {days} day{'s' * (days > 1)}"
    return ""


def _ends_s(file: Path) -> float:
    """The end of the first certificate in a PEM file that the library could read."""
    text = file.read_text(errors="replace")
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    pem = begin + text.partition(begin)[2].partition(end)[0] + end
    certificate = next(_elements(ssl.PEM_cert_to_DER_cert(pem)))[1]
    fields = [value for kind, value in _elements(next(_elements(certificate))[1])
              if kind == _SEQUENCE]  # fmt: skip
    # In order: the algorithm of the signature, the issuer, the validity (RFC 5280 §4.1).
    _, (kind, octets) = _elements(fields[2])
    digits = octets.decode().rstrip("Z")
    if kind == _UTC_TIME:
        digits = ("20" if digits < "50" else "19") + digits
    return datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp()


def _elements(octets: bytes) -> Iterator[tuple[int, bytes]]:
    """The elements of DER: tag and content of each."""
    at = 0
    while at < len(octets):
        kind, size = octets[at], octets[at + 1]
        at += 2
        if size & 0x80:
            count = size & 0x7F
            size = int.from_bytes(octets[at : at + count], "big")
            at += count
        yield kind, octets[at : at + size]
        at += size
