"""`/api/exchanges`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.management.served import publish

if TYPE_CHECKING:
    from tests.management.served import Api

TOPIC = {"type": "topic", "durable": True, "arguments": {"alternate-exchange": "other"}}


async def test_an_exchange_is_declared_shown_and_deleted(api: Api) -> None:
    await api.put("/exchanges/%2F/x", TOPIC)
    await api.put("/exchanges/%2F/x", TOPIC, status=204)

    shown = await api.get("/exchanges/%2F/x")

    assert (shown["name"], shown["type"], shown["durable"]) == ("x", "topic", True)
    assert (shown["internal"], shown["auto_delete"]) == (False, False)
    assert shown["arguments"] == {"alternate-exchange": "other"}
    assert (shown["incoming"], shown["outgoing"]) == ([], [])
    assert "x" in [one["name"] for one in await api.get("/exchanges")]
    await api.delete("/exchanges/%2F/x")
    await api.get("/exchanges/%2F/x", 404)
    await api.delete("/exchanges/%2F/x", 404)


async def test_every_vhost_begins_with_rabbitmqs_exchanges(api: Api) -> None:
    names = [one["name"] for one in await api.get("/exchanges/%2F")]

    assert names == [
        "",
        "amq.direct",
        "amq.fanout",
        "amq.headers",
        "amq.match",
        "amq.rabbitmq.event",
        "amq.rabbitmq.log",
        "amq.rabbitmq.trace",
        "amq.topic",
    ]
    await api.put("/vhosts/other")
    elsewhere = {one["name"] for one in await api.get("/exchanges/other")}
    assert set(names) - elsewhere == {"amq.rabbitmq.event", "amq.rabbitmq.log"}
    assert (await api.get("/exchanges/%2F/amq.default"))["name"] == ""


async def test_a_type_that_nobody_knows_is_refused_before_what_there_is(api: Api) -> None:
    await api.put("/exchanges/%2F/x", {"type": "direct"})

    refusal = await api.put("/exchanges/%2F/x", {"type": "nonsense"}, 400)

    assert refusal["reason"] == "unknown exchange type 'nonsense'"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/exchanges/%2F/x", {"type": "nonsense"}, 400),
        ("/exchanges/%2F/x", {"type": 5}, 400),
        ("/exchanges/%2F/amq.default", {"type": "direct"}, 401),
        ("/exchanges/%2F/amq.mine", {"type": "direct"}, 401),
        ("/exchanges/%2F/amq.topic", {"type": "direct"}, 400),
        (f"/exchanges/%2F/{'x' * 256}", {"type": "direct"}, 400),
    ],
)
async def test_what_is_no_exchange_is_refused(
    api: Api, path: str, body: object, status: int
) -> None:
    await api.put(path, body, status=status)


async def test_an_exchange_in_use_is_deleted_only_where_that_is_not_asked_for(api: Api) -> None:
    await api.put("/exchanges/%2F/x", TOPIC)
    await api.put("/queues/%2F/q")
    await api.post("/bindings/%2F/e/x/q/q", status=201)

    await api.delete("/exchanges/%2F/x", 400, **{"if-unused": "true"})
    await api.delete("/exchanges/%2F/x")


async def test_messages_in_and_out_are_counted(api: Api) -> None:
    await api.put("/exchanges/%2F/x", {"type": "fanout"})
    for queue in ("a", "b"):
        await api.put(f"/queues/%2F/{queue}")
        await api.post(f"/bindings/%2F/e/x/q/{queue}", status=201)
    async with api.channel() as channel:
        for _ in range(3):
            await publish(channel, b"m", "key", "x")

        shown = await api.get("/exchanges/%2F/x")

    stats = shown["message_stats"]
    assert (stats["publish_in"], stats["publish_out"]) == (3, 6)
    assert stats["publish_in_details"] == {"rate": 0.0}
    assert {one["queue"]["name"]: one["stats"] for one in shown["outgoing"]} == {
        "a": {"publish": 3},
        "b": {"publish": 3},
    }
    (incoming,) = shown["incoming"]
    assert incoming["stats"] == {"publish": 3}
    assert incoming["channel_details"]["number"] == 1
