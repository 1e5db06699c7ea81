"""`/api/vhost-limits` and `/api/user-limits`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.client import ConnectionClosed

if TYPE_CHECKING:
    from tests.management.served import Api


async def test_limits_of_a_vhost_are_set_shown_and_lifted_one_by_one(api: Api) -> None:
    await api.put("/vhost-limits/%2F/max-connections", {"value": 10}, status=204)
    await api.put("/vhost-limits/%2F/max-queues", {"value": 5}, status=204)

    shown = [{"vhost": "/", "value": {"max-connections": 10, "max-queues": 5}}]
    assert await api.get("/vhost-limits") == shown
    assert await api.get("/vhost-limits/%2F") == shown
    await api.delete("/vhost-limits/%2F/max-queues")
    assert await api.get("/vhost-limits") == [{"vhost": "/", "value": {"max-connections": 10}}]
    await api.delete("/vhost-limits/%2F/max-connections")
    # As with RabbitMQ: it has had limits, and is still in the list of all.
    assert await api.get("/vhost-limits") == [{"vhost": "/", "value": {}}]
    assert await api.get("/vhost-limits/%2F") == []
    await api.delete("/vhost-limits/%2F/max-connections")
    with await api.connect():
        pass


async def test_limits_of_a_user_likewise(api: Api) -> None:
    await api.put("/user-limits/guest/max-channels", {"value": 3}, status=204)

    shown = [{"user": "guest", "value": {"max-channels": 3}}]
    assert await api.get("/user-limits") == shown
    assert await api.get("/user-limits/guest") == shown
    await api.delete("/user-limits/guest/max-channels")
    assert await api.get("/user-limits") == []
    await api.get("/user-limits/nobody", 404)
    await api.put("/user-limits/nobody/max-channels", {"value": 3}, status=404)


@pytest.mark.parametrize(
    "path", ["/vhost-limits/%2F/max-unicorns", "/user-limits/guest/max-queues"]
)
async def test_limits_that_nobody_knows_are_refused(api: Api, path: str) -> None:
    refusal = await api.put(path, {"value": 3}, status=400)

    assert "Unrecognised terms" in refusal["reason"]


@pytest.mark.parametrize("body", [{}, {"value": "3"}, {"value": True}, {"value": None}])
async def test_a_limit_is_a_number(api: Api, body: object) -> None:
    await api.put("/vhost-limits/%2F/max-queues", body, status=400)


async def test_a_limit_that_lets_everything_through_is_shown_as_it_was_set(api: Api) -> None:
    await api.put("/vhost-limits/%2F/max-queues", {"value": -1}, status=204)
    await api.put("/vhost-limits/%2F/max-connections", {"value": 5}, status=204)
    await api.put("/user-limits/guest/max-channels", {"value": -1}, status=204)

    of_vhost = {"max-queues": -1, "max-connections": 5}
    assert await api.get("/vhost-limits") == [{"vhost": "/", "value": of_vhost}]
    assert await api.get("/user-limits/guest") == [{"user": "guest", "value": {"max-channels": -1}}]
    await api.put("/queues/%2F/q")
    await api.delete("/vhost-limits/%2F/max-connections")
    assert await api.get("/vhost-limits/%2F") == [{"vhost": "/", "value": {"max-queues": -1}}]


async def test_a_user_sees_its_own_limits(api: Api) -> None:
    shop = await api.user("shop", "management")
    await api.put("/user-limits/shop/max-channels", {"value": 3}, status=204)
    await api.put("/user-limits/guest/max-channels", {"value": 9}, status=204)

    assert len(await shop.get("/user-limits/shop")) == 1
    await shop.get("/user-limits/guest", 401)
    # As with RabbitMQ since 4.2: a list of users is not for everybody.
    await shop.get("/user-limits", 401)
    monitor = await api.user("monitor", "monitoring")
    await monitor.get("/user-limits", 401)
    assert len(await monitor.get("/user-limits/guest")) == 1


async def test_a_limit_keeps_connections_out(api: Api) -> None:
    await api.put("/vhost-limits/%2F/max-connections", {"value": 1}, status=204)
    first = await api.connect()

    with pytest.raises(ConnectionClosed, match=r"connection limit \(1\) is reached"):
        await api.connect()

    await asyncio.to_thread(first.close)
    with await api.connect():
        pass


async def test_a_limit_on_channels_of_a_user_is_kept(api: Api) -> None:
    await api.put("/user-limits/guest/max-channels", {"value": 1}, status=204)

    with await api.connect() as client:
        channel = await asyncio.to_thread(client.channel)
        await asyncio.to_thread(channel.close)
        await asyncio.to_thread(client.channel)
        with pytest.raises(ConnectionClosed, match=r"maximum allowed user limit of \(1\)"):
            await asyncio.to_thread(client.channel)
