"""`/api/definitions`: out, in again, and between brokers."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import TYPE_CHECKING

import aiohttp
import pytest

from amqpd.auth.passwords import hash_password
from amqpd.management import listing
from tests.management.served import Json, publish, served

if TYPE_CHECKING:
    from pathlib import Path

    from amqpd.config import Settings
    from amqpd.store import Post, Store
    from tests.management.served import Api

#: As RabbitMQ 3.10.8 exports them.
RABBITMQ: Json = {
    "rabbit_version": "3.10.8",
    "rabbitmq_version": "3.10.8",
    "product_name": "RabbitMQ",
    "product_version": "3.10.8",
    "users": [
        {
            "name": "shop",
            "password_hash": hash_password("secret"),
            "hashing_algorithm": "rabbit_password_hashing_sha256",
            "tags": ["monitoring"],
            "limits": {"max-channels": 7},
        },
        {"name": "old", "password_hash": "", "tags": "management,policymaker"},
    ],
    "vhosts": [{"name": "/"}, {"name": "shop", "description": "the shop", "tags": ["a"]}],
    "permissions": [
        {"user": "shop", "vhost": "shop", "configure": ".*", "write": "w", "read": "r"}
    ],
    "topic_permissions": [
        {"user": "shop", "vhost": "shop", "exchange": "amq.topic", "write": "^a", "read": ".*"}
    ],
    "parameters": [
        {
            "vhost": "shop",
            "component": "operator_policy",
            "name": "op",
            "value": {
                "apply-to": "queues",
                "definition": {"expires": 100_000},
                "pattern": ".*",
                "priority": 0,
            },
        },
        {
            "vhost": "shop",
            "component": "vhost-limits",
            "name": "limits",
            "value": {"max-queues": 10},
        },
        {
            "vhost": "shop",
            "component": "federation-upstream-set",
            "name": "set",
            "value": [{"upstream": "a"}],
        },
    ],
    "global_parameters": [{"name": "cluster_name", "value": "rabbit@shop"}],
    "policies": [
        {
            "vhost": "shop",
            "name": "ttl",
            "pattern": "^o",
            "apply-to": "queues",
            "definition": {"message-ttl": 60_000},
            "priority": 1,
        }
    ],
    "queues": [
        {
            "name": "orders",
            "vhost": "shop",
            "durable": True,
            "auto_delete": False,
            "arguments": {"x-max-length": 100, "x-queue-type": "classic"},
        },
        {
            "name": "plain",
            "vhost": "shop",
            "durable": True,
            "auto_delete": False,
            "arguments": {},
        },
    ],
    "exchanges": [
        {
            "name": "x",
            "vhost": "shop",
            "type": "topic",
            "durable": True,
            "auto_delete": False,
            "internal": False,
            "arguments": {"alternate-exchange": "amq.fanout"},
        },
        {
            "name": "amq.topic",
            "vhost": "shop",
            "type": "topic",
            "durable": True,
            "auto_delete": False,
            "internal": False,
            "arguments": {},
        },
    ],
    "bindings": [
        {
            "source": "x",
            "vhost": "shop",
            "destination": "orders",
            "destination_type": "queue",
            "routing_key": "a.#",
            "arguments": {"k": "v", "n": 5},
        },
        {
            "source": "x",
            "vhost": "shop",
            "destination": "amq.topic",
            "destination_type": "exchange",
            "routing_key": "",
            "arguments": {},
        },
    ],
}


async def test_rabbitmqs_definitions_are_taken_whole(api: Api) -> None:
    await api.post("/definitions", RABBITMQ, 204)

    assert (await api.as_user("shop", "secret").get("/whoami"))["tags"] == ["monitoring"]
    assert (await api.get("/users/shop"))["limits"] == {"max-channels": 7}
    assert (await api.get("/users/old"))["tags"] == ["management", "policymaker"]
    assert (await api.get("/vhosts/shop"))["description"] == "the shop"
    assert (await api.get("/vhosts/%2F"))["description"] == ""
    assert (await api.get("/permissions/shop/shop"))["write"] == "w"
    assert len(await api.get("/topic-permissions/shop/shop")) == 1
    assert (await api.get("/vhost-limits/shop"))[0]["value"] == {"max-queues": 10}
    assert (await api.get("/cluster-name"))["name"] == "rabbit@shop"
    orders = await api.get("/queues/shop/orders")
    assert orders["arguments"] == {"x-max-length": 100, "x-queue-type": "classic"}
    assert (orders["policy"], orders["operator_policy"]) == ("ttl", "op")
    assert orders["effective_policy_definition"] == {"message-ttl": 60_000, "expires": 100_000}
    bindings = await api.get("/exchanges/shop/x/bindings/source")
    assert [one["destination"] for one in bindings] == ["amq.topic", "orders"]
    journal = api.broker.server.broker.journal
    assert journal.safe == journal.last


async def test_what_goes_out_of_one_broker_goes_into_another_and_out_again(
    api: Api, tmp_path: Path
) -> None:
    await api.post("/definitions", RABBITMQ, 204)
    first = await api.get("/definitions")

    async with served(tmp_path / "other") as other:
        await other.post("/definitions", first, 204)
        second = await other.get("/definitions")

    assert second == first
    assert first["rabbitmq_definition_format"] == "cluster"
    assert first["original_cluster_name"] == "rabbit@shop"
    for section in ("queues", "exchanges", "bindings", "policies", "parameters", "permissions"):
        assert first[section], section
    assert {one["name"] for one in first["exchanges"]} == {"x"}


async def test_it_survives_a_restart(tmp_path: Path) -> None:
    from amqpd.store.sqlite import SqliteStore

    def on_disk(folder: Path, settings: Settings, post: Post) -> Store:
        return SqliteStore(folder / "amqpd.db", post)

    async with served(tmp_path, on_disk) as api:
        await api.post("/definitions", RABBITMQ, 204)
        before = await api.get("/definitions")
    async with served(tmp_path, on_disk) as api:
        assert await api.get("/definitions") == before


async def test_the_same_again_changes_nothing(api: Api) -> None:
    await api.post("/definitions", RABBITMQ, 204)
    before = await api.get("/definitions")
    last = api.broker.server.broker.journal.last

    report = (await api.call("POST", "/definitions", 200, before, query={"dry_run": "true"}))[0]
    await api.post("/definitions", before, 204)

    assert report["changes"] == []
    assert api.broker.server.broker.journal.last == last


async def test_a_dry_run_tells_the_difference_and_does_nothing(api: Api) -> None:
    await api.post("/definitions", RABBITMQ, 204)
    changed = json.loads(json.dumps(RABBITMQ))
    changed["queues"][0]["arguments"]["x-max-length"] = 7
    changed["queues"].append({"name": "new", "vhost": "shop", "durable": True, "arguments": {}})
    changed["users"][0]["tags"] = ["administrator"]
    changed["policies"][0]["definition"] = {"message-ttl": 5}

    report = (await api.call("POST", "/definitions", 200, changed, query={"dry_run": "true"}))[0]

    found = {(one["action"], one["section"], one["name"]) for one in report["changes"]}
    assert found == {
        ("keep", "queues", "orders"),
        ("create", "queues", "new"),
        ("update", "users", "shop"),
        ("update", "policies", "ttl"),
    }
    update = next(one for one in report["changes"] if one["name"] == "ttl")
    assert update["before"]["value"]["definition"] == {"message-ttl": 60_000}
    assert update["after"]["value"]["definition"] == {"message-ttl": 5}
    assert report["counts"]["bindings"] == {"same": 2}
    user = next(one for one in report["changes"] if one["section"] == "users")
    assert user["after"]["password_hash"].startswith("…")
    await api.get("/queues/shop/new", 404)


def broken(section: str, **change: object) -> Json:
    """RabbitMQ's definitions with something else in the first entry of a section."""
    document = json.loads(json.dumps(RABBITMQ))
    document[section][0].update(change)
    return document


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (broken("bindings", source="nowhere"), "no exchange 'nowhere' in vhost 'shop'"),
        (broken("bindings", destination="nowhere"), "no queue 'nowhere' in vhost 'shop'"),
        (broken("bindings", destination_type="topic"), "'destination_type' is 'topic'"),
        (broken("queues", vhost="nowhere"), "there is no vhost 'nowhere'"),
        (broken("queues", arguments={"x-expires": 0}), "x-expires"),
        (broken("queues", arguments={"a": 1 << 70}), "64 bits"),
        (broken("queues", name="q" * 256), "not between 1 and 255"),
        (broken("queues", durable="yes"), "'durable' is not true or false"),
        (broken("exchanges", type="nonsense"), "unknown exchange type 'nonsense'"),
        (broken("policies", definition={"nonsense": 1}), "are not recognised policy settings"),
        (broken("permissions", user="nobody"), "there is no user 'nobody'"),
        (broken("permissions", read="("), "permissions[0] 'shop'"),
        (broken("parameters", component="nonsense"), "component nonsense not found"),
        (broken("users", limits={"max-unicorns": 1}), "Unrecognised terms"),
        (broken("users", tags=5), "'tags' is not a list"),
        (broken("vhosts", metadata={"default_queue_type": "x"}), "x is not a valid queue type"),
        ({"queues": {}}, "'queues' is not a list"),
        ({"queues": ["q"]}, "queues[0]: not an object"),
        ([], "not an object"),
    ],
)
async def test_one_mistake_and_nothing_is_done(api: Api, document: Json, reason: str) -> None:
    before = await api.get("/definitions")

    refusal = await api.post("/definitions", document, 400)

    assert reason in refusal["reason"]
    assert await api.get("/definitions") == before


async def test_a_limit_on_queues_holds_for_definitions_too(api: Api) -> None:
    await api.put("/vhost-limits/%2F/max-queues", {"value": 1}, status=204)
    queues = [{"name": name, "vhost": "/", "durable": True} for name in ("a", "b")]

    refusal = await api.post("/definitions", {"queues": queues}, 400)

    assert "would exceed the limit of 1 queue(s)" in refusal["reason"]


# -- one vhost ---------------------------------------------------------------------------


async def test_the_definitions_of_one_vhost_move_to_another(api: Api) -> None:
    await api.post("/definitions", RABBITMQ, 204)
    await api.put("/vhosts/copy")

    document = await api.get("/definitions/shop")
    await api.post("/definitions/copy", document, 204)

    assert document["rabbitmq_definition_format"] == "single_virtual_host"
    assert document["original_vhost_name"] == "shop"
    assert "users" not in document
    assert all("vhost" not in one for one in document["queues"])
    copy = await api.get("/definitions/copy")
    for section in ("queues", "exchanges", "bindings", "policies", "parameters"):
        assert copy[section] == document[section], section
    await api.get("/definitions/nowhere", 404)
    await api.post("/definitions/nowhere", document, 404)


async def test_the_two_forms_are_not_mixed_up(api: Api) -> None:
    whole, single = await api.get("/definitions"), await api.get("/definitions/%2F")

    assert "single vhost" in (await api.post("/definitions", single, 400))["reason"]
    assert "whole broker" in (await api.post("/definitions/%2F", whole, 400))["reason"]


# -- the way in and out ------------------------------------------------------------------


async def test_the_old_name_and_forms_with_a_file_work(api: Api) -> None:
    form = aiohttp.FormData()
    form.add_field("file", json.dumps(RABBITMQ), filename="definitions.json")
    for path in ("/definitions", "/all-configuration", "/definitions/upload"):
        uri = f"{api.uri}/api{path}"
        async with api.client.post(uri, data=form(), headers=api.headers) as answer:
            assert answer.status == 204, await answer.text()
    await api.get("/queues/shop/orders")
    assert await api.get("/all-configuration") == await api.get("/definitions")


async def test_an_export_can_be_named_as_a_file(api: Api) -> None:
    _, headers = await api.call("GET", "/definitions", 200, query={"download": "a.json"})

    assert headers["Content-Disposition"] == "attachment; filename=a.json"
    await api.call("GET", "/definitions", 400, query={"download": "a\r\nb"})


async def test_links_and_forms_say_who_asks_in_their_address(api: Api) -> None:
    nobody = type(api)(api.broker, api.client, {})
    token = base64.b64encode(b"guest:guest").decode()

    assert "queues" in await nobody.get("/definitions", auth=token)
    assert "queues" in await nobody.get("/definitions/%2F", auth=token)
    await nobody.get("/definitions", 401, auth="eA==")
    await nobody.get("/definitions", 401, token="x")
    await nobody.get("/queues", 401, auth=token)


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        ("../#/import-succeeded", 303), ("#/", 303), ("http://elsewhere/", 204),
        ("//elsewhere/#/", 204), ("../#/\r\nx: y", 204),
    ],
)  # fmt: skip
async def test_a_form_goes_on_where_its_page_says(api: Api, wanted: str, status: int) -> None:
    form = aiohttp.FormData()
    form.add_field("redirect", wanted)
    form.add_field("file", json.dumps(RABBITMQ), filename="definitions.json")

    async with api.client.post(
        f"{api.uri}/api/definitions", data=form(), headers=api.headers, allow_redirects=False
    ) as answer:
        assert answer.status == status
        assert answer.headers.get("Location", wanted) == wanted

    await api.get("/queues/shop/orders")


async def test_exclusive_queues_are_left_out(api: Api) -> None:
    async with api.channel() as channel:
        queue = await channel.declare_queue("mine", exclusive=True)
        await queue.bind("amq.direct", "k")
        await channel.declare_queue("lasting", durable=True)

        document = await api.get("/definitions")

    assert [one["name"] for one in document["queues"]] == ["lasting"]
    assert document["bindings"] == []


async def test_messages_stay_when_their_queue_is_defined_again(api: Api) -> None:
    await api.post("/definitions", RABBITMQ, 204)
    await api.put("/permissions/shop/guest", {"configure": ".*", "write": ".*", "read": ".*"})
    async with api.channel(vhost="shop") as channel:
        await publish(channel, b"x", "orders")

    await api.post("/definitions", RABBITMQ, 204)

    assert (await api.get("/queues/shop/orders"))["messages"] == 1


async def test_definitions_are_for_administrators(api: Api) -> None:
    monitor = await api.user("m", "monitoring")

    await monitor.get("/definitions", 401)
    await monitor.post("/definitions", RABBITMQ, 401)


async def test_others_have_their_turn_while_a_long_document_comes_in(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "SLICE_S", 0.0)
    queues = [{"name": f"q{number}", "vhost": "/", "durable": True} for number in range(200)]
    seen = []

    async def watch() -> None:
        while True:
            await asyncio.sleep(0)
            seen.append(len(api.broker.server.broker.vhosts["/"].queues))

    watching = asyncio.create_task(watch())
    await api.post("/definitions", {"queues": queues}, 204)
    watching.cancel()

    # One queue at a time, and nothing of it on disk before all of it was.
    assert len(set(seen)) > 100
    assert max(seen) == 200


async def test_two_documents_come_in_one_after_the_other(api: Api) -> None:
    def document(prefix: str) -> Json:
        return {"queues": [{"name": f"{prefix}{n}", "vhost": "/"} for n in range(300)]}

    await asyncio.gather(
        api.post("/definitions", document("a"), 204), api.post("/definitions", document("b"), 204)
    )

    assert len(await api.get("/queues", columns="name")) == 600
    assert api.broker.server.broker.journal.open is None


async def test_the_limits_of_a_vhost_are_shown_with_it(api: Api) -> None:
    await api.put("/vhost-limits/%2F/max-queues", {"value": 9}, 204)

    (found,) = (await api.get("/definitions"))["vhosts"]

    assert found["limits"] == {"max-queues": 9}
