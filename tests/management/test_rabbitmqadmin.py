"""RabbitMQ's own command line for its API, unchanged: `rabbitmqadmin` of Debian's package."""

from __future__ import annotations

import asyncio
import glob
import json
import re
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.management.served import Api, Json

FOUND = glob.glob(
    "/usr/lib/rabbitmq/lib/rabbitmq_server-*/plugins/rabbitmq_management-*"
    "/priv/www/cli/rabbitmqadmin"
)
pytestmark = pytest.mark.skipif(not FOUND, reason="needs Debian's package rabbitmq-server")


class Admin:
    """Runs the script; remembers which of its subcommands were run."""

    def __init__(self, api: Api) -> None:
        self.port = api.uri.rpartition(":")[2]
        self.used: set[str] = set()

    async def run(
        self, *words: str, options: tuple[str, ...] = (), code: int = 0, given: bytes = b""
    ) -> str:
        """What it printed; the exit code must be as expected."""
        self.used.add(" ".join(words[: 1 if words[0] in _ALONE else 2]))
        command = (FOUND[0], "-P", self.port, "--host", "127.0.0.1", *options, *words)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, errors = await process.communicate(given)
        assert process.returncode == code, (words, out, errors)
        return (out + errors).decode()

    async def json(self, *words: str, options: tuple[str, ...] = ()) -> Json:
        """The same, as JSON."""
        return json.loads(await self.run(*words, options=("-f", "raw_json", *options)))


_ALONE = frozenset({"publish", "get", "export", "import"})


@pytest.fixture
async def admin(api: Api) -> Admin:
    return Admin(api)


async def test_every_subcommand_works(admin: Admin, api: Api, tmp_path: Path) -> None:
    run = admin.run
    await _declare(admin)
    await _list(admin, api)
    await _messages(admin, tmp_path)
    await _definitions(admin, tmp_path)
    await _delete(admin)

    usage = await run("help", "subcommands")
    admin.used -= {"help subcommands"}
    named = re.findall(
        r"^  ((?:list|show|declare|delete|close|purge) \w+|(?:export|import|publish|get)\b)",
        usage,
        re.MULTILINE,
    )
    assert admin.used == set(named)


async def _declare(admin: Admin) -> None:
    run = admin.run
    assert await run("declare", "vhost", "name=shop", "tracing=true") == "vhost declared\n"
    await run("declare", "user", "name=ann", "password=pw", "tags=monitoring,management")
    rights = ("configure=.*", "write=.*", "read=.*")
    await run("declare", "permission", "vhost=shop", "user=guest", *rights)
    in_shop = ("-V", "shop")
    fanout = ("declare", "exchange", "name=x", "type=fanout", 'arguments={"a":1}')
    assert await run(*fanout, options=in_shop) == "exchange declared\n"
    await run("declare", "queue", "name=q", 'arguments={"x-max-length":5}', options=in_shop)
    await run("declare", "queue", "name=quorum", "queue_type=quorum", options=in_shop)
    binding = ("declare", "binding", "source=x", "destination=q", "routing_key=a.b")
    await run(*binding, options=in_shop)
    await run(*binding[:-1], 'arguments={"k":"v"}', options=in_shop)
    value = 'value={"src-uri":"amqp://","src-queue":"a","dest-uri":"amqp://","dest-queue":"b"}'
    await run("declare", "parameter", "component=shovel", "name=s", value, options=in_shop)
    policy = ("name=p", "pattern=^q", 'definition={"max-length":3}', "priority=1")
    await run("declare", "policy", *policy, "apply-to=queues", options=in_shop)
    operator = ("name=o", "pattern=^q", 'definition={"expires":60000}')
    await run("declare", "operator_policy", *operator, options=in_shop)
    await run("declare", "vhost_limit", "vhost=shop", "name=max-queues", "value=10")


async def _list(admin: Admin, api: Api) -> None:
    async with api.channel(vhost="shop") as channel:
        queue = await channel.get_queue("quorum")
        await queue.get(fail=False)
        (connection,) = await admin.json("list", "connections")
        assert (connection["user"], connection["channels"]) == ("guest", 1)
        (channel_facts,) = await admin.json("list", "channels")
        assert channel_facts["number"] == 1
        assert await admin.json("list", "consumers") == []
        await admin.run("close", "connection", f"name={connection['name']}")
    in_shop = ("-V", "shop")
    exchanges = await admin.json("list", "exchanges", "name", "type", options=in_shop)
    assert {"name": "x", "type": "fanout"} in exchanges
    queues = await admin.json("list", "queues", options=in_shop)
    assert [one["name"] for one in queues] == ["q", "quorum"]
    assert len(await admin.json("list", "bindings", options=in_shop)) == 4
    assert [one["name"] for one in await admin.json("list", "users")] == ["ann", "guest"]
    assert [one["name"] for one in await admin.json("list", "vhosts")] == ["/", "shop"]
    assert len(await admin.json("list", "permissions")) == 2
    (node,) = await admin.json("list", "nodes")
    assert node["mem_used"] > 0
    parameters = await admin.json("list", "parameters")
    assert {one["component"] for one in parameters} == {
        "shovel",
        "operator_policy",
        "vhost-limits",
    }
    (policy,) = await admin.json("list", "policies")
    assert (policy["definition"], policy["priority"]) == ({"max-length": 3}, 1)
    (operator,) = await admin.json("list", "operator_policies")
    assert operator["definition"] == {"expires": 60_000}
    assert await admin.json("list", "vhost_limits") == [
        {"vhost": "shop", "value": {"max-queues": 10}}
    ]
    table = await admin.run("show", "overview")
    assert "4.2.0" in table


async def _messages(admin: Admin, tmp_path: Path) -> None:
    run, in_shop = admin.run, ("-V", "shop")
    properties = 'properties={"delivery_mode":2,"headers":{"h":1}}'
    publish = ("publish", "routing_key=k", "exchange=x", properties)
    assert await run(*publish, "payload=hello", options=in_shop) == "Message published\n"
    await run("publish", "routing_key=q", options=in_shop, given=b"from standard input")
    nowhere = await run("publish", "routing_key=nowhere", "payload=x", options=in_shop)
    assert nowhere == "Message published but NOT routed\n"
    (peeked,) = await admin.json("get", "queue=q", options=in_shop)
    assert (peeked["payload"], peeked["properties"]["headers"]) == ("hello", {"h": 1})
    taken = ("ackmode=ack_requeue_false", "count=2")
    first, second = await admin.json("get", "queue=q", *taken, options=in_shop)
    assert (first["redelivered"], second["payload"]) == (True, "from standard input")
    await run("publish", "routing_key=q", "payload=file", options=in_shop)
    file = tmp_path / "payload"
    await run("get", "queue=q", f"payload_file={file}", options=in_shop)
    assert file.read_bytes() == b"file"
    await run("purge", "queue", "name=q", options=in_shop)
    assert await admin.json("get", "queue=q", options=in_shop) == []


async def _definitions(admin: Admin, tmp_path: Path) -> None:
    whole, single = tmp_path / "all.json", tmp_path / "shop.json"
    assert "Exported definitions" in await admin.run("export", str(whole))
    await admin.run("export", str(single), options=("-V", "shop"))
    assert "x" in [one["name"] for one in json.loads(whole.read_text())["exchanges"]]
    assert "Uploaded definitions" in await admin.run("import", str(whole))
    await admin.run("import", str(single), options=("-V", "shop"))
    await admin.run("import", str(single), code=1)


async def _delete(admin: Admin) -> None:
    run, in_shop = admin.run, ("-V", "shop")
    binding = ("delete", "binding", "source=x", "destination_type=queue", "destination=q")
    await run(*binding, "properties_key=a.b", options=in_shop)
    keys = await admin.json("list", "bindings", "source", "properties_key", options=in_shop)
    (left,) = [one["properties_key"] for one in keys if one["source"] == "x"]
    assert left.startswith("~")
    await run(*binding, f"properties_key={left}", options=in_shop)
    assert await run("delete", "queue", "name=q", options=in_shop) == "queue deleted\n"
    await run("delete", "queue", "name=q", options=in_shop, code=1)
    await run("delete", "exchange", "name=x", options=in_shop)
    await run("delete", "parameter", "component=shovel", "name=s", options=in_shop)
    await run("delete", "policy", "name=p", options=in_shop)
    await run("delete", "operator_policy", "name=o", options=in_shop)
    await run("delete", "vhost_limit", "vhost=shop", "name=max-queues")
    await run("delete", "permission", "vhost=shop", "user=guest")
    await run("delete", "user", "name=ann")
    await run("delete", "vhost", "name=shop")


async def test_all_formats_of_its_output_work(admin: Admin, api: Api) -> None:
    await api.put("/queues/%2F/q", {"durable": True, "arguments": {"x-max-length": 5}})

    for form in ("table", "long", "pretty_json", "kvp", "tsv", "bash"):
        assert "q" in await admin.run("list", "queues", options=("-f", form))


async def test_errors_are_told(admin: Admin) -> None:
    refused = ("-u", "guest", "-p", "wrong")
    told = await admin.run("list", "queues", options=refused, code=1)
    assert "Access refused" in told
    told = await admin.run("declare", "exchange", "name=x", "type=nonsense", code=1)
    assert "unknown exchange type" in told
