"""`/api/connections`, `/api/channels`, `/api/consumers`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from pamqp.commands import Basic, Confirm

from tests.client import Client, ConnectionClosed
from tests.management.served import ignore, name, publish

if TYPE_CHECKING:
    from tests.management.served import Api


async def test_a_connection_tells_of_itself(api: Api) -> None:
    assert await api.get("/connections") == []
    with await api.connect() as client:
        await asyncio.to_thread(client.channel)

        (shown,) = await api.get("/connections")

        assert shown["user"] == "guest"
        assert shown["vhost"] == "/"
        assert shown["protocol"] == "AMQP 0-9-1"
        assert shown["state"] == "running"
        assert shown["auth_mechanism"] == "PLAIN"
        assert shown["channels"] == 1
        assert shown["port"] == api.broker.port
        assert shown["frame_max"] == 131_072
        assert shown["client_properties"]["capabilities"]["consumer_cancel_notify"] is True
        assert shown["recv_oct"] > 0
        assert shown["send_oct"] > 0
        assert shown["recv_oct_details"] == {"rate": 0.0}
        assert shown["ssl"] is False
        one = await api.get(f"/connections/{name(shown['name'])}")
        assert one["peer_port"] == shown["peer_port"]
    await api.get("/connections/nobody", 404)


async def test_connections_are_found_by_vhost_and_by_user(api: Api) -> None:
    await api.put("/vhosts/a")
    await api.user("shop", vhosts=("a",))
    with await api.connect(), await api.connect("shop", "shop", "a"):
        assert len(await api.get("/connections")) == 2
        assert len(await api.get("/connections", vhost="a")) == 1
        assert [one["user"] for one in await api.get("/vhosts/a/connections")] == ["shop"]
        assert [one["vhost"] for one in await api.get("/connections/username/shop")] == ["a"]


async def test_a_closed_connection_hears_why(api: Api) -> None:
    with await api.connect() as client:
        (shown,) = await api.get("/connections")
        path = f"/connections/{name(shown['name'])}"

        await api.call("DELETE", path, 204, headers={"X-Reason": "go home"})

        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.to_thread(client.channel)
        assert (closed.value.code, closed.value.text) == (320, "CONNECTION_FORCED - go home")
    await api.delete(path, 404)


async def test_all_connections_of_a_user_are_closed_at_once(api: Api) -> None:
    with await api.connect() as first, await api.connect() as second:
        await api.delete("/connections/username/guest")

        for client in (first, second):
            with pytest.raises(ConnectionClosed, match="Closed via management plugin"):
                await asyncio.to_thread(client.channel)
    assert await api.get("/connections") == []


async def test_users_see_and_close_their_own_connections_only(api: Api) -> None:
    shop = await api.user("shop", "management", vhosts=("/",))
    monitor = await api.user("m", "monitoring")
    with await api.connect(), await api.connect("shop", "shop"):
        (own,) = await shop.get("/connections")
        theirs = next(one for one in await monitor.get("/connections") if one["user"] == "guest")

        await shop.get(f"/connections/{name(theirs['name'])}", 401)
        await shop.get(f"/connections/{name(theirs['name'])}/channels", 401)
        await monitor.delete(f"/connections/{name(theirs['name'])}", 401)
        await shop.delete("/connections/username/guest", 401)
        await shop.delete(f"/connections/{name(own['name'])}")


async def test_a_channel_tells_of_itself(api: Api) -> None:
    await api.put("/queues/%2F/q")
    with await api.connect() as client:
        channel = await asyncio.to_thread(client.channel)
        await asyncio.to_thread(channel.call, Confirm.Select(), Confirm.SelectOk)
        await asyncio.to_thread(channel.call, Basic.Qos(prefetch_count=7), Basic.QosOk)
        consume = Basic.Consume(queue="q", consumer_tag="t", arguments={"x-priority": 5})
        await asyncio.to_thread(channel.call, consume, Basic.ConsumeOk)
        async with api.channel() as other:
            await publish(other, b"x", "q")
        await asyncio.to_thread(client.read)

        (shown,) = await api.get("/channels")

        assert (shown["number"], shown["confirm"], shown["transactional"]) == (1, True, False)
        assert (shown["prefetch_count"], shown["consumer_count"]) == (7, 1)
        assert shown["messages_unacknowledged"] == 1
        assert (shown["user"], shown["vhost"], shown["state"]) == ("guest", "/", "running")
        assert shown["message_stats"]["deliver"] == 1
        one = await api.get(f"/channels/{name(shown['name'])}")
        assert [each["consumer_tag"] for each in one["consumer_details"]] == ["t"]
        (delivery,) = one["deliveries"]
        assert delivery["queue"]["name"] == "q"
        connection = name(shown["connection_details"]["name"])
        assert len(await api.get(f"/connections/{connection}/channels")) == 1
        assert len(await api.get("/vhosts/%2F/channels")) == 1
        await api.get("/channels/nobody", 404)

        (consumer,) = await api.get("/consumers")
        assert consumer["queue"] == {"name": "q", "vhost": "/"}
        assert (consumer["prefetch_count"], consumer["priority"]) == (7, 5)
        assert (consumer["ack_required"], consumer["active"]) == (True, True)
        assert consumer["arguments"] == {"x-priority": 5}
        assert consumer["channel_details"]["name"] == shown["name"]
        assert await api.get("/consumers/%2F") == [consumer]
        queue = await api.get("/queues/%2F/q")
        assert queue["consumer_details"] == [consumer]
        assert queue["deliveries"][0]["stats"]["deliver"] == 1


async def test_of_consumers_that_take_turns_one_is_active(api: Api) -> None:
    await api.put("/queues/%2F/q", {"arguments": {"x-single-active-consumer": True}})
    async with api.channel() as channel:
        queue = await channel.get_queue("q")
        await queue.consume(ignore, consumer_tag="first")
        await queue.consume(ignore, consumer_tag="second")

        found = {one["consumer_tag"]: one for one in await api.get("/consumers")}
        shown = await api.get("/queues/%2F/q")

    assert (found["first"]["active"], found["first"]["activity_status"]) == (True, "single_active")
    assert (found["second"]["active"], found["second"]["activity_status"]) == (False, "waiting")
    assert shown["single_active_consumer_tag"] == "first"


async def test_a_consumer_is_cancelled_from_outside(api: Api) -> None:
    await api.put("/queues/%2F/q")
    shop = await api.user("shop", "management", vhosts=("/",))
    with await api.connect() as client:
        channel = await asyncio.to_thread(client.channel)
        consume = Basic.Consume(queue="q", consumer_tag="t")
        await asyncio.to_thread(channel.call, consume, Basic.ConsumeOk)
        (shown,) = await api.get("/consumers")
        place = f"/consumers/%2F/{name(shown['channel_details']['connection_name'])}"

        await shop.delete(f"{place}/1/t", 401)
        await api.delete(f"{place}/1/other", 404)
        await api.delete(f"{place}/1/t")

        await asyncio.to_thread(client.read)
        assert channel.cancelled == ["t"]
        assert await api.get("/consumers") == []
        await api.delete(f"{place}/1/t", 404)


async def test_connections_and_channels_are_found_by_what_their_clients_call_them(api: Api) -> None:
    client = await asyncio.to_thread(Client, api.broker.port, name="billing-worker-7")
    with client:
        await asyncio.to_thread(client.channel)
        for path in ("/connections", "/channels"):
            for text, regex in (("worker", "false"), ("^billing", "true"), ("127.0", "false")):
                found = await api.get(path, page=1, name=text, use_regex=regex)
                assert found["filtered_count"] == 1, (path, text)
            assert (await api.get(path, page=1, name="shipping"))["filtered_count"] == 0


async def test_without_statistics_nothing_measured_is_shown(api: Api) -> None:
    await api.put("/queues/%2F/q")
    with await api.connect() as client:
        await asyncio.to_thread(client.channel)
        (shown,) = await api.get("/connections")
        (channel,) = await api.get("/channels")
        assert "recv_oct_details" in shown
        assert "consumer_count" in channel

        (shown,) = await api.get("/connections", disable_stats="true")
        (channel,) = await api.get("/channels", disable_stats="true")

        assert shown["user"] == channel["user"] == "guest"
        assert not {"recv_oct", "recv_oct_details", "send_pend"} & shown.keys()
        assert not {"consumer_count", "messages_unacknowledged"} & channel.keys()
        one = await api.get(f"/channels/{name(channel['name'])}", disable_stats="true")
        assert "consumer_count" not in one
    vhost = await api.get("/vhosts/%2F", disable_stats="true")
    assert not {"messages", "messages_details", "recv_oct"} & vhost.keys()


async def test_a_connection_has_no_sessions_and_keys_of_erlang_that_say_nothing(api: Api) -> None:
    with await api.connect():
        (shown,) = await api.get("/connections")
        path = f"/connections/{name(shown['name'])}"

        refusal = await api.get(f"{path}/sessions", 400)
        found = await api.get(path)

    assert refusal["reason"] == "connection does not use AMQP 1.0"
    assert found["reductions"] == found["garbage_collection"]["minor_gcs"] == 0
    await api.get(f"{path}/sessions", 404)
