"""What a connection's TLS came to, in RabbitMQ's names: for events, lists and logs of clients.

    secured(connection, certificate) -> Secured

OpenSSL and Erlang name cipher suites differently: `ECDHE-RSA-AES256-SHA384` is key exchange
`ecdhe_rsa`, cipher `aes_256_cbc` and hash `sha384`. What goes with TLS 1.3 says nothing of the key
exchange (`any`), and ciphers that authenticate by themselves have the hash `aead`.
"""

from __future__ import annotations

import re
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from amqpd.auth.certificate import distinguished_name
from amqpd.broker.session import Secured

if TYPE_CHECKING:
    from amqpd.auth.certificate import Certificate

AEAD: Final = "aead"
ANY: Final = "any"
#: OpenSSL's names: the key exchange, the cipher, and the hash; the first is not there in TLS 1.3.
_SUITE: Final = re.compile(
    r"(?:TLS_|(?P<exchange>(?:EC)?DHE-(?:RSA|ECDSA|DSS|PSK)|PSK|RSA-PSK)-)?"
    r"(?P<cipher>AES_?(?:128|256)(?:[-_](?:GCM|CCM8?))?|CHACHA20[-_]POLY1305"
    r"|(?:CAMELLIA|ARIA)(?:128|256)(?:-(?:GCM|CCM8?))?)"
    r"(?:[-_](?P<hash>SHA\d*))?"
)
_BITS: Final = re.compile(r"(?<=[A-Z])_?(?=128|256)")


def secured(connection: ssl.SSLObject, certificate: Certificate) -> Secured:
    """The facts of a connection whose handshake is over."""
    suite, protocol, _ = connection.cipher() or ("", "", 0)
    exchange, cipher, digest = suite_of(suite)
    return Secured(
        ssl_protocol=protocol.lower(),
        ssl_key_exchange=exchange,
        ssl_cipher=cipher,
        ssl_hash=digest,
        peer_cert_subject=distinguished_name(certificate),
        peer_cert_issuer=distinguished_name({"subject": certificate.get("issuer")}),
        peer_cert_validity=_validity(certificate),
    )


def suite_of(name: str) -> tuple[str, str, str]:
    """Key exchange, cipher and hash of OpenSSL's name of a suite; what is not known stays whole."""
    found = _SUITE.fullmatch(name)
    if found is None:
        return "", name.lower(), ""
    exchange = (found["exchange"] or "").replace("-", "_").lower()
    cipher = _BITS.sub("_", found["cipher"]).replace("-", "_").lower()
    if "_gcm" in cipher or "_ccm" in cipher or "poly1305" in cipher:
        return exchange or (ANY if name.startswith("TLS_") else "rsa"), cipher, AEAD
    return exchange or "rsa", f"{cipher}_cbc", (found["hash"] or "").lower()


def _validity(certificate: Certificate) -> str:
    """From when to when, as RabbitMQ writes it."""
    times = [certificate.get(name) for name in ("notBefore", "notAfter")]
    return " - ".join(
        datetime.fromtimestamp(ssl.cert_time_to_seconds(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for at in times
        if isinstance(at, str)
    )
