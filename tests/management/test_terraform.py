"""The calls of Terraform's provider for RabbitMQ (and of rabbit-hole, its client), in its order.

Each resource is made, read back, and must be what was asked for, or every plan shows a change;
then it is removed, twice: what somebody else has removed is no error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from tests.management.served import Api, Json


async def keeps(api: Api, path: str, body: Json, reads: Json, *, read: str = "") -> None:
    """Make, read, make again with the same, read again; nothing has changed."""
    await api.put(path, body, 201)
    for _ in range(2):
        found = await api.get(read or path)
        assert {key: found[key] for key in reads} == reads
        await api.put(path, body, 204)


async def removes(api: Api, path: str) -> None:
    await api.delete(path)
    await api.delete(path, 404)
    await api.get(path, 404)


async def test_a_vhost(api: Api) -> None:
    body = {"description": "shop", "default_queue_type": "quorum", "tracing": False}
    await keeps(api, "/vhosts/shop", body, body)
    await removes(api, "/vhosts/shop")


async def test_a_user_with_its_tags_in_their_order(api: Api) -> None:
    tags = ["policymaker", "administrator", "management"]
    await keeps(
        api,
        "/users/shop",
        {"password": "secret", "tags": ",".join(tags)},
        {"name": "shop", "tags": tags},
    )
    await api.put("/users/shop", {"password": "other", "tags": ""}, 204)
    assert (await api.get("/users/shop"))["tags"] == []
    await removes(api, "/users/shop")


async def test_permissions(api: Api) -> None:
    await api.put("/users/shop", {"password": "secret", "tags": ""})
    body = {"configure": ".*", "write": "^a$", "read": ""}
    await keeps(api, "/permissions/%2F/shop", body, {**body, "user": "shop", "vhost": "/"})
    await removes(api, "/permissions/%2F/shop")
    topics = {"exchange": "amq.topic", "write": "^a", "read": ".*"}
    await api.put("/topic-permissions/%2F/shop", topics, 201)
    assert await api.get("/topic-permissions/%2F/shop") == [
        {"user": "shop", "vhost": "/", **topics}
    ]
    await api.delete("/topic-permissions/%2F/shop/amq.topic")


async def test_an_exchange(api: Api) -> None:
    body = {
        "type": "x-delayed-message",
        "durable": True,
        "auto_delete": False,
        "arguments": {"x-delayed-type": "direct"},
    }
    await keeps(api, "/exchanges/%2F/shop", body, body)
    await removes(api, "/exchanges/%2F/shop")


async def test_a_queue_with_arguments_of_all_kinds(api: Api) -> None:
    arguments = {"x-message-ttl": 5000, "x-queue-type": "quorum", "x-dead-letter-exchange": "dlx"}
    body = {"type": "", "durable": True, "auto_delete": False, "arguments": arguments}
    reads = {"durable": True, "auto_delete": False, "arguments": arguments, "type": "quorum"}
    await keeps(api, "/queues/%2F/shop", body, reads)
    await removes(api, "/queues/%2F/shop")


async def test_a_binding_is_found_by_the_key_of_its_location(api: Api) -> None:
    await api.put("/queues/%2F/q", {"durable": True})
    await api.put("/exchanges/%2F/e", {"type": "fanout", "durable": True})
    for kind, destination, arguments in (
        ("q", "q", {}),
        ("q", "q", {"x-match": "all", "n": 5}),
        ("e", "e", {}),
    ):
        between = f"/bindings/%2F/e/amq.topic/{kind}/{destination}"
        sent = {
            "source": "amq.topic",
            "vhost": "/",
            "destination": destination,
            "destination_type": "queue" if kind == "q" else "exchange",
            "routing_key": "a/b.#",
            "arguments": arguments,
            "properties_key": "",
        }

        _, headers = await api.call("POST", between, 201, sent)

        key = unquote(headers["Location"].rpartition("/")[2])
        (found,) = [one for one in await api.get(between) if one["properties_key"] == key]
        assert found["arguments"] == arguments
        assert found["routing_key"] == "a/b.#"
        assert key in [one["properties_key"] for one in await api.get("/bindings/%2F")]
        await api.delete(f"{between}/{quote(key, safe='')}")
        await api.delete(f"{between}/{quote(key, safe='')}", 404)


async def test_policies_of_both_kinds(api: Api) -> None:
    body = {
        "pattern": "^shop",
        "priority": 3,
        "apply-to": "queues",
        "definition": {"max-length": 10, "message-ttl": 1000},
    }
    for kind in ("policies", "operator-policies"):
        path = f"/{kind}/%2F/limits"
        await keeps(api, path, body, {**body, "name": "limits", "vhost": "/"})
        await removes(api, path)


async def test_what_a_plan_lists(api: Api) -> None:
    for path in ("/vhosts", "/users", "/exchanges/%2F", "/queues/%2F", "/policies", "/overview"):
        await api.get(path)
    assert "rabbitmq_version" in await api.get("/overview")
