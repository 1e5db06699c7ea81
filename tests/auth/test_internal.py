"""The internal backend: the users of the model, by password or by name."""

from __future__ import annotations

import time
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import pytest

from amqpd.auth.chain import Accepted, Refused
from amqpd.auth.internal import InternalBackend
from amqpd.auth.passwords import UNUSABLE, hash_password
from amqpd.broker.permissions import User

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")


class Here(Executor):
    """Does everything in the thread that asks."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        done: Future[T] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


THREAD = Here()
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
    return InternalBackend(USERS.get, THREAD)


async def test_the_right_password_lets_in(backend: InternalBackend) -> None:
    assert await backend.login("alice", "secret", "") == Accepted(
        "alice", frozenset({"administrator"})
    )
    assert await backend.login("bob", "secret", "") == Accepted("bob")


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
async def test_everybody_else_stays_out(
    backend: InternalBackend, name: str, password: str | None, reason: str
) -> None:
    assert await backend.login(name, password, "") == Refused(reason)


async def test_a_name_that_was_proven_needs_no_password(backend: InternalBackend) -> None:
    assert await backend.login("tls", None, "") == Accepted("tls", frozenset({"monitoring"}))


async def test_how_long_a_refusal_takes_does_not_tell_whether_the_user_exists(
    backend: InternalBackend,
) -> None:
    async def fastest(name: str) -> float:
        taken = []
        for _ in range(20):
            before = time.thread_time()
            await backend.login(name, "wrong" * 400_000, "")
            taken.append(time.thread_time() - before)
        return min(taken)

    # So long that its digest takes milliseconds: without one, it would be microseconds.
    known, unknown = await fastest("alice"), await fastest("nobody")

    assert min(known, unknown) > 0.5 * max(known, unknown)
