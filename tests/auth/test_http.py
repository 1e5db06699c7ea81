"""The HTTP backend, against a service that is really there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest

from amqpd.auth.chain import Accepted, Refused
from amqpd.auth.http import HttpBackend, ServiceError
from amqpd.auth.remote import Who
from amqpd.auth.settings import HttpAuth
from amqpd.broker.access import Question
from tests.auth.service import Service, a_service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

ALICE = Who("alice", frozenset({"b", "a"}), "192.0.2.1")


def never(work: Coroutine[object, object, None]) -> None:
    """Nothing is started in the background here."""
    raise AssertionError(work)


def settings(service: Service, method: Literal["get", "post"] = "get") -> HttpAuth:
    return HttpAuth(
        http_method=method,
        user_path=service.path("user"),
        vhost_path=service.path("vhost"),
        resource_path=service.path("resource"),
        topic_path=service.path("topic"),
        request_timeout_s=2,
    )


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with a_service() as made:
        yield made


@pytest.fixture(params=["get", "post"])
async def backend(service: Service, request: pytest.FixtureRequest) -> AsyncIterator[HttpBackend]:
    made = HttpBackend(settings(service, request.param), never, 15)
    yield made
    await made.close()


async def test_a_user_comes_with_the_tags_behind_allow(
    service: Service, backend: HttpBackend
) -> None:
    service.answers["user"] = "allow management  policymaker\n"

    accepted = await backend.login("al ice&x=1", "se=cret&", "192.0.2.1")

    assert isinstance(accepted, Accepted)
    assert accepted.name == "al ice&x=1"
    assert accepted.tags == {"management", "policymaker"}
    ((_, path, parameters),) = service.asked
    assert (path, parameters) == ("user", {"username": "al ice&x=1", "password": "se=cret&"})


async def test_whoever_is_proven_otherwise_is_asked_for_by_name(
    service: Service, backend: HttpBackend
) -> None:
    await backend.login("alice", None, "")

    assert service.asked[0][2] == {"username": "alice"}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("deny", "denied by the HTTP service"),
        ("DENY", "denied by the HTTP service"),
        ("deny because of the moon", "denied by the HTTP service: because of the moon"),
    ],
)
async def test_a_denial_is_a_refusal(
    service: Service, backend: HttpBackend, answer: str, reason: str
) -> None:
    service.answers["user"] = answer

    assert await backend.login("alice", "pw", "") == Refused(reason)


@pytest.mark.parametrize(
    ("answer", "status"),
    [("", 200), ("allowed", 200), ("yes", 200), ("allow", 500), ("allow", 302), ("deny", 404)],
)
async def test_anything_else_is_no_answer(
    service: Service, backend: HttpBackend, answer: str, status: int
) -> None:
    service.answers["user"] = answer
    service.status = status

    with pytest.raises(ServiceError):
        await backend.login("alice", "pw", "")


async def test_entering_a_vhost_is_asked_with_the_address(
    service: Service, backend: HttpBackend
) -> None:
    assert await backend.allows(ALICE, "v", Question("read", "vhost", "v"))

    assert service.asked[0][1:] == (
        "vhost",
        {"username": "alice", "vhost": "v", "ip": "192.0.2.1", "tags": "a b"},
    )


async def test_a_right_is_asked_with_resource_name_and_permission(
    service: Service, backend: HttpBackend
) -> None:
    service.denied.add("q2")

    assert await backend.allows(ALICE, "v", Question("configure", "queue", "q1"))
    assert not await backend.allows(ALICE, "v", Question("configure", "queue", "q2"))

    assert service.asked[0][1:] == (
        "resource",
        {
            "username": "alice", "vhost": "v", "resource": "queue", "name": "q1",
            "permission": "configure", "tags": "a b",
        },
    )  # fmt: skip


async def test_a_topic_is_asked_with_its_routing_key(
    service: Service, backend: HttpBackend
) -> None:
    assert await backend.allows(ALICE, "v", Question("write", "topic", "amq.topic", "a.b"))

    assert service.asked[0][1:] == (
        "topic",
        {
            "username": "alice", "vhost": "v", "resource": "topic", "name": "amq.topic",
            "permission": "write", "routing_key": "a.b", "tags": "a b",
            "variable_map.username": "alice", "variable_map.vhost": "v",
        },
    )  # fmt: skip


async def test_a_service_that_is_not_there_is_told_without_the_password() -> None:
    gone = Service()
    backend = HttpBackend(settings(gone), never, 15)

    with pytest.raises(ServiceError) as caught:
        await backend.login("alice", "opensesame", "")
    await backend.close()

    assert "opensesame" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


async def test_an_answer_may_come_in_pieces(service: Service, backend: HttpBackend) -> None:
    service.pieces = [b"al", b"low", b" manage", b"ment"]

    accepted = await backend.login("alice", "secret", "")

    assert isinstance(accepted, Accepted)
    assert accepted.tags == {"management"}


async def test_an_answer_without_end_is_not_read(service: Service, backend: HttpBackend) -> None:
    service.pieces = [b"allow", *[b" administrator" * 100] * 100_000]

    with pytest.raises(ServiceError, match="more than"):
        await backend.login("alice", "secret", "")


async def test_an_answer_is_not_unpacked(service: Service, backend: HttpBackend) -> None:
    service.packed = True

    with pytest.raises(ServiceError):
        await backend.login("alice", "secret", "")


async def test_no_way_leads_elsewhere(service: Service, backend: HttpBackend) -> None:
    service.status, service.answers["user"] = 302, "allow administrator"

    with pytest.raises(ServiceError):
        await backend.login("alice", "secret", "")


async def test_a_password_within_an_address_is_not_told(service: Service) -> None:
    address = service.path("user").replace("://", "://broker:canary@")
    backend = HttpBackend(HttpAuth(user_path=address), never, 15)
    service.status = 500

    with pytest.raises(ServiceError) as caught:
        await backend.login("alice", "secret", "")

    await backend.close()
    assert "canary" not in str(caught.value)
