"""`/api/overview` and what else says which broker this is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aio_pika

from tests.management.served import ignore, publish
from tests.server.waiting import until

if TYPE_CHECKING:
    from tests.management.served import Api


async def test_the_overview_counts_what_there_is(api: Api) -> None:
    async with await aio_pika.connect(api.broker.uri) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("q")
        for _ in range(3):
            await channel.default_exchange.publish(aio_pika.Message(b"x"), "q")
        await queue.get()

        overview = await api.get("/overview")

    totals = overview["object_totals"]
    assert (totals["connections"], totals["channels"], totals["queues"]) == (1, 1, 1)
    messages = overview["queue_totals"]
    assert (messages["messages"], messages["messages_ready"]) == (3, 2)
    assert messages["messages_unacknowledged"] == 1


async def test_the_overview_says_which_broker_this_is(api: Api) -> None:
    overview = await api.get("/overview")

    assert overview["product_name"] == "RabbitMQ"
    assert overview["node"].startswith("rabbit@")
    assert overview["sync"] is True
    assert overview["alarms"] == []
    assert {one["protocol"] for one in overview["listeners"]} == {
        "amqp",
        "http",
        "http/prometheus",
    }
    types = {one["name"] for one in overview["exchange_types"]}
    assert {"direct", "fanout", "headers", "topic"} <= types


async def test_the_version_needs_no_login(api: Api) -> None:
    api.headers.clear()

    assert await api.get("/version") == "4.2.0"
    assert await api.get("/auth") == {"oauth_enabled": False}


async def test_the_settings_in_force_are_for_administrators_and_without_secrets(api: Api) -> None:
    settings = await api.get("/config/effective")

    assert settings["amqp.host"] == "127.0.0.1"
    assert settings["auth.default_password"] == "***"
    monitor = await api.user("m", "monitoring")
    await monitor.get("/config/effective", 401)


async def test_what_a_client_has_of_a_stream_is_still_in_it(api: Api) -> None:
    async with api.channel() as channel:
        await channel.set_qos(prefetch_count=2)
        stream = await channel.declare_queue(
            "s", durable=True, arguments={"x-queue-type": "stream"}
        )
        for _ in range(3):
            await publish(channel, b"x", "s")
        await stream.consume(ignore, arguments={"x-stream-offset": "first"})
        stored = api.broker.server.broker.vhosts["/"].queues["s"]
        await until(lambda: stored.unacked == 2)

        shown = await api.get("/queues/%2F/s")
        totals = (await api.get("/overview"))["queue_totals"]
        vhost = await api.get("/vhosts/%2F")

    for found in (shown, totals, vhost):
        lengths = (
            found["messages"],
            found["messages_ready"],
            found["messages_unacknowledged"],
        )
        assert lengths == (3, 3, 2)
