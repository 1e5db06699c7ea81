"""The log, the audit log and alarms over HTTP."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from tests.management.served import served, short_of_disk

if TYPE_CHECKING:
    from pathlib import Path

    from tests.management.served import Api

LOG = logging.getLogger("amqpd.test")


async def test_the_log_is_shown_newest_first_by_level_and_text(api: Api) -> None:
    LOG.warning("something with orders")
    LOG.error("something else")

    lines = await api.get("/logs", level="warning", text="something", count=2)
    assert [one["text"] for one in lines] == ["something else", "something with orders"]
    found = await api.get("/logs", text="ORDERS")
    assert found[0]["level"] == "warning"
    assert found[0]["category"] == "test"


async def test_the_log_is_followed_by_level_and_text(api: Api) -> None:
    query = {"level": "warning", "text": "orders"}
    url = f"{api.uri}/api/livelog"
    async with api.client.get(url, params=query, headers=api.headers) as answer:
        assert answer.content_type == "text/event-stream"
        assert await answer.content.readuntil(b"\n\n") == b": from here\n\n"
        LOG.info("orders are well")
        LOG.error("orders are lost")
        said = await answer.content.readuntil(b"\n\n")

    number, event, data = said.decode().strip().split("\n")
    assert number.startswith("id: ")
    assert event == "event: error"
    assert json.loads(data.removeprefix("data: "))["text"] == "orders are lost"
    await api.get("/livelog", 400, level="loud")


async def test_a_wrong_level_or_count_is_told(api: Api) -> None:
    said = await api.get("/logs", 400, level="loud")
    assert said["reason"].startswith("level: one of debug")
    for wrong in ("0", "x", "1001"):
        await api.get("/logs", 400, count=wrong)
    await api.get("/audit", 400, below="x")


async def test_the_audit_log_is_shown_newest_first_and_in_parts(api: Api) -> None:
    await api.put("/vhosts/one")
    await api.put("/queues/%2F/q", {"durable": True})
    # A change of the same kind again and again is written down each time.
    seen = (await api.get("/audit", event="http put"))["items"]
    while len(seen) < 2:
        seen = (await api.get("/audit", event="http put"))["items"]

    assert [one["object"] for one in seen] == ["/queues/%2F/q", "/vhosts/one"]
    assert seen[0]["user"] == "guest"
    older = (await api.get("/audit", event="http put", below=seen[0]["seq"]))["items"]
    assert [one["object"] for one in older] == ["/vhosts/one"]
    assert (await api.get("/audit", text="VHOSTS/ONE", count=1))["items"] == older
    state = await api.get("/audit")
    assert (state["enabled"], state["alerts_total"], state["lost_total"]) == (True, 0, 0)


async def test_without_an_audit_log_there_is_none_to_show(tmp_path: Path) -> None:
    async with served(tmp_path, audit__enabled=False) as api:
        state = await api.get("/audit")

    assert (state["enabled"], state["items"]) == (False, [])


async def test_denials_raise_an_alert_that_is_seen_everywhere(api: Api, tmp_path: Path) -> None:
    await api.put("/exchanges/%2F/x", {"type": "fanout"})
    bob = await api.user("bob", "management")
    for _ in range(50):
        await bob.get("/nodes", 401)

    alerts = (await api.get("/alarms"))["alerts"]
    assert [(one["rule"], one["about"]) for one in alerts] == [("denials", "bob")]
    assert (await api.get("/audit"))["alerts_total"] == 1
    lines = await api.get("/logs", text="alert denials")
    assert "50 denials within a minute" in lines[0]["text"]
    async with api.client.get(f"{api.metrics}/metrics") as answer:
        assert "amqpd_audit_alerts_total 1" in await answer.text()


async def test_resources_are_shown_with_where_their_alarms_come_and_go(tmp_path: Path) -> None:
    async with short_of_disk(tmp_path) as api:
        found = await api.get("/alarms")

    memory, disk = found["resources"]
    assert (memory["source"], memory["alarm"]) == ("memory", False)
    assert memory["clears_at"] < memory["limit"]
    assert (disk["source"], disk["alarm"], disk["limit"]) == ("disk", True, 1 << 60)
    assert disk["clears_at"] > disk["limit"]
    assert disk["settings"]["resources.disk_free_bytes"] == 1 << 60
    assert found["connections_blocked"] is True


async def test_who_is_no_administrator_sees_neither_log_nor_audit(api: Api) -> None:
    monitor = await api.user("monitor", "monitoring")

    await monitor.get("/logs", 401)
    await monitor.get("/audit", 401)
    assert (await monitor.get("/alarms"))["alerts"] == []
