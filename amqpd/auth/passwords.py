"""Password hashes as RabbitMQ stores them, so that definitions move either way.

    hash_password(password, salt, algorithm) -> str       base64 of salt and digest
    verify(password, password_hash, algorithm) -> bool    constant time; never raises
    refusal_of(password, least_bytes, pattern) -> str     why it may not be a new one
    new_salt() -> bytes
    ALGORITHMS   DEFAULT_ALGORITHM   UNUSABLE

The hash is base64(salt + digest(salt + password)) with four octets of salt. That is one round
of SHA-2: the format decides it, not this module, which is why passwords should be long.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from typing import TYPE_CHECKING, Final

from amqpd.broker.pattern import compile_pattern

if TYPE_CHECKING:
    from collections.abc import Mapping

SALT_BYTES: Final = 4
#: RabbitMQ's names, found in its definitions, and the digests they stand for.
ALGORITHMS: Final[Mapping[str, str]] = {
    "rabbit_password_hashing_sha256": "sha256",
    "rabbit_password_hashing_sha512": "sha512",
    "rabbit_password_hashing_md5": "md5",
}
DEFAULT_ALGORITHM: Final = "rabbit_password_hashing_sha256"
#: Users without an algorithm come from before RabbitMQ 3.6.
OLDEST_ALGORITHM: Final = "rabbit_password_hashing_md5"
#: A hash that no password has: the user logs in with a certificate or not at all.
UNUSABLE: Final = ""


def new_salt() -> bytes:
    """Salt for one hash."""
    return os.urandom(SALT_BYTES)


def hash_password(
    password: str, salt: bytes | None = None, algorithm: str = DEFAULT_ALGORITHM
) -> str:
    """The hash to store; with fresh salt unless some is given.

    Raises:
        ValueError: the password is blank, the algorithm unknown, or the salt not four octets.
    """
    if not password:
        raise ValueError("a password must not be blank")
    if algorithm not in ALGORITHMS:
        raise ValueError(f"hashing algorithm '{algorithm}' is not one of {', '.join(ALGORITHMS)}")
    salt = new_salt() if salt is None else salt
    if len(salt) != SALT_BYTES:
        raise ValueError(f"the salt must have {SALT_BYTES} octets, not {len(salt)}")
    return base64.b64encode(salt + _digest(ALGORITHMS[algorithm], salt, password)).decode()


def verify(password: str, password_hash: str, algorithm: str = DEFAULT_ALGORITHM) -> bool:
    """Whether this is the password; a blank one never is, nor does a broken hash have one."""
    digest_name = ALGORITHMS.get(algorithm or OLDEST_ALGORITHM)
    try:
        stored = base64.b64decode(password_hash, validate=True)
    except (binascii.Error, ValueError):
        stored = b""
    salt, expected = stored[:SALT_BYTES].ljust(SALT_BYTES, b"\0"), stored[SALT_BYTES:]
    # Hashed in any case: how long a refusal takes must not tell whether the user exists.
    digest = _digest(digest_name or "sha256", salt, password)
    equal = hmac.compare_digest(digest, expected)
    return equal and digest_name is not None and password != ""


def _digest(name: str, salt: bytes, password: str) -> bytes:
    octets = salt + password.encode(errors="surrogateescape")
    # MD5 is there for hashes made before RabbitMQ 3.6; nothing here makes a new one by default.
    return hashlib.new(name, octets, usedforsecurity=name != "md5").digest()


def refusal_of(password: str, least_bytes: int, pattern: str) -> str:
    """Why a new password is not one to have, in RabbitMQ's words; empty: it is fine."""
    if len(password.encode(errors="surrogateescape")) < least_bytes:
        return f"minimum required password length is {least_bytes}"
    if pattern and not compile_pattern(pattern).matches(password):
        return "provided password does not match the validator regular expression"
    return ""
