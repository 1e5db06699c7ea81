"""`/api/policies` and `/api/operator-policies`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.management.served import Api

POLICY = {
    "pattern": "^a",
    "definition": {"max-length": 5},
    "priority": 1,
    "apply-to": "queues",
}


@pytest.mark.parametrize("root", ["/policies", "/operator-policies"])
async def test_a_policy_is_set_shown_and_removed(api: Api, root: str) -> None:
    await api.put(f"{root}/%2F/p", POLICY)
    await api.put(f"{root}/%2F/p", {**POLICY, "priority": 2}, status=204)

    shown = {"vhost": "/", "name": "p", **POLICY, "priority": 2}
    assert await api.get(f"{root}/%2F/p") == shown
    assert await api.get(root) == [shown]
    assert await api.get(f"{root}/%2F") == [shown]
    await api.delete(f"{root}/%2F/p")
    await api.get(f"{root}/%2F/p", 404)
    await api.get(f"{root}/nowhere", 404)


async def test_what_is_left_out_has_rabbitmqs_defaults(api: Api) -> None:
    await api.put("/policies/%2F/p", {"pattern": ".*", "definition": {"expires": 1000}})

    shown = await api.get("/policies/%2F/p")
    assert (shown["priority"], shown["apply-to"]) == (0, "all")


async def test_a_policy_is_in_force_when_it_is_answered(api: Api) -> None:
    vhost = api.broker.server.broker.vhosts["/"]

    await api.put("/policies/%2F/p", POLICY)

    assert [one.name for one in vhost.enforcement.policies.listing()] == ["p"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"definition": {"nonsense": 1}}, "are not recognised policy settings"),
        ({"definition": {}}, "no policy provided"),
        ({"pattern": "("}, "pattern should be regular expression but is invalid"),
        ({"priority": "high"}, "priority should be a number"),
        ({"apply-to": "nobody"}, "unrecognised"),
    ],
)
async def test_what_is_no_policy_is_refused_in_rabbitmqs_words(
    api: Api, change: dict[str, object], reason: str
) -> None:
    refusal = await api.put("/policies/%2F/p", {**POLICY, **change}, status=400)

    assert reason in refusal["reason"]
    await api.put("/policies/%2F/p", {"pattern": "a"}, status=400)
    assert await api.get("/policies") == []


async def test_policymakers_set_policies_and_only_administrators_set_operator_policies(
    api: Api,
) -> None:
    await api.put("/vhosts/a")
    maker = await api.user("maker", "policymaker", vhosts=("a",))
    plain = await api.user("plain", "management", vhosts=("a",))

    await maker.put("/policies/a/p", POLICY)
    await maker.put("/policies/%2F/p", POLICY, status=404)
    await maker.put("/operator-policies/a/p", POLICY, status=401)
    await plain.put("/policies/a/q", POLICY, status=401)

    assert len(await plain.get("/policies/a")) == 1
