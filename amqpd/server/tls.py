"""TLS with the standard library: the context of a listener."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

from amqpd.server.process import Exit, StartError

if TYPE_CHECKING:
    from amqpd.config import Tls

VERIFY: Final = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}
MINIMUM: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


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


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
