"""TLS with the standard library: contexts, and names in clients' certificates."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

from amqpd.server.process import Exit, StartError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amqpd.config import Tls

VERIFY: Final = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}
MINIMUM: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

#: Attribute types of a distinguished name that have a short form (RFC 4514 §3).
SHORT_NAMES: Final = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}
#: Characters that are escaped anywhere in a value (RFC 4514 §2.4).
SPECIAL: Final = frozenset(',+"\\<>;')


def context(settings: Tls) -> ssl.SSLContext:
    """A server's context: TLS 1.2 or newer, forward secrecy, no renegotiation.

    Raises:
        StartError: a file cannot be read or does not fit the other.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = MINIMUM[settings.minimum_version]
    made.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    made.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    try:
        made.load_cert_chain(settings.certificate, settings.key)
    except (OSError, ssl.SSLError) as error:
        raise StartError(
            f"TLS: certificate '{settings.certificate}' with key '{settings.key}': "
            f"{_reason(error)}",
            Exit.CONFIG,
        ) from error
    if settings.ca:
        try:
            made.load_verify_locations(settings.ca)
        except (OSError, ssl.SSLError) as error:
            raise StartError(f"TLS: CA '{settings.ca}': {_reason(error)}", Exit.CONFIG) from error
        # Without a CA nobody's certificate can be checked, so none is asked for.
        made.verify_mode = VERIFY[settings.verify]
    return made


def certificate_user(certificate: Mapping[str, object] | None, login_from: str) -> str | None:
    """The name that a verified certificate (as `getpeercert` gives it) logs in with."""
    subject = (certificate or {}).get("subject")
    if not isinstance(subject, tuple) or not subject:
        return None
    if login_from == "common_name":
        names = [value for part in subject for key, value in part if key == "commonName"]
        return ",".join(names) or None
    parts = ["+".join(f"{SHORT_NAMES.get(k, k)}={_escape(v)}" for k, v in p) for p in subject]
    # The most specific part comes first in the written form (RFC 4514 §2.1).
    return ",".join(reversed(parts))


def _escape(value: str) -> str:
    text = "".join(f"\\{char}" if char in SPECIAL else char for char in value)
    if text.startswith(("#", " ")):
        text = f"\\{text}"
    if text.endswith(" ") and len(value) > 1:
        text = f"{text[:-1]}\\ "
    return text


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
