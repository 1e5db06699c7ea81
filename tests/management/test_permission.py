"""`/api/permissions` and `/api/topic-permissions`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.management.served import Api

RIGHTS = {"configure": "c.*", "write": "w.*", "read": ".*"}
TOPIC = {"exchange": "amq.topic", "write": "^a", "read": "^b"}


async def test_a_permission_is_set_changed_shown_and_removed(api: Api) -> None:
    await api.user("a")

    await api.put("/permissions/%2F/a", RIGHTS)
    await api.put("/permissions/%2F/a", {**RIGHTS, "read": ""}, status=204)

    shown = {"user": "a", "vhost": "/", **RIGHTS, "read": ""}
    assert await api.get("/permissions/%2F/a") == shown
    assert shown in await api.get("/permissions")
    assert await api.get("/users/a/permissions") == [shown]
    assert shown in await api.get("/vhosts/%2F/permissions")
    await api.delete("/permissions/%2F/a")
    await api.get("/permissions/%2F/a", 404)
    await api.delete("/permissions/%2F/a", 404)


@pytest.mark.parametrize(
    "body", [{}, {"configure": ".*", "write": ".*"}, {**RIGHTS, "read": "("}, {**RIGHTS, "read": 1}]
)
async def test_three_patterns_make_a_permission_and_nothing_else_does(
    api: Api, body: object
) -> None:
    await api.user("a")

    await api.put("/permissions/%2F/a", body, status=400)
    await api.get("/permissions/%2F/a", 404)


@pytest.mark.parametrize("path", ["/permissions/%2F/nobody", "/permissions/nowhere/guest"])
async def test_user_and_vhost_must_be_there(api: Api, path: str) -> None:
    await api.put(path, RIGHTS, status=400)
    await api.get(path, 404)


async def test_topic_permissions_are_per_exchange(api: Api) -> None:
    await api.user("a")
    other = {**TOPIC, "exchange": "other"}

    await api.put("/topic-permissions/%2F/a", TOPIC)
    await api.put("/topic-permissions/%2F/a", other, status=204)

    first, second = {"user": "a", "vhost": "/", **TOPIC}, {"user": "a", "vhost": "/", **other}
    assert await api.get("/topic-permissions/%2F/a") == [first, second]
    assert await api.get("/topic-permissions") == [first, second]
    assert await api.get("/users/a/topic-permissions") == [first, second]
    assert await api.get("/vhosts/%2F/topic-permissions") == [first, second]
    await api.delete("/topic-permissions/%2F/a/other")
    assert await api.get("/topic-permissions/%2F/a") == [first]
    await api.delete("/topic-permissions/%2F/a")
    await api.get("/topic-permissions/%2F/a", 404)


@pytest.mark.parametrize("right", ["configure", "write", "read"])
async def test_what_is_no_pattern_is_refused_before_it_is_written_down(
    api: Api, right: str
) -> None:
    journal = api.broker.server.broker.journal
    await api.user("worker")
    before = journal.last
    rights = {"configure": ".*", "write": ".*", "read": ".*", right: "("}

    await api.put("/permissions/%2F/worker", rights, 400)
    if right != "configure":
        await api.put("/topic-permissions/%2F/worker", {"exchange": "amq.topic", **rights}, 400)

    # What is written down is read by the next start, which could not use it.
    assert journal.last == before
