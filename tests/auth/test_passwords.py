"""Password hashes: RabbitMQ's format, and nothing that is not one has a password."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpd.auth.passwords import (
    ALGORITHMS,
    DEFAULT_ALGORITHM,
    UNUSABLE,
    hash_password,
    new_salt,
    verify,
)

SHA512, MD5 = "rabbit_password_hashing_sha512", "rabbit_password_hashing_md5"


def test_a_hash_that_rabbitmq_documents_verifies() -> None:
    # From RabbitMQ's guide on passwords: salt 908DC60A, password test12.
    documented = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"

    assert verify("test12", documented)
    assert not verify("test13", documented)
    assert hash_password("test12", bytes.fromhex("908DC60A")) == documented


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_a_hash_is_salt_and_digest_of_salt_and_password(algorithm: str) -> None:
    stored = base64.b64decode(hash_password("sécret", b"salt", algorithm))

    assert stored[:4] == b"salt"
    digest = hashlib.new(ALGORITHMS[algorithm], b"salt" + "sécret".encode())
    assert stored[4:] == digest.digest()


@given(st.text(min_size=1), st.text(min_size=1), st.sampled_from(sorted(ALGORITHMS)))
def test_only_the_password_itself_verifies(password: str, other: str, algorithm: str) -> None:
    stored = hash_password(password, algorithm=algorithm)

    assert verify(password, stored, algorithm)
    assert verify(other, stored, algorithm) is (password == other)


def test_octets_that_are_no_text_are_a_password_too() -> None:
    password = b"\xff\xfe".decode(errors="surrogateescape")

    assert verify(password, hash_password(password))


def test_every_hash_has_salt_of_its_own() -> None:
    assert hash_password("secret") != hash_password("secret")
    assert len(new_salt()) == 4


def test_a_user_without_algorithm_is_from_before_rabbitmq_3_6() -> None:
    assert verify("secret", hash_password("secret", algorithm=MD5), "")


@pytest.mark.parametrize(
    "stored",
    [UNUSABLE, "=", "not base64!", "AAAA", "é", hash_password("secret", algorithm=SHA512)],
)
def test_what_is_no_hash_has_no_password(stored: str) -> None:
    assert not verify("secret", stored)
    assert not verify("", stored)


def test_an_unknown_algorithm_verifies_nothing() -> None:
    assert not verify("secret", hash_password("secret"), "rot13")


def test_a_blank_password_never_verifies() -> None:
    blank = base64.b64encode(b"salt" + hashlib.sha256(b"salt").digest()).decode()

    assert not verify("", blank)


@pytest.mark.parametrize(
    ("password", "salt", "algorithm", "text"),
    [
        ("", b"salt", DEFAULT_ALGORITHM, "a password must not be blank"),
        ("secret", b"salt", "rot13", "hashing algorithm 'rot13' is not one of"),
        ("secret", b"pepper", DEFAULT_ALGORITHM, "the salt must have 4 octets, not 6"),
    ],
)
def test_what_cannot_be_hashed_is_refused(
    password: str, salt: bytes, algorithm: str, text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        hash_password(password, salt, algorithm)
