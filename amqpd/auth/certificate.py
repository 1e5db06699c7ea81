"""The user name in a client's certificate, for the SASL mechanism EXTERNAL.

    user_name(certificate, LoginFrom, san_type=…, san_index=…) -> str | None
    distinguished_name(certificate) -> str        RFC 4514, most specific part first

`certificate` is what `ssl.SSLSocket.getpeercert()` returns. It is empty unless the peer's
certificate was verified, so an unverified certificate never names a user. The rules are those
of RabbitMQ's `ssl_cert_login_from`: the distinguished name, the common names joined with
commas, or the n-th alternative name of a type.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    #: As the standard library gives it: tuples of strings, nested, by name.
    Certificate = Mapping[str, object]


class LoginFrom(StrEnum):
    """Which part of the certificate is the name."""

    DISTINGUISHED_NAME = "distinguished_name"
    COMMON_NAME = "common_name"
    SUBJECT_ALTERNATIVE_NAME = "subject_alternative_name"


class SanType(StrEnum):
    """The types of alternative names."""

    DNS = "dns"
    IP = "ip"
    EMAIL = "email"
    URI = "uri"


_SAN_NAMES: Final[Mapping[SanType, str]] = {
    SanType.DNS: "DNS",
    SanType.IP: "IP Address",
    SanType.EMAIL: "email",
    SanType.URI: "URI",
}
#: The short names that RabbitMQ writes; others keep the long one.
_SHORT: Final[Mapping[str, str]] = {
    "commonName": "CN",
    "surname": "SN",
    "givenName": "GIVENNAME",
    "initials": "INITIALS",
    "generationQualifier": "GENERATIONQUALIFIER",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "title": "TITLE",
    "countryName": "C",
    "serialNumber": "SERIALNUMBER",
    "pseudonym": "PSEUDONYM",
    "domainComponent": "DC",
    "emailAddress": "EMAILADDRESS",
    "streetAddress": "STREET",
    "userId": "UID",
}
_ESCAPED: Final = frozenset('"+,;<>\\')


def user_name(
    certificate: Certificate,
    login_from: LoginFrom = LoginFrom.DISTINGUISHED_NAME,
    *,
    san_type: SanType = SanType.DNS,
    san_index: int = 0,
) -> str | None:
    """The name, or None if the certificate has none of that kind (or was not verified)."""
    if login_from is LoginFrom.DISTINGUISHED_NAME:
        return distinguished_name(certificate) or None
    if login_from is LoginFrom.COMMON_NAME:
        names = [
            value for rdn in _subject(certificate) for key, value in rdn if key == "commonName"
        ]
        return ",".join(names) or None
    wanted = _SAN_NAMES[san_type]
    names = [value for key, value in _pairs(certificate.get("subjectAltName")) if key == wanted]
    return names[san_index] if 0 <= san_index < len(names) else None


def distinguished_name(certificate: Certificate) -> str:
    """The subject as text, `CN=client,O=example`; empty if there is none."""
    parts = [
        "+".join(f"{_SHORT.get(key, key)}={_escaped(value)}" for key, value in rdn)
        for rdn in _subject(certificate)
    ]
    return ",".join(reversed(parts))


def _subject(certificate: Certificate) -> Iterable[list[tuple[str, str]]]:
    """The relative distinguished names, each a set of keys and values."""
    subject = certificate.get("subject")
    return [_pairs(rdn) for rdn in subject] if isinstance(subject, tuple) else []


def _pairs(values: object) -> list[tuple[str, str]]:
    if not isinstance(values, tuple):
        return []
    return [(str(key), str(value)) for key, value in values]


def _escaped(value: str) -> str:
    """A value as RFC 4514 writes it; what cannot be printed is written by its octets."""
    written = ""
    for at, character in enumerate(value):
        edge_space = character == " " and at in (0, len(value) - 1)
        if edge_space or (character == "#" and at == 0) or character in _ESCAPED:
            written += f"\\{character}"
        elif not " " <= character < "~":
            written += "".join(f"\\{octet:02X}" for octet in character.encode())
        else:
            written += character
    return written
