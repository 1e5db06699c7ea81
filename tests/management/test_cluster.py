"""Features, statistics, logins, and what needs other nodes or Erlang."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.client import ConnectionClosed
from tests.management.served import basic

if TYPE_CHECKING:
    from tests.management.served import Api


async def test_all_features_are_on(api: Api) -> None:
    flags = await api.get("/feature-flags")

    assert {one["state"] for one in flags} == {"enabled"}
    await api.put("/feature-flags/stream_queue/enable", status=204)
    await api.put("/feature-flags/all/enable", status=204)
    await api.put("/feature-flags/nonsense/enable", status=400)
    assert await api.get("/deprecated-features")
    assert await api.get("/deprecated-features/used") == []
    stable = {flag["name"] for flag in flags if flag["stability"] == "stable"}
    version = (await api.get("/overview"))["rabbitmq_version"]
    assert f"rabbitmq_{version}" in stable
    await api.put("/queues/%2F/q", {"durable": False})
    (used,) = await api.get("/deprecated-features/used")
    assert used["name"] == "transient_nonexcl_queues"


async def test_attempts_to_log_in_are_counted_until_they_are_reset(api: Api) -> None:
    node = (await api.get("/overview"))["node"]
    with await api.connect():
        pass
    with pytest.raises(ConnectionClosed):
        await api.connect("guest", "wrong")
    await api.call("GET", "/whoami", 401, headers=basic("guest", "wrong"))

    found = {one["protocol"]: one for one in await api.get(f"/auth/attempts/{node}")}
    sources = await api.get(f"/auth/attempts/{node}/source")

    amqp = found["amqp091"]
    assert (amqp["auth_attempts"], amqp["auth_attempts_failed"]) == (2, 1)
    assert found["http"]["auth_attempts_failed"] == 1
    assert {one["username"] for one in sources} == {"guest"}
    assert {one["remote_address"] for one in sources} == {"127.0.0.1"}
    await api.delete(f"/auth/attempts/{node}")
    assert [one["protocol"] for one in await api.get(f"/auth/attempts/{node}")] == ["http"]
    await api.get("/auth/attempts/elsewhere", 404)


async def test_statistics_can_be_forgotten_and_queues_be_rebalanced(api: Api) -> None:
    node = (await api.get("/overview"))["node"]

    await api.delete("/reset")
    await api.delete(f"/reset/{node}")
    await api.delete("/reset/elsewhere", 404)
    await api.post("/rebalance/queues", status=204)


async def test_a_quorum_queue_has_one_member(api: Api) -> None:
    node = (await api.get("/overview"))["node"]
    arguments = {"x-queue-type": "quorum"}
    await api.put("/queues/%2F/q", {"durable": True, "arguments": arguments})
    await api.put("/queues/%2F/c", {"durable": True})

    (member,) = await api.get("/queues/quorum/%2F/q/status")

    assert (member["Node Name"], member["Raft State"]) == (node, "leader")
    assert member.keys() == {
        "Node Name", "Raft State", "Membership", "Last Log Index", "Last Written", "Last Applied",
        "Commit Index", "Snapshot Index", "Term", "Machine Version",
    }  # fmt: skip
    await api.get("/queues/quorum/%2F/c/status", 503)
    await api.get("/queues/quorum/%2F/nowhere/status", 404)
    await api.post("/queues/quorum/%2F/q/replicas/add", {"node": "b"}, 400)
    await api.delete("/queues/quorum/%2F/q/replicas/delete", 400)
    await api.post(f"/queues/quorum/replicas/on/{node}/grow", {"strategy": "all"}, 204)
    await api.delete(f"/queues/quorum/replicas/on/{node}/shrink", 400)


@pytest.mark.parametrize(
    "path",
    [
        "/top/node",
        "/top/ets/node",
        "/process/1",
        "/shovels/vhost/%2F/name",
        "/stream/connections/%2F/name",
        "/stream/connections/%2F/name/publishers",
        "/stream/connections/%2F/name/consumers",
    ],
)
async def test_what_there_cannot_be_is_404_with_the_reason(api: Api, path: str) -> None:
    refusal = await api.get(path, 404)

    assert refusal["error"] == "not_found"
    assert len(refusal["reason"]) > len("Not Found")


@pytest.mark.parametrize(
    "path",
    [
        "/shovels",
        "/federation-links/%2F",
        "/federation-links/state/down",
        "/federation-links/%2F/state/down",
        "/stream/connections",
        "/stream/publishers/%2F",
        "/stream/publishers/%2F/name",
        "/stream/consumers",
    ],
)
async def test_of_what_this_broker_does_not_run_there_are_none(api: Api, path: str) -> None:
    assert await api.get(path) == []


async def test_the_status_of_a_queue_is_for_whoever_may_enter_its_vhost(api: Api) -> None:
    await api.put("/queues/%2F/q", {"durable": True, "arguments": {"x-queue-type": "quorum"}})
    bob = await api.user("bob", "management")

    await bob.get("/queues/quorum/%2F/q/status", 404)
    await api.put("/permissions/%2F/bob", {"configure": "", "write": "", "read": ""})
    await bob.get("/queues/quorum/%2F/q/status")


async def test_a_queue_without_copies_says_so(api: Api) -> None:
    await api.put("/queues/%2F/c", {"durable": True})
    await api.put("/queues/%2F/s", {"durable": True, "arguments": {"x-queue-type": "stream"}})

    for queue, kind in (("c", "classic"), ("s", "stream")):
        assert await api.get(f"/queues/quorum/%2F/{queue}/status", 503) == {
            "status": "failed",
            "reason": f"{kind}_queue_not_supported",
        }
