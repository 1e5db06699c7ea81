"""Peeking, and single messages moved, copied and deleted."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from pamqp.commands import Basic

from tests.client import Client

if TYPE_CHECKING:
    from tests.management.served import Api

ORDERS = "/queues/%2F/orders"


async def fill(api: Api, *bodies: bytes, queue: str = "orders", **properties: Any) -> None:
    """Put messages into a queue, on disk."""

    def work() -> None:
        with Client(api.broker.port) as client:
            channel = client.channel()
            channel.declare_queue(queue, durable=True)
            channel.select_confirms()
            for one in bodies:
                mine = Basic.Properties(delivery_mode=2, **properties)
                channel.publish("", queue, one, properties=mine)
            channel.wait_confirms()

    await asyncio.to_thread(work)


async def payloads(api: Api, path: str = ORDERS) -> list[str]:
    """What is in a queue."""
    return [one["payload"] for one in (await api.post(f"{path}/peek", {}))["messages"]]


async def test_a_peek_shows_messages_and_changes_nothing(api: Api) -> None:
    await fill(api, b"a", b"b", headers={"tenant": "x"}, content_type="text/plain")

    for _ in range(2):
        found = await api.post(f"{ORDERS}/peek", {"count": 5})
        assert found["looked_at"] == 2
        assert found["next"] is None
        first = found["messages"][0]
        assert (first["payload"], first["routing_key"], first["redelivered"]) == (
            "a",
            "orders",
            False,
        )
        assert first["properties"]["headers"] == {"tenant": "x"}


async def test_messages_are_numbered_from_where_a_look_began(api: Api) -> None:
    await fill(api, b"a", b"b", b"ab")

    whole = await api.post(f"{ORDERS}/peek", {"count": 2})
    rest = await api.post(f"{ORDERS}/peek", {"after": whole["next"]})
    found = await api.post(f"{ORDERS}/peek", {"search": "b"})

    assert [one["number"] for one in whole["messages"]] == [1, 2]
    assert [one["number"] for one in rest["messages"]] == [1]
    assert [(one["payload"], one["number"]) for one in found["messages"]] == [("b", 2), ("ab", 3)]


async def test_a_message_tells_when_the_broker_took_it(api: Api) -> None:
    before_ms = time.time() * 1000
    await fill(api, b"a")

    (one,) = (await api.post(f"{ORDERS}/peek", {}))["messages"]
    whole = await api.get(f"{ORDERS}/messages/{one['place']}")

    # The broker's clock takes up to a twentieth longer to follow that of the machine.
    assert before_ms - 1000 < one["entered_at"] < time.time() * 1000 + 1000
    assert whole["entered_at"] == one["entered_at"]


async def test_one_message_is_shown_whole(api: Api) -> None:
    await fill(api, b"a", b"b" * 1000)
    place = (await api.post(f"{ORDERS}/peek", {"truncate": 5}))["messages"][1]["place"]

    shown = await api.get(f"{ORDERS}/messages/{place}")

    assert (shown["place"], shown["payload"]) == (place, "b" * 1000)
    await api.get(f"{ORDERS}/messages/0.99", 404)


async def test_texts_beyond_ascii_are_found_as_they_are_written(api: Api) -> None:
    await fill(api, "Ölpreis".encode(), "öl".encode())

    found = await api.post(f"{ORDERS}/peek", {"search": "ÖLP"})

    assert [one["payload"] for one in found["messages"]] == ["Ölpreis"]


async def test_a_text_that_is_cut_within_a_character_stays_a_text(api: Api) -> None:
    await fill(api, "aää".encode(), b"\xff\xff")

    cut = (await api.post(f"{ORDERS}/peek", {"truncate": 4}))["messages"]

    assert [(one["payload"], one["payload_encoding"]) for one in cut] == [
        ("aä", "string"),
        ("//8=", "base64"),
    ]


async def test_pages_go_on_where_the_last_one_ended(api: Api) -> None:
    await fill(api, *(b"%d" % number for number in range(7)))
    seen, after = [], None

    while True:
        body = {"count": 3} | ({} if after is None else {"after": after})
        found = await api.post(f"{ORDERS}/peek", body)
        seen += [one["payload"] for one in found["messages"]]
        after = found["next"]
        if after is None:
            break

    assert seen == [str(number) for number in range(7)]


async def test_what_is_not_on_disk_yet_is_left_to_the_next_page(api: Api) -> None:
    await fill(api)
    lane = api.broker.server.broker.vhosts["/"].queues["orders"].lanes[0]
    lane.window = 2
    for number in range(4):
        await fill(api, b"%d" % number)
    assert (lane.loaded_upto, lane.committed_upto) == (2, 4)

    lane.committed_upto = 2  # as while the disk is behind
    found = await api.post(f"{ORDERS}/peek", {})
    lane.committed_upto = 4

    assert [one["payload"] for one in found["messages"]] == ["0", "1"]
    found = await api.post(f"{ORDERS}/peek", {"after": found["next"]})
    assert [one["payload"] for one in found["messages"]] == ["2", "3"]
    assert found["next"] is None


@pytest.mark.parametrize("search", ["NEEDLE", "needle", "tenant-7"])
async def test_a_search_finds_text_in_bodies_and_headers(api: Api, search: str) -> None:
    await fill(api, *(b"hay" for _ in range(300)))
    await fill(api, b"a Needle", headers={"of": "tenant-7"})
    await fill(api, *(b"hay" for _ in range(10)))

    found = await api.post(f"{ORDERS}/peek", {"search": search})

    assert [one["payload"] for one in found["messages"]] == ["a Needle"]
    assert found["looked_at"] == 311


async def test_a_message_is_deleted_and_the_others_stay_in_order(api: Api) -> None:
    await fill(api, b"a", b"b", b"c")
    messages = (await api.post(f"{ORDERS}/peek", {}))["messages"]
    place = next(one["place"] for one in messages if one["payload"] == "b")

    await api.delete(f"{ORDERS}/messages/{place}")

    assert await payloads(api) == ["a", "c"]
    await api.delete(f"{ORDERS}/messages/{place}", 404)
    assert (await api.get(ORDERS))["messages"] == 2


async def test_a_message_is_moved_or_copied_with_its_properties(api: Api) -> None:
    await fill(api, b"a", b"b", headers={"n": 1}, correlation_id="c")
    await fill(api, queue="other")
    first, second = (await api.post(f"{ORDERS}/peek", {}))["messages"]

    await api.call(
        "POST", f"{ORDERS}/messages/{first['place']}/move", 204, {"destination": "other"}
    )
    await api.call(
        "POST", f"{ORDERS}/messages/{second['place']}/copy", 204, {"destination": "other"}
    )

    assert await payloads(api) == ["b"]
    moved, copied = (await api.post("/queues/%2F/other/peek", {}))["messages"]
    assert (moved["payload"], copied["payload"]) == ("a", "b")
    assert moved["properties"] == first["properties"]


async def test_messages_are_moved_together_in_their_order(api: Api) -> None:
    await fill(api, *(str(number).encode() for number in range(450)))
    await fill(api, queue="other")
    full = {"durable": True, "arguments": {"x-max-length": 2, "x-overflow": "reject-publish"}}
    await api.put("/queues/%2F/full", full)

    move = "/queues/%2F/orders/move"
    said = await api.post(move, {"destination": "other", "count": 440})

    assert said == {"moved": 440, "left": 10}
    peeked = (await api.post("/queues/%2F/other/peek", {"count": 1000}))["messages"]
    assert [one["payload"] for one in peeked] == [str(number) for number in range(440)]
    assert await api.post(move, {"destination": "full"}) == {"moved": 2, "left": 8}
    await api.post(move, {"destination": "full"}, 409)
    assert await api.post(move, {"destination": "other"}) == {"moved": 8, "left": 0}
    assert await api.post(move, {"destination": "other"}) == {"moved": 0, "left": 0}
    await api.post(move, {"destination": "orders"}, 400)
    await api.post(move, {"destination": "nope"}, 400)


async def test_a_move_that_is_refused_leaves_the_message(api: Api) -> None:
    await fill(api, b"a")
    full = {"durable": True, "arguments": {"x-max-length": 0, "x-overflow": "reject-publish"}}
    await api.put("/queues/%2F/full", full)
    (one,) = (await api.post(f"{ORDERS}/peek", {}))["messages"]
    move = f"{ORDERS}/messages/{one['place']}/move"

    await api.call("POST", move, 409, {"destination": "full"})
    await api.call("POST", move, 400, {"destination": "nope"})
    await api.call("POST", move, 400, {"destination": "orders"})

    assert await payloads(api) == ["a"]


@pytest.mark.parametrize(
    "place", ["x", "1", "0.", "0.x", "-1.0", "0.99999999999999999999999", "²·1"]
)
async def test_a_place_that_is_none_is_refused(api: Api, place: str) -> None:
    await fill(api, b"a")

    await api.call("DELETE", f"{ORDERS}/messages/{place}", 400)


async def test_whoever_may_not_read_may_not_look(api: Api) -> None:
    await fill(api, b"a")
    await api.put("/users/bob", {"password": "bob", "tags": "management"})
    rights = {"configure": ".*", "write": ".*", "read": "^other$"}
    await api.put("/permissions/%2F/bob", rights)

    refused, _ = await api.as_user("bob", "bob").call("POST", f"{ORDERS}/peek", 401, {})

    assert "orders" in refused["reason"]


async def test_what_was_deleted_stays_deleted_after_a_restart(api: Api) -> None:
    await fill(api, b"a", b"b")
    first, _ = (await api.post(f"{ORDERS}/peek", {}))["messages"]

    await api.delete(f"{ORDERS}/messages/{first['place']}")

    lane = api.broker.server.broker.vhosts["/"].queues["orders"].lanes[0]
    assert lane.stored == lane.ready == 1


async def test_a_stream_is_read_by_consumers(api: Api) -> None:
    await api.put("/queues/%2F/s", {"durable": True, "arguments": {"x-queue-type": "stream"}})

    refused, _ = await api.call("POST", "/queues/%2F/s/peek", 400, {})

    assert "'s' is a stream" in refused["reason"]
    assert (await api.get("/queues/%2F/s"))["why_waiting"] == ""
