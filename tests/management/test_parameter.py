"""`/api/parameters`, `/api/global-parameters`, `/api/cluster-name`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.management.served import Api

SHOVEL = {"src-uri": "amqp://", "src-queue": "a", "dest-uri": "amqp://", "dest-queue": "b"}


async def test_a_parameter_is_set_shown_and_removed(api: Api) -> None:
    await api.put("/parameters/shovel/%2F/s", {"value": SHOVEL})
    await api.put("/parameters/shovel/%2F/s", {"value": SHOVEL}, status=204)

    shown = {"component": "shovel", "vhost": "/", "name": "s", "value": SHOVEL}
    assert await api.get("/parameters/shovel/%2F/s") == shown
    assert await api.get("/parameters") == [shown]
    assert await api.get("/parameters/shovel") == [shown]
    assert await api.get("/parameters/shovel/%2F") == [shown]
    await api.delete("/parameters/shovel/%2F/s")
    await api.get("/parameters/shovel/%2F/s", 404)
    await api.delete("/parameters/shovel/%2F/s", 404)


async def test_components_that_nobody_has_are_refused(api: Api) -> None:
    refusal = await api.put("/parameters/nonsense/%2F/a", {"value": {}}, status=400)

    assert "component nonsense not found" in refusal["reason"]
    await api.put("/parameters/shovel/nowhere/a", {"value": SHOVEL}, status=404)
    await api.put("/parameters/shovel/%2F/a", {}, status=400)


async def test_a_policymaker_sets_parameters_where_it_has_permissions(api: Api) -> None:
    await api.put("/vhosts/a")
    maker = await api.user("maker", "policymaker", vhosts=("a",))
    plain = await api.user("plain", "management", vhosts=("a",))

    await maker.put("/parameters/shovel/a/s", {"value": SHOVEL})
    await maker.put("/parameters/shovel/%2F/s", {"value": SHOVEL}, status=404)
    await plain.get("/parameters", 401)
    assert len(await maker.get("/parameters")) == 1


async def test_global_parameters_take_any_value(api: Api) -> None:
    await api.put("/global-parameters/mine", {"value": {"a": [1, "x"]}})

    assert await api.get("/global-parameters/mine") == {"name": "mine", "value": {"a": [1, "x"]}}
    names = [one["name"] for one in await api.get("/global-parameters")]
    assert names == ["cluster_name", "mine"]
    await api.delete("/global-parameters/mine")
    await api.get("/global-parameters/mine", 404)


async def test_a_new_cluster_name_is_told_to_clients_at_once(api: Api) -> None:
    await api.put("/cluster-name", {"name": "shop"}, status=204)

    assert await api.get("/cluster-name") == {"name": "shop"}
    assert (await api.get("/overview"))["cluster_name"] == "shop"

    with await api.connect() as client:
        assert client.server_properties["cluster_name"] == "shop"
