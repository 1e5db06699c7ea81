"""The internal backend: the users of the model, by password or by name."""

from __future__ import annotations

import time

import pytest

from amqpd.auth.chain import Accepted, Refused
from amqpd.auth.internal import InternalBackend
from amqpd.auth.passwords import UNUSABLE, hash_password
from amqpd.broker.permissions import User

SHA256, SHA512 = "rabbit_password_hashing_sha256", "rabbit_password_hashing_sha512"
USERS = {
    user.name: user
    for user in (
        User("alice", frozenset({"administrator"}), hash_password("secret"), SHA256),
        User("bob", frozenset(), hash_password("secret", algorithm=SHA512), SHA512),
        User("tls", frozenset({"monitoring"}), UNUSABLE, SHA256),
    )
}


@pytest.fixture
def backend() -> InternalBackend:
    return InternalBackend(USERS.get)


def test_the_right_password_lets_in(backend: InternalBackend) -> None:
    assert backend.login("alice", "secret") == Accepted("alice", frozenset({"administrator"}))
    assert backend.login("bob", "secret") == Accepted("bob")


@pytest.mark.parametrize(
    ("name", "password", "reason"),
    [
        ("alice", "Secret", "wrong password"),
        ("alice", "", "blank passwords are not accepted"),
        ("tls", "", "blank passwords are not accepted"),
        ("tls", "secret", "the user has no password"),
        ("nobody", "secret", "no such user"),
        ("nobody", None, "no such user"),
    ],
)
def test_everybody_else_stays_out(
    backend: InternalBackend, name: str, password: str | None, reason: str
) -> None:
    assert backend.login(name, password) == Refused(reason)


def test_a_name_that_was_proven_needs_no_password(backend: InternalBackend) -> None:
    assert backend.login("tls", None) == Accepted("tls", frozenset({"monitoring"}))


def test_how_long_a_refusal_takes_does_not_tell_whether_the_user_exists(
    backend: InternalBackend,
) -> None:
    def fastest(name: str) -> float:
        taken = []
        for _ in range(20):
            before = time.thread_time()
            backend.login(name, "wrong" * 400_000)
            taken.append(time.thread_time() - before)
        return min(taken)

    # So long that its digest takes milliseconds: without one, it would be microseconds.
    known, unknown = fastest("alice"), fastest("nobody")

    assert min(known, unknown) > 0.5 * max(known, unknown)
