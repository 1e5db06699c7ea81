"""`/api/nodes`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.management.served import Api


async def test_there_is_one_node_with_its_resources(api: Api) -> None:
    (node,) = await api.get("/nodes")

    assert node["running"] is True
    assert node["fd_used"] > 0
    assert node["mem_limit"] > 0
    assert node["disk_free_alarm"] is False
    shown = await api.get(f"/nodes/{node['name']}")
    assert shown["os_pid"] == node["os_pid"]
    await api.get("/nodes/elsewhere", 404)


async def test_memory_is_told_in_bytes_and_in_percent(api: Api) -> None:
    node = (await api.get("/overview"))["node"]

    memory = (await api.get(f"/nodes/{node}/memory"))["memory"]
    relative = (await api.get(f"/nodes/{node}/memory/relative"))["memory"]

    assert memory["other_system"] + memory["binary"] == memory["total"]["rss"]
    assert all(octets > 0 for octets in memory["total"].values())
    assert relative["total"] == 100
    refusal = await api.get(f"/nodes/{node}/memory/ets", 404)
    assert refusal["reason"] == "this broker has no Erlang tables"


async def test_nodes_are_for_monitors(api: Api) -> None:
    plain = await api.user("plain", "management")
    monitor = await api.user("m", "monitoring")

    await plain.get("/nodes", 401)
    assert len(await monitor.get("/nodes")) == 1
