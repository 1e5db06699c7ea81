"""Users, vhosts and policies, one at a time."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from amqpd.cli.main import group
from tests.management.served import served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from tests.management.served import Api

    Run = Callable[..., Awaitable[str]]


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with served(tmp_path) as made:
        yield made


@pytest.fixture
def run(api: Api, tmp_path: Path) -> Run:
    async def call(*arguments: str, code: int = 0, stdin: str = "") -> str:
        # Over the local socket, as on the broker's own machine.
        runner = CliRunner(env={"AMQPD_URL": str(tmp_path / "data")})
        result = await asyncio.to_thread(
            runner.invoke, group, list(arguments), input=stdin, prog_name="amqpd"
        )
        assert result.exit_code == code, (arguments, result.output, result.exception)
        return result.output

    return call


async def test_a_user_is_made_with_a_password_that_works(api: Api, run: Run) -> None:
    said = await run("user", "add", "shop", "--generate-password", "--permissions", "orders.*")
    found = re.search(r"password (\S+)", said)
    assert found is not None

    (await api.connect("shop", found[1])).abort()

    rights = await api.get("/permissions/%2F/shop")
    assert rights["configure"] == rights["write"] == rights["read"] == "orders.*"
    assert "amqpd user password shop" in await run("user", "add", "shop", "--generate", code=65)


async def test_a_password_comes_on_standard_input(api: Api, run: Run) -> None:
    said = await run("user", "add", "shop", "--tags", "monitoring", stdin="first\n")
    assert "amqpd user permissions shop" in said
    assert (await api.as_user("shop", "first").get("/whoami"))["tags"] == ["monitoring"]

    await run("user", "password", "shop", stdin="second\n")

    assert (await api.as_user("shop", "second").get("/whoami"))["tags"] == ["monitoring"]
    assert "on standard input" in await run("user", "password", "shop", code=64)


@pytest.mark.parametrize("command", ["add", "password"])
async def test_the_password_of_who_asks_is_not_taken_for_the_new_one(
    run: Run, command: str
) -> None:
    said = await run("user", command, "guest", "--password", "x", stdin="y\n", code=64)

    assert "--new-password" in said


async def test_a_hash_is_what_definitions_want(api: Api, run: Run) -> None:
    made = (await run("hash-password", stdin="secret\n")).strip()

    await api.put("/users/shop", {"password_hash": made, "tags": "management"})
    await api.as_user("shop", "secret").get("/whoami")


async def test_tags_and_permissions_are_set(api: Api, run: Run) -> None:
    await run("user", "add", "shop", "--new-password", "x")
    await run("user", "tags", "shop", "policymaker", "management")
    await run("user", "permissions", "shop", "^a", "^b", "^c")

    assert (await api.get("/users/shop"))["tags"] == ["policymaker", "management"]
    rights = await api.get("/permissions/%2F/shop")
    assert [rights[key] for key in ("configure", "write", "read")] == ["^a", "^b", "^c"]
    await api.as_user("shop", "x").get("/whoami")


async def test_whoever_is_not_there_is_told_with_the_nearest_name(run: Run) -> None:
    assert "Did you mean 'guest'?" in await run("user", "tags", "gest", code=67)
    assert "no user 'zzz'" in await run("user", "delete", "zzz", code=67)


async def test_a_user_is_removed_after_a_word(api: Api, run: Run) -> None:
    await api.user("shop", vhosts=("/",))
    client = await api.connect("shop", "shop")

    assert "1 connections of it" in await run("user", "delete", "shop", code=64)
    await run("user", "delete", "shop", "--yes")

    assert [one["name"] for one in await api.get("/users")] == ["guest"]
    client.abort()


async def test_a_vhost_is_made_and_removed(api: Api, run: Run) -> None:
    said = await run("vhost", "add", "billing", "--default-queue-type", "quorum")
    assert "amqpd user permissions" in said
    assert (await api.get("/vhosts/billing"))["default_queue_type"] == "quorum"
    # Nobody of the broker's own users made it.
    assert await api.get("/vhosts/billing/permissions") == []

    assert "its 0 queues" in await run("vhost", "delete", "billing", code=64)
    assert "Did you mean 'billing'?" in await run("vhost", "delete", "biling", code=65)
    await run("vhost", "delete", "billing", "--yes")
    await api.get("/vhosts/billing", 404)


async def test_a_policy_is_set_and_removed(api: Api, run: Run) -> None:
    await api.put("/queues/%2F/tmp.a", {"durable": True})

    said = await run("policy", "set", "limits", r"^tmp\.", '{"max-length": 5}')
    assert "in force for 1 queues" in said
    found = await api.get("/queues/%2F/tmp.a")
    assert found["effective_policy_definition"] == {"max-length": 5}

    assert "not JSON" in await run("policy", "set", "x", ".*", "{", code=65)
    assert "Did you mean 'limits'?" in await run("policy", "delete", "limit", code=65)
    await run("policy", "delete", "limits", "--yes")
    assert await api.get("/policies") == []


async def test_programs_get_json(api: Api, run: Run) -> None:
    made = json.loads(await run("user", "add", "shop", "--generate-password", "--json"))
    await api.put("/permissions/%2F/shop", {"configure": ".*", "write": ".*", "read": ".*"})
    (await api.connect("shop", made["password"])).abort()
    given = json.loads(await run("user", "password", "shop", "--json", stdin="x\n"))
    assert given == {"user": "shop", "password": None}


async def test_a_tag_that_means_nothing_is_told(api: Api, run: Run) -> None:
    said = await run("user", "add", "mia", "--generate", "--tags", "adminstrator")

    assert "tag 'adminstrator' means nothing to amqpd.  Did you mean 'administrator'?" in said
