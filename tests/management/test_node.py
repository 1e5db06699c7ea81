"""`/api/nodes`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from amqpd.management.node import MEMORY_KINDS
from amqpd.server.memory import file_bytes

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


async def test_what_a_node_has_done_is_counted_under_rabbitmqs_names(api: Api) -> None:
    (node,) = await api.get("/nodes")

    counted = ("gc_num", "context_switches", "io_read_bytes", "io_write_bytes", "io_sync_count")
    nothing = ("io_seek_count", "io_reopen_count", "mnesia_disk_tx_count", "msg_store_read_count")
    for key in (*counted, *nothing, "io_sync_avg_time"):
        assert node[key] >= 0, key
        assert node[f"{key}_details"]["rate"] >= 0, key
    assert node["context_switches"] > 0
    assert node["gc_num"] > 0
    assert {node[key] for key in nothing} == {0}
    # Python tells how many objects it has found, and not their size.
    assert "gc_bytes_reclaimed" not in node
    shown = await api.get(f"/nodes/{node['name']}", node_stats_age=60, node_stats_incr=5)
    assert shown["context_switches_details"]["samples"]


async def test_it_says_which_files_settings_came_from_and_where_the_log_goes(api: Api) -> None:
    api.broker.server.config_files = (Path("/etc/amqpd/amqpd.toml"),)

    (node,) = await api.get("/nodes")

    assert node["config_files"] == ["/etc/amqpd/amqpd.toml"]
    assert node["log_files"] == ["<stderr>"]


async def test_contents_of_messages_in_memory_are_told(api: Api) -> None:
    await api.put("/queues/%2F/q", {"durable": False}, 201)
    node = (await api.get("/overview"))["node"]
    before = (await api.get(f"/nodes/{node}/memory"))["memory"]["binary"]

    message = {"properties": {}, "routing_key": "q", "payload": "x" * 100_000}
    message["payload_encoding"] = "string"
    await api.post("/exchanges/%2F/amq.default/publish", message)
    after = (await api.get(f"/nodes/{node}/memory"))["memory"]["binary"]

    assert 100_000 <= after - before < 101_000


def test_where_the_system_tells_nothing_there_is_no_code(tmp_path: Path) -> None:
    assert file_bytes(tmp_path / "nothing") == 0
    (tmp_path / "status").write_text("RssAnon: 7 kB\nRssFile:\t   5 kB\n")
    assert file_bytes(tmp_path / "status") == 5120


async def test_memory_is_told_in_bytes_and_in_percent(api: Api) -> None:
    node = (await api.get("/overview"))["node"]

    memory = (await api.get(f"/nodes/{node}/memory"))["memory"]
    relative = (await api.get(f"/nodes/{node}/memory/relative"))["memory"]

    assert sum(memory[kind] for kind in MEMORY_KINDS) == memory["total"]["rss"]
    assert memory["other_system"] > 0
    assert memory["code"] > 0  # the interpreter
    assert all(octets > 0 for octets in memory["total"].values())
    assert relative["total"] == 100
    refusal = await api.get(f"/nodes/{node}/memory/ets", 404)
    assert refusal["reason"] == "this broker has no Erlang tables"


async def test_nodes_are_for_monitors(api: Api) -> None:
    plain = await api.user("plain", "management")
    monitor = await api.user("m", "monitoring")

    await plain.get("/nodes", 401)
    assert len(await monitor.get("/nodes")) == 1
