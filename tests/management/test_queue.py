"""`/api/queues`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tests.management.served import ignore, name, publish, served
from tests.management.test_pause import on_disk

if TYPE_CHECKING:
    from pathlib import Path

    from tests.management.served import Api

DURABLE = {"durable": True}


async def test_a_classic_queue_is_one_of_rabbitmqs_second_kind(api: Api) -> None:
    await api.put("/queues/%2F/q")
    await api.put("/queues/%2F/s", {"durable": True, "arguments": {"x-queue-type": "stream"}})

    q, s = await api.get("/queues?sort=name")

    assert q["storage_version"] == 2
    assert "storage_version" not in s
    assert (await api.get("/queues/%2F/q"))["storage_version"] == 2


async def test_a_queue_is_declared_shown_and_deleted(api: Api) -> None:
    await api.put("/queues/%2F/q", {"durable": True, "arguments": {"x-max-length": 10}})
    await api.put(
        "/queues/%2F/q", {"durable": "true", "arguments": {"x-max-length": 10}}, status=204
    )

    shown = await api.get("/queues/%2F/q")

    assert (shown["name"], shown["vhost"], shown["type"]) == ("q", "/", "classic")
    assert (shown["durable"], shown["auto_delete"], shown["exclusive"]) == (True, False, False)
    assert shown["arguments"] == {"x-max-length": 10, "x-queue-type": "classic"}
    assert shown["state"] == "running"
    assert (shown["messages"], shown["consumers"]) == (0, 0)
    assert [one["name"] for one in await api.get("/queues")] == ["q"]
    assert [one["name"] for one in await api.get("/queues/%2F")] == ["q"]
    assert [one["name"] for one in await api.get("/queues/detailed")] == ["q"]
    await api.delete("/queues/%2F/q")
    await api.get("/queues/%2F/q", 404)
    await api.delete("/queues/%2F/q", 404)
    await api.get("/queues/nowhere", 404)


async def test_a_queue_that_is_not_the_same_is_refused_in_rabbitmqs_words(api: Api) -> None:
    await api.put("/queues/%2F/q", DURABLE)

    refusal = await api.put("/queues/%2F/q", {"durable": False}, status=400)

    assert refusal == {
        "error": "bad_request",
        "reason": "inequivalent arg 'durable' for queue 'q' in vhost '/': "
        "received 'false' but current is 'true'",
    }


@pytest.mark.parametrize(
    "body",
    [
        {"arguments": {"x-message-ttl": "soon"}},
        {"arguments": {"x" * 256: 1}},
        {"arguments": {"a": 1 << 70}},
        {"arguments": [1]},
        {"node": "elsewhere"},
    ],
)
async def test_what_is_no_queue_is_refused(api: Api, body: object) -> None:
    await api.put("/queues/%2F/q", body, status=400)
    await api.get("/queues/%2F/q", 404)


async def test_an_empty_table_may_come_as_php_writes_it(api: Api) -> None:
    await api.put("/queues/%2F/q", {"durable": True, "arguments": []})
    await api.put("/exchanges/%2F/x", {"type": "fanout", "arguments": []})

    await api.post("/bindings/%2F/e/x/q/q", {"arguments": []}, status=201)

    assert (await api.get("/bindings/%2F/e/x/q/q"))[0]["arguments"] == {}


async def test_one_queue_is_cut_to_columns_too(api: Api) -> None:
    await api.put("/queues/%2F/q", DURABLE)

    assert await api.get("/queues/%2F/q", columns="name,arguments") == {
        "name": "q",
        "arguments": {"x-queue-type": "classic"},
    }


async def test_names_that_are_too_long_or_reserved_are_refused(api: Api) -> None:
    await api.put(f"/queues/%2F/{'q' * 256}", DURABLE, status=400)
    await api.put("/queues/%2F/amq.mine", DURABLE, status=401)


async def test_a_new_queue_is_there_after_a_restart(api: Api) -> None:
    await api.put("/queues/%2F/q", DURABLE)

    journal = api.broker.server.broker.journal
    assert journal.safe == journal.last


async def test_messages_are_counted_in_numbers_and_bytes(api: Api) -> None:
    await api.put("/queues/%2F/q", DURABLE)
    async with api.channel() as channel:
        for _ in range(3):
            await publish(channel, b"12345", "q", delivery_mode=2)
        await (await channel.get_queue("q")).get()

        shown = await api.get("/queues/%2F/q")

    assert (shown["messages"], shown["messages_ready"]) == (3, 2)
    assert shown["messages_unacknowledged"] == 1
    assert (shown["message_bytes"], shown["message_bytes_ready"]) == (15, 10)
    assert shown["messages_persistent"] == 3
    stats = shown["message_stats"]
    assert (stats["publish"], stats["get"], stats["deliver_get"], stats["ack"]) == (3, 1, 1, 0)
    assert stats["publish_details"] == {"rate": 0.0}
    assert shown["incoming"] == [{"exchange": {"name": "", "vhost": "/"}, "stats": {"publish": 3}}]


async def test_messages_that_wait_since_they_came_back_are_counted_apart(api: Api) -> None:
    retry = {"x-delayed-retry-type": "all", "x-delayed-retry-min": 60_000}
    await api.put("/queues/%2F/q", {"durable": True, "arguments": retry})
    async with api.channel() as channel:
        await publish(channel, b"12345", "q", delivery_mode=2)
        message = await (await channel.get_queue("q")).get()
        await message.nack()
        await publish(channel, b"12345", "q", delivery_mode=2)

        shown = await api.get("/queues/%2F/q")
        totals = (await api.get("/overview"))["queue_totals"]

    assert (shown["messages"], shown["messages_ready"], shown["messages_delayed"]) == (2, 1, 1)
    assert (totals["messages"], totals["messages_ready"]) == (2, 1)


async def test_policies_are_shown_merged_and_with_the_origin_of_each_key(api: Api) -> None:
    await api.put("/queues/%2F/q", {"arguments": {"x-max-length": 10}})
    user = {"pattern": "q", "definition": {"max-length": 5, "expires": 60_000}}
    await api.put("/policies/%2F/mine", user)
    await api.put(
        "/operator-policies/%2F/theirs", {"pattern": "q", "definition": {"message-ttl": 7}}
    )

    shown = await api.get("/queues/%2F/q")

    assert (shown["policy"], shown["operator_policy"]) == ("mine", "theirs")
    assert shown["effective_policy_definition"] == {
        "max-length": 5,
        "expires": 60_000,
        "message-ttl": 7,
    }
    assert shown["effective_origins"] == {
        "max-length": "policy",
        "expires": "policy",
        "message-ttl": "operator policy",
    }


async def test_what_the_caller_may_do_is_told_with_a_queue_and_an_exchange(api: Api) -> None:
    await api.put("/queues/%2F/q")
    mia = await api.user("mia", "management")
    await api.put("/permissions/%2F/mia", {"configure": "", "write": "^amq", "read": ".*"})

    assert (await mia.get("/queues/%2F/q"))["rights"] == ["read"]
    assert (await mia.get("/exchanges/%2F/amq.default"))["rights"] == ["write", "read"]
    assert (await api.get("/queues/%2F/q"))["rights"] == ["configure", "write", "read"]


async def test_arguments_that_nobody_knows_are_warned_of(api: Api) -> None:
    await api.put("/queues/%2F/q", {"arguments": {"x-mesage-ttl": 5}})

    (warning,) = (await api.get("/queues/%2F/q"))["warnings"]

    assert "did you mean 'x-message-ttl'?" in warning


async def test_a_queue_is_deleted_only_if_it_is_empty_or_unused_where_that_is_asked_for(
    api: Api,
) -> None:
    await api.put("/queues/%2F/q", DURABLE)
    async with api.channel() as channel:
        await publish(channel, b"x", "q")

        refusal = await api.delete("/queues/%2F/q", 400, **{"if-empty": "true"})
        assert refusal["reason"] == "queue 'q' in vhost '/' not empty"
        await (await channel.get_queue("q")).consume(ignore)
        refusal = await api.delete("/queues/%2F/q", 400, **{"if-unused": "true"})
        assert refusal["reason"] == "queue 'q' in vhost '/' in use"
        await api.delete("/queues/%2F/q")


async def test_a_purge_removes_what_is_ready(api: Api) -> None:
    await api.put("/queues/%2F/q", DURABLE)
    for _ in range(3):
        await api.post(
            "/exchanges/%2F/amq.default/publish",
            {"routing_key": "q", "properties": {}, "payload": "x", "payload_encoding": "string"},
        )

    await api.delete("/queues/%2F/q/contents")

    assert (await api.get("/queues/%2F/q"))["messages"] == 0
    await api.delete("/queues/%2F/nowhere/contents", 404)


async def test_the_actions_of_mirrored_queues_do_nothing(api: Api) -> None:
    await api.put("/queues/%2F/q", DURABLE)

    await api.post("/queues/%2F/q/actions", {"action": "sync"}, 204)
    await api.post("/queues/%2F/q/actions", {"action": "cancel_sync"}, 204)
    await api.post("/queues/%2F/q/actions", {"action": "explode"}, 400)


async def test_an_exclusive_queue_is_shown_with_its_owner_and_belongs_to_it(api: Api) -> None:
    async with api.channel() as channel:
        await channel.declare_queue("mine", exclusive=True)

        shown = await api.get("/queues/%2F/mine")

        assert shown["exclusive"] is True
        assert shown["owner_pid_details"]["name"] == (await api.get("/connections"))[0]["name"]
        refusal = await api.delete("/queues/%2F/mine", 400)
        assert "cannot obtain exclusive access to locked queue" in refusal["reason"]
        assert [one["name"] for one in await api.get("/users/guest/queues")] == ["mine"]


async def test_queues_are_found_by_who_has_declared_them_also_after_a_restart(
    tmp_path: Path,
) -> None:
    async with served(tmp_path, on_disk) as api:
        shop = await api.user("shop", "management", vhosts=("/",))
        await shop.put("/queues/%2F/http", DURABLE)
        await shop.put("/exchanges/%2F/x", {"type": "direct", "durable": True})
        await api.put("/queues/%2F/guests", DURABLE)
        await api.put("/queues/%2F/http", DURABLE, 204)
        async with api.channel("shop", "shop") as channel:
            await channel.declare_queue("amqp", durable=True)
            await channel.declare_queue("mine", exclusive=True)
            found = await api.get("/users/shop/queues")
            assert [one["name"] for one in found] == ["amqp", "http", "mine"]
        await api.post(
            "/definitions",
            {"queues": [{"name": "restored", "vhost": "/", "durable": True, "auto_delete": False,
                         "arguments": {}}]}, 204,
        )  # fmt: skip

    async with served(tmp_path, on_disk) as api:
        found = await api.get("/users/shop/queues")
        assert [one["name"] for one in found] == ["amqp", "http"]
        found = await api.get("/users/guest/queues")
        assert [one["name"] for one in found] == ["guests", "restored"]
        assert (await api.get("/exchanges/%2F/x"))["user_who_performed_action"] == "shop"
        amq = await api.get("/exchanges/%2F/amq.topic")
        assert amq["user_who_performed_action"] == "rmq-internal"


async def test_without_statistics_only_the_names_and_the_totals_are_shown(api: Api) -> None:
    await api.put("/queues/%2F/q", DURABLE)

    (bare,) = await api.get("/queues", disable_stats="true")
    (totals,) = await api.get("/queues", disable_stats="true", enable_queue_totals="true")

    assert "messages" not in bare
    assert totals["messages"] == 0
    assert "message_stats" not in totals


async def test_users_see_the_queues_of_their_vhosts_and_need_rights_to_declare(api: Api) -> None:
    await api.put("/vhosts/a")
    await api.put("/queues/%2F/q", DURABLE)
    shop = await api.user("shop", "management", vhosts=("a",))
    await shop.put("/queues/a/theirs", DURABLE)
    await api.put("/permissions/a/shop", {"configure": "", "write": "", "read": ""}, status=204)

    assert [one["name"] for one in await shop.get("/queues")] == ["theirs"]
    await shop.get("/queues/%2F/q", 404)
    refusal = await shop.put("/queues/a/more", DURABLE, status=401)
    assert refusal["error"] == "not_authorised"
    await shop.delete("/queues/a/theirs", 401)


async def test_queues_are_sorted_by_numbers_and_by_rates(api: Api) -> None:
    for each in ("a", "b", "c"):
        await api.put(f"/queues/%2F/{each}", DURABLE)
    body = {"properties": {}, "payload": "x", "payload_encoding": "string", "routing_key": "b"}
    await api.post("/exchanges/%2F/amq.default/publish", body)

    by_length = await api.get("/queues", sort="messages", sort_reverse="true")
    by_rate = await api.get("/queues", sort="message_stats.publish", sort_reverse="true")

    assert by_length[0]["name"] == by_rate[0]["name"] == "b"


@pytest.mark.parametrize("queue", ["a/b", "a b", "ünïcode", "50%", "a+b", "?", "#"])
async def test_any_name_of_a_queue_comes_back_as_it_was_sent(api: Api, queue: str) -> None:
    await api.put(f"/queues/%2F/{name(queue)}", DURABLE)

    assert (await api.get(f"/queues/%2F/{name(queue)}"))["name"] == queue
    assert (await api.get(f"/queues/%252F/{name(name(queue))}"))["name"] == queue
    assert (await api.get("/queues", vhost="/"))[0]["name"] == queue


async def test_a_queue_with_priorities_counts_over_all_of_them(api: Api) -> None:
    await api.put("/queues/%2F/q", {"durable": True, "arguments": {"x-max-priority": 3}})
    async with api.channel() as channel:
        for priority in (0, 1, 2, 3, 3):
            await publish(channel, b"12345", "q", delivery_mode=2, priority=priority)
        queue = await channel.get_queue("q")
        await (await queue.get()).ack()
        await queue.get()

        shown = await api.get("/queues/%2F/q")
        [listed] = await api.get("/queues", columns="name,messages,message_stats.publish")

    lengths = (shown["messages"], shown["messages_ready"], shown["messages_unacknowledged"])
    assert lengths == (4, 3, 1)
    assert shown["message_bytes"] == 20
    stats = shown["message_stats"]
    assert (stats["publish"], stats["get"], stats["ack"]) == (5, 2, 1)
    assert listed == {"name": "q", "messages": 4, "message_stats": {"publish": 5}}


async def test_a_list_is_narrowed_to_what_needs_a_look(api: Api) -> None:
    for queue in ("empty", "full", "held", "moving"):
        await api.put(f"/queues/%2F/{queue}", {"durable": True})
    await api.put("/queues/%2F/held/pause", status=204)
    async with api.channel() as channel:
        await publish(channel, b"x", "full")
        await (await channel.get_queue("moving")).consume(ignore)
        await publish(channel, b"x", "moving")

        async def named(only: str) -> list[str]:
            return [one["name"] for one in await api.get("/queues", only=only)]

        assert await named("messages") == ["full", "moving"]
        assert await named("no-consumers") == ["empty", "full", "held"]
        assert await named("stuck") == ["full", "held"]
        refused = await api.get("/queues", 400, only="nonsense")

    assert "only 'nonsense' is not one of messages, no-consumers, stuck" in refused["reason"]


async def test_who_holds_messages_is_told(api: Api) -> None:
    await api.put("/queues/%2F/q", DURABLE)
    async with api.channel() as channel:
        await channel.set_qos(2)
        queue = await channel.get_queue("q")
        for _ in range(3):
            await publish(channel, b"x", "q")
        assert await api.get("/queues/%2F/q/unacked") == []
        await queue.consume(ignore, consumer_tag="slow")
        held: list[dict[str, object]] = []
        while not held:
            held = await api.get("/queues/%2F/q/unacked")

        (consumer,) = await api.get("/consumers")
        (shown,) = await api.get("/channels")
        one = await api.get("/queues/%2F/q")

    assert [(one["consumer_tag"], one["messages_unacknowledged"]) for one in held] == [("slow", 2)]
    since = datetime.fromisoformat(consumer["oldest_unacked_since"])
    assert 0 <= (datetime.now(UTC) - since).total_seconds() < 60
    same = {each["oldest_unacked_since"] for each in (*held, consumer, shown, one)}
    assert same == {consumer["oldest_unacked_since"]}


async def test_where_nothing_is_unacked_there_is_no_oldest(api: Api) -> None:
    await api.put("/queues/%2F/q", DURABLE)
    async with api.channel() as channel:
        await (await channel.get_queue("q")).consume(ignore)

        found = [await api.get("/queues/%2F/q"), *await api.get("/channels")]

    assert all("oldest_unacked_since" not in one for one in found)


@pytest.mark.parametrize(
    ("method", "path", "word"),
    [
        ("PUT", "/queues/%2F/q/restart", "by itself"),
        ("POST", "/queues/%2F/q/stream", "x-stream-offset"),
        ("GET", "/nodes/gc_stats", "by itself"),
        ("POST", "/nodes/gc_collect", "by itself"),
        ("PUT", "/channels/x", "basic.qos"),
    ],
)
async def test_what_makes_no_sense_here_says_why(
    api: Api, method: str, path: str, word: str
) -> None:
    await api.put("/queues/%2F/q", DURABLE)

    answer, _ = await api.call(method, path, 404)

    assert word in answer["reason"]


async def test_no_figure_of_a_queue_is_negative(api: Api) -> None:
    for kind in ("classic", "quorum", "stream"):
        await api.put(f"/queues/%2F/{kind}", {"arguments": {"x-queue-type": kind}, **DURABLE})

    def figures(facts: object) -> list[float]:
        if isinstance(facts, dict):
            return [one for value in facts.values() for one in figures(value)]
        if isinstance(facts, list):
            return [one for value in facts for one in figures(value)]
        return [facts] if isinstance(facts, (int, float)) else []

    shown = figures(await api.get("/queues/detailed"))

    assert shown
    assert min(shown) >= 0


async def test_what_lists_leave_out_is_there_when_it_is_asked_for(api: Api) -> None:
    await api.put("/queues/%2F/q", {"arguments": {"x-max-length": 5, "x-expires": 60_000}})

    (plain,) = await api.get("/queues")
    (asked,) = await api.get("/queues", columns="name,garbage_collection,arguments.x-expires")
    (full,) = await api.get("/queues/detailed")

    assert "garbage_collection" not in plain
    assert asked.keys() == {"name", "garbage_collection", "arguments"}
    assert asked["arguments"]["x-max-length"] == 5
    assert "garbage_collection" in full
    assert "backing_queue_status" not in full
